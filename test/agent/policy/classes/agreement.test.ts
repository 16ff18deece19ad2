// Goal: what is read off the classes is what the evaluator says, packet by packet.
// Method: generated policies of a world so small that its packets can be listed (seed printed; HUSK_SEED replays
// one, HUSK_ROUNDS asks for more of them).
// For each, the partition is compared with the evaluator on every packet of the world; one packet made from each of
// its leaves is judged as well, so that what the partition tells apart is there. Differences of two policies, expectations
// and shadows are held against the same packets.

import t from 'tap';
import type { PacketPolicy } from '../../../../agent/contract/policy.ts';
import { diffPolicies } from '../../../../agent/policy/classes/diff.ts';
import { proveExpectations } from '../../../../agent/policy/classes/expect.ts';
import { situations } from '../../../../agent/policy/classes/fields.ts';
import { stateOf } from '../../../../agent/policy/classes/lines.ts';
import { decider, surely } from '../../../../agent/policy/classes/outcome.ts';
import { bundleOf, Partition } from '../../../../agent/policy/classes/partition.ts';
import { leavesWithin } from '../../../../agent/policy/classes/paths.ts';
import { shadowedRules } from '../../../../agent/policy/classes/shadows.ts';
import { confirm, judged, ordinaryFirst, witnessOf } from '../../../../agent/policy/classes/witness.ts';
import { interfaceKinds, originsOf, placesOf } from '../../../../agent/policy/classes/zones.ts';
import { directions } from '../../../../agent/policy/ids.ts';
import { changed, Draw, Judge, leafAt, tinyExpectation, tinyPackets, tinyPolicy } from './tiny-world.ts';

const seed = Number(process.env.HUSK_SEED ?? Math.floor(Math.random() * 0x7fffffff));
t.comment(`seed ${seed}`);
const rounds = Number(process.env.HUSK_ROUNDS ?? 50);
/** A second after another, so that no limit is ever used up. */
let clock = 0n;
const later = () => (clock += 1_000_000_000n);

function partitionsOf(documents: Parameters<typeof bundleOf>[0]) {
  const kinds = interfaceKinds([documents]);
  const bundle = bundleOf(documents);
  const origins = originsOf(kinds);
  return directions.flatMap((direction) =>
    placesOf(kinds)
      .filter(({ zones }) => zones[0] !== null)
      .map((place) => new Partition({ bundles: [bundle], place, origins, direction })),
  );
}

const isLimited = ({ metadata, spec }: PacketPolicy, rule: string | null) =>
  directions
    .flatMap((direction) => spec[direction].flatMap(({ rules }) => rules))
    .some(({ id, limit }) => `${metadata.name}/${id}` === rule && limit !== undefined);

const zoneOf = (name: string) => (name.startsWith('wan') ? 'tiny/wan' : 'tiny/lan');

t.test('the partition says what the evaluator says', async (t) => {
  let compared = 0;
  let witnesses = 0;
  let above = 0;
  const reasons = new Map<string, number>();
  for (let round = 0; round < rounds; round++) {
    const draw = new Draw(seed + round);
    const documents = [tinyPolicy(draw)];
    const bundle = bundleOf(documents);
    const judge = new Judge(bundle);
    for (const partition of partitionsOf(documents)) {
      const { direction, real, judged: toRules, roots, diagrams } = partition;
      const root = roots[0] ?? 0;
      for (const packet of tinyPackets(direction, draw, direction === 'egress' ? 24 : 12)) {
        if (partition.zones[0]?.key !== zoneOf(packet.interface)) continue;
        const where = () =>
          `seed ${seed + round} ${direction} ${JSON.stringify(packet, (_, one) => (typeof one === 'bigint' ? String(one) : one))}`;
        if (leafAt(partition, real, packet) !== 1)
          throw new Error(`a packet that is there is held to be impossible: ${where()}`);
        const step = decider(partition.outcome(leafAt(partition, root, packet)));
        const said = judge.judge(packet, direction, later());
        compared++;
        reasons.set(said.reason, (reasons.get(said.reason) ?? 0) + 1);
        if ((said.reason === 'never-drop') !== (leafAt(partition, toRules, packet) === 0))
          throw new Error(`never dropped or not: ${where()}`);
        if (said.reason === 'never-drop') continue;
        if (
          said.verdict !== step.verdict ||
          said.rule !== step.rule ||
          said.reason !== step.reason ||
          said.monitored !== step.monitored
        ) {
          throw new Error(
            `they differ: ${JSON.stringify({ step, said })}, ${where()} ${JSON.stringify(documents)}`,
          );
        }
        // The same packet once more at the same time: limits let one through. Those of rules in monitor mode too, which note it no
        // more, while of them the partition tells the first alone.
        if (step.limit === null || documents.some((document) => isLimited(document, step.monitored)))
          continue;
        above++;
        const again = judge.judge(packet, direction, clock);
        const next = partition.outcome(leafAt(partition, root, packet)).stages[1];
        const expected =
          step.over === 'drop'
            ? { verdict: 'drop', reason: 'limited', rule: step.rule, monitored: step.monitored }
            : { verdict: next?.verdict, reason: next?.reason, rule: next?.rule, monitored: next?.monitored };
        const { verdict, reason, rule, monitored } = again;
        if (JSON.stringify({ verdict, reason, rule, monitored }) !== JSON.stringify(expected)) {
          throw new Error(`above the limit they differ: ${JSON.stringify({ expected, again })}, ${where()}`);
        }
      }
      for (const [leaf, path] of leavesWithin(diagrams, root, toRules, { rank: ordinaryFirst(partition) })) {
        confirm(witnessOf(partition, path), bundle, partition.outcome(leaf));
        witnesses++;
      }
    }
  }
  t.comment(
    `${compared} packets compared, ${witnesses} made: ${[...reasons].map(([reason, count]) => `${reason} ${count}`).join(', ')}`,
  );
  t.ok(compared > rounds * 100, 'packets were compared');
  t.ok(above > 0, `${above} were above a limit`);
  for (const reason of ['rule', 'default', 'never-drop'])
    t.ok((reasons.get(reason) ?? 0) > 0, `some by ${reason}`);
});

t.test('differences are those that the evaluator finds', async (t) => {
  let differing = 0;
  let told = 0;
  for (let round = 0; round < rounds; round++) {
    const draw = new Draw(seed + 1_000_000 + round);
    const before = [tinyPolicy(draw, 5)];
    const [policy] = before;
    if (policy === undefined) break;
    const after = [changed(draw, policy)];
    if (diffPolicies(before, before).differences.length > 0)
      throw new Error(`a policy differs from itself: seed ${seed + round}`);
    // Examples are confirmed by the evaluator inside: what is told is there. Here: what is there is told.
    const { differences } = diffPolicies(before, after);
    told += differences.length;
    const [old, fresh] = [new Judge(bundleOf(before)), new Judge(bundleOf(after))];
    for (const direction of directions) {
      for (const packet of tinyPackets(direction, draw, direction === 'egress' ? 24 : 12)) {
        const [was, is] = [old.judge(packet, direction, later()), fresh.judge(packet, direction, later())];
        if (was.verdict === is.verdict && was.rule === is.rule && was.monitored === is.monitored) continue;
        differing++;
        const found = differences.some(
          (one) =>
            one.direction === direction &&
            one.zones[0] === zoneOf(packet.interface) &&
            decider(one.before).rule === was.rule &&
            decider(one.before).verdict === was.verdict &&
            decider(one.before).monitored === was.monitored &&
            decider(one.after).rule === is.rule &&
            decider(one.after).verdict === is.verdict &&
            decider(one.after).monitored === is.monitored,
        );
        if (!found)
          throw new Error(
            `a difference is not told: seed ${seed + round} ${direction} ${JSON.stringify({ was, is })}`,
          );
      }
    }
  }
  t.comment(`${differing} packets differ, ${told} differences told`);
  t.ok(differing > 100, 'policies did differ');
});

t.test('expectations are answered as the packets answer them', async (t) => {
  const tally = new Map<string, number>();
  for (let round = 0; round < rounds; round++) {
    const draw = new Draw(seed + 2_000_000 + round);
    const plain = tinyPolicy(draw, 4);
    const expect = Array.from({ length: 4 }, (_, at) => tinyExpectation(draw, `e${at}`));
    const documents = [{ ...plain, spec: { ...plain.spec, expect } }];
    const bundle = bundleOf(documents);
    const judge = new Judge(bundle);
    const proofs = proveExpectations(documents);
    expect.forEach((one, at) => {
      const proof = proofs[at];
      const { id: _, zone, direction = 'ingress', verdict, ...match } = one;
      if (proof === undefined) throw new Error('an expectation without an answer');
      tally.set(`${verdict} ${proof.result}`, (tally.get(`${verdict} ${proof.result}`) ?? 0) + 1);
      /** Allows what the expectation is about and drops all else. */
      const asking = bundleOf([
        {
          ...plain,
          spec: {
            ...plain.spec,
            mode: 'enforce',
            ingress: [],
            egress: [],
            [direction]: [{ zone, default: 'drop', rules: [{ id: 'asked', ...match, action: 'allow' }] }],
          },
        },
      ]);
      const isAsked = new Judge(asking);
      if (proof.counterexample !== null) {
        const { packet } = proof.counterexample;
        if (judged(packet, asking).rule !== 'tiny/asked' && judged(packet, asking).reason !== 'never-drop')
          throw new Error(
            `the counterexample is not what was asked for: seed ${seed + round}, ${packet.words}`,
          );
        if (
          proof.counterexample.step.limit === null &&
          (judged(packet, bundle).verdict === 'allow') === (verdict === 'allow') &&
          proof.counterexample.step.rule === judged(packet, bundle).rule
        ) {
          throw new Error(`the counterexample is none: ${packet.words}`);
        }
      }
      for (const packet of tinyPackets(direction, draw, direction === 'egress' ? 40 : 20)) {
        if (
          `tiny/${zone}` !== zoneOf(packet.interface) ||
          isAsked.judge(packet, direction, later()).rule !== 'tiny/asked'
        )
          continue;
        if (proof.result === 'empty' && judge.judge(packet, direction, later()).reason !== 'never-drop')
          throw new Error(`not empty: seed ${seed + round} ${one.id}`);
        const said = judge.judge(packet, direction, later());
        const isRight = (said.verdict === 'allow') === (verdict === 'allow') || said.reason === 'never-drop';
        if (!isRight && proof.result !== 'refuted')
          throw new Error(
            `said to be ${proof.result} and is not: seed ${seed + round} ${one.id} ${JSON.stringify(said)}`,
          );
      }
    });
  }
  t.comment([...tally].map(([what, count]) => `${what} ${count}`).join(', '));
  for (const one of ['allow proven', 'allow refuted', 'drop proven', 'drop refuted'])
    t.ok((tally.get(one) ?? 0) > 0, one);
});

t.test('a rule that is said to be shadowed never decides, and any other does', async (t) => {
  let shadowed = 0;
  for (let round = 0; round < rounds; round++) {
    const draw = new Draw(seed + 3_000_000 + round);
    const documents = [tinyPolicy(draw, 10)];
    const bundle = bundleOf(documents);
    const whole = new Map(shadowedRules(documents).map((one) => [one.rule, one.by]));
    shadowed += whole.size;
    const judge = new Judge(bundle);
    for (const direction of directions) {
      for (const packet of tinyPackets(direction, draw, 24)) {
        const said = judge.judge(packet, direction, later());
        if (said.rule !== null && whole.has(said.rule))
          throw new Error(`${said.rule} is shadowed and decides: seed ${seed + round}`);
      }
    }
    const deciding = new Set(
      partitionsOf(documents).flatMap((partition) =>
        [...leavesWithin(partition.diagrams, partition.roots[0] ?? 0, partition.judged).keys()].flatMap(
          (leaf) => partition.outcome(leaf).stages.map(({ rule }) => rule),
        ),
      ),
    );
    for (const direction of directions) {
      for (const rule of documents[0]?.spec[direction].flatMap(({ rules }) => rules) ?? []) {
        const id = `tiny/${rule.id}`;
        const decides =
          rule.action !== 'log' &&
          (rule.mode ?? 'enforce') === 'enforce' &&
          documents[0]?.spec.mode === 'enforce';
        if (decides && deciding.has(id) === whole.has(id)) throw new Error(`${id}: seed ${seed + round}`);
      }
    }
  }
  t.ok(shadowed > 0, `${shadowed} were shadowed`);
});

t.test(
  'without a rule that is said to be redundant, every packet gets the verdict that it got',
  async (t) => {
    let redundant = 0;
    for (let round = 0; round < Math.ceil(rounds / 3); round++) {
      const draw = new Draw(seed + 5_000_000 + round);
      const policy = tinyPolicy(draw, 6);
      const judge = new Judge(bundleOf([policy]));
      for (const { rule, direction, extent } of shadowedRules([policy], { parts: true })) {
        if (extent !== 'redundant') continue;
        redundant++;
        const lists = policy.spec[direction].map((list) => ({
          ...list,
          rules: list.rules.filter(({ id }) => `tiny/${id}` !== rule),
        }));
        const without = new Judge(bundleOf([{ ...policy, spec: { ...policy.spec, [direction]: lists } }]));
        for (const packet of tinyPackets(direction, draw, 40)) {
          const [was, is] = [
            judge.judge(packet, direction, later()),
            without.judge(packet, direction, later()),
          ];
          if (was.verdict !== is.verdict)
            throw new Error(`${rule} is not redundant: seed ${seed + 5_000_000 + round}`);
        }
      }
    }
    t.ok(redundant > 0, `${redundant} were redundant`);
  },
);

t.test('every state that a device finds is held possible', async (t) => {
  const found = new Map<string, number>();
  for (let round = 0; round < Math.ceil(rounds / 5); round++) {
    const draw = new Draw(seed + 4_000_000 + round);
    const tcp = draw.one(['strict', 'loose'] as const);
    const plain = tinyPolicy(draw, 0);
    const rules = [{ id: 'asks', state: 'invalid', action: 'log' }] as const;
    const list = (['wan', 'lan'] as const).map((zone) => ({ zone, default: 'allow' as const, rules }));
    const documents = [
      {
        ...plain,
        spec: { ...plain.spec, mode: 'enforce' as const, connections: { tcp }, ingress: list, egress: list },
      },
    ];
    const judge = new Judge(bundleOf(documents));
    const partitions = partitionsOf(documents);
    const packets = directions.flatMap((direction) =>
      tinyPackets(direction, draw, 40).map((packet) => ({ packet, direction })),
    );
    for (let sent = 0; sent < 1500; sent++) {
      const { packet, direction } = draw.one(packets);
      clock += BigInt(draw.below(20_000)) * 1_000_000n;
      const { state } = judge.follow(packet, direction, clock);
      if (state === null || state === undefined) continue;
      const kind = `${tcp} ${state}`;
      found.set(kind, (found.get(kind) ?? 0) + 1);
      const partition = partitions.find(
        (one) => one.direction === direction && one.zones[0]?.key === zoneOf(packet.interface),
      );
      if (partition === undefined) throw new Error('a packet in no zone');
      const isPossible = situations.some((situation, point) => {
        const points = { ...packet.points, situation: point };
        return (
          stateOf(situation, tcp === 'strict') === state &&
          leafAt(partition, partition.real, { ...packet, points }) === 1
        );
      });
      if (!isPossible)
        throw new Error(
          `held impossible: seed ${seed + round} ${tcp} ${state} ${JSON.stringify(packet, (_, one) => (typeof one === 'bigint' ? String(one) : one))}`,
        );
    }
  }
  t.comment([...found].map(([what, count]) => `${what} ${count}`).join(', '));
  for (const state of ['new', 'established', 'invalid'])
    t.ok(found.has(`strict ${state}`) || found.has(`loose ${state}`), state);
});

t.test('surely', async (t) => {
  const step = {
    rule: 'p/r',
    reason: 'rule',
    verdict: 'allow',
    limit: null,
    over: null,
    rejectWith: null,
    reported: null,
    monitored: null,
    logged: null,
  } as const;
  const limited = { ...step, limit: '1/s', over: 'drop' } as const;
  t.equal(surely({ stages: [step] }, 'allow', { within: false }), true);
  t.equal(surely({ stages: [limited] }, 'allow', { within: false }), false, 'above the limit it is dropped');
  t.equal(surely({ stages: [limited] }, 'allow', { within: true }), true);
  t.equal(
    surely({ stages: [{ ...limited, over: 'next', verdict: 'drop' }, step] }, 'drop', { within: true }),
    false,
    'above the limit it goes on and is allowed',
  );
});
