// What a device says of itself: presence (birth, goodbye, will) and reported state.

import type { TimeQuality } from './envelope.ts';
import type { FirmwareFacts } from './firmware.ts';
import type { Refusal } from './refusal.ts';

/** body of `st.birth` */
export interface Birth {
  readonly state: 'up';
  readonly agent: string;
  readonly kernel: string;
  readonly architecture: string;
  readonly hostname: string;
  /** What is in force: serial and digest, or null before the first confirmed bundle. */
  readonly inForce: InForce | null;
  readonly time: TimeQuality;
  /** 32 bytes, hex, new with each birth. */
  readonly nonce: string;
}

/** body of `st.gone` (the last will) and `st.bye` (SIGTERM: enforcement stays) */
export interface Gone {
  readonly state: 'gone' | 'bye';
}

export interface InForce {
  readonly serial: number;
  readonly digest: string;
}

/** What became of the newest assignment this device knows of. */
export type AssignmentResult =
  | 'fetching'
  | 'verified'
  | 'trial'
  | 'confirmed'
  /** we did not accept it: `refusal` says why */
  | 'refused'
  /** its trial ended without a confirmation: the previous policy is in force */
  | 'returned'
  /** a newer assignment ended its trial */
  | 'superseded';

/** Why a trial was returned. */
export type ReturnReason =
  /** a new connection could not be opened, or the answer did not come, until the deadline */
  | 'no-confirmation'
  /** the agent was ended in the trial: found at its next start */
  | 'agent-restarted'
  /** the device was rebooted in the trial */
  | 'device-rebooted'
  /** somebody ran `husk-agent return` */
  | 'local-command';

/** body of `rep` */
export interface Reported {
  readonly inForce: InForce | null;
  readonly assignment: {
    readonly serial: number;
    readonly digest: string;
    readonly result: AssignmentResult;
    readonly refusal?: Refusal;
    readonly reason?: ReturnReason;
  } | null;
  /** Per rule what is true of it in this kernel. */
  readonly rules: readonly RuleState[];
  /** Shields and exceptions of the bundle in force, and whether they hold here. */
  readonly documents?: readonly DocumentState[];
  readonly firmware?: FirmwareFacts;
  /** What was proven and how, as in `3 packet rules by twin run, 2 call rules by canary`. */
  readonly proven: string;
  readonly tier: 'A' | 'B' | 'C' | 'D';
  /** Attached hooks, as in `xdp_ingress wan0 native`. */
  readonly hooks: readonly string[];
  /** Kernel bytes of both generations, as the kernel and the compiler state them. */
  readonly kernelBytes: number;
}

/** Of a document that holds on some devices, or for some time. */
export interface DocumentState {
  readonly kind: 'Shield' | 'Exception';
  readonly name: string;
  /**
   * retire-proposed: it is in force, and need not be; a signed bundle without it drops it. retired: dropped by the device,
   * as its signed text allows. not-applicable and off: nothing of it is in force. Of exceptions, ended: by some clock it is
   * over; inactive: nobody knows what time it is.
   */
  readonly state: 'applies' | 'not-applicable' | 'retire-proposed' | 'retired' | 'off' | 'ended' | 'inactive';
  /** As in `firmware 1.1.5 is fixed`, `expired`, or what is not known and taken for vulnerable. */
  readonly why?: string;
  /** Milliseconds since 1970. */
  readonly endsMs: number | null;
  /** `retireAutomatically` of a shield. */
  readonly retiresItself: boolean;
  /** What it is against, and how grave that is. */
  readonly cve?: readonly string[];
  readonly severity?: string;
}

export interface RuleState {
  /** `document/rule` */
  readonly id: string;
  readonly state: 'enforced' | 'degraded' | 'monitor' | 'unsupported';
  /** How it is degraded, or why unsupported. */
  readonly why?: string;
}
