// The rules of one zone and direction as lines of a list: what each asks, and what it is good for.

import type { PacketMatch, PacketPolicy, PacketRule } from '../../contract/policy.ts';
import { type Direction, effectiveMode, ruleId, zoneDefaultId } from '../ids.ts';
import { type Named, packetConditions, stateBits } from '../packet-conditions.ts';
import type { PortRange } from '../ports.ts';
import { rangesFrom } from '../ranges.ts';
import type { SetResolver } from '../sets.ts';
import {
  addressValues,
  allBut,
  type Cube,
  type Field,
  isIpv4,
  isIpv6,
  noTag,
  situations,
  type Values,
  values,
} from './fields.ts';
import { limitWords, type Outcome, overOf, type Stage, type Step } from './outcome.ts';
import { cubeOf } from './real.ts';
import type { InterfaceKind, JudgedZone, Origin } from './zones.ts';

export interface ListLine {
  readonly cube: Cube;
  /** The rule it was made of; null: the default, or nothing judges here. */
  readonly rule: PacketRule | null;
  /** monitor and log: noted, and the walk goes on. */
  readonly does: Stage | 'monitor' | 'log';
  readonly id: string | null;
}

export interface Surroundings {
  readonly direction: Direction;
  /** Which of the bundles the zones of kinds and origins are read for. */
  readonly bundle: number;
  readonly kinds: readonly InterfaceKind[];
  readonly origins: readonly Origin[];
  readonly sets: SetResolver;
  /** How TCP connections are followed under this bundle. */
  readonly isStrict: boolean;
  /** What rules ask, by their words: a rule that several bundles have is read once. */
  readonly read?: Map<string, Cube>;
}

const plain = { limit: null, over: null, rejectWith: null, reported: null } as const;
const unjudged: Stage = { ...plain, rule: null, reason: 'unzoned', verdict: 'allow' };

const anything = cubeOf({});

/** In order; the last line holds for everything. */
export function zoneLines(zone: JudgedZone | null, around: Surroundings): readonly ListLine[] {
  if (zone === null) return [{ cube: anything, rule: null, does: unjudged, id: null }];
  const { document } = zone;
  const list = zone.rules[around.direction];
  const rules = (list?.rules ?? []).flatMap((rule) => ruleLine(document, rule, around));
  return [...rules, ...defaultLines(zone, around.direction)];
}

function ruleLine(document: PacketPolicy, rule: PacketRule, around: Surroundings): readonly ListLine[] {
  const mode = effectiveMode(document.spec.mode, rule.mode);
  if (mode === 'off') return [];
  const cube = ruleCube(document, rule, around);
  const id = ruleId(document, rule);
  if (mode === 'monitor' || rule.action === 'log') {
    return [{ cube, rule, does: mode === 'monitor' ? 'monitor' : 'log', id }];
  }
  const isSilent = rule.action === 'allow' && rule.log === undefined;
  const does: Stage = {
    rule: id,
    reason: 'rule',
    verdict: rule.action,
    limit: rule.limit === undefined ? null : limitWords(rule.limit),
    over: overOf(rule),
    rejectWith: rule.action === 'reject' ? (rule.rejectWith ?? null) : null,
    reported: isSilent ? null : (rule.log?.sample ?? 1),
  };
  return [{ cube, rule, does, id }];
}

function defaultLines(zone: JudgedZone, direction: Direction): readonly ListLine[] {
  const list = zone.rules[direction];
  const stage = (rule: string | null, verdict: Stage['verdict']): Stage => ({
    ...plain,
    rule,
    reason: 'default',
    verdict,
  });
  const line = (does: ListLine['does'], id: string | null): ListLine => ({
    cube: anything,
    rule: null,
    does,
    id,
  });
  if (list === null) return [line(stage(null, 'allow'), null)];
  const id = zoneDefaultId(zone.document, zone.name, direction);
  if (zone.document.spec.mode === 'enforce') return [line(stage(id, list.default), id)];
  return [line('monitor', id), line(stage(id, 'allow'), id)];
}

/** Link-local or unspecified, where listener discovery comes from. */
const isOfLink = addressValues(
  rangesFrom(['fe80::/10', '::'], () => {}),
  { ipv4: false, ipv6: true },
);

/**
 * What no rule decides, as every device does it that is not configured otherwise (PACKETS.md §4). Replies to its own
 * connections are the configuration's, and so is an interface that waits for its address.
 */
export function neverDropped(direction: Direction): readonly Cube[] {
  const udp = values(17);
  const client = direction === 'egress' ? 'portFrom' : 'portTo';
  const server = direction === 'egress' ? 'portTo' : 'portFrom';
  // The first origin is the device itself (zones.ts).
  const own = direction === 'egress' ? { origin: values(0) } : { toDevice: values(1) };
  return [
    cubeOf({ etherType: values(0x0806) }),
    cubeOf({
      source: isIpv6,
      protocol: values(58),
      icmp: values(...[133, 134, 135, 136, 137].map((type) => type * 256)),
      fragment: values(0),
      hopLimit: values(1),
    }),
    cubeOf({
      source: isOfLink,
      protocol: values(58),
      icmp: values(...[130, 131, 132, 143].map((type) => type * 256)),
      fragment: values(0),
      hopLimit: values(2),
    }),
    cubeOf({ ...own, source: isIpv4, protocol: udp, [client]: values(68), [server]: values(67) }),
    cubeOf({ ...own, source: isIpv6, protocol: udp, [client]: values(546), [server]: values(547) }),
  ];
}

/** Words mean the same in every bundle, save names of sets and of zones and, by how TCP is followed, states. */
function ruleCube(document: PacketPolicy, rule: PacketRule, around: Surroundings): Cube {
  const { from, to, origin } = rule;
  if (around.read === undefined || origin !== undefined || [from, to].some(namesSet))
    return matchCube(document, rule, around);
  const { id: _, action: __, mode: ___, limit: ____, log: _____, rejectWith: ______, ...match } = rule;
  const key = `${around.isStrict} ${JSON.stringify(match)}`;
  const known = around.read.get(key);
  if (known !== undefined) return known;
  const cube = matchCube(document, match, around);
  around.read.set(key, cube);
  return cube;
}

const namesSet = (match: PacketMatch['from']) =>
  typeof match === 'object' && !Array.isArray(match) && 'set' in match;

/** What a match asks, by level. */
export function matchCube(document: PacketPolicy, match: PacketMatch, around: Surroundings): Cube {
  const { sets } = around;
  const from = match.from === undefined ? null : sets.match(document, match.from);
  const to = match.to === undefined ? null : sets.match(document, match.to);
  const asked = packetConditions(match, from, to);
  const { macFrom, macTo, vlan, etherTypes, ports, tcpFlags } = asked;
  const families = { ipv4: asked.families.includes('ipv4'), ipv6: asked.families.includes('ipv6') };
  const isIpOnly = !asked.families.includes('other');
  const combination: { -readonly [F in Field]?: Values } = {};
  const put = (field: Field, set: Values | null) => {
    if (set !== null) combination[field] = set;
  };
  put('interface', asked.interfaces === null ? null : kindsNamed(asked.interfaces, around));
  put('origin', asked.origin === null ? null : originsNamed(asked.origin, document, around));
  put('toDevice', asked.toDevice === null ? null : values(asked.toDevice ? 1 : 0));
  for (const [field, macs] of [
    ['macFrom', macFrom],
    ['macTo', macTo],
  ] as const) {
    if (macs !== null)
      put(field, macs.not ? allBut(values(...macs.values), 2 ** 48) : values(...macs.values));
  }
  put('vlanOuter', tagValues(vlan?.outer ?? null));
  put('vlanInner', tagValues(vlan?.inner ?? null));
  put('etherType', rangeValues(etherTypes));
  put('situation', asked.states === null ? null : situationValues(asked.states, around.isStrict));
  if (isIpOnly) {
    put('source', addressValues(asked.from, families));
    put('destination', addressValues(asked.to, families));
  }
  put('protocol', asked.protocols === null ? null : values(...asked.protocols));
  put('portFrom', rangeValues(ports?.from ?? null));
  put('portTo', rangeValues(ports?.to ?? null));
  if (tcpFlags !== null) {
    const { mask, value } = tcpFlags;
    const all = Array.from({ length: 256 }, (_, flags) => flags);
    put('tcpFlags', values(...all.filter((flags) => (flags & mask) === value)));
  }
  put('icmp', rangeValues(asked.icmp));
  put(
    'fragment',
    asked.fragments === null
      ? null
      : values(...[0, 1, 2].filter((bit) => ((asked.fragments ?? 0) >> bit) & 1)),
  );
  put('dscp', rangeValues(asked.dscp));
  put('length', rangeValues(asked.length));
  return cubeOf(combination);
}

const rangeValues = (ranges: readonly PortRange[] | null) =>
  ranges === null ? null : values(...ranges.map(({ first, last }): [number, number] => [first, last]));

const tagValues = (tag: readonly PortRange[] | 'none' | null) =>
  tag === 'none' ? values(noTag) : rangeValues(tag);

/** The situations whose state is among those asked for (PACKETS.md §5). */
function situationValues(states: number, strict: boolean): Values {
  const has = (state: keyof typeof stateBits) => (states & stateBits[state]) !== 0;
  return values(
    ...situations.flatMap((situation, point) => (has(stateOf(situation, strict)) ? [point] : [])),
  );
}

export function stateOf(situation: (typeof situations)[number], strict: boolean): keyof typeof stateBits {
  if (situation === 'midstream') return strict ? 'invalid' : 'new';
  if (situation === 'unanswered') return strict ? 'new' : 'established';
  return situation;
}

function kindsNamed({ names, not }: Named, { kinds }: Surroundings): Values {
  return values(
    ...kinds.flatMap(({ fits }, at) => (names.some((glob) => fits.has(glob)) !== not ? [at] : [])),
  );
}

function originsNamed(
  { names, not }: Named,
  document: PacketPolicy,
  { origins, bundle, direction }: Surroundings,
): Values {
  if (direction === 'ingress') return values();
  const isNamed = (origin: Origin) =>
    names.some((name) =>
      origin === null
        ? name === 'device'
        : origin.zones[bundle]?.document === document && origin.zones[bundle]?.name === name,
    );
  return values(...origins.flatMap((origin, at) => (isNamed(origin) !== not ? [at] : [])));
}

/** What the lines that hold for a packet, in order, come to. */
export function outcomeOf(lines: readonly ListLine[]): Outcome {
  const stages: Step[] = [];
  let monitored: string | null = null;
  let logged: string | null = null;
  for (const { does, id } of lines) {
    if (does === 'monitor') monitored ??= id;
    else if (does === 'log') logged ??= id;
    else {
      stages.push({ ...does, monitored, logged });
      if (does.over !== 'next') break;
    }
  }
  return { stages };
}
