// What an operator writes. Documents in the resource style: apiVersion, kind, metadata, spec.
//
// These are the types of documents that were read and found faultless (see ../policy/read.ts); the JSON
// Schema for editors is ../policy/policy.schema.gen.json. A document that cannot be enforced as written
// is refused, never partly taken: what is not in these types is not understood.

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

/** An address, a prefix (`192.0.2.0/24`, `2001:db8::/32`) or a range (`192.0.2.1-192.0.2.9`). */
export type Addresses = string;

export interface AddressSet {
  readonly apiVersion: typeof apiVersion;
  readonly kind: 'AddressSet';
  readonly metadata: Metadata;
  readonly spec: {
    /** Either this, or `file` beside the document (one entry a line, `#` comments, .gz too), which the CLI reads in before signing. */
    readonly addresses?: readonly Addresses[];
    readonly file?: string;
  };
}

export interface PacketPolicy {
  readonly apiVersion: typeof apiVersion;
  readonly kind: 'PacketPolicy';
  readonly metadata: Metadata;
  readonly spec: {
    readonly mode: Mode;
    /** Zone name → its interfaces, by name or glob. An interface is in one zone at the most. */
    readonly zones: Readonly<Record<string, { readonly interfaces: readonly string[] }>>;
    readonly sets?: Readonly<Record<string, SetSource>>;
    /** What happens to a packet whose headers cannot be read. Default: drop. */
    readonly unparseable?: 'allow' | 'drop';
    readonly ingress: readonly ZoneRules[];
    readonly egress: readonly ZoneRules[];
  };
}

/** Written out, or an AddressSet document of the same bundle. */
export type SetSource = readonly Addresses[] | { readonly addressSet: string };

export interface ZoneRules {
  readonly zone: string;
  /** What happens to a packet that no rule matches. */
  readonly default: 'allow' | 'drop';
  readonly rules: readonly PacketRule[];
}

export interface PacketRule {
  /** Unique in the document; counters and events are kept under `document/rule`. */
  readonly id: string;
  readonly mode?: Mode;
  readonly from?: AddressMatch;
  readonly to?: AddressMatch;
  readonly family?: 'ipv4' | 'ipv6';
  readonly protocol?: Protocol;
  /** tcp, udp and sctp only. A later fragment carries no ports and matches no rule that asks for them. */
  readonly ports?: { readonly from?: PortMatch; readonly to?: PortMatch };
  /** tcp only: flags that must be set and flags that must not be. */
  readonly tcpFlags?: { readonly set?: readonly TcpFlag[]; readonly unset?: readonly TcpFlag[] };
  readonly action: 'allow' | 'drop';
}

/** Addresses written out, or a set by name; `not` turns the whole condition round. */
export type AddressMatch =
  | Addresses
  | readonly Addresses[]
  | { readonly set: string; readonly not?: boolean }
  | { readonly not: Addresses | readonly Addresses[] };

export type Protocol = 'tcp' | 'udp' | 'sctp' | 'icmp' | 'icmpv6' | 'gre' | 'esp' | number;
/** One port, a range `8000-8080`, or several of both. */
export type PortMatch = number | string | readonly (number | string)[];
export type TcpFlag = 'fin' | 'syn' | 'rst' | 'psh' | 'ack' | 'urg';

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
