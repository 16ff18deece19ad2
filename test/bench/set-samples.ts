// Sets of the size and the sort that lists have, and addresses in them and beside them.
//
// IPv4 is drawn around the addresses of the fixture's list: half of it within their /16, most of the rest within
// their /20, some within their /24. No prefix lies in another, so that as many are in the tables. IPv6 is drawn
// evenly over 2000::/3; there is no public list of that size to draw around.

import { rangeWords } from '../../agent/policy/addresses.ts';
import { holds, type Ranges } from '../../agent/policy/ranges.ts';
import { prefix6, type Random, setOf, text4 } from '../agent/policy/set-tables/samples.ts';
import { readList } from './subject.ts';

export type Sort = 'mix' | 'single' | 'ipv6';

/** The mix: 60 % single addresses, 35 % /24, the rest of other lengths, the shorter the rarer. */
const wideShare = 0.05;
const networkShare = 0.35;

export function sampleSet(sort: Sort, count: number, random: Random): Ranges {
  if (sort === 'ipv6') return sample6(count, random);
  return sample4(count, random, sort === 'mix');
}

function sample4(count: number, random: Random, isMixed: boolean): Ranges {
  const listed = readList().map(number4);
  /** /24s in which no further prefix may be, and single addresses taken. */
  const taken = new Uint8Array(2 ** 24);
  const singles = new Set<number>();
  const entries: string[] = [];
  while (entries.length < count) {
    const share = isMixed ? entries.length / count : 1;
    const length = share < wideShare ? wideLength(random) : share < wideShare + networkShare ? 24 : 32;
    const address = near4(listed, random);
    const first = (address & (-1 << (32 - length))) >>> 0;
    const from = first >>> 8;
    const end = from + 2 ** Math.max(0, 24 - length);
    if (length === 32 ? taken[from] === 1 || singles.has(first) : taken.subarray(from, end).includes(1)) {
      continue;
    }
    if (length === 32) singles.add(first);
    else taken.fill(1, from, end);
    entries.push(`${text4(first)}/${length}`);
  }
  return setOf(4, entries);
}

/** /16 to /31 without /24. */
function wideLength(random: Random): number {
  const length = 31 - Math.floor(16 * (random(1000) / 1000) ** 2);
  return length === 24 ? 25 : length;
}

function near4(listed: readonly number[], random: Random): number {
  const address = listed[random(listed.length)] ?? 0;
  const kind = random(10);
  const free = kind < 5 ? 16 : kind < 8 ? 12 : 8;
  return (((address >>> free) << free) | random(2 ** free)) >>> 0;
}

function number4(text: string): number {
  return text.split('.').reduce((value, octet) => value * 256 + Number(octet), 0);
}

function sample6(count: number, random: Random): Ranges {
  const entries = Array.from({ length: count }, () => {
    const high = (BigInt(0x20000000 + random(2 ** 29)) << 32n) | BigInt(random(2 ** 32));
    return prefix6(high << 64n, 32 + random(33));
  });
  return setOf(6, entries);
}

/** Random addresses of random ranges, four words each. */
export function hitsOf(ranges: Ranges, count: number, random: Random): Uint32Array {
  const words = new Uint32Array(count * 4);
  for (let at = 0; at < words.length; at += 4) {
    const range = random(ranges.length / rangeWords) * rangeWords;
    let isFree = false;
    for (let word = 0; word < 4; word++) {
      const first = ranges[range + word] ?? 0;
      const last = ranges[range + 4 + word] ?? 0;
      // The last word that is not the same in both is drawn between them, all behind it freely.
      words[at + word] = isFree ? random(2 ** 32) : first + random(last - first + 1);
      isFree ||= last !== first;
    }
    if (!holds(ranges, words, at)) words.set(ranges.subarray(range, range + 4), at);
  }
  return words;
}

/** Random addresses of the unicast space that are not in the set, or of the /16 or /32 of one that is. */
export function missesOf(
  family: 4 | 6,
  ranges: Ranges,
  { count, random, near }: { readonly count: number; readonly random: Random; readonly near: boolean },
): Uint32Array {
  const words = new Uint32Array(count * 4);
  for (let at = 0; at < words.length; ) {
    const range = random(ranges.length / rangeWords) * rangeWords;
    const like = ranges[range + (family === 4 ? 3 : 0)] ?? 0;
    if (family === 4) {
      const low = near ? (like & 0xffff0000) | random(2 ** 16) : 0x01000000 + random(0xdf000000);
      words.set([0, 0, 0xffff, low], at);
    } else {
      words.set([near ? like : 0x20000000 + random(2 ** 29), ...[0, 0, 0].map(() => random(2 ** 32))], at);
    }
    if (!holds(ranges, words, at)) at += 4;
  }
  return words;
}
