// Both addresses of a set of packets in words, and the families they are of.

import { formatRange } from '../addresses.ts';
import { addressAt, familyAt, levelOf } from './fields.ts';
import type { Partition } from './partition.ts';
import type { Cube } from './paths.ts';
import type { Runs } from './runs.ts';

interface Sides {
  readonly source: readonly string[] | null;
  readonly destination: readonly string[] | null;
}

const ipFamilies = ['ipv4', 'ipv6'] as const;
const families = [...ipFamilies, 'other'] as const;

/** Families of which both sides have addresses. */
export function familiesOf(partition: Partition, box: Cube): readonly (typeof families)[number][] {
  const [source, destination] = [sideOf(partition, box, 'source'), sideOf(partition, box, 'destination')];
  return families.filter((family) => source[family].length > 0 && destination[family].length > 0);
}

/** The family, where it is not one of all and the addresses do not say it. */
export function familyWords(partition: Partition, box: Cube): readonly string[] | null {
  const of = familiesOf(partition, box);
  if (of.length === families.length) return null;
  if (of.length === 1 && of[0] === 'other') return ['not IP'];
  const { source, destination } = addressWords(partition, box);
  if (source !== null || destination !== null) return null;
  const isPlainIp = of.length === 2 && !of.includes('other');
  // A protocol or a port says that it is IP.
  if (isPlainIp) return box[levelOf.protocol] === null && box[levelOf.portTo] === null ? ['IP'] : null;
  return [of.map((one) => (one === 'other' ? 'not IP' : one)).join(' or ')];
}

/** Addresses of the families that are meant; null where it is all of them. */
export function addressWords(partition: Partition, box: Cube): Sides {
  const of = familiesOf(partition, box);
  const words = (field: 'source' | 'destination') => {
    const side = sideOf(partition, box, field);
    const isAll = ipFamilies.every((family) => !of.includes(family) || isWhole(side[family], family));
    if (isAll) return null;
    const lists = ipFamilies.flatMap((family) =>
      of.includes(family) ? [addressList(side[family], family)] : [],
    );
    // What an "outside" is followed by is outside too.
    const plainFirst = lists.toSorted((a, b) => Number(isOutside(a)) - Number(isOutside(b)));
    return [...(of.includes('other') ? ['not IP'] : []), ...plainFirst.flat()];
  };
  return { source: words('source'), destination: words('destination') };
}

type Bounds = readonly bigint[];
const ends = { ipv4: [0n, 1n << 32n], ipv6: [1n << 32n, (1n << 32n) + (1n << 128n)] } as const;

function sideOf(
  { space }: Partition,
  box: Cube,
  field: 'source' | 'destination',
): Record<(typeof families)[number], Bounds> {
  const level = levelOf[field];
  const runs: Runs = box[level] ?? space.all(level);
  const bounds = space.points(level, runs) as Bounds;
  const side: Record<(typeof families)[number], bigint[]> = { ipv4: [], ipv6: [], other: [] };
  for (let at = 0; at < bounds.length; at += 2) {
    let [first, end] = [bounds[at] ?? 0n, bounds[at + 1] ?? 0n];
    // Pieces of two families may stand side by side on the axis.
    for (const family of ipFamilies) {
      const [, last] = ends[family];
      if (first < end && first < last && familyAt(first) === family) {
        side[family].push(first, end < last ? end : last);
        first = end < last ? end : last;
      }
    }
    if (first < end) side.other.push(first, end);
    end = first;
  }
  return side;
}

const isWhole = (bounds: Bounds, family: 'ipv4' | 'ipv6') =>
  bounds.length === 2 && bounds[0] === ends[family][0] && bounds[1] === ends[family][1];

const isOutside = ([first = '']: readonly string[]) => first.startsWith('IPv');

/** The ranges, or the ones that it is not where those are fewer. */
function addressList(bounds: Bounds, family: 'ipv4' | 'ipv6'): readonly string[] {
  const [start, end] = ends[family];
  const rest = bounds[0] === start ? bounds.slice(1) : [start, ...bounds];
  const outside = rest.at(-1) === end ? rest.slice(0, -1) : [...rest, end];
  if (outside.length > 0 && outside.length < bounds.length) {
    const [first, ...others] = rangeTexts(outside);
    return [`${family === 'ipv4' ? 'IPv4' : 'IPv6'} outside ${first}`, ...others];
  }
  return rangeTexts(bounds);
}

function rangeTexts(bounds: Bounds): readonly string[] {
  return bounds.flatMap((first, at) => {
    if (at % 2 === 1) return [];
    const range = Uint32Array.of(...addressAt(first), ...addressAt((bounds[at + 1] ?? 1n) - 1n));
    return [formatRange(range, 0)];
  });
}
