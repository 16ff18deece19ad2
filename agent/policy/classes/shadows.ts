// Rules that others stand before: which packets of a rule never come to it, and by which rules they are decided.
//
// Read off the partition, so that several rules which cover one together are found as well as a single one.

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
    return shadowsIn(partition, options.parts ?? false, ({ from, to }) => isEmptySet(from) || isEmptySet(to));
  });
}

function shadowsIn(
  partition: Partition,
  withParts: boolean,
  asksEmptySet: (rule: PacketRule) => boolean,
): readonly Shadow[] {
  const { diagrams, direction, judged } = partition;
  const root = partition.roots[0] ?? 0;
  const list = partition.lists[0] ?? [];
  const position = new Map(list.map(({ id }, at) => [id, at]));
  // Leaf 0 for what comes to no rule, else the outcome's number and one.
  const outcomes = diagrams.combine(root, judged, (outcome, isJudged) => (isJudged === 1 ? outcome + 1 : 0));
  const outcomesIn = (box: ClassCube) =>
    [...leavesIn(diagrams, outcomes, box)].flatMap((leaf) =>
      leaf === 0 ? [] : [partition.outcome(leaf - 1)],
    );
  const all = outcomesIn(anything);
  const deciding = new Set(all.flatMap(({ stages }) => stages.map(({ rule }) => rule)));
  const common = { zone: partition.zones[0]?.key ?? '', direction };
  return list.flatMap((line, at): readonly Shadow[] => {
    const { id, rule } = line;
    if (id === null || rule === null) return [];
    if (deciding.has(id) && !(withParts && typeof line.does === 'object')) return [];
    const cube = partition.space.cube(line.cube);
    // A set may fill up one day; that it is empty now is warned of elsewhere.
    if (cube === null && asksEmptySet(rule)) return [];
    /** What ends the walk of each kind of its packets. */
    const enders = (cube === null ? [] : outcomesIn(cube)).flatMap(({ stages }) => stages.at(-1) ?? []);
    const before = enders.filter((step) => step.rule === null || (position.get(step.rule) ?? 0) < at);
    if (enders.length === 0) {
      const isThere = cube !== null && leavesIn(diagrams, partition.real, cube).has(1);
      return [{ ...common, rule: id, extent: 'whole', by: isThere ? ['never-drop'] : [] }];
    }
    if (before.length === enders.length) {
      const by = named(
        before.map((step) => step.rule),
        position,
      );
      return [{ ...common, rule: id, extent: 'whole', by }];
    }
    if (!withParts || typeof line.does !== 'object') return [];
    const verdict = line.does.verdict;
    const against = before.filter((step) => step.rule !== null && step.verdict !== verdict);
    const by = named(
      against.map((step) => step.rule),
      position,
    );
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

function named(
  rules: readonly (string | null)[],
  position: ReadonlyMap<string | null, number>,
): readonly string[] {
  return [...new Set(rules)]
    .toSorted((a, b) => (position.get(a) ?? -1) - (position.get(b) ?? -1))
    .map((rule) => rule ?? 'never-drop');
}
