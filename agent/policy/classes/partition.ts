// The packets of one place and direction, parted by what they come to under each of the bundles looked at.
//
// A place is a set of interfaces that are in the same zones, so that one list of rules of each bundle counts there. All
// lists share one space of classes and one store of nodes: their diagrams can be laid over one another.

import type { PacketMatch, PolicyDocument } from '../../contract/policy.ts';
import type { Direction } from '../ids.ts';
import { SetResolver } from '../sets.ts';
import { type Bounds, Diagrams, type NodeId } from './diagram.ts';
import { type Cube, type Field, fields, levelOf } from './fields.ts';
import { type ListLine, matchCube, neverDropped, outcomeOf, type Surroundings, zoneLines } from './lines.ts';
import { listDiagram } from './list-diagram.ts';
import { type Outcome, Outcomes } from './outcome.ts';
import { impossible } from './real.ts';
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
  /** Of each bundle; leaves are numbers of `outcomes`. */
  readonly lists: readonly (readonly ListLine[])[];
  readonly roots: readonly NodeId[];
  /** Leaf 1 for packets that there are. */
  readonly real: NodeId;
  /** Leaf 1 for those of them that come to the rules: what is never dropped does not. */
  readonly judged: NodeId;
  /** Of each bundle, how TCP connections are followed. */
  readonly strictness: readonly boolean[];
  readonly #matches: readonly (ClassCube | null)[];

  constructor({ bundles, place, origins, direction, matches = [], bounds }: Asked) {
    this.direction = direction;
    this.zones = place.zones;
    this.kinds = place.kinds;
    // Where packets came from matters to what goes out alone.
    this.origins = direction === 'egress' ? origins : origins.slice(0, 1);
    const around = bundles.map(
      ({ sets, isStrict }, bundle): Surroundings => ({
        direction,
        bundle,
        kinds: this.kinds,
        origins: this.origins,
        sets,
        isStrict,
      }),
    );
    this.lists = around.map((one, bundle) => zoneLines(place.zones[bundle] ?? null, one));
    this.strictness = bundles.map(({ isStrict }) => isStrict);
    const unreal = impossible(direction);
    const spared = neverDropped(direction);
    const first = around[0];
    const document = place.zones[0]?.document;
    const matched =
      first === undefined || document === undefined
        ? []
        : matches.map((one) => matchCube(document, one, first));
    const cubes = [
      ...unreal,
      ...spared,
      ...matched,
      ...this.lists.flatMap((list) => list.map(({ cube }) => cube)),
    ];
    this.space = new Space(cubes, { interface: this.kinds.length, origin: this.origins.length });
    const levels = fields.map((_, level) => this.space.classes(level));
    this.diagrams = new Diagrams(levels, bounds);
    this.real = this.#outside(unreal);
    this.judged = this.diagrams.combine(this.real, this.#outside(spared), (a, b) => a & b);
    this.roots = this.lists.map((list) => this.#listDiagram(list));
    this.#matches = matched.map((cube) => this.space.cube(cube));
  }

  /** Leaf 1 for the judged packets that a match describes, 0 for all others. */
  matched(match: number): NodeId {
    return this.#both(this.#matches[match] ?? null, this.judged);
  }

  /** Whether some rule asks for the field. */
  asksFor(field: Field): boolean {
    return this.lists.some((list) => list.some(({ cube }) => cube[levelOf[field]] !== null));
  }

  outcome(number: number): Outcome {
    return this.outcomes.at(number);
  }

  /** The diagram of the list of bundle 0 without one of its lines. */
  without(line: ListLine): NodeId {
    return this.#listDiagram((this.lists[0] ?? []).filter((one) => one !== line));
  }

  #both(cube: ClassCube | null, of: NodeId): NodeId {
    const lines = [...(cube === null ? [] : [{ cube, ends: true, group: null }]), everything];
    const count = lines.length;
    const inside = listDiagram(this.diagrams, lines, (held) => (count === 2 && held[0] === 0 ? 1 : 0));
    return this.diagrams.combine(inside, of, (a, b) => a & b);
  }

  #outside(cubes: readonly Cube[]): NodeId {
    const lines = cubes.flatMap((cube) => {
      const read = this.space.cube(cube);
      return read === null ? [] : [{ cube: read, ends: true, group: null }];
    });
    return listDiagram(this.diagrams, [...lines, everything], (held) => (held[0] === lines.length ? 1 : 0));
  }

  #listDiagram(list: readonly ListLine[]): NodeId {
    const kept = list.flatMap((line) => {
      const cube = this.space.cube(line.cube);
      if (cube === null) return [];
      const { does } = line;
      const group = does === 'monitor' ? 0 : does === 'log' ? 1 : null;
      return [{ line, cube, ends: typeof does === 'object' && does.over !== 'next', group }];
    });
    const held = (lines: readonly number[]) => lines.flatMap((at) => kept[at]?.line ?? []);
    // Few lists of lines are come to by many ways, and an outcome is written out to be compared.
    const known = new Map<string, number>();
    return listDiagram(this.diagrams, kept, (lines) => {
      const key = lines.join();
      const number = known.get(key) ?? this.outcomes.number(outcomeOf(held(lines)));
      known.set(key, number);
      return number;
    });
  }
}

const everything = { cube: fields.map(() => null), ends: true, group: null };
