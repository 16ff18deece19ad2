// What is wrong inside one PacketPolicy.

import type { AddressMatch, PacketPolicy, PacketRule, ZoneRules } from '../contract/policy.ts';
import { RefusalError } from '../contract/refusal.ts';
import { formatRange } from './addresses.ts';
import { type Checking, checkAddressSetName, checkEntries, checkEntry, checkPorts } from './checking.ts';
import type { Path } from './faults.ts';
import { directions, effectiveMode, raisesMode } from './ids.ts';
import { flagBits, protocolNumber, protocolsWithPorts } from './numbers.ts';
import { isEmpty } from './ranges.ts';
import {
  commonAddresses,
  familiesAsked,
  type PacketReach,
  packetCovers,
  packetReach,
  packetsMeetButAddresses,
} from './reach.ts';
import { isList, type ResolvedSet } from './sets.ts';

export function checkPacketPolicy(document: PacketPolicy, checking: Checking): void {
  const { spec } = document;
  const { fault } = checking;
  const setsUsed = new Set<string>();
  for (const [name, source] of Object.entries(spec.sets ?? {})) {
    const path = ['spec', 'sets', name];
    if (isList(source)) checkEntries(source, path, fault);
    else checkAddressSetName(source.addressSet, [...path, 'addressSet'], checking);
  }
  for (const direction of directions) {
    const zonesSeen = new Set<string>();
    spec[direction].forEach((zone, index) => {
      const path = ['spec', direction, index];
      if (!Object.hasOwn(spec.zones, zone.zone)) {
        fault([...path, 'zone'], `there is no zone "${zone.zone}" in this policy`);
      } else if (zonesSeen.has(zone.zone)) {
        fault([...path, 'zone'], `zone "${zone.zone}" is listed before in ${direction}`);
      }
      zonesSeen.add(zone.zone);
      checkZoneRules(document, zone, path, checking, setsUsed);
    });
  }
  warnOfUnused(document, setsUsed, checking);
}

function warnOfUnused({ spec }: PacketPolicy, setsUsed: ReadonlySet<string>, { fault }: Checking): void {
  const options = { severity: 'warning', what: 'key' } as const;
  for (const name of Object.keys(spec.sets ?? {})) {
    if (!setsUsed.has(name)) fault(['spec', 'sets', name], 'is used by no rule', options);
  }
  const judged = new Set(directions.flatMap((direction) => spec[direction].map(({ zone }) => zone)));
  for (const name of Object.keys(spec.zones)) {
    if (!judged.has(name)) fault(['spec', 'zones', name], 'has rules in neither direction', options);
  }
}

/** A rule with what it reaches, where its conditions could be read. */
interface Reaching {
  readonly rule: PacketRule;
  readonly reach: PacketReach;
  readonly from: ResolvedSet | null;
  readonly to: ResolvedSet | null;
}

function checkZoneRules(
  document: PacketPolicy,
  zone: ZoneRules,
  path: Path,
  checking: Checking,
  setsUsed: Set<string>,
): void {
  /** Rules that end the walk: what they cover, later rules never see. */
  const deciding: Reaching[] = [];
  zone.rules.forEach((rule, index) => {
    const at = [...path, 'rules', index];
    checkRule(document, rule, at, checking, setsUsed);
    if (effectiveMode(document.spec.mode, rule.mode) === 'off') return;
    const reaching = reachingOf(document, rule, checking);
    if (reaching === null) return;
    const never = neverMatches(reaching, deciding);
    if (never !== null) {
      checking.fault([...at, 'id'], `rule "${rule.id}" can never match: ${never}`);
      return;
    }
    warnOfSets(reaching, deciding, at, checking);
    if (effectiveMode(document.spec.mode, rule.mode) === 'enforce') deciding.push(reaching);
  });
}

function checkRule(
  document: PacketPolicy,
  rule: PacketRule,
  at: Path,
  checking: Checking,
  setsUsed: Set<string>,
): void {
  const { fault } = checking;
  if (raisesMode(document.spec.mode, rule.mode)) {
    fault(
      [...at, 'mode'],
      `a rule cannot raise the policy's mode from ${document.spec.mode} to ${rule.mode}`,
    );
  }
  checkAddressMatch(document, rule.from, [...at, 'from'], checking, setsUsed);
  checkAddressMatch(document, rule.to, [...at, 'to'], checking, setsUsed);
  const protocol = rule.protocol === undefined ? null : protocolNumber(rule.protocol);
  if (rule.ports !== undefined) {
    if (protocol === null || !protocolsWithPorts.includes(protocol)) {
      fault([...at, 'ports'], 'ports need protocol tcp, udp or sctp', { what: 'key' });
    }
    if (rule.ports.from === undefined && rule.ports.to === undefined) {
      fault([...at, 'ports'], 'has neither from nor to');
    }
    checkPorts(rule.ports.from, [...at, 'ports', 'from'], fault);
    checkPorts(rule.ports.to, [...at, 'ports', 'to'], fault);
  }
  if (rule.tcpFlags !== undefined) {
    if (protocol !== protocolNumber('tcp')) {
      fault([...at, 'tcpFlags'], 'tcpFlags need protocol tcp', { what: 'key' });
    }
    if ((flagBits(rule.tcpFlags.set) & flagBits(rule.tcpFlags.unset)) !== 0) {
      fault([...at, 'tcpFlags'], 'a flag cannot be both set and unset');
    }
  }
}

function checkAddressMatch(
  { spec }: PacketPolicy,
  match: AddressMatch | undefined,
  path: Path,
  { fault }: Checking,
  setsUsed: Set<string>,
): void {
  if (match === undefined) return;
  if (typeof match === 'string') {
    checkEntry(match, path, fault);
  } else if (isList(match)) {
    checkEntries(match, path, fault);
  } else if ('set' in match) {
    setsUsed.add(match.set);
    if (!Object.hasOwn(spec.sets ?? {}, match.set)) {
      fault([...path, 'set'], `there is no set "${match.set}" in this policy`);
    }
  } else if (typeof match.not === 'string') {
    checkEntry(match.not, [...path, 'not'], fault);
  } else {
    checkEntries(match.not, [...path, 'not'], fault);
  }
}

/** null where a condition cannot be read, which was reported. */
function reachingOf(document: PacketPolicy, rule: PacketRule, { sets }: Checking): Reaching | null {
  try {
    const from = rule.from === undefined ? null : sets.match(document, rule.from);
    const to = rule.to === undefined ? null : sets.match(document, rule.to);
    return { rule, reach: packetReach(rule, from, to), from, to };
  } catch (error) {
    if (error instanceof RefusalError) return null;
    throw error;
  }
}

/** What reaches no rule, as far as a rule can speak of it: DHCP for both families. */
const neverDropped: readonly PacketReach[] = (
  [
    ['ipv4', 67, 68],
    ['ipv4', 68, 67],
    ['ipv6', 546, 547],
    ['ipv6', 547, 546],
  ] as const
).map(([family, from, to]) =>
  packetReach({ id: '', family, protocol: 'udp', ports: { from, to }, action: 'allow' }, null, null),
);

/** Why a rule never matches, or null. An empty set may fill up one day: that is warned of, not refused. */
function neverMatches({ rule, reach, from, to }: Reaching, deciding: readonly Reaching[]): string | null {
  if (reach.families.length === 0) {
    const sets = [from, to].filter((one) => one !== null);
    if (sets.some((one) => one.name !== null && !one.not && isEmpty(one.ranges))) return null;
    return rule.family !== undefined && sets.length > 0
      ? `its addresses are not ${familiesAsked(rule).join(' or ')}`
      : 'no packet has such addresses';
  }
  if (neverDropped.some((one) => packetCovers(one, reach))) return 'such packets are never dropped';
  const cover = deciding.find((one) => packetCovers(one.reach, reach));
  return cover === undefined ? null : `rule "${cover.rule.id}" above takes every packet it is about`;
}

/** Empty sets, and sets that share addresses with the set of an earlier rule of another verdict. */
function warnOfSets(reaching: Reaching, deciding: readonly Reaching[], at: Path, { fault }: Checking): void {
  const options = { severity: 'warning' } as const;
  for (const side of ['from', 'to'] as const) {
    const set = reaching[side];
    if (set === null || set.name === null || set.not) continue;
    if (isEmpty(set.ranges))
      fault([...at, side], `"${set.name}" is empty: the rule matches nothing`, options);
    for (const earlier of deciding) {
      const other = earlier[side];
      if (other === null || other.name === null || other.not || other.key === set.key) continue;
      if (earlier.rule.action === reaching.rule.action) continue;
      if (!packetsMeetButAddresses(earlier.reach, reaching.reach)) continue;
      const common = commonAddresses(other.ranges, set.ranges);
      if (common === null) continue;
      const message =
        `"${set.name}" and "${other.name}" share ${formatRange(common, 0)}: ` +
        `rule "${earlier.rule.id}" above decides there (${earlier.rule.action})`;
      fault([...at, side], message, options);
    }
  }
}
