// The packets of one place and direction, parted by what they come to under each of the bundles looked at.
//
// A place is a set of interfaces that are in the same zones, so that one list of rules of each bundle counts there. All
// lists share one space of classes and one store of nodes: their diagrams can be laid over one another.

import type { PacketMatch, PolicyDocument } from '../../contract/policy.ts';
import type { Direction } from '../ids.ts';
import { SetResolver } from '../sets.ts';
import { type Bounds, Diagrams, leaf, type NodeId } from './diagram.ts';
import { type Cube, type Field, fields, levelOf, meetsCube } from './fields.ts';
import { laidTogether, type SidedLine } from './laid-together.ts';
import { type ListLine, matchCube, neverDropped, outcomeOf, type Surroundings, zoneLines } from './lines.ts';
import { type Line, listDiagram } from './list-diagram.ts';
import { type Outcome, Outcomes } from './outcome.ts';
import { impossible } from './real.ts';
import { RuleReach } from './rule-reach.ts';
import { touches } from './runs.ts';
import { type ClassCube, Space } from './space.ts';
import type { InterfaceKind, JudgedZone, Origin, Place } from './zones.ts';

/** What a partition is made of; `sets` of each bundle are read once for all places. */
export interface Asked {
  readonly bundles: readonly Bundle[];
  readonly place: Place;
  readonly origins: readonly Origin[];
  readonly direction: Direction;
  /** Matches of which the packets will be looked at, of the zone of bundle 0. */
  readonly matches?: readonly PacketMatch[];
  /**
   * Rules that hold for none of the packets looked at are left out. all: none are. changes: packets for which a line of one of
   * two lists alone holds. matches: those of `matches`.
   */
  readonly of?: 'all' | 'changes' | 'matches';
  readonly bounds?: Bounds | undefined;
}

export interface Bundle {
  readonly documents: readonly PolicyDocument[];
  readonly sets: SetResolver;
  /** Where one policy follows TCP strictly, the device does. */
  readonly isStrict: boolean;
}

export const bundleOf = (documents: readonly PolicyDocument[]): Bundle => ({
  documents,
  sets: new SetResolver(documents),
  isStrict: documents.some(
    (one) => one.kind === 'PacketPolicy' && one.spec.mode !== 'off' && one.spec.connections?.tcp === 'strict',
  ),
});

export class Partition {
  readonly direction: Direction;
  readonly zones: readonly (JudgedZone | null)[];
  readonly kinds: readonly InterfaceKind[];
  readonly origins: readonly Origin[];
  readonly space: Space;
  readonly diagrams: Diagrams;
  readonly outcomes = new Outcomes();
  /** Of each bundle. */
  readonly lists: readonly (readonly ListLine[])[];
  /** Both lists are the same (`of: 'changes'`): there is nothing to be asked. */
  readonly isSame: boolean;
  /** Of each bundle, how TCP connections are followed. */
  readonly strictness: readonly boolean[];
  readonly #matches: readonly (ClassCube | null)[];
  readonly #together: readonly SidedLine[];
  #roots: readonly NodeId[] | null = null;
  readonly #unreal: readonly Cube[];
  readonly #spared: readonly Cube[];
  #real: NodeId | null = null;
  #judged: NodeId | null = null;

  constructor({ bundles, place, origins, direction, matches = [], bounds, of = 'all' }: Asked) {
    this.direction = direction;
    this.zones = place.zones;
    this.kinds = place.kinds;
    // Where packets came from matters to what goes out alone.
    this.origins = direction === 'egress' ? origins : origins.slice(0, 1);
    const read = new Map<string, Cube>();
    const around = bundles.map(
      ({ sets, isStrict }, bundle): Surroundings => ({
        direction,
        bundle,
        kinds: this.kinds,
        origins: this.origins,
        sets,
        isStrict,
        read,
      }),
    );
    const whole = around.map((one, bundle) => zoneLines(place.zones[bundle] ?? null, one));
    this.strictness = bundles.map(({ isStrict }) => isStrict);
    this.#unreal = impossible(direction);
    this.#spared = neverDropped(direction);
    const first = around[0];
    const document = place.zones[0]?.document;
    const matched =
      first === undefined || document === undefined
        ? []
        : matches.map((one) => matchCube(document, one, first));
    if (of === 'changes') {
      this.#together = meetingChanges(laidTogether(whole[0] ?? [], whole[1] ?? []));
      const onSide = (side: 1 | 2) =>
        this.#together.flatMap(({ line, sides }) => ((sides & side) === 0 ? [] : [line]));
      this.lists = [onSide(1), onSide(2)];
    } else {
      this.#together = [];
      this.lists =
        of === 'all' ? whole : whole.map((list) => list.filter(({ cube }) => meetsAny(cube, matched)));
    }
    this.isSame = of === 'changes' && this.#together.every(({ sides }) => sides === 3);
    const cubes = [
      ...this.#unreal,
      ...this.#spared,
      ...matched,
      ...this.lists.flatMap((list) => list.map(({ cube }) => cube)),
    ];
    this.space = new Space(cubes, { interface: this.kinds.length, origin: this.origins.length });
    const levels = fields.map((_, level) => this.space.classes(level));
    this.diagrams = new Diagrams(levels, bounds);
    this.#matches = matched.map((cube) => this.space.cube(cube));
  }

  /** Leaf 1 for packets that there are. */
  get real(): NodeId {
    this.#real ??= this.#outside(this.#unreal);
    return this.#real;
  }

  /** Leaf 1 for those of them that come to the rules: what is never dropped does not. */
  get judged(): NodeId {
    this.#judged ??= this.diagrams.combine(this.real, this.#outside(this.#spared), (a, b) => a & b);
    return this.#judged;
  }

  /** Of each bundle; leaves are numbers of `outcomes`. */
  get roots(): readonly NodeId[] {
    this.#roots ??= this.lists.map((list) => this.#listDiagram(list));
    return this.#roots;
  }

  /** Where the two lists differ (`of: 'changes'`): leaf 0 where they do not, else what `leafOf` says of both outcomes. */
  changes(leafOf: (before: number, after: number) => number): NodeId {
    if (this.#together.length === 0) return leaf(0);
    const kept = this.#together.flatMap(({ line, sides }) => {
      const cube = this.space.cube(line.cube);
      return cube === null ? [] : [{ ...lineOf(line, cube), listed: line, sides }];
    });
    const outcome = this.#outcomeNumbers(kept.map(({ listed }) => listed));
    return listDiagram(
      this.diagrams,
      kept,
      (before, after) => {
        const [one, other] = [outcome(before), outcome(after)];
        return one === other ? 0 : leafOf(one, other);
      },
      { of: 'asked' },
    );
  }

  /**
   * What the packets of a match come to, as far as `leafOf` tells it by the lines that hold; leaf 0 for all others. Lines that end
   * and of which `kindOf` says the same are not told apart; lines it has null for are left out.
   */
  matched(
    match: number,
    kindOf: (does: ListLine['does']) => number | 'each' | null,
    leafOf: (outcome: Outcome) => number,
  ): NodeId {
    const cube = this.#matches[match] ?? null;
    if (cube === null) return leaf(0);
    const kept = this.#kept(this.lists[0] ?? []).flatMap((line) => {
      const kind = kindOf(line.listed.does);
      return kind === null ? [] : [kind === 'each' ? line : { ...line, kind }];
    });
    const asked: Line = { cube, ends: false, group: null, asks: true };
    return listDiagram(
      this.diagrams,
      [asked, ...kept],
      (held) => leafOf(outcomeOf(held.flatMap((at) => kept[at - 1]?.listed ?? []))),
      { of: 'asked' },
    );
  }

  /** What packets of one class on every axis come to under bundle 0. */
  outcomeAt(classes: readonly number[]): Outcome {
    const held = this.#kept(this.lists[0] ?? []).filter(({ cube }) =>
      cube.every((runs, level) => touches(runs, classes[level] ?? 0, classes[level] ?? 0)),
    );
    return outcomeOf(held.map(({ listed }) => listed));
  }

  /** Whether some rule asks for the field. */
  asksFor(field: Field): boolean {
    return this.lists.some((list) => list.some(({ cube }) => cube[levelOf[field]] !== null));
  }

  outcome(number: number): Outcome {
    return this.outcomes.at(number);
  }

  /** Which rules of the list of bundle 0 are come to; lines that hold for no packet are not asked about. */
  reach(): { readonly lines: readonly ListLine[]; readonly reach: RuleReach } {
    const kept = this.#kept(this.lists[0] ?? []);
    const apart = [...this.#unreal, ...this.#spared].flatMap((one) => {
      const cube = this.space.cube(one);
      return cube === null ? [] : [{ cube, ends: true, group: null }];
    });
    return { lines: kept.map(({ listed }) => listed), reach: new RuleReach(this.diagrams, apart, kept) };
  }

  /** The diagram of the list of bundle 0 without one of its lines. */
  without(line: ListLine): NodeId {
    return this.#listDiagram((this.lists[0] ?? []).filter((one) => one !== line));
  }

  #outside(cubes: readonly Cube[]): NodeId {
    const lines = cubes.flatMap((cube) => {
      const read = this.space.cube(cube);
      return read === null ? [] : [{ cube: read, ends: true, group: null }];
    });
    return listDiagram(this.diagrams, [...lines, everything], (held) => (held[0] === lines.length ? 1 : 0));
  }

  #listDiagram(list: readonly ListLine[]): NodeId {
    const kept = this.#kept(list);
    return listDiagram(this.diagrams, kept, this.#outcomeNumbers(kept.map(({ listed }) => listed)));
  }

  #kept(list: readonly ListLine[]) {
    return list.flatMap((line) => {
      const cube = this.space.cube(line.cube);
      return cube === null ? [] : [{ ...lineOf(line, cube), listed: line }];
    });
  }

  /** Numbers of outcomes by the lines that hold; few lists of lines are come to by many ways. */
  #outcomeNumbers(listed: readonly ListLine[]): (lines: readonly number[]) => number {
    const known = new Map<string, number>();
    return (lines) => {
      const key = lines.join();
      const number =
        known.get(key) ?? this.outcomes.number(outcomeOf(lines.flatMap((at) => listed[at] ?? [])));
      known.set(key, number);
      return number;
    };
  }
}

const lineOf = ({ does }: ListLine, cube: ClassCube): Line => ({
  cube,
  ends: typeof does === 'object' && does.over !== 'next',
  group: does === 'monitor' ? 0 : does === 'log' ? 1 : null,
});

/** Without lines that hold for no packet of one that is of one side alone. */
function meetingChanges(together: readonly SidedLine[]): readonly SidedLine[] {
  const changed = together.flatMap(({ line, sides }) => (sides === 3 ? [] : [line.cube]));
  return together.filter(({ line, sides }) => sides !== 3 || meetsAny(line.cube, changed));
}

/** Cubes beyond which they are not gone through one by one; then every line is held to meet one. */
const cubesMax = 1000;

const meetsAny = (cube: Cube, cubes: readonly Cube[]) =>
  cubes.length > cubesMax || cubes.some((one) => meetsCube(cube, one));

const everything = { cube: fields.map(() => null), ends: true, group: null };
