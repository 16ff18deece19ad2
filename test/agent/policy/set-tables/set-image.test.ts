// Goal: a table holds exactly the addresses of the ranges it was made from, of either family, whatever the set is
// like: empty, all, dense, sparse, of any prefix length.
// Method: samples and generated sets are built and asked by the plain reader, at every edge and beside it; the
// ranges themselves are the reference. HUSK_SEED replays a run.

import fc from 'fast-check';
import t, { type Test } from 'tap';
import { rangeWords } from '../../../../agent/policy/addresses.ts';
import { prefixesOf } from '../../../../agent/policy/prefixes.ts';
import { holds, type Ranges } from '../../../../agent/policy/ranges.ts';
import { linesOf } from '../../../../agent/policy/set-tables/lines6.ts';
import { holds4 } from '../../../../agent/policy/set-tables/read4.ts';
import { holds6 } from '../../../../agent/policy/set-tables/read6.ts';
import {
  buildSet,
  innerMapFlag,
  setArray,
  setTableBytes,
} from '../../../../agent/policy/set-tables/set-image.ts';
import {
  HUSK_SET_LARGE_CHUNK_BYTES,
  HUSK_SET_SMALL_CHUNK_BYTES,
  HUSK_SET6_KEY_BITS,
} from '../../../../bpf/abi/layout.gen.ts';
import {
  addressesFor,
  prefix4,
  prefix6,
  randomFrom,
  type Sample,
  samples4,
  samples6,
  setOf,
  text4,
  text6,
} from './samples.ts';

const seed = Number(process.env.HUSK_SEED ?? Math.floor(Math.random() * 0x7fffffff));
t.comment(`seed ${seed}`);
const random = randomFrom(seed);

const tableHolds = (family: 4 | 6, bytes: Uint8Array, words: Uint32Array, at: number) =>
  family === 4 ? holds4(bytes, words[at + 3] ?? 0) : holds6(bytes, words, at);

/** The first address about which table and ranges disagree, or null. */
function disagreement(sample: Sample, edges: number): string | null {
  const { bytes } = buildSet(sample.family, sample.ranges);
  const words = addressesFor(sample, { edges, random });
  for (let at = 0; at < words.length; at += 4) {
    const wanted = holds(sample.ranges, words, at);
    if (tableHolds(sample.family, bytes, words, at) !== wanted) {
      return `${[...words.subarray(at, at + 4)].map((word) => word.toString(16))}: ${wanted}`;
    }
  }
  return null;
}

for (const sample of [...samples4(random), ...samples6(random)]) {
  t.test(`IPv${sample.family}: ${sample.name}`, async (t) => {
    t.equal(disagreement(sample, 1500), null);
  });
}

t.test('generated sets of few entries, close together', async (t) => {
  const entry4 = fc
    .record({
      host: fc.integer({ min: 0, max: 5000 }),
      far: fc.integer({ min: 0, max: 3 }),
      length: fc.integer({ min: 14, max: 32 }),
    })
    .map(({ host, far, length }) => prefix4((far * 0x40000000 + host) >>> 0, length));
  const range4 = fc
    .record({ first: fc.integer({ min: 0, max: 70_000 }), more: fc.integer({ min: 0, max: 140_000 }) })
    .map(({ first, more }) => `${text4(first)}-${text4(first + more)}`);
  const entry6 = fc
    .record({
      bits: fc.bigInt({ min: 0n, max: 4095n }),
      shift: fc.integer({ min: 0, max: 116 }),
      length: fc.integer({ min: 0, max: 128 }),
    })
    .map(({ bits, shift, length }) => prefix6(bits << BigInt(shift), length));
  const range6 = fc
    .record({ first: fc.bigInt({ min: 0n, max: 1n << 70n }), more: fc.bigInt({ min: 0n, max: 1n << 66n }) })
    .map(({ first, more }) => `${text6(first + (1n << 100n))}-${text6(first + more + (1n << 100n))}`);
  const agrees = (family: 4 | 6, entries: readonly string[]) =>
    disagreement({ name: '', family, ranges: setOf(family, entries) }, 1000) === null;
  const parameters = { seed, numRuns: 150, endOnFailure: true };
  fc.assert(
    fc.property(fc.array(fc.oneof(entry4, range4), { maxLength: 60 }), (entries) => agrees(4, entries)),
    parameters,
  );
  fc.assert(
    fc.property(fc.array(fc.oneof(entry6, range6), { maxLength: 60 }), (entries) => agrees(6, entries)),
    parameters,
  );
  t.pass();
});

t.test('every address of dense blocks', async (t) => {
  for (const share of [2, 3, 20, 200]) {
    const entries = Array.from({ length: 0x10000 }, (_, n) => 0x0a010000 + n)
      .filter(() => random(share) === 0)
      .map(text4);
    const ranges = setOf(4, entries);
    const { bytes } = buildSet(4, ranges);
    const words = Uint32Array.of(0, 0, 0xffff, 0);
    let wrong = 0;
    for (let address = 0x0a00ff00; address < 0x0a020100; address++) {
      words[3] = address;
      if (holds4(bytes, address) !== holds(ranges, words, 0)) wrong++;
    }
    t.equal(wrong, 0, `one in ${share}`);
  }
});

t.test('samples with lines, with blocks that are left to the trees, and with gaps', async (t) => {
  for (const name of [
    'lists with gaps',
    'lists of all sorts',
    'a window at the end',
    'a window of one /32',
  ]) {
    const { ranges } = samples6(random).find((sample) => sample.name === name) ?? { ranges: null };
    const lines = ranges === null ? null : linesOf(prefixesOf(ranges));
    const inLines = lines?.has.filter((has) => has === 1).length ?? 0;
    t.ok(inLines > 10_000 && inLines < (lines?.has.length ?? 0), `${name}: ${inLines}`);
  }
});

t.test('places that agree in the bits that a line has of them are not taken for each other', async (t) => {
  for (const { name, ranges } of samples6(random)) {
    if (name !== 'lists with gaps' && name !== 'local ones') continue;
    const { bytes } = buildSet(6, ranges);
    let wrong = 0;
    for (let at = 0; at < ranges.length; at += rangeWords * 3) {
      for (let times = 1; times <= 64; times *= 2) {
        const words = ranges.slice(at, at + 4);
        words[0] = (words[0] ?? 0) + times * 2 ** (HUSK_SET6_KEY_BITS - 1 - 32);
        if (holds6(bytes, words, 0) !== holds(ranges, words, 0)) wrong++;
      }
    }
    t.equal(wrong, 0, name);
  }
});

t.test('memory follows the set', async (t) => {
  const bytesOf = (family: 4 | 6, ranges: Ranges) => setTableBytes(buildSet(family, ranges));
  const ten = Array.from({ length: 10 }, () => text4(random(2 ** 32)));
  t.ok(bytesOf(4, setOf(4, ten)) <= 64 * 1024);
  t.ok(bytesOf(6, setOf(6, ['2001:db8::/32', 'fe80::/10', '::1'])) <= 64 * 1024);
  t.ok(bytesOf(4, setOf(4, ['0.0.0.0/0'])) <= 64 * 1024);
  const dense = Array.from({ length: 100_000 }, () => text4(0xac100000 + random(2 ** 20)));
  t.ok(bytesOf(4, setOf(4, dense)) <= 1024 * 1024, 'dense');
});

t.test('an image is a whole number of chunks, and becomes an array of them', (t: Test) => {
  const sample = setOf(
    4,
    Array.from({ length: 30_000 }, () => text4(random(2 ** 32))),
  );
  for (const chunkBytes of [undefined, HUSK_SET_SMALL_CHUNK_BYTES, HUSK_SET_LARGE_CHUNK_BYTES]) {
    const image = buildSet(4, sample, chunkBytes);
    const array = setArray(image);
    if (chunkBytes !== undefined) t.equal(image.chunkBytes, chunkBytes);
    t.equal(array.valueSize, image.chunkBytes);
    t.equal(array.count * array.valueSize, array.values.length);
    t.equal(array.maxEntries, array.count);
    t.equal(array.keys.length, array.count * 4);
    t.equal(new DataView(array.keys.buffer).getUint32((array.count - 1) * 4, true), array.count - 1);
    t.equal(array.mapFlags, innerMapFlag);
    const taken = setTableBytes(image);
    t.ok(taken > image.bytes.length && taken <= image.bytes.length + 8192, `${taken} bytes`);
  }
  t.end();
});
