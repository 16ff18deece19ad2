// The lines of an IPv6 table (bpf/abi/sets.h), and the groups that say which of them has a block's keys.
//
// Blocks come in order. A line takes the keys of whole blocks, as many as it has room for, and has those blocks
// that are empty behind them. A block of more keys than a line has room for, or with a prefix that is longer than
// 64 or shorter than the block, is the trees': so is a run of such blocks, which have one line to say it.

import {
  HUSK_SET6_KEY_BITS,
  HUSK_SET6_LINE_KEYS,
  HUSK_SET6_LINE_TREE,
  HuskSet6Group,
  HuskSet6Line,
} from '../../../bpf/abi/layout.gen.ts';
import { prefixWords } from '../prefixes.ts';
import { GrowingWords } from './growing-words.ts';
import { blockOf, type Window6, windowOf } from './window6.ts';

export interface Lines6 {
  readonly window: Window6;
  readonly groups: Uint32Array;
  readonly lines: Uint32Array;
  /** 1 for each prefix that is in a line. */
  readonly has: Uint8Array;
}

const groupWords = HuskSet6Group.size / 4;
const lineWords = HuskSet6Line.size / 4;
const blocksPerGroup = 64;
/** Bytes of groups and lines for each prefix in them, above which the trees hold all. A tree takes nine. */
const bytesPerPrefixMost = 16;

/** `prefixes`: five words each, in order. Null where trees alone are better. */
export function linesOf(prefixes: Uint32Array): Lines6 | null {
  const window = windowOf(prefixes);
  if (window === null) return null;
  const writer = new LineWriter(window);
  const has = new Uint8Array(prefixes.length / prefixWords);
  const blockLength = 64 - window.blockShift;
  let taken = 0;
  let nextBlock = blockAt(prefixes, 0, window);
  for (let at = 0; at < prefixes.length; ) {
    const block = nextBlock;
    let end = at;
    do {
      end += prefixWords;
      nextBlock = blockAt(prefixes, end, window);
    } while (end < prefixes.length && nextBlock === block);
    if (block >= 0 && block < window.blockCount) {
      const count = (end - at) / prefixWords;
      const length = prefixes[at + 4] ?? 0;
      if (length < blockLength || count > HUSK_SET6_LINE_KEYS || anyIsLong(prefixes, at, end)) {
        writer.giveToTree(block);
      } else {
        writer.addKeys(block, prefixes.subarray(at, end));
        has.fill(1, at / prefixWords, end / prefixWords);
        taken += count;
      }
    }
    at = end;
  }
  const { groups, lines } = writer.finish();
  const isWorthIt = groups.byteLength + lines.byteLength <= taken * bytesPerPrefixMost;
  return isWorthIt ? { window, groups, lines, has } : null;
}

function blockAt(prefixes: Uint32Array, at: number, window: Window6): number {
  return blockOf(prefixes[at] ?? 0, prefixes[at + 1] ?? 0, window);
}

function anyIsLong(prefixes: Uint32Array, at: number, end: number): boolean {
  for (; at < end; at += prefixWords) if ((prefixes[at + 4] ?? 0) > 64) return true;
  return false;
}

class LineWriter {
  readonly #groups: Uint32Array;
  readonly #lines = new GrowingWords(1024);
  readonly #blockCount: number;
  /** A line has at most so many blocks, or two places in it would agree in all bits that it has of a key. */
  readonly #reach: number;
  /** The last line: its first block, the last that has keys, and how many. The first line has none. */
  #first = 0;
  #last = 0;
  #keys = 0;
  #isTree = false;

  constructor({ blockCount, blockShift }: Window6) {
    this.#groups = new Uint32Array((blockCount / blocksPerGroup) * groupWords);
    this.#blockCount = blockCount;
    this.#reach = 2 ** (HUSK_SET6_KEY_BITS - 1 - blockShift);
    this.#lines.add(lineWords);
  }

  /** `prefixes`: of the block, no more than a line takes. */
  addKeys(block: number, prefixes: Uint32Array): void {
    const count = prefixes.length / prefixWords;
    const hasRoom = this.#keys > 0 && this.#keys + count <= HUSK_SET6_LINE_KEYS;
    if (!hasRoom || block - this.#first >= this.#reach) {
      this.#endBefore(block);
      this.#startLine(block);
    }
    const line = this.#lines.length - lineWords;
    for (let at = 0; at < prefixes.length; at += prefixWords) {
      writeKey(this.#lines.words, line, this.#keys, prefixes, at);
      this.#keys++;
    }
    this.#last = block;
  }

  /** Together with the blocks behind it that no line starts at: those that its prefix covers, and empty ones. */
  giveToTree(block: number): void {
    if (this.#isTree) return;
    this.#endBefore(block);
    this.#startLine(block);
    this.#isTree = true;
    this.#lines.words[this.#lines.length - 2] = HUSK_SET6_LINE_TREE;
  }

  finish(): { groups: Uint32Array; lines: Uint32Array } {
    this.#endBefore(this.#blockCount);
    let started = 0;
    for (let at = 0; at < this.#groups.length; at += groupWords) {
      this.#groups[at + HuskSet6Group.offset.line / 4] = started;
      started += onesOf(this.#groups[at] ?? 0) + onesOf(this.#groups[at + 1] ?? 0);
    }
    return { groups: this.#groups, lines: this.#lines.used() };
  }

  /** An empty line behind the last block with keys, where the next line, at `block`, is too far off. */
  #endBefore(block: number): void {
    if (this.#keys > 0 && block - this.#first > this.#reach) this.#startLine(this.#last + 1);
  }

  #startLine(block: number): void {
    // Block 0 has the first line from the start.
    if (block > 0) {
      this.#lines.add(lineWords);
      const word = Math.floor(block / blocksPerGroup) * groupWords + ((block >>> 5) & 1);
      this.#groups[word] = (this.#groups[word] ?? 0) | (1 << (block & 31));
    }
    this.#first = block;
    this.#keys = 0;
    this.#isTree = false;
  }
}

/** The low 48 bits of a key, as three numbers of 16 bits: where the line has them. */
function writeKey(words: Uint32Array, line: number, key: number, prefixes: Uint32Array, at: number): void {
  const high = prefixes[at] ?? 0;
  const low = prefixes[at + 1] ?? 0;
  const mark = 64 - (prefixes[at + 4] ?? 0);
  const keyLow = ((low << 1) | (mark < 32 ? 1 << mark : 0)) >>> 0;
  const keyHigh = ((high << 1) | (low >>> 31) | (mark >= 32 ? 1 << (mark - 32) : 0)) & 0xffff;
  const or = (word: number, bits: number) => {
    words[line + word] = (words[line + word] ?? 0) | bits;
  };
  if (key < HUSK_SET6_LINE_KEYS - 1) {
    or(key * 2, keyLow << 16);
    or(key * 2 + 1, (keyHigh << 16) | (keyLow >>> 16));
  } else {
    or(0, keyHigh);
    or(2, keyLow >>> 16);
    or(4, keyLow & 0xffff);
  }
}

function onesOf(word: number): number {
  let count = 0;
  for (let rest = word; rest !== 0; rest &= rest - 1) count++;
  return count;
}
