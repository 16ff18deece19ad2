// What this kernel can enforce: its tier, what is missing for the next, and the options that would give it.
//
// A tier is claimed for what was seen a moment ago (kernel/try-kernel.ts): a canary was refused, or ended. The rest are
// minimal programs and maps that loaded.

import { statfsSync } from 'node:fs';
import { release } from 'node:os';
import { getSystemErrorName } from 'node:util';
import type { Addon, Features } from '../../native/index.ts';
import type { Tier } from '../contract/policy.ts';
import { type KernelTrials, type Trial, tryKernel } from '../kernel/try-kernel.ts';
import { readTrialFiles } from '../os/assets.ts';
import { findMounted } from '../os/file-systems.ts';
import { type KernelOptions, readKernelOptions } from '../os/kernel-options.ts';
import { type Preemption, readPreemption } from '../os/preemption.ts';
import { systemRandom } from '../os/random.ts';
import { isTierAtLeast } from '../policy/rule-tier.ts';
import { guardTierOf, passedOver, recursionFunction, tierOf } from '../tier.ts';
import type { Row } from './control.ts';
import { showTable } from './show.ts';

export interface ProbeReport {
  readonly tier: Tier;
  readonly packets: 'xdp-and-tcx' | 'xdp-and-clsact' | 'none';
  readonly calls: 'cgroup' | 'none';
  /** What is done about an exec that a policy denies. */
  readonly execs: 'refused' | 'ended' | 'none';
  /** What a launcher can hold a service to, from its start. */
  readonly launcher: { readonly landlockAbi: number; readonly seccomp: boolean };
  readonly kernel: string;
  readonly preemption: Preemption;
  /** How programs that refuse may be passed over; null: they are not. */
  readonly degraded: string | null;
  readonly libbpf: string;
  readonly features: Features;
  readonly trials: KernelTrials;
  readonly checks: readonly Check[];
  /** Checks that failed. */
  readonly missing: readonly Check[];
  /** Where the kernel's options were read; null: nowhere. */
  readonly optionsFrom: string | null;
}

/** One thing that the kernel does, or does not. */
export interface Check {
  /** A tier as in `tier A`, or what else it gives. */
  readonly for: string;
  readonly what: string;
  readonly works: boolean;
  /** What was answered; '' where it works. */
  readonly why: string;
  /** Kernel options and boot parameters that give it, with their present value where it is known. */
  readonly options: readonly string[];
}

export interface ProbeFacts {
  readonly features: Features;
  readonly trials: KernelTrials;
  readonly libbpf: string;
  readonly options: KernelOptions | null;
  readonly preemption: Preemption;
  /** LSM programs are passed over as others are. */
  readonly leavesLsmOut: boolean;
  readonly kernel: string;
  /** The type of file system at /sys/fs/bpf is bpf. */
  readonly hasBpffs: boolean;
  /** Where cgroup v2 is mounted; null: nowhere. */
  readonly cgroup2: string | null;
}

/** Landlock's version that knows TCP ports. */
const landlockNetworkAbi = 4;
/** BPF_FS_MAGIC of <linux/magic.h>. */
const bpffsMagic = 0xcafe4a11;
const bpffs = '/sys/fs/bpf';

const deniedHint = 'refused here by privileges, lockdown or the hypervisor';

const tracing = ['CONFIG_FTRACE=y', 'CONFIG_FUNCTION_TRACER=y', 'CONFIG_DYNAMIC_FTRACE_WITH_DIRECT_CALLS=y'];
const btf = ['CONFIG_DEBUG_INFO_BTF=y'];
const bpf = ['CONFIG_BPF_SYSCALL=y', 'CONFIG_BPF_JIT=y'];

/** Tries the kernel we run on. Needs root; does not throw for what the kernel refuses. */
export async function probe(addon: Addon): Promise<ProbeReport> {
  const trials = await tryKernel({
    addon,
    files: readTrialFiles(),
    random: (bytes) => systemRandom.bytes(bytes),
  });
  return makeProbeReport({
    trials,
    features: addon.probe(),
    libbpf: addon.libbpfVersion,
    options: readKernelOptions(),
    preemption: readPreemption(),
    leavesLsmOut: addon.kernelFunctions([recursionFunction]).length === 0,
    kernel: release(),
    hasBpffs: isBpffs(),
    cgroup2: findMounted('cgroup2'),
  });
}

/** Why the kernel is not what it has to be; null: it is. */
export function probeRefusal({ features, tier }: ProbeReport, least: Tier): string | null {
  if (features.mapOfMaps !== 0)
    return 'the kernel takes no BPF maps from us: run as root, or with CAP_BPF, CAP_NET_ADMIN and CAP_SYS_ADMIN';
  return isTierAtLeast(tier, least) ? null : `this kernel gives tier ${tier}, and ${least} is asked for`;
}

function isBpffs(): boolean {
  try {
    return statfsSync(bpffs).type === bpffsMagic;
  } catch {
    // No such folder.
    return false;
  }
}

export function makeProbeReport(facts: ProbeFacts): ProbeReport {
  const { features, trials, options } = facts;
  const tier = tierOf(trials);
  const checks = checksOf(facts).map((check) => ({
    ...check,
    options: check.options.map((option) => withPresent(option, options)),
  }));
  const hasXdp = features.xdp === 0 && features.schedCls === 0;
  return {
    tier,
    packets: !hasXdp ? 'none' : features.tcx === 0 ? 'xdp-and-tcx' : 'xdp-and-clsact',
    calls: trials.connect.works ? 'cgroup' : 'none',
    execs: tier === 'A' || tier === 'B' ? 'refused' : trials.end.works ? 'ended' : 'none',
    launcher: { landlockAbi: features.landlockAbi, seccomp: features.seccomp === 0 },
    kernel: facts.kernel,
    preemption: facts.preemption,
    degraded: passedOver(guardTierOf(trials), facts),
    libbpf: facts.libbpf,
    features,
    trials,
    checks,
    missing: checks.filter(({ works }) => !works),
    optionsFrom: options?.from ?? null,
  };
}

/** As a person reads it on a terminal. */
export function showProbe(report: ProbeReport): string {
  const { tier, kernel, preemption, degraded, checks, optionsFrom } = report;
  const rows = checks.map(
    (check): Row => ({ for: check.for, what: check.what, works: check.works ? 'yes' : 'no' }),
  );
  const missing = report.missing.map(
    ({ for: of, what, why, options }) =>
      `\nmissing for ${of}: ${what}: ${why}\n${options.map((option) => `  ${option}\n`).join('')}`,
  );
  return [
    `tier ${tier}: ${tierWords[tier]}\n`,
    `kernel ${kernel}, preemption ${preemption}, options read from ${optionsFrom ?? 'nowhere'}\n`,
    ...(degraded === null ? [] : [`degraded: ${degraded}\n`]),
    `\n${showTable(rows)}`,
    ...missing,
  ].join('');
}

const tierWords: Readonly<Record<Tier, string>> = {
  A: 'what a policy denies is refused before it happens, by LSM programs',
  B: 'what a policy denies is refused before it happens, by programs on the functions that ask the LSMs',
  C: 'calls are refused by cgroup; what else is done about a denial is said below',
  D: 'nothing that a service does is refused; packets are judged where they can be',
};

function checksOf({ features, trials, hasBpffs, cgroup2 }: ProbeFacts): Check[] {
  const tried = (of: string, what: string, { works, why }: Trial, options: readonly string[]): Check => ({
    for: of,
    what,
    works,
    why: why.includes('EPERM') ? `${why}: ${deniedHint}` : why,
    options,
  });
  const loaded = (of: string, what: string, errno: number, options: readonly string[]): Check =>
    tried(of, what, { works: errno === 0, why: errno === 0 ? '' : getSystemErrorName(-errno) }, options);
  const there = (of: string, what: string, works: boolean, why: string, options: readonly string[]): Check =>
    tried(of, what, { works, why: works ? '' : why }, options);
  return [
    tried('tier A', 'LSM programs, seen to refuse an execve', trials.lsm, [
      'CONFIG_BPF_LSM=y',
      'CONFIG_SECURITY=y',
      ...btf,
      ...tracing,
      'boot parameter lsm=…,bpf (or CONFIG_LSM with bpf in it)',
    ]),
    tried('tier B', 'programs on security_ functions (fmod_ret), seen to refuse an execve', trials.fmodRet, [
      'CONFIG_SECURITY=y',
      ...btf,
      ...tracing,
    ]),
    tried('tiers A, B; execs in C', 'records of tasks, seen to end one at exec', trials.end, [
      ...bpf,
      ...btf,
      'Linux 5.13',
    ]),
    tried('tier C', 'cgroup programs, seen to refuse a connect', trials.connect, [
      'CONFIG_CGROUP_BPF=y',
      'CONFIG_NET_NS=y',
    ]),
    there(
      'tier C',
      'cgroup v2 is mounted',
      cgroup2 !== null,
      'it is not: mount -t cgroup2 none /sys/fs/cgroup',
      ['CONFIG_CGROUPS=y'],
    ),
    there('launched services', 'Landlock', features.landlockAbi > 0, 'absent, or not among the active LSMs', [
      'CONFIG_SECURITY_LANDLOCK=y',
      'boot parameter lsm=…,landlock',
    ]),
    there(
      'launched services, ports',
      `Landlock's rules about TCP ports (version ${landlockNetworkAbi})`,
      features.landlockAbi >= landlockNetworkAbi,
      `this kernel has version ${features.landlockAbi}`,
      ['Linux 6.7'],
    ),
    loaded('launched services, calls', 'seccomp filters', features.seccomp, ['CONFIG_SECCOMP_FILTER=y']),
    loaded('packets at ingress', 'XDP programs', features.xdp, ['CONFIG_NET=y', ...bpf]),
    loaded('packets at egress', 'tc programs', features.schedCls, [
      'CONFIG_NET_CLS_BPF=y',
      'CONFIG_NET_CLS_ACT=y',
      'CONFIG_NET_SCH_INGRESS=y',
    ]),
    loaded('calls', 'cgroup programs of socket()', features.cgroupSock, ['CONFIG_CGROUP_BPF=y']),
    there(
      'tiers A, B; execs in C',
      "the kernel's own BTF",
      features.kernelBtf,
      'no /sys/kernel/btf/vmlinux',
      btf,
    ),
    loaded('tiers A, B; execs in C', 'programs on BTF tracepoints', features.tracepointBtf, [
      ...btf,
      ...tracing,
    ]),
    loaded('tiers A, B; execs in C', 'records kept with tasks', features.taskStorage, [...btf, 'Linux 5.11']),
    loaded('any enforcement', 'mmapable arrays', features.mmapableArray, [...bpf, 'Linux 5.5']),
    loaded('any enforcement', 'maps of maps', features.mapOfMaps, bpf),
    loaded('address sets', 'LPM tries', features.lpmTrie, bpf),
    loaded('events', 'ring buffers', features.ringbuf, [...bpf, 'Linux 5.8']),
    there(
      'enforcement without the agent',
      `a bpf file system at ${bpffs}`,
      hasBpffs,
      'none is mounted; the agent mounts one',
      bpf,
    ),
  ];
}

function withPresent(option: string, options: KernelOptions | null): string {
  const name = option.split('=')[0] ?? '';
  if (options === null || !name.startsWith('CONFIG_')) return option;
  return `${option} (is ${options.values.get(name) ?? 'not set'})`;
}
