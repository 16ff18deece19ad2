// Documents to a table image: what the kernel looks up instead of reading a policy.
//
//   zones     interface → bit of its zone and the zone's defaults
//   ingress,  rules in the order they were written; one rule becomes several entries with the same
//   egress    counter where it names several ranges of ports
//   set4/6    every set that a rule names, folded into one trie a family; a rule asks for bits
//   subjects  cgroup → bits of the subjects that are it
//   calls     denials, allowances, defaults; call_set4/6 their sets
//
// The same documents and facts give the same bytes: tables with equal digests are shared between
// generations. What does not fit the tables is refused with the count and the limit; nothing is left out.

import type { PolicyDocument } from '../contract/policy.ts';
import { CallCompiler } from './compile-calls.ts';
import { PacketCompiler } from './compile-packets.ts';
import { SetResolver } from './sets.ts';
import type { AddRule, CompiledRule, DeviceFacts, TableImage } from './table-image.ts';
import { kernelBytesOf } from './tables.ts';

/** For documents that were checked. Throws RefusalError policy.over-limit or policy.unsupported. */
export function compile(documents: readonly PolicyDocument[], facts: DeviceFacts): TableImage {
  const rules: CompiledRule[] = [];
  const addRule: AddRule = (rule) => {
    const index = facts.ruleIndex(rule.id);
    rules.push({ ...rule, index });
    return index;
  };
  const resolver = new SetResolver(documents);
  const packets = new PacketCompiler(resolver, addRule);
  const calls = new CallCompiler(resolver, addRule, documents);
  // In the order of the documents, since indexes are given out in it.
  for (const document of documents) {
    if (document.kind === 'AddressSet' || document.spec.mode === 'off') continue;
    if (document.kind === 'PacketPolicy') packets.add(document);
    else calls.add(document);
  }
  const tables = [...packets.tables(facts), ...calls.tables(facts)].toSorted((a, b) => a.kind - b.kind);
  return {
    tables,
    rules,
    sets: [...packets.sets(), ...calls.sets()],
    unparseable: packets.unparseable(),
    kernelBytes: tables.reduce((sum, table) => sum + kernelBytesOf(table), 0),
  };
}
