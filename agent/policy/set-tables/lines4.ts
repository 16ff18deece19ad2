// The lines of an IPv4 table (bpf/abi/sets.h): keys, children and bits.
//
// Pieces are ranges inside one block or line: pairs of first and last, both distances from its first address.

import {
  HUSK_SET4_KEYS,
  HUSK_SET4_LINE_ALL,
  HUSK_SET4_LINE_BITS,
  HUSK_SET4_LINE_CHILDREN,
  HuskSet4Line,
} from '../../../bpf/abi/layout.gen.ts';
import { GrowingWords } from './growing-words.ts';

export const lineWords = HuskSet4Line.size / 4;
const halfWords = HuskSet4Line.size / 2;
const flagsAt = HuskSet4Line.offset.flags / 2;
const keysAt = HuskSet4Line.offset.keys / 2;
const numberAt = HuskSet4Line.offset.keys / 4;
const bitsPerLine = HuskSet4Line.size * 8;
const kindShift = 14;
/** Two keys' room has the number of the first child. */
const separatorsMax = HUSK_SET4_KEYS - 2;

/** Keys that `pieces[from, to)` take: one for an address, two for a range. */
export function keysOf(pieces: Int32Array, from: number, to: number): number {
  let count = 0;
  for (let at = from; at < to; at += 2) count += pieces[at] === pieces[at + 1] ? 1 : 2;
  return count;
}

export class Lines4 {
  /** Found by the groups. The first is all addresses. */
  readonly lines = new GrowingWords(1 << 12);
  /** Found by lines. */
  readonly children = new GrowingWords(1 << 10);

  constructor() {
    this.addAll(0);
  }

  get last(): number {
    return this.lines.length / lineWords - 1;
  }

  addAll(block: number): void {
    const at = this.lines.add(lineWords);
    this.lines.words[at] = (block & 0xffff) | (HUSK_SET4_LINE_ALL << (16 + kindShift));
  }

  addKeys(block: number, pieces: Int32Array, to: number): void {
    const at = this.lines.add(lineWords);
    writeKeys(this.lines.words, at, block, pieces, 0, to);
  }

  /** A block with more keys than a line has room for. */
  addDense(block: number, blockBytes: number, pieces: Int32Array, to: number): void {
    const cuts = cutIntoLines(pieces, to);
    const bitLines = Math.ceil(blockBytes / bitsPerLine);
    const asChildren = cuts.length - 1 <= Math.min(separatorsMax + 1, bitLines - 1);
    const at = this.lines.add(lineWords);
    const halves = halvesOf(this.lines.words, at);
    halves[0] = block & 0xffff;
    halves[flagsAt] = (asChildren ? HUSK_SET4_LINE_CHILDREN : HUSK_SET4_LINE_BITS) << kindShift;
    const first = this.children.length / lineWords;
    if (asChildren) {
      const unused = separatorsMax - (cuts.length - 2);
      // May be below zero, and is again the first child's number once the zeros are counted.
      this.lines.words[at + numberAt] = first - unused;
      for (let child = 1; child < cuts.length - 1; child++) {
        halves[keysAt + 2 + unused + child - 1] = pieces[cuts[child] ?? 0] ?? 0;
      }
      for (let child = 0; child < cuts.length - 1; child++) {
        const to = this.children.add(lineWords);
        writeKeys(this.children.words, to, block, pieces, cuts[child] ?? 0, cuts[child + 1] ?? 0);
      }
    } else {
      this.lines.words[at + numberAt] = first;
      writeBits(this.children, this.children.add(bitLines * lineWords), pieces, to);
    }
  }
}

const halvesOf = (words: Uint32Array, at: number) =>
  new Uint16Array(words.buffer, words.byteOffset + at * 4, halfWords);

function writeKeys(
  words: Uint32Array,
  at: number,
  block: number,
  pieces: Int32Array,
  from: number,
  to: number,
): void {
  const halves = halvesOf(words, at);
  let key = keysAt;
  let ends = 0;
  for (let piece = from; piece < to; piece += 2) {
    const first = pieces[piece] ?? 0;
    const last = pieces[piece + 1] ?? 0;
    halves[key++] = first;
    if (first === last) continue;
    ends |= 1 << (key - keysAt);
    halves[key++] = last;
  }
  halves.fill(halves[key - 1] ?? 0, key);
  halves[0] = block & 0xffff;
  halves[flagsAt] = ends;
}

/** Where each line of a block begins, and the end: as many keys to a line as it has room for. */
function cutIntoLines(pieces: Int32Array, to: number): number[] {
  const cuts = [0];
  let room = HUSK_SET4_KEYS;
  for (let at = 0; at < to; at += 2) {
    const keys = pieces[at] === pieces[at + 1] ? 1 : 2;
    if (keys > room) {
      cuts.push(at);
      room = HUSK_SET4_KEYS;
    }
    room -= keys;
  }
  cuts.push(to);
  return cuts;
}

function writeBits({ words }: GrowingWords, at: number, pieces: Int32Array, to: number): void {
  for (let piece = 0; piece < to; piece += 2) {
    const last = pieces[piece + 1] ?? 0;
    for (let bit = pieces[piece] ?? 0; bit <= last; bit++) {
      const word = at + (bit >>> 5);
      words[word] = (words[word] ?? 0) | (1 << (bit & 31));
    }
  }
}
