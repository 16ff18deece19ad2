// The window of an IPv6 table (bpf/abi/sets.h): where in the address space most prefixes are, and its blocks.

import { HUSK_SET6_KEY_BITS } from '../../../bpf/abi/layout.gen.ts';
import { prefixWords } from '../prefixes.ts';

export interface Window6 {
  /** First two words of the first address. */
  readonly firstHigh: number;
  readonly firstLow: number;
  /** How many bits its addresses begin with alike. */
  readonly bits: number;
  /** Bits of the first 64 that are the place in a block. */
  readonly blockShift: number;
  readonly blockCount: number;
}

/** Fewer prefixes are in the cache whatever holds them. */
const prefixesLeast = 4096;
/** At each end, the part of the prefixes that may be outside. */
const outsidePart = 1 / 16;
/** Of blocks, as powers of two. */
const blockBitsMost = 21;
/** One bit of a key is its mark, and two blocks at least are in a line's reach. */
const blockShiftMost = HUSK_SET6_KEY_BITS - 2;

/** `prefixes`: in order. Null where there are too few, or all alike. */
export function windowOf(prefixes: Uint32Array): Window6 | null {
  const count = prefixes.length / prefixWords;
  if (count < prefixesLeast) return null;
  const outside = Math.floor(count * outsidePart);
  const first = start(prefixes, outside);
  const differ = first ^ start(prefixes, count - 1 - outside);
  const rest = differ === 0n ? 0 : differ.toString(2).length;
  const blockBits = Math.max(
    Math.min(rest, blockBitsMost, Math.ceil(Math.log2(count))),
    rest - blockShiftMost,
  );
  if (blockBits < 6 || blockBits > blockBitsMost) return null;
  const shift = BigInt(rest);
  const aligned = (first >> shift) << shift;
  return {
    firstHigh: Number(aligned >> 32n),
    firstLow: Number(aligned & 0xffffffffn),
    bits: 64 - rest,
    blockShift: rest - blockBits,
    blockCount: 2 ** blockBits,
  };
}

/** The number of the block of an address with these first two words; outside of the window, below 0 or not below
 * the count of blocks. */
export function blockOf(high: number, low: number, { firstHigh, firstLow, blockShift }: Window6): number {
  // Each part by itself, for their sum may have more bits than a number. No bit of the first part is lost
  // unless `firstLow` is 0, and then the second is none.
  return (
    Math.floor((high - firstHigh) * 2 ** (32 - blockShift)) + Math.floor((low - firstLow) * 2 ** -blockShift)
  );
}

function start(prefixes: Uint32Array, number: number): bigint {
  const at = number * prefixWords;
  return (BigInt(prefixes[at] ?? 0) << 32n) | BigInt(prefixes[at + 1] ?? 0);
}
