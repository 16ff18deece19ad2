// Events on their way to the fleet: what one is, and how a batch travels and is acknowledged.
//
// Each stream has its own numbers, which survive reboots. What was lost is part of the data: a gap
// stands where the lost events would have stood.

import type { TimeQuality } from './envelope.ts';

/** audit: what the agent did. alert: denied or would-be denied calls. packet: dropped or would-be dropped packets, aggregated. */
export const streams = ['audit', 'alert', 'packet'] as const;
export type Stream = (typeof streams)[number];

export interface SpooledEvent {
  /** Number in its stream; only grows. */
  readonly seq: number;
  /** Milliseconds of boot time, with `boot` of the batch's envelope or, if it was another boot, its own. */
  readonly mono: number;
  readonly boot?: string;
  readonly ts: number | null;
  readonly tq: TimeQuality;
  readonly event: HuskEvent;
}

export type HuskEvent = PacketEvent | CallEvent | OperationEvent | AuditEvent | GapEvent;

export interface PacketEvent {
  readonly kind: 'packet';
  /** `document/rule`, or null where no rule gave the verdict. */
  readonly rule: string | null;
  /** log: a rule that only reports. */
  readonly verdict: 'allow' | 'drop' | 'reject' | 'log';
  readonly mode: 'monitor' | 'enforce';
  readonly reason: string;
  readonly hook: string;
  readonly serial: number;
  readonly interface: string;
  /** `document/zone` of the interface. */
  readonly zone?: string;
  /** Going out: the interface by which it came in; absent where the device made it, and coming in. */
  readonly cameBy?: string;
  /** Of its connection, where connections are followed. */
  readonly state?: string;
  /** The outer VLAN tag. */
  readonly vlan?: number;
  /** ICMP alone. */
  readonly icmp?: { readonly type: number; readonly code: number };
  /** The first bytes of the first packet, hex: from the Ethernet header on, or from the IP header where `link` is ip. */
  readonly data?: string;
  readonly link?: 'ethernet' | 'ip';
  readonly family: 'ipv4' | 'ipv6' | 'other';
  readonly etherType: number;
  readonly from: string;
  readonly to: string;
  readonly protocol: number;
  readonly fromPort: number;
  readonly toPort: number;
  readonly tcpFlags: number;
  /** How many alike (same rule, source, destination, protocol, destination port) this stands for. */
  readonly count: number;
  readonly bytes: number;
}

export interface CallEvent {
  readonly kind: 'call';
  readonly rule: string | null;
  readonly verdict: 'allow' | 'deny';
  readonly mode: 'monitor' | 'enforce';
  readonly serial: number;
  readonly call: 'connect' | 'bind' | 'socket';
  readonly command: string;
  readonly executable: string | null;
  readonly pid: number;
  readonly uid: number;
  readonly gid: number;
  readonly cgroup: string;
  readonly family: string;
  readonly type: string;
  readonly protocol: number;
  readonly address: string;
  readonly port: number;
  readonly count: number;
}

/** What a task did to an object, where a rule denies that. */
export interface OperationEvent {
  readonly kind: 'operation';
  readonly rule: string | null;
  readonly verdict: 'allow' | 'deny';
  readonly mode: 'monitor' | 'enforce';
  readonly serial: number;
  /** As in `exec`, `write`, `module`. */
  readonly operation: string;
  /** The path within its file system; with `…` in front where it was longer; null: the object has none. */
  readonly path: string | null;
  /** The file system, `major:minor`; null as above. */
  readonly device: string | null;
  /** Capability, user id, lockdown reason, command of bpf(); absent where the operation has none. */
  readonly number?: number;
  /** As in `memfd`, `deleted`, `unresolved`. */
  readonly traits?: readonly string[];
  readonly command: string;
  readonly executable: string | null;
  readonly pid: number;
  readonly parent: number;
  readonly uid: number;
  readonly cgroup: string;
  /** The process was ended. */
  readonly killed?: true;
  readonly count: number;
}

export interface AuditEvent {
  readonly kind: 'audit';
  /** As in `bundle.confirmed`, `bundle.returned`, `bundle.refused`, `agent.started`. */
  readonly what: string;
  readonly detail: Readonly<Record<string, string | number | boolean | null>>;
}

/**
 * Events that are gone, and where they went. Numbers of a stream are without a hole but before a gap of the
 * spool's: that one stands for all numbers since the event before it, and `lost` (0 after a jump) says how many of
 * them were events.
 */
export interface GapEvent {
  readonly kind: 'gap';
  readonly lost: number;
  /** ring: the kernel's ring was full. suppressed: over the events budget. agent: between ring and spool. spool: the spool was at its limit or the disk full. */
  readonly where: 'ring' | 'suppressed' | 'agent' | 'spool';
}

/** body of `ev.batch` */
export interface EventBatch {
  readonly stream: Stream;
  readonly events: readonly SpooledEvent[];
}

/** body of `ack.spool`: everything up to and with `upTo` is in the controller's database */
export interface SpoolAcknowledgement {
  readonly stream: Stream;
  readonly upTo: number;
}
