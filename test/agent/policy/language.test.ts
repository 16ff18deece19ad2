// Goal: the evaluator, the conditions as compiler and checks see them, and the tries say the same of the whole language.
// Method: policies and sequences of packets are generated (seed printed; HUSK_SEED replays one). Each condition is
// judged once by the evaluator's functions and once by the sets of values it was lowered to. What came up is counted.

import fc from 'fast-check';
import t from 'tap';
import type { PacketPolicy } from '../../../agent/contract/policy.ts';
import { checkDocuments } from '../../../agent/policy/check.ts';
import { CoverIndex } from '../../../agent/policy/cover-index.ts';
import { conditionsOf, type Seen } from '../../../agent/policy/evaluate/conditions.ts';
import { PacketEvaluator } from '../../../agent/policy/evaluate.ts';
import { matchesGlob } from '../../../agent/policy/globs.ts';
import { directions } from '../../../agent/policy/ids.ts';
import { parsePacket } from '../../../agent/policy/packet.ts';
import {
  fragmentBits,
  type PacketConditions,
  packetConditions,
  stateBits,
} from '../../../agent/policy/packet-conditions.ts';
import { parseDocuments } from '../../../agent/policy/parse.ts';
import { portsHold } from '../../../agent/policy/ports.ts';
import { holds } from '../../../agent/policy/ranges.ts';
import { emptyCondition, packetCovers } from '../../../agent/policy/reach.ts';
import { SetResolver } from '../../../agent/policy/sets.ts';
import { makeTries } from '../../../agent/policy/tries.ts';
import { languageDevice, languageDocuments, packetSequence } from './arbitrary-language.ts';

const seed = Number(process.env.HUSK_SEED ?? Math.floor(Math.random() * 0x7fffffff));
const parameters = { seed, endOnFailure: true } as const;
t.comment(`seed ${seed}`);

const linkOf = (name: string) =>
  languageDevice.interfaces.find((one) => one.name === name)?.link ?? 'ethernet';
const rulesOf = (document: PacketPolicy) =>
  directions.flatMap((direction) =>
    document.spec[direction].flatMap(({ rules }) => rules.map((rule) => ({ rule, direction }))),
  );
const lowered = (document: PacketPolicy, rule: PacketPolicy['spec']['ingress'][number]['rules'][number]) => {
  const sets = new SetResolver([document]);
  const resolved = (match: typeof rule.from) => (match === undefined ? null : sets.match(document, match));
  return packetConditions(rule, resolved(rule.from), resolved(rule.to));
};

t.test('documents of every condition have the right shape', async (t) => {
  fc.assert(
    fc.property(languageDocuments, (documents) => {
      const { faults } = parseDocuments(JSON.parse(JSON.stringify(documents)));
      if (faults.length > 0) throw new Error(JSON.stringify(faults));
      checkDocuments(documents);
    }),
    { ...parameters, numRuns: 300 },
  );
  t.pass();
});

t.test('a rule matches for the evaluator where its lowered conditions hold', async (t) => {
  const counts = new Map<string, number>();
  fc.assert(
    fc.property(languageDocuments, packetSequence, (documents, packets) => {
      const [document] = documents;
      const sets = new SetResolver(documents);
      const rules = rulesOf(document).map(({ rule, direction }) => ({
        rule,
        direction,
        conditions: conditionsOf(document, rule, direction, sets),
        sets: lowered(document, rule),
      }));
      packets.forEach((at, index) => {
        const packet = parsePacket(at.frame, { link: linkOf(at.interface) });
        if (packet === 'unparseable') return;
        const state =
          packet.family === 'other'
            ? null
            : ((['new', 'established', 'related', 'invalid'] as const)[index % 4] ?? null);
        const seen: Seen = { ...at, packet, cameBy: at.cameBy ?? null, state, isToDevice: index % 3 === 0 };
        for (const { rule, direction, conditions, sets: values } of rules) {
          if (direction !== at.direction) continue;
          const matches = conditions.every((condition) => condition(seen));
          if (matches) for (const key of Object.keys(rule)) counts.set(key, (counts.get(key) ?? 0) + 1);
          if (matches !== holdsAll(values, seen, document)) {
            throw new Error(
              `${JSON.stringify(rule)}: the evaluator says ${matches} of ${JSON.stringify(seen)}`,
            );
          }
        }
      });
    }),
    { ...parameters, numRuns: 150 },
  );
  const conditions =
    'family from to protocol ports tcpFlags icmp state toDevice origin interface vlan etherType mac dscp length fragment';
  for (const key of conditions.split(' '))
    t.ok((counts.get(key) ?? 0) > 10, `${key} held ${counts.get(key) ?? 0} times`);
});

/** Written anew for the test, from the words of packet-conditions.ts. */
function holdsAll(sets: PacketConditions, { packet, state, ...seen }: Seen, { spec }: PacketPolicy): boolean {
  const isIn = <T, S>(set: S | null, value: T | null | undefined, test: (set: S, value: T) => boolean) =>
    set === null || (value !== null && value !== undefined && test(set, value));
  const isIp = packet.family !== 'other';
  const originZones = Object.entries(spec.zones).filter(([, { interfaces }]) =>
    interfaces.some((glob) => seen.cameBy !== null && matchesGlob(glob, seen.cameBy)),
  );
  const origins = seen.cameBy === null ? ['device'] : originZones.map(([name]) => name);
  const tag = (
    set: 'none' | null | readonly { first: number; last: number }[],
    ids: readonly number[],
    at: number,
  ) => set === null || (set === 'none' ? ids.length <= at : ids.length > at && portsHold(set, ids[at] ?? -1));
  return (
    sets.families.includes(packet.family) &&
    (packet.family === 'other' ||
      (holds(sets.from[packet.family], packet.source, 0) &&
        holds(sets.to[packet.family], packet.destination, 0))) &&
    isIn(sets.protocols, packet.protocol, (set, one) => set.includes(one)) &&
    isIn(
      sets.ports,
      packet.ports,
      (set, one) => portsHold(set.from, one.from) && portsHold(set.to, one.to),
    ) &&
    isIn(sets.tcpFlags, packet.tcpFlags, ({ mask, value }, one) => (one & mask) === value) &&
    isIn(sets.icmp, packet.icmp, (set, one) => portsHold(set, one.type * 256 + one.code)) &&
    isIn(sets.states, state, (set, one) => (set & stateBits[one]) !== 0) &&
    isIn(sets.toDevice, isIp ? seen.isToDevice : null, (set, one) => set === one) &&
    isIn(sets.origin, origins, (set, all) => set.names.some((one) => all.includes(one)) !== set.not) &&
    isIn(
      sets.interfaces,
      seen.interface,
      (set, one) => set.names.some((glob) => matchesGlob(glob, one)) !== set.not,
    ) &&
    isIn(sets.vlan, packet.vlans, (set, ids) => tag(set.outer, ids, 0) && tag(set.inner, ids, 1)) &&
    isIn(sets.etherTypes, packet.etherType, portsHold) &&
    isIn(sets.macFrom, packet.macs?.from, (set, one) => set.values.includes(one) !== set.not) &&
    isIn(sets.macTo, packet.macs?.to, (set, one) => set.values.includes(one) !== set.not) &&
    isIn(sets.dscp, packet.dscp, portsHold) &&
    isIn(sets.length, packet.length, portsHold) &&
    isIn(sets.fragments, isIp ? packet.fragment : null, (set, one) => (set & fragmentBits[one]) !== 0)
  );
}

t.test('a rule that covers another holds wherever the other does, and the index finds one', async (t) => {
  let covers = 0;
  fc.assert(
    fc.property(languageDocuments, packetSequence, (documents, packets) => {
      const [document] = documents;
      const sets = new SetResolver(documents);
      const all = rulesOf(document).map(({ rule, direction }) => ({
        rule,
        direction,
        conditions: conditionsOf(document, rule, direction, sets),
        reach: lowered(document, rule),
      }));
      for (const direction of directions) {
        // What reaches nothing is said to by the checks, and is never looked up.
        const rules = all.filter(
          ({ reach, ...one }) =>
            one.direction === direction && reach.families.length > 0 && emptyCondition(reach) === null,
        );
        const index = new CoverIndex<number>();
        rules.forEach((inner, at) => {
          const covering = rules.slice(0, at).filter((outer) => packetCovers(outer.reach, inner.reach));
          const found = index.coverOf(inner.reach);
          if ((found !== null) !== covering.length > 0) {
            throw new Error(
              `index: ${found}, all pairs: ${covering.length} for ${JSON.stringify(inner.rule)}`,
            );
          }
          index.add(at, inner.reach);
          for (const outer of covering) {
            covers++;
            for (const one of packets) {
              const packet = parsePacket(one.frame, { link: linkOf(one.interface) });
              if (packet === 'unparseable' || one.direction !== direction) continue;
              const state = packet.family === 'other' ? null : ('new' as const);
              const seen: Seen = { ...one, packet, cameBy: one.cameBy ?? null, state, isToDevice: true };
              const hold = (of: typeof outer) => of.conditions.every((condition) => condition(seen));
              if (hold(inner) && !hold(outer)) {
                throw new Error(`${JSON.stringify(outer.rule)} does not cover ${JSON.stringify(inner.rule)}`);
              }
            }
          }
        });
      }
    }),
    { ...parameters, numRuns: 150 },
  );
  t.ok(covers > 50, `${covers} covers`);
});

t.test('a sequence comes to the same, packet for packet, however often it is played', async (t) => {
  const counts = new Map<string, number>();
  fc.assert(
    fc.property(languageDocuments, packetSequence, (documents, packets) => {
      const [first, second] = [
        new PacketEvaluator(documents, languageDevice),
        new PacketEvaluator(documents, languageDevice),
      ];
      for (const at of packets) {
        const one = first.judge(at);
        counts.set(one.reason, (counts.get(one.reason) ?? 0) + 1);
        counts.set(`state ${one.state}`, (counts.get(`state ${one.state}`) ?? 0) + 1);
        const other = second.judge(at);
        if (JSON.stringify(one) !== JSON.stringify(other))
          throw new Error(`${JSON.stringify(one)} ${JSON.stringify(other)}`);
        const isWithout = one.reason === 'unparseable' || one.reason === 'own-source';
        if (one.verdict !== 'allow' && one.rule === null && !isWithout) throw new Error('no rule decided');
      }
    }),
    { ...parameters, numRuns: 200 },
  );
  const kinds =
    'rule,default,limited,never-drop,unzoned,deferred,own-source,state new,state established,state related,state invalid,state null';
  for (const kind of kinds.split(',')) t.ok((counts.get(kind) ?? 0) > 10, `${kind} ${counts.get(kind) ?? 0}`);
});

t.test('what is tried for a rule is decided by it, and carries the state it is judged by', async (t) => {
  let [tried, untried] = [0, 0];
  fc.assert(
    fc.property(languageDocuments, (documents) => {
      const tries = makeTries(documents, { interfaces: [] }, languageDevice);
      tried += tries.packets.length;
      untried += tries.untried.length;
      for (const { state, expect, ifindex, cameBy, frame, direction } of tries.packets) {
        const nameOf = (index: number) =>
          languageDevice.interfaces.find((one) => one.index === index)?.name ?? null;
        const again = new PacketEvaluator(documents, languageDevice).judge({
          interface: nameOf(ifindex) ?? '',
          cameBy: cameBy === 0 ? null : nameOf(cameBy),
          ...{ direction, frame, givenState: state },
        });
        if (JSON.stringify(again) !== JSON.stringify(expect))
          throw new Error(`${JSON.stringify(again)} ${JSON.stringify(expect)}`);
        if (expect.reason === 'limited') throw new Error('a try is within every limit');
      }
    }),
    { ...parameters, numRuns: 40 },
  );
  t.comment(`${tried} tries, ${untried} untried`);
  t.ok(tried > untried * 3, 'most rules can be tried');
});
