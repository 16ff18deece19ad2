// From a signed assignment to a policy that is live: 10,000 rules and 1,000,000 prefixes, by the agent's own flow
// (read, check, compile, load, read back, prove, swap) with the kernel's real tables and a disk, on one end of a veth
// pair, so that rules have packets to be proven by. nftables loads the same prefixes in the same run.
//
// Run as a program of its own by measureApply(), so that its memory is an agent's and not the benchmark's, in a network
// namespace of its own; prints one line of JSON. The bundle is not fetched over a network.

import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { BundleApplier } from '../../../agent/apply-bundle.ts';
import type { PolicyDocument } from '../../../agent/contract/policy.ts';
import { PolicyMaker } from '../../../agent/make-policy.ts';
import { SystemClock } from '../../../agent/os/clock.ts';
import { DiskFiles } from '../../../agent/os/files.ts';
import { silentLog } from '../../../agent/os/log.ts';
import { systemRandom } from '../../../agent/os/random.ts';
import { usualNeverDrop } from '../../../agent/policy/device-view.ts';
import { prepareElsewhere } from '../../../agent/prepare-elsewhere.ts';
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
  /** Of the processor, all threads and processes: what a machine with other work to do would take by itself. */
  readonly cpuMs: number;
  /** Bytes, the most that was resident of the process that prepares the policy, and goes with it. */
  readonly preparePeak: number;
  /** Milliseconds that nft takes for the prefixes alone; null: it could not. */
  readonly nftMs: number | null;
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
    const documents = largePolicy(size, [wan.name]);
    const published = fleet.publish(1, documents, 60);
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
        prepare: prepareElsewhere(2 ** 30, resolve(import.meta.dirname, '../../../build/husk-agent.cjs')),
        device: () => ({ interfaces: [plainInterface(wan)], neverDrop: usualNeverDrop }),
        cgroupId: () => null,
        time: () => null,
        certainMs: () => null,
        firmware: { vendor: null, model: null, version: null, untrusted: 'nobody said' },
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
    const cpuBefore = processorMs();
    const peak = watchChildren();
    const begun = performance.now();
    since = begun;
    applier.offer(published.envelope);
    await isSwapped.promise;
    const totalMs = performance.now() - begun;
    const cpuMs = processorMs() - cpuBefore;
    const bundleBytes = fleet.bundles.get(published.digest)?.length ?? 0;
    const { rules, proven } = applier.state();
    await applier.close();
    const provenRules = rules.filter(({ state }) => state === 'enforced').length;
    const figures = { bundleBytes, steps, totalMs, cpuMs, preparePeak: peak(), nftMs: nftMsOf(documents) };
    return { ...size, ...figures, provenRules, proven };
  } finally {
    kernel.unload([]);
  }
}

/** Of this process and of its children that have ended; proc_pid_stat(5) counts in hundredths of a second. */
function processorMs(): number {
  const fields = readFileSync('/proc/self/stat', 'latin1').split(') ')[1]?.split(' ') ?? [];
  const [utime = 0, stime = 0, cutime = 0, cstime = 0] = fields.slice(11, 15).map(Number);
  return 10 * (utime + stime + cutime + cstime);
}

/** Looks at children while they run; the function gives the most bytes that one had resident. */
function watchChildren(): () => number {
  let most = 0;
  const look = setInterval(() => {
    for (const pid of readFileSync(`/proc/self/task/${process.pid}/children`, 'latin1').split(' ')) {
      if (pid !== '') most = Math.max(most, peakBytes(pid));
    }
  }, 20);
  return () => {
    clearInterval(look);
    return most;
  };
}

/** VmHWM of proc_pid_status(5); 0 where the process has gone. */
function peakBytes(pid: string): number {
  try {
    return 1024 * Number(/^VmHWM:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, 'latin1'))?.[1] ?? 0);
  } catch {
    return 0;
  }
}

/** How long nftables takes for a set of the same prefixes, without the rules. */
function nftMsOf(documents: readonly PolicyDocument[]): number | null {
  const listed = documents.flatMap((one) => (one.kind === 'AddressSet' ? (one.spec.addresses ?? []) : []));
  const set = `set s { type ipv4_addr; flags interval; auto-merge; elements = { ${listed.join(', ')} } }`;
  const input = `table inet bench {\n${set}\nchain c { type filter hook input priority 0; ip saddr @s drop; }\n}\n`;
  const begun = performance.now();
  const { status } = spawnSync('nft', ['-f', '-'], { input, timeout: 60_000 });
  return status === 0 ? performance.now() - begun : null;
}

if (import.meta.main) {
  const [rules = 10_000, prefixes = 1_000_000] = process.argv.slice(2).map(Number);
  process.stdout.write(`${JSON.stringify(await applyOnce({ rules, prefixes }))}\n`);
}
