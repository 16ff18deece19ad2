// Goal: long lists of rules are compared and proven by the packets that are asked about, and nothing is lost by that.
// Method: generated access lists; edits of them. Packets drawn from the rules are judged by the evaluator under both policies: each
// that is decided otherwise has to be among the differences told, and where none is told, none may be decided otherwise. On small
// lists, the rules laid together are held against lists compared one by one.

import t from 'tap';
import type { PacketPolicy, PacketRule } from '../../../../agent/contract/policy.ts';
import { formatAddress } from '../../../../agent/policy/addresses.ts';
import { buildPacket, ordinaryPacket } from '../../../../agent/policy/build-packet.ts';
import { diffPolicies } from '../../../../agent/policy/classes/diff.ts';
import { proveExpectations } from '../../../../agent/policy/classes/expect.ts';
import { laidTogether } from '../../../../agent/policy/classes/laid-together.ts';
import type { ListLine } from '../../../../agent/policy/classes/lines.ts';
import { decider } from '../../../../agent/policy/classes/outcome.ts';
import { cubeOf } from '../../../../agent/policy/classes/real.ts';
import {
  common,
  joined,
  meetsRuns,
  outside,
  runsOf,
  touches,
} from '../../../../agent/policy/classes/runs.ts';
import { shadowedRules } from '../../../../agent/policy/classes/shadows.ts';
import { plainDevice } from '../../../../agent/policy/device-view.ts';
import { PacketEvaluator } from '../../../../agent/policy/evaluate.ts';
import { rulesOf } from '../../../bench/filter/policies.ts';
import { mixedPacket, packetOf, Random, ruleList, type Shape } from '../../../bench/rule-lists.ts';
import { Draw } from './tiny-world.ts';

const seed = Number(process.env.HUSK_SEED ?? Math.floor(Math.random() * 0x7fffffff));
t.comment(`seed ${seed}`);

const policy = (rules: readonly PacketRule[], more: Partial<PacketPolicy['spec']> = {}): PacketPolicy => ({
  apiVersion: 'husk/v1',
  kind: 'PacketPolicy',
  metadata: { name: 'list' },
  spec: {
    mode: 'enforce',
    zones: { wan: { interfaces: ['wan0'] } },
    ingress: [{ zone: 'wan', default: 'drop', rules }],
    egress: [],
    ...more,
  },
});
const actions = ['allow', 'drop', 'reject'] as const;
function listed(shape: Shape, count: number, draw: Draw) {
  const entries = ruleList(shape, count, { seed: draw.below(1000) });
  const rules = rulesOf(entries, 'allow').map((rule) => ({ ...rule, action: draw.one(actions) }));
  return { entries, rules };
}

/** One rule removed, moved, written otherwise or added; what was touched. */
function edited(draw: Draw, rules: readonly PacketRule[]): readonly [readonly PacketRule[], string] {
  const at = draw.below(rules.length);
  const rule = rules[at];
  if (rule === undefined) return [rules, 'nothing'];
  const without = rules.toSpliced(at, 1);
  switch (draw.below(4)) {
    case 0:
      return [without, `${rule.id} removed`];
    case 1:
      return [without.toSpliced(draw.below(rules.length), 0, rule), `${rule.id} moved`];
    case 2:
      return [
        rules.with(at, { ...rule, action: rule.action === 'allow' ? 'drop' : 'allow' }),
        `${rule.id} changed`,
      ];
    default: {
      const fresh: PacketRule = { ...rule, id: 'fresh', action: 'reject' };
      return [rules.toSpliced(draw.below(at + 1), 0, fresh), `like ${rule.id} added`];
    }
  }
}

t.test('an edit of a long list is told as the evaluator finds it', async (t) => {
  let differing = 0;
  for (const [round, shape] of (['acl1', 'acl2', 'fw1', 'ipc1'] as const).entries()) {
    const draw = new Draw(seed + round);
    const random = new Random(seed + round);
    const { entries, rules } = listed(shape, 600, draw);
    for (let edit = 0; edit < 5; edit++) {
      const [changedRules, what] = edited(draw, rules);
      const [before, after] = [[policy(rules)], [policy(changedRules)]];
      const { differences, untold } = diffPolicies(before, after);
      const all = Object.values(untold).every((one) => one === 0);
      const touched = rules.findIndex(({ id }) => what.includes(`${id} `));
      const [old, fresh] = [before, after].map(
        (documents) => new PacketEvaluator(documents, plainDevice(['wan0'])),
      );
      for (let sent = 0; sent < 300; sent++) {
        const entry = entries[touched];
        const key =
          entry !== undefined && sent % 2 === 0 ? packetOf(entry, random) : mixedPacket(entries, random);
        const frame = buildPacket({
          ...ordinaryPacket,
          addresses: { family: 4, source: key.saddr, destination: key.daddr },
          protocol: key.ipProto,
          ...(key.ipProto === 6 || key.ipProto === 17 ? { ports: { from: key.sport, to: key.dport } } : {}),
        });
        const at = { interface: 'wan0', direction: 'ingress', frame, givenState: 'new' } as const;
        const [was, is] = [old?.judge(at), fresh?.judge(at)];
        if (was?.rule === is?.rule && was?.verdict === is?.verdict) continue;
        differing++;
        const isTold = differences.some(
          (one) => decider(one.before).rule === was?.rule && decider(one.after).rule === is?.rule,
        );
        if (all && !isTold)
          throw new Error(
            `not told: ${shape}, ${what}, seed ${seed + round}: ${formatAddress(key.saddr, 0)} → ${formatAddress(key.daddr, 0)} ${JSON.stringify({ was, is })}`,
          );
      }
    }
  }
  t.ok(differing > 0, `${differing} packets were decided otherwise`);
});

t.test('what is the same is not looked at', async (t) => {
  const { rules } = listed('ipc1', 10_000, new Draw(seed));
  const few = { nodesMax: 20_000, stepsMax: 2_000_000 };
  t.strictSame(
    diffPolicies([policy(rules)], [policy(structuredClone(rules))], { bounds: few }).differences,
    [],
  );
  const host = { from: '192.0.2.77', to: '198.51.100.77', protocol: 'tcp', ports: { to: 7777 } } as const;
  const fresh: PacketRule = { id: 'fresh', ...host, action: 'reject' };
  const { differences } = diffPolicies([policy(rules)], [policy([fresh, ...rules])], { bounds: few });
  t.ok(differences.length > 0, 'found within a small part of the steps that all rules would take');
  t.ok(differences.every(({ after }) => decider(after).rule === 'list/fresh'));
});

t.test('more differences than are told are counted by their kind', async (t) => {
  const rules = Array.from(
    { length: 30 },
    (_, at): PacketRule => ({
      id: `r${at}`,
      protocol: 'tcp',
      ports: { to: at },
      action: 'allow',
    }),
  );
  const top: PacketRule = { id: 'top', protocol: 'tcp', ports: { to: '0-28' }, action: 'drop' };
  const found = diffPolicies([policy(rules)], [policy([top, ...rules])], { differencesMax: 4 });
  t.equal(found.differences.length, 4);
  t.equal(found.untold.verdict, 25);
});

t.test('lists are laid together with as few lines apart as can be', async (t) => {
  const line = (id: string, port = 1): ListLine => ({
    cube: cubeOf({ portTo: { key: `${port}`, bounds: [port, port + 1] } }),
    rule: null,
    does: 'log',
    id,
  });
  const told = (before: readonly ListLine[], after: readonly ListLine[]) =>
    laidTogether(before, after)
      .map(({ line: { id }, sides }) => `${id}${['', '-', '+', ''][sides]}`)
      .join(' ');
  const [a, b, c, d] = [line('a'), line('b'), line('c'), line('d')];
  t.equal(told([a, b, c, d], [a, b, c, d]), 'a b c d');
  t.equal(told([a, b, c, d], [b, c, d, a]), 'a- b c d a+');
  t.equal(told([a, b, c], [a, c]), 'a b- c');
  t.equal(told([a, c], [a, b, c]), 'a b+ c');
  t.equal(told([a, b], [a, line('b', 2)]), 'a b- b+', 'the same name with other conditions');
  t.equal(told([], [a]), 'a+');
  const draw = new Draw(seed);
  for (let round = 0; round < 200; round++) {
    const from = draw.some([a, b, c, d, line('e'), line('f')]);
    const to = draw.some([a, b, c, d, line('e'), line('f')]).toSorted(() => draw.next() - 0.5);
    const together = laidTogether(from, to);
    const side = (bit: number) =>
      together.filter(({ sides }) => (sides & bit) !== 0).map(({ line: one }) => one.id);
    t.strictSame(
      side(1),
      from.map(({ id }) => id),
      { skip: false },
    );
    t.strictSame(
      side(2),
      to.map(({ id }) => id),
    );
  }
});

t.test('expectations and dead rules of a long list', async (t) => {
  const { rules } = listed('acl1', 1500, new Draw(seed));
  const away: PacketRule = { id: 'away', from: '192.0.2.0/24', protocol: 'tcp', action: 'drop' };
  const dead: PacketRule = {
    id: 'dead',
    from: '192.0.2.7',
    protocol: 'tcp',
    ports: { to: '1-9' },
    action: 'allow',
  };
  const expect = [
    { id: 'holds', zone: 'wan', from: '192.0.2.0/25', protocol: 'tcp', verdict: 'drop' },
    { id: 'does-not', zone: 'wan', from: '192.0.2.0/25', protocol: 'tcp', verdict: 'allow' },
  ] as const;
  const documents = [policy([away, ...rules, dead], { expect })];
  const proofs = proveExpectations(documents);
  t.match(proofs, [
    { id: 'holds', result: 'proven', counterexample: null },
    { id: 'does-not', result: 'refuted', counterexample: { step: { rule: 'list/away' } } },
  ]);
  t.match(
    shadowedRules(documents).find(({ rule }) => rule === 'list/dead'),
    { extent: 'whole', by: ['list/away'] },
  );
});

t.test('what stands before a change takes packets only where it ends their way', async (t) => {
  const tcp = (id: string, to: number | string, action: PacketRule['action']): PacketRule => ({
    id,
    protocol: 'tcp',
    ports: { to },
    action,
  });
  const told = (first: PacketRule) =>
    diffPolicies(
      [policy([first, tcp('ssh', 22, 'allow')])],
      [policy([first, tcp('ssh', 22, 'drop')])],
    ).differences.map(({ packets }) => packets.map(({ text }) => text).join());
  t.strictSame(told(tcp('seen', '0-1023', 'log')), ['tcp to port 22']);
  t.strictSame(told({ ...tcp('seen', '0-1023', 'drop'), mode: 'monitor' }), ['tcp to port 22']);
  t.strictSame(told({ ...tcp('some', '0-1023', 'drop'), limit: { rate: '1/s', over: 'next' } }), [
    'tcp to port 22',
  ]);
  t.strictSame(told(tcp('all', '0-1023', 'drop')), [], 'what ends takes all of them');
  t.strictSame(told({ ...tcp('all', '0-1023', 'allow'), limit: { rate: '1/s' } }), []);
  const expect = ([22, 23, 24] as const).map((to) => ({
    ...({ id: `e${to}`, zone: 'wan', protocol: 'tcp', ports: { to } } as const),
    verdict: 'drop' as const,
  }));
  const rules = [
    tcp('a', 22, 'allow'),
    tcp('b', '20-23', 'drop'),
    tcp('c', 23, 'allow'),
    tcp('d', 24, 'allow'),
  ];
  t.strictSame(
    proveExpectations([policy(rules, { expect })])
      .slice(0, 3)
      .map(({ id, result, counterexample }) => [id, result, counterexample?.step.rule ?? null]),
    [
      ['e22', 'refuted', 'list/a'],
      ['e23', 'proven', null],
      ['e24', 'refuted', 'list/d'],
    ],
  );
});

t.test('what ends the way of packets is not taken for what asks the same and does not end it', async (t) => {
  // Behind the sources all of them ask for port 22 alone: one could stand for another there.
  const ssh = (id: string, from: string, more: Partial<PacketRule> = {}): PacketRule => ({
    ...{ id, from, protocol: 'tcp', ports: { to: 22 }, action: 'drop' },
    ...more,
  });
  const ended = ssh('ended', '198.51.100.0/24');
  const rest: PacketRule = { id: 'rest', protocol: 'tcp', action: 'allow' };
  const told = (rules: readonly PacketRule[]) =>
    diffPolicies([policy(rules)], [policy([...rules, rest])]).differences.flatMap(({ packets }) =>
      packets.map(({ text }) => text),
    );
  for (const passed of [
    ssh('seen', '192.0.2.0/24', { action: 'log' }),
    ssh('watched', '192.0.2.0/24', { mode: 'monitor' }),
    ssh('some', '192.0.2.0/24', { limit: { rate: '1/s', over: 'next' } }),
  ]) {
    for (const rules of [
      [passed, ended],
      [ended, passed],
    ]) {
      t.strictSame(
        told(rules),
        [
          'tcp from ::/0, IPv4 outside 192.0.2.0/24, 198.51.100.0/24',
          'tcp from 192.0.2.0/24, 198.51.100.0/24 to port not 22',
          'tcp from 192.0.2.0/24 to port 22',
        ],
        rules.map(({ id }) => id).join(),
      );
    }
  }
});

t.test('a change of everything tells how far it is, and ends in an error at its bound', async (t) => {
  const { rules } = listed('ipc1', 3000, new Draw(seed));
  const turned = rules.map(
    (rule): PacketRule => ({ ...rule, action: rule.action === 'drop' ? 'allow' : 'drop' }),
  );
  const told: number[] = [];
  const bounds = { nodesMax: 1_000_000, stepsMax: 2_000_000, onSteps: (steps: number) => told.push(steps) };
  t.throws(() => diffPolicies([policy(rules)], [policy(turned)], { bounds }), {
    name: 'ClassesTooManyError',
  });
  t.ok(told.length >= 2, `told ${told.length} times`);
  t.strictSame(
    told.toSorted((a, b) => a - b),
    told,
  );
});

t.test('runs, against the classes one by one', async (t) => {
  const draw = new Draw(seed);
  const classes = 12;
  for (let round = 0; round < 500; round++) {
    const [a, b] = [0, 1].map(() => Uint8Array.from({ length: classes }, () => draw.below(2)));
    if (a === undefined || b === undefined) return;
    const [one, other] = [runsOf(a), runsOf(b)];
    t.strictSame(common(one, other), runsOf(a.map((has, at) => has & (b[at] ?? 0))));
    t.strictSame(joined([one, other]), runsOf(a.map((has, at) => has | (b[at] ?? 0))));
    t.strictSame(outside(one, classes), runsOf(a.map((has) => 1 - has)));
    t.equal(
      meetsRuns(one, other),
      a.some((has, at) => has === 1 && b[at] === 1),
    );
    const first = draw.below(classes);
    const last = first + draw.below(classes - first);
    t.equal(touches(one, first, last), a.slice(first, last + 1).includes(1));
  }
});
