// Calls for the canary: one for every rule and default, and one for each subject that must be let through.

import type { HardeningRule, PolicyDocument } from '../contract/policy.ts';
import { wordsToBytes } from './addresses.ts';
import { evaluateCall } from './evaluate.ts';
import { activeMode, type CallName, callNames, defaultId, defaultMode, isCallRule, ruleId } from './ids.ts';
import type { CallTry, CanaryOperation, Judgement } from './judgement.ts';
import { socketFamilyNumbers, socketTypeNumbers } from './numbers.ts';
import { allPorts, type PortRange } from './ports.ts';
import { allAddresses, anyAddresses } from './ranges.ts';
import { type CallReach, callReach } from './reach.ts';
import { addressSamples, combinations, portSamples } from './sample.ts';
import { SetResolver } from './sets.ts';
import {
  bitsOf,
  conditionsOf,
  isCgroupAlone,
  isWithin,
  type NumberedSubject,
  numberSubjects,
  subjectCgroups,
  subjectsOf,
} from './subjects.ts';
import type { Tried } from './try-packets.ts';
import { isOf, taskOf } from './try-tasks.ts';

/** Calls tried for one rule. */
const samplesMax = 200;

const families = [
  { family: 4, ranges: 'ipv4', socket: 'inet', preferred: Uint32Array.of(0, 0, 0xffff, 0xc0000201) },
  { family: 6, ranges: 'ipv6', socket: 'inet6', preferred: Uint32Array.of(0x20010db8, 0, 0, 1) },
] as const;
const transports = [
  { type: socketTypeNumbers.stream, protocol: 6 },
  { type: socketTypeNumbers.dgram, protocol: 17 },
] as const;
/** Kinds of socket that a plain kernel makes in an empty network namespace. */
const socketKinds = [
  { word: 'stream', type: socketTypeNumbers.stream, protocol: 6 },
  { word: 'dgram', type: socketTypeNumbers.dgram, protocol: 17 },
  // SOCK_RAW needs a protocol; 255 is IPPROTO_RAW.
  { word: 'raw', type: socketTypeNumbers.raw, protocol: 255 },
] as const;
const preferredPort = 443;

interface Target {
  readonly id: string;
  readonly reach: CallReach;
  readonly before: readonly CallReach[];
  readonly isDecidedBy: (judgement: Judgement) => boolean;
}

/** A line of the list as the kernel walks it. */
interface Line {
  readonly subject: NumberedSubject;
  readonly id: string;
  readonly reach: CallReach;
  readonly mode: 'monitor' | 'enforce';
}

/** Whom the canary stands for, and the hooks that judge it as such. */
interface Caller {
  readonly hook: CallTry['hook'];
  /** Their bits. */
  readonly subjects: bigint;
  readonly evaluate: (call: CanaryOperation) => Judgement;
  /** Lines of its own subject; those that hold for it, others' among them. */
  readonly isOwn: (line: Line) => boolean;
  readonly isHeldTo: (line: Line) => boolean;
}

export function tryCalls(documents: readonly PolicyDocument[]): Tried<CallTry> {
  const lines = linesOf(documents);
  const tries: CallTry[] = [];
  const untried: string[] = [];
  for (const caller of [...cgroupCallers(documents), ...taskCallers(documents)]) {
    const { hook, subjects } = caller;
    const ofSubject: CallTry[] = [];
    const trying = (call: CanaryOperation): CallTry => ({
      hook,
      subjects,
      call,
      expect: caller.evaluate(call),
    });
    const holding = lines.filter(caller.isHeldTo);
    if (!holding.some(caller.isOwn)) continue;
    holding.forEach((line, index) => {
      if (!caller.isOwn(line)) return;
      const earlier = holding.slice(0, index);
      const isMonitor = line.mode === 'monitor';
      const found = findCalls(trying, {
        id: line.id,
        reach: line.reach,
        before: earlier.filter((one) => isMonitor || one.mode === 'enforce').map((one) => one.reach),
        isDecidedBy: (judgement) => (isMonitor ? judgement.monitored : judgement.rule) === line.id,
      });
      if (found.length === 0) untried.push(line.id);
      ofSubject.push(...found);
    });
    const hasAllowed = ofSubject.some(({ expect }) => expect.verdict === 'allow');
    const allowed = hasAllowed ? null : findAllowed(trying, holding);
    tries.push(...ofSubject, ...(allowed === null ? [] : [allowed]));
  }
  return { tries, untried };
}

/** One for each cgroup that alone is a subject; rules of the subjects above hold there as well. */
function cgroupCallers(documents: readonly PolicyDocument[]): readonly Caller[] {
  const cgroups = subjectCgroups(documents);
  const cgroupOf = ({ subject: { conditions } }: Line) =>
    isCgroupAlone(conditions) ? conditions.cgroup : null;
  return [...new Set(cgroups.filter((one) => one !== null))].map((cgroup) => ({
    hook: 'cgroup',
    subjects: subjectsOf(cgroups, cgroup),
    evaluate: (call) => evaluateCall(documents, { cgroup, call }),
    isOwn: (line) => cgroupOf(line) === cgroup,
    isHeldTo: (line) => {
      const above = cgroupOf(line);
      return above !== null && isWithin(cgroup, above);
    },
  }));
}

/** One for each subject that is more than a cgroup. Hooks that know the task judge by such alone. */
function taskCallers(documents: readonly PolicyDocument[]): readonly Caller[] {
  const subjects = numberSubjects(documents).filter(({ conditions }) => !isCgroupAlone(conditions));
  const judging = documents.filter(
    (one) => one.kind !== 'HardeningPolicy' || !isCgroupAlone(conditionsOf(one.spec.subject)),
  );
  return subjects.map((own) => {
    const task = taskOf(own);
    const held = subjects.filter((one) => isOf(one, task));
    return {
      hook: 'task',
      subjects: held.reduce((bits, one) => bits | bitsOf(one), 0n),
      evaluate: (call) => evaluateCall(judging, { cgroup: task.cgroup ?? '', call, task }),
      isOwn: (line) => isSame(line.subject, own),
      isHeldTo: (line) => held.some((one) => isSame(line.subject, one)),
    };
  });
}

/** Of two numberings of the same documents. */
const isSame = (a: NumberedSubject, b: NumberedSubject) => a.first === b.first;

/** Denials, allowances, then the defaults in the same order, over all documents. */
function linesOf(documents: readonly PolicyDocument[]): readonly Line[] {
  const resolver = new SetResolver(documents);
  const policies = numberSubjects(documents).flatMap((subject) =>
    subject.documents.map((document) => ({ document, subject })),
  );
  const ruleLines = (action: HardeningRule['action']) =>
    policies.flatMap(({ document, subject }) =>
      document.spec.rules.flatMap((rule): readonly Line[] => {
        const mode = activeMode(document.spec.mode, rule.mode);
        if (rule.action !== action || mode === null || !isCallRule(rule)) return [];
        const set = resolver.callMatch(document.metadata.name, rule.connect ?? rule.bind ?? {});
        return [{ subject, id: ruleId(document, rule), reach: callReach(rule, set), mode }];
      }),
    );
  const defaultLines = (verdict: 'allow' | 'deny') =>
    policies.flatMap(({ document, subject }) =>
      callNames.flatMap((call): readonly Line[] => {
        if (document.spec.default?.[call] !== verdict) return [];
        const mode = defaultMode(document.spec.mode);
        if (mode === null) return [];
        return [{ subject, id: defaultId(document, call), reach: anyCall(call), mode }];
      }),
    );
  return [...ruleLines('deny'), ...ruleLines('allow'), ...defaultLines('deny'), ...defaultLines('allow')];
}

const anyCall = (call: CallName): CallReach => ({
  call,
  to: allAddresses,
  protocol: null,
  ports: null,
  socketFamilies: null,
  socketTypes: null,
});

/** One call, and for connect rules that speak of UDP a send without connect() as well: another hook judges it. */
function findCalls(trying: (call: CanaryOperation) => CallTry, target: Target): readonly CallTry[] {
  if (target.reach.call === 'socket') {
    const found = firstDecided(trying, target, socketCalls(target.reach));
    return found === null ? [] : [found];
  }
  const names = target.reach.call === 'bind' ? (['bind'] as const) : (['connect', 'sendto'] as const);
  return names.flatMap((name) => firstDecided(trying, target, addressCalls(name, target)) ?? []);
}

function firstDecided(
  trying: (call: CanaryOperation) => CallTry,
  target: Target,
  calls: Iterable<CanaryOperation>,
): CallTry | null {
  let left = samplesMax;
  for (const call of calls) {
    if (left-- <= 0) return null;
    const made = trying(call);
    if (target.isDecidedBy(made.expect) && isReachable(trying, call)) return made;
  }
  return null;
}

/** Whether the canary gets as far as the call: it has to make the socket first. */
function isReachable(trying: (call: CanaryOperation) => CallTry, call: CanaryOperation): boolean {
  if (call.call === 'socket') return true;
  const family = call.family === 4 ? socketFamilyNumbers.inet : socketFamilyNumbers.inet6;
  const { type, protocol } = call;
  return trying({ call: 'socket', family, type, protocol }).expect.verdict === 'allow';
}

function* socketCalls({ socketFamilies, socketTypes }: CallReach): Generator<CanaryOperation> {
  for (const { socket } of families) {
    if (socketFamilies !== null && !socketFamilies.includes(socket)) continue;
    for (const { word, type, protocol } of socketKinds) {
      if (socketTypes !== null && !socketTypes.includes(word)) continue;
      yield { call: 'socket', family: socketFamilyNumbers[socket], type, protocol };
    }
  }
}

function* addressCalls(
  name: 'connect' | 'sendto' | 'bind',
  { reach, before }: Target,
): Generator<CanaryOperation> {
  const alike = before.filter((one) => one.call === reach.call);
  const portsTried = portSamples(
    portsFor(name, reach.ports ?? [allPorts]),
    alike.flatMap((one) => (one.ports === null ? [] : [one.ports])),
    preferredPort,
  );
  const transportsTried = transports.filter(
    ({ type, protocol }) =>
      (reach.protocol === null || reach.protocol === protocol) &&
      (name !== 'sendto' || type === socketTypeNumbers.dgram),
  );
  for (const { family, ranges, preferred } of families) {
    const addresses = addressSamples(
      reach.to[ranges],
      [...alike.map((one) => one.to[ranges]), ...(name === 'bind' ? [] : [anyAddresses[ranges]])],
      preferred,
    );
    const sizes = [addresses.length, portsTried.length, transportsTried.length];
    for (const picks of combinations(sizes, samplesMax)) {
      const address = addresses[picks[0] ?? 0];
      const port = portsTried[picks[1] ?? 0];
      const transport = transportsTried[picks[2] ?? 0];
      if (address === undefined || port === undefined || transport === undefined) return;
      const bytes = wordsToBytes(address, 0);
      yield { call: name, family, ...transport, address: family === 4 ? bytes.subarray(12) : bytes, port };
    }
  }
}

/** The kernel sends nothing to port 0, before any hook is asked. */
function portsFor(name: CanaryOperation['call'], ports: readonly PortRange[]): readonly PortRange[] {
  if (name === 'bind') return ports;
  return ports.flatMap(({ first, last }) => (last === 0 ? [] : [{ first: Math.max(first, 1), last }]));
}

/** Some call that has to go through: shows that the subject is not simply cut off. null where all is denied. */
function findAllowed(trying: (call: CanaryOperation) => CallTry, holding: readonly Line[]): CallTry | null {
  const isAllowed = (judgement: Judgement) => judgement.verdict === 'allow';
  const reaches = holding.map((line) => line.reach);
  for (const call of callNames) {
    const target: Target = { id: '', reach: anyCall(call), before: reaches, isDecidedBy: isAllowed };
    const found = findCalls(trying, target).at(0);
    if (found !== undefined) return found;
  }
  return null;
}
