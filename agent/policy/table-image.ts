// The table image: a policy compiled to keys and values, before it is in the kernel.
//
// It is plain data, so that the console can make one, a test can compare two, and only agent/kernel
// needs to know what a map is. The bytes in it are laid out as bpf/abi/tables.h says.

import type { HuskGeneration, HuskPathKey } from '../../bpf/abi/layout.gen.ts';
import type { Tier } from '../contract/policy.ts';
import type { DeviceView } from './device-view.ts';
import type { Following } from './following.ts';
import type { CallName } from './ids.ts';
import type { LaunchPlan } from './launch-rules.ts';
import type { Learner } from './learning.ts';
import type { Place } from './path-number.ts';
import type { PolicyZone } from './policy-zones.ts';
import type { TierNeed } from './rule-tier.ts';
import type { SetImages } from './set-tables/set-image.ts';

/** One table of an image: what becomes one new map in the kernel. */
export interface Table {
  /** `HuskTable` of bpf/abi/layout.gen.ts. */
  readonly kind: number;
  /** `enum bpf_map_type`: array 2, hash 1, LPM trie 11. */
  readonly mapType: number;
  readonly mapFlags: number;
  readonly keySize: number;
  readonly valueSize: number;
  readonly maxEntries: number;
  readonly count: number;
  /** `count` keys back to back, sorted by their bytes, without duplicates. */
  readonly keys: Uint8Array;
  /** `count` values back to back, in the order of the keys. */
  readonly values: Uint8Array;
}

/** A rule as it was compiled: what reports and counters are kept by. */
export interface CompiledRule {
  /** `document/rule`; defaults are `document/zone:default-ingress` and `document/default-connect`, SYN cookies `document/zone:syn-cookies`. */
  readonly id: string;
  /** Dense counter index, from `DeviceFacts.ruleIndex`. */
  readonly index: number;
  readonly at: 'ingress' | 'egress' | 'call' | 'operation';
  readonly mode: 'monitor' | 'enforce';
  readonly verdict: 'allow' | 'drop' | 'reject' | 'log' | 'deny';
  /** `document/zone` that it is of; null: it judges calls. */
  readonly zone: string | null;
  /** What it judges; null: packets. */
  readonly call: CallName | null;
  /** Hardening: in which tier it is enforced, and what is left of it below. Absent: packets. */
  readonly needs?: TierNeed;
}

export interface CompiledSet {
  /** `document/set`. */
  readonly name: string;
  /** Ids of the rules whose conditions it is part of, not negated: its hits are theirs. */
  readonly rules: readonly string[];
  readonly prefixes4: number;
  readonly prefixes6: number;
  /** By which its entries are found that are kept one by one; null: none are. */
  readonly number: number | null;
}

export interface TableImage {
  /** In order of kind, each once, without GENERATION; a big set that is not there has no table. */
  readonly tables: readonly Table[];
  /** What the generation's own record says besides. */
  readonly settings: GenerationSettings;
  readonly zones: readonly PolicyZone[];
  readonly rules: readonly CompiledRule[];
  /** What a launcher can hold services to. */
  readonly launch: readonly LaunchPlan[];
  readonly sets: readonly CompiledSet[];
  /** Policies of which something is learnt. */
  readonly learners: readonly Learner[];
  /** Interfaces of zones that are judged elsewhere, and why. */
  readonly leftOut: readonly LeftOut[];
  /** What the tables that follow the device are made from. */
  readonly following: Following;
  /** Estimated kernel memory of the tables, bytes. */
  readonly kernelBytes: number;
}

/** See `struct husk_generation`. */
export type GenerationSettings = Pick<
  HuskGeneration,
  'connections' | 'services' | 'ingressSets' | 'egressSets' | 'synLimits' | 'unparseableVerdict'
>;

/** What only the device knows. */
export interface DeviceFacts extends DeviceView {
  /** The id of a cgroup below the hardening root, by its path relative to it; null where it does not exist (yet). */
  cgroupId(path: string): bigint | null;
  /** The dense counter index of a stable rule id. Called once for each rule, in document order. */
  ruleIndex(id: string): number;
  /** The second of boot time that a moment (RFC 3339) is; null where the time is not known. */
  bootSeconds(moment: string): number | null;
  /** Tables of big sets that were built before; absent: each is built. */
  readonly setImages?: SetImages;
  /** What the device enforces calls by; absent: it is not asked. */
  readonly tier?: Tier;
  /** Where paths are; absent: policies that need hooks that know the task are refused. */
  readonly paths?: DevicePaths;
}

/** Paths as the device has them: which objects they name, and which programs go by many names. */
export interface DevicePaths {
  /** Random, made with the maps of the hardening programs. */
  readonly pathKey: HuskPathKey;
  /** The object an absolute path names, links followed as far as it exists; null: no mount shows it. */
  placeOf(path: string): Place | null;
  /** The roots of all that is mounted below the folder. */
  placesMountedBelow(path: string): readonly Place[];
  /** Programs that are what they are started as, and the names they have: busybox. */
  applets(): readonly { readonly executable: string; readonly names: readonly string[] }[];
}

/** Notes a rule that is being compiled and gives its counter's index. */
export type AddRule = (rule: Omit<CompiledRule, 'index'>) => number;

export interface LeftOut {
  readonly interface: string;
  /** As in `its ports have zones of their own`. */
  readonly why: string;
}
