// What asking a set costs, by its size and sort: Husk's tables, the kernel's trie with the same prefixes, and, for
// single addresses, its hash. 65,536 addresses by turns, in the set or not; nanoseconds over the same program that
// asks nothing. All of one set are measured in turns, so that what else the machine does falls on all of them.

import { readFileSync } from 'node:fs';
import { rangeWords } from '../../agent/policy/addresses.ts';
import type { Ranges } from '../../agent/policy/ranges.ts';
import { buildSet, setArray, setTableBytes } from '../../agent/policy/set-tables/set-image.ts';
import { addon } from '../../native/index.ts';
import { randomFrom } from '../agent/policy/set-tables/samples.ts';
import { type Asked, type Family, keyCount, SetLab } from './set-lab.ts';
import { hitsOf, missesOf, type Sort, sampleSet } from './set-samples.ts';

export interface SetFigures {
  /** As in `1,000,000 mixed IPv4 prefixes`. */
  readonly name: string;
  /** Ranges that are left of the prefixes once neighbours are one. */
  readonly ranges: number;
  readonly bytes: number;
  /** What the kernel's free memory says that table and trie take; other programs of the machine are in it. */
  readonly seenBytes: number;
  readonly trieSeenBytes: number;
  readonly buildMs: number;
  readonly uploadMs: number;
  readonly times: readonly SetTimes[];
}
export interface SetTimes {
  readonly of: 'hits' | 'misses' | 'near misses';
  /** Nanoseconds added. */
  readonly table: number;
  readonly trie: number;
  readonly hash: number | null;
}

const sets: readonly (readonly [sort: Sort, what: string, counts: readonly number[]])[] = [
  ['mix', 'mixed IPv4 prefixes', [10, 1000, 100_000, 1_000_000]],
  ['single', 'IPv4 addresses', [10, 1000, 100_000, 1_000_000]],
  ['ipv6', 'IPv6 prefixes /32-/64', [10, 1000, 100_000, 500_000]],
];
const rounds = 11;
const repeat = 300_000;
const seed = 20260822;

export async function measureSets(): Promise<readonly SetFigures[]> {
  const figures: SetFigures[] = [];
  for (const [sort, what, counts] of sets) {
    for (const count of counts) {
      const ranges = sampleSet(sort, count, randomFrom(seed));
      figures.push(await measure(`${count.toLocaleString('en-US')} ${what}`, sort, ranges));
    }
  }
  return figures;
}

async function measure(name: string, sort: Sort, ranges: Ranges): Promise<SetFigures> {
  const family: Family = sort === 'ipv6' ? 6 : 4;
  const lab = new SetLab();
  try {
    const buildMs = median(Array.from({ length: 3 }, () => elapsed(() => buildSet(family, ranges))));
    const image = buildSet(family, ranges);
    let before = kernelBytes();
    const table = await lab.useImage(image);
    const seenBytes = kernelBytes() - before;
    before = kernelBytes();
    await lab.useOther('trie', family, ranges);
    const trieSeenBytes = kernelBytes() - before;
    if (sort === 'single') await lab.useOther('hash', family, ranges);
    const asked: Asked[] = ['floor', table, 'trie', ...(sort === 'single' ? (['hash'] as const) : [])];
    const random = randomFrom(seed);
    const count = keyCount;
    const times = [
      time('hits', hitsOf(ranges, count, random)),
      time('misses', missesOf(family, ranges, { count, random, near: false })),
      time('near misses', missesOf(family, ranges, { count, random, near: true })),
    ];
    const uploadMs = await uploadTime(image);
    return {
      name,
      ranges: ranges.length / rangeWords,
      bytes: setTableBytes(image),
      seenBytes,
      trieSeenBytes,
      buildMs,
      uploadMs,
      times,
    };

    function time(of: SetTimes['of'], keys: Uint32Array): SetTimes {
      lab.setKeys(family, keys);
      const runs = new Map<Asked, number[]>(asked.map((one) => [one, []]));
      for (let round = 0; round < rounds; round++) {
        for (const [one, taken] of runs) taken.push(lab.time(one, family, repeat));
      }
      const over = (one: Asked) => middle(runs.get(one) ?? []) - middle(runs.get('floor') ?? []);
      const hash = runs.has('hash') ? over('hash') : null;
      return { of, table: over(table), trie: over('trie'), hash };
    }
  } finally {
    lab.close();
  }
}

async function uploadTime(image: ReturnType<typeof buildSet>): Promise<number> {
  const { mapType: type, mapFlags: flags, keySize, valueSize, maxEntries, keys, values } = setArray(image);
  const start = performance.now();
  const map = addon.createMap({ name: 'husk_set', type, flags, keySize, valueSize, maxEntries });
  await addon.writeAll(map, keys, values);
  const taken = performance.now() - start;
  map.close();
  return taken;
}

function elapsed(work: () => unknown): number {
  const start = performance.now();
  work();
  return performance.now() - start;
}

/** Slab that cannot be given back, and memory of vmalloc: where maps are. */
function kernelBytes(): number {
  const text = readFileSync('/proc/meminfo', 'utf8');
  const kib = (name: string) => Number(new RegExp(`^${name}: +(\\d+)`, 'm').exec(text)?.[1] ?? 0);
  return (kib('SUnreclaim') + kib('VmallocUsed') + kib('Percpu')) * 1024;
}

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[values.length >> 1] ?? 0;
}

/** Mean of the middle half: the kernel gives whole nanoseconds, and a table's answer takes few. */
function middle(values: readonly number[]): number {
  const half = values
    .toSorted((a, b) => a - b)
    .slice(values.length >> 2, values.length - (values.length >> 2));
  return half.reduce((sum, value) => sum + value, 0) / half.length;
}
