// Ports as merged ranges.

import type { PortMatch } from '../contract/policy.ts';

export interface PortRange {
  readonly first: number;
  readonly last: number;
}

export const portMax = 65535;
export const allPorts: PortRange = { first: 0, last: portMax };

/** Sorted, overlapping and adjacent ranges made one. Entries that are none go to `onFault` and are left out. */
export function portRanges(
  match: PortMatch,
  onFault: (index: number | null, message: string) => void,
): readonly PortRange[] {
  const several = Array.isArray(match);
  const entries: readonly (number | string)[] = several ? match : [match as number | string];
  const ranges = entries.flatMap((entry, index) => {
    const range = readPortRange(entry);
    if (typeof range !== 'string') return [range];
    onFault(several ? index : null, range);
    return [];
  });
  return mergePorts(ranges);
}

function readPortRange(entry: number | string): PortRange | string {
  const parts = /^(\d{1,6})(?:-(\d{1,6}))?$/.exec(String(entry));
  if (parts === null) return 'is not a port or a range of ports such as 8000-8080';
  const first = Number(parts[1]);
  const last = parts[2] === undefined ? first : Number(parts[2]);
  if (first > portMax || last > portMax) return `is beyond ${portMax}, the last port`;
  if (first > last) return `wraps: it ends before it starts; the other way round it is ${last}-${first}`;
  return { first, last };
}

function mergePorts(ranges: readonly PortRange[]): readonly PortRange[] {
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

export const portsHold = (ranges: readonly PortRange[], port: number) =>
  ranges.some((range) => range.first <= port && port <= range.last);

export const portsCover = (outer: readonly PortRange[], inner: readonly PortRange[]) =>
  inner.every((one) => outer.some((range) => range.first <= one.first && one.last <= range.last));

export const portsOverlap = (a: readonly PortRange[], b: readonly PortRange[]) =>
  a.some((one) => b.some((other) => one.first <= other.last && other.first <= one.last));
