// What a rule can reach: its conditions as sets of packets or calls, to tell which rules can never match.
//
// One rule covers another when each of its conditions holds wherever the other's does. That a rule is
// covered by several earlier ones together is not looked for here.

import type { CallMatch, HardeningRule } from '../contract/policy.ts';
import { rangeWords } from './addresses.ts';
import { globsOverlap, matchesGlob } from './globs.ts';
import type { CallName } from './ids.ts';
import { etherTypeNumbers, protocolNumber } from './numbers.ts';
import {
  effective,
  ipFamilies,
  type Macs,
  type Named,
  type PacketConditions,
  type PacketFamily,
  type VlanConditions,
} from './packet-conditions.ts';
import { type PortRange, portRanges, portsCover, portsOverlap } from './ports.ts';
import { type AddressRanges, covers, firstOverlap, type Ranges } from './ranges.ts';
import type { ResolvedSet } from './sets.ts';

/** Whether every packet that `inner` reaches is reached by `outer`. Cheap comparisons first. */
export function packetCovers(outer: PacketConditions, inner: PacketConditions): boolean {
  return (
    inner.families.every((family) => outer.families.includes(family)) &&
    asked(outer.protocols, inner.protocols, (a, b) => b.every((one) => a.includes(one))) &&
    asked(outer.ports, inner.ports, (a, b) => portsCover(a.to, b.to) && portsCover(a.from, b.from)) &&
    asked(outer.states, inner.states, (a, b) => (b & ~a) === 0) &&
    asked(outer.toDevice, inner.toDevice, (a, b) => a === b) &&
    asked(outer.icmp, inner.icmp, portsCover) &&
    asked(outer.tcpFlags, inner.tcpFlags, flagsCover) &&
    asked(outer.fragments, inner.fragments, (a, b) => (b & ~a) === 0) &&
    asked(outer.dscp, inner.dscp, portsCover) &&
    asked(outer.length, inner.length, portsCover) &&
    asked(outer.etherTypes, etherTypesOf(inner), portsCover) &&
    asked(outer.vlan, inner.vlan, vlanCovers) &&
    asked(outer.macFrom, inner.macFrom, macsCover) &&
    asked(outer.macTo, inner.macTo, macsCover) &&
    asked(outer.origin, inner.origin, (a, b) => namesCover(a, b, (one, other) => one === other)) &&
    asked(outer.interfaces, inner.interfaces, (a, b) => namesCover(a, b, globCovers)) &&
    ipFamilies.every(
      (family) =>
        !inner.families.includes(family) ||
        (coversOnce(outer.from[family], inner.from[family]) &&
          coversOnce(outer.to[family], inner.to[family])),
    )
  );
}

/**
 * The condition that no value is left of, as where a negation takes all there is, or null. Rules with one reach nothing,
 * so that everything covers them. Addresses and EtherTypes are looked at by `families` and `familiesLeft`.
 */
export function emptyCondition(conditions: PacketConditions): string | null {
  const { protocols, ports, icmp, dscp, length, interfaces } = conditions;
  if (protocols?.length === 0) return 'protocol';
  if (ports?.from.length === 0 || ports?.to.length === 0) return 'ports';
  if (icmp?.length === 0) return 'icmp';
  if (dscp?.length === 0) return 'dscp';
  if (length?.length === 0) return 'length';
  return interfaces?.not === true && interfaces.names.includes('*') ? 'interface' : null;
}

/** What is not asked covers all; what is asked covers nothing of a rule that does not ask. */
const asked = <T>(outer: T | null, inner: T | null, covers: (outer: T, inner: T) => boolean) =>
  outer === null || (inner !== null && covers(outer, inner));

type Flags = NonNullable<PacketConditions['tcpFlags']>;
const flagsCover = (outer: Flags, inner: Flags) =>
  (inner.mask & outer.mask) === outer.mask && (inner.value & outer.mask) === outer.value;

const etherTypeOfFamily = { ipv4: etherTypeNumbers.ipv4, ipv6: etherTypeNumbers.ipv6 } as const;

/** Where only IP is asked for, its EtherTypes are known without being written. */
function etherTypesOf({ etherTypes, families }: PacketConditions): readonly PortRange[] | null {
  if (etherTypes !== null || families.includes('other')) return etherTypes;
  return families.flatMap((family) => {
    if (family === 'other') return [];
    return [{ first: etherTypeOfFamily[family], last: etherTypeOfFamily[family] }];
  });
}

/** Families of which the EtherTypes that are asked for leave something. */
export function familiesLeft({ families, etherTypes }: PacketConditions): readonly PacketFamily[] {
  if (etherTypes === null) return families;
  const isOnly = (number: number) => number === etherTypeNumbers.ipv4 || number === etherTypeNumbers.ipv6;
  return families.filter((family) =>
    family === 'other'
      ? etherTypes.some(({ first, last }) => first !== last || !isOnly(first))
      : portsOverlap(etherTypes, [{ first: etherTypeOfFamily[family], last: etherTypeOfFamily[family] }]),
  );
}

function vlanCovers(outer: VlanConditions, inner: VlanConditions): boolean {
  const tagCovers = (a: VlanConditions['outer'], b: VlanConditions['outer']) =>
    a === null || (a === 'none' ? b === 'none' : b !== null && b !== 'none' && portsCover(a, b));
  // Without an outer tag there is no inner one.
  const innerTag = inner.outer === 'none' ? 'none' : inner.inner;
  return tagCovers(outer.outer, inner.outer) && tagCovers(outer.inner, innerTag);
}

const macsCover = (outer: Macs, inner: Macs) =>
  listCovers(outer, outer.values, inner, inner.values, (a, b) => a === b);

const namesCover = (outer: Named, inner: Named, covers: (a: string, b: string) => boolean) =>
  listCovers(outer, outer.names, inner, inner.names, covers, (a, b) => globsOverlap(a, b));

/** Lists that are meant, or everything but them. */
function listCovers<T>(
  { not: outerNot }: { readonly not: boolean },
  outer: readonly T[],
  { not: innerNot }: { readonly not: boolean },
  inner: readonly T[],
  covers: (a: T, b: T) => boolean,
  overlap: (a: T, b: T) => boolean = covers,
): boolean {
  if (!outerNot && !innerNot) return inner.every((one) => outer.some((other) => covers(other, one)));
  if (outerNot && innerNot) return outer.every((one) => inner.some((other) => covers(other, one)));
  return outerNot && !inner.some((one) => outer.some((other) => overlap(other, one)));
}

/** Whether every name that fits `inner` fits `outer`, as far as it can be told from the patterns. */
const globCovers = (outer: string, inner: string) =>
  outer === inner || outer === '*' || (!/[*?]/.test(inner) && matchesGlob(outer, inner));

/**
 * Whether some packet is reached by both, their source and destination addresses left aside. Interfaces, VLANs and
 * MAC addresses are not compared.
 */
export function packetsMeetButAddresses(a: PacketConditions, b: PacketConditions): boolean {
  const both = <T>(one: T | null, other: T | null, meet: (one: T, other: T) => boolean) =>
    one === null || other === null || meet(one, other);
  return (
    a.families.some((family) => b.families.includes(family)) &&
    both(a.protocols, b.protocols, (one, other) => one.some((number) => other.includes(number))) &&
    both(
      a.ports,
      b.ports,
      (one, other) => portsOverlap(one.from, other.from) && portsOverlap(one.to, other.to),
    ) &&
    both(a.states, b.states, (one, other) => (one & other) !== 0) &&
    both(a.toDevice, b.toDevice, (one, other) => one === other) &&
    both(a.icmp, b.icmp, portsOverlap) &&
    both(a.fragments, b.fragments, (one, other) => (one & other) !== 0) &&
    both(a.dscp, b.dscp, portsOverlap) &&
    both(a.length, b.length, portsOverlap) &&
    both(a.etherTypes, b.etherTypes, portsOverlap) &&
    both(a.tcpFlags, b.tcpFlags, (one, other) => {
      const mask = one.mask & other.mask;
      return (one.value & mask) === (other.value & mask);
    })
  );
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
