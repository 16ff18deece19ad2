// What a rule can reach: its conditions as sets of packets or calls, to tell which rules can never match.
//
// One rule covers another when each of its conditions holds wherever the other's does. That a rule is
// covered by several earlier ones together is not looked for here.

import type { CallMatch, HardeningRule, PacketRule, PortMatch } from '../contract/policy.ts';
import { rangeWords } from './addresses.ts';
import type { CallName } from './ids.ts';
import { flagBits, protocolNumber } from './numbers.ts';
import { allPorts, type PortRange, portRanges, portsCover, portsOverlap } from './ports.ts';
import { type AddressRanges, allAddresses, complement, covers, firstOverlap, type Ranges } from './ranges.ts';
import type { ResolvedSet } from './sets.ts';

export type PacketFamily = 'ipv4' | 'ipv6' | 'other';
const ipFamilies = ['ipv4', 'ipv6'] as const;

export interface PacketReach {
  /** Of the families the conditions name, those for which addresses are left. */
  readonly families: readonly PacketFamily[];
  readonly from: AddressRanges;
  readonly to: AddressRanges;
  /** null: any, also none. */
  readonly protocol: number | null;
  /** null: not asked, so that later fragments match too. */
  readonly ports: { readonly from: readonly PortRange[]; readonly to: readonly PortRange[] } | null;
  /** null: not asked. */
  readonly tcpFlags: { readonly mask: number; readonly value: number } | null;
}

/** The families a rule's conditions speak of, before its addresses are looked at. */
export function familiesAsked(rule: PacketRule): readonly PacketFamily[] {
  if (rule.family !== undefined) return [rule.family];
  const isIpOnly = rule.from !== undefined || rule.to !== undefined || rule.protocol !== undefined;
  return isIpOnly ? ipFamilies : [...ipFamilies, 'other'];
}

/** `from` and `to` as resolved; null where the rule does not ask. */
export function packetReach(rule: PacketRule, from: ResolvedSet | null, to: ResolvedSet | null): PacketReach {
  const fromRanges = effective(from);
  const toRanges = effective(to);
  const { ports, tcpFlags } = rule;
  const portsOf = (match: PortMatch | undefined) =>
    match === undefined ? [allPorts] : portRanges(match, () => {});
  return {
    families: familiesAsked(rule).filter(
      (family) => family === 'other' || (fromRanges[family].length > 0 && toRanges[family].length > 0),
    ),
    from: fromRanges,
    to: toRanges,
    protocol: rule.protocol === undefined ? null : protocolNumber(rule.protocol),
    ports: ports === undefined ? null : { from: portsOf(ports.from), to: portsOf(ports.to) },
    tcpFlags:
      tcpFlags === undefined
        ? null
        : { mask: flagBits(tcpFlags.set) | flagBits(tcpFlags.unset), value: flagBits(tcpFlags.set) },
  };
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

/** Whether every packet that `inner` reaches is reached by `outer`. Cheap comparisons first. */
export function packetCovers(outer: PacketReach, inner: PacketReach): boolean {
  if (outer.protocol !== null && outer.protocol !== inner.protocol) return false;
  if (!inner.families.every((family) => outer.families.includes(family))) return false;
  if (outer.ports !== null) {
    if (inner.ports === null) return false;
    if (!portsCover(outer.ports.from, inner.ports.from)) return false;
    if (!portsCover(outer.ports.to, inner.ports.to)) return false;
  }
  if (outer.tcpFlags !== null) {
    const { mask, value } = outer.tcpFlags;
    if (inner.tcpFlags === null || (inner.tcpFlags.mask & mask) !== mask) return false;
    if ((inner.tcpFlags.value & mask) !== value) return false;
  }
  return ipFamilies.every(
    (family) =>
      !inner.families.includes(family) ||
      (coversOnce(outer.from[family], inner.from[family]) && coversOnce(outer.to[family], inner.to[family])),
  );
}

/** Whether some packet is reached by both, their source and destination addresses left aside. */
export function packetsMeetButAddresses(a: PacketReach, b: PacketReach): boolean {
  if (a.protocol !== null && b.protocol !== null && a.protocol !== b.protocol) return false;
  if (!a.families.some((family) => b.families.includes(family))) return false;
  if (a.ports !== null && b.ports !== null) {
    if (!portsOverlap(a.ports.from, b.ports.from) || !portsOverlap(a.ports.to, b.ports.to)) return false;
  }
  if (a.tcpFlags === null || b.tcpFlags === null) return true;
  const both = a.tcpFlags.mask & b.tcpFlags.mask;
  return (a.tcpFlags.value & both) === (b.tcpFlags.value & both);
}

/** The first addresses that both hold, or null. */
export function commonAddresses(a: AddressRanges, b: AddressRanges): Uint32Array | null {
  return overlapOnce(a.ipv4, b.ipv4) ?? overlapOnce(a.ipv6, b.ipv6);
}

// A hundred rules may name two sets of a hundred thousand ranges by turns: each pair is compared once.
const coversOnce = once(covers);
const overlapOnce = once(firstOverlap);

function once<T>(compare: (a: Ranges, b: Ranges) => T): (a: Ranges, b: Ranges) => T {
  const known = new WeakMap<Ranges, WeakMap<Ranges, { readonly value: T }>>();
  return (a, b) => {
    // Short ones are compared faster than looked up.
    if (a.length + b.length < 64 * rangeWords) return compare(a, b);
    const ofA = known.get(a) ?? new WeakMap<Ranges, { readonly value: T }>();
    known.set(a, ofA);
    const found = ofA.get(b) ?? { value: compare(a, b) };
    ofA.set(b, found);
    return found.value;
  };
}

export interface CallReach {
  readonly call: CallName;
  readonly to: AddressRanges;
  readonly protocol: number | null;
  readonly ports: readonly PortRange[] | null;
  /** null: any. */
  readonly socketFamilies: readonly string[] | null;
  readonly socketTypes: readonly string[] | null;
}

export function callReach(rule: HardeningRule, set: ResolvedSet | null): CallReach {
  const match: CallMatch = rule.connect ?? rule.bind ?? {};
  return {
    call: rule.connect !== undefined ? 'connect' : rule.bind !== undefined ? 'bind' : 'socket',
    to: effective(set),
    protocol: match.protocol === undefined ? null : protocolNumber(match.protocol),
    ports: match.ports === undefined ? null : portRanges(match.ports, () => {}),
    socketFamilies: rule.socket?.family ?? null,
    socketTypes: rule.socket?.type ?? null,
  };
}

export function callCovers(outer: CallReach, inner: CallReach): boolean {
  const listCovers = (a: readonly string[] | null, b: readonly string[] | null) =>
    a === null || b?.every((one) => a.includes(one)) === true;
  if (outer.call !== inner.call) return false;
  if (outer.protocol !== null && outer.protocol !== inner.protocol) return false;
  if (outer.ports !== null && (inner.ports === null || !portsCover(outer.ports, inner.ports))) return false;
  if (!listCovers(outer.socketFamilies, inner.socketFamilies)) return false;
  if (!listCovers(outer.socketTypes, inner.socketTypes)) return false;
  return coversOnce(outer.to.ipv4, inner.to.ipv4) && coversOnce(outer.to.ipv6, inner.to.ipv6);
}
