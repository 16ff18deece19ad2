// One sequence of packets through the evaluator and through the live programs, step by step.

import { isDeepStrictEqual } from 'node:util';
import type { PolicyDocument } from '../../../agent/contract/policy.ts';
import { compile } from '../../../agent/policy/compile.ts';
import type { DeviceView } from '../../../agent/policy/device-view.ts';
import { PacketEvaluator } from '../../../agent/policy/evaluate.ts';
import type { Judgement, PacketAt } from '../../../agent/policy/judgement.ts';
import type { DeviceFacts } from '../../../agent/policy/table-image.ts';
import type { Hook, LiveLab, LiveSeen } from './live-lab.ts';

export interface Step extends PacketAt {
  /** What was done just before it: `next` came into force, or was taken back. */
  readonly after?: 'swap' | 'return';
}

export interface Play {
  readonly device: DeviceView;
  readonly documents: readonly PolicyDocument[];
  /** What comes into force at a swap. */
  readonly next?: readonly PolicyDocument[];
  readonly steps: readonly Step[];
}

export interface Played {
  readonly judgements: readonly Judgement[];
  /** Steps at which they said different things; the first is where it began. */
  readonly differences: readonly string[];
  /** Packets that the kernel runs no program on. */
  readonly left: number;
}

/** Index of the loopback interface, which is in no zone. */
const unknownIfindex = 1;
const nanoseconds = 1_000_000_000n;
const triesMax = 5;

export function factsOf(device: DeviceView): DeviceFacts & { readonly ids: readonly string[] } {
  const ids: string[] = [];
  const ruleIndex = (id: string) => (ids.includes(id) ? ids.indexOf(id) : ids.push(id) - 1);
  return { ...device, cgroupId: () => null, ruleIndex, bootSeconds: () => null, ids };
}

/** Time passes by whole seconds: what is below them is cut off the times of the steps. */
export async function play(lab: LiveLab, { device, documents, next, steps }: Play): Promise<Played> {
  const facts = factsOf(device);
  await lab.become(device);
  await lab.load(0, compile(documents, facts));
  if (next !== undefined) await lab.load(1, compile(next, facts));
  for (let tries = 0; tries < triesMax; tries++) {
    await lab.forget();
    lab.setLive(0);
    const began = lab.bootSeconds;
    const played = await once(
      lab,
      { device, documents, steps, ...(next === undefined ? {} : { next }) },
      facts.ids,
    );
    // The programs count seconds: where one began meanwhile, what they remember is older by it than it should be.
    if (lab.bootSeconds === began) return played;
  }
  throw new Error(`a sequence of ${steps.length} packets takes a second or more`);
}

async function once(
  lab: LiveLab,
  { device, documents, next, steps }: Play,
  ids: readonly string[],
): Promise<Played> {
  const evaluator = new PacketEvaluator(documents, device);
  const indexes = new Map(device.interfaces.map(({ name, index }) => [name, index]));
  const links = new Map(device.interfaces.map(({ name, link }) => [name, link]));
  const judgements: Judgement[] = [];
  const differences: string[] = [];
  let left = 0;
  let now = 0n;
  for (const [at, step] of steps.entries()) {
    if (step.after === 'swap') {
      evaluator.replace(next ?? documents);
      lab.setLive(1);
    }
    if (step.after === 'return') {
      evaluator.returned();
      lab.setLive(0);
    }
    const isBare = links.get(step.interface) === 'ip';
    const hook: Hook =
      step.direction === 'egress' ? 'tc_egress' : isBare || at % 2 === 1 ? 'tc_ingress' : 'xdp_ingress';
    if (step.strippedTags !== undefined || !isRun(hook, step.frame)) {
      left++;
      continue;
    }
    const seconds = (step.timeNs ?? 0n) / nanoseconds;
    if (seconds > now) await lab.age(Number(seconds - now));
    now = seconds > now ? seconds : now;
    const matched: string[] = [];
    const judgement = evaluator.judge({ ...step, timeNs: now * nanoseconds }, matched);
    judgements.push(judgement);
    const cameBy = step.cameBy == null ? 0 : (indexes.get(step.cameBy) ?? unknownIfindex);
    const ifindex = indexes.get(step.interface) ?? unknownIfindex;
    const found = shown(lab.run(hook, step.frame, ifindex, cameBy, ids.length), ids, judgement);
    const expected = expectedOf(judgement, matched);
    if (isDeepStrictEqual(found, expected)) continue;
    differences.push(
      [
        `step ${at} at ${now} s, ${hook} ${step.interface}${step.cameBy == null ? '' : ` from ${step.cameBy}`}`,
        Buffer.from(step.frame).toString('hex'),
        `the kernel ${JSON.stringify(found)}, the evaluator ${JSON.stringify(expected)} ${JSON.stringify(judgement)}`,
      ].join('\n'),
    );
  }
  return { judgements, differences, left };
}

/** What of a judgement shows in the action and the counters. */
interface Shown {
  readonly isStopped: boolean;
  readonly counted: readonly string[];
  readonly isLimited: string | null;
  readonly reasons: readonly string[];
}

function expectedOf({ verdict, reason, rule }: Judgement, matched: readonly string[]): Shown {
  const decided = reason === 'default' && rule !== null ? [rule] : [];
  const counted = [...matched.filter((id) => reason !== 'limited' || id !== rule), ...decided];
  return {
    isStopped: verdict !== 'allow',
    counted: [...new Set(counted)].toSorted(),
    isLimited: reason === 'limited' ? rule : null,
    reasons: reason === 'rule' || reason === 'default' || reason === 'limited' ? [] : [reason],
  };
}

/** Rules whose limit is passed over (`over: next`) count as limited too, of which the evaluator says nothing. */
function shown(
  { isStopped, hits, limited, reasons }: LiveSeen,
  ids: readonly string[],
  { reason, rule }: Judgement,
): Shown {
  const name = (index: number) => ids[index] ?? `index ${index}`;
  const isLimited = reason === 'limited' && limited.map(name).some((id) => id === rule);
  return { isStopped, counted: hits.map(name).toSorted(), isLimited: isLimited ? rule : null, reasons };
}

/** TEST_RUN takes no frame below an Ethernet header, and tc's none whose IP header is cut (6.18). */
function isRun(hook: Hook, frame: Uint8Array): boolean {
  if (hook === 'xdp_ingress') return frame.length >= 14;
  const type = (frame[12] ?? 0) * 256 + (frame[13] ?? 0);
  return frame.length >= 14 + (type === 0x0800 ? 20 : type === 0x86dd ? 40 : 1);
}
