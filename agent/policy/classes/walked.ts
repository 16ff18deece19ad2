// The rules that the evaluator walks for one example of many: of thousands, those that may match.

import type { PacketRule } from '../../contract/policy.ts';
import type { Walked } from '../evaluate.ts';
import { directions, ruleId } from '../ids.ts';
import { type PacketConditions, packetConditions } from '../packet-conditions.ts';
import { RuleIndex } from '../rule-index.ts';
import type { Bundle } from './partition.ts';

/** Examples for which every rule is walked, before it is worth while to sort them. */
const plainMax = 20;
const known = new WeakMap<Bundle, { asked: number; walked: Walked | undefined }>();

/** undefined: all of them. */
export function walkedIn(bundle: Bundle): Walked | undefined {
  const entry = known.get(bundle) ?? { asked: 0, walked: undefined };
  known.set(bundle, entry);
  entry.asked++;
  if (entry.asked > plainMax) entry.walked ??= indexed(bundle);
  return entry.walked;
}

function indexed({ documents, sets }: Bundle): Walked {
  const rules = new Map<string, () => PacketConditions>();
  for (const document of documents) {
    if (document.kind !== 'PacketPolicy') continue;
    const match = (asked: PacketRule['from']) => (asked === undefined ? null : sets.match(document, asked));
    for (const rule of directions
      .flatMap((direction) => document.spec[direction])
      .flatMap((one) => one.rules))
      rules.set(ruleId(document, rule), () => packetConditions(rule, match(rule.from), match(rule.to)));
  }
  const indexes = new WeakMap<object, RuleIndex>();
  return (lines, { packet }) => {
    const conditions = () =>
      lines.map(({ id }) => {
        const read = rules.get(id);
        if (read === undefined) throw new RangeError(`no rule ${id}`);
        return read();
      });
    const index = indexes.get(lines) ?? new RuleIndex(conditions());
    indexes.set(lines, index);
    return index.around(packet).flatMap((at) => lines[at] ?? []);
  };
}
