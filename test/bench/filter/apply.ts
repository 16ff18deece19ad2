// From a signed assignment to a policy that is live: 10,000 rules and 1,000,000 prefixes, by the agent's own flow
// (read, check, compile, load, read back, prove, swap) with the kernel's real tables and a disk, on one end of a veth
// pair, so that rules have packets to be proven by.
//
// Run as a program of its own by measureApply(), so that its memory is an agent's and not the benchmark's, in a network
// namespace of its own; prints one line of JSON. The bundle is not fetched over a network.

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { BundleApplier } from '../../../agent/apply-bundle.ts';
import { PolicyMaker } from '../../../agent/make-policy.ts';
import { SystemClock } from '../../../agent/os/clock.ts';
import { DiskFiles } from '../../../agent/os/files.ts';
import { silentLog } from '../../../agent/os/log.ts';
import { systemRandom } from '../../../agent/os/random.ts';
import { usualNeverDrop } from '../../../agent/policy/device-view.ts';
import { prepareCommand, prepareElsewhere, servePrepare } from '../../../agent/prepare-elsewhere.ts';
import { trustKeys } from '../../../agent/trust/keys.ts';
import { BundleStore } from '../../../agent/trust/store.ts';
import { Fleet, PlayedLink, we } from '../../agent/apply-bench.ts';
import { plainAttach } from '../../lab/plain-attach.ts';
import { plainInterface } from '../../lab/plain-kernel.ts';
import { benchSizes, openKernel } from '../subject.ts';
import { type LargeSize, largePolicy } from './large-policy.ts';
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

/** In a process and namespaces of its own. */
export function measureApply({ rules, prefixes }: LargeSize): ApplyFigures {
  return inNamespace<ApplyFigures>(import.meta.filename, [`${rules}`, `${prefixes}`], 180_000);
}

function applyOnce(size: LargeSize): Promise<ApplyFigures> {
  return withBpffs((bpffs, folder) => applyOn({ size, bpffs, bundles: join(folder, 'bundles') }));
}

interface Place {
  readonly size: LargeSize;
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
      maker: new PolicyMaker({
        tenant: () => we.tenant,
        kernel,
        prepare: prepareElsewhere(2 ** 30),
        device: () => ({ interfaces: [plainInterface(wan)], neverDrop: usualNeverDrop }),
        cgroupId: () => null,
        time: () => null,
        memory: { sizes: benchSizes, ceiling: 2 ** 30 },
      }),
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

if (import.meta.main && process.argv[2] === prepareCommand) {
  process.exitCode = await servePrepare(process.stdin, process.stdout);
} else if (import.meta.main) {
  const [rules = 10_000, prefixes = 1_000_000] = process.argv.slice(2).map(Number);
  process.stdout.write(`${JSON.stringify(await applyOnce({ rules, prefixes }))}\n`);
}
