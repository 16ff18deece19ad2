// The table image: a policy compiled to keys and values, before it is in the kernel.
//
// It is plain data, so that the console can make one, a test can compare two, and only agent/kernel
// needs to know what a map is. The bytes in it are laid out as bpf/abi/tables.h says.

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
  /** `document/rule`; defaults are `document/zone:default-ingress` and `document/default-connect`. */
  readonly id: string;
  /** Dense counter index, from `DeviceFacts.ruleIndex`. */
  readonly index: number;
  readonly at: 'ingress' | 'egress' | 'call';
  readonly mode: 'monitor' | 'enforce';
  readonly verdict: 'allow' | 'drop' | 'deny';
}

export interface CompiledSet {
  /** `document/set`. */
  readonly name: string;
  readonly prefixes4: number;
  readonly prefixes6: number;
}

export interface TableImage {
  /** All kinds but GENERATION, in order of kind, each once; a kind without content is an empty table. */
  readonly tables: readonly Table[];
  readonly rules: readonly CompiledRule[];
  readonly sets: readonly CompiledSet[];
  readonly unparseable: 'allow' | 'drop';
  /** Estimated kernel memory of the tables, bytes. */
  readonly kernelBytes: number;
}

/** What only the device knows. */
export interface DeviceFacts {
  readonly interfaces: readonly { readonly name: string; readonly index: number }[];
  /** The id of a cgroup below the hardening root, by its path relative to it; null where it does not exist (yet). */
  cgroupId(path: string): bigint | null;
  /** The dense counter index of a stable rule id. Called once for each rule, in document order. */
  ruleIndex(id: string): number;
}

/** Notes a rule that is being compiled and gives its counter's index. */
export type AddRule = (rule: Omit<CompiledRule, 'index'>) => number;
