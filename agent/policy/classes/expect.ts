// What must hold of a policy, proven for every packet that is described, or refuted by one.
//
// Expectations and admins are the operator's; added to them is what a device cannot do without: opening a connection to
// its controller and going on with it, and asking a resolver. Those two are never refusals, since nobody but the operator knows
// which zone leads there: they are warned of where no zone lets such packets out.
//
// What is done counts: a rule in monitor mode decides nothing. An allow with a limit counts as allowed, within its
// limit, and that is said. Packets that are never dropped come to no rule and are not asked for.

import type { Admins, Expectation, PacketMatch, PolicyDocument } from '../../contract/policy.ts';
import type { Path as DocumentPath } from '../faults.ts';
import type { Direction } from '../ids.ts';
import type { Bounds } from './diagram.ts';
import type { ListLine } from './lines.ts';
import { type Outcome, type Step, surely } from './outcome.ts';
import { type Bundle, bundleOf, Partition } from './partition.ts';
import { leavesWithin, type Path } from './paths.ts';
import { classesOf, confirm, ordinaryFirst, type Witness, witnessOf } from './witness.ts';
import { interfaceKinds, originsOf, type Place, placesOf } from './zones.ts';

export interface Controller {
  /** null: not known. */
  readonly address: string | null;
  readonly port: number;
}

export interface ProofOptions {
  /** Default: any address, port 8883 (MQTT over TLS). */
  readonly controllers?: readonly Controller[];
  readonly bounds?: Bounds | undefined;
  readonly onProgress?: (done: number, of: number) => void;
}

export interface Proof {
  readonly kind: 'expect' | 'admins' | 'controller' | 'dns';
  /** The expectation's, or a sentence of what is asked. */
  readonly id: string;
  /** Index of the document, and where in it; null: of all of them. */
  readonly document: number | null;
  readonly path: DocumentPath;
  readonly verdict: 'allow' | 'drop';
  readonly zone: string;
  readonly direction: Direction;
  /**
   * proven: for every packet. limited: for every packet within the limits named. empty: no packet is like that.
   * partly (controller and dns): for some, or by zones alone that have no rules for what goes out. refuted: not for the counterexample.
   */
  readonly result: 'proven' | 'limited' | 'partly' | 'refuted' | 'empty';
  /** Rules with a limit that some of the packets are held to, as `branch/ssh (10/s, per source)`. */
  readonly limits: readonly string[];
  readonly counterexample: Counterexample | null;
  /** controller and dns: zones that have no rules for what goes out, where the counterexample is one of those that have. */
  readonly open: readonly string[];
}

export interface Counterexample {
  readonly packet: Witness;
  /** What decides, wrongly. */
  readonly step: Step;
}

export const controllerDefault: Controller = { address: null, port: 8883 };

/** One question: packets of a zone and direction, and the verdict they must get. */
interface Question extends Pick<Proof, 'kind' | 'id' | 'document' | 'path' | 'verdict' | 'direction'> {
  /** `document/zone`. */
  readonly zone: string;
  readonly match: PacketMatch;
}

/** Addresses that no host has for its own (RFC 6890): what is opened neither comes from nor goes to them. */
const nobodys = ['0.0.0.0/8', '127.0.0.0/8', '224.0.0.0/3', '::/127', 'ff00::/8'];
/** How a connection begins (RFC 9293 §3.5), with or without ECN (RFC 3168 §6.1.1). */
const opening = { set: ['syn'], unset: ['fin', 'rst', 'psh', 'ack', 'urg'] } as const;
/** How it goes on: whatever follows the answer. What comes back is never dropped. */
const goingOn = { set: ['ack'], unset: ['syn', 'rst', 'urg'] } as const;

/** Documents that were checked. Throws ClassesTooManyError. */
export function proveExpectations(
  documents: readonly PolicyDocument[],
  options: ProofOptions = {},
): readonly Proof[] {
  const bundle = bundleOf(documents);
  const kinds = interfaceKinds([documents]);
  const places = placesOf(kinds).filter(({ zones }) => zones[0] !== null);
  const origins = originsOf(kinds);
  const written = documents.flatMap(questionsOf);
  const ways = waysOut(places, options.controllers ?? [controllerDefault]);
  const questions = [...written, ...ways.flatMap(({ questions: all }) => all)];
  const grouped = groupBy(questions, ({ zone, direction }) => `${direction} ${zone}`);
  const answers = new Map<Question, Answer>();
  [...grouped.values()].forEach((group, done) => {
    options.onProgress?.(done, grouped.size);
    const [first] = group;
    const place = places.find(({ zones }) => zones[0]?.key === first?.zone);
    if (first === undefined || place === undefined) return;
    const { direction } = first;
    const matches = group.map(({ match }) => match);
    const { bounds } = options;
    const asked = { bundles: [bundle], place, origins, direction, matches, bounds, of: 'matches' } as const;
    const partition = new Partition(asked);
    group.forEach((question, at) => {
      answers.set(question, answer(partition, bundle, at, question.verdict));
    });
  });
  return [
    ...written.map((question) => proofOf(question, answers.get(question))),
    ...ways.map((way) => wayProof(way, answers, places)),
  ];
}

interface Answer {
  /** Whether some packet is as expected. */
  readonly isSome: boolean;
  readonly isEmpty: boolean;
  readonly limits: readonly string[];
  readonly counterexample: Counterexample | null;
}

function answer(partition: Partition, bundle: Bundle, match: number, verdict: 'allow' | 'drop'): Answer {
  const { diagrams, judged } = partition;
  const kinds: (Pick<Answer, 'limits'> & { readonly isRight: boolean })[] = [];
  const numbers = new Map<string, number>();
  const root = partition.matched(match, kindOf, (outcome) => {
    const kind = {
      isRight: surely(outcome, verdict, { within: true }),
      limits: verdict === 'allow' ? limitsOn(outcome) : [],
    };
    const key = JSON.stringify(kind);
    const number = numbers.get(key) ?? kinds.push(kind);
    numbers.set(key, number);
    return number;
  });
  const leaves = leavesWithin(diagrams, root, judged, { rank: ordinaryFirst(partition), not: 0 });
  const counted = [...leaves].flatMap(([leaf, path]) => {
    const kind = kinds[leaf - 1];
    return kind === undefined ? [] : [{ ...kind, path }];
  });
  const wrong = counted.find(({ isRight }) => !isRight);
  return {
    isSome: counted.some(({ isRight }) => isRight),
    isEmpty: leaves.size === 0,
    limits: [...new Set(counted.flatMap(({ limits }) => limits))],
    counterexample: wrong === undefined ? null : counterexampleOf(partition, bundle, wrong.path, verdict),
  };
}

/** Allowed or not is all that counts; of a rule with a limit also which it is. What is noted alone does not count. */
const kindOf = (does: ListLine['does']) =>
  typeof does !== 'object' ? null : does.limit !== null ? 'each' : does.verdict === 'allow' ? 0 : 1;

/** The limits above which an allowed packet is dropped. */
const limitsOn = ({ stages }: Outcome) =>
  stages.flatMap(({ over, rule, limit }) => (over === 'drop' ? [`${rule} (${limit})`] : []));

function counterexampleOf(
  partition: Partition,
  bundle: Bundle,
  path: Path,
  verdict: 'allow' | 'drop',
): Counterexample {
  const packet = witnessOf(partition, path);
  const outcome = partition.outcomeAt(classesOf(partition, path));
  confirm(packet, bundle, outcome);
  const step = outcome.stages.find((one) => (one.verdict === 'allow') !== (verdict === 'allow'));
  if (step === undefined) throw new Error(`nothing is wrong with ${packet.words}`);
  return { packet, step };
}

function proofOf({ match: _, ...question }: Question, found: Answer | undefined): Proof {
  if (found === undefined || found.isEmpty)
    return { ...question, result: 'empty', limits: [], counterexample: null, open: [] };
  const { counterexample, limits } = found;
  const held = limits.length > 0 ? 'limited' : 'proven';
  const result = counterexample === null ? held : 'refuted';
  return { ...question, result, limits, counterexample, open: [] };
}

function questionsOf(document: PolicyDocument, index: number): readonly Question[] {
  if (document.kind !== 'PacketPolicy' || document.spec.mode === 'off') return [];
  const { expect = [], admins = [] } = document.spec;
  const zoneKey = (zone: string) => `${document.metadata.name}/${zone}`;
  return [
    ...expect.map((one: Expectation, at): Question => {
      const { id, zone, direction = 'ingress', verdict, ...match } = one;
      return {
        kind: 'expect',
        id,
        document: index,
        path: ['spec', 'expect', at],
        verdict,
        direction,
        zone: zoneKey(zone),
        match,
      };
    }),
    ...admins.map((one: Admins, at): Question => {
      const id = `admins of ${one.zone}`;
      const path = ['spec', 'admins', at];
      return {
        kind: 'admins',
        id,
        document: index,
        path,
        verdict: 'allow',
        direction: 'ingress',
        zone: zoneKey(one.zone),
        match: adminMatch(one),
      };
    }),
  ];
}

/** New connections to the device itself, from the addresses named. */
function adminMatch({ from, protocol = 'tcp', ports }: Admins): PacketMatch {
  const tcp = protocol === 'tcp' ? { tcpFlags: opening } : {};
  return {
    from,
    protocol,
    ports: { to: ports },
    ...tcp,
    to: { not: nobodys },
    toDevice: true,
    state: 'new',
    fragment: 'none',
  };
}

/** Something that the device has to be able to open by some zone. */
interface WayOut {
  readonly kind: 'controller' | 'dns';
  readonly id: string;
  readonly isKnown: boolean;
  /** Of each zone; all of a zone must hold. */
  readonly questions: readonly Question[];
}

function waysOut(places: readonly Place[], controllers: readonly Controller[]): readonly WayOut[] {
  const common = { document: null, path: [], verdict: 'allow', direction: 'egress' } as const;
  const way = (
    kind: WayOut['kind'],
    id: string,
    isKnown: boolean,
    matches: readonly PacketMatch[],
  ): WayOut => ({
    kind,
    id,
    isKnown,
    questions: places.flatMap(({ zones: [zone] }) =>
      zone === null || zone === undefined
        ? []
        : matches.map((match) => ({ ...common, kind, id, zone: zone.key, match })),
    ),
  });
  const out = { origin: 'device', state: 'new', fragment: 'none', from: { not: nobodys } } as const;
  return [
    ...controllers.map(({ address, port }) => {
      const to = { ...out, to: address ?? { not: nobodys }, protocol: 'tcp', ports: { to: port } } as const;
      return way(
        'controller',
        `controller at ${address ?? 'any address'}, tcp port ${port}`,
        address !== null,
        [
          { ...to, tcpFlags: opening },
          { ...to, tcpFlags: goingOn, state: 'established' },
        ],
      );
    }),
    way('dns', 'resolver at any address, udp port 53', false, [
      { ...out, to: { not: nobodys }, protocol: 'udp', ports: { to: 53 } },
    ]),
  ];
}

/**
 * Of the zones that have rules for what goes out, the one that lets most of it out speaks for the device: zones without
 * such rules let out everything, and may lead nowhere.
 */
function wayProof(
  { kind, id, questions }: WayOut,
  answers: ReadonlyMap<Question, Answer>,
  places: readonly Place[],
): Proof {
  const common = { kind, id, document: null, path: [], verdict: 'allow', direction: 'egress' } as const;
  const isOpen = ({ zone }: Question) =>
    places.some(({ zones: [one] }) => one?.key === zone && one.rules.egress === null);
  const proofsOfZone = (asked: readonly Question[]) =>
    asked.map((question): Proof => {
      const found = answers.get(question);
      const proof = proofOf(question, found);
      const result = proof.result === 'refuted' && found?.isSome === true ? 'partly' : proof.result;
      return { ...proof, ...common, zone: question.zone, result };
    });
  const order: readonly Proof['result'][] = ['proven', 'limited', 'partly', 'refuted', 'empty'];
  const fromBest = (some: readonly Proof[]) =>
    some.toSorted((a, b) => order.indexOf(a.result) - order.indexOf(b.result));
  const judged = questions.filter((question) => !isOpen(question));
  const worstOfZones = [...groupBy(judged, ({ zone }) => zone).values()].flatMap((asked) =>
    // Of two that are as bad, the one that opens.
    fromBest(proofsOfZone(asked).toReversed()).slice(-1),
  );
  const [best] = fromBest(worstOfZones);
  // Where nothing is judged, nothing is in the way.
  if (best === undefined)
    return { ...common, zone: '', result: 'proven', limits: [], counterexample: null, open: [] };
  const open =
    best.counterexample === null ? [] : [...new Set(questions.filter(isOpen).map(({ zone }) => zone))];
  return { ...best, open, result: open.length > 0 ? 'partly' : best.result };
}

function groupBy<T>(all: readonly T[], key: (one: T) => string): ReadonlyMap<string, readonly T[]> {
  const groups = new Map<string, T[]>();
  for (const one of all) {
    const same = groups.get(key(one));
    if (same === undefined) groups.set(key(one), [one]);
    else same.push(one);
  }
  return groups;
}
