// Ranges as prefixes, and several sets as one table in which the longest match says everything.
//
// A trie gives the longest prefix that holds an address and nothing of the shorter ones, so that the
// bits of every covering prefix are folded into the longer one:
//
//   sets  a: 10.0.0.0/8   b: 10.1.0.0/16        table  10.0.0.0/8  → a
//                                                      10.1.0.0/16 → a b
//
// A prefix that adds nothing to the one around it is left out.

import { compareWords, prefixLength, rangeWords } from './addresses.ts';
import type { Ranges } from './ranges.ts';

/** A prefix takes five words: the address and the length of 128. */
export const prefixWords = 5;

/** The fewest prefixes that are the same addresses, sorted; five words each. */
export function prefixesOf(ranges: Ranges): Uint32Array {
  let out = new Uint32Array((ranges.length / rangeWords) * prefixWords * 2 + prefixWords);
  let end = 0;
  const put = (words: Uint32Array, at: number, length: number) => {
    if (end === out.length) {
      const grown = new Uint32Array(out.length * 2);
      grown.set(out);
      out = grown;
    }
    out.set(words.subarray(at, at + 4), end);
    out[end + 4] = length;
    end += prefixWords;
  };
  for (let at = 0; at < ranges.length; at += rangeWords) {
    const length = prefixLength(ranges, at);
    if (length >= 0) put(ranges, at, length);
    else splitRange(ranges, at, put);
  }
  return out.slice(0, end);
}

/** A range is cut at its largest aligned block again and again: at most 254 prefixes. */
function splitRange(
  ranges: Ranges,
  at: number,
  put: (words: Uint32Array, at: number, length: number) => void,
): void {
  const block = new Uint32Array(rangeWords);
  block.set(ranges.subarray(at, at + 4));
  const last = at + 4;
  for (;;) {
    let length = 128 - trailingZeros(block);
    setLast(block, length);
    while (compareWords(block, 4, ranges, last) > 0) setLast(block, ++length);
    put(block, 0, length);
    if (compareWords(block, 4, ranges, last) === 0) return;
    // The next block starts behind this one; it cannot overflow, because the range goes on.
    carry(block);
  }
}

function trailingZeros(words: Uint32Array): number {
  let zeros = 0;
  for (let word = 3; word >= 0; word--) {
    const value = words[word] ?? 0;
    if (value !== 0) return zeros + 31 - Math.clz32(value & -value);
    zeros += 32;
  }
  return zeros;
}

function setLast(block: Uint32Array, length: number): void {
  for (let word = 0; word < 4; word++) {
    const bits = length - word * 32;
    const free = bits <= 0 ? 0xffffffff : bits >= 32 ? 0 : 0xffffffff >>> bits;
    block[word + 4] = (block[word] ?? 0) | free;
  }
}

function carry(block: Uint32Array): void {
  block.copyWithin(0, 4, 8);
  for (let word = 3; word >= 0; word--) {
    const sum = ((block[word] ?? 0) + 1) >>> 0;
    block[word] = sum;
    if (sum !== 0) return;
  }
}

export interface FoldedPrefixes {
  readonly count: number;
  /** Five words each, in order of address, then of length. */
  readonly prefixes: Uint32Array;
  /** One mask of sets for each. */
  readonly masks: BigUint64Array;
}

/** Several sets as one table: `sets[i]` is given bit i. */
export function foldSets(sets: readonly Ranges[]): FoldedPrefixes {
  const lists = sets.map(prefixesOf);
  const total = lists.reduce((sum, list) => sum + list.length / prefixWords, 0);
  const words = new Uint32Array(total * prefixWords);
  const bits = new Uint8Array(total);
  let filled = 0;
  lists.forEach((list, bit) => {
    words.set(list, filled * prefixWords);
    bits.fill(bit, filled, filled + list.length / prefixWords);
    filled += list.length / prefixWords;
  });
  const order = new Uint32Array(total);
  for (let index = 0; index < total; index++) order[index] = index;
  // A single list is in order already.
  if (lists.length > 1) order.sort((a, b) => comparePrefixes(words, a * prefixWords, b * prefixWords));
  return foldSorted(words, bits, order);
}

function comparePrefixes(words: Uint32Array, a: number, b: number): number {
  return compareWords(words, a, words, b) || (words[a + 4] ?? 0) - (words[b + 4] ?? 0);
}

function foldSorted(words: Uint32Array, bits: Uint8Array, order: Uint32Array): FoldedPrefixes {
  const prefixes = new Uint32Array(words.length);
  const masks = new BigUint64Array(order.length);
  let count = 0;
  // The prefixes around the one at hand, as indexes into the result; at most one for each length.
  const around: number[] = [];
  for (let next = 0; next < order.length; ) {
    const at = (order[next] ?? 0) * prefixWords;
    let mask = 0n;
    for (
      ;
      next < order.length && comparePrefixes(words, (order[next] ?? 0) * prefixWords, at) === 0;
      next++
    ) {
      mask |= 1n << BigInt(bits[order[next] ?? 0] ?? 0);
    }
    while (around.length > 0 && !isInside(words, at, prefixes, (around.at(-1) ?? 0) * prefixWords)) {
      around.pop();
    }
    const outer = around.length > 0 ? (masks[around.at(-1) ?? 0] ?? 0n) : 0n;
    if ((mask | outer) === outer) continue;
    prefixes.set(words.subarray(at, at + prefixWords), count * prefixWords);
    masks[count] = mask | outer;
    around.push(count++);
  }
  return {
    count,
    prefixes: prefixes.slice(0, count * prefixWords),
    masks: masks.slice(0, count),
  };
}

/** Whether prefix `a[i]` lies in prefix `b[j]`. */
function isInside(a: Uint32Array, i: number, b: Uint32Array, j: number): boolean {
  const length = b[j + 4] ?? 0;
  for (let word = 0; word < 4 && word * 32 < length; word++) {
    const bits = length - word * 32;
    const mask = bits >= 32 ? 0xffffffff : ~(0xffffffff >>> bits);
    if ((((a[i + word] ?? 0) ^ (b[j + word] ?? 0)) & mask) !== 0) return false;
  }
  return true;
}
