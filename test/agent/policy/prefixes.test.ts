// Goal: sets mean the same as ranges, as prefixes and folded into one table.
// Method: a second opinion by plain arithmetic on BigInt: every edge of every entry, and its neighbours, is
// asked of the entries one by one and of what was built from them.

import fc from 'fast-check';
import t from 'tap';
import { readRange } from '../../../agent/policy/addresses.ts';
import { foldSets, prefixesOf, prefixWords } from '../../../agent/policy/prefixes.ts';
import {
  complement,
  covers,
  firstOverlap,
  holds,
  type Ranges,
  rangesFrom,
} from '../../../agent/policy/ranges.ts';

interface Plain {
  readonly family: 4 | 6;
  readonly first: bigint;
  readonly last: bigint;
}

const valueAt = (words: Uint32Array, at: number) =>
  [0, 1, 2, 3].reduce((value, index) => (value << 32n) | BigInt(words[at + index] ?? 0), 0n);
const wordsOf = (value: bigint) =>
  Uint32Array.from([96n, 64n, 32n, 0n].map((shift) => Number((value >> shift) & 0xffffffffn)));

const plainOf = (entry: string): Plain => {
  const words = new Uint32Array(8);
  const family = readRange(entry, words);
  if (typeof family === 'string') throw new Error(`${entry} ${family}`);
  return { family, first: valueAt(words, 0), last: valueAt(words, 4) };
};

const mapped = 0xffffn << 32n;
const all: Readonly<Record<4 | 6, readonly [bigint, bigint]>> = {
  4: [mapped, mapped + 0xffffffffn],
  6: [0n, (1n << 128n) - 1n],
};

/** Few numbers, so that entries overlap and touch; prefixes of every length around them. */
const entry4 = fc
  .tuple(
    fc.integer({ min: 0, max: 40 }),
    fc.integer({ min: 0, max: 12 }),
    fc.integer({ min: 22, max: 32 }),
    fc.integer({ min: 0, max: 5 }),
  )
  .map(([host, more, length, kind]) => {
    const text = (value: number) => `10.0.${value >> 8}.${value & 255}`;
    if (kind === 0) return ['0.0.0.0/0', '255.255.255.255', '0.0.0.0', '128.0.0.0/1'][host % 4] ?? '0.0.0.0';
    if (kind <= 2) return `${text(host)}-${text(host + more)}`;
    const size = 2 ** (32 - length);
    return `${text(Math.floor((host * 7) / size) * size)}/${length}`;
  });
const entry6 = fc
  .tuple(fc.integer({ min: 0, max: 40 }), fc.integer({ min: 0, max: 12 }), fc.integer({ min: 0, max: 4 }))
  .map(([host, more, kind]) => {
    if (kind === 0)
      return (
        ['::/0', 'ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff', '::', '8000::/1', '::fffe:ffff:ffff-::1:0:0:5'][
          host % 5
        ] ?? '::'
      );
    if (kind === 1) return `2001:db8::${host.toString(16)}-2001:db8::${(host + more).toString(16)}`;
    if (kind === 2) return `2001:db8::${(host & ~7).toString(16)}/125`;
    return `2001:db8:${(host & 3).toString(16)}::/48`;
  });
const entries = fc.array(fc.oneof(entry4, entry6), { maxLength: 12 });

/** Edges and their neighbours, inside the family. */
function probes(lists: readonly (readonly Plain[])[]): readonly (readonly [4 | 6, bigint])[] {
  const edges = lists
    .flat()
    .flatMap(({ family, first, last }) =>
      [first - 1n, first, first + 1n, last - 1n, last, last + 1n].map((value) => [family, value] as const),
    );
  return edges.filter(([family, value]) => value >= all[family][0] && value <= all[family][1]);
}

const isIn = (list: readonly Plain[], family: 4 | 6, value: bigint) =>
  list.some((one) => one.family === family && one.first <= value && value <= one.last);
const build = (list: readonly string[]) =>
  rangesFrom(list, (index, message) => {
    throw new Error(`${list[index]} ${message}`);
  });
const side = (set: { readonly ipv4: Ranges; readonly ipv6: Ranges }, family: 4 | 6) =>
  family === 4 ? set.ipv4 : set.ipv6;

t.test('ranges hold what the entries hold, and the complement the rest', async () => {
  fc.assert(
    fc.property(entries, (list) => {
      const plain = list.map(plainOf);
      const set = build(list);
      const rest = complement(set);
      for (const [family, value] of probes([plain])) {
        const expected = isIn(plain, family, value);
        if (holds(side(set, family), wordsOf(value), 0) !== expected) throw new Error(`${value} in the set`);
        if (holds(side(rest, family), wordsOf(value), 0) === expected)
          throw new Error(`${value} in the rest`);
      }
      const back = complement(rest);
      if (String(back.ipv4) !== String(set.ipv4) || String(back.ipv6) !== String(set.ipv6))
        throw new Error('twice');
    }),
    { numRuns: 1000 },
  );
});

t.test('ranges are sorted with gaps between them', async () => {
  fc.assert(
    fc.property(entries, (list) => {
      for (const ranges of Object.values(build(list))) {
        for (let at = 8; at < ranges.length; at += 8) {
          if (valueAt(ranges, at) <= valueAt(ranges, at - 4) + 1n) throw new Error('they touch');
        }
      }
    }),
    { numRuns: 500 },
  );
});

t.test('containment and overlap are those of the addresses', async () => {
  fc.assert(
    fc.property(entries, entries, (a, b) => {
      const [one, other] = [build(a), build(b)];
      const [plainA, plainB] = [a.map(plainOf), b.map(plainOf)];
      for (const family of [4, 6] as const) {
        // Edges of both decide: between them nothing changes.
        const at = probes([plainA, plainB])
          .filter(([of]) => of === family)
          .map(([, value]) => value);
        const expectCovers = at.every((value) => !isIn(plainB, family, value) || isIn(plainA, family, value));
        if (covers(side(one, family), side(other, family)) !== expectCovers) throw new Error('covers');
        const expectMeets = at.some((value) => isIn(plainA, family, value) && isIn(plainB, family, value));
        const overlap = firstOverlap(side(one, family), side(other, family));
        if ((overlap !== null) !== expectMeets) throw new Error('overlap');
        if (overlap !== null) {
          const value = valueAt(overlap, 0);
          if (!isIn(plainA, family, value) || !isIn(plainB, family, value))
            throw new Error('overlap is in both');
        }
      }
    }),
    { numRuns: 1000 },
  );
});

t.test('prefixes are exactly the ranges, and as few as can be', async () => {
  fc.assert(
    fc.property(entries, (list) => {
      for (const ranges of Object.values(build(list))) {
        const prefixes = prefixesOf(ranges);
        let at = 0;
        for (let range = 0; range < ranges.length; range += 8) {
          let next = valueAt(ranges, range);
          const last = valueAt(ranges, range + 4);
          while (next <= last) {
            const first = valueAt(prefixes, at);
            const size = 1n << BigInt(128 - (prefixes[at + 4] ?? 0));
            if (first !== next || first % size !== 0n) throw new Error('a gap, or no prefix');
            // No wider block would fit here: the greedy cut is the shortest there is.
            if (first % (size * 2n) === 0n && first + size * 2n - 1n <= last)
              throw new Error('cut too small');
            next = first + size;
            at += prefixWords;
          }
          if (next !== last + 1n) throw new Error('beyond the range');
        }
        if (at !== prefixes.length) throw new Error('more than the ranges');
      }
    }),
    { numRuns: 500 },
  );
});

t.test('the longest match of the folded table says every set an address is in', async () => {
  fc.assert(
    fc.property(fc.array(entries, { minLength: 1, maxLength: 6 }), (lists) => {
      const plain = lists.map((list) => list.map(plainOf));
      const sets = lists.map(build);
      for (const family of [4, 6] as const) {
        const { count, prefixes, masks } = foldSets(sets.map((set) => side(set, family)));
        for (const [of, value] of probes(plain)) {
          if (of !== family) continue;
          let best = -1;
          let found = 0n;
          for (let index = 0; index < count; index++) {
            const at = index * prefixWords;
            const length = prefixes[at + 4] ?? 0;
            const shift = BigInt(128 - length);
            if (value >> shift === valueAt(prefixes, at) >> shift && length > best) {
              best = length;
              found = masks[index] ?? 0n;
            }
          }
          const expected = plain.reduce(
            (mask, list, bit) => (isIn(list, family, value) ? mask | (1n << BigInt(bit)) : mask),
            0n,
          );
          if (found !== expected) throw new Error(`${value}: ${found}, not ${expected}`);
        }
        const keys = Array.from({ length: count }, (_, index) =>
          prefixes.slice(index * 5, index * 5 + 5).join(' '),
        );
        if (new Set(keys).size !== count) throw new Error('a key is there twice');
      }
    }),
    { numRuns: 500 },
  );
});

t.test('a prefix that says nothing new is left out', async (t) => {
  const of = (...lists: string[][]) => foldSets(lists.map((list) => build(list).ipv4)).count;
  t.equal(of(['10.0.0.0/8', '10.1.0.0/16']), 1, 'inside its own set');
  t.equal(of(['10.0.0.0/8'], ['10.1.0.0/16']), 2, 'inside another set');
  t.equal(of(['10.0.0.0/8'], ['10.0.0.0/8', '10.1.0.0/16']), 1, 'the same in both');
  t.equal(of(['10.0.0.0/9', '10.128.0.0/9']), 1, 'two halves are one');
});
