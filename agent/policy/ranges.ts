// Sets of addresses as sorted ranges: what a set means, whatever way it was written.
//
// A list of ranges is one Uint32Array of eight words a range (see addresses.ts), sorted, with gaps of at
// least one address between neighbours. A set that was written in two ways is therefore equal word for
// word, membership is a binary search, and containment of sets is a search for each range. The families
// are kept apart: `::/0` does not hold 192.0.2.1, although the mapped form lies inside.

import { compareWords, rangeWords, readRange } from './addresses.ts';

export type Ranges = Uint32Array;

export interface AddressRanges {
  readonly ipv4: Ranges;
  readonly ipv6: Ranges;
}

export const allIpv4: Ranges = Uint32Array.of(0, 0, 0xffff, 0, 0, 0, 0xffff, 0xffffffff);
export const allIpv6: Ranges = Uint32Array.of(0, 0, 0, 0, ~0, ~0, ~0, ~0);
export const allAddresses: AddressRanges = { ipv4: allIpv4, ipv6: allIpv6 };
/** 0.0.0.0 and `::`, which no call has as its destination: Linux takes them for this host, and so do the hooks. */
export const anyAddresses: AddressRanges = {
  ipv4: Uint32Array.of(0, 0, 0xffff, 0, 0, 0, 0xffff, 0),
  ipv6: new Uint32Array(rangeWords),
};

export const rangeCount = (ranges: Ranges) => ranges.length / rangeWords;
export const isEmpty = (set: AddressRanges) => set.ipv4.length === 0 && set.ipv6.length === 0;

/** Reads the entries of a set. Those that are none go to `onFault` and are left out. */
export function rangesFrom(
  entries: readonly string[],
  onFault: (index: number, message: string) => void,
): AddressRanges {
  const ipv4 = new Builder(3);
  const ipv6 = new Builder(0);
  const scratch = new Uint32Array(rangeWords);
  entries.forEach((entry, index) => {
    const family = readRange(entry, scratch);
    if (typeof family === 'string') onFault(index, family);
    else (family === 4 ? ipv4 : ipv6).push(scratch);
  });
  return { ipv4: ipv4.merged(), ipv6: ipv6.merged() };
}

/** Lists shorter than this are read again and not remembered. */
const rememberedLeast = 1000;
/** Held weakly: a device keeps the documents that are in force, and is not to keep what was read of them as well. */
const remembered = new WeakMap<readonly string[], WeakRef<AddressRanges>>();

/**
 * The same for a list of a document, which nobody changes: checks, compiler and tries all read it, and a list of a
 * million is read once where they follow one another.
 */
export function rangesOfList(
  entries: readonly string[],
  onFault: (index: number, message: string) => void,
): AddressRanges {
  const known = remembered.get(entries)?.deref();
  if (known !== undefined) return known;
  let isWhole = true;
  const ranges = rangesFrom(entries, (index, message) => {
    isWhole = false;
    onFault(index, message);
  });
  // One with faults has to tell them again.
  if (isWhole && entries.length >= rememberedLeast) remembered.set(entries, new WeakRef(ranges));
  return ranges;
}

/** Beyond so many, a word and an index are no whole number of 53 bits together. */
const packedMax = 2 ** 21;

/** Gathers ranges in any order. `keyWord`: the first word in which addresses differ. */
class Builder {
  #words = new Uint32Array(rangeWords * 16);
  #count = 0;
  readonly #keyWord: number;

  constructor(keyWord: number) {
    this.#keyWord = keyWord;
  }

  push(range: Uint32Array): void {
    const at = this.#count * rangeWords;
    if (at === this.#words.length) {
      const grown = new Uint32Array(at * 2);
      grown.set(this.#words);
      this.#words = grown;
    }
    copyRange(range, 0, this.#words, at);
    this.#count++;
  }

  /** Sorted, overlapping and adjacent ranges made one. */
  merged(): Ranges {
    const words = this.#words;
    const out = new Uint32Array(this.#count * rangeWords);
    let end = 0;
    for (const at of this.#order()) {
      const previous = end - rangeWords;
      if (previous >= 0 && reaches(out, previous + 4, words, at)) {
        if (compareWords(words, at + 4, out, previous + 4) > 0) {
          for (let word = 4; word < rangeWords; word++) out[previous + word] = words[at + word] ?? 0;
        }
      } else {
        copyRange(words, at, out, end);
        end += rangeWords;
      }
    }
    return out.slice(0, end);
  }

  /** Where the ranges are, by their first addresses. */
  #order(): Uint32Array {
    const words = this.#words;
    const order = new Uint32Array(this.#count);
    const compare = (a: number, b: number) => compareWords(words, a, words, b);
    let isSorted = true;
    for (let index = 0; index < order.length; index++) {
      const at = index * rangeWords;
      order[index] = at;
      isSorted &&= index === 0 || compare(at - rangeWords, at) <= 0;
    }
    if (isSorted) return order;
    if (order.length > packedMax) return order.sort(compare);
    // Numbers without a comparison of ours sort several times as fast.
    const packed = new Float64Array(order.length);
    for (let index = 0; index < packed.length; index++) {
      packed[index] = (words[index * rangeWords + this.#keyWord] ?? 0) * packedMax + index;
    }
    packed.sort();
    let runFrom = 0;
    for (let index = 0; index < packed.length; index++) {
      order[index] = ((packed[index] ?? 0) % packedMax) * rangeWords;
      const isLast = index + 1 === packed.length;
      if (!isLast && sameKey(packed[index] ?? 0, packed[index + 1] ?? 0)) continue;
      if (index > runFrom) order.subarray(runFrom, index + 1).sort(compare);
      runFrom = index + 1;
    }
    return order;
  }
}

const sameKey = (a: number, b: number) => Math.floor(a / packedMax) === Math.floor(b / packedMax);

function copyRange(from: Uint32Array, at: number, to: Uint32Array, toAt: number): void {
  for (let word = 0; word < rangeWords; word++) to[toAt + word] = from[at + word] ?? 0;
}

/** Whether a range that ends at `last` overlaps or touches one that starts, no lower, at `first`. */
function reaches(a: Uint32Array, last: number, b: Uint32Array, first: number): boolean {
  return compareWords(a, last, b, first) >= 0 || isNext(a, last, b, first);
}

/** Whether the address at `b[next]` is the one that follows that at `a[at]`. */
function isNext(a: Uint32Array, at: number, b: Uint32Array, next: number): boolean {
  let carry = 1;
  for (let word = 3; word >= 0; word--) {
    const sum = ((a[at + word] ?? 0) + carry) >>> 0;
    if (sum !== b[next + word]) return false;
    if (sum !== 0) carry = 0;
  }
  return carry === 0;
}

/** Adds one in place; false where the address was the very last. */
export function addOne(words: Uint32Array, at: number): boolean {
  for (let word = 3; word >= 0; word--) {
    const sum = ((words[at + word] ?? 0) + 1) >>> 0;
    words[at + word] = sum;
    if (sum !== 0) return true;
  }
  return false;
}

/** Takes one away in place; false where the address was the very first. */
export function subtractOne(words: Uint32Array, at: number): boolean {
  for (let word = 3; word >= 0; word--) {
    const value = words[at + word] ?? 0;
    words[at + word] = value - 1;
    if (value !== 0) return true;
  }
  return false;
}

/** Index of the last range that starts at or below the address at `words[at]`, or -1. */
function lastStartingBelow(ranges: Ranges, words: Uint32Array, at: number): number {
  let low = 0;
  let high = rangeCount(ranges);
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (compareWords(ranges, middle * rangeWords, words, at) <= 0) low = middle + 1;
    else high = middle;
  }
  return low - 1;
}

/** Whether the address at `words[at]` is in one of the ranges. */
export function holds(ranges: Ranges, words: Uint32Array, at: number): boolean {
  const index = lastStartingBelow(ranges, words, at);
  return index >= 0 && compareWords(ranges, index * rangeWords + 4, words, at) >= 0;
}

/** The last address of the range that holds the address at `words[at]`; there has to be one. */
export function holdingEnd(ranges: Ranges, words: Uint32Array, at: number): Uint32Array {
  const start = lastStartingBelow(ranges, words, at) * rangeWords;
  return ranges.subarray(start + 4, start + 8);
}

/** Whether every address of `inner` is in `outer`. */
export function covers(outer: Ranges, inner: Ranges): boolean {
  if (outer === inner) return true;
  for (let at = 0; at < inner.length; at += rangeWords) {
    // Ranges of `outer` have gaps between them: what is covered is inside one of them.
    const index = lastStartingBelow(outer, inner, at);
    if (index < 0 || compareWords(outer, index * rangeWords + 4, inner, at + 4) < 0) return false;
  }
  return true;
}

/** The first range that both have in common, or null. */
export function firstOverlap(a: Ranges, b: Ranges): Uint32Array | null {
  let i = 0;
  let j = 0;
  while (i < a.length && j < b.length) {
    if (compareWords(a, i + 4, b, j) < 0) i += rangeWords;
    else if (compareWords(b, j + 4, a, i) < 0) j += rangeWords;
    else return overlapOf(a, i, b, j);
  }
  return null;
}

function overlapOf(a: Ranges, i: number, b: Ranges, j: number): Uint32Array {
  const out = new Uint32Array(rangeWords);
  const start = compareWords(a, i, b, j) > 0 ? a.subarray(i, i + 4) : b.subarray(j, j + 4);
  const end = compareWords(a, i + 4, b, j + 4) < 0 ? a.subarray(i + 4, i + 8) : b.subarray(j + 4, j + 8);
  out.set(start);
  out.set(end, 4);
  return out;
}

/** All addresses of both families that are not in the set. */
export function complement(set: AddressRanges): AddressRanges {
  return { ipv4: complementIn(allIpv4, set.ipv4), ipv6: complementIn(allIpv6, set.ipv6) };
}

function complementIn(all: Ranges, ranges: Ranges): Ranges {
  const out = new Uint32Array(ranges.length + rangeWords);
  let end = 0;
  const next = all.slice(0, 4);
  let more = true;
  for (let at = 0; at < ranges.length && more; at += rangeWords) {
    if (compareWords(ranges, at, next, 0) > 0) {
      out.set(next, end);
      out.set(ranges.subarray(at, at + 4), end + 4);
      subtractOne(out, end + 4);
      end += rangeWords;
    }
    next.set(ranges.subarray(at + 4, at + 8));
    more = addOne(next, 0) && compareWords(next, 0, all, 4) <= 0;
  }
  if (more) {
    out.set(next, end);
    out.set(all.subarray(4, 8), end + 4);
    end += rangeWords;
  }
  return out.slice(0, end);
}
