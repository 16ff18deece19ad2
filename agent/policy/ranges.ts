// Sets of addresses as sorted ranges: what a set means, whatever way it was written.
//
// A list of ranges is one Uint32Array of eight words a range (see addresses.ts), sorted, with gaps of at
// least one address between neighbours. A set that was written in two ways is therefore equal word for
// word, membership is a binary search, and containment of sets is a search for each range. The families
// are kept apart: `::/0` does not hold 192.0.2.1, although the mapped form lies inside.

import { compareWords, mappedWord, rangeWords, readRange } from './addresses.ts';

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
  if (entries.length === 1) return rangesOfOne(entries[0] ?? '', (message) => onFault(0, message));
  const ipv4 = new Ipv4Builder();
  const ipv6 = new Builder();
  const scratch = new Uint32Array(rangeWords);
  for (let index = 0; index < entries.length; index++) {
    const family = readRange(entries[index] ?? '', scratch);
    if (typeof family === 'string') onFault(index, family);
    else if (family === 4) ipv4.push(scratch[3] ?? 0, scratch[7] ?? 0);
    else ipv6.push(scratch);
  }
  return { ipv4: ipv4.merged(), ipv6: ipv6.merged() };
}

const none: Ranges = new Uint32Array(0);

/** Most conditions of rules are one prefix: nothing to be gathered. */
function rangesOfOne(entry: string, onFault: (message: string) => void): AddressRanges {
  const range = new Uint32Array(rangeWords);
  const family = readRange(entry, range);
  if (typeof family === 'string') onFault(family);
  return { ipv4: family === 4 ? range : none, ipv6: family === 6 ? range : none };
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

/**
 * Gathers IPv4 ranges in any order, by the word that is all their difference: lists of a million are of these, and four
 * times as quick as by whole addresses.
 */
class Ipv4Builder {
  #firsts = none;
  #lasts = none;
  #count = 0;
  #isSorted = true;

  push(first: number, last: number): void {
    const at = this.#count;
    if (at === this.#firsts.length) {
      this.#firsts = grown(this.#firsts);
      this.#lasts = grown(this.#lasts);
    }
    this.#isSorted &&= at === 0 || (this.#firsts[at - 1] ?? 0) <= first;
    this.#firsts[at] = first;
    this.#lasts[at] = last;
    this.#count++;
  }

  /** Sorted, overlapping and adjacent ranges made one. */
  merged(): Ranges {
    if (this.#count === 0) return none;
    const firsts = this.#firsts;
    const lasts = this.#lasts;
    const order = this.#isSorted ? null : orderOf(firsts, this.#count);
    const out = new Uint32Array(this.#count * rangeWords);
    let end = 0;
    let last = -2;
    for (let index = 0; index < this.#count; index++) {
      const at = order === null ? index : (order[index] ?? 0);
      const nextFirst = firsts[at] ?? 0;
      const nextLast = lasts[at] ?? 0;
      if (nextFirst <= last + 1) {
        if (nextLast <= last) continue;
        out[end - 1] = nextLast;
      } else {
        out[end + 2] = mappedWord;
        out[end + 3] = nextFirst;
        out[end + 6] = mappedWord;
        out[end + 7] = nextLast;
        end += rangeWords;
      }
      last = nextLast;
    }
    return end === out.length ? out : out.slice(0, end);
  }
}

/** Beyond so many, a word and an index are no whole number of 53 bits together. */
const packedMax = 2 ** 21;

/** Indexes of `keys`, by their values. */
function orderOf(keys: Uint32Array, count: number): Uint32Array {
  const order = new Uint32Array(count);
  if (count > packedMax) {
    for (let index = 0; index < count; index++) order[index] = index;
    return order.sort((a, b) => (keys[a] ?? 0) - (keys[b] ?? 0));
  }
  // Numbers without a comparison of ours sort several times as fast.
  const packed = new Float64Array(count);
  for (let index = 0; index < count; index++) packed[index] = (keys[index] ?? 0) * packedMax + index;
  packed.sort();
  for (let index = 0; index < count; index++) order[index] = (packed[index] ?? 0) % packedMax;
  return order;
}

function grown(words: Uint32Array): Uint32Array {
  const more = new Uint32Array(Math.max(16, words.length * 2));
  more.set(words);
  return more;
}

/** Gathers IPv6 ranges in any order. */
class Builder {
  #words = none;
  #count = 0;

  push(range: Uint32Array): void {
    const at = this.#count * rangeWords;
    if (at === this.#words.length) this.#words = grown(this.#words);
    copyRange(range, 0, this.#words, at);
    this.#count++;
  }

  /** Sorted, overlapping and adjacent ranges made one. */
  merged(): Ranges {
    if (this.#count === 0) return none;
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
    const compare = (a: number, b: number) => compareWords(words, a, words, b);
    const firstWords = new Uint32Array(this.#count);
    let isSorted = true;
    for (let index = 0; index < this.#count; index++) {
      const at = index * rangeWords;
      firstWords[index] = words[at] ?? 0;
      isSorted &&= index === 0 || compare(at - rangeWords, at) <= 0;
    }
    if (isSorted) return firstWords.map((_, index) => index * rangeWords);
    const order = orderOf(firstWords, this.#count);
    // Those whose first words are the same, by the others.
    for (let from = 0, index = 0; index < order.length; index++) {
      const word = firstWords[order[index] ?? 0];
      order[index] = (order[index] ?? 0) * rangeWords;
      if (index + 1 < order.length && firstWords[order[index + 1] ?? 0] === word) continue;
      if (index > from) order.subarray(from, index + 1).sort(compare);
      from = index + 1;
    }
    return order;
  }
}

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
