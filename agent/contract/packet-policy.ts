// What an operator writes about packets. The meaning of each word, down to the order of judgement and the
// states of a connection, is in ../policy/PACKETS.md; evaluator, compiler and kernel are written from there.

import type { apiVersion, Metadata, Mode } from './policy.ts';

export interface PacketPolicy {
  readonly apiVersion: typeof apiVersion;
  readonly kind: 'PacketPolicy';
  readonly metadata: Metadata;
  readonly spec: {
    readonly mode: Mode;
    /** Zone name → its interfaces. An interface is in one zone at the most. */
    readonly zones: Readonly<Record<string, Zone>>;
    readonly sets?: Readonly<Record<string, SetSource>>;
    /** What happens to a packet whose headers cannot be read. Default: drop. */
    readonly unparseable?: 'allow' | 'drop';
    /** How connections are followed; without rules that ask for a state none are. */
    readonly connections?: ConnectionSettings;
    readonly ingress: readonly ZoneRules[];
    readonly egress: readonly ZoneRules[];
    /** Who has to reach the device, whatever else changes: proven like `expect`. */
    readonly admins?: readonly Admins[];
    /** What must hold of this policy, proven over every packet described before it is signed. */
    readonly expect?: readonly Expectation[];
  };
}

export interface Zone {
  /** By name or glob; interfaces that appear later are picked up. */
  readonly interfaces: readonly string[];
  /** What passes while no program covers an interface of the zone yet. Default: allow. */
  readonly uncovered?: 'allow' | 'drop';
}

export interface ConnectionSettings {
  /** strict: a TCP connection begins with SYN. loose: one may be picked up in its middle, and one side of it is enough. Default: loose. */
  readonly tcp?: 'strict' | 'loose';
  /** Seconds after its last packet that a connection is remembered. */
  readonly timeouts?: Partial<Readonly<Record<ConnectionTimeout, number>>>;
}

/** opening: no answer yet, or a handshake; closing: after FIN or RST. */
export type ConnectionTimeout =
  | 'tcpOpening'
  | 'tcpEstablished'
  | 'tcpClosing'
  | 'udpOneWay'
  | 'udp'
  | 'icmp'
  | 'other';

/** An address, a prefix (`192.0.2.0/24`, `2001:db8::/32`) or a range (`192.0.2.1-192.0.2.9`). */
export type Addresses = string;

/** Written out, or an AddressSet document of the same bundle. */
export type SetSource = readonly Addresses[] | { readonly addressSet: string };

export interface ZoneRules {
  readonly zone: string;
  /** What happens to a packet that no rule decides. */
  readonly default: 'allow' | 'drop' | 'reject';
  readonly rules: readonly PacketRule[];
  /** ingress: SYNs to the device itself above a rate are answered with SYN cookies. */
  readonly synCookies?: SynCookies;
}

export interface SynCookies {
  /** SYNs of the zone that are handled as any other, as in `100/s`; what is above it gets a cookie. */
  readonly above: string;
  /** SYNs of each source (IPv4 address, IPv6 /64) where no cookie can be given. Default: `10/s`. */
  readonly perSource?: string;
}

/** A packet matches a rule when every condition that is written holds. */
export interface PacketRule extends PacketMatch {
  /** Unique in the document; counters and events are kept under `document/rule`. */
  readonly id: string;
  readonly mode?: Mode;
  /** log: counted and reported, and the walk goes on. */
  readonly action: 'allow' | 'drop' | 'reject' | 'log';
  /** reject only. Default: tcp-reset for TCP, port-unreachable for the rest. */
  readonly rejectWith?: RejectWith;
  readonly limit?: Limit;
  /** Report packets that match: always with drop, reject and action log, else only with this. */
  readonly log?: Log;
}

export interface PacketMatch {
  readonly family?: 'ipv4' | 'ipv6';
  readonly from?: AddressMatch;
  readonly to?: AddressMatch;
  readonly protocol?: OrNot<Protocol | readonly Protocol[]>;
  /** tcp, udp and sctp only. A later fragment carries no ports and matches no rule that asks for them. */
  readonly ports?: { readonly from?: OrNot<PortMatch>; readonly to?: OrNot<PortMatch> };
  /** tcp only: flags that must be set and flags that must not be. */
  readonly tcpFlags?: { readonly set?: readonly TcpFlag[]; readonly unset?: readonly TcpFlag[] };
  /** icmp or icmpv6 only: type, or type/code, as in `8`, `3/4`, `128-129`. */
  readonly icmp?: OrNot<IcmpMatch>;
  readonly state?: ConnectionState | readonly ConnectionState[];
  /** ingress: the destination is the device's own (or a group), as it stands on the wire; false: it goes through. */
  readonly toDevice?: boolean;
  /** egress: where it came from: `device`, or the zone by which it came in. */
  readonly origin?: OrNot<string | readonly string[]>;
  /** Narrower than the zone: interfaces by name or glob. */
  readonly interface?: OrNot<string | readonly string[]>;
  /** VLAN ids from the outside in; `none`: without a tag. */
  readonly vlan?: VlanMatch;
  /** After VLAN tags: a number or a name. */
  readonly etherType?: OrNot<EtherType | readonly EtherType[]>;
  /** Ethernet only. */
  readonly mac?: {
    readonly from?: OrNot<string | readonly string[]>;
    readonly to?: OrNot<string | readonly string[]>;
  };
  /** Differentiated services code point (RFC 2474), 0–63 or a name as in `ef`, `cs6`, `af41`. */
  readonly dscp?: OrNot<Dscp | readonly Dscp[]>;
  /** Bytes from the IP header on, as the IP header states them: `0-575`, `1500`. */
  readonly length?: OrNot<PortMatch>;
  /** any: every fragment; first: has the ports; later: has none; none: a whole packet. */
  readonly fragment?: 'any' | 'first' | 'later' | 'none';
}

/** `not` turns one condition round. A packet without the field in question matches neither way. */
export type OrNot<T> = T | { readonly not: T };

/** Addresses written out, or a set by name; `not` turns the whole condition round. */
export type AddressMatch =
  | Addresses
  | readonly Addresses[]
  | { readonly set: string; readonly not?: boolean }
  | { readonly not: Addresses | readonly Addresses[] };

export type Protocol =
  | 'tcp'
  | 'udp'
  | 'sctp'
  | 'icmp'
  | 'icmpv6'
  | 'gre'
  | 'esp'
  | 'ah'
  | 'igmp'
  | 'ospf'
  | 'vrrp'
  | 'udplite'
  | number;
/** One port, a range `8000-8080`, or several of both. */
export type PortMatch = number | string | readonly (number | string)[];
export type IcmpMatch = number | string | readonly (number | string)[];
export type TcpFlag = 'fin' | 'syn' | 'rst' | 'psh' | 'ack' | 'urg' | 'ece' | 'cwr';
export type ConnectionState = 'new' | 'established' | 'related' | 'invalid';
/** One id or several, for the outer tag; `inner` for the one behind it. */
export type VlanMatch =
  | 'none'
  | PortMatch
  | { readonly outer?: PortMatch; readonly inner?: PortMatch | 'none' };
export type EtherType =
  | 'ipv4'
  | 'ipv6'
  | 'arp'
  | 'pppoe-session'
  | 'pppoe-discovery'
  | 'mpls'
  | 'lldp'
  | number;
export type Dscp = string | number;

export type RejectWith =
  | 'tcp-reset'
  | 'port-unreachable'
  | 'host-unreachable'
  | 'net-unreachable'
  | 'admin-prohibited';

/** A token bucket: `burst` packets at once, refilled at `rate`. */
export interface Limit {
  /** As in `10/s`, `600/m`, `5/h`, `100/d`. */
  readonly rate: string;
  /** Default: one second's worth, at least 5. */
  readonly burst?: number;
  /** One bucket for the rule, one for each source (prefix), or one for each connection. Default: rule. */
  readonly per?: 'rule' | 'source' | 'flow';
  /** With `per: source`: how much of the address counts. Default: /32 and /64. */
  readonly prefix?: { readonly ipv4?: number; readonly ipv6?: number };
  /** What happens to packets above the rate. drop: dropped and counted as limited. next: the rule does not match. Default: drop for allow, next for the others. */
  readonly over?: 'drop' | 'next';
}

export interface Log {
  /** One packet in so many, of those that the rule decides or notes; what is above its limit is reported each. Default: 1. */
  readonly sample?: number;
}

/** New connections from these addresses to these ports of the device are allowed. */
export interface Admins {
  readonly zone: string;
  readonly from: AddressMatch;
  /** Default: tcp. */
  readonly protocol?: 'tcp' | 'udp';
  readonly ports: PortMatch;
}

/** Every packet described gets this verdict. */
export interface Expectation extends Omit<PacketMatch, 'interface' | 'mac' | 'vlan' | 'length' | 'dscp'> {
  /** Shown where it fails. */
  readonly id: string;
  readonly zone: string;
  /** Default: ingress. */
  readonly direction?: 'ingress' | 'egress';
  /** drop holds for rejected packets too. */
  readonly verdict: 'allow' | 'drop';
}
