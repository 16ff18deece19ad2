// A shield: a small temporary policy that closes the way of one known exploit. What it means is in
// ../policy/HARDENING.md.

import type { PacketMatch, PacketRule } from './packet-policy.ts';
import type { apiVersion, HardeningSpec, Metadata } from './policy.ts';

export interface Shield {
  readonly apiVersion: typeof apiVersion;
  readonly kind: 'Shield';
  readonly metadata: Metadata;
  readonly spec: ShieldSpec;
}

/** Rules about what tasks do (`subject` and `rules`), about packets, or both. */
export interface ShieldSpec extends Pick<HardeningSpec, 'mode' | 'minimumTier' | 'default'> {
  /** As in `CVE-2023-1389`. */
  readonly cve: string | readonly string[];
  readonly severity: Severity;
  /** Web addresses. */
  readonly references?: readonly string[];
  /** Absent: every device. */
  readonly appliesTo?: AppliesTo;
  /** A day (its end, UTC) or a moment (RFC 3339). Retirement is proposed then, or happens where it may. */
  readonly expires: string;
  /** true: a device drops it by itself once it has expired or its firmware is fixed. Default: that is proposed. */
  readonly retireAutomatically?: boolean;
  readonly subject?: HardeningSpec['subject'];
  readonly rules?: HardeningSpec['rules'];
  readonly packets?: ShieldPackets;
  readonly test?: ShieldTest;
}

export const severities = ['low', 'medium', 'high', 'critical'] as const;
export type Severity = (typeof severities)[number];

/** All conditions at once. What a device can't tell of itself counts as holding. */
export interface AppliesTo {
  /** Names or globs; letters of either case. */
  readonly vendor?: string | readonly string[];
  readonly model?: string | readonly string[];
  /** Versions that are vulnerable, as in `<1.1.4` or `>=2.0 <2.3.1`; of several one is enough. */
  readonly firmware?: string | readonly string[];
  readonly executable?: ExecutableHash;
}

/** The file, as one of these SHA-256 (hex). */
export interface ExecutableHash {
  readonly path: string;
  readonly sha256: readonly string[];
}

/** Judged before the ordered rules of every zone that is meant. */
export interface ShieldPackets {
  /** Names of zones, in whichever PacketPolicy of the bundle. Neither zones nor interfaces: all zones. */
  readonly zones?: readonly string[];
  /** Interfaces by name or glob. */
  readonly interfaces?: readonly string[];
  readonly ingress?: readonly ShieldPacketRule[];
  readonly egress?: readonly ShieldPacketRule[];
}

export interface ShieldPacketRule
  extends Omit<PacketMatch, 'origin'>,
    Pick<PacketRule, 'id' | 'mode' | 'rejectWith'> {
  /** limit: what is above the rate is dropped, and what is within it goes on to the policy's own rules. */
  readonly action: 'drop' | 'reject' | 'limit';
  /** With action limit, and then always. */
  readonly limit?: Omit<NonNullable<PacketRule['limit']>, 'over'>;
}

/** What `husk policy test` and `check` try the shield by, alone and enforced; lines as in ../policy/cases/README.md. */
export interface ShieldTest {
  /** What its exploit does. */
  readonly deny?: readonly string[];
  /** The ordinary work of the service. */
  readonly allow?: readonly string[];
  /** Programs of many applets that the device is taken to have, and their names. */
  readonly applets?: Readonly<Record<string, readonly string[]>>;
  /** Name of a program that acts out the exploit harmlessly. */
  readonly simulation?: string;
}
