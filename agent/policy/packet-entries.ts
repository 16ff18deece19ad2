// One rule as entries: what the classes tell apart, and what is compared on the entries they lead to.
//
// An entry holds one range for each field that is compared, so that a rule becomes several where it lists several
// VLANs, EtherTypes, lengths or code points; all of them count as the one rule.

import {
  HUSK_EXTRA_DMAC,
  HUSK_EXTRA_LIMIT,
  HUSK_EXTRA_MACS,
  HUSK_EXTRA_NOT_DMAC,
  HUSK_EXTRA_NOT_SMAC,
  HUSK_EXTRA_SMAC,
  HUSK_EXTRA_TCP,
  HUSK_EXTRA_VLAN,
  type HuskExtra,
  type HuskLimit,
  HuskLimitOver,
  HuskLimitPer,
} from '../../bpf/abi/layout.gen.ts';
import {
  type AddressPair,
  anyDevice,
  anyFragment,
  anyState,
  type ClassifierEntry,
} from './classifier/entry.ts';
import type { Macs, Named, PacketConditions, PacketFamily, VlanConditions } from './packet-conditions.ts';
import { allPorts, type PortRange } from './ports.ts';
import { type AddressRanges, allAddresses } from './ranges.ts';
import { type Rate, rateDigest } from './rate.ts';
import type { SetBit } from './set-uses.ts';
import { holdTo } from './tables.ts';

export interface RuleEntry {
  readonly classes: Omit<ClassifierEntry, 'row'>;
  /** null: the classes say it all. */
  readonly extra: HuskExtra | null;
}

/** What the compiler knows besides a rule's own conditions. */
export interface EntryContext {
  /** `document/rule`. */
  readonly id: string;
  readonly zone: number;
  readonly from: SetBit | null;
  readonly to: SetBit | null;
  readonly rate: Rate | null;
  /** The bit of a condition on interfaces. */
  interfaceBit(globs: Named): number;
  /** Bits of `husk_extra.origins`. */
  originBits(origin: Named): number;
}

/** Entries of one rule; a rule that needs more says too much at once. */
const entriesMax = 256;
const anyWord: PortRange = allPorts;
const anyByte: PortRange = { first: 0, last: 255 };
const present = 0x1000;

export function entriesOf(conditions: PacketConditions, context: EntryContext): readonly RuleEntry[] {
  const alternatives = extrasOf(conditions, context);
  const entries = familiesApart(conditions).flatMap((one) => {
    const classes = classesOf(one, context);
    return alternatives.map((extra) => ({ classes, extra }));
  });
  holdTo(entriesMax, entries.length, `entries for rule ${context.id}`, () => context.id);
  return entries;
}

/** ICMP types stand in the place of ports, and mean another protocol in each family. */
function familiesApart(conditions: PacketConditions): readonly PacketConditions[] {
  const { icmp, families, protocols } = conditions;
  if (icmp === null) return [conditions];
  return families.flatMap((family): readonly PacketConditions[] => {
    const protocol = family === 'ipv4' ? 1 : 58;
    if (family === 'other' || protocols?.includes(protocol) === false) return [];
    const ports = { from: [{ first: 0, last: 0 }], to: icmp };
    return [{ ...conditions, families: [family], protocols: [protocol], ports }];
  });
}

const protocolsWithPorts = [6, 17, 132, 136];

function classesOf(conditions: PacketConditions, context: EntryContext): Omit<ClassifierEntry, 'row'> {
  const { families, ports, protocols, icmp, tcpFlags } = conditions;
  const from = context.from === null ? conditions.from : allAddresses;
  const to = context.to === null ? conditions.to : allAddresses;
  const pair = (family: 'ipv4' | 'ipv6'): AddressPair | null =>
    families.includes(family) ? pairOf(from, to, family) : null;
  const meant = tcpFlags !== null ? [6] : ports !== null && icmp === null ? protocolsWithPorts : null;
  return {
    ipv4: pair('ipv4'),
    ipv6: pair('ipv6'),
    other: families.includes('other'),
    protocols: both(protocols, meant),
    ports,
    zones: 1 << context.zone,
    states: conditions.states === null ? anyState : conditions.states << 1,
    device: conditions.toDevice === null ? anyDevice : conditions.toDevice ? 2 : 1,
    fragments: conditions.fragments ?? anyFragment,
    sets: {
      care: (context.from?.care ?? 0) | (context.to?.care ?? 0),
      value: (context.from?.value ?? 0) | (context.to?.value ?? 0),
    },
  };
}

const pairOf = (
  from: AddressRanges,
  to: AddressRanges,
  family: Exclude<PacketFamily, 'other'>,
): AddressPair => ({
  from: from[family],
  to: to[family],
});

function both(a: readonly number[] | null, b: readonly number[] | null): readonly number[] | null {
  if (a === null || b === null) return a ?? b;
  return a.filter((one) => b.includes(one));
}

/** A product of ranges, one extra for each combination; null where nothing is asked. */
function extrasOf(conditions: PacketConditions, context: EntryContext): readonly (HuskExtra | null)[] {
  const { rate } = context;
  const plain = plainExtra(conditions, context);
  const asksMore =
    plain.flags !== 0 || plain.origins !== noOrigins || plain.interfaceCare !== 0 || rate !== null;
  const lists = {
    smac: macGroups(conditions.macFrom),
    dmac: macGroups(conditions.macTo),
    outer: tagRanges(conditions.vlan, 'outer'),
    inner: tagRanges(conditions.vlan, 'inner'),
    etherType: conditions.etherTypes ?? [anyWord],
    length: conditions.length ?? [anyWord],
    dscp: conditions.dscp ?? [anyByte],
  };
  const { vlan, etherTypes, length, dscp } = conditions;
  if (!asksMore && vlan === null && etherTypes === null && length === null && dscp === null) return [null];
  const extras: HuskExtra[] = [];
  for (const smac of lists.smac)
    for (const dmac of lists.dmac)
      for (const outer of lists.outer)
        for (const inner of lists.inner)
          for (const etherType of lists.etherType)
            for (const length of lists.length)
              for (const dscp of lists.dscp) {
                holdTo(entriesMax, extras.length + 1, `entries for rule ${context.id}`, () => context.id);
                extras.push({
                  ...plain,
                  smac,
                  dmac,
                  outerVlanFirst: outer.first,
                  outerVlanLast: outer.last,
                  innerVlanFirst: inner.first,
                  innerVlanLast: inner.last,
                  etherTypeFirst: etherType.first,
                  etherTypeLast: etherType.last,
                  lengthFirst: length.first,
                  lengthLast: length.last,
                  dscpFirst: dscp.first,
                  dscpLast: dscp.last,
                });
              }
  return extras;
}

/** Every origin. */
const noOrigins = 0xffffffff;
const noMacs: readonly bigint[] = Array.from({ length: HUSK_EXTRA_MACS }, () => 0n);
const limitPers = {
  rule: HuskLimitPer.RULE,
  source: HuskLimitPer.SOURCE,
  flow: HuskLimitPer.FLOW,
} as const;

/** As the programs have it. */
export function limitOf(id: string, rate: Rate | null): HuskLimit {
  return {
    costNs: rate?.costNs ?? 0n,
    depthNs: rate?.depthNs ?? 0n,
    digest: rate === null ? 0n : rateDigest(id, rate),
    per: limitPers[rate?.per ?? 'rule'],
    over: rate?.overDrops ? HuskLimitOver.DROP : HuskLimitOver.NEXT,
    prefix4: rate?.prefix4 ?? 0,
    prefix6: rate?.prefix6 ?? 0,
  };
}

function plainExtra(conditions: PacketConditions, context: EntryContext): HuskExtra {
  const { macFrom, macTo, vlan, tcpFlags, origin, interfaces } = conditions;
  const { rate } = context;
  const interfaceBit = interfaces === null ? 0 : context.interfaceBit(interfaces);
  return {
    smac: noMacs,
    dmac: noMacs,
    limit: limitOf(context.id, rate),
    origins: origin === null ? noOrigins : context.originBits(origin),
    interfaceCare: interfaceBit,
    interfaceValue: interfaceBit,
    outerVlanFirst: 0,
    outerVlanLast: allPorts.last,
    innerVlanFirst: 0,
    innerVlanLast: allPorts.last,
    etherTypeFirst: 0,
    etherTypeLast: allPorts.last,
    lengthFirst: 0,
    lengthLast: allPorts.last,
    dscpFirst: 0,
    dscpLast: 255,
    tcpFlagsMask: tcpFlags?.mask ?? 0,
    tcpFlagsValue: tcpFlags?.value ?? 0,
    flags:
      (macFrom === null ? 0 : HUSK_EXTRA_SMAC | (macFrom.not ? HUSK_EXTRA_NOT_SMAC : 0)) |
      (macTo === null ? 0 : HUSK_EXTRA_DMAC | (macTo.not ? HUSK_EXTRA_NOT_DMAC : 0)) |
      (vlan === null ? 0 : HUSK_EXTRA_VLAN) |
      (tcpFlags === null ? 0 : HUSK_EXTRA_TCP) |
      (rate === null ? 0 : HUSK_EXTRA_LIMIT),
  };
}

/** Groups of as many as an entry holds, a short one filled up with its first. "None of these" needs all in one. */
function macGroups(macs: Macs | null): readonly (readonly bigint[])[] {
  if (macs === null) return [noMacs];
  if (macs.not) holdTo(HUSK_EXTRA_MACS, macs.values.length, 'MAC addresses behind a not');
  const groups: (readonly bigint[])[] = [];
  for (let at = 0; at < macs.values.length; at += HUSK_EXTRA_MACS) {
    const group = macs.values.slice(at, at + HUSK_EXTRA_MACS).map(BigInt);
    groups.push(Array.from({ length: HUSK_EXTRA_MACS }, (_, index) => group[index] ?? group[0] ?? 0n));
  }
  return groups;
}

/** Ids with the bit that says a tag is there; 0 is no tag. */
function tagRanges(vlan: VlanConditions | null, which: 'outer' | 'inner'): readonly PortRange[] {
  const asked = vlan?.[which] ?? null;
  if (asked === null) return [anyWord];
  if (asked === 'none') return [{ first: 0, last: 0 }];
  return asked.map(({ first, last }) => ({ first: first | present, last: last | present }));
}
