// Sets of small numbers as sorted ranges over 0 to 65535: ports, lengths, ICMP type and code, VLAN ids.

import { type PortRange, portMax } from '../ports.ts';

export type Numbers = readonly PortRange[];

export const isAll = (numbers: Numbers): boolean =>
  numbers.length === 1 && numbers[0]?.first === 0 && numbers[0].last === portMax;

export function intersectNumbers(a: Numbers, b: Numbers): Numbers {
  const common: PortRange[] = [];
  let i = 0;
  let j = 0;
  for (;;) {
    const [one, other] = [a[i], b[j]];
    if (one === undefined || other === undefined) return common;
    const [first, last] = [Math.max(one.first, other.first), Math.min(one.last, other.last)];
    if (first <= last) common.push({ first, last });
    if (one.last < other.last) i++;
    else j++;
  }
}

export function complementNumbers(numbers: Numbers): Numbers {
  const others: PortRange[] = [];
  let next = 0;
  for (const { first, last } of numbers) {
    if (first > next) others.push({ first: next, last: first - 1 });
    next = last + 1;
  }
  if (next <= portMax) others.push({ first: next, last: portMax });
  return others;
}

/** Ranges in any order, overlapping or not. */
export function unionNumbers(ranges: readonly PortRange[]): Numbers {
  const merged: PortRange[] = [];
  for (const range of ranges.toSorted((a, b) => a.first - b.first)) {
    const previous = merged.at(-1);
    if (previous !== undefined && range.first <= previous.last + 1) {
      merged[merged.length - 1] = { first: previous.first, last: Math.max(previous.last, range.last) };
    } else {
      merged.push(range);
    }
  }
  return merged;
}

/** As a policy writes them: `22`, `8000-8080`. */
export const formatNumbers = (numbers: Numbers): readonly (number | string)[] =>
  numbers.map(({ first, last }) => (first === last ? first : `${first}-${last}`));
