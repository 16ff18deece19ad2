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

/** What all events of tasks say. Names with an underscore are OCSF's (ocsf.ts), and so are those within `process`. */
export interface TaskFinding {
  readonly class_uid: number;
  readonly activity_id: number;
  readonly severity_id: number;
  readonly disposition_id: number;
  /** `document/rule`; null where none gave the verdict. */
  readonly rule: string | null;
  /** The rule's document. */
  readonly policy?: { readonly name: string };
  /** Where that is a shield. */
  readonly shield?: EventShield;
  /** allow: it was observed, as the policy wants it. */
  readonly verdict: 'allow' | 'deny';
  /** monitor: it would have been denied. */
  readonly mode: 'monitor' | 'enforce';
  readonly serial: number;
  /** By whose programs: A LSM, B fmod_ret, C cgroup hooks and tracepoints. */
  readonly tier?: string;
  /** The process was ended. */
  readonly killed?: true;
  /** Who did the first of them; null where its record was lost. */
  readonly process: EventProcess | null;
  /** How many alike (same rule, executable, object and verdict) this stands for. The event's time is the last one's. */
  readonly count: number;
  /** Milliseconds from the first of them to the last; absent: it is one. */
  readonly duration?: number;
  /** What has to be written so that a denial is one no more. */
  readonly remediation?: { readonly desc: string };
}

export interface EventShield {
  readonly name: string;
  readonly cve: readonly string[];
  readonly severity: string;
}

/** A program that a process runs or comes from. */
export interface EventProgram {
  /** null: not known, `number` says which then. */
  readonly path: string | null;
  /** What it was started as, where that is not the path's last name: as `sh` of a busybox. */
  readonly name?: string;
  /** The kernel's number of a path that nobody knows, hex. */
  readonly number?: string;
}

export interface EventProcess {
  readonly pid: number;
  readonly tid: number;
  /** What it calls itself. */
  readonly name: string;
  /** Milliseconds of boot time at which it began; null: not known. */
  readonly startMono: number | null;
  /** What it runs. */
  readonly file: EventProgram;
  readonly user: { readonly uid: number };
  readonly group: { readonly uid: number };
  readonly cgroup: string;
  /** Where the cgroup's path says that it is one. */
  readonly container?: { readonly uid: string; readonly runtime: string };
  readonly parent_process?: { readonly pid: number; readonly name: string };
  /** Programs it comes from, nearest first, each once. */
  readonly ancestry: readonly EventProgram[];
  /** false: there were more, or where it comes from is not known. */
  readonly ancestryIsWhole: boolean;
}

/**
 * A call for the network. `command` to `cgroup` and `address` to `port` say again what `process` and the endpoints
 * do, for who read events before there were those.
 */
export interface CallEvent extends TaskFinding {
  readonly kind: 'call';
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
  /** connect: where to. */
  readonly dst_endpoint?: EventEndpoint;
  /** bind: what it would be reached by. */
  readonly src_endpoint?: EventEndpoint;
}

export interface EventEndpoint {
  readonly ip: string;
  readonly port: number;
}

/** What a task did to an object: denied by a rule, would be denied by one, or observed. */
export interface OperationEvent extends TaskFinding {
  readonly kind: 'operation';
  /** As in `exec`, `write`, `module`. */
  readonly operation: string;
  /** The object; null: it has no path. */
  readonly file: EventFile | null;
  /** Capability, user id, lockdown reason, command of bpf(); absent where the operation has none. */
  readonly number?: number;
  /** As in `memfd`, `deleted`, `unresolved`. */
  readonly traits?: readonly string[];
}

export interface EventFile {
  /** As the agent sees it, wherever its file system is mounted; with `…` in front where it was longer. */
  readonly path: string;
  /** exec: what it is started as, where that is not the path's last name. */
  readonly name?: string;
  /** Where it is by its file system: `major:minor`, and the path within that, where that is another. */
  readonly device: string;
  readonly devicePath?: string;
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
