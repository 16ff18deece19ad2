// Goal: every counter index that a table names is seen, or it would be given to another rule while its own
// still counts.
// Method: values laid out as the compiler lays them out, each place that can name a rule naming one of its own.

import t from 'tap';
import { indexesOf } from '../../../agent/kernel/rule-indexes.ts';
import {
  encodeHuskDecision,
  HUSK_RULE_NONE,
  HuskCallList,
  HuskCallRule,
  HuskDecision,
  HuskRule,
  HuskTable,
  HuskVerdict,
  HuskZone,
} from '../../../bpf/abi/layout.gen.ts';

type ZoneNames = readonly [ingress: number, egress: number, cookies?: number];

function zones(...defaults: readonly ZoneNames[]): Uint8Array {
  const values = new DataView(new ArrayBuffer(HuskZone.size * defaults.length));
  defaults.forEach(([ingress, egress, cookies = HUSK_RULE_NONE], n) => {
    values.setUint32(n * HuskZone.size + HuskZone.offset.ingressDefaultRule, ingress, true);
    values.setUint32(n * HuskZone.size + HuskZone.offset.egressDefaultRule, egress, true);
    values.setUint32(n * HuskZone.size + HuskZone.offset.synCookiesRule, cookies, true);
  });
  return new Uint8Array(values.buffer);
}

/** Rows of packet rules that name `rules`; with verdict 0, rows that are none. */
function rows(rules: readonly number[], verdict: number = HuskVerdict.DROP): Uint8Array {
  const values = new DataView(new ArrayBuffer(HuskRule.size * rules.length));
  rules.forEach((rule, n) => {
    values.setUint32(n * HuskRule.size + HuskRule.offset.rule, rule, true);
    values.setUint8(n * HuskRule.size + HuskRule.offset.verdict, verdict);
  });
  return new Uint8Array(values.buffer);
}

/** A list of call rules whose entries name `rules`, and which says that it has `count`. */
function calls(rules: readonly number[], count = rules.length): Uint8Array {
  const value = new DataView(new ArrayBuffer(HuskCallList.size));
  value.setUint32(HuskCallList.offset.count, count, true);
  rules.forEach((rule, n) => {
    const at = HuskCallList.offset.rules + n * HuskCallRule.size;
    value.setUint32(at + HuskCallRule.offset.rule, rule, true);
  });
  return new Uint8Array(value.buffer);
}

t.test('a zone names its default for what comes in and the one for what goes out', async (t) => {
  t.strictSame(indexesOf(HuskTable.ZONES, zones([3, 4], [5, 6])), [3, 4, 5, 6]);
});

t.test('a zone names its SYN cookies', async (t) => {
  t.strictSame(indexesOf(HuskTable.ZONES, zones([3, 4, 9], [5, 6])), [3, 4, 9, 5, 6]);
});

t.test('a default without a counter names none', async (t) => {
  t.strictSame(indexesOf(HuskTable.ZONES, zones([HUSK_RULE_NONE, 4], [5, HUSK_RULE_NONE])), [4, 5]);
});

t.test('rows of packet rules name one each, and the row of a list without rules names none', async (t) => {
  for (const kind of [HuskTable.INGRESS, HuskTable.EGRESS] as const) {
    t.strictSame(indexesOf(kind, rows([7, 9, 9])), [7, 9, 9]);
    t.strictSame(indexesOf(kind, rows([0], 0)), []);
  }
});

t.test('a list of call rules names those it says it has, and none behind them', async (t) => {
  t.strictSame(indexesOf(HuskTable.CALLS, calls([2, 1, 30], 2)), [2, 1]);
});

t.test('a decision names its rule of each sort', async (t) => {
  const view = new DataView(new ArrayBuffer(2 * HuskDecision.size));
  const none = HUSK_RULE_NONE;
  const of = { deniedBy: 1, wouldDeny: 2, allowedBy: 3, lifts: 4, wouldAllow: 5, kills: 1 };
  encodeHuskDecision(view, 0, of);
  encodeHuskDecision(view, HuskDecision.size, {
    ...of,
    deniedBy: 6,
    wouldDeny: none,
    lifts: none,
    wouldAllow: none,
  });
  t.strictSame(indexesOf(HuskTable.DECISIONS, new Uint8Array(view.buffer)), [1, 2, 3, 4, 5, 6, 3]);
});
