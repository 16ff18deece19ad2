// What an operator writes. Documents in the resource style: apiVersion, kind, metadata, spec.
//
// These are the types of documents that were read and found faultless (see ../policy/read.ts); the JSON
// Schema for editors is ../policy/policy.schema.gen.json. A document that cannot be enforced as written
// is refused, never partly taken: what is not in these types is not understood.

import type { Addresses, PacketPolicy, PortMatch } from './packet-policy.ts';

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

export const apiVersion = 'husk/v1';

export type PolicyDocument = PacketPolicy | HardeningPolicy | AddressSet;

export interface Metadata {
  /** Unique per kind in a bundle: lower case letters, digits, `-` and `.`, at most 63. */
  readonly name: string;
  readonly labels?: Readonly<Record<string, string>>;
  readonly owner?: string;
}

/** off: not compiled. monitor: counted and reported, not acted on. enforce. A rule may lower its policy's mode, never raise it. */
export type Mode = 'off' | 'monitor' | 'enforce';

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
  readonly spec: {
    readonly mode: Mode;
    /** Who is meant. In this version a cgroup below the device's hardening root, children included. */
    readonly subject: { readonly cgroup: string };
    /** Per call, what happens when no rule matches. Adding one allow never makes a list of allowances: that is written here. Default: allow. */
    readonly default?: {
      readonly connect?: 'allow' | 'deny';
      readonly bind?: 'allow' | 'deny';
      readonly socket?: 'allow' | 'deny';
    };
    readonly rules: readonly HardeningRule[];
  };
}

/** Exactly one of `connect`, `bind`, `socket`. Order does not matter: deny wins over allow, allow over the default. */
export interface HardeningRule {
  readonly id: string;
  readonly mode?: Mode;
  /** connect() and every send to an address: sendto, sendmsg, TCP fast open. */
  readonly connect?: CallMatch;
  readonly bind?: CallMatch;
  readonly socket?: SocketMatch;
  readonly action: 'allow' | 'deny';
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
