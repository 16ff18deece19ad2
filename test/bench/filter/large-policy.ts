// A policy as large as they come: thousands of ordered rules and a list of up to a million prefixes.

import type { PacketRule, PolicyDocument } from '../../../agent/contract/policy.ts';
import { checkDocuments } from '../../../agent/policy/check.ts';
import { randomFrom } from '../../agent/policy/set-tables/samples.ts';
import { ruleList } from '../rule-lists.ts';
import { sampleSet } from '../set-samples.ts';
import { packetPolicy, prefixTexts, rulesOf } from './policies.ts';

export interface LargeSize {
  readonly rules: number;
  readonly prefixes: number;
}

const seed = 20260822;

/** Rules that none before them covers, since the checks refuse others, and a set. */
export function largePolicy(
  { rules, prefixes }: LargeSize,
  interfaces: readonly string[] = ['lo'],
): PolicyDocument[] {
  const listed = prefixes === 0 ? {} : { listed: prefixTexts(sampleSet('mix', prefixes, randomFrom(seed))) };
  const isListed = { id: 'listed', from: { set: 'listed' }, action: 'drop' } as const;
  const kept = uncovered(rulesOf(ruleList('acl1', rules + (rules >> 2)), 'drop')).slice(0, rules - 1);
  // Last, or it would cover rules for single sources.
  return packetPolicy({ rules: prefixes === 0 ? kept : [...kept, isListed], ...listed, interfaces });
}

/** Those that the checks do not refuse. */
function uncovered(rules: readonly PacketRule[]): readonly PacketRule[] {
  const faults = checkDocuments(packetPolicy({ rules })).filter(({ severity }) => severity === 'error');
  if (faults.length === 0) return rules;
  const refused = new Set(faults.map(({ path }) => Number(/rules\[(\d+)\]/.exec(path)?.[1])));
  const left = rules.filter((_, index) => !refused.has(index));
  if (left.length === rules.length) throw new Error(JSON.stringify(faults.slice(0, 3)));
  return uncovered(left);
}
