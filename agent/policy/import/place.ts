// Lists of the hooks to rules of zones.
//
//   INPUT    ingress, to the device
//   FORWARD  egress of the interface it goes out by, not made here; ingress, not to the device, where no rule asks
//            for the way out
//   OUTPUT   egress, made here
//
// The three never meet in one packet at one place, so they stand one behind the other. What none of them is about
// (frames that are not IP) passed before and passes now: the default is allow, and a chain's policy is its last rule.

import type { PacketMatch, PacketRule, ZoneRules } from '../../contract/policy.ts';
import { rangesFrom } from '../ranges.ts';
import { type AddressTerm, type Box, conjoin } from './box.ts';
import { isAboutIp, matchesOf } from './box-match.ts';
import { type Flat, placeOf } from './flatten.ts';
import type { Report } from './report.ts';
import type { Hook, LimitTerm } from './ruleset.ts';
import { type Narrowed, narrow, oneZone, severalZones, type Zoned, type Zoning } from './zones.ts';

export interface Placed {
  readonly zoning: Zoning;
  readonly ingress: readonly ZoneRules[];
  readonly egress: readonly ZoneRules[];
  /** Rules of the way out of forwarded packets ask for states. */
  readonly followsOnBothWays: boolean;
  /** Rules by id with what they were made from. */
  readonly flatOf: ReadonlyMap<string, Flat>;
}

export type Flats = Readonly<Record<Hook, readonly Flat[]>>;

/** `known`: interfaces that the device is said to have; null: not said. */
export function place(flats: Flats, known: readonly string[] | null, report: Report): Placed {
  return new Placing(flats, known, report).run();
}

type Way = 'ingress' | 'egress';

class Placing {
  readonly #flats: Flats;
  readonly #report: Report;
  readonly #zoning: Zoning;
  readonly #forward: Way;
  readonly #flatOf = new Map<string, Flat>();
  /** How many rules with a bucket of their own came of one with a limit. */
  readonly #buckets = new Map<Flat, number>();

  constructor(flats: Flats, known: readonly string[] | null, report: Report) {
    this.#report = report;
    this.#flats = flats;
    const asksOut = this.#flats.forward.some(({ box }) => box.outBy !== undefined);
    const patterns = this.#flats.forward.flatMap(({ box }) => (box.inBy ?? []).flatMap(({ globs }) => globs));
    this.#forward = asksOut ? 'egress' : 'ingress';
    this.#zoning = asksOut && patterns.length > 0 ? severalZones(patterns, known) : oneZone(known);
  }

  run(): Placed {
    const ingress = this.#direction('ingress');
    const egress = this.#direction('egress');
    this.#tellOfBuckets();
    const followsOnBothWays =
      this.#forward === 'egress' && this.#flats.forward.some(({ box }) => box.states !== undefined);
    return { zoning: this.#zoning, ingress, egress, followsOnBothWays, flatOf: this.#flatOf };
  }

  #direction(way: Way): readonly ZoneRules[] {
    return this.#zoning.zones.flatMap((zone) => {
      const hooks: readonly Hook[] =
        way === 'ingress'
          ? ['input', ...(this.#forward === way ? (['forward'] as const) : [])]
          : [...(this.#forward === way ? (['forward'] as const) : []), 'output'];
      const rules = hooks.flatMap((hook) => this.#hook(hook, way, zone));
      return rules.length === 0 ? [] : [{ zone: zone.name, default: 'allow' as const, rules }];
    });
  }

  #hook(hook: Hook, way: Way, zone: Zoned): readonly PacketRule[] {
    const flats = this.#flats[hook];
    const end = flats.findLastIndex((flat) => !(flat.isPolicy && flat.action === 'allow'));
    return flats.slice(0, end + 1).flatMap((flat, index) => this.#rules(flat, index, hook, way, zone));
  }

  #rules(flat: Flat, index: number, hook: Hook, way: Way, zone: Zoned): readonly PacketRule[] {
    const box = locally(flat.box, hook);
    if (box === null) return [];
    if (hook === 'input') this.#tellOfBroadcasts(flat);
    if (way === 'egress' && (box.macFrom ?? box.macTo ?? box.vlan) !== undefined && hook === 'forward') {
      this.#leave(
        flat,
        index,
        hook,
        'the Ethernet header of a forwarded packet, where rules ask for the way out',
      );
      return [];
    }
    const around = this.#around(box, hook, way, zone);
    if (around === 'never') return [];
    if (around === 'inexpressible') {
      this.#leave(flat, index, hook, 'interfaces by a glob without some of its names; give --interfaces');
      return [];
    }
    return matchesOf(box).map((part) => this.#rule(flat, { ...part, ...around }, zone));
  }

  /** Where the packet comes from and goes to. */
  #around(box: Box, hook: Hook, way: Way, zone: Zoned): Partial<PacketMatch> | 'never' | 'inexpressible' {
    if (hook === 'input' && box.outBy !== undefined) return 'never';
    if (hook === 'output' && box.inBy !== undefined) return 'never';
    const here = way === 'ingress' ? box.inBy : box.outBy;
    const narrowed = narrow(here ?? [], zone);
    if (narrowed.kind === 'never' || narrowed.kind === 'inexpressible') return narrowed.kind;
    const byInterface = interfaceOf(narrowed);
    if (way === 'ingress') return { toDevice: hook === 'input', ...byInterface };
    if (hook === 'output') return { origin: 'device', ...byInterface };
    const origin = this.#originOf(box);
    return origin === null ? 'never' : { origin, ...byInterface };
  }

  /** null: it came in by no interface that there is. */
  #originOf(box: Box): NonNullable<PacketMatch['origin']> | null {
    const zonesIn = (globs: readonly string[]) =>
      globs.flatMap((glob) => this.#zoning.zonesOf.get(glob) ?? []);
    let inside: readonly string[] | null = null;
    const outside = new Set<string>(['device']);
    for (const { globs, not } of box.inBy ?? []) {
      const zones = zonesIn(globs);
      if (not) for (const zone of zones) outside.add(zone);
      else inside = inside === null ? zones : inside.filter((zone) => zones.includes(zone));
    }
    if (inside === null) return { not: oneOrList([...outside]) };
    const left = [...new Set(inside)].filter((zone) => !outside.has(zone));
    return left.length === 0 ? null : oneOrList(left);
  }

  #rule(flat: Flat, match: Partial<PacketMatch>, zone: Zoned): PacketRule {
    const aboutIp = isAboutIp(match) ? {} : { etherType: ['ipv4', 'ipv6'] as const };
    const rule: PacketRule = {
      id: this.#id(flat, zone),
      ...match,
      ...aboutIp,
      action: flat.action,
      ...(flat.rejectWith === undefined ? {} : { rejectWith: flat.rejectWith }),
      ...(flat.limit === undefined ? {} : { limit: limitOf(flat.limit.term, flat.limit.over) }),
      ...logOf(flat),
    };
    this.#flatOf.set(rule.id, flat);
    if (flat.limit !== undefined) this.#buckets.set(flat, (this.#buckets.get(flat) ?? 0) + 1);
    return rule;
  }

  /** Unique, and the same as long as the line stays where it is. */
  #id(flat: Flat, zone: Zoned): string {
    const suffix = this.#zoning.zones.length > 1 ? `.${zone.name}` : '';
    const plain = `${flat.origin.name}${suffix}`
      .replace(/[^A-Za-z0-9._-]/g, '-')
      .replace(/^[^A-Za-z0-9]+/, '');
    const base = plain === '' ? 'rule' : plain.slice(0, idMax);
    let id = base;
    for (let count = 2; this.#flatOf.has(id); count++) id = `${base}-${count}`;
    return id;
  }

  /** An allow is left out; of a drop it is said what decides instead. */
  #leave(flat: Flat, index: number, hook: Hook, reason: string): void {
    if (flat.action === 'allow') {
      this.#report.add(flat.origin, reason, 'stricter');
    } else if (flat.action === 'log' && flat.limit?.over !== 'drop') {
      this.#report.add(flat.origin, reason, 'none');
    } else {
      const later = this.#flats[hook]
        .slice(index + 1)
        .filter((one) => one.action === 'allow' && conjoin(one.box, flat.box) !== null);
      const mayPass = later.map((one) => `${placeOf(one.origin)}: ${one.origin.text}`);
      this.#report.add(flat.origin, reason, mayPass.length > 0 ? 'wider' : 'none', mayPass);
    }
  }

  /**
   * `toDevice` holds for broadcasts to own networks, which no ruleset calls local; a policy has no word for them,
   * nor does what they are sent to on the link say it, since who sends them chooses that.
   */
  #tellOfBroadcasts({ box, action, limit, origin }: Flat): void {
    if (box.local === undefined || box.family === 6) return;
    const isDrop = action === 'drop' || action === 'reject' || limit?.over === 'drop';
    if (!isDrop && action === 'log') return;
    const reason = 'the broadcast addresses of own networks count as own addresses here';
    if (isDrop === box.local) this.#report.add(origin, reason, 'stricter');
    else this.#report.add(origin, reason, 'wider', ['packets to the broadcast address of an own network']);
  }

  #tellOfBuckets(): void {
    for (const [flat, count] of this.#buckets) {
      if (count < 2) continue;
      const isLoose = flat.action === 'allow' || flat.limit?.over === 'drop';
      const effect = isLoose ? 'wider' : flat.action === 'log' ? 'none' : 'stricter';
      const reason = `becomes ${count} rules, each of which counts its rate for itself`;
      const mayPass = isLoose ? [`up to ${count} times the rate that ${placeOf(flat.origin)} allows`] : [];
      this.#report.add(flat.origin, reason, effect, mayPass);
    }
  }
}

/** Leaves room for the name of the document and a number (HUSK_RULE_ID_BYTES). */
const idMax = 40;

const groups: AddressTerm = {
  name: null,
  ranges: rangesFrom(['224.0.0.0/4', '255.255.255.255', 'ff00::/8'], () => {}),
  not: false,
};

/** "To an own address" in the words of a hook: all of INPUT but groups and broadcasts, nothing of the others. */
function locally(box: Box, hook: Hook): Box | null {
  if (box.local === undefined) return box;
  const { local, ...rest } = box;
  if (hook !== 'input') return local ? null : rest;
  return conjoin(rest, { to: [{ ...groups, not: local }] });
}

const interfaceOf = (narrowed: Narrowed): Partial<PacketMatch> =>
  narrowed.kind !== 'some'
    ? {}
    : { interface: narrowed.not ? { not: oneOrList(narrowed.globs) } : oneOrList(narrowed.globs) };

function limitOf(term: LimitTerm, over: 'next' | 'drop'): NonNullable<PacketRule['limit']> {
  return {
    rate: term.rate,
    burst: term.burst,
    ...(term.per === 'rule' ? {} : { per: term.per }),
    ...(term.prefix === undefined ? {} : { prefix: term.prefix }),
    over,
  };
}

/** What only stands for a limit should report next to nothing of what it lets go on. */
function logOf(flat: Flat): Partial<PacketRule> {
  if (flat.action === 'log' && flat.limit?.over === 'drop') return { log: { sample: 1_000_000 } };
  return flat.log === true && flat.action === 'allow' ? { log: {} } : {};
}

function oneOrList<T>(list: readonly T[]): T | readonly T[] {
  const [only] = list;
  return list.length === 1 && only !== undefined ? only : list;
}
