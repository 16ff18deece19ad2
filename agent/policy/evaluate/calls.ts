// What a call comes to by the letter of HardeningPolicy documents.

import type {
  CallMatch,
  Exception,
  HardeningPolicy,
  HardeningRule,
  PolicyDocument,
  SocketMatch,
  Subject,
} from '../../contract/policy.ts';
import { bytesToWords, isIpv4 } from '../addresses.ts';
import { activeMode, type CallName, callNames, defaultId, defaultMode, isCallRule, ruleId } from '../ids.ts';
import type { CanaryOperation, Judgement } from '../judgement.ts';
import { protocolNumber, socketFamilyNumbers, socketTypeNumbers } from '../numbers.ts';
import { type PortRange, portRanges, portsHold } from '../ports.ts';
import { anyAddresses, holds } from '../ranges.ts';
import { SetResolver } from '../sets.ts';
import { unreadable } from './checked.ts';
import { exceptionsFrom } from './exceptions.ts';
import { plain } from './lines.ts';
import { hardeningIn, isCgroupOnly, isSubject, type TaskAt } from './subjects.ts';

export interface CallAt {
  /** The cgroup of the caller, relative to the hardening root. */
  readonly cgroup: string;
  readonly call: CanaryOperation;
  /** What is known of the task besides, where hooks see it; absent: subjects that are more than a cgroup are of nobody. */
  readonly task?: Omit<TaskAt, 'cgroup'>;
}

/** A rule or default as it is walked. */
interface Line {
  readonly id: string;
  readonly mode: 'monitor' | 'enforce';
  readonly verdict: 'allow' | 'deny';
  readonly matches: (call: Call) => boolean;
}

interface JudgedSubject {
  readonly subject: Subject;
  readonly rules: readonly Line[];
  readonly defaults: readonly Line[];
}

/** Cgroup hooks judge by subjects that are a cgroup, hooks that see the task by all others: a denial of either holds. */
export function evaluateCall(documents: readonly PolicyDocument[], at: CallAt): Judgement {
  const { cgroup, task = { lineage: [], lineageKnown: true, user: -1 } } = at;
  const holding = subjectsOf(documents).filter(({ subject }) => isSubject(subject, { ...task, cgroup }));
  const byCgroup = judgeBy(
    holding.filter(({ subject }) => isCgroupOnly(subject)),
    at,
  );
  const byTask = judgeBy(
    holding.filter(({ subject }) => !isCgroupOnly(subject)),
    at,
  );
  const [decided, other] =
    byCgroup.verdict === 'deny' || byCgroup.rule !== null || byTask.reason === 'no-subject'
      ? [byCgroup, byTask]
      : [byTask, byCgroup];
  const holds = other.verdict === 'deny' && decided.verdict !== 'deny' ? other : decided;
  return { ...holds, monitored: byCgroup.monitored ?? byTask.monitored };
}

function judgeBy(subjects: readonly JudgedSubject[], at: CallAt): Judgement {
  if (subjects.length === 0) return plain('allow', 'no-subject');
  const call = readCall(at.call);
  // Deny over allow over default; among defaults, too, deny wins.
  const denialsFirst = (lines: readonly Line[]) => [
    ...lines.filter((line) => line.verdict === 'deny'),
    ...lines.filter((line) => line.verdict !== 'deny'),
  ];
  const rules = denialsFirst(subjects.flatMap((subject) => subject.rules));
  const defaults = denialsFirst(subjects.flatMap((subject) => subject.defaults));
  const { decided, monitored } = walk([...rules, ...defaults], call);
  if (decided === null) return { ...plain('allow', 'default'), monitored };
  const reason = defaults.includes(decided) ? 'default' : 'rule';
  return { verdict: decided.verdict, reason, rule: decided.id, monitored };
}

/** The first match in enforce mode decides; the first in monitor mode before it is noted. */
function walk(lines: readonly Line[], call: Call) {
  let monitored: string | null = null;
  for (const line of lines) {
    if (!line.matches(call)) continue;
    if (line.mode === 'enforce') return { decided: line, monitored };
    monitored ??= line.id;
  }
  return { decided: null, monitored };
}

const subjectsBefore = new WeakMap<readonly PolicyDocument[], readonly JudgedSubject[]>();

/** Conditions are read once for an array of documents. */
function subjectsOf(documents: readonly PolicyDocument[]): readonly JudgedSubject[] {
  const known = subjectsBefore.get(documents);
  if (known !== undefined) return known;
  const sets = new SetResolver(documents);
  const fresh = hardeningIn(documents).map((one) => subjectOf(one, sets, documents));
  subjectsBefore.set(documents, fresh);
  return fresh;
}

/** A call as the kernel sees it: protocol settled, mapped addresses as IPv4, no destination left to the kernel. */
interface Call {
  readonly name: CallName;
  readonly protocol: number;
  readonly address: Uint32Array;
  readonly isIpv4: boolean;
  readonly port: number;
  readonly socketFamily: number;
  readonly socketType: number;
}

const protocolMptcp = 262;

function readCall(call: CanaryOperation): Call {
  const address = new Uint32Array(4);
  const protocol = settledProtocol(call.type, call.protocol);
  if (call.call === 'socket') {
    const { family: socketFamily, type: socketType } = call;
    return { name: 'socket', protocol, address, isIpv4: false, port: 0, socketFamily, socketType };
  }
  bytesToWords(call.address, address, 0);
  if (call.call !== 'bind') settleDestination(address);
  return {
    name: call.call === 'bind' ? 'bind' : 'connect',
    protocol,
    address,
    isIpv4: isIpv4(address, 0),
    port: call.port,
    socketFamily: call.family === 4 ? socketFamilyNumbers.inet : socketFamilyNumbers.inet6,
    socketType: call.type,
  };
}

/** 0 asks for the type's own protocol. Multipath TCP is TCP to its peer, and so to a rule. */
function settledProtocol(type: number, protocol: number): number {
  if (protocol === protocolMptcp) return 6;
  if (protocol !== 0) return protocol;
  return type === socketTypeNumbers.stream ? 6 : type === socketTypeNumbers.dgram ? 17 : 0;
}

/** Linux takes "any" as a destination for this host. */
function settleDestination(address: Uint32Array): void {
  if (holds(anyAddresses.ipv4, address, 0)) address[3] = 0x7f000001;
  else if (holds(anyAddresses.ipv6, address, 0)) address[3] = 1;
}

function subjectOf(
  document: HardeningPolicy,
  sets: SetResolver,
  documents: readonly PolicyDocument[],
): JudgedSubject {
  const { spec } = document;
  const defaults = callNames.flatMap((name): readonly Line[] => {
    const verdict = spec.default?.[name];
    if (verdict === undefined) return [];
    const mode = defaultMode(spec.mode);
    if (mode === null) return [];
    return [{ id: defaultId(document, name), mode, verdict, matches: (call) => call.name === name }];
  });
  const rules = spec.rules.flatMap((rule) =>
    callLine(document, rule, sets, exceptionsFrom(documents, ruleId(document, rule))),
  );
  return { subject: spec.subject, rules, defaults };
}

function callLine(
  document: HardeningPolicy,
  rule: HardeningRule,
  sets: SetResolver,
  exceptions: readonly Exception[],
): readonly Line[] {
  const mode = activeMode(document.spec.mode, rule.mode);
  if (mode === null || !isCallRule(rule)) return [];
  const line = (matches: (call: Call) => boolean) => [
    { id: ruleId(document, rule), mode, verdict: rule.action, matches },
  ];
  if (rule.socket !== undefined) return line(socketCondition(rule.socket));
  const name = rule.connect !== undefined ? 'connect' : 'bind';
  const condition = addressCondition(document, rule.connect ?? rule.bind ?? {}, sets);
  const lifts = exceptions.flatMap(({ metadata, spec }) => {
    const match = spec[name];
    return match === undefined ? [] : [addressCondition({ metadata }, match, sets)];
  });
  return line((call) => call.name === name && condition(call) && !lifts.some((one) => one(call)));
}

function addressCondition(document: Pick<HardeningPolicy, 'metadata'>, match: CallMatch, sets: SetResolver) {
  const set = sets.callMatch(document.metadata.name, match);
  const ports: readonly PortRange[] | null =
    match.ports === undefined ? null : portRanges(match.ports, unreadable);
  const protocol = match.protocol === undefined ? null : protocolNumber(match.protocol);
  return (call: Call): boolean => {
    if (protocol !== null && call.protocol !== protocol) return false;
    if (ports !== null && !portsHold(ports, call.port)) return false;
    return set === null || holds(set.ranges[call.isIpv4 ? 'ipv4' : 'ipv6'], call.address, 0) !== set.not;
  };
}

function socketCondition(match: SocketMatch) {
  return (call: Call): boolean =>
    call.name === 'socket' &&
    isOneOf(match.family, socketFamilyNumbers, call.socketFamily) &&
    isOneOf(match.type, socketTypeNumbers, call.socketType);
}

/** An absent list is any. */
function isOneOf<Word extends string>(
  words: readonly Word[] | undefined,
  numbers: Readonly<Record<Word, number>>,
  number: number,
): boolean {
  return words === undefined || words.some((word) => numbers[word] === number);
}
