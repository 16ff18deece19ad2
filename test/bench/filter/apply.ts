// From a signed assignment to a policy that is live: 10,000 rules and 1,000,000 prefixes, by the agent's own flow
// (read, check, compile, load, read back, prove, swap) with the kernel's real tables and a disk, on one end of a veth
// pair, so that rules have packets to be proven by.
//
// Run as a program of its own by measureApply(), so that its memory is an agent's and not the benchmark's, in a network
// namespace of its own; prints one line of JSON. The bundle is not fetched over a network.

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { BundleApplier } from '../../../agent/apply-bundle.ts';
import type { PacketRule, PolicyDocument } from '../../../agent/contract/policy.ts';
import { SystemClock } from '../../../agent/os/clock.ts';
import { DiskFiles } from '../../../agent/os/files.ts';
import { silentLog } from '../../../agent/os/log.ts';
import { systemRandom } from '../../../agent/os/random.ts';
import { checkDocuments } from '../../../agent/policy/check.ts';
import { trustKeys } from '../../../agent/trust/keys.ts';
import { BundleStore } from '../../../agent/trust/store.ts';
import { Fleet, PlayedLink, we } from '../../agent/apply-bench.ts';
import { randomFrom } from '../../agent/policy/set-tables/samples.ts';
import { plainAttach } from '../../lab/plain-attach.ts';
import { plainFacts } from '../../lab/plain-kernel.ts';
import { ruleList } from '../rule-lists.ts';
import { sampleSet } from '../set-samples.ts';
import { benchSizes, openKernel } from '../subject.ts';
import { packetPolicy, prefixTexts, rulesOf } from './policies.ts';
import { inNamespace, makeVeth, withBpffs } from './veth.ts';

export interface ApplyFigures {
  readonly rules: number;
  readonly prefixes: number;
  readonly bundleBytes: number;
  /** Milliseconds of each step, in order; `swapped` is the end. */
  readonly steps: readonly (readonly [step: string, ms: number])[];
  readonly totalMs: number;
  /** Of the processor, all threads: what a machine with other work to do would take by itself. */
  readonly cpuMs: number;
  /** Bytes, the most that was resident, and before the assignment came. */
  readonly rssBefore: number;
  readonly rssPeak: number;
  /** Rules that a packet was made for which they decided in the kernel. */
  readonly provenRules: number;
  /** What the agent says of the proof. */
  readonly proven: string;
}

export interface ApplySize {
  readonly rules: number;
  readonly prefixes: number;
}

const seed = 20260822;

/** In a process and namespaces of its own. */
export function measureApply({ rules, prefixes }: ApplySize): ApplyFigures {
  return inNamespace<ApplyFigures>(import.meta.filename, [`${rules}`, `${prefixes}`], 180_000);
}

/** Rules that none before them covers, since the checks refuse others, and a set. */
export function largePolicy(
  { rules, prefixes }: ApplySize,
  interfaces: readonly string[] = ['lo'],
): PolicyDocument[] {
  const listed = prefixes === 0 ? {} : { listed: prefixTexts(sampleSet('mix', prefixes, randomFrom(seed))) };
  const isListed = { id: 'listed', from: { set: 'listed' }, action: 'drop' } as const;
  const kept = uncovered(rulesOf(ruleList('acl1', rules + (rules >> 2)), 'drop')).slice(0, rules - 1);
  // Last, or it would cover rules for single sources.
  return packetPolicy({ rules: prefixes === 0 ? kept : [...kept, isListed], ...listed, interfaces });
}

/** Those that the checks do not refuse. */
function uncovered(rules: readonly PacketRule[]): readonly PacketRule[] {
  const faults = checkDocuments(packetPolicy({ rules })).filter(({ severity }) => severity === 'error');
  if (faults.length === 0) return rules;
  const refused = new Set(faults.map(({ path }) => Number(/rules\[(\d+)\]/.exec(path)?.[1])));
  const left = rules.filter((_, index) => !refused.has(index));
  if (left.length === rules.length) throw new Error(JSON.stringify(faults.slice(0, 3)));
  return uncovered(left);
}

function applyOnce(size: ApplySize): Promise<ApplyFigures> {
  return withBpffs((bpffs, folder) => applyOn({ size, bpffs, bundles: join(folder, 'bundles') }));
}

interface Place {
  readonly size: ApplySize;
  readonly bpffs: string;
  readonly bundles: string;
}

async function applyOn({ size, bpffs, bundles }: Place): Promise<ApplyFigures> {
  const wan = makeVeth();
  const kernel = await openKernel(bpffs);
  try {
    kernel.attach(plainAttach([wan]));
    const fleet = new Fleet();
    const published = fleet.publish(1, largePolicy(size, [wan.name]), 60);
    globalThis.gc?.();
    const steps: (readonly [string, number])[] = [];
    let since = performance.now();
    const isSwapped = Promise.withResolvers<void>();
    const applier = new BundleApplier({
      we,
      trusted: () => trustKeys([fleet.signer.raw]),
      store: BundleStore.open(new DiskFiles(), bundles).store,
      kernel,
      facts: () => plainFacts([wan], () => 0),
      memory: { sizes: benchSizes, ceiling: 2 ** 30 },
      trial: { minimumSeconds: 2, maximumSeconds: 1800 },
      bootId: 'bench',
      clock: new SystemClock(),
      random: systemRandom,
      log: silentLog,
      onStep: (step) => {
        const now = performance.now();
        steps.push([step, now - since]);
        since = now;
        if (step === 'swapped') isSwapped.resolve();
      },
      onChange: () => {
        const { assignment } = applier.state();
        if (assignment?.result === 'refused') isSwapped.reject(new Error(JSON.stringify(assignment)));
      },
      audit: () => {},
    });
    await applier.start();
    applier.connect(new PlayedLink(fleet));
    steps.length = 0;
    const rssBefore = process.memoryUsage().rss;
    const cpuBefore = process.cpuUsage();
    const begun = performance.now();
    since = begun;
    applier.offer(published.envelope);
    await isSwapped.promise;
    const totalMs = performance.now() - begun;
    const { user, system } = process.cpuUsage(cpuBefore);
    const cpuMs = (user + system) / 1000;
    const bundleBytes = fleet.bundles.get(published.digest)?.length ?? 0;
    const { rules, proven } = applier.state();
    await applier.close();
    const provenRules = rules.filter(({ state }) => state === 'enforced').length;
    const figures = { bundleBytes, steps, totalMs, cpuMs, rssBefore, rssPeak: peakBytes() };
    return { ...size, ...figures, provenRules, proven };
  } finally {
    kernel.unload([]);
  }
}

/** VmHWM of proc_pid_status(5). */
function peakBytes(): number {
  return 1024 * Number(/^VmHWM:\s+(\d+) kB/m.exec(readFileSync('/proc/self/status', 'utf8'))?.[1] ?? 0);
}

if (import.meta.main) {
  const [rules = 10_000, prefixes = 1_000_000] = process.argv.slice(2).map(Number);
  process.stdout.write(`${JSON.stringify(await applyOnce({ rules, prefixes }))}\n`);
}
