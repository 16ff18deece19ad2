// Goal: the spool keeps its promises of numbers, acknowledgement, limit and order on a disk that works.
// Method: real files in temporary folders, reopened again and again; the clock stands still. Damage, full
// disks and crashes have tests of their own beside this one.

import { existsSync, mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { batchBytesMax, batchEventsMax } from '../../../agent/contract/limits.ts';
import { audit, bootA, bootB, lostIn, numbers, openSpool, packet, readAll, spoolFolder } from './lab.ts';

t.test('gives back what was put in, numbered from one, with its time', async (t) => {
  const { spool } = openSpool(spoolFolder(t));
  spool.append('audit', audit(1));
  spool.append('audit', audit(2), 4000);
  t.strictSame(spool.nextBatch('audit', 0), {
    stream: 'audit',
    events: [
      { seq: 1, mono: 5000, ts: 1_800_000_000_000, tq: 'ntp', event: audit(1) },
      { seq: 2, mono: 4000, ts: 1_799_999_999_000, tq: 'ntp', event: audit(2) },
    ],
  });
  t.equal(spool.nextBatch('alert', 0), null, 'streams have numbers of their own');
  t.strictSame(numbers(readAll(spool, 'audit', 1)), [2]);
  await spool.close();
});

t.test('an event from the future happened now', async (t) => {
  const { spool } = openSpool(spoolFolder(t));
  spool.append('audit', audit(1), 9e12);
  t.match(spool.nextBatch('audit', 0), { events: [{ mono: 5000, ts: 1_800_000_000_000 }] });
  await spool.close();
});

t.test(
  'goes on after a close as if it had not been closed, and says of which boot an event is',
  async (t) => {
    const folder = spoolFolder(t);
    const first = openSpool(folder);
    for (let n = 1; n <= 3; n++) first.spool.append('audit', audit(n));
    await first.spool.close();

    const { spool } = openSpool(folder, { bootId: bootB });
    t.equal(spool.found.how, 'clean');
    spool.append('audit', audit(4));
    const events = readAll(spool, 'audit');
    t.strictSame(
      events.map((event) => event.seq),
      [1, 2, 3, 4],
    );
    t.strictSame(numbers(events), [1, 2, 3, 4]);
    t.strictSame(
      events.map((event) => event.boot),
      [bootA, bootA, bootA, undefined],
    );
    await spool.close();
  },
);

t.test('numbers go on where everything was acknowledged and removed', async (t) => {
  const folder = spoolFolder(t);
  const first = openSpool(folder);
  for (let n = 1; n <= 3; n++) first.spool.append('audit', audit(n));
  first.spool.acknowledge('audit', 3);
  await first.spool.close();
  const second = openSpool(folder);
  await second.clock.advance(2000);
  await second.spool.close();

  const { spool } = openSpool(folder);
  t.equal(readdirSync(folder).filter((name) => name.endsWith('.spool')).length, 0, 'the file is gone');
  spool.append('audit', audit(4));
  t.strictSame(
    readAll(spool, 'audit').map((event) => event.seq),
    [4],
  );
  await spool.close();
});

t.test('numbers jump, and are not given again, where the spool was not closed', async (t) => {
  const folder = spoolFolder(t);
  const first = openSpool(folder);
  for (let n = 1; n <= 3; n++) first.spool.append('audit', audit(n));
  // Not closed: what the files hold is what a crash would leave.
  const { spool } = openSpool(folder);
  t.equal(spool.found.how, 'crashed');
  spool.append('audit', audit(4));
  const events = readAll(spool, 'audit');
  t.strictSame(numbers(events), [1, 2, 3, 4], 'nothing is lost, and a jump is no gap');
  t.ok((events[3]?.seq ?? 0) > 3 + 2 ** 20, 'past all that can have been published');
  await spool.close();
  await first.spool.close();
});

t.test('an acknowledged event is not sent again after a restart', async (t) => {
  const folder = spoolFolder(t);
  const first = openSpool(folder);
  for (let n = 1; n <= 5; n++) first.spool.append('alert', audit(n));
  first.spool.acknowledge('alert', 3);
  t.strictSame(numbers(readAll(first.spool, 'alert')), [4, 5]);
  await first.clock.advance(1000);
  // The marks were written by the clock's tick, without a close.
  const { spool } = openSpool(folder);
  t.strictSame(numbers(readAll(spool, 'alert')), [4, 5]);
  await spool.close();
  await first.spool.close();
});

t.test('an acknowledgement of numbers that were never given takes nothing that comes later', async (t) => {
  const { spool } = openSpool(spoolFolder(t));
  spool.append('audit', audit(1));
  spool.acknowledge('audit', Number.MAX_SAFE_INTEGER);
  spool.append('audit', audit(2));
  t.strictSame(numbers(readAll(spool, 'audit')), [2]);
  spool.acknowledge('audit', -5);
  spool.acknowledge('audit', Number.NaN);
  t.strictSame(numbers(readAll(spool, 'audit')), [2]);
  await spool.close();
});

t.test('acknowledged segments are removed, but only once the marks say so', async (t) => {
  const folder = spoolFolder(t);
  const { spool, clock } = openSpool(folder, { bytesMax: 256 * 1024 });
  for (let n = 1; n <= 300; n++) spool.append('audit', audit(n, 100));
  const files = () => readdirSync(folder).filter((name) => name.startsWith('audit-')).length;
  const before = files();
  t.ok(before > 3, `${before} segments`);
  spool.acknowledge('audit', 300);
  t.equal(files(), before, 'not in the same turn');
  await clock.advance(1000);
  for (let tries = 0; files() > 1 && tries < 100; tries++)
    await new Promise((resolve) => setTimeout(resolve, 10));
  t.equal(files(), 1, 'only the one that is written to');
  t.strictSame(readAll(spool, 'audit'), []);
  t.equal(spool.status().streams.audit.pending, 0);
  await spool.close();
});

t.test('at the limit the oldest go, and a gap with their count stands where they stood', async (t) => {
  const folder = spoolFolder(t);
  const bytesMax = 256 * 1024;
  const { spool } = openSpool(folder, { bytesMax });
  const count = 3000;
  for (let n = 1; n <= count; n++) spool.append('audit', audit(n, 100));
  const events = readAll(spool, 'audit');
  const [gap, ...kept] = events;
  t.equal(gap?.event.kind, 'gap');
  t.equal(lostIn(events) + kept.length, count, 'every event is there or counted');
  t.strictSame(
    numbers(kept),
    Array.from({ length: kept.length }, (_, i) => count - kept.length + 1 + i),
  );
  t.equal(gap?.seq, count - kept.length, 'the gap has the number of the last event that is gone');
  t.equal(spool.status().streams.audit.lost, lostIn(events));
  t.ok(spool.status().streams.audit.bytes <= bytesMax * 0.4, 'within the share of the stream');
  t.ok(kept.length > 200, `${kept.length} kept`);

  t.test('other streams are not touched', async (t) => {
    spool.append('packet', packet(1));
    spool.append('alert', audit(1));
    t.equal(lostIn(readAll(spool, 'alert')) + lostIn(readAll(spool, 'packet')), 0);
  });

  t.test('a gap that was handed out does not grow: what is lost later is a gap of its own', async (t) => {
    for (let n = count + 1; n <= count + 500; n++) spool.append('audit', audit(n, 100));
    const later = readAll(spool, 'audit');
    t.strictSame(later[0], gap);
    t.equal(later[1]?.event.kind, 'gap');
    t.equal(lostIn(later) + later.filter(({ event }) => event.kind !== 'gap').length, count + 500);

    spool.acknowledge('audit', gap?.seq ?? 0);
    t.strictSame(readAll(spool, 'audit'), later.slice(1), 'acknowledged like any event');
  });

  t.test('all of it survives a restart', async (t) => {
    const before = readAll(spool, 'audit');
    await spool.close();
    const again = openSpool(folder, { bytesMax });
    t.strictSame(numbers(readAll(again.spool, 'audit')), numbers(before));
    t.equal(again.spool.status().streams.audit.lost, lostIn(before) + -(numbers([gap as never])[0] ?? 0));
    await again.spool.close();
  });
});

t.test('what a recorded gap counts outlives the gap', async (t) => {
  const { spool } = openSpool(spoolFolder(t), { bytesMax: 256 * 1024 });
  spool.append('audit', { kind: 'gap', lost: 1000, where: 'ring' });
  spool.append('audit', { kind: 'gap', lost: 50, where: 'ring' });
  const count = 3000;
  for (let n = 1; n <= count; n++) spool.append('audit', audit(n, 100));
  const events = readAll(spool, 'audit');
  const of = (where: string) =>
    events.reduce(
      (sum, { event }) => sum + (event.kind === 'gap' && event.where === where ? event.lost : 0),
      0,
    );
  t.equal(of('ring'), 1050);
  t.equal(of('spool') + events.filter(({ event }) => event.kind === 'audit').length, count);
  await spool.close();
});

t.test('a batch is within what one message may carry', async (t) => {
  const { spool } = openSpool(spoolFolder(t));
  for (let n = 1; n <= 1200; n++) spool.append('audit', audit(n, n % 3 === 0 ? 2000 : 10));
  let after = 0;
  const sizes: number[] = [];
  for (let batch = spool.nextBatch('audit', 0); batch !== null; batch = spool.nextBatch('audit', after)) {
    const bytes = Buffer.byteLength(JSON.stringify(batch));
    if (batch.events.length > batchEventsMax || bytes > batchBytesMax - 1024)
      t.fail(`${batch.events.length}, ${bytes}`);
    sizes.push(batch.events.length);
    after = batch.events.at(-1)?.seq ?? Number.NaN;
  }
  t.equal(
    sizes.reduce((sum, size) => sum + size, 0),
    1200,
  );
  t.ok(sizes.length > 3, `${sizes}`);

  for (let n = 1; n <= 1200; n++) spool.append('alert', audit(n));
  t.equal(spool.nextBatch('alert', 0)?.events.length, batchEventsMax);
  await spool.close();
});

t.test('an event that no batch could carry is counted, not kept', async (t) => {
  const { spool } = openSpool(spoolFolder(t));
  spool.append('audit', audit(1, 20_000));
  spool.append('audit', audit(2));
  t.match(
    readAll(spool, 'audit').map(({ event }) => event),
    [
      { kind: 'gap', lost: 1, where: 'spool' },
      { kind: 'audit', detail: { n: 2 } },
    ],
  );
  await spool.close();
});

t.test('the tail is the newest events of all streams by time, acknowledged or not', async (t) => {
  const { spool, clock } = openSpool(spoolFolder(t));
  spool.append('audit', audit(1));
  await clock.advance(10);
  spool.append('packet', packet(1));
  await clock.advance(10);
  spool.append('audit', audit(2));
  spool.acknowledge('audit', 2);
  t.match(spool.tail(2), [
    { stream: 'packet', seq: 1 },
    { stream: 'audit', seq: 2 },
  ]);
  t.equal(spool.tail(50).length, 3);
  for (let n = 3; n <= 3000; n++) spool.append('audit', audit(n, 100));
  t.strictSame(
    numbers(spool.tail(1000)),
    Array.from({ length: 1000 }, (_, i) => 2001 + i),
  );
  await spool.close();
});

t.test('keeps what was told of the kernel totals within a boot', async (t) => {
  const folder = spoolFolder(t);
  const first = openSpool(folder);
  first.spool.remember({ CALL_EVENTS_LOST: '17' });
  const same = openSpool(folder);
  t.strictSame(same.spool.told, { CALL_EVENTS_LOST: '17' });
  const other = openSpool(folder, { bootId: bootB });
  t.strictSame(other.spool.told, {}, 'counters start again with the kernel');
  for (const { spool } of [first, same, other]) await spool.close();
});

t.test('makes its folder, and leaves other files in it alone', async (t) => {
  const folder = join(spoolFolder(t), 'not', 'there');
  const first = openSpool(folder);
  first.spool.append('audit', audit(1));
  await first.spool.close();
  t.ok(existsSync(join(folder, 'marks')));
  writeFileSync(join(folder, 'notes.txt'), 'mine');
  mkdirSync(join(folder, 'alert-0000000000000009.spool'));
  const { spool } = openSpool(folder);
  t.strictSame(numbers(readAll(spool, 'audit')), [1]);
  t.ok(existsSync(join(folder, 'notes.txt')));
  await spool.close();
});

t.test('closing twice is harmless, and what is appended afterwards does not throw', async (t) => {
  const { spool } = openSpool(spoolFolder(t));
  await spool.close();
  await spool.close();
  spool.append('audit', audit(1));
  t.strictSame(numbers(readAll(spool, 'audit')), [1], 'in memory');
});

t.test('a folder that goes away under it is made again', async (t) => {
  const folder = spoolFolder(t);
  const { spool, clock } = openSpool(folder);
  spool.append('audit', audit(1));
  rmSync(folder, { recursive: true });
  // The open segment is a file without a name now; the next one needs the folder.
  for (let n = 2; n <= 5000; n++) spool.append('audit', audit(n, 100));
  await clock.advance(1000);
  const events = readAll(spool, 'audit');
  t.equal(lostIn(events) + events.filter(({ event }) => event.kind === 'audit').length, 5000);
  t.equal(spool.status().trouble, null);
  await spool.close();
});
