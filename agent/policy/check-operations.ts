// What is wrong with rules about what tasks do to objects, each for itself and beside the others.

import {
  type ExecMatch,
  fileWords,
  type HardeningPolicy,
  type HardeningRule,
  type PathMatch,
} from '../contract/policy.ts';
import { allCapabilities, capabilityNumber, nearestCapability } from './capabilities.ts';
import { checkPaths, checkTakenIn, checkTwice } from './check-paths.ts';
import { appletFault } from './check-subject.ts';
import type { Checking } from './checking.ts';
import type { Path } from './faults.ts';
import { activeMode } from './ids.ts';
import { objectsCover } from './operation-cover.ts';
import { exceptionsMeet, type OperationReach, operationReaches } from './operation-reach.ts';
import { operationNames, operationNumbers } from './operation-words.ts';

/** False where it says nothing that could be compared with other rules. */
export function checkOperationRule(rule: HardeningRule, at: Path, checking: Checking): boolean {
  const { exec, file, privilege, kernel } = rule;
  const { fault } = checking;
  let isSound = true;
  const also = (one: boolean) => {
    isSound &&= one;
  };
  const isDeny = rule.action === 'deny';
  if (exec !== undefined) also(checkMatch(exec, [...at, 'exec'], isDeny, checking));
  if (file !== undefined) {
    const words = fileWords.filter((word) => file[word] !== undefined);
    also(checkSome(words, fileWords, [...at, 'file'], fault));
    for (const word of words) also(checkMatch(file[word] ?? {}, [...at, 'file', word], isDeny, checking));
    if (exceptionsMeet(operationReaches(rule)) !== null) {
      const message =
        'excepts paths of one word, and another word is about the same (a denial of read and write is one of link and rename as well): make rules of their own of them';
      fault([...at, 'file'], message);
      also(false);
    }
  }
  if (privilege !== undefined) {
    const words = ['setuid', 'capabilities', 'ptrace', 'userns'] as const;
    also(
      checkSome(
        words.filter((word) => privilege[word] !== undefined),
        words,
        [...at, 'privilege'],
        fault,
      ),
    );
    also(checkCapabilities(privilege.capabilities, [...at, 'privilege', 'capabilities'], checking));
  }
  if (kernel !== undefined) {
    const words = ['module', 'bpf', 'kexec', 'perf', 'lockdown'] as const;
    also(
      checkSome(
        words.filter((word) => kernel[word] !== undefined),
        words,
        [...at, 'kernel'],
        fault,
      ),
    );
  }
  return isSound;
}

function checkSome(
  found: readonly string[],
  of: readonly string[],
  at: Path,
  fault: Checking['fault'],
): boolean {
  if (found.length === 0) fault(at, `has none of ${of.join(', ')}`);
  return found.length > 0;
}

function checkMatch(match: ExecMatch | PathMatch, at: Path, isDeny: boolean, checking: Checking): boolean {
  const { fault } = checking;
  const { except, ...meant } = match;
  if (except === undefined) return checkObjects(match, at, checking);
  const exceptAt = [...at, 'except'];
  const besides = Object.keys(meant);
  let isSound = checkObjects(except, exceptAt, checking);
  const refuse = (message: string) => {
    isSound = false;
    fault(exceptAt, message, { what: 'key' });
  };
  if (besides.length > 0)
    refuse(`stands beside ${besides.join(', ')}; what is excepted is excepted from everything`);
  if (!isDeny) refuse('is of denials: to allow all but some, deny those');
  if (Object.keys(except).length === 0) refuse('excepts nothing');
  return isSound;
}

function checkObjects(
  match: Pick<ExecMatch, 'paths' | 'under' | 'applets'>,
  at: Path,
  checking: Checking,
): boolean {
  const { paths, under, applets } = match;
  let isSound = checkPaths(paths, [...at, 'paths'], checking);
  isSound = checkPaths(under, [...at, 'under'], checking) && isSound;
  if (isSound) checkTakenIn(match, at, checking);
  applets?.forEach((name, index) => {
    const message = appletFault(name);
    if (message === null) return;
    isSound = false;
    checking.fault([...at, 'applets', index], `"${name}" ${message}`);
  });
  checkTwice(applets, [...at, 'applets'], checking.fault);
  return isSound;
}

function checkCapabilities(names: readonly string[] | undefined, at: Path, { fault }: Checking): boolean {
  let isSound = true;
  names?.forEach((name, index) => {
    if (name === allCapabilities) {
      if (names.length > 1) fault([...at, index], '"all" takes in the others');
      return;
    }
    if (capabilityNumber(name) !== null) return;
    isSound = false;
    const nearest = nearestCapability(name);
    const hint = nearest === null ? 'they are named as in net_raw' : `${nearest} is one`;
    fault([...at, index], `"${name}" is no capability; ${hint}`);
  });
  checkTwice(names, at, fault);
  return isSound;
}

interface RuleAt {
  readonly rule: HardeningRule;
  readonly at: Path;
}

/** Rules that decide nothing, whatever a task does: others take all they are about, or it is allowed anyway. */
export function checkOperationOrder(
  { spec }: HardeningPolicy,
  rules: readonly RuleAt[],
  { fault, deniedByDefault }: Checking,
): void {
  const reaches = new Map(rules.map((one) => [one, operationReaches(one.rule)]));
  const denials = rules.filter(({ rule }) => {
    return rule.action === 'deny' && activeMode(spec.mode, rule.mode) === 'enforce';
  });
  for (const [index, one] of rules.entries()) {
    const { rule, at } = one;
    const own = reaches.get(one) ?? [];
    const isBefore = (other: RuleAt) => rules.indexOf(other) < index;
    const cover = denials.find((other) => {
      if (other === one || (other.rule.kill !== true && rule.kill === true)) return false;
      const others = reaches.get(other) ?? [];
      if (!reachesCover(others, own)) return false;
      // Of two that say the same, the later is too many.
      return rule.action === 'allow' || isBefore(other) || !reachesCover(own, others);
    });
    if (cover !== undefined) {
      const message = `rule "${rule.id}" can never match: rule "${cover.rule.id}" (deny) takes everything it is about`;
      fault([...at, 'id'], message);
    } else if (rule.action === 'allow') {
      checkAllowance(rule, own, at, { fault, deniedByDefault });
    }
  }
}

const reachesCover = (outer: readonly OperationReach[], inner: readonly OperationReach[]) =>
  inner.every((reach) =>
    outer.some((other) => other.operation === reach.operation && objectsCover(other, reach)),
  );

/** What is allowed where nothing is denied by default is allowed without a rule. */
function checkAllowance(
  rule: HardeningRule,
  reaches: readonly OperationReach[],
  at: Path,
  { fault, deniedByDefault }: Pick<Checking, 'fault' | 'deniedByDefault'>,
): void {
  for (const { operation } of reaches) {
    const name = operationNames.find((one) => operationNumbers[one] === operation) ?? 'exec';
    const path = [...at, 'id'];
    if (name !== 'exec' && name !== 'write' && name !== 'create' && name !== 'mount') {
      const message = `rule "${rule.id}" allows ${name}, which is allowed but for denials, and those win`;
      fault(path, message);
    } else if (!deniedByDefault.has(name)) {
      const message = `rule "${rule.id}" allows what is allowed anyway: no policy here has default: { ${name}: deny }`;
      fault(path, message, { severity: 'warning' });
    }
  }
}
