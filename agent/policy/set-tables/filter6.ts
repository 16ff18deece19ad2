// The filter of an IPv6 table (bpf/abi/sets.h): a bit for each hash of the first bits of addresses in the set.
//
// Lists have prefixes of 32 bits and more, so that the first 32 bits say most. A set with shorter ones would
// need a bit for each of the many 32 bits they begin: it is hashed by fewer.

import { prefixWords } from '../prefixes.ts';

export interface Filter6 {
  /** So many bits off the first 64 leave what is hashed. */
  readonly prefixShift: number;
  /** So many bits off the hash leave the number of the bit. */
  readonly hashShift: number;
  readonly bits: Uint32Array;
}

/** Lengths that may be hashed, the best first. */
const prefixLengths = [32, 28, 24, 20, 16];
/** Marks beyond one for each prefix that short prefixes may cost. */
const extraMarksMax = 65_536;
/** Bits of the filter, as powers of two: one word, and what leaves the cache to the tree. */
const bitsLeast = 6;
const bitsMost = 22;
const bitsPerMark = 4;

/** `prefixes`: five words each, in order. */
export function filterOf(prefixes: Uint32Array): Filter6 {
  const hashed = prefixLengths.find(
    (length) => marksFor(prefixes, length) <= prefixes.length / prefixWords + extraMarksMax,
  );
  const length = hashed ?? 16;
  const marks = marksFor(prefixes, length);
  const wanted = Math.ceil(Math.log2(Math.max(1, marks) * bitsPerMark));
  const hashShift = 32 - Math.min(bitsMost, Math.max(bitsLeast, wanted));
  const bits = new Uint32Array(2 ** (32 - hashShift) / 32);
  eachMark(prefixes, length, (from, to) => {
    for (let number = from; number <= to; number++) {
      const bit = hash(number) >>> hashShift;
      bits[bit >>> 5] = (bits[bit >>> 5] ?? 0) | (1 << (bit & 31));
    }
  });
  return { prefixShift: 64 - length, hashShift, bits };
}

/** As `set6_hash` in bpf/include/set6.h. */
export function hash(number: number): number {
  return Math.imul(number, 2654435769) >>> 0;
}

function marksFor(prefixes: Uint32Array, length: number): number {
  let count = 0;
  eachMark(prefixes, length, (from, to) => {
    count += to - from + 1;
  });
  return count;
}

/** The first `length` bits of all addresses of the set, each once, as ranges. */
function eachMark(prefixes: Uint32Array, length: number, visit: (from: number, to: number) => void): void {
  let done = -1;
  for (let at = 0; at < prefixes.length; at += prefixWords) {
    const first = prefixes[at] ?? 0;
    const prefixLength = prefixes[at + 4] ?? 0;
    const last = prefixLength >= 32 ? first : (first | (0xffffffff >>> prefixLength)) >>> 0;
    const from = Math.max(done + 1, first >>> (32 - length));
    const to = last >>> (32 - length);
    if (from > to) continue;
    visit(from, to);
    done = to;
  }
}
