// Two lists of rules as one: lines that both have, in their order, and between them those that one of them has alone.
//
// A packet for which no line of one side alone holds meets the very same lines in both lists, and comes to the same: only
// packets of the others have to be looked at to find every difference. A line that was moved past others is of one side
// alone twice, where it was and where it is; of lines in another order as many as can be are held to stay in their place.

import type { Cube } from './fields.ts';
import type { ListLine } from './lines.ts';

/** As bits: 1 the list before, 2 the list after. */
export interface SidedLine {
  readonly line: ListLine;
  readonly sides: 1 | 2 | 3;
}

export function laidTogether(before: readonly ListLine[], after: readonly ListLine[]): readonly SidedLine[] {
  const places = new Map(before.map((line, at) => [nameOf(line), at]));
  const pairs = after.flatMap((line, at): readonly (readonly [number, number])[] => {
    const place = places.get(nameOf(line));
    const old = place === undefined ? undefined : before[place];
    return place === undefined || old === undefined || !isSame(old, line) ? [] : [[place, at]];
  });
  const together: SidedLine[] = [];
  let [nextBefore, nextAfter] = [0, 0];
  for (const [old, fresh] of [...inBothOrders(pairs), [before.length, after.length] as const]) {
    for (const line of before.slice(nextBefore, old)) together.push({ line, sides: 1 });
    for (const line of after.slice(nextAfter, fresh)) together.push({ line, sides: 2 });
    const line = before[old];
    if (line !== undefined) together.push({ line, sides: 3 });
    [nextBefore, nextAfter] = [old + 1, fresh + 1];
  }
  return together;
}

/** Of all lines of a list, a default in monitor mode alone has the name of another: that of what it does instead. */
const nameOf = ({ id, does }: ListLine) => `${id}${does === 'monitor' ? ' monitored' : ''}`;

const isSame = (one: ListLine, other: ListLine) =>
  JSON.stringify(one.does) === JSON.stringify(other.does) && isSameCube(one.cube, other.cube);

/** By what is in them: lists that were read twice have keys of their own. */
const isSameCube = (one: Cube, other: Cube) =>
  one.every((asked, level) => {
    const also = other[level] ?? null;
    if (asked === null || also === null) return asked === also;
    if (asked.key === also.key) return true;
    return (
      asked.bounds.length === also.bounds.length &&
      asked.bounds.every((bound, at) => bound === also.bounds[at])
    );
  });

/** The most pairs of which both numbers rise; `pairs` in the order of the second (patience sorting, Fredman 1975). */
function inBothOrders(pairs: readonly (readonly [number, number])[]): readonly (readonly [number, number])[] {
  /** For each length, the pair that ends a row of it with the lowest first number. */
  const ends: number[] = [];
  const before = new Int32Array(pairs.length).fill(-1);
  pairs.forEach(([first], at) => {
    let [low, high] = [0, ends.length];
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((pairs[ends[middle] ?? 0]?.[0] ?? 0) < first) low = middle + 1;
      else high = middle;
    }
    before[at] = low === 0 ? -1 : (ends[low - 1] ?? -1);
    ends[low] = at;
  });
  const kept: (readonly [number, number])[] = [];
  for (let at = ends.at(-1) ?? -1; at >= 0; at = before[at] ?? -1) {
    const pair = pairs[at];
    if (pair !== undefined) kept.push(pair);
  }
  return kept.reverse();
}
