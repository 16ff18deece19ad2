// The two indexes of an IPv4 table: the filter, and the groups that say where lines begin (bpf/abi/sets.h).

import { HuskSet4Group } from '../../../bpf/abi/layout.gen.ts';

export interface Shape4 {
  /** Bits of an address that the filter does not look at. */
  readonly filterShift: number;
  /** Bits of an address that are the place in its block. */
  readonly blockShift: number;
}

const groupWords = HuskSet4Group.size / 4;
const lineWord = HuskSet4Group.offset.line / 4;
const blocksPerGroup = 64;

/** Bits of the filter and blocks, as powers of two: between 8 KiB and what leaves the cache to the lines. */
const filterBits = { least: 16, most: 22 };
const blockBits = { least: 16, most: 20, finest: 22 };
/** Eight times as many bits as there are ranges leave most addresses at a clear one. */
const bitsPerRange = 8;

export function shapeFor(rangeCount: number): Shape4 {
  const wanted = Math.ceil(Math.log2(Math.max(1, rangeCount) * bitsPerRange));
  const within = ({ least, most }: { least: number; most: number }) =>
    Math.min(most, Math.max(least, wanted));
  return { filterShift: 32 - within(filterBits), blockShift: 32 - within(blockBits) };
}

/** Smaller blocks, for a set whose addresses lie close; null where they are the smallest already. */
export function finer({ filterShift, blockShift }: Shape4): Shape4 | null {
  const finerShift = Math.max(32 - blockBits.finest, blockShift - 2);
  if (finerShift === blockShift) return null;
  // A bit of the filter is never about several blocks.
  return { filterShift: Math.min(filterShift, finerShift), blockShift: finerShift };
}

export const groupBytes = ({ blockShift }: Shape4) =>
  (2 ** (32 - blockShift) / blocksPerGroup) * HuskSet4Group.size;

export class Index4 {
  readonly filter: Uint32Array;
  readonly groups: Uint32Array;
  readonly #filterShift: number;
  /** Of groups that have their line. */
  #groupCount = 0;

  constructor({ filterShift, blockShift }: Shape4) {
    this.filter = new Uint32Array(2 ** (32 - filterShift) / 32);
    this.groups = new Uint32Array((2 ** (32 - blockShift) / blocksPerGroup) * groupWords);
    this.#filterShift = filterShift;
  }

  /** Sets the filter's bits for the addresses from `first` to `last`. */
  mark(first: number, last: number): void {
    const from = first >>> this.#filterShift;
    const to = last >>> this.#filterShift;
    const fromWord = from >>> 5;
    const toWord = to >>> 5;
    const fromMask = -1 << (from & 31);
    const toMask = -1 >>> (31 - (to & 31));
    if (fromWord === toWord) {
      this.#or(this.filter, fromWord, fromMask & toMask);
      return;
    }
    this.#or(this.filter, fromWord, fromMask);
    this.filter.fill(0xffffffff, fromWord + 1, toWord);
    this.#or(this.filter, toWord, toMask);
  }

  /** A block whose line is `line`, the last there is: blocks come in order. */
  lineGoesOn(block: number, line: number): void {
    this.#reach(Math.floor(block / blocksPerGroup), line);
  }

  /** A block whose line is the one after `line`. */
  lineStarts(block: number, line: number): void {
    const group = Math.floor(block / blocksPerGroup);
    this.#reach(group, line);
    this.#or(this.groups, group * groupWords + ((block >>> 5) & 1), 1 << (block & 31));
  }

  /** A group of blocks that are in the set as a whole, whose line is the first of all. */
  wholeGroup(group: number, line: number): void {
    this.#reach(group, line);
    this.groups[group * groupWords + lineWord] = 0;
  }

  #or(words: Uint32Array, at: number, bits: number): void {
    words[at] = (words[at] ?? 0) | bits;
  }

  /** Groups up to this one begin with the last line there is. */
  #reach(group: number, line: number): void {
    for (; this.#groupCount <= group; this.#groupCount++) {
      this.groups[this.#groupCount * groupWords + lineWord] = line;
    }
  }
}
