// The libbpf addon: its whole face, typed and documented.
//
// `binding.c` turns JavaScript values into C ones and back; `object.c`, `table.c`, `link.c`, `ring.c`,
// `canary.c` and `probe.c` do the work and have never heard of JavaScript. Every kernel object reaches
// TypeScript as a `Handle` that owns one file descriptor: it is closed by `close()` (twice is harmless)
// or, failing that, when the handle is collected.
//
// Every failure throws `KernelError`: operation, object and errno, as in `load xdp_ingress: EINVAL`;
// a program the verifier refused carries the end of its log.

import { loadAddon } from './load.ts';

/** An open kernel object (map, program, link). Owns one descriptor. */
export interface Handle {
  readonly kind: 'map' | 'program' | 'link';
  /** The descriptor, for diagnostics; -1 after `close()`. */
  readonly fd: number;
  close(): void;
}
export interface MapHandle extends Handle {
  readonly kind: 'map';
}
export interface ProgramHandle extends Handle {
  readonly kind: 'program';
}
export interface LinkHandle extends Handle {
  readonly kind: 'link';
}

/** What the addon throws. `message` reads `operation object: ERRNO (text)`. */
export interface KernelError extends Error {
  readonly operation: string;
  readonly object: string;
  /** Positive errno, as in `1` for EPERM. */
  readonly errno: number;
  /** Symbolic errno, as in `EPERM`. */
  readonly code: string;
  /** The last 16 KiB of the verifier's log, where a load was refused. */
  readonly log?: string;
}

export interface MapInfo {
  readonly id: number;
  readonly name: string;
  /** `enum bpf_map_type`. */
  readonly type: number;
  readonly keySize: number;
  readonly valueSize: number;
  readonly maxEntries: number;
  readonly flags: number;
  readonly frozen: boolean;
  /** Bytes the kernel charges for it (fdinfo `memlock`), which understates tries. */
  readonly memlock: number;
}
export interface ProgramInfo {
  readonly id: number;
  readonly name: string;
  /** `enum bpf_prog_type`. */
  readonly type: number;
  /** SHA-1 over the instructions, 16 hex digits, as bpftool prints it. */
  readonly tag: string;
  /** Instructions the verifier processed (5.16 and later, else 0). */
  readonly verifiedInstructions: number;
  /** Runs that were left out since the program was at work on that CPU already (5.12 and later, else 0). */
  readonly recursionMisses: bigint;
  readonly mapIds: readonly number[];
}
export interface LinkInfo {
  readonly id: number;
  /** `enum bpf_link_type`. */
  readonly type: number;
  readonly programId: number;
  /** XDP and TCX: the interface; 0 once the interface is gone. */
  readonly ifindex: number;
  /** cgroup links: the cgroup's id; 0 otherwise. */
  readonly cgroupId: bigint;
  /** cgroup and TCX links: `enum bpf_attach_type`. */
  readonly attachType: number;
}

/** What to create for a map that no object declares (a new inner map of a generation). */
export interface MapShape {
  readonly name: string;
  readonly type: number;
  readonly keySize: number;
  readonly valueSize: number;
  readonly maxEntries: number;
  readonly flags: number;
}

/** A BPF object file opened by libbpf, loaded or not. Closing frees what was not taken out of it. */
export interface BpfObject {
  /** Names of the maps the object declares, internal ones (.rodata) included. */
  mapNames(): readonly string[];
  programNames(): readonly string[];
  /** Uses an existing map in place of the object's own of that name. Before `load()`. */
  reuseMap(name: string, map: MapHandle): void;
  /** Changes a declared map's size. Before `load()`. */
  setMaxEntries(name: string, maxEntries: number): void;
  /** Leaves a program out of `load()` (a hook this kernel lacks). */
  setAutoload(program: string, load: boolean): void;
  /** Overwrites the whole initial image of `.rodata` (const volatile settings). Before `load()`. */
  setRodata(bytes: Uint8Array): void;
  load(): void;
  /** A new handle of its own descriptor: survives the object's `close()`. */
  map(name: string): MapHandle;
  program(name: string): ProgramHandle;
  /** The object's raw `.BTF` section. */
  btf(): Uint8Array;
  close(): void;
}

export interface TestRun {
  /** The program's return value (an XDP or TC action). */
  readonly verdict: number;
  /** The packet after the program ran. */
  readonly data: Uint8Array;
  /** Mean nanoseconds per run, over `repeat`. */
  readonly durationNs: number;
}

export interface RingOptions {
  /** Bytes gathered before a batch is handed over; a batch is also handed over every `flushMs`. */
  readonly batchBytes?: number;
  readonly flushMs?: number;
  /**
   * Bytes waiting for JavaScript at the most; records beyond are dropped, oldest kept, and counted. Each ring
   * has an equal share, so that a flood in one takes nothing from another.
   */
  readonly pendingBytesMax?: number;
}
/** A thread that empties ring buffers and hands over batches: `[u32 ring][u32 length][record]...`, each record padded to 8 bytes. */
export interface Ring {
  /** Records dropped between the kernel's ring and JavaScript, since `open`. */
  dropped(): bigint;
  /** Stops the thread, hands over what it still holds, resolves when no callback can follow. */
  close(): Promise<void>;
}

/** One operation for a canary child to try, all in an empty network namespace so that nothing leaves. */
export type CanaryCall =
  | {
      readonly call: 'connect' | 'sendto' | 'bind';
      readonly family: 4 | 6;
      readonly type: number;
      readonly protocol: number;
      readonly address: Uint8Array;
      readonly port: number;
    }
  | { readonly call: 'socket'; readonly family: number; readonly type: number; readonly protocol: number }
  | {
      /** Only under a canary's label, where hooks let none of these through: what is allowed ends with ECANCELED. */
      readonly call: 'operation';
      /** `enum husk_operation`. */
      readonly operation: number;
      /** '' where its object has none. */
      readonly path: string;
      /** The user id of SETUID. */
      readonly number: number;
    };

/** How far the witness came, a program that says a byte with its first instruction. */
export interface WitnessAnswer {
  /** Positive errno of execve; 0: it was not refused. */
  readonly refused: number;
  /** That ended it; 0: none. */
  readonly signal: number;
  readonly ran: boolean;
}

export interface Addon {
  /** `libbpf_version_string()`. */
  readonly libbpfVersion: string;

  openObject(name: string, bytes: Uint8Array): BpfObject;
  createMap(shape: MapShape): MapHandle;
  /** Creates a map of maps whose entries have the shape of `inner`. */
  createMapOfMaps(shape: MapShape, inner: MapHandle): MapHandle;
  mapInfo(map: MapHandle): MapInfo;
  programInfo(program: ProgramHandle): ProgramInfo;
  linkInfo(link: LinkHandle): LinkInfo;
  openMapById(id: number): MapHandle;

  /** One entry; value of a per-CPU map is all CPUs' values one after another, each padded to 8 bytes. `null`: no such key. */
  lookup(map: MapHandle, key: Uint8Array): Uint8Array | null;
  update(map: MapHandle, key: Uint8Array, value: Uint8Array, flags?: number): void;
  /** false: no such key. */
  remove(map: MapHandle, key: Uint8Array): boolean;
  /** Sets entry `index` of a map of maps; waits for a grace period, on a thread of its own. */
  setInner(outer: MapHandle, index: number, inner: MapHandle): Promise<void>;
  /** The inner map's id, or 0 where the entry is empty. */
  innerId(outer: MapHandle, index: number): number;
  /**
   * Writes all entries: keys and values packed back to back, which must not change before the promise settles.
   * On a thread; falls back to one by one where the kernel has no batch.
   */
  writeAll(map: MapHandle, keys: Uint8Array, values: Uint8Array): Promise<void>;
  /** Reads all entries, in the kernel's order. On a thread. Per-CPU values as in `lookup`. */
  readAll(
    map: MapHandle,
  ): Promise<{ readonly keys: Uint8Array; readonly values: Uint8Array; readonly count: number }>;
  /** Makes a map read-only for user space, for good. */
  freeze(map: MapHandle): void;

  /** Atomic access to u32 words of an mmapable array's first value. `offset` in bytes, a multiple of 4. */
  mapWords(map: MapHandle): Words;

  attachXdp(program: ProgramHandle, ifindex: number, mode: 'native' | 'generic'): LinkHandle;
  attachTcx(program: ProgramHandle, ifindex: number, direction: 'ingress' | 'egress'): LinkHandle;
  /** clsact and cls_bpf direct action, for kernels without TCX; held by the interface, not by a link. */
  attachClsact(
    program: ProgramHandle,
    ifindex: number,
    direction: 'ingress' | 'egress',
    handle: number,
    priority: number,
  ): void;
  /** The id of the program attached so, or 0. */
  queryClsact(ifindex: number, direction: 'ingress' | 'egress', handle: number, priority: number): number;
  detachClsact(ifindex: number, direction: 'ingress' | 'egress', handle: number, priority: number): void;
  /** Kernel 6.4 and later; family IPv4 or IPv6, `hook` one of `enum nf_inet_hooks`. A program cannot be replaced. */
  attachNetfilter(
    program: ProgramHandle,
    place: { readonly family: 4 | 6; readonly hook: number; readonly priority: number },
  ): LinkHandle;
  /** `attachType`: `enum bpf_attach_type`. `path` is a cgroup v2 directory. */
  attachCgroup(program: ProgramHandle, path: string, attachType: number): LinkHandle;
  /** LSM programs, and those on kernel functions and BTF tracepoints: each knows its hook. Such a link can't be updated. */
  attachTracing(program: ProgramHandle): LinkHandle;
  /** Runs a program of kind iter/… over all there is of its kind. */
  iterate(program: ProgramHandle): void;
  updateLink(link: LinkHandle, program: ProgramHandle): void;
  /** Takes a link off its hook at once; without it that happens some time after its last descriptor or pin is gone. */
  detachLink(link: LinkHandle): void;

  pin(handle: Handle, path: string): void;
  /** Opens a pin; throws ENOENT where there is none. */
  openPinnedMap(path: string): MapHandle;
  openPinnedProgram(path: string): ProgramHandle;
  openPinnedLink(path: string): LinkHandle;

  testRun(
    program: ProgramHandle,
    packet: Uint8Array,
    options?: {
      readonly repeat?: number;
      /** What it came in or goes out by; has to be there. Default: the loopback interface. */
      readonly ifindex?: number;
      /** tc: `__sk_buff.ingress_ifindex`; 0: made here. Default: `ifindex`. */
      readonly cameBy?: number;
    },
  ): TestRun;

  /** Starts the thread; `onBatch` runs on the main thread. */
  openRing(maps: readonly MapHandle[], options: RingOptions, onBatch: (batch: Uint8Array) => void): Ring;

  /**
   * Forks a child into the cgroup directory `cgroup` (clone3 CLONE_INTO_CGROUP, else cgroup.procs), gives it an
   * empty network namespace, lets it try the calls in order and resolves with an errno for each (0: succeeded).
   */
  canary(cgroup: string, calls: readonly CanaryCall[]): Promise<readonly number[]>;

  /**
   * Has a grandchild run the witness: in the cgroup directory `cgroup` ('': where we are), made by a child named `name`
   * (15 bytes at the most; '': as we are). On a thread.
   */
  witness(cgroup: string, name: string): Promise<WitnessAnswer>;

  /** Whether this kernel loads a minimal program or map of each kind; errno where it does not. */
  probe(): Features;
  /** Of these functions, those that the running kernel has (its BTF says). */
  kernelFunctions(names: readonly string[]): readonly string[];
  /** The id that bpf_get_current_cgroup_id() gives for a cgroup directory. */
  cgroupId(path: string): bigint;
  /** Mounts a bpf file system on an existing folder. */
  mountBpffs(path: string): void;
  /** CLOCK_BOOTTIME, nanoseconds. */
  bootNs(): bigint;
  /** Every interface of this network namespace, with or without addresses (netlink; /sys/class/net may be another namespace's). */
  interfaces(): readonly NetworkInterface[];
  /** Whether a policy of IPsec transforms packets of this network namespace without an xfrm interface. */
  ipsecByPolicy(): boolean;
  /**
   * A thread that hears of links and addresses that come, go and change in this network namespace; `onChange`
   * runs on the main thread, once for what comes close together. Keeps no process alive.
   */
  watchInterfaces(onChange: () => void): InterfaceWatch;
  possibleCpus(): number;
}

export interface InterfaceWatch {
  /** No call follows. Twice is harmless. */
  close(): void;
}

export interface NetworkInterface {
  readonly name: string;
  /** 0: gone while we looked. */
  readonly index: number;
  /** IFF_UP. */
  readonly up: boolean;
  /** ARPHRD_ number of <linux/if_arp.h>: 1 Ethernet, 772 loopback, 65534 none (tun). */
  readonly hardwareType: number;
  /** Six bytes as `02:00:00:00:00:01`, or '' where it has none. */
  readonly mac: string;
  /** Addresses with prefix length, as in `192.0.2.1/24`. */
  readonly addresses: readonly string[];
  /** IFLA_INFO_KIND, as in `vlan`, `bridge`, `veth`, `tun`, `wireguard`; '' for most cards. */
  readonly kind: string;
  /** Index of what it lies on (IFLA_LINK: of a VLAN, a macvlan; a veth's other end), 0: none, or in another namespace. */
  readonly parent: number;
  /** Index of the bridge, bond or VRF that it is a port of; 0: none. */
  readonly master: number;
  /** Id, where its kind is vlan. */
  readonly vlan: number;
  /** The driver takes VLAN tags off received frames (ethtool rx-vlan-hw-parse or rx-vlan-stag-hw-parse is on). */
  readonly stripsTags: boolean;
}

/** Words in memory shared with the kernel. Unmapped on close; use after close throws. */
export interface Words {
  load(offset: number): number;
  store(offset: number, value: number): void;
  /** Atomic; returns the value seen before, so equal to `expected` where it took place. */
  compareExchange(offset: number, expected: number, value: number): number;
  close(): void;
}

/** 0: present. Otherwise the errno a minimal try was answered with. */
export interface Features {
  readonly xdp: number;
  readonly schedCls: number;
  readonly tcx: number;
  readonly cgroupSockAddr: number;
  readonly cgroupSock: number;
  readonly netfilter: number;
  readonly lsm: number;
  readonly fmodRet: number;
  readonly tracepointBtf: number;
  readonly rawTracepoint: number;
  readonly ringbuf: number;
  readonly mmapableArray: number;
  readonly mapOfMaps: number;
  readonly lpmTrie: number;
  readonly taskStorage: number;
  readonly batch: number;
  readonly seccomp: number;
  /** The highest version of Landlock's interface; 0: none. */
  readonly landlockAbi: number;
  readonly kernelBtf: boolean;
  /** `/sys/kernel/security/lsm`, or '' where unreadable. Names only; proves nothing. */
  readonly lsmList: string;
}

export const addon: Addon = loadAddon();
