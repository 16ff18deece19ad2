// An exception: what one rule of a policy or shield is not to stop, for a while. Its own document, with an owner and an
// end, so that the shield stays the same for a whole fleet. What it means is in ../policy/HARDENING.md.

import type { apiVersion, CallMatch, HardeningRule, Metadata, Subject } from './policy.ts';

export interface Exception {
  readonly apiVersion: typeof apiVersion;
  readonly kind: 'Exception';
  readonly metadata: Metadata;
  readonly spec: ExceptionSpec;
}

/** Exactly one of the words: that of the rule. */
export interface ExceptionSpec
  extends Pick<HardeningRule, 'exec' | 'file' | 'privilege' | 'kernel' | 'memory'> {
  /** Who answers for it. */
  readonly owner: string;
  readonly reason: string;
  /** A day (its end, UTC) or a moment (RFC 3339). By whichever clock it is over, it is. */
  readonly expires: string;
  readonly of: ExceptedRule;
  /** Absent: for everybody whom the policy means. Not for connect and bind. */
  readonly subject?: Subject;
  readonly connect?: ExceptedCall;
  readonly bind?: ExceptedCall;
}

/** Of a HardeningPolicy or a Shield; `rule` is its id there, or `default-exec` and the like. */
export type ExceptedRule =
  | { readonly policy: string; readonly rule: string }
  | { readonly shield: string; readonly rule: string };

/** `protocol` is that of the rule, where it has one. */
export type ExceptedCall = Pick<CallMatch, 'protocol' | 'ports'> & { readonly to?: readonly string[] };
