// Goal: nothing is lost when the broker is away for a while, as long as the spool holds it; what did not fit is
// counted; and a disk that is full stops neither the agent nor the enforcement.
// Method: the controller is stopped while packets are dropped and calls denied, and started again: numbers of
// the streams must be without holes. Then a device whose state lies on a file system that is filled up.

import { rmSync, statfsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import type { Stream } from '../../agent/contract/event.ts';
import { type SpoolStatus, spoolBytesLeast } from '../../agent/events/spool.ts';
import { executablesMissing } from '../lab/executables.ts';
import { Lab, labMissing } from '../lab/lab.ts';
import { openSite, publishAndSettle, type Site } from '../lab/site.ts';
import { waitFor } from '../lab/wait-for.ts';
import { ParityProbe } from './parity.ts';

// One file is one process; `node FILE` would give it half a minute.
t.setTimeout(300_000);
const skip = labMissing() || executablesMissing();
const trialSeconds = 5;

t.test('the controller is away for a while', { skip, timeout: 200_000 }, async (t) => {
  const lab = await Lab.open();
  t.teardown(() => lab.close());
  const site = await openSite(lab);
  const probe = await ParityProbe.open(site);
  await publishAndSettle(site, { files: [probe.files.odd], trialSeconds });
  const denied = async () =>
    (await site.controller.eventsOf(site.id, 'call')).reduce((sum, one) => sum + one.count, 0);

  await site.controller.stop('SIGKILL');
  const tries = 12;
  for (let count = 0; count < tries; count++) probe.calls();
  t.equal(await probe.see(), 'odd', 'what was confirmed stays in force');
  await site.controller.serve();
  // By `see` there was one more.
  const wanted = tries + 1;
  await t.resolves(
    waitFor(async () => (await denied()) >= wanted, {
      what: `${wanted} denials to arrive`,
      withinMs: 60_000,
      everyMs: 500,
    }),
    'every denial of the outage arrives',
  );
  t.equal(await denied(), wanted, 'each once');
  for (const stream of ['audit', 'alert'] as const)
    t.same(await holes(site, stream), [], `${stream} has no holes`);
  const gaps = (await site.controller.events(site.id, 'alert')).filter((row) => row.event.kind === 'gap');
  t.same(gaps, [], 'and no gap is told of');
});

t.test('more happens in an outage than the spool holds', { skip, timeout: 200_000 }, async (t) => {
  const lab = await Lab.open();
  t.teardown(() => lab.close());
  const site = await openSite(lab, { device: { config: { spool: { bytesMax: spoolBytesLeast } } } });
  const probe = await ParityProbe.open(site);
  await publishAndSettle(site, { files: [probe.files.odd], trialSeconds });
  await site.controller.stop();
  const tries = 600;
  denyMany(site, tries);
  const status = (await site.device.json(['query', 'status'])) as { readonly spool: SpoolStatus };
  const held = status.spool.bytes;
  t.ok(held > 0 && held <= spoolBytesLeast, `the spool holds ${held} of at most ${spoolBytesLeast} bytes`);
  await site.controller.serve();
  const seen = await waitFor(
    async () => {
      const rows = await site.controller.events(site.id, 'alert');
      const told = rows.flatMap(({ event }) => (event.kind === 'call' ? [event.count] : []));
      const lost = rows.flatMap(({ event }) =>
        event.kind === 'gap' && event.where === 'spool' ? [event.lost] : [],
      );
      const sum = (all: readonly number[]) => all.reduce((a, b) => a + b, 0);
      return told.includes(1) && sum(told) + sum(lost) >= tries && { told: sum(told), lost: sum(lost) };
    },
    { what: 'what was kept and what was lost to add up', withinMs: 60_000, everyMs: 500 },
  );
  t.comment(JSON.stringify(seen));
  t.ok(seen.told > 0 && seen.lost > 0, 'some is kept, the rest is counted');
  t.equal(seen.told + seen.lost, tries, 'each once');
});

t.test('the disk is full', { skip, timeout: 200_000 }, async (t) => {
  const lab = await Lab.open();
  t.teardown(() => lab.close());
  const disk = lab.smallDisk(2 << 20);
  const site = await openSite(lab, { device: { stateDirectory: disk } });
  const probe = await ParityProbe.open(site);
  await publishAndSettle(site, { files: [probe.files.odd], trialSeconds });

  const ballast = join(disk, 'ballast');
  fill(disk, ballast);
  const refused = await publishAndSettle(site, { files: [probe.files.even], trialSeconds });
  t.equal(refused.assignment?.result, 'refused', 'a bundle that cannot be stored is refused');
  t.equal(refused.assignment?.refusal?.code, 'bundle.storage');
  t.equal(await probe.see(), 'odd', 'and what was in force is in force');
  probe.calls();
  t.ok(site.device.program.running, 'the agent lives');

  await site.device.kill('SIGKILL');
  t.equal(await probe.see(), 'odd');
  site.device.start();
  const up = async () => (await site.controller.device(site.id)).state === 'up';
  await t.resolves(waitFor(up, { what: 'it to start on a full disk', withinMs: 30_000, everyMs: 200 }));
  t.equal(await probe.see(), 'odd');

  rmSync(ballast);
  const after = await publishAndSettle(site, { files: [probe.files.even], trialSeconds });
  t.equal(after.assignment?.result, 'confirmed', 'with room again, the next goes through');
  t.equal(await probe.see(), 'even');
});

/** Numbers of a stream that are missing up to its last. The agent lives through it all, so it leaps over none. */
async function holes(site: Site, stream: Stream): Promise<string[]> {
  const rows = (await site.controller.events(site.id, stream)).toSorted((a, b) => a.seq - b.seq);
  let last = 0;
  return rows.flatMap(({ seq }) => {
    const missing = seq - last - 1;
    last = seq;
    return missing > 0 ? [`${missing} before ${seq}`] : [];
  });
}

/** Denied sends to many addresses, so that they cannot be added up to one event. */
function denyMany(site: Site, count: number): void {
  const script = `
    const socket = require('node:dgram').createSocket('udp4');
    (function next(index) {
      if (index === ${count}) return socket.close();
      const to = '198.51.' + (index >> 8) + '.' + (index & 255);
      socket.send('x', 7001, to, () => setTimeout(next, 5, index + 1));
    })(0);`;
  const cgroup = site.device.serviceCgroup('service');
  const enter = 'echo 0 >"$1/cgroup.procs" && shift && exec "$@"';
  site.inside.run('/bin/sh', ['-c', enter, 'sh', cgroup, process.execPath, '-e', script]);
}

function fill(disk: string, ballast: string): void {
  const { bavail, bsize } = statfsSync(disk);
  writeFileSync(ballast, Buffer.alloc(bavail * bsize - 2 * bsize));
  for (let size = 4096; size > 0; size = Math.floor(size / 2)) {
    try {
      writeFileSync(ballast, Buffer.alloc(size), { flag: 'a' });
    } catch {
      // ENOSPC is what we are after
    }
  }
}
