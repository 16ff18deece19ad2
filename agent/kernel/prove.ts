// Proof in the kernel before a generation goes live.
//
// Packets: the twin of each packet program, the same code judging by the standby slot with scratch state,
// runs over a crafted packet for every rule (BPF_PROG_TEST_RUN). Calls: hooks without TEST_RUN are tried by a
// canary child in a cgroup of its own; the hooks see the label, judge it by the standby slot as if it had the
// subjects of the rule, and it must get the errno. What they say they decided by, rule for rule, is compared
// with what the evaluator says; one difference refuses the bundle.

import { mkdirSync, rmdirSync } from 'node:fs';
import { join } from 'node:path';
import {
  decodeHuskTried,
  encodeHuskTry,
  HUSK_RULE_NONE,
  HuskReason,
  HuskTry,
  HuskVerdict,
} from '../../bpf/abi/layout.gen.ts';
import type { Addon, MapHandle, ProgramHandle } from '../../native/index.ts';
import { RefusalError } from '../contract/refusal.ts';
import type { CallTry, Judgement, PacketTry, Reason, Tries } from '../policy/judgement.ts';
import type { Slot } from './live-word.ts';

export interface ProofTools {
  readonly addon: Addon;
  readonly ingressTwin: ProgramHandle;
  readonly egressTwin: ProgramHandle;
  readonly tryLabel: MapHandle;
  readonly tried: MapHandle;
  readonly ruleId: (index: number) => string | null;
  /** The hardening root, where the canary's cgroup is made; null: no call is judged on this device. */
  readonly cgroup: string | null;
}

export interface Proof {
  readonly packets: number;
  readonly calls: number;
  readonly untried: readonly string[];
}

/** Tries all there is to try in `slot`. Throws RefusalError kernel.unproven with the first difference. */
export async function proveSlot(tools: ProofTools, slot: Slot, tries: Tries): Promise<Proof> {
  for (const packet of tries.packets) provePacket(tools, slot, packet);
  if (tries.calls.length > 0) await proveCalls(tools, slot, tries.calls);
  return { packets: tries.packets.length, calls: tries.calls.length, untried: tries.untried };
}

/** XDP_DROP and TC_ACT_SHOT, the only actions that stop a packet. */
const xdpDrop = 1;
const tcShot = 2;

function provePacket(tools: ProofTools, slot: Slot, packet: PacketTry): void {
  const before = readTried(tools).runs;
  writeLabel(tools, { slot, ifindex: packet.ifindex, canaryCgroup: 0n, canarySubjects: 0n });
  const twin = packet.direction === 'ingress' ? tools.ingressTwin : tools.egressTwin;
  const run = tools.addon.testRun(twin, packet.frame, { repeat: 1 });
  const after = readTried(tools);
  const stopped = run.verdict === (packet.direction === 'ingress' ? xdpDrop : tcShot);
  const name = `${packet.direction} packet for ${packet.expect.rule ?? packet.expect.monitored ?? packet.expect.reason}`;
  if (after.runs === before) throw unproven(name, 'the twin left no record');
  compare(name, packet.expect, judgementOf(tools, after));
  if (stopped !== (packet.expect.verdict === 'drop'))
    throw unproven(name, `the program returned ${run.verdict}`);
}

/** Name of the canary's cgroup below the hardening root; empty but for the moment of a try. */
const canaryFolder = 'husk-canary';
const EPERM = 1;

async function proveCalls(tools: ProofTools, slot: Slot, calls: readonly CallTry[]): Promise<void> {
  if (tools.cgroup === null) {
    throw new RefusalError(
      'policy.unsupported',
      'this device has no hardening root, so that no call can be judged',
    );
  }
  const path = join(tools.cgroup, canaryFolder);
  mkdirSync(path, { recursive: true });
  try {
    const canaryCgroup = tools.addon.cgroupId(path);
    for (const call of calls) {
      writeLabel(tools, { slot, ifindex: 0, canaryCgroup, canarySubjects: call.subjects });
      await proveCall(tools, path, call);
    }
  } finally {
    writeLabel(tools, { slot: 0, ifindex: 0, canaryCgroup: 0n, canarySubjects: 0n });
    removeFolder(path);
  }
}

async function proveCall(tools: ProofTools, path: string, wanted: CallTry): Promise<void> {
  const before = readTried(tools).runs;
  const [errno] = await tools.addon.canary(path, [wanted.call]);
  const after = readTried(tools);
  const name = `${wanted.call.call} for ${wanted.expect.rule ?? wanted.expect.monitored ?? wanted.expect.reason}`;
  if (after.runs === before) throw unproven(name, 'no hook saw the canary');
  compare(name, wanted.expect, judgementOf(tools, after));
  if ((errno === EPERM) !== (wanted.expect.verdict === 'deny'))
    throw unproven(name, `the canary got errno ${errno}`);
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

function unproven(name: string, detail: string): RefusalError {
  return new RefusalError('kernel.unproven', `${name}: ${detail}`);
}

const key = new Uint8Array(4);

function writeLabel(tools: ProofTools, label: HuskTry): void {
  const value = new Uint8Array(HuskTry.size);
  encodeHuskTry(new DataView(value.buffer), 0, label);
  tools.addon.update(tools.tryLabel, key, value);
}

function readTried(tools: ProofTools): ReturnType<typeof decodeHuskTried> {
  const value = tools.addon.lookup(tools.tried, key);
  if (value === null) throw new Error('the map `tried` has no entry');
  return decodeHuskTried(new DataView(value.buffer, value.byteOffset, value.byteLength), 0);
}

const verdicts: Readonly<Record<number, Judgement['verdict']>> = {
  [HuskVerdict.ALLOW]: 'allow',
  [HuskVerdict.DROP]: 'drop',
  [HuskVerdict.DENY]: 'deny',
};

/** A missing generation is no judgement: it means that the slot was not filled. */
const reasons: Readonly<Record<number, Reason>> = {
  [HuskReason.RULE]: 'rule',
  [HuskReason.DEFAULT]: 'default',
  [HuskReason.NEVER_DROP]: 'never-drop',
  [HuskReason.UNPARSEABLE]: 'unparseable',
  [HuskReason.UNZONED]: 'unzoned',
  [HuskReason.NO_SUBJECT]: 'no-subject',
};

function judgementOf(tools: ProofTools, tried: ReturnType<typeof decodeHuskTried>): Judgement {
  const verdict = verdicts[tried.verdict];
  const reason = reasons[tried.reason];
  if (verdict === undefined || reason === undefined) {
    throw unproven('the program', `gave verdict ${tried.verdict} for reason ${tried.reason}`);
  }
  return { verdict, reason, rule: idOf(tools, tried.rule), monitored: idOf(tools, tried.monitored) };
}

function idOf(tools: ProofTools, index: number): string | null {
  return index === HUSK_RULE_NONE ? null : (tools.ruleId(index) ?? `index ${index}`);
}

/** The child has been waited for, but its network namespace may keep the cgroup busy for a moment. */
function removeFolder(path: string): void {
  try {
    rmdirSync(path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EBUSY') throw error;
  }
}
