// Which counter indexes the tables of a slot name, so that none of them is given to another rule.

import {
  decodeHuskCallList,
  decodeHuskDecision,
  decodeHuskRule,
  decodeHuskZone,
  HUSK_CALL_RULES_MAX,
  HUSK_RULE_NONE,
  HuskCallList,
  HuskDecision,
  HuskRule,
  HuskTable,
  HuskZone,
} from '../../bpf/abi/layout.gen.ts';

/** Kinds of table whose values name rules; a zone names its defaults and its SYN cookies. */
export const namingKinds = [
  HuskTable.ZONES,
  HuskTable.INGRESS,
  HuskTable.EGRESS,
  HuskTable.CALLS,
  HuskTable.DECISIONS,
] as const;

/** Of the values of a table, back to back. */
export function indexesOf(kind: (typeof namingKinds)[number], values: Uint8Array): number[] {
  const view = new DataView(values.buffer, values.byteOffset, values.byteLength);
  switch (kind) {
    case HuskTable.ZONES:
      return each(values, HuskZone.size, (at) => {
        const zone = decodeHuskZone(view, at);
        return [zone.ingressDefaultRule, zone.egressDefaultRule, zone.synCookiesRule].filter(
          (index) => index !== HUSK_RULE_NONE,
        );
      });
    case HuskTable.CALLS:
      return each(values, HuskCallList.size, (at) => {
        const list = decodeHuskCallList(view, at);
        return list.rules.slice(0, Math.min(list.count, HUSK_CALL_RULES_MAX)).map((rule) => rule.rule);
      });
    case HuskTable.DECISIONS:
      return each(values, HuskDecision.size, (at) => {
        const { deniedBy, wouldDeny, allowedBy, lifts, wouldAllow } = decodeHuskDecision(view, at);
        return [deniedBy, wouldDeny, allowedBy, lifts, wouldAllow].filter(
          (index) => index !== HUSK_RULE_NONE,
        );
      });
    case HuskTable.INGRESS:
    case HuskTable.EGRESS:
      // A list of none has one row of zeros, which names no rule: its verdict is none.
      return each(values, HuskRule.size, (at) => {
        const rule = decodeHuskRule(view, at);
        return rule.verdict === 0 ? [] : [rule.rule];
      });
  }
}

function each(values: Uint8Array, size: number, read: (at: number) => number[]): number[] {
  const indexes: number[] = [];
  for (let at = 0; at + size <= values.length; at += size) indexes.push(...read(at));
  return indexes;
}
