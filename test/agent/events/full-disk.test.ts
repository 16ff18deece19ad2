// Goal: on a disk that is full, read-only or missing the spool keeps what it can in memory, counts what it
// cannot, says so, and recovers by itself.
// Method: real tmpfs mounts of a few hundred KiB, filled and emptied. Needs root to mount.

import { execFileSync } from 'node:child_process';
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { spoolMemoryBytesMaxDefault } from '../../../agent/events/spool.ts';
import { audit, lostIn, numbers, openSpool, packet, readAll, temporaryFolder } from './lab.ts';

const skip = process.getuid?.() === 0 ? false : 'needs root to mount a tmpfs';

/** A tmpfs of that many KiB, unmounted at the end. */
function tinyDisk(t: Test, kib: number): string {
  const mount = join(temporaryFolder(t), 'disk');
  mkdirSync(mount);
  execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${kib}k`, 'husk-events-test', mount]);
  // Teardowns run in reverse, before the folder around it is removed.
  t.teardown(() => execFileSync('umount', ['-l', mount]));
  return mount;
}

/** Takes what room is left. */
function fill(mount: string): string {
  const path = join(mount, 'filler');
  for (let bytes = 1 << 20; bytes >= 1; ) {
    try {
      writeFileSync(path, Buffer.alloc(bytes), { flag: 'a' });
    } catch {
      // As much as fitted is in the file.
      bytes >>= 1;
    }
  }
  return path;
}

t.test('a disk that becomes full', { skip }, async (t) => {
  const mount = tinyDisk(t, 300);
  const folder = join(mount, 'spool');
  const { spool, clock } = openSpool(folder);
  let n = 0;
  const appendAll = (count: number) => {
    for (let i = 0; i < count; i++) spool.append('alert', audit(++n, 100));
  };
  const accounted = () => {
    const events = readAll(spool, 'alert', 0);
    return events.filter(({ event }) => event.kind === 'audit').length + lostIn(events);
  };
  appendAll(100);
  t.equal(spool.status().trouble, null);
  const filler = fill(mount);
  appendAll(100);
  t.equal(spool.status().trouble, 'ENOSPC');
  t.strictSame(
    numbers(readAll(spool, 'alert')),
    Array.from({ length: 200 }, (_, i) => i + 1),
    'all there',
  );

  appendAll(5000);
  t.equal(accounted(), n, 'every event is there or counted');
  const lost = lostIn(readAll(spool, 'alert'));
  t.ok(lost > 1000, `${lost} counted`);
  const kept = readAll(spool, 'alert').filter(({ event }) => event.kind === 'audit');
  t.equal(kept.at(-1)?.event.kind === 'audit' && kept.at(-1)?.seq, n, 'the newest are kept');
  t.equal(kept[0]?.seq, 1, 'and what was on disk before');

  t.test('acknowledging works, and no number is lost by it', async (t) => {
    spool.acknowledge('alert', kept.at(-50)?.seq ?? 0);
    t.strictSame(
      numbers(readAll(spool, 'alert')),
      Array.from({ length: 49 }, (_, i) => n - 48 + i),
    );
  });

  t.test('recovers when there is room again', async (t) => {
    rmSync(filler);
    await clock.advance(1000);
    t.equal(spool.status().trouble, null);
    appendAll(10);
    t.strictSame(
      numbers(readAll(spool, 'alert')),
      Array.from({ length: 59 }, (_, i) => n - 58 + i),
    );
    await spool.close();
    const again = openSpool(folder);
    t.equal(again.spool.found.how, 'clean');
    t.strictSame(
      numbers(readAll(again.spool, 'alert')),
      Array.from({ length: 59 }, (_, i) => n - 58 + i),
    );
    t.equal(again.spool.lastSeq('alert'), spool.lastSeq('alert'));
    await again.spool.close();
  });
});

t.test('a disk that is full again and again, with losses between, stays in order', { skip }, async (t) => {
  const mount = tinyDisk(t, 4096);
  const folder = join(mount, 'spool');
  const { spool, clock } = openSpool(folder);
  let n = 0;
  for (let round = 0; round < 6; round++) {
    for (let i = 0; i < 30; i++) spool.append('alert', audit(++n, 100));
    const filler = fill(mount);
    for (let i = 0; i < 1500; i++) spool.append('alert', audit(++n, 20));
    rmSync(filler);
    await clock.advance(1000);
    spool.append('alert', audit(++n, 100));
    const events = readAll(spool, 'alert', 0);
    const kept = events.filter(({ event }) => event.kind === 'audit');
    if (kept.length + lostIn(events) !== n)
      t.fail(`round ${round}: ${kept.length} + ${lostIn(events)} of ${n}`);
    for (const event of kept) if (event.seq !== numbers([event])[0]) t.fail(`round ${round}: ${event.seq}`);
  }
  const before = readAll(spool, 'alert', 0);
  t.ok(before.filter(({ event }) => event.kind === 'gap').length > 3, 'with gaps in several places');
  await spool.close();
  const again = openSpool(folder);
  const after = readAll(again.spool, 'alert', 0);
  t.strictSame(
    after.map(({ seq }) => seq),
    before.map(({ seq }) => seq),
    'the same numbers after a restart',
  );
  t.strictSame(numbers(after), numbers(before), 'the same events and counts');
  await again.spool.close();
});

t.test(
  'what is in memory when the agent stops on a full disk is counted by the next start',
  { skip },
  async (t) => {
    const mount = tinyDisk(t, 200);
    const folder = join(mount, 'spool');
    const { spool } = openSpool(folder);
    for (let n = 1; n <= 100; n++) spool.append('alert', audit(n, 100));
    fill(mount);
    for (let n = 101; n <= 150; n++) spool.append('alert', audit(n, 100));
    await spool.close();
    const again = openSpool(folder);
    t.equal(again.spool.found.tornBytes, 0, 'half a write was taken back');
    const events = readAll(again.spool, 'alert');
    const kept = events.filter(({ event }) => event.kind === 'audit').length;
    t.ok(kept >= 100 && kept < 150, `${kept} on disk`);
    t.equal(kept + lostIn(events), 150);
    again.spool.append('alert', audit(151));
    t.ok(again.spool.lastSeq('alert') > 150, 'no number is given again');
    await again.spool.close();
  },
);

t.test('what is acknowledged while it is in memory only leaves no hole behind', { skip }, async (t) => {
  const mount = tinyDisk(t, 200);
  const folder = join(mount, 'spool');
  const { spool, clock } = openSpool(folder);
  for (let n = 1; n <= 5; n++) spool.append('alert', audit(n));
  const filler = fill(mount);
  // What is left of the last page is filled by the first of them.
  for (let n = 6; n <= 60; n++) spool.append('alert', audit(n, 100));
  t.equal(spool.status().trouble, 'ENOSPC');
  spool.acknowledge('alert', 55);
  rmSync(filler);
  await clock.advance(1000);
  for (let n = 61; n <= 65; n++) spool.append('alert', audit(n));
  const expected = Array.from({ length: 10 }, (_, i) => 56 + i);
  t.strictSame(numbers(readAll(spool, 'alert')), expected);
  await spool.close();
  const again = openSpool(folder);
  t.strictSame(numbers(readAll(again.spool, 'alert')), expected);
  t.equal(lostIn(again.spool.tail(100)), 0, 'nor in the tail');
  t.equal(again.spool.status().streams.alert.lost, 0);
  await again.spool.close();
});

t.test('a full disk from the start', { skip }, async (t) => {
  const mount = tinyDisk(t, 100);
  const filler = fill(mount);
  const folder = join(mount, 'spool');
  const { spool, clock } = openSpool(folder);
  t.equal(spool.status().trouble, 'ENOSPC');
  for (let n = 1; n <= 50; n++) spool.append('alert', audit(n));
  const events = readAll(spool, 'alert');
  t.strictSame(
    numbers(events),
    Array.from({ length: 50 }, (_, i) => i + 1),
  );
  t.ok((events[0]?.seq ?? 0) >= 1_800_000_000_000, 'numbers from the clock: none is kept on disk');
  rmSync(filler);
  await clock.advance(1000);
  t.equal(spool.status().trouble, null);
  await spool.close();
  const again = openSpool(folder);
  t.strictSame(readAll(again.spool, 'alert'), events);
  again.spool.append('alert', audit(51));
  t.ok(again.spool.lastSeq('alert') > (events.at(-1)?.seq ?? 0));
  await again.spool.close();
});

t.test('a read-only disk: what is on it is read, nothing is written, nothing throws', { skip }, async (t) => {
  const mount = tinyDisk(t, 300);
  const folder = join(mount, 'spool');
  const first = openSpool(folder);
  for (let n = 1; n <= 10; n++) first.spool.append('alert', audit(n));
  await first.spool.close();
  execFileSync('mount', ['-o', 'remount,ro', mount]);

  const one = openSpool(folder);
  t.equal(one.spool.status().trouble, 'EROFS');
  for (let n = 11; n <= 20; n++) one.spool.append('alert', audit(n));
  t.strictSame(
    numbers(readAll(one.spool, 'alert')),
    Array.from({ length: 20 }, (_, i) => i + 1),
  );
  const given = one.spool.lastSeq('alert');
  await one.spool.close();

  const { spool, clock } = openSpool(folder);
  await clock.advance(60_000);
  spool.append('alert', audit(21));
  t.ok(readAll(spool, 'alert', 10)[0]?.seq !== given, 'another start gives other numbers');
  execFileSync('mount', ['-o', 'remount,rw', mount]);
  await clock.advance(120_000);
  t.equal(spool.status().trouble, null, 'writes when it may');
  t.equal(spool.status().streams.alert.lost, 0);
  await spool.close();
});

t.test('no folder can be made: works from memory within its bound', async (t) => {
  const file = join(temporaryFolder(t), 'a-file');
  writeFileSync(file, '');
  const { spool, clock } = openSpool(join(file, 'spool'));
  t.equal(spool.status().trouble, 'ENOTDIR');
  const count = 20_000;
  for (let n = 1; n <= count; n++) {
    spool.append('alert', audit(n, 50));
    spool.append('packet', packet(n));
  }
  for (const stream of ['alert', 'packet'] as const) {
    const events = readAll(spool, stream);
    const kept = events.filter(({ event }) => event.kind !== 'gap');
    t.equal(kept.length + lostIn(events), count, `${stream}: every event is there or counted`);
    t.ok(
      Buffer.byteLength(JSON.stringify(kept)) < spoolMemoryBytesMaxDefault,
      `${stream}: ${kept.length} kept`,
    );
    t.equal(spool.status().streams[stream].lost, lostIn(events));
  }
  await clock.advance(10_000);
  t.equal(spool.status().bytes, 0);
  await spool.close();
});
