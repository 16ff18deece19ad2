// The fields of a packet that rules can ask for, as axes of numbers.
//
// Every packet has one point on every axis. A field that a packet does not have is a point of its own, `absent`, so that a
// condition never holds for it, negated or not, and a rule that does not ask holds for it too (PACKETS.md §3). Addresses
// of both families lie on one axis, one behind the other: where the source is says what family the packet is of.
//
// Sets on an axis are half-open ranges: first point, first point behind, first point, and so on.

import { type AddressRanges, allAddresses, type Ranges } from '../ranges.ts';

export const fields = [
  'interface',
  'origin',
  'toDevice',
  'macFrom',
  'macTo',
  'vlanOuter',
  'vlanInner',
  'etherType',
  'situation',
  'source',
  'destination',
  'protocol',
  'portTo',
  'portFrom',
  'tcpFlags',
  'icmp',
  'fragment',
  'hopLimit',
  'dscp',
  'length',
] as const;

/** Their order is that of the levels of a diagram, from the root on. */
export type Field = (typeof fields)[number];
export const levelOf = Object.fromEntries(fields.map((field, level) => [field, level])) as Record<
  Field,
  number
>;

export type Point = number | bigint;

/** A set of points of one axis; the same key says the same set. */
export interface Values {
  readonly key: string;
  readonly bounds: readonly Point[];
}

/** What a rule asks, by level; null: anything. */
export type Cube = readonly (Values | null)[];

/** Whether a packet may be in both, as far as each field says by itself. */
export const meetsCube = (one: Cube, other: Cube): boolean =>
  one.every((asked, level) => {
    const also = other[level] ?? null;
    return asked === null || also === null || asked.key === also.key || meetsValues(asked, also);
  });

/** By the shorter of the two: one rule's addresses are often looked up in a long list. */
function meetsValues({ bounds: a }: Values, { bounds: b }: Values): boolean {
  const [few, many] = a.length <= b.length ? [a, b] : [b, a];
  for (let at = 0; at < few.length; at += 2) {
    const [start, end] = [few[at] ?? 0, few[at + 1] ?? 0];
    // The first range that ends behind the start.
    let [low, high] = [0, many.length / 2];
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((many[middle * 2 + 1] ?? 0) <= start) low = middle + 1;
      else high = middle;
    }
    if (low < many.length / 2 && (many[low * 2] ?? 0) < end) return true;
  }
  return false;
}

/** Where a packet stands to its connection: what its state comes to under `strict` and under `loose` (PACKETS.md §5). */
export const situations = [
  'new',
  'established',
  'related',
  'invalid',
  /** TCP of no connection, neither its beginning nor RST: strict says invalid, loose new. */
  'midstream',
  /** TCP with ACK and without SYN along its original direction, nothing came back: strict says new, loose established. */
  'unanswered',
] as const;
export type Situation = (typeof situations)[number];

const ipv4Addresses = 1n << 32n;
const addressesEnd = ipv4Addresses + (1n << 128n);
const macs = 2 ** 48;

/** The point of packets without the field; null where every packet has it. */
export const absent: Readonly<Record<Field, Point | null>> = {
  interface: null,
  origin: null,
  toDevice: 2,
  macFrom: macs,
  macTo: macs,
  // Point 4096 is an Ethernet frame without the tag.
  vlanOuter: 4097,
  vlanInner: 4097,
  etherType: null,
  situation: situations.length,
  source: addressesEnd,
  destination: addressesEnd,
  protocol: 256,
  portTo: 65536,
  portFrom: 65536,
  tcpFlags: 256,
  icmp: 65536,
  fragment: 3,
  // Point 1 is 255, point 2 is 1, point 0 all others.
  hopLimit: 3,
  dscp: 64,
  length: 65536,
};
export const noTag = 4096;
export const etherTypesEnd = 65536;

/** Numbers and ranges of numbers, both ends meant. */
export function values(...ranges: readonly (number | readonly [first: number, last: number])[]): Values {
  const sorted = ranges
    .map((one): readonly [number, number] => (typeof one === 'number' ? [one, one] : one))
    .filter(([first, last]) => first <= last)
    .toSorted((a, b) => a[0] - b[0]);
  const bounds: number[] = [];
  for (const [first, last] of sorted) {
    const end = bounds.at(-1);
    if (end !== undefined && first <= end) bounds[bounds.length - 1] = Math.max(end, last + 1);
    else bounds.push(first, last + 1);
  }
  return { key: bounds.join(' '), bounds };
}

/** Everything but `these`, on an axis that begins at 0 and has `end` points; `absent` is none of them. */
export function allBut(these: Values, end: number): Values {
  const inner = [0, ...(these.bounds as readonly number[]), end];
  const gaps: (readonly [number, number])[] = [];
  for (let at = 0; at < inner.length; at += 2) gaps.push([inner[at] ?? 0, (inner[at + 1] ?? 0) - 1]);
  return values(...gaps);
}

const keys = new WeakMap<Ranges, number>();
let keysGiven = 0;
const boundsRead = new WeakMap<Ranges, readonly bigint[]>();

/** Addresses of the families named; also packets that are not IP where `withOther`. */
export function addressValues(
  { ipv4, ipv6 }: AddressRanges,
  families: { readonly ipv4: boolean; readonly ipv6: boolean },
  withOther = false,
): Values {
  const key = (ranges: Ranges) => {
    const known = keys.get(ranges) ?? keysGiven++;
    keys.set(ranges, known);
    return known;
  };
  const bounds = [
    ...(families.ipv4 ? addressBounds(ipv4, true) : []),
    ...(families.ipv6 ? addressBounds(ipv6, false) : []),
    ...(withOther ? [addressesEnd, addressesEnd + 1n] : []),
  ];
  return { key: `${families.ipv4 ? key(ipv4) : ''}/${families.ipv6 ? key(ipv6) : ''}/${withOther}`, bounds };
}

export const isIp = addressValues(allAddresses, { ipv4: true, ipv6: true });
export const isIpv4 = addressValues(allAddresses, { ipv4: true, ipv6: false });
export const isIpv6 = addressValues(allAddresses, { ipv4: false, ipv6: true });
export const isOther: Values = { key: 'other', bounds: [addressesEnd, addressesEnd + 1n] };

/** Read once: a list of addresses may be long, and is looked at for each zone and direction. */
function addressBounds(ranges: Ranges, isFour: boolean): readonly bigint[] {
  const known = boundsRead.get(ranges);
  if (known !== undefined) return known;
  const point = (at: number) => {
    if (isFour) return BigInt(ranges[at + 3] ?? 0);
    let value = 0n;
    for (let word = 0; word < 4; word++) value = (value << 32n) | BigInt(ranges[at + word] ?? 0);
    return value + ipv4Addresses;
  };
  const bounds: bigint[] = [];
  for (let at = 0; at < ranges.length; at += 8) bounds.push(point(at), point(at + 4) + 1n);
  boundsRead.set(ranges, bounds);
  return bounds;
}

export type AddressFamily = 'ipv4' | 'ipv6' | 'other';

export const familyAt = (point: bigint): AddressFamily =>
  point < ipv4Addresses ? 'ipv4' : point < addressesEnd ? 'ipv6' : 'other';

/** The address at a point of the axis, in four words (see ../addresses.ts). */
export function addressAt(point: bigint): Uint32Array {
  if (point < ipv4Addresses) return Uint32Array.of(0, 0, 0xffff, Number(point));
  const value = point - ipv4Addresses;
  return Uint32Array.from([96n, 64n, 32n, 0n], (shift) => Number((value >> shift) & 0xffffffffn));
}

export function pointOf(words: Uint32Array, family: 'ipv4' | 'ipv6'): bigint {
  return addressBounds(Uint32Array.of(...words, ...words), family === 'ipv4')[0] ?? 0n;
}

/** Points of an axis from 0 up to here. */
export const axisEnd = (field: Field, names = 0): Point => {
  const last = absent[field];
  if (last === null) return field === 'etherType' ? etherTypesEnd : names;
  return typeof last === 'bigint' ? last + 1n : last + 1;
};
