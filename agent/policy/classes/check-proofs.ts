// What proofs find wrong with documents that mean something: faults at the place of what does not hold.
//
// Errors are what the operator wrote down and does not hold. Warnings are what a person wants to know before signing: a
// controller that cannot be reached, rules that nothing comes to.

import type { PolicyDocument } from '../../contract/policy.ts';
import { RefusalError } from '../../contract/refusal.ts';
import { idsOf } from '../check.ts';
import { type Fault, FaultList, type Path } from '../faults.ts';
import { shieldsAsPolicies } from '../shields-as-policies.ts';
import { ClassesTooManyError, shortBounds } from './diagram.ts';
import { type Proof, type ProofOptions, proveExpectations } from './expect.ts';
import type { Verdict } from './outcome.ts';
import { type Shadow, shadowedRules } from './shadows.ts';

export interface CheckProofsOptions extends ProofOptions {
  /** Also say which rules are decided in part by others before them, and which change nothing. */
  readonly parts?: boolean;
}

export interface Proven {
  readonly faults: readonly Fault[];
  readonly proofs: readonly Proof[];
  readonly shadows: readonly Shadow[];
}

/** Documents that were checked without errors. */
export function checkProofs(written: readonly PolicyDocument[], options: CheckProofsOptions = {}): Proven {
  const documents = shieldsAsPolicies(written);
  const faults = new FaultList();
  const bounded = { bounds: shortBounds, ...options };
  const proofs = proofsOf(documents, bounded, faults);
  // What was too much for proofs is not gone through a second time.
  const shadows = proofs === null ? [] : shadowsOf(documents, bounded, faults);
  return { faults: faults.all(), proofs: proofs ?? [], shadows };
}

/** null: not proven, which is said. */
function proofsOf(
  documents: readonly PolicyDocument[],
  options: ProofOptions,
  faults: FaultList,
): readonly Proof[] | null {
  const expected = documents.flatMap((document, index) =>
    document.kind !== 'PacketPolicy'
      ? []
      : (['expect', 'admins'] as const).flatMap((key) =>
          (document.spec[key] ?? []).map((_, at) => ({ document, index, path: ['spec', key, at] as Path })),
        ),
  );
  try {
    const proofs = proveExpectations(documents, options);
    for (const proof of proofs) addProof(documents, proof, options, faults);
    const later = withoutEnding(documents);
    if (later !== null) addLater(documents, proofs, proveExpectations(later, options), options, faults);
    return proofs;
  } catch (error) {
    if (!(error instanceof ClassesTooManyError) && !(error instanceof RefusalError)) throw error;
    const message = `cannot be proven: ${error instanceof RefusalError ? error.detail : error.message}`;
    for (const place of expected) faults.addAt(place, message);
    if (expected.length === 0) addTooMany(message, faults);
    return null;
  }
}

/** The documents once all additions with an end have ended; null: there are none. */
function withoutEnding(documents: readonly PolicyDocument[]): readonly PolicyDocument[] | null {
  let ends = false;
  const later = documents.map((document) => {
    if (document.kind !== 'AddressSet') return document;
    const additions = document.spec.additions ?? [];
    const lasting = additions.filter(({ until }) => until === undefined);
    if (lasting.length === additions.length) return document;
    ends = true;
    return { ...document, spec: { ...document.spec, additions: lasting } };
  });
  return ends ? later : null;
}

/** From the best on; a proof about nobody any more is as good as any. */
const results: readonly Proof['result'][] = ['empty', 'proven', 'limited', 'partly', 'refuted'];

/**
 * What no trial brings back: a device that is cut off when an addition ends. Of expectations nothing is said, which may be
 * meant for as long as the addition lasts.
 */
function addLater(
  documents: readonly PolicyDocument[],
  now: readonly Proof[],
  later: readonly Proof[],
  options: ProofOptions,
  faults: FaultList,
): void {
  for (const [index, proof] of later.entries()) {
    const before = now[index]?.result ?? 'empty';
    if (proof.kind === 'expect' || results.indexOf(proof.result) <= results.indexOf(before)) continue;
    addProof(documents, proof, options, faults, 'once the additions that have an end have ended, ');
  }
}

const addTooMany = (message: string, faults: FaultList) =>
  faults.add({ severity: 'warning', file: '', line: 0, column: 0, path: '', message });

function addProof(
  documents: readonly PolicyDocument[],
  proof: Proof,
  { controllers = [] }: ProofOptions,
  faults: FaultList,
  when: '' | `${string}, ` = '',
): void {
  const { kind, id, result, path, counterexample } = proof;
  const document = proof.document === null ? undefined : documents[proof.document];
  if (document !== undefined && proof.document !== null) {
    const place = { document, index: proof.document, path };
    const name = kind === 'expect' ? `expectation "${id}"` : id;
    if (result === 'empty')
      faults.addAt(place, `${name}: no packet is like that`, kind === 'expect' ? 'warning' : 'error');
    if (counterexample !== null)
      faults.addAt(
        place,
        `${when}${name} does not hold: ${counterexampleWords(proof)}`,
        when === '' ? 'error' : 'warning',
      );
    else if (proof.verdict === 'drop' && letsUnreadThrough(documents)) {
      const message = `${name} holds for packets whose headers can be read; unparseable: allow lets in others, whatever they are`;
      faults.addAt(place, message, 'warning');
    }
    return;
  }
  if (counterexample === null) return;
  const { open } = proof;
  const isKnown = controllers.some(({ address }) => address !== null);
  // Which of all addresses it is nobody said: that some are reached is all that can be asked.
  if (result === 'partly' && open.length === 0 && !(kind === 'controller' && isKnown)) return;
  const how = result === 'partly' ? 'may not reach' : 'cannot reach';
  const names = open.map((zone) => zone.slice(zone.indexOf('/') + 1)).join(', ');
  const way = open.length === 0 ? '' : ` (unless by ${names}, which has no rules for what goes out)`;
  const message = `${when}the device ${how} its ${id}${way}: ${counterexampleWords(proof)}`;
  const place = placeOf(documents, counterexample.step.rule);
  if (place !== null) faults.addAt(place, message, 'warning');
}

/** A device has one verdict for what cannot be read: a third VLAN tag, or too many extension headers before a port. */
const letsUnreadThrough = (documents: readonly PolicyDocument[]) =>
  documents.some(
    ({ kind, spec }) => kind === 'PacketPolicy' && spec.mode === 'enforce' && spec.unparseable === 'allow',
  );

const done: Readonly<Record<Verdict, string>> = { allow: 'allowed', drop: 'dropped', reject: 'rejected' };

/** `tcp …, in by wan0 is dropped by rule branch/x`. */
function counterexampleWords({ counterexample }: Proof): string {
  if (counterexample === null) return '';
  const { packet, step } = counterexample;
  const by =
    step.rule === null
      ? 'since no rule judges it'
      : `by ${step.reason === 'default' ? 'the default' : 'rule'} ${step.rule}`;
  const limit = step.limit === null ? '' : ` (within its limit of ${step.limit})`;
  return `${packet.words} is ${done[step.verdict]} ${by}${limit}`;
}

function placeOf(documents: readonly PolicyDocument[], rule: string | null) {
  for (const [index, document] of documents.entries()) {
    const found = idsOf(document).find(({ id }) => id === rule);
    if (found !== undefined) return { document, index, path: found.path };
  }
  return null;
}

function shadowsOf(
  documents: readonly PolicyDocument[],
  { parts = false, bounds, onProgress }: CheckProofsOptions,
  faults: FaultList,
): readonly Shadow[] {
  const unknown: string[] = [];
  try {
    const shadows = shadowedRules(documents, {
      onUnknown: (rule) => unknown.push(rule),
      parts,
      bounds,
      ...(onProgress === undefined ? {} : { onProgress }),
    });
    for (const shadow of shadows) {
      const place = placeOf(documents, shadow.rule);
      if (place !== null) faults.addAt(place, shadowWords(shadow), 'warning');
    }
    if (unknown.length > 0) addTooMany(unknownWords(unknown), faults);
    return shadows;
  } catch (error) {
    if (!(error instanceof ClassesTooManyError)) throw error;
    addTooMany(`rules that stand before others were not looked for: ${error.message}`, faults);
    return [];
  }
}

const rulesMax = 5;

const unknownWords = (rules: readonly string[]) => {
  const more = rules.length > rulesMax ? ` and ${rules.length - rulesMax} more` : '';
  const names = `${rules.slice(0, rulesMax).join(', ')}${more}`;
  return `whether a packet comes to ${names} is not known: it takes too long to find out, so many rules above meet them`;
};

function shadowWords({ rule, extent, by }: Shadow): string {
  const short = rule.slice(rule.indexOf('/') + 1);
  if (extent === 'redundant')
    return `rule "${short}" changes no verdict: without it, the same is done with every packet`;
  const names = by.map((one) => `"${one.slice(one.indexOf('/') + 1)}"`);
  const list =
    names.length <= rulesMax
      ? names.join(', ')
      : `${names.slice(0, rulesMax).join(', ')} and ${names.length - rulesMax} more`;
  const before = names.length === 1 ? `${list} above takes` : `${list} above together take`;
  if (extent === 'part')
    return `rule "${short}" does not get all packets it is about: ${list} above ${names.length === 1 ? 'decides' : 'decide'} some of them otherwise`;
  if (by[0] === 'never-drop') return `rule "${short}" can never match: such packets are never dropped`;
  if (by.length === 0) return `rule "${short}" can never match: no packet is like that`;
  return `rule "${short}" can never match: ${before} every packet it is about`;
}
