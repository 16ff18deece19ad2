// What changes between two bundles, over all packets: which traffic is decided otherwise, by which rules, with an example.
//
// Each pair of zones that some interface can be in, and each direction, is one comparison: both lists as diagrams over the
// same classes, laid over one another. What has the same outcome is left out; what is left is told packet class by
// packet class. Every example is judged by the evaluator under both bundles before it is shown.

import type { PolicyDocument, SynCookies } from '../../contract/policy.ts';
import { type Direction, directions, ruleId } from '../ids.ts';
import { shieldsAsPolicies } from '../shields-as-policies.ts';
import type { Bounds } from './diagram.ts';
import { decider, type Outcome, type Verdict } from './outcome.ts';
import { type Bundle, bundleOf, Partition } from './partition.ts';
import { Ancestry, boxesOf, leavesWithin } from './paths.ts';
import { confirm, ordinaryFirst, type Witness, witnessOf } from './witness.ts';
import { type BoxWords, boxWords } from './words.ts';
import { interfaceKinds, originsOf, type Place, placesOf } from './zones.ts';

/**
 * verdict: packets within every limit get another one. The others keep it: limit: what happens above a rate
 * changes; mode: what is in monitor mode and noted; report: what is logged or how it is answered; rule: another rule decides.
 */
const differenceKinds = ['verdict', 'limit', 'mode', 'report', 'rule'] as const;
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
  /** How many differences there are beside those told, by kind; the most telling kinds are told first. */
  readonly untold: Readonly<Record<DifferenceKind, number>>;
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
  /** Differences that are told of each pair of lists. Default: 200. */
  readonly differencesMax?: number;
}

/** Documents that were checked. Throws ClassesTooManyError. */
export function diffPolicies(
  oldest: readonly PolicyDocument[],
  newest: readonly PolicyDocument[],
  options: DiffOptions = {},
): PolicyDifference {
  const [before, after] = [shieldsAsPolicies(oldest), shieldsAsPolicies(newest)];
  const bundles = [bundleOf(before), bundleOf(after)] as const;
  const kinds = interfaceKinds([before, after]);
  const origins = originsOf(kinds);
  const places = placesOf(kinds).filter(({ zones }) => zones.some((zone) => zone !== null));
  const comparisons = directions.flatMap((direction) => places.map((place) => ({ direction, place })));
  const untold = { verdict: 0, limit: 0, mode: 0, report: 0, rule: 0 };
  const differences = comparisons.flatMap(({ direction, place }, done) => {
    options.onProgress?.(done, comparisons.length);
    const { bounds } = options;
    const partition = new Partition({ bundles, place, origins, direction, bounds, of: 'changes' });
    return differencesIn(partition, place, bundles, { ...options, untold });
  });
  return {
    differences,
    untold,
    rules: rulesChanged(before, after),
    settings: settingsChanged(before, after),
    texts: textsChanged(oldest, newest),
  };
}

function differencesIn(
  partition: Partition,
  { zones, kinds }: Place,
  bundles: readonly [Bundle, Bundle],
  {
    boxesMax = 24,
    differencesMax = 200,
    untold,
  }: DiffOptions & { readonly untold: Record<DifferenceKind, number> },
): readonly Difference[] {
  if (partition.isSame) return [];
  const { diagrams, judged, space } = partition;
  const pairs: Pair[] = [];
  const numbers = new Map<string, number>();
  const root = partition.changes((one, other) => {
    const key = `${one} ${other}`;
    const known = numbers.get(key);
    if (known !== undefined) return known;
    const [before, after] = [partition.outcome(one), partition.outcome(other)];
    pairs.push({ before, after, kind: kindOf(before, after) });
    numbers.set(key, pairs.length);
    return pairs.length;
  });
  const ways = leavesWithin(diagrams, root, judged, { rank: ordinaryFirst(partition), not: 0 });
  const found = [...ways]
    .flatMap(([number, path]) => {
      const pair = pairs[number - 1];
      return pair === undefined ? [] : [{ ...pair, number, path }];
    })
    .toSorted((a, b) => rank(a) - rank(b));
  for (const { kind } of found.slice(differencesMax)) untold[kind]++;
  const ancestry = new Ancestry(diagrams, root);
  return found.slice(0, differencesMax).map(({ kind, before, after, number, path }): Difference => {
    const example = witnessOf(partition, path);
    confirm(example, bundles[0], before);
    confirm(example, bundles[1], after);
    const { boxes, isAll } = boxesOf(
      diagrams,
      space,
      { root, leaf: number, within: judged, ancestry },
      boxesMax,
    );
    return {
      kind,
      direction: partition.direction,
      zones: [zones[0]?.key ?? null, zones[1]?.key ?? null],
      interface: kinds[0]?.name ?? '',
      before,
      after,
      packets: boxes.map((box) => boxWords(partition, box)),
      isAll,
      example,
    };
  });
}

type Pair = Pick<Difference, 'kind' | 'before' | 'after'>;

const verdicts: readonly Verdict[] = ['drop', 'reject', 'allow'];

/** By kind; what is opened before what is closed. */
const rank = ({ kind, before, after }: Pair) =>
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
          case 'Exception':
            return [[`exception ${name}`, JSON.stringify(document.spec)]];
          case 'Shield':
            return [[`shield ${name}`, JSON.stringify(document.spec)]];
          case 'PacketPolicy': {
            const { expect = [], admins = [] } = document.spec;
            return [
              ...expect.map((one) => [`${name}: expectation "${one.id}"`, JSON.stringify(one)] as const),
              ...(admins.length === 0 ? [] : [[`${name}: admins`, JSON.stringify(admins)] as const]),
            ];
          }
          case 'AddressSet': {
            // Until when an addition counts is no matter of packets.
            const { additions = [] } = document.spec;
            return additions.length === 0
              ? []
              : [[`address set ${name}: additions`, JSON.stringify(additions)]];
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

const cookiesKey = ', SYN cookies';

function settingsChanged(
  before: readonly PolicyDocument[],
  after: readonly PolicyDocument[],
): readonly string[] {
  const settings = (documents: readonly PolicyDocument[]) =>
    new Map(
      documents.flatMap((document) => {
        if (document.kind !== 'PacketPolicy') return [];
        const { name } = document.metadata;
        const { mode, unparseable = 'drop', connections = {}, zones, ingress } = document.spec;
        const { tcp = 'loose', timeouts = {} } = connections;
        return [
          [`${name}: mode`, mode],
          [`${name}: unparseable`, mode === 'enforce' ? unparseable : 'allow'],
          [`${name}: connections, tcp`, tcp],
          ...Object.entries(timeouts).map(([timeout, seconds]) => [
            `${name}: timeout ${timeout}`,
            `${seconds} s`,
          ]),
          ...ingress.flatMap(({ zone, synCookies }) =>
            synCookies === undefined ? [] : [[`${name}: zone ${zone}${cookiesKey}`, cookieWords(synCookies)]],
          ),
          ...Object.entries(zones).map(([zone, { uncovered = 'allow' }]) => [
            `${name}: zone ${zone}, uncovered`,
            uncovered,
          ]),
        ] as [string, string][];
      }),
    );
  const cookieWords = ({ above, perSource }: SynCookies) =>
    `above ${above}${perSource === undefined ? '' : `, ${perSource} per source`}`;
  const [old, fresh] = [settings(before), settings(after)];
  return [...new Set([...old.keys(), ...fresh.keys()])].flatMap((key) => {
    const [was, is] = [old.get(key), fresh.get(key)];
    const absent = key.endsWith(cookiesKey) ? 'none' : 'default';
    return was === is ? [] : [`${key} ${was ?? absent} → ${is ?? absent}`];
  });
}
