// Rules that others stand before: which packets of a rule never come to it, and by which rules they are decided.
//
// Several rules which cover one together are found as well as a single one: what is looked for is a packet that comes to it.

import type { PacketRule, PolicyDocument } from '../../contract/policy.ts';
import { type Direction, directions } from '../ids.ts';
import { isEmpty } from '../ranges.ts';
import type { Bounds } from './diagram.ts';
import { fields } from './fields.ts';
import type { ListLine } from './lines.ts';
import { bundleOf, Partition } from './partition.ts';
import { leavesIn } from './paths.ts';
import type { ClassCube } from './space.ts';
import { interfaceKinds, originsOf, placesOf } from './zones.ts';

export interface Shadow {
  /** Full names. */
  readonly rule: string;
  readonly zone: string;
  readonly direction: Direction;
  /**
   * whole: no packet comes to the rule. part: some are decided before, with another verdict. redundant: packets come to it,
   * and get the same verdict and limits without it.
   */
  readonly extent: 'whole' | 'part' | 'redundant';
  /** In the order of the list; none where no packet is as the rule asks. `never-drop`: what no rule decides. */
  readonly by: readonly string[];
}

export interface ShadowOptions {
  /** Also rules of which a part is decided before with another verdict, and, in lists that are not long, redundant ones. */
  readonly parts?: boolean;
  readonly bounds?: Bounds | undefined;
  readonly onProgress?: (done: number, of: number) => void;
  /** Is given the rules of which it takes too long to find out whether a packet comes to them. */
  readonly onUnknown?: (rule: string) => void;
}

/** Documents that were checked. Throws ClassesTooManyError. */
export function shadowedRules(
  documents: readonly PolicyDocument[],
  options: ShadowOptions = {},
): readonly Shadow[] {
  const bundle = bundleOf(documents);
  const kinds = interfaceKinds([documents]);
  const origins = originsOf(kinds);
  const places = placesOf(kinds).filter(({ zones }) => zones[0] !== null);
  const lists = directions.flatMap((direction) => places.map((place) => ({ direction, place })));
  return lists.flatMap(({ direction, place }, done) => {
    options.onProgress?.(done, lists.length);
    if ((place.zones[0]?.rules[direction]?.rules.length ?? 0) === 0) return [];
    const { bounds } = options;
    const partition = new Partition({ bundles: [bundle], place, origins, direction, bounds });
    const document = place.zones[0]?.document;
    const isEmptySet = (match: PacketRule['from']) => {
      const set = match === undefined || document === undefined ? null : bundle.sets.match(document, match);
      return set !== null && set.name !== null && !set.not && isEmpty(set.ranges);
    };
    return shadowsIn(
      partition,
      options.parts ?? false,
      ({ from, to }) => isEmptySet(from) || isEmptySet(to),
      (rules, of) => options.onProgress?.(done + rules / of, lists.length),
      (rule) => options.onUnknown?.(rule),
    );
  });
}

function shadowsIn(
  partition: Partition,
  withParts: boolean,
  asksEmptySet: (rule: PacketRule) => boolean,
  onProgress: (done: number, of: number) => void,
  onUnknown: (rule: string) => void,
): readonly Shadow[] {
  const { direction } = partition;
  const list = partition.lists[0] ?? [];
  const { lines, reach } = partition.reach();
  const places = new Map(lines.map((line, at) => [line, at]));
  const common = { zone: partition.zones[0]?.key ?? '', direction };
  return list.flatMap((line, done): readonly Shadow[] => {
    const { id, rule } = line;
    if (id === null || rule === null) return [];
    onProgress(done, list.length);
    const at = places.get(line);
    if (at === undefined) {
      // A set may fill up one day; that it is empty now is warned of elsewhere.
      return asksEmptySet(rule) ? [] : [{ ...common, rule: id, extent: 'whole', by: [] }];
    }
    const isReached = reach.isReached(at);
    if (isReached === null) {
      onUnknown(id);
      return [];
    }
    if (isReached && !(withParts && typeof line.does === 'object')) return [];
    const takers = reach.takers(at).flatMap((taker) => lines[taker] ?? []);
    if (!isReached) {
      const isThere = takers.length > 0 || hasPacket(partition, line);
      const by = takers.length > 0 ? namesOf(takers) : isThere ? ['never-drop'] : [];
      return [{ ...common, rule: id, extent: 'whole', by }];
    }
    const verdict = verdictOf(line);
    const by = namesOf(takers.filter((taker) => verdictOf(taker) !== verdict));
    const isLong = list.length > redundantMax;
    return [
      ...(by.length === 0 ? [] : [{ ...common, rule: id, extent: 'part', by } as const]),
      ...(isLong || !isRedundant(partition, line)
        ? []
        : [{ ...common, rule: id, extent: 'redundant', by: [] } as const]),
    ];
  });
}

/** Lists in which each rule is tried left out; every try is a list of its own. */
const redundantMax = 300;

function isRedundant(partition: Partition, line: ListLine): boolean {
  const { diagrams, judged } = partition;
  const verdicts = (outcome: number) =>
    JSON.stringify(
      partition.outcome(outcome).stages.map(({ verdict, limit, over }) => [verdict, limit, over]),
    );
  const differ = diagrams.combine(partition.roots[0] ?? 0, partition.without(line), (one, other) =>
    one === other || verdicts(one) === verdicts(other) ? 0 : 1,
  );
  return !leavesIn(
    diagrams,
    diagrams.combine(differ, judged, (a, b) => a & b),
    anything,
  ).has(1);
}

const anything: ClassCube = fields.map(() => null);

const namesOf = (lines: readonly ListLine[]) => lines.flatMap(({ id }) => id ?? []);
const verdictOf = ({ does }: ListLine) => (typeof does === 'object' ? does.verdict : null);

function hasPacket({ space, diagrams, real }: Partition, { cube }: ListLine): boolean {
  const read = space.cube(cube);
  return read !== null && leavesIn(diagrams, real, read).has(1);
}
