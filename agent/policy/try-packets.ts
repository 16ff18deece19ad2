// Packets for the twins: one for every rule and default of a zone that has an interface here.
//
// A packet is made inside a rule's conditions and judged by the evaluator. Where an earlier rule takes it, the next
// ones keep out of what that rule is about, and so on: a handful of packets finds the little room that rules leave,
// and no rule is compared with all others. Of many rules the evaluator walks those that an index finds around the
// packet. Were one missed, the program in the kernel would say otherwise, and the image not go live.

import type { PacketPolicy, PolicyDocument, ZoneRules } from '../contract/policy.ts';
import { arpFrame, buildPacket, lyingFrame } from './build-packet.ts';
import { type DeviceView, plainDevice } from './device-view.ts';
import { PacketEvaluator, type Walked } from './evaluate.ts';
import { type Direction, directions, effectiveMode, ruleId, zoneDefaultId } from './ids.ts';
import type { Judgement, PacketTry } from './judgement.ts';
import { type PacketConditions, type PacketFamily, packetConditions } from './packet-conditions.ts';
import { RuleIndex } from './rule-index.ts';
import { resolverOf, type SetResolver } from './sets.ts';
import { type Place, placesFor } from './try-place.ts';
import { type Candidate, candidates } from './try-values.ts';

/** Packets of a family judged for one rule, and how often it is made anew around a rule that took one. */
const samplesMax = 400;
const roundsMax = 40;
/** What a boot can spend: packets made, and rules that each of them is held against. */
const packetsMax = 100_000;
const stepsMax = 10_000_000;
/** In one pass of so many, one of each part of the list: where all is spent, what was looked for is spread over it. */
const passes = 16;

export interface Tried<T> {
  readonly tries: readonly T[];
  readonly untried: readonly string[];
}

export interface PacketsTried extends Tried<PacketTry> {
  /** Rules and defaults that a packet was looked for, of all there are. */
  readonly sampled: { readonly rules: number; readonly of: number };
}

/** What a packet is to be found for. */
interface Target {
  readonly document: PacketPolicy;
  readonly zone: string;
  readonly direction: Direction;
  readonly id: string;
  readonly reach: PacketConditions;
  readonly isFound: (judgement: Judgement, matched: readonly string[]) => boolean;
}

export function tryPackets(
  documents: readonly PolicyDocument[],
  device: DeviceView = plainDevice([]),
): PacketsTried {
  const targets = targetsOf(documents);
  const finder = new PacketFinder(documents, device, targets);
  const found = new Map<Target, PacketTry | null>();
  for (const target of spread(targets)) {
    const made = finder.find(target);
    if (made === null && finder.isSpent) break;
    found.set(target, made);
  }
  const tries = targets.flatMap((target) => found.get(target) ?? []);
  return {
    tries: [...tries, ...undecided(targets, finder, device)],
    // Also those that it did not come to: nobody saw them decide.
    untried: targets.filter((target) => (found.get(target) ?? null) === null).map(({ id }) => id),
    sampled: { rules: found.size, of: targets.length },
  };
}

/** What no rule decides, once for each direction. */
function undecided(
  targets: readonly Target[],
  finder: PacketFinder,
  device: DeviceView,
): readonly PacketTry[] {
  for (const { document, zone, direction } of targets) {
    for (const place of placesFor(document, zone, direction, { interfaces: null, origin: null }, device)) {
      const link = place.interface.link === 'ip' ? 'ip' : 'ethernet';
      const frames = link === 'ip' ? [lyingFrame(link)] : [arpFrame(), lyingFrame(link)];
      const tries = directions.flatMap((way) =>
        frames.map((frame) => finder.tryOf({ ...place, direction: way, cameBy: null }, frame, null, [])),
      );
      // Where zones name interfaces that lie on others, one of them is left out.
      if (tries.every(({ expect }) => expect.reason !== 'unzoned')) return tries;
    }
  }
  return [];
}

/** All of them, the first of every `passes` first. */
function* spread<T>(all: readonly T[]): Generator<T> {
  for (let pass = 0; pass < passes; pass++) {
    for (let at = pass; at < all.length; at += passes) yield all[at] as T;
  }
}

/** Everything: what a default is about, unless a rule before it takes it. */
const anyPacket = packetConditions({}, null, null);

function targetsOf(documents: readonly PolicyDocument[]): readonly Target[] {
  const resolver = resolverOf(documents);
  return documents.flatMap((document) => {
    if (document.kind !== 'PacketPolicy' || document.spec.mode === 'off') return [];
    return directions.flatMap((direction) =>
      document.spec[direction].flatMap((list) => targetsOfList(document, list, direction, resolver)),
    );
  });
}

function targetsOfList(
  document: PacketPolicy,
  list: ZoneRules,
  direction: Direction,
  resolver: SetResolver,
): readonly Target[] {
  const common = { document, zone: list.zone, direction };
  const rules = list.rules.flatMap((rule): readonly Target[] => {
    const mode = effectiveMode(document.spec.mode, rule.mode);
    if (mode === 'off') return [];
    const from = rule.from === undefined ? null : resolver.match(document, rule.from);
    const to = rule.to === undefined ? null : resolver.match(document, rule.to);
    const id = ruleId(document, rule);
    const isFound: Target['isFound'] = (judgement, matched) => {
      if (mode === 'monitor') return judgement.monitored === id;
      return rule.action === 'log' ? matched.includes(id) : judgement.rule === id;
    };
    return [{ ...common, id, reach: packetConditions(rule, from, to), isFound }];
  });
  const id = zoneDefaultId(document, list.zone, direction);
  return [...rules, { ...common, id, reach: anyPacket, isFound: (judgement) => judgement.rule === id }];
}

/** Of what matched all but the rule that decided. */
const notedOf = ({ reason, rule }: Judgement, matched: readonly string[]): readonly string[] =>
  reason === 'default' ? matched : matched.filter((id) => id !== rule);

class PacketFinder {
  readonly #documents: readonly PolicyDocument[];
  readonly #device: DeviceView;
  readonly #reachOf: ReadonlyMap<string, PacketConditions>;
  readonly #follows: boolean;
  readonly #walked: Walked;
  readonly #indexes = new WeakMap<object, RuleIndex>();
  /** Of rules that ask for no interface and no origin. */
  readonly #placesOf = new Map<string, readonly Place[]>();
  #packetsLeft = packetsMax;
  #stepsLeft = stepsMax;

  constructor(documents: readonly PolicyDocument[], device: DeviceView, targets: readonly Target[]) {
    this.#documents = documents;
    this.#device = device;
    this.#reachOf = new Map(targets.map(({ id, reach }) => [id, reach]));
    this.#follows = new PacketEvaluator(documents, device).followsConnections;
    this.#walked = (lines, { packet }) => {
      const index = this.#indexes.get(lines) ?? new RuleIndex(lines.map(({ id }) => this.#reach(id)));
      this.#indexes.set(lines, index);
      const around = index.around(packet);
      this.#stepsLeft -= around.length;
      return around.map((at) => lines[at] as (typeof lines)[number]);
    };
  }

  /** Nothing more may be looked for. */
  get isSpent(): boolean {
    return this.#packetsLeft <= 0 || this.#stepsLeft <= 0;
  }

  #reach(id: string): PacketConditions {
    return this.#reachOf.get(id) ?? anyPacket;
  }

  /** null: there is no place for one, or none was found within bounds. */
  find(target: Target): PacketTry | null {
    for (const place of this.#places(target)) {
      const found = this.#findAt(place, target);
      if (found !== null) return found;
    }
    return null;
  }

  #places({ document, zone, direction, reach }: Target): readonly Place[] {
    const find = () => placesFor(document, zone, direction, reach, this.#device);
    if (reach.interfaces !== null || reach.origin !== null) return find();
    const key = `${document.metadata.name} ${zone} ${direction}`;
    const places = this.#placesOf.get(key) ?? find();
    this.#placesOf.set(key, places);
    return places;
  }

  /** `matched` is given the rules that matched. Each packet is the first of its own: within every limit. */
  tryOf(place: Place, frame: Uint8Array, state: Candidate['state'], matched: string[]): PacketTry {
    const { direction, cameBy } = place;
    const at = {
      interface: place.interface.name,
      direction,
      frame,
      cameBy: cameBy?.name ?? null,
      givenState: state,
    };
    const expect = new PacketEvaluator(this.#documents, this.#device, this.#walked).judge(at, matched);
    const { index: ifindex } = place.interface;
    const link = place.interface.link === 'ip' ? 'ip' : 'ethernet';
    return {
      ...{ direction, ifindex, link, cameBy: cameBy?.index ?? 0, frame, state },
      ...{ expect, noted: notedOf(expect, matched) },
    };
  }

  #findAt(place: Place, target: Target): PacketTry | null {
    for (const family of target.reach.families) {
      const found = this.#findIn(family, place, target);
      if (found !== null) return found;
    }
    return null;
  }

  #findIn(family: PacketFamily, place: Place, target: Target): PacketTry | null {
    const link = place.interface.link === 'ip' ? 'ip' : 'ethernet';
    const avoid = new Map<string, PacketConditions>();
    let left = samplesMax;
    for (let round = 0; round < roundsMax; round++) {
      let blocker: string | null = null;
      const around = { link, device: this.#device, limit: left } as const;
      for (const { wanted, state } of candidates(target.reach, family, [...avoid.values()], around)) {
        if (left-- <= 0 || this.isSpent) return null;
        this.#packetsLeft--;
        const matched: string[] = [];
        const made = this.tryOf(place, buildPacket(wanted), this.#follows ? state : null, matched);
        if (target.isFound(made.expect, matched)) return made;
        blocker =
          [made.expect.rule, made.expect.monitored].find(
            (id) => id !== null && id !== target.id && !avoid.has(id) && this.#reachOf.has(id),
          ) ?? null;
        if (blocker !== null) break;
      }
      if (blocker === null) return null;
      avoid.set(blocker, this.#reach(blocker));
    }
    return null;
  }
}
