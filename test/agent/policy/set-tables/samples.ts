// Sets for the tests of their tables, and the addresses worth asking: every edge and its neighbours, and others.
//
// Addresses are numbers below 2^32 or bigint; sets are made by the reader of ranges alone, which has tests of
// its own.

import { rangeWords } from '../../../../agent/policy/addresses.ts';
import { addOne, type Ranges, rangesFrom, subtractOne } from '../../../../agent/policy/ranges.ts';

export interface Sample {
  readonly name: string;
  readonly family: 4 | 6;
  readonly ranges: Ranges;
}

export type Random = (below: number) => number;

/** Mulberry32: the same numbers for the same seed. */
export function randomFrom(seed: number): Random {
  let state = seed >>> 0;
  return (below) => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return Math.floor((((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32) * below);
  };
}

/** The set of some entries as an operator writes them. */
export function setOf(family: 4 | 6, entries: readonly string[]): Ranges {
  const sets = rangesFrom(entries, (index, message) => {
    throw new Error(`${entries[index]} ${message}`);
  });
  return family === 4 ? sets.ipv4 : sets.ipv6;
}

export const text4 = (address: number) =>
  `${address >>> 24}.${(address >>> 16) & 255}.${(address >>> 8) & 255}.${address & 255}`;

/** A prefix of any length, its host bits cleared. */
export function prefix4(address: number, length: number): string {
  const first = length === 0 ? 0 : (address & (-1 << (32 - length))) >>> 0;
  return `${text4(first)}/${length}`;
}

export function text6(value: bigint): string {
  return Array.from({ length: 8 }, (_, group) =>
    ((value >> BigInt(112 - group * 16)) & 0xffffn).toString(16),
  ).join(':');
}

export function prefix6(value: bigint, length: number): string {
  const free = BigInt(128 - length);
  return `${text6((value >> free) << free)}/${length}`;
}

export function random128(random: Random): bigint {
  return [0, 1, 2, 3].reduce((value) => (value << 32n) | BigInt(random(2 ** 32)), 0n);
}

const times = <T>(count: number, make: (index: number) => T): T[] =>
  Array.from({ length: count }, (_, index) => make(index));

export function samples4(random: Random): Sample[] {
  const sample = (name: string, entries: readonly string[]): Sample => ({
    name,
    family: 4,
    ranges: setOf(4, entries),
  });
  const near = (base: number, below: number) => (base + random(below)) >>> 0;
  return [
    sample('nothing', []),
    sample('everything', ['0.0.0.0/0']),
    sample('half', ['128.0.0.0/1']),
    sample('one address', ['192.0.2.1']),
    sample('first and last address', ['0.0.0.0', '255.255.255.255']),
    sample('all but one', ['0.0.0.0-127.255.255.254', '128.0.0.0-255.255.255.255']),
    sample(
      'ten',
      times(10, () => prefix4(random(2 ** 32), 8 + random(25))),
    ),
    sample('a range over many blocks', ['10.0.0.1-10.200.7.9', '10.200.7.11']),
    sample(
      'every second address of a /16',
      times(32_768, (n) => text4(0x0a000000 + n * 2)),
    ),
    sample('every third of a /18, and some far off', [
      ...times(5461, (n) => text4(0xac100000 + n * 3)),
      ...times(300, () => text4(random(2 ** 32))),
    ]),
    sample(
      'pairs with one between',
      times(20_000, (n) => `${text4(n * 3)}-${text4(n * 3 + 1)}`),
    ),
    sample(
      'dense in a /12',
      times(100_000, () => text4(near(0xac100000, 2 ** 20))),
    ),
    sample(
      'single addresses',
      times(50_000, () => text4(random(2 ** 32))),
    ),
    sample(
      'prefixes of every length',
      times(5000, (n) => prefix4(random(2 ** 32), n < 5 ? 6 + n : 15 + random(18))),
    ),
    sample(
      'clusters',
      times(50_000, (n) => prefix4(near((n % 200) * 0x1234567, 20_000), 24 + random(9))),
    ),
    sample(
      'longer and shorter ranges',
      times(20_000, () => {
        const first = random(2 ** 32 - 5000);
        return `${text4(first)}-${text4(first + random(random(2) * 4900 + 20))}`;
      }),
    ),
  ];
}

export function samples6(random: Random): Sample[] {
  const sample = (name: string, entries: readonly string[]): Sample => ({
    name,
    family: 6,
    ranges: setOf(6, entries),
  });
  const doc = 0x20010db8n << 96n;
  const inside = (base: bigint, bits: number) => base | (random128(random) >> BigInt(128 - bits));
  return [
    sample('nothing', []),
    sample('everything', ['::/0']),
    sample('a half', ['8000::/1']),
    sample('a quarter and what is next to it', ['4000::/2', '8000::']),
    sample('one address', ['2001:db8::1']),
    sample('first and last address', ['::', 'ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff']),
    sample('all but one', ['::-2001:db8::1:ffff', '2001:db8::2:1-ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff']),
    sample('one prefix of every length', times(129, (length) => prefix6(random128(random), length)).slice(4)),
    sample(
      'every length, often',
      times(20_000, (n) => prefix6(random128(random), 16 + (n % 113))),
    ),
    sample(
      'prefixes as of lists',
      times(40_000, () => prefix6(inside(1n << 125n, 125), 32 + random(33))),
    ),
    // What may be wrong about the lines of bpf/abi/sets.h: wide gaps, blocks of many prefixes, prefixes of several
    // blocks, long ones, and much that is outside of the window.
    sample('lists with gaps', [
      ...times(20_000, (n) => prefix6(inside((0x404n + BigInt((n % 5) * 3)) << 115n, 115), 40 + random(25))),
      ...times(60, () => prefix6(inside(1n << 125n, 125), 33 + random(32))),
    ]),
    sample('lists of all sorts', [
      ...times(20_000, () => prefix6(inside(0x2001n << 112n, 112), 44 + random(21))),
      ...times(100, (n) => prefix6(inside(0x2001n << 112n, 112), 22 + (n % 12))),
      ...times(500, () => text6(inside(0x2001n << 112n, 112))),
      ...times(2000, (n) => prefix6(inside(doc + (BigInt(n % 40) << 104n), 90), 44 + random(40))),
      ...times(300, () => prefix6(random128(random), 20 + random(109))),
    ]),
    sample('a window at the end', [
      ...times(20_000, () => prefix6(inside(0xffn << 120n, 120), 40 + random(25))),
      '::/9',
    ]),
    sample('a window of one /32', [
      ...times(20_000, () => prefix6(inside(doc, 96), 50 + random(15))),
      'fe80::/10',
    ]),
    sample(
      'networks side by side',
      times(30_000, (n) => prefix6(doc | (BigInt(n * 2 + random(2)) << 64n), 64)),
    ),
    sample(
      'all in one /32',
      times(30_000, () => prefix6(inside(doc, 96), 40 + random(89))),
    ),
    sample(
      'many addresses of one /64',
      times(5000, () => text6(inside(doc, 16))),
    ),
    sample(
      'ranges of addresses in /64s',
      times(5000, () => {
        const first = inside(doc, 72);
        return `${text6(first)}-${text6(first + BigInt(random(4000)))}`;
      }),
    ),
    sample('over the edge of a /64', ['2001:db8::ffff:ffff:ffff:fff0-2001:db8:0:3::f']),
    sample('local ones', [
      ...times(3000, () => prefix6(inside(0xfdn << 120n, 120), 48 + random(17))),
      ...times(3000, () => text6(inside(0xfe80n << 112n, 64))),
      'ff00::/8',
    ]),
  ];
}

/** Addresses to ask, four words each: edges of ranges and their neighbours, and as many others. */
export function addressesFor(
  { family, ranges }: Sample,
  { edges, random }: { readonly edges: number; readonly random: Random },
): Uint32Array {
  const count = ranges.length / rangeWords;
  const out: number[] = [];
  const push = (words: Uint32Array) => out.push(...words);
  const ask = (at: number) => {
    const edge = ranges.slice(at, at + 4);
    push(edge);
    const before = edge.slice();
    const hasBefore = subtractOne(before, 0);
    const after = edge.slice();
    const hasAfter = addOne(after, 0);
    for (const [words, is] of [
      [before, hasBefore],
      [after, hasAfter],
    ] as const) {
      if (is && (family === 6 || words[2] === 0xffff)) push(words);
    }
    // One that begins as this one does.
    const near = edge.slice();
    const bits = random(family === 4 ? 32 : 128);
    for (let bit = 0; bit < bits; bit++) {
      const word = 3 - (bit >>> 5);
      near[word] = (near[word] ?? 0) ^ (random(2) << (bit & 31));
    }
    push(near);
    // One that differs in one bit: a table that does not look at it would say it is the same.
    const bit = random(family === 4 ? 32 : 128);
    edge[3 - (bit >>> 5)] = ((edge[3 - (bit >>> 5)] ?? 0) ^ (1 << (bit & 31))) >>> 0;
    push(edge);
  };
  const step = Math.max(1, Math.floor(count / edges));
  for (let range = 0; range < count; range += step) {
    ask(range * rangeWords);
    ask(range * rangeWords + 4);
  }
  for (let other = 0; other < 500; other++) {
    const word = () => random(2 ** 32);
    push(
      family === 4 ? Uint32Array.of(0, 0, 0xffff, word()) : Uint32Array.of(word(), word(), word(), word()),
    );
  }
  const allOnes = 0xffffffff;
  if (family === 4) out.push(0, 0, 0xffff, 0, 0, 0, 0xffff, allOnes);
  else out.push(0, 0, 0, 0, allOnes, allOnes, allOnes, allOnes);
  return Uint32Array.from(out);
}
