// Samples of what a rule is about: values inside its conditions, outside those of other rules.

import { compareWords, rangeWords } from './addresses.ts';
import { type PortRange, portsCover } from './ports.ts';
import { addOne, covers, holdingEnd, holds, type Ranges } from './ranges.ts';

/** How many ranges of a set are looked into, and how often one is stepped through. */
const triesMax = 64;
/** Values of one kind that are worth trying. */
const samplesMax = 12;

/** Addresses in `own`: one outside all of `others`, a plain one, and one outside each of them. */
export function addressSamples(
  own: Ranges,
  others: readonly Ranges[],
  preferred: Uint32Array,
): readonly Uint32Array[] {
  // What holds all of `own` cannot be stayed outside of.
  const apart = others.filter((one) => !covers(one, own));
  if (apart.length === 0) return [addressOutside(own, [], preferred)].filter((one) => one !== null);
  return distinct(
    [apart, [], ...apart.map((one) => [one])],
    (from) => addressOutside(own, from, preferred),
    (address) => address.join(' '),
  );
}

/** Ports likewise. */
export function portSamples(
  own: readonly PortRange[],
  others: readonly (readonly PortRange[])[],
  preferred: number,
): readonly number[] {
  const apart = others.filter((one) => !portsCover(one, own));
  if (apart.length === 0) return [portOutside(own, [], preferred)].filter((one) => one !== null);
  return distinct(
    [apart, [], ...apart.map((one) => [one])],
    (from) => portOutside(own, from, preferred),
    String,
  );
}

function distinct<A, T>(
  asked: readonly A[],
  find: (one: A) => T | null,
  keyOf: (value: T) => string,
): readonly T[] {
  const found = new Map<string, T>();
  for (const one of asked) {
    if (found.size === samplesMax) break;
    const value = find(one);
    if (value !== null) found.set(keyOf(value), value);
  }
  return [...found.values()];
}

function addressOutside(own: Ranges, others: readonly Ranges[], preferred: Uint32Array): Uint32Array | null {
  if (holds(own, preferred, 0) && !others.some((one) => holds(one, preferred, 0))) return preferred;
  const count = own.length / rangeWords;
  for (let index = 0; index < Math.min(count, triesMax); index++) {
    // Spread over the whole set where it has more ranges than are looked into.
    const at = (count <= triesMax ? index : Math.floor((index * count) / triesMax)) * rangeWords;
    const address = own.slice(at, at + 4);
    for (let step = 0; step < triesMax; step++) {
      const other = others.find((one) => holds(one, address, 0));
      if (other === undefined) return address;
      address.set(holdingEnd(other, address, 0));
      if (!addOne(address, 0) || compareWords(address, 0, own, at + 4) > 0) break;
    }
  }
  return null;
}

function portOutside(
  own: readonly PortRange[],
  others: readonly (readonly PortRange[])[],
  preferred: number,
): number | null {
  const holding = (port: number) => others.flat().find((one) => one.first <= port && port <= one.last);
  const isOwn = own.some((one) => one.first <= preferred && preferred <= one.last);
  if (isOwn && holding(preferred) === undefined) return preferred;
  for (const range of own) {
    for (let port = range.first; port <= range.last; ) {
      const other = holding(port);
      if (other === undefined) return port;
      port = other.last + 1;
    }
  }
  return null;
}

/**
 * Combinations of one value of each list, the first of each list first, then those that differ in one
 * list, then in two, and so on; at most `limit`.
 */
export function* combinations(
  sizes: readonly number[],
  limit: number,
): Generator<readonly number[], void, undefined> {
  if (sizes.includes(0)) return;
  const seen = new Set<string>();
  let ring: readonly (readonly number[])[] = [sizes.map(() => 0)];
  let left = limit;
  while (ring.length > 0) {
    const next: (readonly number[])[] = [];
    for (const picks of ring) {
      if (left-- <= 0) return;
      yield picks;
      picks.forEach((pick, list) => {
        if (pick !== 0) return;
        for (let other = 1; other < (sizes[list] ?? 0); other++) {
          const changed = picks.with(list, other);
          const key = changed.join(' ');
          if (seen.has(key) || seen.size > limit * 4) continue;
          seen.add(key);
          next.push(changed);
        }
      });
    }
    ring = next;
  }
}
