// What changes between two bundles, over all packets: which traffic is decided otherwise, by which rules, with an example.
//
// Each pair of zones that some interface can be in, and each direction, is one comparison: both lists as diagrams over the
// same classes, laid over one another. What has the same outcome is left out; what is left is told packet class by
// packet class. Every example is judged by the evaluator under both bundles before it is shown.

import type { PolicyDocument } from '../../contract/policy.ts';
import { type Direction, directions, ruleId } from '../ids.ts';
import type { Bounds } from './diagram.ts';
import { decider, type Outcome, type Verdict } from './outcome.ts';
import { bundleOf, Partition } from './partition.ts';
import { boxesOf, leavesWithin } from './paths.ts';
import { confirm, ordinaryFirst, type Witness, witnessOf } from './witness.ts';
import { type BoxWords, boxWords } from './words.ts';
import { interfaceKinds, originsOf, type Place, placesOf } from './zones.ts';

/**
 * verdict: packets within every limit get another one. The others keep it: limit: what happens above a rate
 * changes; mode: what is in monitor mode and noted; report: what is logged or how it is answered; rule: another rule decides.
 */
export const differenceKinds = ['verdict', 'limit', 'mode', 'report', 'rule'] as const;
export type DifferenceKind = (typeof differenceKinds)[number];

export interface Difference {
  readonly kind: DifferenceKind;
  readonly direction: Direction;
  /** `document/zone` before and after; null: the interface is in no zone. */
  readonly zones: readonly [before: string | null, after: string | null];
  /** An interface of the zones. */
  readonly interface: string;
  readonly before: Outcome;
  readonly after: Outcome;
  readonly packets: readonly BoxWords[];
  /** Whether `packets` are all of them. */
  readonly isAll: boolean;
  readonly example: Witness;
}

export interface PolicyDifference {
  /** In the order of direction, zones, kind. */
  readonly differences: readonly Difference[];
  /** Full names of rules. changed: the same name, written otherwise. */
  readonly rules: {
    readonly added: readonly string[];
    readonly removed: readonly string[];
    readonly changed: readonly string[];
  };
  /** Settings that are no rule's, as `branch: unparseable drop → allow`. */
  readonly settings: readonly string[];
  /**
   * What is not compared packet by packet, and is not the same: `branch: expectation "no-telnet" removed`, `hardening
   * policy gateway written otherwise`.
   */
  readonly texts: readonly string[];
}

export interface DiffOptions {
  readonly bounds?: Bounds;
  /** Called before each comparison. */
  readonly onProgress?: (done: number, of: number) => void;
  /** Boxes that are told of each difference. Default: 24. */
  readonly boxesMax?: number;
}

/** Documents that were checked. Throws ClassesTooManyError. */
export function diffPolicies(
  before: readonly PolicyDocument[],
  after: readonly PolicyDocument[],
  options: DiffOptions = {},
): PolicyDifference {
  const bundles = [bundleOf(before), bundleOf(after)] as const;
  const kinds = interfaceKinds([before, after]);
  const origins = originsOf(kinds);
  const places = placesOf(kinds).filter(({ zones }) => zones.some((zone) => zone !== null));
  const comparisons = directions.flatMap((direction) => places.map((place) => ({ direction, place })));
  const differences = comparisons.flatMap(({ direction, place }, done) => {
    options.onProgress?.(done, comparisons.length);
    const partition = new Partition({ bundles, place, origins, direction, bounds: options.bounds });
    return differencesIn(partition, place, bundles, options.boxesMax ?? 24);
  });
  return {
    differences,
    rules: rulesChanged(before, after),
    settings: settingsChanged(before, after),
    texts: textsChanged(before, after),
  };
}

function differencesIn(
  partition: Partition,
  { zones, kinds }: Place,
  bundles: readonly [ReturnType<typeof bundleOf>, ReturnType<typeof bundleOf>],
  boxesMax: number,
): readonly Difference[] {
  const { diagrams, judged, roots, space } = partition;
  const pairs: (readonly [Outcome, Outcome])[] = [];
  const numbers = new Map<string, number>();
  const root = diagrams.combine(roots[0] ?? 0, roots[1] ?? 0, (one, other) => {
    if (one === other) return 0;
    const key = `${one} ${other}`;
    const known = numbers.get(key);
    if (known !== undefined) return known;
    pairs.push([partition.outcome(one), partition.outcome(other)]);
    numbers.set(key, pairs.length);
    return pairs.length;
  });
  const ways = leavesWithin(diagrams, root, judged, ordinaryFirst(partition));
  const found = [...ways].flatMap(([leaf, path]): readonly Difference[] => {
    const [one, other] = pairs[leaf - 1] ?? [];
    if (one === undefined || other === undefined) return [];
    const example = witnessOf(partition, path);
    confirm(example, bundles[0], one);
    confirm(example, bundles[1], other);
    const kind = kindOf(one, other);
    const { boxes, isAll } = boxesOf(diagrams, space, { root, leaf, within: judged }, boxesMax);
    return [
      {
        kind,
        direction: partition.direction,
        zones: [zones[0]?.key ?? null, zones[1]?.key ?? null],
        interface: kinds[0]?.name ?? '',
        before: one,
        after: other,
        packets: boxes.map((box) => boxWords(partition, box)),
        isAll,
        example,
      },
    ];
  });
  return found.toSorted((a, b) => rank(a) - rank(b));
}

const verdicts: readonly Verdict[] = ['drop', 'reject', 'allow'];

/** By kind; what is opened before what is closed. */
const rank = ({ kind, before, after }: Difference) =>
  differenceKinds.indexOf(kind) * 16 +
  verdicts.indexOf(decider(before).verdict) * 4 -
  verdicts.indexOf(decider(after).verdict);

function kindOf(before: Outcome, after: Outcome): DifferenceKind {
  const same = (of: (outcome: Outcome) => unknown) =>
    JSON.stringify(of(before)) === JSON.stringify(of(after));
  if (decider(before).verdict !== decider(after).verdict) return 'verdict';
  if (!same(({ stages }) => stages.map(({ verdict, limit, over }) => [verdict, limit, over]))) return 'limit';
  if (!same(({ stages }) => stages.map(({ monitored }) => monitored))) return 'mode';
  if (
    !same(({ stages }) => stages.map(({ logged, reported, rejectWith }) => [logged, reported, rejectWith]))
  ) {
    return 'report';
  }
  return 'rule';
}

/** What a reader of a difference would otherwise take for the same: proofs that are gone, policies on calls. */
function textsChanged(
  before: readonly PolicyDocument[],
  after: readonly PolicyDocument[],
): readonly string[] {
  const texts = (documents: readonly PolicyDocument[]) =>
    new Map(
      documents.flatMap((document): readonly (readonly [string, string])[] => {
        const { name } = document.metadata;
        switch (document.kind) {
          case 'HardeningPolicy':
            return [[`hardening policy ${name}`, JSON.stringify(document.spec)]];
          case 'PacketPolicy': {
            const { expect = [], admins = [] } = document.spec;
            return [
              ...expect.map((one) => [`${name}: expectation "${one.id}"`, JSON.stringify(one)] as const),
              ...(admins.length === 0 ? [] : [[`${name}: admins`, JSON.stringify(admins)] as const]),
            ];
          }
          default:
            return [];
        }
      }),
    );
  const [old, fresh] = [texts(before), texts(after)];
  return [...new Set([...old.keys(), ...fresh.keys()])].flatMap((key) => {
    const [was, is] = [old.get(key), fresh.get(key)];
    if (was === is) return [];
    return `${key} ${was === undefined ? 'added' : is === undefined ? 'removed' : 'written otherwise'}`;
  });
}

const rulesOf = (documents: readonly PolicyDocument[]) =>
  new Map(
    documents.flatMap((document) =>
      document.kind !== 'PacketPolicy'
        ? []
        : directions.flatMap((direction) =>
            document.spec[direction].flatMap(({ zone, rules }) =>
              rules.map((rule) => [ruleId(document, rule), JSON.stringify([direction, zone, rule])] as const),
            ),
          ),
    ),
  );

function rulesChanged(
  before: readonly PolicyDocument[],
  after: readonly PolicyDocument[],
): PolicyDifference['rules'] {
  const [old, fresh] = [rulesOf(before), rulesOf(after)];
  return {
    added: [...fresh.keys()].filter((id) => !old.has(id)),
    removed: [...old.keys()].filter((id) => !fresh.has(id)),
    changed: [...fresh].flatMap(([id, text]) => (old.has(id) && old.get(id) !== text ? [id] : [])),
  };
}

function settingsChanged(
  before: readonly PolicyDocument[],
  after: readonly PolicyDocument[],
): readonly string[] {
  const settings = (documents: readonly PolicyDocument[]) =>
    new Map(
      documents.flatMap((document) => {
        if (document.kind !== 'PacketPolicy') return [];
        const { name } = document.metadata;
        const { mode, unparseable = 'drop', connections = {}, zones } = document.spec;
        const { tcp = 'loose', timeouts = {} } = connections;
        return [
          [`${name}: mode`, mode],
          [`${name}: unparseable`, mode === 'enforce' ? unparseable : 'allow'],
          [`${name}: connections, tcp`, tcp],
          ...Object.entries(timeouts).map(([timeout, seconds]) => [
            `${name}: timeout ${timeout}`,
            `${seconds} s`,
          ]),
          ...Object.entries(zones).map(([zone, { uncovered = 'allow' }]) => [
            `${name}: zone ${zone}, uncovered`,
            uncovered,
          ]),
        ] as [string, string][];
      }),
    );
  const [old, fresh] = [settings(before), settings(after)];
  return [...new Set([...old.keys(), ...fresh.keys()])].flatMap((key) => {
    const [was, is] = [old.get(key), fresh.get(key)];
    return was === is ? [] : [`${key} ${was ?? 'default'} → ${is ?? 'default'}`];
  });
}
