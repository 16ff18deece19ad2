// Intersection of address sets, and their way back into text.

import { compareWords, formatRange, rangeWords } from '../addresses.ts';
import type { AddressRanges, Ranges } from '../ranges.ts';

export const intersectAddresses = (a: AddressRanges, b: AddressRanges): AddressRanges => ({
  ipv4: intersectRanges(a.ipv4, b.ipv4),
  ipv6: intersectRanges(a.ipv6, b.ipv6),
});

/** Both are sorted with gaps between their ranges, and so is the result. */
function intersectRanges(a: Ranges, b: Ranges): Ranges {
  const out = new Uint32Array(a.length + b.length);
  let end = 0;
  let i = 0;
  let j = 0;
  while (i < a.length && j < b.length) {
    const first = compareWords(a, i, b, j) >= 0 ? a.subarray(i, i + 4) : b.subarray(j, j + 4);
    const aEndsFirst = compareWords(a, i + 4, b, j + 4) < 0;
    const last = aEndsFirst ? a.subarray(i + 4, i + 8) : b.subarray(j + 4, j + 8);
    if (compareWords(first, 0, last, 0) <= 0) {
      out.set(first, end);
      out.set(last, end + 4);
      end += rangeWords;
    }
    if (aEndsFirst) i += rangeWords;
    else j += rangeWords;
  }
  return out.slice(0, end);
}

/** One entry a range: address, prefix or range. */
export function formatAddresses({ ipv4, ipv6 }: AddressRanges): readonly string[] {
  const texts: string[] = [];
  for (const ranges of [ipv4, ipv6]) {
    for (let at = 0; at < ranges.length; at += rangeWords) texts.push(formatRange(ranges, at));
  }
  return texts;
}
