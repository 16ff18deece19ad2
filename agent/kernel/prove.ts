// Proof in the kernel before a generation goes live.
//
// Packets: the twin of each packet program, the same code judging by the standby slot with scratch state,
// runs over a crafted packet for every rule (BPF_PROG_TEST_RUN). Calls: hooks without TEST_RUN are tried by a
// canary child in a cgroup of its own; the hooks see the label, judge it by the standby slot as if it had the
// subjects of the rule, and it must get the errno. What they say they decided by, rule for rule, is compared
// with what the evaluator says; one difference refuses the bundle.

import {
  type decodeHuskTried,
  HUSK_RULE_NONE,
  HuskConnectionState,
  HuskOperation,
  HuskReason,
  HuskVerdict,
} from '../../bpf/abi/layout.gen.ts';
import type { Addon, MapHandle, ProgramHandle } from '../../native/index.ts';
import { RefusalError } from '../contract/refusal.ts';
import type {
  CallTry,
  CanaryOperation,
  Judgement,
  PacketTried,
  PacketTry,
  Reason,
  Tries,
} from '../policy/judgement.ts';
import { noCanary, readTried, unproven, withCanary, writeLabel } from './canary.ts';
import type { Slot } from './live-word.ts';
import { type OperationTools, proveOperations } from './prove-operations.ts';

export interface ProofTools {
  readonly addon: Addon;
  /** Ingress on an Ethernet link is tried by XDP's twin and by tc's: which of them judges is the interface's to say. */
  readonly twins: {
    readonly xdp: ProgramHandle;
    readonly ingress: ProgramHandle;
    readonly egress: ProgramHandle;
  };
  readonly tryLabel: MapHandle;
  readonly tried: MapHandle;
  readonly ruleId: (index: number) => string | null;
  /** The hardening root, where the canary's cgroup is made; null: no call is judged on this device. */
  readonly cgroup: string | null;
  /** What trying operations takes; null: nothing judges them. */
  readonly operations: OperationTools | null;
}

export interface Proof {
  readonly packets: number;
  readonly calls: number;
  readonly operations: number;
  readonly untried: readonly string[];
  /** Packet rules and defaults that a packet was looked for, of all there are. */
  readonly packetRules: Tries['packetRules'];
}

/** Tries all there is to try in `slot`. Throws RefusalError kernel.unproven with the first difference. */
export async function proveSlot(tools: ProofTools, slot: Slot, tries: Tries): Promise<Proof> {
  for (const packet of tries.packets) provePacket(tools, slot, packet);
  // In tier C no hook knows whose a call is: such rules are unsupported there (policy/rule-tier.ts).
  const isJudged = ({ hook }: CallTry) => hook !== 'task' || tools.operations?.guards.tier !== 'C';
  const calls = tries.calls.filter(isJudged);
  if (calls.length > 0) await proveCalls(tools, slot, calls);
  const untriedCalls = tries.calls
    .filter((call) => !isJudged(call))
    .flatMap(({ expect }) => expect.rule ?? expect.monitored ?? []);
  const untriedOperations = await proveOperations(tools, slot, tries.operations);
  const { packets, operations, packetRules } = tries;
  return {
    packets: packets.length,
    calls: calls.length,
    operations: operations.length - untriedOperations.length,
    untried: [...tries.untried, ...new Set([...untriedCalls, ...untriedOperations])],
    packetRules,
  };
}

/** XDP_DROP and TC_ACT_SHOT, the only actions of twins that stop a packet. */
const xdpDrop = 1;
const tcShot = 2;
/** Test runs of tc programs take no packet whose IP header, by the type in its place, is cut (6.18). */
const ethernetBytes = 14;
const ipBytes: ReadonlyMap<number, number> = new Map([
  [0x0800, 20],
  [0x86dd, 40],
]);

function provePacket(tools: ProofTools, slot: Slot, packet: PacketTry): void {
  const { direction, expect, noted } = packet;
  const name = `${direction} packet for ${expect.rule ?? expect.monitored ?? expect.reason}`;
  for (const found of runTwins(tools, slot, packet, name)) {
    compare(name, expect, found.judgement);
    compareNoted(name, noted, found);
  }
}

/** A rule that only logs leaves no trace in the verdict: whether it was there shows in what was noted on the way. */
function compareNoted(name: string, expected: readonly string[], found: Found): void {
  const last = expected.at(-1) ?? null;
  if (found.noted === expected.length && found.lastNoted === last) return;
  const say = (count: number, id: string | null) => (id === null ? `${count}` : `${count}, ${id} the last`);
  throw unproven(
    name,
    `expected rules that matched without deciding: ${say(expected.length, last)}; the kernel says ${say(found.noted, found.lastNoted)}`,
  );
}

/** What running a twin takes. */
export type PacketTools = Omit<ProofTools, 'cgroup' | 'operations'>;

/**
 * What the twins do with a packet, by the tables of a slot: one for each program that may judge such a packet. `name`
 * is how a refusal speaks of it. Throws RefusalError kernel.unproven where what one did is not what it recorded,
 * KernelError where the kernel does not run it on such a packet.
 */
export function tryPacket(
  tools: PacketTools,
  slot: Slot,
  packet: PacketTried,
  name: string,
): readonly Judgement[] {
  return runTwins(tools, slot, packet, name).map(({ judgement }) => judgement);
}

/** What one program did. */
interface Found {
  readonly judgement: Judgement;
  /** How many rules and defaults matched and did not decide, and the last of them. */
  readonly noted: number;
  readonly lastNoted: string | null;
}

function runTwins(tools: PacketTools, slot: Slot, packet: PacketTried, name: string): readonly Found[] {
  const { direction, ifindex, cameBy, link } = packet;
  const state = packet.state === null ? HuskConnectionState.NONE : stateNumbers[packet.state];
  writeLabel(tools, { ...noCanary, slot, ifindex, cameBy, state });
  const { xdp, ingress, egress } = tools.twins;
  const byXdp = { program: xdp, stops: xdpDrop };
  const byTc = { program: direction === 'egress' ? egress : ingress, stops: tcShot };
  const type = (packet.frame[12] ?? 0) * 256 + (packet.frame[13] ?? 0);
  const isShort = packet.frame.length < ethernetBytes + (ipBytes.get(type) ?? 1);
  const isXdp = direction === 'ingress' && link === 'ethernet';
  const twins = isXdp ? (isShort ? [byXdp] : [byXdp, byTc]) : [byTc];
  return twins.map((twin) => runTwin(tools, twin, packet.frame, name));
}

interface Twin {
  readonly program: ProgramHandle;
  /** The action by which it stops a packet. */
  readonly stops: number;
}

function runTwin(tools: PacketTools, { program, stops }: Twin, frame: Uint8Array, name: string): Found {
  const before = readTried(tools).runs;
  const run = tools.addon.testRun(program, frame, { repeat: 1 });
  const after = readTried(tools);
  if (after.runs === before) throw unproven(name, 'the twin left no record');
  const judgement = judgementOf(tools, after);
  const isStopped = judgement.verdict === 'drop' || judgement.verdict === 'reject';
  if ((run.verdict === stops) !== isStopped) throw unproven(name, `the program returned ${run.verdict}`);
  return { judgement, noted: after.noted, lastNoted: idOf(tools, after.lastNoted) };
}

const stateNumbers = {
  new: HuskConnectionState.NEW,
  established: HuskConnectionState.ESTABLISHED,
  related: HuskConnectionState.RELATED,
  invalid: HuskConnectionState.INVALID,
} as const;

const EPERM = 1;
const ECANCELED = 125;

/** What hooks that know the task take a call for. */
const taskOperations: Readonly<Record<CanaryOperation['call'], HuskOperation>> = {
  connect: HuskOperation.CONNECT,
  sendto: HuskOperation.CONNECT,
  bind: HuskOperation.BIND,
  socket: HuskOperation.SOCKET,
};

async function proveCalls(tools: ProofTools, slot: Slot, calls: readonly CallTry[]): Promise<void> {
  if (tools.cgroup === null) {
    throw new RefusalError(
      'policy.unsupported',
      'this device has no hardening root, so that no call can be judged',
    );
  }
  await withCanary(tools.cgroup, async (path) => {
    const canaryCgroup = tools.addon.cgroupId(path);
    for (const call of calls) {
      const canaryOperation = call.hook === 'task' ? taskOperations[call.call.call] : 0;
      writeLabel(tools, { ...noCanary, slot, canaryCgroup, canarySubjects: call.subjects, canaryOperation });
      await proveCall(tools, path, call);
    }
  }).finally(() => writeLabel(tools, noCanary));
}

async function proveCall(tools: ProofTools, path: string, wanted: CallTry): Promise<void> {
  const before = readTried(tools).runs;
  const [errno] = await tools.addon.canary(path, [wanted.call]);
  const after = readTried(tools);
  const name = `${wanted.call.call} for ${wanted.expect.rule ?? wanted.expect.monitored ?? wanted.expect.reason}`;
  if (after.runs === before) throw unproven(name, 'no hook saw the canary');
  compare(name, wanted.expect, judgementOf(tools, after));
  const isRefused = wanted.expect.verdict === 'deny';
  // Hooks that know the task let nothing through that a canary does: ECANCELED shows that it was them.
  const isAsWanted =
    wanted.hook === 'task' ? errno === (isRefused ? EPERM : ECANCELED) : (errno === EPERM) === isRefused;
  if (!isAsWanted) throw unproven(name, `the canary got errno ${errno}`);
}

function compare(name: string, expected: Judgement, found: Judgement): void {
  const say = (one: Judgement): string =>
    `${one.verdict} by ${one.rule ?? one.reason}${one.monitored === null ? '' : `, monitored ${one.monitored}`}`;
  if (
    expected.verdict !== found.verdict ||
    expected.reason !== found.reason ||
    expected.rule !== found.rule ||
    expected.monitored !== found.monitored
  ) {
    throw unproven(
      name,
      `expected ${say(expected)} (${expected.reason}), the kernel says ${say(found)} (${found.reason})`,
    );
  }
}

const verdicts: Readonly<Record<number, Judgement['verdict']>> = {
  [HuskVerdict.ALLOW]: 'allow',
  [HuskVerdict.DROP]: 'drop',
  [HuskVerdict.DENY]: 'deny',
  [HuskVerdict.REJECT]: 'reject',
};

/** A missing generation is no judgement: it means that the slot was not filled. */
const reasons: Readonly<Record<number, Reason>> = {
  [HuskReason.RULE]: 'rule',
  [HuskReason.DEFAULT]: 'default',
  [HuskReason.NEVER_DROP]: 'never-drop',
  [HuskReason.UNPARSEABLE]: 'unparseable',
  [HuskReason.UNZONED]: 'unzoned',
  [HuskReason.NO_SUBJECT]: 'no-subject',
  [HuskReason.LIMITED]: 'limited',
  [HuskReason.DEFERRED]: 'deferred',
};

function judgementOf(tools: PacketTools, tried: ReturnType<typeof decodeHuskTried>): Judgement {
  const verdict = verdicts[tried.verdict];
  const reason = reasons[tried.reason];
  if (verdict === undefined || reason === undefined) {
    throw unproven('the program', `gave verdict ${tried.verdict} for reason ${tried.reason}`);
  }
  return { verdict, reason, rule: idOf(tools, tried.rule), monitored: idOf(tools, tried.monitored) };
}

function idOf(tools: Pick<PacketTools, 'ruleId'>, index: number): string | null {
  return index === HUSK_RULE_NONE ? null : (tools.ruleId(index) ?? `index ${index}`);
}
