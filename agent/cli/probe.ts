// Which tier this kernel gives, by trying; what is missing for the next; and the options that would give it.
//
// A tier is claimed only for what loaded here and now. LSM programs may load and still never run, where the
// boot line does not name `bpf`: so loading them says what the kernel was built with and no more.

import { existsSync, readFileSync } from 'node:fs';
import { release } from 'node:os';
import { getSystemErrorName } from 'node:util';
import { gunzipSync } from 'node:zlib';
import type { Features } from '../../native/index.ts';

export type Tier = 'A' | 'B' | 'C' | 'D';

export interface ProbeReport {
  /** What this agent can enforce on this kernel. */
  readonly tier: Tier;
  readonly packets: 'xdp-and-tcx' | 'xdp-and-clsact' | 'none';
  readonly calls: 'cgroup' | 'none';
  readonly kernel: string;
  readonly libbpf: string;
  readonly features: Features;
  /** For each better tier and each thing that did not work. */
  readonly missing: readonly Missing[];
  /** Where the kernel's options were read; null: nowhere. */
  readonly optionsFrom: string | null;
}

export interface Missing {
  readonly for: string;
  readonly what: string;
  /** Kernel options and boot parameters that would give it, with their present value where it is known. */
  readonly options: readonly string[];
}

/** What a hook or map needs of the kernel's configuration. */
const needs: readonly {
  readonly feature: Exclude<keyof Features, 'kernelBtf' | 'lsmList'>;
  readonly for: string;
  readonly what: string;
  readonly options: readonly string[];
}[] = [
  {
    feature: 'mmapableArray',
    for: 'any enforcement',
    what: 'mmapable arrays (5.5)',
    options: ['CONFIG_BPF_SYSCALL=y'],
  },
  { feature: 'mapOfMaps', for: 'any enforcement', what: 'maps of maps', options: ['CONFIG_BPF_SYSCALL=y'] },
  { feature: 'lpmTrie', for: 'address sets', what: 'LPM tries', options: ['CONFIG_BPF_SYSCALL=y'] },
  { feature: 'ringbuf', for: 'events', what: 'ring buffers (5.8)', options: ['CONFIG_BPF_SYSCALL=y'] },
  {
    feature: 'xdp',
    for: 'packets at ingress',
    what: 'XDP programs',
    options: ['CONFIG_BPF_SYSCALL=y', 'CONFIG_NET=y'],
  },
  {
    feature: 'schedCls',
    for: 'packets at egress',
    what: 'tc programs',
    options: ['CONFIG_NET_CLS_BPF=y', 'CONFIG_NET_CLS_ACT=y', 'CONFIG_NET_SCH_INGRESS=y'],
  },
  {
    feature: 'cgroupSockAddr',
    for: 'calls (tier C)',
    what: 'cgroup hooks of connect, sendmsg and bind',
    options: ['CONFIG_CGROUP_BPF=y'],
  },
  {
    feature: 'cgroupSock',
    for: 'calls (tier C)',
    what: 'cgroup hooks of socket',
    options: ['CONFIG_CGROUP_BPF=y'],
  },
  {
    feature: 'fmodRet',
    for: 'tier B',
    what: 'fmod_ret on security hooks',
    options: ['CONFIG_DEBUG_INFO_BTF=y', 'CONFIG_FUNCTION_TRACER=y', 'CONFIG_SECURITY=y'],
  },
  {
    feature: 'lsm',
    for: 'tier A',
    what: 'LSM programs',
    options: ['CONFIG_BPF_LSM=y', 'CONFIG_DEBUG_INFO_BTF=y', 'boot parameter lsm=…,bpf'],
  },
];

export function makeProbeReport(features: Features, libbpf: string): ProbeReport {
  const config = readKernelConfig();
  const packets =
    features.xdp !== 0 || features.schedCls !== 0
      ? 'none'
      : features.tcx === 0
        ? 'xdp-and-tcx'
        : 'xdp-and-clsact';
  const calls = features.cgroupSockAddr === 0 && features.cgroupSock === 0 ? 'cgroup' : 'none';
  return {
    tier: tierOf(features),
    packets,
    calls,
    kernel: release(),
    libbpf,
    features,
    missing: [
      ...needs
        .filter((need) => features[need.feature] !== 0)
        .map((need) => ({
          for: need.for,
          what: `${need.what}: ${explainErrno(features[need.feature])}`,
          options: need.options.map((option) => withPresent(option, config?.options ?? null)),
        })),
      ...betterTiers(features),
    ],
    optionsFrom: config?.from ?? null,
  };
}

/** What this version of the agent enforces. Its hardening programs are cgroup hooks: tier C at the most. */
export function tierOf(features: Features): Tier {
  return features.cgroupSockAddr === 0 && features.cgroupSock === 0 ? 'C' : 'D';
}

/** Said even where the kernel could: a tier is not claimed for programs that are not there. */
function betterTiers(features: Features): Missing[] {
  if (features.lsm !== 0 && features.fmodRet !== 0) return [];
  const active = features.lsmList.split(',').includes('bpf');
  const kernel =
    features.lsm !== 0
      ? 'fmod_ret loads'
      : active
        ? 'LSM programs load'
        : 'LSM programs load, but bpf is not among the active LSMs';
  return [
    {
      for: features.lsm === 0 ? 'tier A' : 'tier B',
      what: `this version of the agent has no programs for it (${kernel} on this kernel)`,
      options: active || features.lsm !== 0 ? [] : ['boot parameter lsm=…,bpf'],
    },
  ];
}

function explainErrno(errno: number): string {
  const name = getSystemErrorName(-errno);
  return name === 'EPERM' ? 'EPERM, refused here by privileges, lockdown or the hypervisor' : name;
}

function withPresent(option: string, options: ReadonlyMap<string, string> | null): string {
  const name = option.split('=')[0] ?? '';
  if (options === null || !name.startsWith('CONFIG_')) return option;
  return `${option} (is ${options.get(name) ?? 'not set'})`;
}

/** The running kernel's configuration, from itself or from beside its image. */
function readKernelConfig(): { readonly from: string; readonly options: ReadonlyMap<string, string> } | null {
  for (const from of ['/proc/config.gz', `/boot/config-${release()}`, `/lib/modules/${release()}/config`]) {
    if (!existsSync(from)) continue;
    try {
      const bytes = readFileSync(from);
      const text = (from.endsWith('.gz') ? gunzipSync(bytes) : bytes).toString('latin1');
      const lines = text.split('\n').filter((line) => line.startsWith('CONFIG_'));
      const pairs = lines.map((line): [string, string] => {
        const at = line.indexOf('=');
        return [line.slice(0, at), line.slice(at + 1)];
      });
      return { from, options: new Map(pairs) };
    } catch {
      // Unreadable or damaged: the next source may be better, and none is only less to say.
    }
  }
  return null;
}
