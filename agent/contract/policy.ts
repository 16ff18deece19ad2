// What an operator writes. Documents in the resource style: apiVersion, kind, metadata, spec.
//
// These are the types of documents that were read and found faultless (see ../policy/read.ts); the JSON
// Schema for editors is ../policy/policy.schema.gen.json. A document that cannot be enforced as written
// is refused, never partly taken: what is not in these types is not understood.

import type { Exception } from './exception.ts';
import type { Addresses, PacketPolicy, PortMatch } from './packet-policy.ts';
import type { Shield } from './shield.ts';

export type { Exception } from './exception.ts';
export type {
  Addresses,
  AddressMatch,
  Admins,
  ConnectionSettings,
  ConnectionState,
  ConnectionTimeout,
  Dscp,
  EtherType,
  Expectation,
  IcmpMatch,
  Limit,
  Log,
  OrNot,
  PacketMatch,
  PacketPolicy,
  PacketRule,
  PortMatch,
  Protocol,
  RejectWith,
  SetSource,
  SynCookies,
  TcpFlag,
  VlanMatch,
  Zone,
  ZoneRules,
} from './packet-policy.ts';
export type { AppliesTo, Severity, Shield, ShieldPackets, ShieldTest } from './shield.ts';

export const apiVersion = 'husk/v1';

export type PolicyDocument = PacketPolicy | HardeningPolicy | Shield | Exception | AddressSet;

export interface Metadata {
  /** Unique per kind in a bundle: lower case letters, digits, `-` and `.`, at most 63. */
  readonly name: string;
  readonly labels?: Readonly<Record<string, string>>;
  readonly owner?: string;
}

/** off: not compiled. monitor: counted and reported, not acted on. enforce. A rule may lower its policy's mode, never raise it. */
export type Mode = 'off' | 'monitor' | 'enforce';
/** learn: what is done is gathered, and nothing is decided. */
export type HardeningMode = 'off' | 'learn' | 'monitor' | 'enforce';

export interface AddressSet {
  readonly apiVersion: typeof apiVersion;
  readonly kind: 'AddressSet';
  readonly metadata: Metadata;
  readonly spec: {
    /** Either this, or `file` beside the document (one entry a line, `#` comments, .gz too), which the CLI reads in before signing. */
    readonly addresses?: readonly Addresses[];
    readonly file?: string;
    /** Urgent ones: in force without the list being built anew, each with an end if it has one. */
    readonly additions?: readonly Addition[];
    /** Count the hits of each entry; at most 65,536 entries then. Default: only of the set. */
    readonly countEntries?: boolean;
  };
}

export interface Addition {
  readonly address: Addresses;
  /** RFC 3339, as in `2026-12-01T12:00:00Z`; from then on it counts no more. */
  readonly until?: string;
}

export interface HardeningPolicy {
  readonly apiVersion: typeof apiVersion;
  readonly kind: 'HardeningPolicy';
  readonly metadata: Metadata;
  readonly spec: HardeningSpec;
}

/** See ../policy/HARDENING.md. */
export interface HardeningSpec {
  readonly mode: HardeningMode;
  readonly subject: Subject;
  /** The least tier under which it may be taken; on a device below, the bundle is refused. */
  readonly minimumTier?: Tier;
  /** What subjects do that is told of although it is allowed: once in a while, with a count. Tiers A and B. Default: exec. */
  readonly observe?: readonly ObserveWord[];
  /** Per operation, what happens when no rule matches. Adding one allow never makes a list of allowances: that is written here. Default: allow. */
  readonly default?: Readonly<Partial<Record<DefaultName, 'allow' | 'deny'>>>;
  readonly rules: readonly HardeningRule[];
}

/** exec: what is run. load: libraries and modules. connect: addresses that are called. */
export const observeWords = ['exec', 'load', 'connect'] as const;
export type ObserveWord = (typeof observeWords)[number];

export type Tier = 'A' | 'B' | 'C' | 'D';
export type DefaultName = 'connect' | 'bind' | 'socket' | 'exec' | 'write' | 'create' | 'mount';

/** All conditions at once; at least one. */
export interface Subject {
  /** A cgroup below the device's hardening root, children included. */
  readonly cgroup?: string;
  /** Absolute paths. */
  readonly executable?: string | readonly string[];
  /** Tasks that come from such a one are meant as well. Default: true. */
  readonly descendants?: boolean;
  /** The name by which the executable was started, as `httpd` of a busybox. */
  readonly applet?: string;
  /** Effective user ids. */
  readonly user?: number | readonly number[];
  /** Whether tasks of unknown lineage are meant. Default: allow. */
  readonly unknown?: 'deny' | 'allow';
}

export const hardeningWords = [
  'connect',
  'bind',
  'socket',
  'exec',
  'file',
  'privilege',
  'kernel',
  'memory',
] as const;
export type HardeningWord = (typeof hardeningWords)[number];

/** Exactly one of the words. Order does not matter: deny wins over allow, allow over the default. */
export interface HardeningRule {
  readonly id: string;
  /** learn: decides nothing, and the operations of its word are kept. */
  readonly mode?: HardeningMode;
  /** connect() and every send to an address: sendto, sendmsg, TCP fast open. */
  readonly connect?: CallMatch;
  readonly bind?: CallMatch;
  readonly socket?: SocketMatch;
  readonly exec?: ExecMatch;
  readonly file?: FileMatch;
  readonly privilege?: PrivilegeMatch;
  readonly kernel?: KernelMatch;
  readonly memory?: MemoryMatch;
  readonly action: 'allow' | 'deny';
  /** A denial also ends the process; not in a trial. */
  readonly kill?: boolean;
}

/** Alternatives; an empty one is every object. Paths are absolute. */
export interface ExecMatch {
  readonly paths?: readonly string[];
  readonly under?: readonly string[];
  readonly applets?: readonly string[];
  readonly memfd?: true;
  readonly deleted?: true;
  readonly setuid?: true;
  /** Not together with the others. */
  readonly except?: {
    readonly paths?: readonly string[];
    readonly under?: readonly string[];
    readonly applets?: readonly string[];
  };
}

export const fileWords = ['read', 'write', 'create', 'delete', 'rename', 'link', 'chmod', 'mount'] as const;
export type FileWord = (typeof fileWords)[number];
/** At least one word. */
export type FileMatch = { readonly [Word in FileWord]?: PathMatch };

/** Alternatives; an empty one is every object. */
export interface PathMatch {
  readonly paths?: readonly string[];
  readonly under?: readonly string[];
  /** Not together with the others. */
  readonly except?: { readonly paths?: readonly string[]; readonly under?: readonly string[] };
}

/** At least one; alternatives. */
export interface PrivilegeMatch {
  readonly setuid?: true;
  /** As in `net_raw`, without `CAP_`; `all` for any. */
  readonly capabilities?: readonly string[];
  readonly ptrace?: true;
  readonly userns?: true;
}

/** At least one; alternatives. */
export interface KernelMatch {
  readonly module?: true;
  readonly bpf?: true;
  readonly kexec?: true;
  readonly perf?: true;
  readonly lockdown?: true;
}

export interface MemoryMatch {
  readonly writeExecute: true;
}

export interface CallMatch {
  /** Addresses meant; absent: all. */
  readonly to?: readonly Addresses[] | { readonly addressSet: string };
  /** All but these. Not together with `to`. */
  readonly except?: readonly Addresses[] | { readonly addressSet: string };
  readonly protocol?: 'tcp' | 'udp';
  readonly ports?: PortMatch;
}

export interface SocketMatch {
  readonly family?: readonly SocketFamily[];
  readonly type?: readonly SocketType[];
}
export type SocketFamily = 'unix' | 'inet' | 'inet6' | 'netlink' | 'packet';
export type SocketType = 'stream' | 'dgram' | 'raw' | 'seqpacket';
