// The conditions of a rule, one function each (PACKETS.md §3). A condition on a field that the packet does not
// have never holds, negated or not.

import type {
  AddressMatch,
  ConnectionState,
  IcmpMatch,
  OrNot,
  PacketMatch,
  PacketPolicy,
  PortMatch,
  VlanMatch,
} from '../../contract/policy.ts';
import { matchesGlob } from '../globs.ts';
import type { Direction } from '../ids.ts';
import { dscpNames, etherTypeNumber, flagBits, protocolNumber } from '../numbers.ts';
import type { Packet } from '../packet.ts';
import { portRanges, portsHold } from '../ports.ts';
import { holds } from '../ranges.ts';
import type { SetResolver } from '../sets.ts';
import { unreadable } from './checked.ts';

/** A packet at the place where it is judged, with what was found out about it before the rules. */
export interface Seen {
  readonly packet: Packet;
  readonly interface: string;
  readonly direction: Direction;
  /** null: it was made here. */
  readonly cameBy: string | null;
  /** null: none, or connections are not followed. */
  readonly state: ConnectionState | null;
  readonly isToDevice: boolean;
}

export type Condition = (seen: Seen) => boolean;

/** Whether the packet's value fits; null where it has none. */
type Test<T> = (value: T) => boolean;

export function conditionsOf(
  document: PacketPolicy,
  rule: PacketMatch,
  direction: Direction,
  sets: SetResolver,
): readonly Condition[] {
  const { family, from, to, protocol, ports, tcpFlags, icmp, state, toDevice } = rule;
  const conditions: Condition[] = [];
  const add = <T>(match: T | undefined, condition: (match: T) => Condition) => {
    if (match !== undefined) conditions.push(condition(match));
  };
  add(
    family,
    (wanted) =>
      ({ packet }) =>
        packet.family === wanted,
  );
  add(protocol, (match) => onField(orNot(match, isProtocol), ({ packet }) => packet.protocol));
  add(
    ports,
    () =>
      ({ packet }) =>
        packet.ports !== null,
  );
  add(ports?.from, (match) => onField(orNot(match, isNumber), ({ packet }) => packet.ports?.from));
  add(ports?.to, (match) => onField(orNot(match, isNumber), ({ packet }) => packet.ports?.to));
  add(from, (match) => addressIn(document, match, sets, ({ source }) => source));
  add(to, (match) => addressIn(document, match, sets, ({ destination }) => destination));
  add(tcpFlags, ({ set, unset }) =>
    onField(hasFlags(flagBits(set), flagBits(unset)), (seen) => seen.packet.tcpFlags),
  );
  add(icmp, (match) => onField(orNot(match, isIcmp), ({ packet }) => packet.icmp));
  add(state, (match) => onField(isOneOf(listOf(match)), (seen) => seen.state));
  add(
    toDevice,
    (wanted) => (seen) =>
      direction === 'ingress' && seen.packet.family !== 'other' && seen.isToDevice === wanted,
  );
  add(rule.origin, (match) => {
    const test = orNot(match, (names) => comesFrom(document, listOf(names)));
    return (seen) => direction === 'egress' && test(seen.cameBy);
  });
  add(rule.interface, (match) =>
    onField(
      orNot(match, (globs) => (name: string) => listOf(globs).some((glob) => matchesGlob(glob, name))),
      (seen) => seen.interface,
    ),
  );
  add(rule.vlan, (match) => onField(hasTags(match), ({ packet }) => packet.vlans));
  add(rule.etherType, (match) =>
    onField(
      orNot(match, (types) => isOneOf(listOf(types).map(etherTypeNumber))),
      ({ packet }) => packet.etherType,
    ),
  );
  add(rule.mac?.from, (match) => onField(orNot(match, isMac), ({ packet }) => packet.macs?.from));
  add(rule.mac?.to, (match) => onField(orNot(match, isMac), ({ packet }) => packet.macs?.to));
  add(rule.dscp, (match) => onField(orNot(match, isCodePoint), ({ packet }) => packet.dscp));
  add(rule.length, (match) => onField(orNot(match, isNumber), ({ packet }) => packet.length));
  add(
    rule.fragment,
    (match) =>
      ({ packet }) =>
        packet.family !== 'other' &&
        (match === 'any' ? packet.fragment !== 'none' : packet.fragment === match),
  );
  return conditions;
}

function onField<T>(test: Test<T>, field: (seen: Seen) => T | null | undefined): Condition {
  return (seen) => {
    const value = field(seen);
    return value !== null && value !== undefined && test(value);
  };
}

function orNot<M, T>(match: OrNot<M>, read: (match: M) => Test<T>): Test<T> {
  if (typeof match !== 'object' || match === null || !('not' in match)) return read(match as M);
  const test = read(match.not);
  return (value) => !test(value);
}

const listOf = <T>(match: T | readonly T[]): readonly T[] => (Array.isArray(match) ? match : [match as T]);
// Most rules name one value, and a walk asks thousands of them.
function isOneOf<T>(values: readonly T[]): Test<T> {
  const [only] = values;
  return values.length === 1 ? (value) => value === only : (value) => values.includes(value);
}

const isProtocol = (
  match: Parameters<typeof protocolNumber>[0] | readonly Parameters<typeof protocolNumber>[0][],
) => isOneOf(listOf(match).map(protocolNumber));

function isNumber(match: PortMatch): Test<number> {
  const ranges = portRanges(match, unreadable);
  const [{ first, last } = { first: 1, last: 0 }] = ranges;
  return ranges.length === 1
    ? (number) => first <= number && number <= last
    : (number) => portsHold(ranges, number);
}

function hasFlags(set: number, unset: number): Test<number> {
  return (flags) => (flags & set) === set && (flags & unset) === 0;
}

/** `8`, `3/4`, `128-129`. */
function isIcmp(match: IcmpMatch): Test<NonNullable<Packet['icmp']>> {
  const tests = listOf<number | string>(match as number | string).map(
    (one): Test<NonNullable<Packet['icmp']>> => {
      const [type, code] = String(one).split('/');
      const [first, last = first] = (type ?? '').split('-').map(Number);
      return (icmp) =>
        Number(first) <= icmp.type &&
        icmp.type <= Number(last) &&
        (code === undefined || icmp.code === Number(code));
    },
  );
  return (icmp) => tests.some((test) => test(icmp));
}

/** An IPv6 packet is in no IPv4 prefix, also with mapped addresses. */
function addressIn(
  document: PacketPolicy,
  match: AddressMatch,
  sets: SetResolver,
  address: (packet: Packet) => Uint32Array,
): Condition {
  const set = sets.match(document, match);
  return ({ packet }) =>
    packet.family !== 'other' && holds(set.ranges[packet.family], address(packet), 0) !== set.not;
}

/** By which interface it came in, null: by none; as words of this policy. */
function comesFrom({ spec }: PacketPolicy, names: readonly string[]): Test<string | null> {
  const globs = names.flatMap((name) =>
    Object.hasOwn(spec.zones, name) ? (spec.zones[name]?.interfaces ?? []) : [],
  );
  return (cameBy) =>
    cameBy === null ? names.includes('device') : globs.some((glob) => matchesGlob(glob, cameBy));
}

function hasTags(match: VlanMatch): Test<readonly number[]> {
  if (match === 'none') return (ids) => ids.length === 0;
  if (typeof match !== 'object' || Array.isArray(match)) return hasTag(match as PortMatch, 0);
  const { outer, inner } = match as Exclude<VlanMatch, PortMatch | 'none'>;
  const tests = [
    ...(outer === undefined ? [] : [hasTag(outer, 0)]),
    ...(inner === undefined
      ? []
      : [inner === 'none' ? (ids: readonly number[]) => ids.length < 2 : hasTag(inner, 1)]),
  ];
  return (ids) => tests.every((test) => test(ids));
}

function hasTag(match: PortMatch, at: number): Test<readonly number[]> {
  const test = isNumber(match);
  return (ids) => {
    const id = ids[at];
    return id !== undefined && test(id);
  };
}

function isMac(match: string | readonly string[]): Test<number> {
  return isOneOf(listOf(match).map((mac) => Number.parseInt(mac.replaceAll(':', ''), 16)));
}

function isCodePoint(match: (string | number) | readonly (string | number)[]): Test<number> {
  return isOneOf(listOf(match).map((one) => (typeof one === 'number' ? one : dscpNames[one])));
}
