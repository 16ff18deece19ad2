// The conditions of a rule as sets of values, field by field: what compiler, checks and proofs work on.
//
// A rule matches a packet when every field of the packet is in the field's set. null: not asked, so that packets
// without the field match too (PACKETS.md §3). The evaluator reads the documents by itself and not through this.

import type { Expectation, OrNot, PacketMatch, PortMatch, Protocol, VlanMatch } from '../contract/policy.ts';
import { dscpNames, etherTypeNumber, flagBits, protocolNumber } from './numbers.ts';
import { allPorts, type PortRange, portMax, portRanges } from './ports.ts';
import { type AddressRanges, allAddresses, complement } from './ranges.ts';
import type { ResolvedSet } from './sets.ts';

export type PacketFamily = 'ipv4' | 'ipv6' | 'other';
export const ipFamilies = ['ipv4', 'ipv6'] as const;

/** Bits of `states`. */
export const stateBits = { new: 1, established: 2, related: 4, invalid: 8 } as const;
/** Bits of `fragments`. */
export const fragmentBits = { none: 1, first: 2, later: 4 } as const;

export interface PacketConditions {
  /** Of the families the conditions name, those for which addresses are left. */
  readonly families: readonly PacketFamily[];
  readonly from: AddressRanges;
  readonly to: AddressRanges;
  /** As resolved, for those who keep sets apart; null: not asked. */
  readonly fromSet: ResolvedSet | null;
  readonly toSet: ResolvedSet | null;
  /** Sorted, without duplicates. */
  readonly protocols: readonly number[] | null;
  readonly ports: { readonly from: readonly PortRange[]; readonly to: readonly PortRange[] } | null;
  readonly tcpFlags: { readonly mask: number; readonly value: number } | null;
  /** Ranges of type × 256 + code. */
  readonly icmp: readonly PortRange[] | null;
  /** `stateBits`. */
  readonly states: number | null;
  readonly toDevice: boolean | null;
  /** `device` and names of zones; `not`: any but these. */
  readonly origin: Named | null;
  /** Globs. */
  readonly interfaces: Named | null;
  readonly vlan: VlanConditions | null;
  /** Ranges of EtherTypes. */
  readonly etherTypes: readonly PortRange[] | null;
  /** 48-bit numbers, in order. */
  readonly macFrom: Macs | null;
  readonly macTo: Macs | null;
  /** Ranges of 0–63. */
  readonly dscp: readonly PortRange[] | null;
  readonly length: readonly PortRange[] | null;
  /** `fragmentBits`; null: not asked, all. */
  readonly fragments: number | null;
}

export interface Named {
  readonly names: readonly string[];
  readonly not: boolean;
}
export interface Macs {
  readonly values: readonly number[];
  readonly not: boolean;
}
/** `none`: no such tag. null: not asked. */
export interface VlanConditions {
  readonly outer: readonly PortRange[] | 'none' | null;
  readonly inner: readonly PortRange[] | 'none' | null;
}

type Match = PacketMatch & Partial<Pick<Expectation, 'zone'>>;

/** `from` and `to` as resolved; null where the rule does not ask. For rules that were checked: what cannot be read is left out. */
export function packetConditions(
  rule: Match,
  from: ResolvedSet | null,
  to: ResolvedSet | null,
): PacketConditions {
  const fromRanges = effective(from);
  const toRanges = effective(to);
  const protocols = optional(rule.protocol, protocolsOf);
  const { ports, tcpFlags, mac } = rule;
  return {
    families: familiesAsked(rule).filter(
      (family) => family === 'other' || (fromRanges[family].length > 0 && toRanges[family].length > 0),
    ),
    from: fromRanges,
    to: toRanges,
    fromSet: from,
    toSet: to,
    protocols,
    ports:
      ports === undefined
        ? null
        : {
            from: optional(ports.from, portsOf) ?? [allPorts],
            to: optional(ports.to, portsOf) ?? [allPorts],
          },
    tcpFlags:
      tcpFlags === undefined
        ? null
        : { mask: flagBits(tcpFlags.set) | flagBits(tcpFlags.unset), value: flagBits(tcpFlags.set) },
    icmp: optional(rule.icmp, (match) => orNot(match, icmpRanges, portMax)),
    states: optional(rule.state, (states) => listOf(states).reduce((bits, one) => bits | stateBits[one], 0)),
    toDevice: rule.toDevice ?? null,
    origin: optional(rule.origin, named),
    interfaces: optional(rule.interface, named),
    vlan: optional(rule.vlan, vlanOf),
    etherTypes: optional(rule.etherType, (match) =>
      orNot(match, (one) => ranges(listOf(one).map(etherTypeNumber)), portMax),
    ),
    macFrom: optional(mac?.from, macsOf),
    macTo: optional(mac?.to, macsOf),
    dscp: optional(rule.dscp, (match) => orNot(match, (one) => ranges(listOf(one).map(dscpNumber)), dscpMax)),
    length: optional(rule.length, portsOf),
    fragments: optional(rule.fragment, (fragment) =>
      fragment === 'any' ? fragmentBits.first | fragmentBits.later : fragmentBits[fragment],
    ),
  };
}

/** The families a rule's conditions speak of, before its addresses are looked at. */
export function familiesAsked(rule: Match): readonly PacketFamily[] {
  const protocols = optional(rule.protocol, protocolsOf);
  const byIcmp = (family: PacketFamily) =>
    rule.icmp === undefined || protocols === null || protocols.includes(family === 'ipv4' ? 1 : 58);
  if (rule.family !== undefined) return [rule.family].filter(byIcmp);
  const isIpOnly = ipConditions.some((condition) => rule[condition] !== undefined);
  return isIpOnly ? ipFamilies.filter(byIcmp) : [...ipFamilies, 'other'];
}

/** Conditions on what only IP packets have. */
const ipConditions = [
  'from',
  'to',
  'protocol',
  'ports',
  'tcpFlags',
  'icmp',
  'state',
  'toDevice',
  'dscp',
  'length',
  'fragment',
] as const;

const dscpMax = 63;
const protocolMax = 255;

const optional = <T, R>(value: T | undefined, read: (value: T) => R): R | null =>
  value === undefined ? null : read(value);
const listOf = <T>(value: T | readonly T[]): readonly T[] => (Array.isArray(value) ? value : [value as T]);

function isNot<T>(match: OrNot<T>): match is { readonly not: T } {
  return typeof match === 'object' && match !== null && 'not' in match;
}

/** Ranges of numbers, turned round inside 0–`last` where `not` is said. */
function orNot<T>(
  match: OrNot<T>,
  read: (value: T) => readonly PortRange[],
  last: number,
): readonly PortRange[] {
  return isNot(match) ? turnedRound(read(match.not), last) : read(match);
}

function turnedRound(all: readonly PortRange[], last: number): readonly PortRange[] {
  const gaps: PortRange[] = [];
  let next = 0;
  for (const range of all) {
    if (range.first > next) gaps.push({ first: next, last: range.first - 1 });
    next = range.last + 1;
  }
  return next > last ? gaps : [...gaps, { first: next, last }];
}

const ranges = (numbers: readonly number[]) => (numbers.length === 0 ? [] : portRanges(numbers, () => {}));
const portsOf = (match: OrNot<PortMatch>) => orNot(match, (one) => portRanges(one, () => {}), portMax);

function protocolsOf(match: OrNot<Protocol | readonly Protocol[]>): readonly number[] {
  if (!isNot(match)) return [...new Set(listOf(match).map(protocolNumber))].toSorted((a, b) => a - b);
  const listed = new Set(listOf(match.not).map(protocolNumber));
  return Array.from({ length: protocolMax + 1 }, (_, number) => number).filter(
    (number) => !listed.has(number),
  );
}

/** `3/4` is one type and code, `8` a type with every code, `128-129` every code of several types. */
function icmpRanges(match: number | string | readonly (number | string)[]): readonly PortRange[] {
  const read = (one: number | string): readonly (number | string)[] => {
    const parts = /^(\d+)(?:([/-])(\d+))?$/.exec(String(one));
    if (parts === null) return [];
    const [first, second] = [Number(parts[1]), Number(parts[3])];
    if (parts[2] === '/') return [first * 256 + second];
    return [`${first * 256}-${(parts[2] === '-' ? second : first) * 256 + 255}`];
  };
  const entries = listOf(match).flatMap(read);
  return entries.length === 0 ? [] : portRanges(entries, () => {});
}

const named = (match: OrNot<string | readonly string[]>): Named => ({
  names: listOf(isNot(match) ? match.not : match),
  not: isNot(match),
});

const macNumber = (mac: string) => Number.parseInt(mac.replaceAll(':', ''), 16);
const macsOf = (match: OrNot<string | readonly string[]>): Macs => ({
  values: [...new Set(listOf(isNot(match) ? match.not : match).map(macNumber))].toSorted((a, b) => a - b),
  not: isNot(match),
});

const dscpNumber = (dscp: string | number) => (typeof dscp === 'number' ? dscp : (dscpNames[dscp] ?? 0));

function vlanOf(match: VlanMatch): VlanConditions {
  const tag = (one: PortMatch | 'none' | undefined) =>
    one === undefined ? null : one === 'none' ? 'none' : portRanges(one, () => {});
  if (typeof match === 'object' && !Array.isArray(match)) {
    const { outer, inner } = match as Exclude<VlanMatch, PortMatch | 'none'>;
    return { outer: tag(outer), inner: tag(inner) };
  }
  return { outer: tag(match as PortMatch | 'none'), inner: null };
}

const complements = new WeakMap<AddressRanges, AddressRanges>();

/** The addresses a condition allows, negation carried out. */
export function effective(set: ResolvedSet | null): AddressRanges {
  if (set === null) return allAddresses;
  if (!set.not) return set.ranges;
  const known = complements.get(set.ranges);
  if (known !== undefined) return known;
  const turned = complement(set.ranges);
  complements.set(set.ranges, turned);
  return turned;
}
