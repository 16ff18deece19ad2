// What may be said of each rule after a proof: enforced only if it was seen to decide in this kernel.
//
// That its hooks stand in the way of everything it is about is another matter: coverage.ts lowers what is said
// here where they do not.

import type { RuleState } from './contract/state.ts';
import type { Proof } from './kernel/prove.ts';
import type { CompiledRule } from './policy/table-image.ts';

/** One state a rule, in order of the image. `untried`: rules that no packet or call could be made for. */
export function ruleStates(rules: readonly CompiledRule[], untried: readonly string[]): RuleState[] {
  const isUntried = new Set(untried);
  return [...new Map(rules.map((rule) => [rule.id, stateOf(rule, isUntried)])).values()];
}

function stateOf({ id, mode }: CompiledRule, untried: ReadonlySet<string>): RuleState {
  if (mode === 'monitor') return { id, state: 'monitor' };
  if (!untried.has(id)) return { id, state: 'enforced' };
  return { id, state: 'degraded', why: 'loaded, but not tried: nothing was made that it alone decides' };
}

/**
 * As in `10 packets by twin run, 4 calls by canary, 1 rules not tried`, and where packets were not looked for all packet
 * rules, because there are too many, `, only 900 of 70001 packet rules and defaults looked at`.
 */
export function describeProof({
  packets,
  calls,
  operations,
  untried,
  packetRules: { rules, of },
}: Proof): string {
  const rest = untried.length === 0 ? '' : `, ${untried.length} rules not tried`;
  const part = rules === of ? '' : `, only ${rules} of ${of} packet rules and defaults looked at`;
  const byCanary = `${calls} calls${operations === 0 ? '' : ` and ${operations} operations`} by canary`;
  return `${packets} packets by twin run, ${byCanary}${rest}${part}`;
}
