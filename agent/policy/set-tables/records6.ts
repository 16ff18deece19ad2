// Records of an IPv6 table (bpf/abi/sets.h): which addresses of a /64 are in the set, where not all are.
//
// A /64 has one record, or one that stands for a list of them behind all the first ones.

import { HuskSet6Record } from '../../../bpf/abi/layout.gen.ts';
import { maskWord } from '../addresses.ts';
import { GrowingWords } from './growing-words.ts';
import { leafWords } from './tree6.ts';

const recordWords = HuskSet6Record.size / 4;

export class Records6 {
  /** Ranges of low halves, in order: first and last, low word first, as the records have them. */
  readonly #ranges = new GrowingWords(64);
  /** For each /64, the number of its first range. */
  readonly #firsts = new GrowingWords(16);
  /** The /64 at hand. */
  #high = -1;
  #low = -1;

  /** Records of /64s, without those that are in lists. */
  get count(): number {
    return this.#firsts.length;
  }

  /** Adds a prefix longer than 64. Prefixes come in order. True where its /64 is a new one. */
  add(prefixes: Uint32Array, at: number): boolean {
    const high = prefixes[at] ?? 0;
    const low = prefixes[at + 1] ?? 0;
    const length = prefixes[at + 4] ?? 0;
    const first = [prefixes[at + 3] ?? 0, prefixes[at + 2] ?? 0] as const;
    const last = [first[0] | ~maskWord(length, 3), first[1] | ~maskWord(length, 2)] as const;
    const isNew = high !== this.#high || low !== this.#low;
    if (isNew) {
      this.#firsts.append(this.#ranges.length / recordWords);
      this.#high = high;
      this.#low = low;
    } else if (this.#joins(first)) {
      this.#ranges.words.set(last, this.#ranges.length - 2);
      return false;
    }
    this.#ranges.append(...first, ...last);
    return isNew;
  }

  /** Whether the last range ends right before `first`, as the parts of one range do. */
  #joins([firstLow, firstHigh]: readonly [number, number]): boolean {
    const { words, length } = this.#ranges;
    const nextLow = ((words[length - 2] ?? 0) + 1) >>> 0;
    const nextHigh = ((words[length - 1] ?? 0) + (nextLow === 0 ? 1 : 0)) >>> 0;
    return nextLow === firstLow && nextHigh === firstHigh;
  }

  /** All records: one for each /64 in order, then those of lists. */
  words(): Uint32Array {
    const ranges = this.#ranges.used();
    const rangeCount = ranges.length / recordWords;
    const starts = this.#firsts.used();
    const out = new GrowingWords((this.count + rangeCount) * recordWords);
    out.add(this.count * recordWords);
    starts.forEach((start, record) => {
      const end = starts[record + 1] ?? rangeCount;
      const own = ranges.subarray(start * recordWords, end * recordWords);
      if (end - start === 1) {
        out.words.set(own, record * recordWords);
        return;
      }
      // First above last: no range, but the end and the start of a list.
      const list = out.length / recordWords;
      out.words[record * recordWords] = list + end - start;
      out.words[record * recordWords + 2] = list;
      const at = out.add(own.length);
      out.words.set(own, at);
    });
    return out.used();
  }

  /** For each leaf, how many keys before it have a record. Empty where none has. */
  countsOf(leaves: Uint32Array): Uint32Array {
    if (this.count === 0) return new Uint32Array(0);
    const counts = new Uint32Array(leaves.length / leafWords);
    let count = 0;
    for (let at = 0; at < leaves.length; at += 2) {
      if (at % leafWords === 0) counts[at / leafWords] = count;
      const isRepeated =
        at % leafWords > 0 && leaves[at] === leaves[at - 2] && leaves[at + 1] === leaves[at - 1];
      if (!isRepeated) count += (leaves[at + 1] ?? 0) >>> 31;
    }
    return counts;
  }
}
