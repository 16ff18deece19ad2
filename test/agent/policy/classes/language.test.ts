// Goal: over the whole language, no packet is decided otherwise than a difference or a proof says.
// Method: pairs of generated policies with lists of addresses, negations, globs, limits, monitor mode, fragments and
// states, and sequences of packets, whose states are those a device that follows all of them finds. Both policies judge each
// packet with that state; where they differ, a difference has to say so. Likewise for expectations made of their rules. Seed
// printed; HUSK_SEED replays one.

import fc from 'fast-check';
import t from 'tap';
import type {
  ConnectionState,
  Expectation,
  PacketPolicy,
  PacketRule,
  PolicyDocument,
} from '../../../../agent/contract/policy.ts';
import { diffPolicies } from '../../../../agent/policy/classes/diff.ts';
import { proveExpectations } from '../../../../agent/policy/classes/expect.ts';
import { decider } from '../../../../agent/policy/classes/outcome.ts';
import { type DeviceView, usualNeverDrop } from '../../../../agent/policy/device-view.ts';
import { PacketEvaluator } from '../../../../agent/policy/evaluate.ts';
import { directions } from '../../../../agent/policy/ids.ts';
import type { Judgement, PacketAt } from '../../../../agent/policy/judgement.ts';
import { languageDevice, languageDocuments, packetSequence } from '../arbitrary-language.ts';

const seed = Number(process.env.HUSK_SEED ?? Math.floor(Math.random() * 0x7fffffff));
const numRuns = Number(process.env.HUSK_ROUNDS ?? 25);
t.comment(`seed ${seed}`);

/** Interfaces that lie on one another are no matter of classes, which never drop what devices usually do not. */
const device: DeviceView = {
  neverDrop: usualNeverDrop,
  interfaces: languageDevice.interfaces.map(({ over: _, ...one }) => one),
};
const zoneOf = (name: string) => (name.startsWith('lan') ? 'p/lan' : name === 'none0' ? null : 'p/wan');

type Asked = PacketAt & { readonly givenState: ConnectionState | null };

/** The packets with the states that they have where everything is allowed and followed. */
function withStates({ spec, ...rest }: PacketPolicy, packets: readonly PacketAt[]): readonly Asked[] {
  const rules = [{ id: 'asks', state: 'invalid', action: 'log' }] as const;
  const lists = Object.keys(spec.zones).map((zone) => ({ zone, default: 'allow' as const, rules }));
  const open: PacketPolicy = { ...rest, spec: { ...spec, mode: 'enforce', ingress: lists, egress: lists } };
  const follower = new PacketEvaluator([open], device);
  return packets.map((at) => ({ ...at, givenState: follower.judge(at).state ?? null }));
}

/** Each packet is the first: within every limit. */
const judge = (documents: readonly PolicyDocument[], { timeNs: _, ...at }: Asked) =>
  new PacketEvaluator(documents, device).judge(at);
const said = ({ verdict, rule, monitored }: Judgement) => JSON.stringify({ verdict, rule, monitored });
const isOfRules = ({ reason }: Judgement) => reason === 'rule' || reason === 'default';
const textOf = (value: unknown) =>
  JSON.stringify(value, (_, one) =>
    typeof one === 'bigint'
      ? String(one)
      : one instanceof Uint8Array
        ? Buffer.from(one).toString('hex')
        : one,
  );

t.test('what two policies decide otherwise is a difference', { timeout: 300_000 }, async (t) => {
  let [pairs, differing, told] = [0, 0, 0];
  fc.assert(
    fc.property(
      languageDocuments,
      languageDocuments,
      packetSequence,
      packetSequence,
      (before, other, ...sent) => {
        const [old, fresh] = [before[0], other[0]];
        const after = [
          { ...fresh, spec: { ...fresh.spec, connections: old.spec.connections ?? {} } },
        ] as const;
        const { differences } = diffPolicies(before, after, { boxesMax: 1 });
        pairs++;
        told += differences.length;
        for (const packet of sent.flatMap((packets) => withStates(old, packets))) {
          const [was, is] = [judge(before, packet), judge(after, packet)];
          if (!isOfRules(was) || !isOfRules(is) || said(was) === said(is)) continue;
          differing++;
          const found = differences.some(
            (one) =>
              one.direction === packet.direction &&
              one.zones[0] === zoneOf(packet.interface) &&
              said(decider(one.before) as unknown as Judgement) === said(was) &&
              said(decider(one.after) as unknown as Judgement) === said(is),
          );
          if (!found) throw new Error(`not told: ${textOf({ packet, was, is })}`);
        }
      },
    ),
    { seed, numRuns, endOnFailure: true },
  );
  t.comment(`${pairs} pairs, ${differing} packets differ, ${told} differences told`);
  t.ok(differing > numRuns, 'policies did differ');
});

/** What an operator could ask of the packets that a rule is about. */
function expectationOf(
  rule: PacketRule,
  zone: string,
  direction: 'ingress' | 'egress',
  id: string,
): Expectation {
  const { id: _, mode: __, action, rejectWith: ___, limit: ____, log: _____, ...match } = rule;
  const {
    interface: ______,
    mac: _______,
    vlan: ________,
    length: _________,
    dscp: __________,
    ...asked
  } = match;
  return { ...asked, id, zone, direction, verdict: action === 'allow' ? 'allow' : 'drop' };
}

t.test('what is proven holds for every packet', { timeout: 300_000 }, async (t) => {
  const results = new Map<string, number>();
  let asked = 0;
  fc.assert(
    fc.property(
      languageDocuments,
      languageDocuments,
      packetSequence,
      packetSequence,
      (plain, other, ...sent) => {
        // Half of the questions are about the policy's own rules, half about those of another.
        const expect = [plain[0], other[0]].flatMap(({ spec }, which) =>
          directions.flatMap((direction) =>
            spec[direction].flatMap(({ zone, rules }) =>
              rules.map((rule) => expectationOf(rule, zone, direction, `e${which}-${rule.id}`)),
            ),
          ),
        );
        const [policy] = plain;
        const documents = [{ ...policy, spec: { ...policy.spec, expect } }];
        const proofs = proveExpectations(documents);
        const packets = sent.flatMap((one) => withStates(policy, one));
        expect.forEach(({ id, zone, direction = 'ingress', verdict, ...match }, at) => {
          const { result } = proofs[at] ?? { result: 'missing' };
          results.set(result, (results.get(result) ?? 0) + 1);
          const list = {
            zone,
            default: 'drop',
            rules: [{ ...match, id: 'asked', action: 'allow' }],
          } as const;
          const asking: PacketPolicy = {
            ...policy,
            spec: { ...policy.spec, mode: 'enforce', ingress: [], egress: [], [direction]: [list] },
          };
          for (const packet of packets) {
            if (packet.direction !== direction || zoneOf(packet.interface) !== `p/${zone}`) continue;
            if (judge([asking], packet).rule !== 'p/asked') continue;
            const found = judge(documents, packet);
            if (!isOfRules(found)) continue;
            asked++;
            if (result === 'empty') throw new Error(`${id} is not empty: ${textOf(packet)}`);
            if ((found.verdict === 'allow') !== (verdict === 'allow') && result !== 'refuted')
              throw new Error(`${id} is said to be ${result}: ${textOf({ packet, found })}`);
          }
        });
      },
    ),
    { seed, numRuns, endOnFailure: true },
  );
  t.comment(`${asked} packets asked for; ${textOf([...results])}`);
  for (const result of ['proven', 'refuted']) t.ok((results.get(result) ?? 0) > 5, result);
  t.ok(asked > 100);
});
