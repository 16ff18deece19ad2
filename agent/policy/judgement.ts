// What a packet or a call comes to, as the evaluator says it and as a twin run or a canary shows it.

import type { ConnectionState } from '../contract/policy.ts';
import type { ObjectAt } from './evaluate/operations.ts';
import type { OperationName } from './operation-words.ts';

export type Reason =
  | 'rule'
  | 'default'
  /** A rule allows it, and its limit does not. */
  | 'limited'
  | 'never-drop'
  | 'unparseable'
  | 'unzoned'
  /** Left to the interface that lies on this one. */
  | 'deferred'
  /** Came in under an address of the device's own. */
  | 'own-source'
  | 'no-subject';

export interface Judgement {
  /** What is done: a would-be drop or denial in monitor mode is not in here but in `monitored`. */
  readonly verdict: 'allow' | 'drop' | 'reject' | 'deny';
  readonly reason: Reason;
  /** The rule or default that decided, by its stable id; null where none did. */
  readonly rule: string | null;
  /** The first rule or default in monitor mode that matched on the way; null where none did. */
  readonly monitored: string | null;
  /** A denial of an operation that also ends the process. */
  readonly kills?: true;
  /** Packets, where connections are followed; null where they are not, and of what is not IP. */
  readonly state?: ConnectionState | null;
}

/** A packet as it is seen at one place. */
export interface PacketAt {
  readonly interface: string;
  readonly direction: 'ingress' | 'egress';
  /** From the Ethernet header on, or from the IP header where the interface has none. */
  readonly frame: Uint8Array;
  /** What the frame begins with. Default: what the device says of the interface. */
  readonly link?: 'ethernet' | 'ip';
  /** egress: the interface by which it came in; null or absent: it was made here. */
  readonly cameBy?: string | null;
  /** VLAN tags that the card took off, from the outside in. */
  readonly strippedTags?: readonly number[];
  /** Any clock that only grows; for limits and timeouts. Default: 0. */
  readonly timeNs?: bigint;
  /** Takes the place of looking its connection up, which is neither opened nor renewed. */
  readonly givenState?: ConnectionState | null;
}

/** A packet to try in the kernel and what must come of it. */
export interface PacketTry {
  readonly direction: 'ingress' | 'egress';
  /** An interface of the zone meant. */
  readonly ifindex: number;
  /** What the frame begins with there. */
  readonly link: 'ethernet' | 'ip';
  /** egress: the index of the interface by which it came in; 0: made here. */
  readonly cameBy: number;
  readonly frame: Uint8Array;
  /** What looking its connection up comes to; a twin has no table of its own. null: it has none, or none are followed. */
  readonly state: ConnectionState | null;
  readonly expect: Judgement;
  /** Rules and the default that matched on the way and did not decide, in order: `log`, and mode monitor. */
  readonly noted: readonly string[];
}

/** What is put before the programs. */
export type PacketTried = Omit<PacketTry, 'expect' | 'noted'>;

/** A call for the canary to try under the subjects `subjects` (bits as compiled), and what must come of it. */
export interface CallTry {
  /** Which hooks judge it: those of cgroups, or those that know the task. */
  readonly hook: 'cgroup' | 'task';
  readonly subjects: bigint;
  readonly call: CanaryOperation;
  readonly expect: Judgement;
}

/** An operation for the canary to try under the subjects `subjects`, on the object that its label names. */
export interface OperationTry {
  readonly subjects: bigint;
  /** enum husk_operation, and its word. */
  readonly operation: number;
  readonly name: OperationName;
  readonly object: ObjectAt;
  readonly expect: Judgement;
}

/** Mirrors what the canary child can do; `address` is 4 or 16 bytes in network order. */
export type CanaryOperation =
  | {
      readonly call: 'connect' | 'sendto' | 'bind';
      readonly family: 4 | 6;
      readonly type: number;
      readonly protocol: number;
      readonly address: Uint8Array;
      readonly port: number;
    }
  | { readonly call: 'socket'; readonly family: number; readonly type: number; readonly protocol: number };

/** Everything that must hold in the kernel before an image may go live. */
export interface Tries {
  readonly packets: readonly PacketTry[];
  readonly calls: readonly CallTry[];
  readonly operations: readonly OperationTry[];
  /** Rules for which no packet, call or operation was made, as when an earlier rule covers them; stated in the report. */
  readonly untried: readonly string[];
  /** Packet rules and defaults that a packet was looked for, of all there are: of too many, a spread. */
  readonly packetRules: { readonly rules: number; readonly of: number };
}
