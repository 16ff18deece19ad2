// The least tier in which a rule is enforced, and what is left of it below: DESIGN.md section 2, HARDENING.md §5.
//
// Nothing here looks at a device: whether a hook was proven there is for others to say.

import type { HardeningPolicy, HardeningRule, Tier } from '../contract/policy.ts';
import { isCallRule } from './ids.ts';
import { conditionsOf, isCgroupAlone } from './subjects.ts';

export interface TierNeed {
  /** In this tier and those above it the rule is enforced. */
  readonly least: Tier;
  /** What is missing below, as in `hooks that know the task`. */
  readonly missing: string;
  /** What tier C does instead, where that is something; null: nothing. */
  readonly degraded: string | null;
}

/** As a rule state says it. */
export type TierState =
  | { readonly state: 'enforced' }
  | { readonly state: 'degraded' | 'unsupported'; readonly why: string };

const order: readonly Tier[] = ['A', 'B', 'C', 'D'];
export const isTierAtLeast = (tier: Tier, least: Tier) => order.indexOf(tier) <= order.indexOf(least);

/** What a rule needs; of rules about calls it hangs on whether the subject is a cgroup alone. */
export function tierNeed({ spec }: Pick<HardeningPolicy, 'spec'>, rule: HardeningRule): TierNeed {
  if (isCallRule(rule)) return callNeed(spec);
  const missing = 'hooks that know the task (BPF LSM, or fmod_ret on security_ functions)';
  const degraded =
    rule.exec === undefined
      ? null
      : 'what is run is ended before its first instruction and not refused; scripts go by their interpreter, and libraries are not looked at';
  return { least: 'B', missing, degraded };
}

/** What a default needs. */
export function defaultNeed(
  { spec }: Pick<HardeningPolicy, 'spec'>,
  name: keyof NonNullable<HardeningPolicy['spec']['default']>,
): TierNeed {
  if (name === 'connect' || name === 'bind' || name === 'socket') return callNeed(spec);
  const action = spec.default?.[name] ?? 'allow';
  return tierNeed(
    { spec },
    { id: name, action, ...(name === 'exec' ? { exec: {} } : { file: { [name]: {} } }) },
  );
}

function callNeed(spec: HardeningPolicy['spec']): TierNeed {
  if (isCgroupAlone(conditionsOf(spec.subject))) {
    return { least: 'C', missing: 'cgroup hooks', degraded: null };
  }
  return {
    least: 'B',
    missing:
      'socket hooks that know the task: its subject is more than a cgroup, which is all that cgroup hooks see',
    degraded: null,
  };
}

/** `tier`: the device's, as probed. */
export function stateInTier({ least, missing, degraded }: TierNeed, tier: Tier): TierState {
  if (isTierAtLeast(tier, least)) return { state: 'enforced' };
  if (tier === 'C' && degraded !== null) return { state: 'degraded', why: degraded };
  return { state: 'unsupported', why: `needs tier ${least}: there are no ${missing}` };
}

/** Why a policy may not be taken in this tier; null where it may. */
export function tierRefusal({ metadata, spec }: HardeningPolicy, tier: Tier): string | null {
  const { minimumTier } = spec;
  if (minimumTier === undefined || isTierAtLeast(tier, minimumTier)) return null;
  return `${metadata.name} asks for tier ${minimumTier} at least, and this device is of tier ${tier}`;
}
