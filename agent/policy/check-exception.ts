// What is wrong inside one Exception, and between it and the rule it is of.

import type { Exception } from '../contract/exception.ts';
import {
  type CallMatch,
  type DefaultName,
  fileWords,
  type HardeningPolicy,
  type HardeningRule,
  hardeningWords,
} from '../contract/policy.ts';
import { checkOperationRule } from './check-operations.ts';
import { checkSubject } from './check-subject.ts';
import { type Checking, checkEntries, checkPorts } from './checking.ts';
import { exceptedId, exceptedKind, exceptedWords } from './exceptions.ts';
import { endMs } from './expiry.ts';
import type { Path } from './faults.ts';
import { isCallRule } from './ids.ts';
import { isList } from './sets.ts';

const words = ['exec', 'file', 'privilege', 'kernel', 'memory', 'connect', 'bind'] as const;

/** `policies`: what every document of its kind comes to, by kind and name; null: not all of them are at hand. */
export function checkException(
  exception: Exception,
  policies: ReadonlyMap<string, HardeningPolicy> | null,
  checking: Checking,
): void {
  const { spec } = exception;
  const { fault } = checking;
  if (endMs(spec.expires) === null) fault(['spec', 'expires'], `"${spec.expires}" is no day that there is`);
  if (spec.subject !== undefined) checkSubject(spec.subject, checking);
  const found = words.filter((word) => spec[word] !== undefined);
  const [word] = found;
  if (word === undefined || found.length > 1) {
    const what = word === undefined ? `has none of ${words.join(', ')}` : `has ${found.join(' and ')}`;
    fault(['spec'], `${what}; an exception is about what its rule is about`);
    return;
  }
  if (word === 'connect' || word === 'bind') checkCall(spec[word] ?? {}, ['spec', word], checking);
  else checkOperationRule({ ...exceptedWords(exception), id: '', action: 'allow' }, ['spec'], checking);
  if (policies !== null) checkRule(exception, word, policies, checking);
}

function checkCall({ to, ports }: Pick<CallMatch, 'to' | 'ports'>, at: Path, { fault }: Checking): void {
  if (isList(to)) checkEntries(to, [...at, 'to'], fault);
  checkPorts(ports, [...at, 'ports'], fault);
}

function checkRule(
  exception: Exception,
  word: (typeof words)[number],
  policies: ReadonlyMap<string, HardeningPolicy>,
  { fault }: Checking,
): void {
  const { of, subject } = exception.spec;
  const kind = exceptedKind(exception);
  const [key, name] = 'policy' in of ? (['policy', of.policy] as const) : (['shield', of.shield] as const);
  const policy = policies.get(`${kind} ${name}`);
  if (policy === undefined) {
    fault(['spec', 'of', key], `there is no ${kind} "${name}" with rules about tasks in the bundle`);
    return;
  }
  const at = ['spec', 'of', 'rule'];
  if (of.rule.startsWith('default-')) {
    checkDefault(exception, word, policy, at, fault);
    return;
  }
  const rule = policy.spec.rules.find(({ id }) => id === of.rule);
  if (rule === undefined) {
    fault(at, `there is no rule "${exceptedId(exception)}"`);
  } else if (rule.action === 'allow') {
    fault(at, `rule "${exceptedId(exception)}" allows, and there is nothing to be lifted`);
  } else if (rule[word] === undefined) {
    const is = hardeningWords.find((one) => rule[one] !== undefined) ?? 'nothing';
    fault(['spec', word], `is not what rule "${exceptedId(exception)}" is about, which is ${is}`, {
      what: 'key',
    });
  } else if (isCallRule(rule)) {
    if (subject !== undefined)
      fault(
        ['spec', 'subject'],
        'is not for connect and bind: those are excepted for all whom the policy means',
        {
          what: 'key',
        },
      );
    checkCalls(exception, rule, word, fault);
  } else {
    const missing = fileWords.find(
      (one) => exception.spec.file?.[one] !== undefined && rule.file?.[one] === undefined,
    );
    if (missing !== undefined)
      fault(['spec', 'file', missing], `rule "${exceptedId(exception)}" does not deny it`, { what: 'key' });
  }
}

function checkCalls(
  exception: Exception,
  rule: HardeningRule,
  word: (typeof words)[number],
  fault: Checking['fault'],
): void {
  if (word !== 'connect' && word !== 'bind') return;
  const [match, excepted] = [rule[word] ?? {}, exception.spec[word] ?? {}];
  const source = match.to ?? match.except;
  if (source !== undefined && !isList(source)) {
    const message = `rule "${exceptedId(exception)}" names an AddressSet: what is to go through belongs into that`;
    fault(['spec', 'of', 'rule'], message);
  }
  if (excepted.protocol !== undefined && excepted.protocol !== match.protocol) {
    const has = match.protocol === undefined ? 'is about every protocol' : `is about ${match.protocol}`;
    fault(['spec', word, 'protocol'], `rule "${exceptedId(exception)}" ${has}, and so is an exception of it`);
  }
}

/** A default is excepted like a rule, by the word of its operation. */
function checkDefault(
  exception: Exception,
  word: (typeof words)[number],
  { spec }: HardeningPolicy,
  at: Path,
  fault: Checking['fault'],
): void {
  const name = exception.spec.of.rule.slice('default-'.length);
  const verdict = Object.hasOwn(spec.default ?? {}, name) ? spec.default?.[name as DefaultName] : undefined;
  if (verdict !== 'deny') {
    fault(at, `"${exceptedId(exception)}" denies nothing`);
  } else if (name === 'connect' || name === 'bind' || name === 'socket') {
    fault(
      at,
      `"${exceptedId(exception)}" is a default of calls, and an allow rule is what lets some through`,
    );
  } else {
    const isMeant =
      name === 'exec'
        ? word === 'exec'
        : exception.spec.file?.[name as (typeof fileWords)[number]] !== undefined;
    if (!isMeant) fault(['spec', word], `is not what "${exceptedId(exception)}" is about`, { what: 'key' });
  }
}
