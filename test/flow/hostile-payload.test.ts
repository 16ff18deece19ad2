// Goal: no payload, to the device or to the controller, ends a process, changes what is enforced or what is on
// record, or keeps the next good message from being taken.
// Method: garbage of every kind on every topic. To the device through a broker that the test owns; to the
// controller with the device's own certificate from the device's namespace, and as bare bytes on its ports.
// After each round: the same process, the same policy by packets and calls, and good messages work.

import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { executablesMissing } from '../lab/executables.ts';
import { Lab, labMissing } from '../lab/lab.ts';
import { mosquittoMissing, PlayedFleet, queryEnvelope } from '../lab/played-fleet.ts';
import { addresses, openSite, publishAndSettle, type Site, startAgain } from '../lab/site.ts';
import { ask } from '../lab/system.ts';
import { waitFor } from '../lab/wait-for.ts';
import { ParityProbe, policyText } from './parity.ts';

// One file is one process; `node FILE` would give it half a minute.
t.setTimeout(300_000);
const skip = labMissing() || executablesMissing() || mosquittoMissing();

/** What is no good on any topic. */
const garbage: Readonly<Record<string, Buffer>> = {
  'a NUL': Buffer.from([0]),
  'bytes that are no UTF-8': Buffer.from([0xc3, 0x28, 0xff, 0xfe, 0x80]),
  'no JSON': Buffer.from('{"v":1,'),
  'a bare string': Buffer.from('"x"'),
  null: Buffer.from('null'),
  'an empty object': Buffer.from('{}'),
  'a future version': Buffer.from('{"v":2,"k":"rq.query","body":{}}'),
  'an unknown kind': Buffer.from('{"v":1,"k":"do.anything","body":{"run":"reboot"}}'),
  'a body of another shape': Buffer.from('{"v":1,"k":"rq.query","body":[1,2,3]}'),
  'the wrong kind for the topic': Buffer.from('{"v":1,"k":"st.birth","body":{"state":"up"}}'),
  'a prototype': Buffer.from('{"v":1,"k":"ack.spool","__proto__":{"x":1},"body":{"constructor":{}}}'),
  'keys said twice': Buffer.from('{"v":1,"v":1,"k":"ack.spool","body":{},"body":{}}'),
  'nesting without end': Buffer.from(`{"v":1,"k":"rq.query","body":${'['.repeat(15_000)}`),
  'numbers beyond reason': Buffer.from('{"v":1e400,"k":"ack.spool","body":{"upTo":99999999999999999999}}'),
  'a lone surrogate': Buffer.from('{"v":1,"k":"rq.query","body":"\\ud800"}'),
  'much of nothing': Buffer.alloc(200 * 1024, 0x20),
};

t.test('payloads to the device', { skip, timeout: 200_000 }, async (t) => {
  const lab = await Lab.open();
  t.teardown(() => lab.close());
  const site = await openSite(lab);
  const probe = await ParityProbe.open(site);
  const fleet = await PlayedFleet.takeOver(site, 0);
  await fleet.result(await fleet.assign(fleet.bundle(policyText({ port: 7001 }))), 'confirmed');
  const { pid } = site.device.program;

  const { topics } = fleet;
  const blob = `husk/${site.controller.tenant}/b/blob/${'0'.repeat(64)}/0`;
  for (const topic of [topics.request, topics.acknowledge, blob]) {
    for (const payload of Object.values(garbage)) await fleet.publish(topic, payload);
  }
  for (const payload of Object.values(garbage)) await fleet.desire(payload);
  await fleet.desire(Buffer.alloc(0));

  const good = { id: 'x', view: 'status', who: 'test', withinMs: 1000 };
  const questions = [
    { ...good, view: '../../etc/shadow' },
    { ...good, view: 'toString' },
    { ...good, who: '+/#' },
    { ...good, who: '../dn/des' },
    { ...good, id: 'x'.repeat(10_000) },
    { ...good, withinMs: -1 },
    { ...good, withinMs: 1e15 },
    { ...good, view: 'events', args: { count: 1e9 } },
    { ...good, view: 'events', args: { count: '1; reboot' } },
    { ...good, args: Object.fromEntries(Array.from({ length: 500 }, (_, index) => [`k${index}`, index])) },
  ];
  for (const body of questions) await fleet.publish(topics.request, JSON.stringify(queryEnvelope(body)));

  const acknowledgements = [
    { stream: 'alert', upTo: Number.MAX_SAFE_INTEGER },
    { stream: 'alert', upTo: -1 },
    { stream: 'nothing', upTo: 1 },
    { stream: '__proto__', upTo: 1 },
  ];
  for (const body of acknowledgements) await fleet.acknowledge('ack.spool', body);

  await t.test('it lives and enforces', async (t) => {
    t.equal((await fleet.ask('status')).length, 1, 'it answers');
    t.equal(site.device.program.pid, pid);
    t.ok(site.device.program.running, 'the same process');
    t.equal(await probe.see(), 'odd');
    const foreign = fleet.answered.filter((part) => part.refusal === undefined && part.id === 'x');
    t.ok(foreign.length <= 1, 'what was no good question got no rows');
  });

  await t.test('a flood of questions is bounded, and over when it is over', async (t) => {
    const before = fleet.answered.length;
    const many = Array.from({ length: 400 }, (_, index) => ({ ...good, id: `flood-${index}` }));
    await Promise.all(many.map((body) => fleet.publish(topics.request, JSON.stringify(queryEnvelope(body)))));
    await waitFor(async () => (await fleet.ask('status')).length === 1, {
      what: 'an answer after the flood',
      withinMs: 30_000,
    });
    const refused = fleet.answered.slice(before).filter((part) => part.refusal?.code === 'query.busy');
    t.comment(`${refused.length} of ${many.length} were answered busy`);
    t.equal(await probe.see(), 'odd');
  });

  await t.test('events still arrive, though more than was sent had been acknowledged', async (t) => {
    const before = fleet.events.length;
    probe.calls();
    const more = () => fleet.events.slice(before).some(({ event }) => event.kind === 'call');
    await t.resolves(waitFor(more, { what: 'a denial', withinMs: 20_000 }));
  });

  await t.test('and a good bundle goes through', async (t) => {
    await fleet.result(await fleet.assign(fleet.bundle(policyText({ port: 7002 }))), 'confirmed');
    t.equal(await probe.see(), 'even');
  });
});

t.test('payloads to the controller', { skip, timeout: 200_000 }, async (t) => {
  const lab = await Lab.open();
  t.teardown(() => lab.close());
  const site = await openSite(lab);
  const { controller, device, id } = site;
  const probe = await ParityProbe.open(site);
  await publishAndSettle(site, { files: [probe.files.odd], trialSeconds: 10 });
  const { pid } = controller.program;
  const enemy = await Enemy.inPlaceOf(site);
  const before = await controller.device(id);

  const up = `husk/${controller.tenant}/d/${id}/up`;
  t.equal(await enemy.publish(`${up}/m`, Buffer.from('{}')), 0, 'an enemy with the key is let in');
  for (const leaf of ['st', 'rep', 'ev', 'm', 'ask', 'rs/controller']) {
    for (const payload of Object.values(garbage)) await enemy.publish(`${up}/${leaf}`, payload);
  }
  await enemy.publish(`${up}/ev`, eventBatch('audit', -1));
  await enemy.publish(`${up}/ev`, eventBatch("alert'; DROP TABLE events; --", 1));
  await enemy.publish(`${up}/ev`, Buffer.alloc(300 * 1024, 0x20));

  await t.test('it lives, and its record of the device is as before', async (t) => {
    t.equal(controller.program.pid, pid);
    t.ok(controller.program.running, 'the same process');
    const after = await controller.device(id);
    t.same(after.reported, before.reported);
    t.equal((await controller.devices()).length, 1);
  });

  await t.test('a device can write nowhere but in its own branch', async (t) => {
    const other = 'b'.repeat(26);
    for (const topic of [
      `husk/${controller.tenant}/d/${other}/up/rep`,
      `husk/${controller.tenant}/d/${id}/dn/des`,
      `husk/${controller.tenant}/b/blob/${'0'.repeat(64)}/0`,
      `husk/other/d/${id}/up/rep`,
      '$SYS/broker/version',
    ]) {
      t.not(await enemy.publish(topic, Buffer.from('{}')), 0, `${topic} is refused`);
    }
    t.not(await enemy.publish(`${up}/rep`, Buffer.from('{}'), ['-i', other]), 0, 'nor under another name');
    t.equal(await enemy.publish(`${up}/m`, Buffer.from('{}')), 0, 'while its own branch stays open to it');
  });

  await t.test('bytes that are no MQTT do not disturb its ports', async (t) => {
    for (const port of [8883, 8884]) {
      for (const bytes of ['GET / HTTP/1.1\\r\\n\\r\\n', '\\x16\\x03\\x01\\xff\\xff', '\\x00'.repeat(3000)]) {
        enemy.throwBytes(port, bytes);
      }
    }
    t.ok(controller.program.running);
  });

  await t.test('the true device comes back and takes a bundle', async (t) => {
    await startAgain(site);
    const result = await publishAndSettle(site, { files: [probe.files.even], trialSeconds: 10 });
    t.equal(result.assignment?.result, 'confirmed');
    t.equal(await probe.see(), 'even');
    t.ok(device.program.running);
    t.equal(controller.program.pid, pid);
  });
});

/** Somebody with the device's key, in its place. */
class Enemy {
  readonly #site: Site;
  readonly #credentials: readonly string[];
  #count = 0;

  private constructor(site: Site, credentials: readonly string[]) {
    this.#site = site;
    this.#credentials = credentials;
  }

  static async inPlaceOf(site: Site): Promise<Enemy> {
    await site.device.kill('SIGKILL');
    const identity = JSON.parse(
      readFileSync(join(site.device.stateDirectory, 'identity/identity.json'), 'utf8'),
    );
    const folder = site.lab.folder('stolen');
    const file = (name: string, text: string): string => {
      const path = join(folder, name);
      writeFileSync(path, text, { mode: 0o600 });
      return path;
    };
    return new Enemy(site, [
      ...['--cafile', file('authority.pem', identity.authority)],
      ...['--cert', file('device.pem', identity.certificate)],
      ...['--key', file('device.key', identity.key)],
    ]);
  }

  /** The exit code of mosquitto_pub; not 0 where the broker closed the connection before it acknowledged. */
  async publish(topic: string, payload: Buffer, more: readonly string[] = []): Promise<number> {
    const { lab, inside, id } = this.#site;
    const path = join(lab.dir, `payload-${this.#count++}`);
    writeFileSync(path, payload);
    const to = ['-h', addresses.controller, '-p', '8883', '-V', 'mqttv311', '-q', '1'];
    const name = more.includes('-i') ? more : ['-i', id, ...more];
    const args = ['mosquitto_pub', ...to, ...this.#credentials, ...name, '-t', topic, '-f', path];
    const enter = [`--net=${inside.path}`, '--', 'timeout', '5'];
    return (await ask('nsenter', [...enter, ...args])).code;
  }

  throwBytes(port: number, bytes: string): void {
    const script = `
      const socket = require('node:net').connect(${port}, '${addresses.controller}', () => socket.end('${bytes}'));
      socket.on('error', () => {});
      socket.setTimeout(300, () => socket.destroy());`;
    this.#site.inside.run(process.execPath, ['-e', script]);
  }
}

function eventBatch(stream: string, seq: number): Buffer {
  const event = { seq, mono: 0, ts: null, tq: 'none', event: { kind: 'audit', what: 'x', detail: {} } };
  const envelope = { v: 1, k: 'ev.batch', sid: 1, boot: '', seq: 1, mono: 0, ts: null, tq: 'none' };
  return Buffer.from(JSON.stringify({ ...envelope, body: { stream, events: [event] } }));
}
