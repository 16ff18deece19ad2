// Goal: a trial that does not end well is over for good: it is returned by itself and never tried again, not
// after a crash and not after a reboot, and what was confirmed comes back before any connection.
// Method: policies that cut the device off in the ways that fool a careless check, and a device that is killed
// or rebooted in its trial; each watched by packets and calls and by what the device reports.

import t from 'tap';
import { executablesMissing } from '../lab/executables.ts';
import { Lab, labMissing } from '../lab/lab.ts';
import { openSite, publishAndSettle, type Site, serialKnown, settled, startAgain } from '../lab/site.ts';
import { waitFor } from '../lab/wait-for.ts';
import { ParityProbe, writePolicy } from './parity.ts';

// One file is one process; `node FILE` would give it half a minute.
t.setTimeout(300_000);
const skip = labMissing() || executablesMissing();
const trialSeconds = 4;

/** Every way here leaves something working that a check might take for reachability. */
const cutOffs: Readonly<Record<string, { ingress?: string[]; egress?: string[] }>> = {
  'nothing from the controller comes in': {
    ingress: ['{ id: cut, from: 198.51.100.1, action: drop }'],
  },
  'what is connected goes on, nothing new is opened': {
    egress: ['{ id: cut, protocol: tcp, tcpFlags: { set: [syn], unset: [ack] }, action: drop }'],
  },
  'the answer to a new connection is dropped': {
    ingress: ['{ id: cut, protocol: tcp, tcpFlags: { set: [syn, ack] }, action: drop }'],
  },
  'the broker port alone is closed': {
    egress: ['{ id: cut, protocol: tcp, ports: { to: 8883 }, action: drop }'],
  },
};

t.test('trials', { skip, timeout: 290_000 }, async (t) => {
  const lab = await Lab.open();
  t.teardown(() => lab.close());
  // As it usually is, no policy could keep replies of the controller out.
  const site = await openSite(lab, { device: { config: { neverDrop: { replies: [] } } } });
  const probe = await ParityProbe.open(site);
  const first = await publishAndSettle(site, { files: [probe.files.odd], trialSeconds });
  t.equal(first.assignment?.result, 'confirmed');
  const cut = writePolicy(lab, 'cut', { port: 7002, ...cutOffs['nothing from the controller comes in'] });

  for (const [what, rules] of Object.entries(cutOffs)) {
    await t.test(`returned: ${what}`, async (t) => {
      const file = writePolicy(lab, 'cut', { port: 7002, ...rules });
      const result = await publishAndSettle(site, { files: [file], trialSeconds });
      t.equal(result.assignment?.result, 'returned');
      t.equal(result.assignment?.reason, 'no-confirmation');
      t.equal(result.inForce?.digest, first.inForce?.digest, 'what was before is in force');
      t.equal(await probe.see(), 'odd');
    });
  }

  await t.test(
    'a returned serial is not tried again, though the broker says it at each connection',
    async (t) => {
      await startAgain(site);
      await staysOdd(probe);
      t.pass('after a restart');
      await site.device.kill('SIGTERM');
      site.device.reboot();
      t.equal(await probe.see(), 'open', 'a boot: the kernel is empty');
      await startAgain(site);
      await staysOdd(probe);
      t.pass('nor after a reboot, which brings back what was confirmed');
      const { reported } = await site.controller.device(site.id);
      t.equal(reported?.assignment?.result, 'returned');
      t.equal(reported?.inForce?.digest, first.inForce?.digest);
    },
  );

  await t.test('what was confirmed is in force before any connection', async (t) => {
    await site.device.kill('SIGTERM');
    site.device.reboot();
    await site.controller.stop();
    site.device.start();
    const seen = waitFor(async () => (await probe.packets()) === 'odd', {
      what: 'the bundle on the disk to be in force',
      withinMs: 15_000,
    });
    await t.resolves(seen, 'with no controller to ask');
    await site.controller.serve();
    await up(site);
  });

  await t.test('a reboot in the trial is the end of it', async (t) => {
    const serial = await beginTrial(site, probe, cut, trialSeconds);
    await site.device.kill('SIGKILL');
    site.device.reboot();
    site.device.start();
    const after = await settled(site, serial, 30_000);
    t.equal(after.assignment?.result, 'returned');
    t.equal(after.assignment?.reason, 'device-rebooted');
    await staysOdd(probe);
    t.equal(await probe.see(), 'odd');
  });

  await t.test(
    'a crash in the trial is the end of it at the next start, whatever the deadline',
    async (t) => {
      const serial = await beginTrial(site, probe, cut, 50);
      await site.device.kill('SIGKILL');
      t.equal(await probe.packets(), 'even', 'the trial goes on without the agent');
      site.device.start();
      const after = await settled(site, serial, 30_000);
      t.equal(after.assignment?.result, 'returned');
      t.equal(after.assignment?.reason, 'agent-restarted');
      await staysOdd(probe);
      t.equal(await probe.see(), 'odd');
    },
  );

  await t.test('and a fresh serial goes through', async (t) => {
    const result = await publishAndSettle(site, { files: [probe.files.even], trialSeconds });
    t.equal(result.assignment?.result, 'confirmed');
    t.equal(await probe.see(), 'even');
  });
});

/** Publishes a policy that cannot be confirmed and waits until its trial has begun. */
async function beginTrial(
  site: Site,
  probe: ParityProbe,
  file: string,
  trialSeconds: number,
): Promise<number> {
  const serial = (await serialKnown(site)) + 1;
  const said = await site.controller.publish({ files: [file], trialSeconds });
  if (said.code !== 0) throw new Error(said.complaint);
  await waitFor(async () => (await probe.packets()) === 'even', {
    what: 'the trial to begin',
    withinMs: 20_000,
  });
  return serial;
}

/** Looks again and again, for longer than a bundle at hand takes to be tried. */
async function staysOdd(probe: ParityProbe): Promise<void> {
  const until = performance.now() + 4000;
  while (performance.now() < until) {
    const seen = await probe.packets();
    if (seen !== 'odd') throw new Error(`it was tried again: ${seen}`);
  }
}

async function up(site: Site): Promise<void> {
  await waitFor(async () => (await site.controller.device(site.id)).state === 'up', {
    what: 'the device to be connected',
    withinMs: 30_000,
    everyMs: 200,
  });
}
