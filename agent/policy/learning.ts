// What of a policy is learnt: nothing is decided by it, and what its subject does is kept in the kernel (HARDENING.md §9).

import { HUSK_SUBJECTS_MAX, HuskOperation, type HuskOperations } from '../../bpf/abi/layout.gen.ts';
import type { HardeningPolicy, HardeningRule, Subject } from '../contract/policy.ts';
import { isLearnt, learnerId } from './ids.ts';
import { operationReaches } from './operation-reach.ts';

/** Operations of a subject that are kept, and the counter index that they are kept under. */
export interface Learning {
  readonly bit: number;
  readonly rule: number;
  readonly operations: readonly HuskOperation[];
}

/** For whoever makes a policy of it. */
export interface Learner {
  /** Name of the policy. */
  readonly policy: string;
  readonly subject: Subject;
  /** `enum husk_operation`. */
  readonly operations: readonly HuskOperation[];
}

const everyOperation = Object.values(HuskOperation).filter((one) => one < HuskOperation.COUNT);

/** null: nothing. A policy that learns keeps all that its subject does, a rule that does the operations it is about. */
export function learningOf(
  document: HardeningPolicy,
): (Pick<Learning, 'operations'> & { readonly id: string }) | null {
  const { mode, rules } = document.spec;
  const operations = isLearnt(mode, undefined)
    ? everyOperation
    : rules.filter((rule) => isLearnt(mode, rule.mode)).flatMap(operationsOf);
  return operations.length === 0 ? null : { id: learnerId(document), operations };
}

function operationsOf(rule: HardeningRule): readonly HuskOperation[] {
  if (rule.connect !== undefined) return [HuskOperation.CONNECT];
  if (rule.bind !== undefined) return [HuskOperation.BIND];
  if (rule.socket !== undefined) return [HuskOperation.SOCKET];
  return operationReaches(rule).map(({ operation }) => operation);
}

/** As the table has it. */
export function learningMasks(all: readonly Learning[]): Pick<HuskOperations, 'learning' | 'learners'> {
  const learning = new Array<bigint>(HuskOperation.COUNT).fill(0n);
  const learners = new Array<number>(HUSK_SUBJECTS_MAX).fill(0);
  const known = new Set<number>();
  for (const { bit, rule, operations } of all) {
    // Of policies with one subject the first gives its name to what is kept.
    if (!known.has(bit)) learners[bit] = rule;
    known.add(bit);
    for (const operation of operations)
      learning[operation] = (learning[operation] ?? 0n) | (1n << BigInt(bit));
  }
  return { learning, learners };
}
