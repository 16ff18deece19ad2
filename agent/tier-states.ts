// What a device's tier makes of each rule's state: policy/rule-tier.ts says it of a rule in any tier, this of the rules that
// are in force here.

import type { Tier } from './contract/policy.ts';
import type { RuleState } from './contract/state.ts';
import { stateInTier } from './policy/rule-tier.ts';
import type { CompiledRule } from './policy/table-image.ts';

export interface TierFacts {
  readonly tier: Tier;
  /** By which programs are passed over, as in `kernel preemption is full`; null: they are not. */
  readonly passedOver: string | null;
  /** How often one was, since it was loaded. */
  readonly misses: bigint;
  /** Rules that a launcher can hold, and how each is held (launch-files.ts); null: its services were not started by it. */
  readonly launched: ReadonlyMap<string, string | null>;
}

/** The states, lowered where the tier does not give what the rule needs. */
export function lowerToTier(
  states: readonly RuleState[],
  compiled: readonly Pick<CompiledRule, 'id' | 'needs'>[],
  facts: TierFacts,
): readonly RuleState[] {
  const needs = new Map(compiled.map((rule) => [rule.id, rule.needs]));
  return states.map((state) => {
    const need = needs.get(state.id);
    if (need === undefined) return state;
    const given = stateInTier(need, facts.tier);
    // In monitor mode too: what nothing sees is not reported.
    if (given.state === 'unsupported') return { id: state.id, ...launchedState(state.id, given.why, facts) };
    if (state.state !== 'enforced') return state;
    if (given.state === 'degraded') return { id: state.id, ...given };
    const why = need.least === 'B' ? skipped(facts) : null;
    return why === null ? state : { id: state.id, state: 'degraded', why };
  });
}

/** Held from its start on is less than enforced: it can't be taken back, and says nothing of who was there before. */
function launchedState(id: string, why: string, { launched }: TierFacts): Omit<RuleState, 'id'> {
  const held = launched.get(id);
  if (held === undefined) return { state: 'unsupported', why };
  if (held === null)
    return {
      state: 'unsupported',
      why: `${why}; husk-launch can hold its services, and none was started by it since`,
    };
  return { state: 'degraded', why: held };
}

/** Rules of cgroups alone are not touched by it: their hooks are no such programs. */
function skipped({ passedOver, misses }: TierFacts): string | null {
  if (passedOver === null && misses === 0n) return null;
  const reason =
    passedOver ?? 'a program that is at work on a CPU is passed over when it is called there again';
  return `${reason}; so far ${misses} times`;
}
