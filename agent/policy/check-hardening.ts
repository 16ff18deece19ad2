// What is wrong inside one HardeningPolicy.

import { type HardeningPolicy, type HardeningRule, hardeningWords } from '../contract/policy.ts';
import { checkCallMatch, checkCallOrder, type Reaching, reachingOf } from './check-call-rules.ts';
import { checkOperationOrder, checkOperationRule } from './check-operations.ts';
import { checkSubject } from './check-subject.ts';
import type { Checking } from './checking.ts';
import type { Path } from './faults.ts';
import { activeMode, isCallRule, raisesMode } from './ids.ts';

export function checkHardeningPolicy(document: HardeningPolicy, checking: Checking): void {
  const { spec } = document;
  checkSubject(spec.subject, checking);
  const calls: Reaching[] = [];
  const operations: { readonly rule: HardeningRule; readonly at: Path }[] = [];
  spec.rules.forEach((rule, index) => {
    const at = ['spec', 'rules', index];
    const isReadable = checkRule(document, rule, at, checking);
    if (!isReadable || activeMode(spec.mode, rule.mode) === null) return;
    if (!isCallRule(rule)) {
      operations.push({ rule, at });
      return;
    }
    const reaching = reachingOf(document, rule, at, checking);
    if (reaching !== null) calls.push(reaching);
  });
  checkCallOrder(document, calls, checking);
  checkOperationOrder(document, operations, checking);
}

/** False where it says nothing that could be compared with other rules. */
function checkRule(document: HardeningPolicy, rule: HardeningRule, at: Path, checking: Checking): boolean {
  const { fault } = checking;
  if (raisesMode(document.spec.mode, rule.mode)) {
    fault(
      [...at, 'mode'],
      `a rule cannot raise the policy's mode from ${document.spec.mode} to ${rule.mode}`,
    );
  }
  const words = hardeningWords.filter((word) => rule[word] !== undefined);
  for (const call of ['connect', 'bind'] as const) {
    const match = rule[call];
    if (match !== undefined) checkCallMatch(match, [...at, call], checking);
  }
  checkKill(rule, at, checking);
  const isSound = checkOperationRule(rule, at, checking);
  if (words.length === 1) return isSound;
  fault(
    at,
    words.length === 0
      ? `has none of ${hardeningWords.join(', ')}`
      : `has ${words.join(' and ')}; a rule is about one of them`,
  );
  return false;
}

function checkKill(rule: HardeningRule, at: Path, { fault }: Checking): void {
  if (rule.kill !== true) return;
  const path = [...at, 'kill'];
  if (rule.action === 'allow') {
    fault(path, 'is of denials: what is allowed ends no process', { what: 'key' });
  } else if (isCallRule(rule)) {
    fault(path, 'is not for connect, bind and socket: the call fails, and the process goes on', {
      what: 'key',
    });
  }
}
