// Lays the words of all vectors on lines of eight.
//
// A class needs, for a group of eight words, those that have a bit; the others are never read. So one line
// serves every class that agrees with it in the words it needs, and a word nobody needed yet may still be
// given a value. Those that need many words are placed first: the rest fills the gaps.

import type { Bits } from './bits.ts';

const lineWords = 16; // of 32 bits

/** How many lines are tried for one that agrees, and how many for one that has room. */
const triesMax = 32;

export class LinePacker {
  #needs: Bits = new Uint32Array(1 << 14);
  #masks: number[] = [];
  #words: Bits = new Uint32Array(1 << 14);
  #filled: number[] = [];
  /** By word and place: lines that have it there. */
  readonly #holders = new Map<number, number[]>();
  /** By place: no line below has room there. */
  readonly #open = new Uint32Array(8);

  /** Notes what one class needs of one group: `vector[from, from + 16)`. Gives the need's number, -1 where it needs nothing. */
  need(vector: Uint32Array, from: number): number {
    let mask = 0;
    for (let place = 0; place < 8; place++) {
      if (((vector[from + place * 2] as number) | (vector[from + place * 2 + 1] as number)) !== 0)
        mask |= 1 << place;
    }
    if (mask === 0) return -1;
    const number = this.#masks.push(mask) - 1;
    this.#needs = withRoom(this.#needs, (number + 1) * lineWords);
    this.#needs.set(vector.subarray(from, from + lineWords), number * lineWords);
    return number;
  }

  /** The lines, and by need the index of its line. */
  pack(): { readonly words: Uint32Array; readonly lines: number; readonly lineOf: Uint32Array } {
    const lineOf = new Uint32Array(this.#masks.length);
    const order = Uint32Array.from(this.#masks, (_, index) => index);
    const size = this.#masks.map(bitCount);
    order.sort((a, b) => (size[b] as number) - (size[a] as number) || a - b);
    for (const need of order) lineOf[need] = this.#place(need);
    const lines = this.#filled.length;
    return { words: this.#words.subarray(0, lines * lineWords), lines, lineOf };
  }

  #place(need: number): number {
    const mask = this.#masks[need] as number;
    const at = need * lineWords;
    const line = this.#agreeing(at, mask) ?? this.#roomy(mask) ?? this.#newLine();
    const missing = mask & ~(this.#filled[line] as number);
    for (let place = 0; place < 8; place++) {
      if ((missing & (1 << place)) === 0) continue;
      const low = this.#needs[at + place * 2] as number;
      const high = this.#needs[at + place * 2 + 1] as number;
      this.#words[line * lineWords + place * 2] = low;
      this.#words[line * lineWords + place * 2 + 1] = high;
      const key = keyOf(place, low, high);
      const holders = this.#holders.get(key);
      if (holders === undefined) this.#holders.set(key, [line]);
      else holders.push(line);
    }
    this.#filled[line] = (this.#filled[line] as number) | mask;
    return line;
  }

  /** A line that has one of the words already and room or the same for the others; the more it has, the better. */
  #agreeing(at: number, mask: number): number | undefined {
    let best: number | undefined;
    let most = 0;
    let tries = triesMax;
    for (let place = 0; place < 8 && tries > 0; place++) {
      if ((mask & (1 << place)) === 0) continue;
      const key = keyOf(
        place,
        this.#needs[at + place * 2] as number,
        this.#needs[at + place * 2 + 1] as number,
      );
      for (const line of this.#holders.get(key) ?? []) {
        if (tries-- === 0) break;
        const same = this.#sameWords(line, at, mask);
        if (same > most) {
          most = same;
          best = line;
        }
        if (same === bitCount(mask)) return line;
      }
    }
    return best;
  }

  /** How many of the needed words the line has; 0 where it has another in one of the places. */
  #sameWords(line: number, at: number, mask: number): number {
    const from = line * lineWords;
    const both = mask & (this.#filled[line] as number);
    for (let place = 0; place < 8; place++) {
      if ((both & (1 << place)) === 0) continue;
      if (
        this.#words[from + place * 2] !== this.#needs[at + place * 2] ||
        this.#words[from + place * 2 + 1] !== this.#needs[at + place * 2 + 1]
      ) {
        return 0;
      }
    }
    return bitCount(both);
  }

  #roomy(mask: number): number | undefined {
    let from = 0;
    for (let place = 0; place < 8; place++) {
      if ((mask & (1 << place)) === 0) continue;
      let open = this.#open[place] as number;
      while (open < this.#filled.length && ((this.#filled[open] as number) & (1 << place)) !== 0) open++;
      this.#open[place] = open;
      from = Math.max(from, open);
    }
    const to = Math.min(this.#filled.length, from + triesMax);
    for (let line = from; line < to; line++) if (((this.#filled[line] as number) & mask) === 0) return line;
    return undefined;
  }

  #newLine(): number {
    const line = this.#filled.push(0) - 1;
    this.#words = withRoom(this.#words, (line + 1) * lineWords);
    return line;
  }
}

/** Less than 2^53; those of different words may be equal, and are compared. */
const keyOf = (place: number, low: number, high: number) =>
  ((Math.imul(low, 0x9e3779b1) ^ Math.imul(high, 0x85ebca6b)) >>> 0) * 8 + place;

function bitCount(mask: number): number {
  let count = 0;
  for (let rest = mask; rest !== 0; rest &= rest - 1) count++;
  return count;
}

function withRoom(array: Bits, length: number): Bits {
  if (length <= array.length) return array;
  const grown = new Uint32Array(array.length * 2);
  grown.set(array);
  return grown;
}
