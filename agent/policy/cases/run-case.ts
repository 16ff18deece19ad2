// Whether the evaluator gives the verdicts and faults that a case expects.

import type { PolicyDocument } from '../../contract/policy.ts';
import { evaluateCall, evaluateOperation, evaluatePacket, PacketEvaluator } from '../evaluate.ts';
import { formatFault } from '../faults.ts';
import type { Judgement } from '../judgement.ts';
import { readAndCheck } from '../read.ts';
import { type Case, verdictText } from './read-case.ts';

/** One line of a case that does not hold. */
export interface CaseFailure {
  /** In the case's file. */
  readonly line: number;
  /** The line as written; of a fault that is not in the case, the fault. */
  readonly text: string;
  /** Who found otherwise. */
  readonly by: 'evaluator' | 'kernel';
  readonly expected: string;
  readonly found: string;
}

export interface CaseRun {
  /** Those judged by; empty where the policy was refused. */
  readonly documents: readonly PolicyDocument[];
  /** Packets, calls, operations and faults that were held against what was found. */
  readonly checked: number;
  readonly failures: readonly CaseFailure[];
}

/** Judges a case by its own policy, faults and all, or by `documents` instead, which are checked ones. */
export function runCase(one: Case, documents?: readonly PolicyDocument[]): CaseRun {
  if (documents !== undefined) return judgeAll(one, documents);
  const own = readAndCheck([{ file: '', text: one.policy }]);
  // A fault's place is counted from the policy's first line, and has no file before it.
  const faults = own.faults.map((fault) => formatFault(fault).replace(/^:/, ''));
  const judged = own.documents.length > 0 ? judgeAll(one, own.documents) : refuseAll(one);
  const failures = [...compareFaults(one, faults), ...judged.failures];
  return { ...judged, checked: judged.checked + Math.max(faults.length, one.faults.length), failures };
}

function judgeAll(one: Case, documents: readonly PolicyDocument[]): CaseRun {
  const judgements = judgePackets(one, documents);
  const packets = one.packets.flatMap((packet, index) => {
    const judgement = judgements[index];
    return judgement === undefined ? [] : [compareVerdicts(packet, judgement, 'evaluator')];
  });
  const calls = one.calls.map((call) => compareVerdicts(call, evaluateCall(documents, call), 'evaluator'));
  const operations = one.operations.map((operation) =>
    compareVerdicts(operation, evaluateOperation(documents, operation, one), 'evaluator'),
  );
  const compared = [...packets, ...calls, ...operations];
  return { documents, checked: compared.length, failures: compared.filter((failure) => failure !== null) };
}

/** What the evaluator says of each packet: one after another where the case has a device, else each for itself. */
export function judgePackets(
  { packets, device, next }: Case,
  documents: readonly PolicyDocument[],
): readonly Judgement[] {
  if (device === null) return packets.map((packet) => evaluatePacket(documents, packet));
  const evaluator = new PacketEvaluator(documents, device);
  return packets.map((packet) => {
    if (packet.after === 'swap') evaluator.replace(readAndCheck([{ file: '', text: next }]).documents);
    if (packet.after === 'return') evaluator.returned();
    return evaluator.judge(packet);
  });
}

/** A refused policy judges nothing, and verdicts that wait for it do not hold. */
function refuseAll(one: Case): CaseRun {
  const waiting = [...one.packets, ...one.calls, ...one.operations];
  const failures = waiting.map(({ line, text, expect }) => ({
    ...{ line, text, by: 'evaluator' as const, expected: verdictText(expect) },
    found: 'nothing: the policy is refused',
  }));
  return { documents: [], checked: waiting.length, failures };
}

/** null: the verdict is the one expected, with its reason, its rule and what was noted on the way. */
export function compareVerdicts(
  one: { readonly line: number; readonly text: string; readonly expect: Judgement },
  judgement: Judgement,
  by: CaseFailure['by'],
): CaseFailure | null {
  const expected = verdictText(one.expect);
  const { state, ...stateless } = judgement;
  const isStateExpected = one.expect.state !== undefined && state !== undefined;
  const found = verdictText(isStateExpected ? judgement : stateless);
  return expected === found ? null : { line: one.line, text: one.text, by, expected, found };
}

function compareFaults(one: Case, found: readonly string[]): CaseFailure[] {
  const failure = (text: string, expected: string, was: string): CaseFailure => ({
    line: one.policyLine + Number(/^(\d+):/.exec(text)?.[1] ?? 0),
    ...{ text, by: 'evaluator', expected, found: was },
  });
  return [
    ...one.faults.filter((text) => !found.includes(text)).map((text) => failure(text, 'this fault', 'none')),
    ...found.filter((text) => !one.faults.includes(text)).map((text) => failure(text, 'none', 'this fault')),
  ];
}
