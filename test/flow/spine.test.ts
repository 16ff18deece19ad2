// Goal: one signed bundle goes from the controller into the running kernel and its events come back; the agent
// may be ended and started without a packet noticing; a person on the device can go back, and take all out.
// Method: a controller, a device and a neighbour in namespaces, with the executables of dist/. What is claimed
// is counted by the kernel and by who received; what is reported is compared with both.

import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { Device } from '../lab/device.ts';
import { executablesMissing } from '../lab/executables.ts';
import { udpFrame } from '../lab/frame.ts';
import { Lab, labMissing } from '../lab/lab.ts';
import { sentTo } from '../lab/pcap.ts';
import { addresses, openSite, publishAndSettle, ruleHits, startAgain } from '../lab/site.ts';
import { waitFor } from '../lab/wait-for.ts';
import { send } from '../lab/wire.ts';
import { ParityProbe } from './parity.ts';

// One file is one process; `node FILE` would give it half a minute.
t.setTimeout(300_000);
const skip = labMissing() || executablesMissing();

t.test('the spine', { skip, timeout: 290_000 }, async (t) => {
  const lab = await Lab.open();
  t.teardown(() => lab.close());
  const site = await openSite(lab);
  const { controller, device, id } = site;
  const probe = await ParityProbe.open(site);

  await t.test('a device that has enrolled enforces nothing and says so', async (t) => {
    const row = await controller.device(id);
    t.equal(row.state, 'up');
    t.equal(row.reported?.inForce, null);
    t.equal(await probe.see(), 'open');
  });

  await t.test('a bundle is published, and becomes what the kernel does', async (t) => {
    const said = await controller.publish({ files: [probe.files.odd], trialSeconds: 10, wait: true });
    t.equal(said.code, 0, `the command waits for the end: ${said.complaint}`);
    const { reported } = await controller.device(id);
    t.equal(reported?.assignment?.result, 'confirmed');
    t.equal(reported?.inForce?.serial, reported?.assignment?.serial);
    t.equal(await probe.see(), 'odd');
    const states = Object.fromEntries((reported?.rules ?? []).map((rule) => [rule.id, rule.state]));
    t.equal(states['parity/port'], 'enforced');
    // Cgroup hooks are not the full set for connect, and it is said.
    t.equal(states['parity-calls/port'], 'degraded');
    t.match(reported?.proven, /^[1-9]\d* packets by twin run, [1-9]\d* calls by canary/);
    t.ok(reported?.hooks.some((hook) => hook.includes('wan0')));
  });

  await t.test('counters are exact', async (t) => {
    const before = (await ruleHits(site, 'parity/port')) ?? 0;
    const frame = udpFrame({ from: addresses.neighbour, to: addresses.device, fromPort: 1, toPort: 7001 });
    const frames = sentTo(site.inside.macOf('wan0'), [frame]);
    const sent = send(lab, { from: site.wan, interface: 'up0', frames, loop: 777, packetsPerSecond: 5000 });
    t.equal(sent, 777);
    t.equal(((await ruleHits(site, 'parity/port')) ?? 0) - before, 777);
  });

  await t.test('every view answers, over MQTT and on the device', async (t) => {
    for (const view of ['status', 'interfaces', 'rules', 'sets', 'events']) {
      const far = await controller.query(id, view);
      t.ok(Array.isArray(far) && (view === 'sets' || far.length > 0), `${view}: ${far.length} rows`);
      const near = await device.cli(['query', view, '--json']);
      t.equal(near.code, 0, near.complaint);
    }
    const wrong = await controller.cli(['query', id, 'shadow-file', '--json']);
    t.not(wrong.code, 0, 'a view that does not exist is refused');
  });

  await t.test('what was dropped and denied is told', async (t) => {
    probe.calls();
    const events = await waitFor(
      async () => {
        const calls = await controller.eventsOf(id, 'call');
        const packets = await controller.eventsOf(id, 'packet');
        return calls.length > 0 && packets.length > 0 && { calls, packets };
      },
      { what: 'events to arrive', withinMs: 30_000, everyMs: 300 },
    );
    const [call] = events.calls;
    t.match(call, { verdict: 'deny', rule: 'parity-calls/port', port: 7001, cgroup: /service$/ });
    const [packet] = events.packets;
    t.match(packet, { verdict: 'drop', rule: 'parity/port', toPort: 7001, interface: 'wan0' });
    const told = events.packets.reduce((sum, one) => sum + one.count, 0);
    t.ok(told > 0 && told <= ((await ruleHits(site, 'parity/port')) ?? 0), `${told} packets are told of`);
    const audits = (await controller.eventsOf(id, 'audit')).map((one) => one.what);
    for (const what of ['agent.started', 'device.enrolled', 'bundle.confirmed'])
      t.ok(audits.includes(what), what);
  });

  await t.test('SIGTERM says goodbye and leaves enforcement in place', async (t) => {
    t.same(await device.kill('SIGTERM'), { code: 0, signal: null });
    t.equal(await probe.see(), 'odd');
    const state = async () => (await controller.device(id)).state === 'bye';
    await t.resolves(waitFor(state, { what: 'the goodbye', withinMs: 10_000, everyMs: 200 }));
    const refused = await controller.cli(['query', id, 'status', '--json']);
    t.not(refused.code, 0, 'who is away cannot be asked');
    await startAgain(site);
    t.equal(await probe.see(), 'odd', 'and adopted again');
  });

  await t.test('a second agent does not start beside the first', async (t) => {
    const second = await device.cli(['run'], 10_000);
    t.equal(second.code, 1);
    t.ok(device.program.running);
  });

  await t.test('`husk-agent return` goes to what was before', async (t) => {
    const result = await publishAndSettle(site, { files: [probe.files.even], trialSeconds: 10 });
    t.equal(result.assignment?.result, 'confirmed');
    t.equal(await probe.see(), 'even');
    const said = await device.cli(['return', '--json']);
    t.equal(said.code, 0, said.complaint);
    t.equal(await probe.see(), 'odd');
    const serial = result.inForce?.serial ?? 0;
    const back = async () => ((await controller.device(id)).reported?.inForce?.serial ?? serial) < serial;
    await t.resolves(waitFor(back, { what: 'the report of it', withinMs: 10_000, everyMs: 200 }));
    await startAgain(site);
    t.equal(await probe.see(), 'odd', 'a restart does not undo it');
  });

  await t.test('`husk-agent unload` takes everything out, only when meant', async (t) => {
    await device.kill('SIGTERM');
    const asked = await device.cli(['unload']);
    t.not(asked.code, 0, 'not without a yes');
    t.equal(await probe.see(), 'odd');
    const done = await device.cli(['unload', '--yes']);
    t.equal(done.code, 0, done.complaint);
    t.equal(await probe.see(), 'open');
    const left = join(device.bpffs, 'husk');
    t.same(existsSync(left) ? readdirSync(left) : [], [], 'nothing is pinned');
    t.notMatch(site.inside.run('ip', ['-d', 'link', 'show', 'wan0']), /prog\/xdp/);
    await startAgain(site);
    t.equal(await probe.see(), 'odd', 'the next start brings it back');
  });

  await t.test('a join line is good for one device', async (t) => {
    const join = await controller.join();
    const [first, second] = [1, 2].map((number) => {
      const hardwareId = `another-${number}`;
      // On no interface, and with a bpf file system of its own, so that it does not disturb the first.
      return new Device(lab, { namespace: site.inside, interfaces: [], join, config: { hardwareId } });
    });
    first?.start();
    const enrolled = async () => (await controller.devices()).length === 2;
    await t.resolves(waitFor(enrolled, { what: 'it to enroll', withinMs: 20_000, everyMs: 200 }));
    second?.start();
    await second?.program.line(/enroll\.token-unknown/, 20_000);
    t.equal((await controller.devices()).length, 2, 'the second is refused');
    await first?.kill();
    await second?.kill();
  });
});
