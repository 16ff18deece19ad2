// Goal: whatever happened to the bytes on disk, opening never throws, nothing is given out that was not put
// in, no number is given twice, and what is gone is a gap.
// Method: property tests over a real spool folder whose files are cut, overwritten, shuffled, doubled and
// removed at random places; every event carries a checkable content.

import {
  appendFileSync,
  copyFileSync,
  readdirSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import t, { type Test } from 'tap';
import type { SpooledEvent } from '../../../agent/contract/event.ts';
import { Segment } from '../../../agent/events/segment.ts';
import { audit, lostIn, numbers, openSpool, readAll, spoolFolder } from './lab.ts';

/** Files small enough that there are several, so that there is a middle. */
const bytesMax = 256 * 1024;

/** A closed spool with `count` audit events, numbered as their content says. */
async function written(t: Test, count: number): Promise<string> {
  const folder = spoolFolder(t);
  const { spool } = openSpool(folder, { bytesMax });
  for (let n = 1; n <= count; n++) spool.append('audit', audit(n, 100));
  await spool.close();
  return folder;
}

function segmentFiles(folder: string): string[] {
  return readdirSync(folder)
    .filter((name) => name.endsWith('.spool'))
    .sort()
    .map((name) => join(folder, name));
}

function overwrite(path: string, at: number, bytes: Uint8Array): void {
  const content = readFileSync(path);
  content.set(bytes.subarray(0, Math.max(0, content.length - at)), Math.min(at, content.length));
  writeFileSync(path, content);
}

/** Every event is one that was put in, under its own number, and numbers only grow. */
function assertHonest(events: readonly SpooledEvent[], count: number): void {
  let last = 0;
  for (const { seq, event } of events) {
    if (!(seq > last)) throw new Error(`number ${seq} after ${last}`);
    last = seq;
    if (event.kind === 'gap') continue;
    if (event.kind !== 'audit') throw new Error(`kind ${event.kind}`);
    const { n, padding } = event.detail;
    if (n !== seq || seq > count || padding !== 'x'.repeat(100))
      throw new Error(`event ${JSON.stringify(event)}`);
  }
}

t.test('a torn tail is cut off and counted, and writing goes on behind it', async (t) => {
  for (const cut of [1, 10, 23, 24, 150]) {
    const folder = await written(t, 20);
    const [file = ''] = segmentFiles(folder);
    truncateSync(file, readFileSync(file).length - cut);
    const { spool } = openSpool(folder, { bytesMax });
    t.ok(spool.found.tornBytes > 0, `cut ${cut}: ${spool.found.tornBytes} torn bytes`);
    spool.append('audit', audit(21));
    const events = readAll(spool, 'audit');
    t.strictSame(numbers(events), [...Array.from({ length: 19 }, (_, i) => i + 1), -1, 21]);
    await spool.close();
    const again = openSpool(folder, { bytesMax });
    t.strictSame(numbers(readAll(again.spool, 'audit')), numbers(events), 'the same after another start');
    t.equal(again.spool.found.tornBytes, 0);
    await again.spool.close();
  }
});

t.test('a damaged record in the middle is a hole with its count, and what follows is read', async (t) => {
  const folder = await written(t, 50);
  const [file = ''] = segmentFiles(folder);
  const bytes = readFileSync(file);
  const tenth = bytes.indexOf('"n":10,');
  const twentieth = bytes.indexOf('"n":20,');
  overwrite(file, tenth, Buffer.from('"n":99,'));
  // Its head with its length goes, too: the next record is found by its magic.
  overwrite(file, twentieth - 120, Buffer.alloc(250, 0xff));
  const { spool } = openSpool(folder, { bytesMax });
  const read = numbers(readAll(spool, 'audit'));
  t.same(read.slice(0, 12), [1, 2, 3, 4, 5, 6, 7, 8, 9, -1, 11, 12]);
  t.equal(
    lostIn(readAll(spool, 'audit')) + read.filter((n) => n > 0).length,
    50,
    'every event is there or counted',
  );
  t.notOk(read.includes(99) || read.includes(10));
  t.equal(read.at(-1), 50);
  await spool.close();
});

t.test('damage that comes after the start is found when it is read', async (t) => {
  const folder = await written(t, 50);
  const { spool } = openSpool(folder, { bytesMax });
  const [file = ''] = segmentFiles(folder);
  overwrite(file, readFileSync(file).indexOf('"n":15,'), Buffer.from('"n":16,'));
  const read = readAll(spool, 'audit');
  t.strictSame(numbers(read)[14], -1);
  t.equal(lostIn(read), 1);
  rmSync(file);
  t.strictSame(numbers(readAll(spool, 'audit')).slice(0, 2), [-27, 28], 'a file that is gone is one gap');
  await spool.close();
});

t.test('a missing segment in the middle is a gap with the exact count', async (t) => {
  const folder = await written(t, 300);
  const files = segmentFiles(folder);
  t.ok(files.length >= 4, `${files.length} files`);
  const second = Segment.find(folder, (files[1] ?? '').slice(folder.length + 1));
  rmSync(files[1] ?? '');
  const { spool } = openSpool(folder, { bytesMax });
  const read = readAll(spool, 'audit');
  assertHonest(read, 300);
  t.equal(lostIn(read), (second?.segment.lastSeq ?? 0) - (second?.segment.firstSeq ?? 0) + 1);
  t.equal(lostIn(read) + read.filter(({ event }) => event.kind === 'audit').length, 300);
  await spool.close();
});

t.test('the newest segments missing: their numbers are not given again, and they are counted', async (t) => {
  const folder = await written(t, 300);
  const files = segmentFiles(folder);
  for (const file of files.slice(-2)) rmSync(file);
  const { spool } = openSpool(folder, { bytesMax });
  spool.append('audit', audit(301));
  const read = readAll(spool, 'audit');
  t.ok((read.at(-1)?.seq ?? 0) > 300);
  t.equal(lostIn(read) + read.filter(({ event }) => event.kind === 'audit').length, 301);
  await spool.close();
});

t.test('without marks everything is sent again and no number is given again', async (t) => {
  for (const spoil of ['remove', 'overwrite'] as const) {
    const folder = await written(t, 100);
    if (spoil === 'remove') rmSync(join(folder, 'marks'));
    else writeFileSync(join(folder, 'marks'), Buffer.alloc(16384, 7));
    const { spool } = openSpool(folder, { bytesMax });
    t.equal(spool.found.how, 'damaged');
    spool.append('audit', audit(101));
    const read = readAll(spool, 'audit');
    t.strictSame(
      numbers(read),
      Array.from({ length: 101 }, (_, i) => i + 1),
    );
    t.ok((read.at(-1)?.seq ?? 0) > 100 + 2 ** 20);
    await spool.close();
  }
});

t.test(
  'without marks and without segments numbers come from the clock, above all that were given',
  async (t) => {
    const folder = await written(t, 100);
    for (const file of segmentFiles(folder)) rmSync(file);
    writeFileSync(join(folder, 'marks'), Buffer.alloc(16384, 7));
    const { spool } = openSpool(folder, { bytesMax });
    spool.append('audit', audit(101));
    t.ok((readAll(spool, 'audit')[0]?.seq ?? 0) >= 1_800_000_000_000);
    await spool.close();
  },
);

t.test('one half of the marks torn: the other half holds', async (t) => {
  for (const half of [0, 1]) {
    const folder = await written(t, 10);
    overwrite(join(folder, 'marks'), half * 8192 + 5, Buffer.from('torn'));
    const { spool } = openSpool(folder, { bytesMax });
    t.not(spool.found.how, 'damaged');
    spool.append('audit', audit(11));
    const read = readAll(spool, 'audit');
    assertHonest(read.slice(0, 10), 10);
    t.ok((read.at(-1)?.seq ?? 0) > 10);
    await spool.close();
  }
});

t.test('records of one segment put into another are not taken for its own', async (t) => {
  const folder = await written(t, 300);
  const files = segmentFiles(folder);
  const from = readFileSync(files[2] ?? '');
  appendFileSync(files[0] ?? '', from.subarray(68));
  overwrite(files[1] ?? '', 68, from.subarray(68, 2068));
  const { spool } = openSpool(folder, { bytesMax });
  const read = readAll(spool, 'audit');
  assertHonest(read, 300);
  t.equal(lostIn(read) + read.filter(({ event }) => event.kind === 'audit').length, 300);
  await spool.close();
});

t.test('text that looks like records inside an event is not taken for one', async (t) => {
  const folder = spoolFolder(t);
  const first = openSpool(folder);
  first.spool.append('audit', audit(1));
  await first.spool.close();
  const record = readFileSync(segmentFiles(folder)[0] ?? '')
    .subarray(68)
    .toString('latin1');
  const second = openSpool(folder);
  second.spool.append('audit', { kind: 'audit', what: 'x', detail: { n: 2, padding: record } });
  second.spool.append('audit', audit(3));
  await second.spool.close();
  // The head of the record that carries the forgery is spoiled, so that the reader has to search.
  const last = segmentFiles(folder).at(-1) ?? '';
  overwrite(last, 68, Buffer.alloc(8, 0xff));
  const { spool } = openSpool(folder);
  t.strictSame(numbers(readAll(spool, 'audit')), [1, -1, 3]);
  await spool.close();
});

t.test('whatever is done to the files', async (t) => {
  const count = 200;
  const place = fc.record({ file: fc.nat(), at: fc.double({ min: 0, max: 1, noNaN: true }) });
  const damage = fc.oneof(
    fc.record({ what: fc.constant('flip' as const), place, bit: fc.nat(7) }),
    fc.record({ what: fc.constant('overwrite' as const), place, bytes: fc.uint8Array({ maxLength: 600 }) }),
    fc.record({ what: fc.constant('zero' as const), place, length: fc.nat(5000) }),
    fc.record({ what: fc.constant('cut' as const), place }),
    fc.record({ what: fc.constant('append' as const), place, bytes: fc.uint8Array({ maxLength: 600 }) }),
    fc.record({
      what: fc.constant('copy within' as const),
      place,
      from: fc.double({ min: 0, max: 1, noNaN: true }),
      length: fc.nat(3000),
    }),
    fc.record({ what: fc.constant('remove' as const), place }),
    fc.record({ what: fc.constant('copy file' as const), place, over: fc.nat() }),
  );
  const pristine = await written(t, count);
  let opened = 0;
  await fc.assert(
    fc.asyncProperty(fc.array(damage, { minLength: 1, maxLength: 6 }), async (damages) => {
      const folder = spoolFolder(t);
      for (const name of readdirSync(pristine)) copyFileSync(join(pristine, name), join(folder, name));
      for (const one of damages) {
        const files = [...segmentFiles(folder), join(folder, 'marks')].filter(
          (path) => readQuietly(path) !== null,
        );
        const path = files[one.place.file % files.length];
        if (path === undefined) continue;
        const bytes = readFileSync(path);
        const at = Math.floor(one.place.at * bytes.length);
        if (one.what === 'flip') overwrite(path, at, Buffer.from([(bytes[at] ?? 0) ^ (1 << one.bit)]));
        else if (one.what === 'overwrite') overwrite(path, at, one.bytes);
        else if (one.what === 'zero') overwrite(path, at, Buffer.alloc(one.length));
        else if (one.what === 'cut') truncateSync(path, at);
        else if (one.what === 'append') appendFileSync(path, one.bytes);
        else if (one.what === 'copy within') {
          const from = Math.floor(one.from * bytes.length);
          overwrite(path, at, Buffer.from(bytes.subarray(from, from + one.length)));
        } else if (one.what === 'remove') rmSync(path);
        else copyFileSync(path, files[one.over % files.length] ?? path);
      }
      const { spool } = openSpool(folder, { bytesMax });
      opened += 1;
      spool.append('audit', audit(-1));
      const read = readAll(spool, 'audit', 0);
      const newest = read.at(-1);
      if (numbers(read).at(-1) !== -1) throw new Error('what was appended last comes last');
      if ((newest?.seq ?? 0) <= count) throw new Error(`number ${newest?.seq} was given before`);
      assertHonest(read.slice(0, -1), count);
      await spool.close();
      rmSync(folder, { recursive: true });
    }),
    { numRuns: 200 },
  );
  t.ok(opened >= 200, `${opened} damaged spools opened`);
});

function readQuietly(path: string): Buffer | null {
  try {
    return readFileSync(path);
  } catch {
    return null;
  }
}
