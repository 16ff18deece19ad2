// Goal: every counter index that a table names is seen, or it would be given to another rule while its own
// still counts.
// Method: values laid out as the compiler lays them out, each place that can name a rule naming one of its own.

import t from 'tap';
import { indexesOf } from '../../../agent/kernel/rule-indexes.ts';
import {
  HUSK_RULE_NONE,
  HuskCallList,
  HuskCallRule,
  HuskRule,
  HuskRuleList,
  HuskTable,
  HuskZone,
} from '../../../bpf/abi/layout.gen.ts';

function zones(...defaults: readonly (readonly [ingress: number, egress: number])[]): Uint8Array {
  const values = new DataView(new ArrayBuffer(HuskZone.size * defaults.length));
  defaults.forEach(([ingress, egress], n) => {
    values.setUint32(n * HuskZone.size + HuskZone.offset.ingressDefaultRule, ingress, true);
    values.setUint32(n * HuskZone.size + HuskZone.offset.egressDefaultRule, egress, true);
  });
  return new Uint8Array(values.buffer);
}

/** A list whose entries name `rules`, and which says that it has `count`. */
function list(kind: 'packets' | 'calls', rules: readonly number[], count = rules.length): Uint8Array {
  const [outer, inner] = kind === 'packets' ? [HuskRuleList, HuskRule] : [HuskCallList, HuskCallRule];
  const value = new DataView(new ArrayBuffer(outer.size));
  value.setUint32(outer.offset.count, count, true);
  rules.forEach((rule, n) => {
    value.setUint32(outer.offset.rules + n * inner.size + inner.offset.rule, rule, true);
  });
  return new Uint8Array(value.buffer);
}

t.test('a zone names its default for what comes in and the one for what goes out', async (t) => {
  t.strictSame(indexesOf(HuskTable.ZONES, zones([3, 4], [5, 6])), [3, 4, 5, 6]);
});

t.test('a default without a counter names none', async (t) => {
  t.strictSame(indexesOf(HuskTable.ZONES, zones([HUSK_RULE_NONE, 4], [5, HUSK_RULE_NONE])), [4, 5]);
});

t.test('a list names the rules it says it has, and none behind them', async (t) => {
  for (const kind of [HuskTable.INGRESS, HuskTable.EGRESS] as const)
    t.strictSame(indexesOf(kind, list('packets', [7, 9, 8], 2)), [7, 9]);
  t.strictSame(indexesOf(HuskTable.CALLS, list('calls', [2, 1, 30], 2)), [2, 1]);
});
