// What is wrong inside one PacketPolicy.

import type {
  AddressMatch,
  PacketPolicy,
  PacketRule,
  PolicyDocument,
  ZoneRules,
} from '../contract/policy.ts';
import { RefusalError } from '../contract/refusal.ts';
import { formatRange } from './addresses.ts';
import { type ConditionsAt, checkAddressMatch, checkConditions, protocolsNamed } from './check-conditions.ts';
import { type Checking, checkAddressSetName, checkEntries, checkPorts } from './checking.ts';
import { CoverIndex } from './cover-index.ts';
import type { Path } from './faults.ts';
import { type Direction, directions, effectiveMode, raisesMode } from './ids.ts';
import { protocolNumbers } from './numbers.ts';
import { familiesAsked, type PacketConditions, packetConditions } from './packet-conditions.ts';
import { isEmpty } from './ranges.ts';
import { commonAddresses, emptyCondition, familiesLeft, packetsMeetButAddresses } from './reach.ts';
import { isList, type ResolvedSet } from './sets.ts';

/** A bucket that takes longer to fill again limits nothing that anybody would see. */
const refillSecondsMax = 366 * 86_400;
/** Pairs of rules whose sets are compared, in one list; beyond that overlaps go unsaid. */
const setPairsMax = 2_000_000;

export function checkPacketPolicy(document: PacketPolicy, checking: Checking): void {
  const { spec } = document;
  const { fault } = checking;
  const setsUsed = new Set<string>();
  for (const [name, source] of Object.entries(spec.sets ?? {})) {
    const path = ['spec', 'sets', name];
    if (isList(source)) checkEntries(source, path, fault);
    else checkAddressSetName(source.addressSet, [...path, 'addressSet'], checking);
  }
  if (Object.hasOwn(spec.zones, 'device')) {
    fault(['spec', 'zones', 'device'], 'cannot be the name of a zone: as an origin it is the device itself', {
      what: 'key',
    });
  }
  for (const direction of directions) {
    const zonesSeen = new Set<string>();
    spec[direction].forEach((zone, index) => {
      const path = ['spec', direction, index];
      checkZoneName(document, zone.zone, path, checking);
      if (Object.hasOwn(spec.zones, zone.zone) && zonesSeen.has(zone.zone)) {
        fault([...path, 'zone'], `zone "${zone.zone}" is listed before in ${direction}`);
      }
      zonesSeen.add(zone.zone);
      checkSynCookies(zone, direction, path, checking);
      checkZoneRules(document, zone, { document, direction, zone: zone.zone, path, checking, setsUsed });
    });
  }
  checkExpectations(document, checking, setsUsed);
  warnOfUnused(document, setsUsed, checking);
}

/** Only what comes in can be answered. */
function checkSynCookies(
  { synCookies }: ZoneRules,
  direction: Direction,
  path: Path,
  { fault }: Checking,
): void {
  if (synCookies === undefined || direction === 'ingress') return;
  fault([...path, 'synCookies'], 'is for ingress: what goes out is not answered', { what: 'key' });
}

function checkZoneName({ spec }: PacketPolicy, zone: string, path: Path, { fault }: Checking): void {
  if (!Object.hasOwn(spec.zones, zone)) fault([...path, 'zone'], `there is no zone "${zone}" in this policy`);
}

/** What is to be proven, admins among it. */
function checkExpectations(document: PacketPolicy, checking: Checking, setsUsed: Set<string>): void {
  const { spec } = document;
  const seen = new Set<string>();
  (spec.expect ?? []).forEach((one, index) => {
    const path = ['spec', 'expect', index];
    const direction: Direction = one.direction ?? 'ingress';
    checkZoneName(document, one.zone, path, checking);
    if (seen.has(one.id)) checking.fault([...path, 'id'], `there is another expectation "${one.id}"`);
    seen.add(one.id);
    checkConditions(one, { document, direction, zone: one.zone, path, checking, setsUsed });
    if (!spec[direction].some(({ zone }) => zone === one.zone) && one.verdict === 'drop') {
      checking.fault([...path, 'zone'], `there are no rules of ${direction} for it: everything is allowed`);
    }
  });
  (spec.admins ?? []).forEach((one, index) => {
    const path = ['spec', 'admins', index];
    checkZoneName(document, one.zone, path, checking);
    const at = { document, direction: 'ingress', zone: one.zone, path, checking, setsUsed } as const;
    checkAddressMatch(one.from, [...path, 'from'], at);
    checkPorts(one.ports, [...path, 'ports'], checking.fault);
  });
}

function warnOfUnused({ spec }: PacketPolicy, setsUsed: ReadonlySet<string>, { fault }: Checking): void {
  const options = { severity: 'warning', what: 'key' } as const;
  for (const name of Object.keys(spec.sets ?? {})) {
    if (!setsUsed.has(name)) fault(['spec', 'sets', name], 'is used by no rule', options);
  }
  const judged = new Set(directions.flatMap((direction) => spec[direction].map(({ zone }) => zone)));
  const origins = spec.egress.flatMap(({ rules }) => rules).flatMap(({ origin }) => namesOf(origin));
  for (const name of Object.keys(spec.zones)) {
    if (!judged.has(name) && !origins.includes(name))
      fault(['spec', 'zones', name], 'has rules in neither direction', options);
  }
}

function namesOf(origin: PacketRule['origin']): readonly string[] {
  const match = typeof origin === 'object' && 'not' in origin ? origin.not : origin;
  return match === undefined ? [] : typeof match === 'string' ? [match] : match;
}

/** A rule with what it reaches, where its conditions could be read. */
interface Reaching {
  readonly rule: PacketRule;
  readonly reach: PacketConditions;
  readonly from: ResolvedSet | null;
  readonly to: ResolvedSet | null;
}

function checkZoneRules(document: PacketPolicy, zone: ZoneRules, list: ConditionsAt): void {
  const { checking } = list;
  /** Rules that end the walk: what they cover, later rules never see. */
  const deciding = new CoverIndex<PacketRule>();
  const overlaps = new SetOverlaps();
  zone.rules.forEach((rule, index) => {
    let isFaulty = false;
    const fault: Checking['fault'] = (...what) => {
      isFaulty = true;
      checking.fault(...what);
    };
    const at = { ...list, path: [...list.path, 'rules', index], checking: { ...checking, fault } };
    checkRule(document, rule, at);
    // What it reaches is not known where something of it could not be read.
    if (isFaulty) return;
    if (effectiveMode(document.spec.mode, rule.mode) === 'off') return;
    const reaching = reachingOf(document, rule, checking);
    if (reaching === null) return;
    const never = neverMatches(reaching, deciding);
    if (never !== null) {
      checking.fault([...at.path, 'id'], `rule "${rule.id}" can never match: ${never}`);
      return;
    }
    warnOfSets(reaching, overlaps, at.path, checking);
    if (effectiveMode(document.spec.mode, rule.mode) !== 'enforce' || !alwaysDecides(rule)) return;
    deciding.add(rule, reaching.reach);
    overlaps.add(reaching);
  });
}

/** Whether no packet that matches gets to the rules behind. */
const alwaysDecides = ({ action, limit }: PacketRule) =>
  limit === undefined
    ? action !== 'log'
    : action !== 'log' && (limit.over ?? (action === 'allow' ? 'drop' : 'next')) === 'drop';

function checkRule(document: PacketPolicy, rule: PacketRule, at: ConditionsAt): void {
  const { fault } = at.checking;
  if (raisesMode(document.spec.mode, rule.mode)) {
    fault(
      [...at.path, 'mode'],
      `a rule cannot raise the policy's mode from ${document.spec.mode} to ${rule.mode}`,
    );
  }
  checkConditions(rule, at);
  checkAction(rule, at);
}

function checkAction(
  { action, rejectWith, limit, protocol }: PacketRule,
  { path, checking }: ConditionsAt,
): void {
  const { fault } = checking;
  if (rejectWith !== undefined && action !== 'reject') {
    fault([...path, 'rejectWith'], `is for action reject, not for ${action}`, { what: 'key' });
  }
  const isTcp = protocolsNamed(protocol)?.every((one) => one === protocolNumbers.tcp) === true;
  if (rejectWith === 'tcp-reset' && !isTcp) fault([...path, 'rejectWith'], 'tcp-reset needs protocol tcp');
  if (limit === undefined) return;
  if (limit.prefix !== undefined && limit.per !== 'source') {
    fault([...path, 'limit', 'prefix'], 'says how sources are told apart, and needs per: source', {
      what: 'key',
    });
  }
  const [count = '1', unit = 's'] = limit.rate.split('/');
  const seconds = { s: 1, m: 60, h: 3600, d: 86_400 }[unit] ?? 1;
  if (((limit.burst ?? 1) * seconds) / Number(count) > refillSecondsMax) {
    fault([...path, 'limit', 'burst'], `takes more than a year to fill again at ${limit.rate}`);
  }
}

/** null where a condition cannot be read, which was reported. */
function reachingOf(document: PacketPolicy, rule: PacketRule, { sets }: Checking): Reaching | null {
  const resolved = (match: AddressMatch | undefined) =>
    match === undefined ? null : sets.match(document, match);
  try {
    const [from, to] = [resolved(rule.from), resolved(rule.to)];
    return { rule, reach: packetConditions(rule, from, to), from, to };
  } catch (error) {
    if (error instanceof RefusalError) return null;
    throw error;
  }
}

/** Why a rule never matches, or null. An empty set may fill up one day: that is warned of, not refused. */
function neverMatches({ rule, reach, from, to }: Reaching, deciding: CoverIndex<PacketRule>): string | null {
  if (reach.families.length === 0) {
    const sets = [from, to].filter((one) => one !== null);
    if (sets.some((one) => one.name !== null && !one.not && isEmpty(one.ranges))) return null;
    const families = familiesAsked(rule);
    if (families.length === 0) return `its protocol is not one of ${rule.family}`;
    return rule.family !== undefined && sets.length > 0
      ? `its addresses are not ${families.join(' or ')}`
      : 'no packet has such addresses';
  }
  if (familiesLeft(reach).length === 0) return 'its EtherType has none of its other conditions';
  const empty = emptyCondition(reach);
  if (empty !== null) return `its ${empty} leaves nothing`;
  const cover = deciding.coverOf(reach);
  return cover === null ? null : `rule "${cover.id}" above takes every packet it is about`;
}

/** Rules with named sets, by the set, so that only sets that overlap are looked into. */
class SetOverlaps {
  readonly #bySet = { from: new Map<string, Reaching[]>(), to: new Map<string, Reaching[]>() };
  #left = setPairsMax;

  add(reaching: Reaching): void {
    for (const side of ['from', 'to'] as const) {
      const set = reaching[side];
      if (!isNamed(set)) continue;
      const known = this.#bySet[side].get(set.key);
      if (known === undefined) this.#bySet[side].set(set.key, [reaching]);
      else known.push(reaching);
    }
  }

  /** Earlier rules of another action, with a set that shares addresses with this one's. */
  *of(
    reaching: Reaching,
    side: 'from' | 'to',
  ): Generator<{ readonly earlier: Reaching; readonly common: Uint32Array }> {
    const set = reaching[side];
    if (!isNamed(set)) return;
    for (const [key, rules] of this.#bySet[side]) {
      const other = rules[0]?.[side];
      if (key === set.key || other === null || other === undefined) continue;
      const common = commonAddresses(other.ranges, set.ranges);
      if (common === null) continue;
      for (const earlier of rules) {
        if (this.#left-- <= 0) return;
        if (earlier.rule.action === reaching.rule.action) continue;
        if (packetsMeetButAddresses(earlier.reach, reaching.reach)) yield { earlier, common };
      }
    }
  }
}

const isNamed = (set: ResolvedSet | null): set is ResolvedSet =>
  set !== null && set.name !== null && !set.not;

/** Empty sets, and sets that share addresses with the set of an earlier rule of another verdict. */
function warnOfSets(reaching: Reaching, overlaps: SetOverlaps, at: Path, { fault }: Checking): void {
  const options = { severity: 'warning' } as const;
  for (const side of ['from', 'to'] as const) {
    const set = reaching[side];
    if (!isNamed(set)) continue;
    if (isEmpty(set.ranges))
      fault([...at, side], `"${set.name}" is empty: the rule matches nothing`, options);
    for (const { earlier, common } of overlaps.of(reaching, side)) {
      const message =
        `"${set.name}" and "${earlier[side]?.name}" share ${formatRange(common, 0)}: ` +
        `rule "${earlier.rule.id}" above decides there (${earlier.rule.action})`;
      fault([...at, side], message, options);
    }
  }
}

/** Settings that a device has once: policies that are on must not contradict each other. */
export function checkConnectionSettings(
  each: (visit: (document: PolicyDocument, checking: Checking) => void) => void,
): void {
  const first = new Map<string, { readonly value: string | number; readonly name: string }>();
  each((document, { fault }) => {
    if (document.kind !== 'PacketPolicy' || document.spec.mode === 'off') return;
    const { tcp, timeouts = {} } = document.spec.connections ?? {};
    const hold = (what: string, value: string | number | undefined, path: Path) => {
      if (value === undefined) return;
      const before = first.get(what);
      if (before === undefined) first.set(what, { value, name: document.metadata.name });
      else if (before.value !== value) {
        fault(
          path,
          `is ${value} here, but ${before.name} says ${before.value}; a device has one table of connections`,
        );
      }
    };
    hold('tcp', tcp, ['spec', 'connections', 'tcp']);
    for (const [name, seconds] of Object.entries(timeouts)) {
      hold(name, seconds, ['spec', 'connections', 'timeouts', name]);
    }
  });
}
