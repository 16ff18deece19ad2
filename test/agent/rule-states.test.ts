// Goal: a rule is called enforced only if it was tried and acts.
// Method: compiled rules of every mode, tried and not.

import t from 'tap';
import type { CompiledRule } from '../../agent/policy/table-image.ts';
import { describeProof, ruleStates } from '../../agent/rule-states.ts';

function compiled(id: string, mode: CompiledRule['mode']): CompiledRule {
  return { id, index: 0, at: 'ingress', mode, verdict: 'drop', zone: 'p/wan', call: null };
}

t.test('enforced needs a try, monitor is never more than that', async (t) => {
  const rules = [
    compiled('a', 'enforce'),
    compiled('b', 'enforce'),
    compiled('c', 'monitor'),
    compiled('d', 'monitor'),
  ];
  t.match(ruleStates(rules, ['b', 'd']), [
    { id: 'a', state: 'enforced' },
    { id: 'b', state: 'degraded', why: /nothing was made/ },
    { id: 'c', state: 'monitor' },
    { id: 'd', state: 'monitor' },
  ]);
});

t.test('a rule of several entries is one rule', async (t) => {
  t.equal(ruleStates([compiled('a', 'enforce'), compiled('a', 'enforce')], []).length, 1);
});

t.test('a proof says how much it tried', async (t) => {
  const packetRules = { rules: 9, of: 9 };
  t.equal(
    describeProof({ packets: 10, calls: 4, operations: 0, untried: [], packetRules }),
    '10 packets by twin run, 4 calls by canary',
  );
  t.match(
    describeProof({ packets: 1, calls: 0, operations: 0, untried: ['a'], packetRules }),
    /1 rules not tried$/,
  );
  t.equal(
    describeProof({
      packets: 902,
      calls: 0,
      operations: 0,
      untried: ['a', 'b'],
      packetRules: { rules: 900, of: 70_001 },
    }),
    '902 packets by twin run, 0 calls by canary, 2 rules not tried, only 900 of 70001 packet rules and defaults looked at',
  );
});
