// What a packet or a call comes to, as the evaluator says it and as a twin run or a canary shows it.

export type Reason = 'rule' | 'default' | 'never-drop' | 'unparseable' | 'unzoned' | 'no-subject';

export interface Judgement {
  /** What is done: a would-be drop or denial in monitor mode is not in here but in `monitored`. */
  readonly verdict: 'allow' | 'drop' | 'deny';
  readonly reason: Reason;
  /** The rule or default that decided, by its stable id; null where none did. */
  readonly rule: string | null;
  /** The first rule or default in monitor mode that matched on the way; null where none did. */
  readonly monitored: string | null;
}

/** A packet to try in the kernel and what must come of it. */
export interface PacketTry {
  readonly direction: 'ingress' | 'egress';
  /** An interface of the zone meant. */
  readonly ifindex: number;
  /** From the Ethernet header on. */
  readonly frame: Uint8Array;
  readonly expect: Judgement;
}

/** A call for the canary to try under the subjects `subjects` (bits as compiled), and what must come of it. */
export interface CallTry {
  readonly subjects: bigint;
  readonly call: CanaryOperation;
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
  /** Rules for which no packet or call could be made, as when an earlier rule covers them; stated in the report. */
  readonly untried: readonly string[];
}
