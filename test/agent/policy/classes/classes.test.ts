// Goal: the parts by themselves: classes of axes, kinds of interfaces, bounds that end in an error, words.
// Method: small inputs with answers worked out by hand; interface kinds against the globs themselves.

import t from 'tap';
import type {
  PacketPolicy,
  PacketRule,
  PolicyDocument,
  SynCookies,
} from '../../../../agent/contract/policy.ts';
import { ClassesTooManyError, Diagrams, leaf } from '../../../../agent/policy/classes/diagram.ts';
import { diffPolicies } from '../../../../agent/policy/classes/diff.ts';
import { type Controller, proveExpectations } from '../../../../agent/policy/classes/expect.ts';
import { levelOf, values } from '../../../../agent/policy/classes/fields.ts';
import { interfaceClasses } from '../../../../agent/policy/classes/interface-classes.ts';
import { cubeOf } from '../../../../agent/policy/classes/real.ts';
import { shadowedRules } from '../../../../agent/policy/classes/shadows.ts';
import { Space } from '../../../../agent/policy/classes/space.ts';
import { matchesGlob } from '../../../../agent/policy/globs.ts';

const policy = (rules: readonly PacketRule[], more: Partial<PacketPolicy['spec']> = {}): PacketPolicy => ({
  apiVersion: 'husk/v1',
  kind: 'PacketPolicy',
  metadata: { name: 'p' },
  spec: {
    mode: 'enforce',
    zones: { wan: { interfaces: ['wan0'] }, lan: { interfaces: ['lan*'] } },
    ingress: [{ zone: 'wan', default: 'drop', rules }],
    egress: [],
    ...more,
  },
});
const tcp = (id: string, port: number | string, action: PacketRule['action'] = 'allow'): PacketRule => ({
  id,
  protocol: 'tcp',
  ports: { to: port },
  action,
});

t.test('points that no set tells apart are one class', async (t) => {
  const cube = (...ports: (number | readonly [number, number])[]) => cubeOf({ portTo: values(...ports) });
  const space = new Space([cube(22), cube([20, 30], 80)], { interface: 1, origin: 1 });
  const level = levelOf.portTo;
  t.equal(space.classes(level), 3, 'neither, the second alone, both');
  t.equal(space.classAt(level, 20), space.classAt(level, 80));
  t.equal(space.classAt(level, 19), space.classAt(level, 65536), 'also what has no port');
  t.not(space.classAt(level, 22), space.classAt(level, 23));
  t.strictSame(
    space.points(level, Int32Array.of(space.classAt(level, 80), space.classAt(level, 80))),
    [20, 22, 23, 31, 80, 81],
  );
});

t.test('kinds of interfaces', async (t) => {
  const globs = ['eth0', 'wwan*', '*0', 'br-?', 'l?'];
  const kinds = interfaceClasses(globs);
  for (const { name, fits } of kinds) {
    t.strictSame(
      [...fits],
      globs.filter((glob) => matchesGlob(glob, name)),
      name,
    );
    t.not(name, 'lo');
  }
  const names = ['eth0', 'eth1', 'wwan1', 'wwan0', 'br-0', 'br-x', 'lx', 'l0', 'x', 'x0'];
  const key = (fits: readonly string[]) => fits.join();
  for (const name of names) {
    const fits = globs.filter((glob) => matchesGlob(glob, name));
    t.ok(
      kinds.some((kind) => key([...kind.fits]) === key(fits)),
      `${name} is of a kind`,
    );
  }
});

t.test('a bound is an error and no answer', async (t) => {
  const diagrams = new Diagrams([2, 2], { nodesMax: 1, stepsMax: 100 });
  const one = diagrams.node(1, [0, 1], [leaf(0), leaf(1)]);
  t.equal(diagrams.node(1, [0, 1], [leaf(0), leaf(1)]), one, 'the same function is the same node');
  t.equal(diagrams.node(0, [0, 1], [one, one]), one, 'a level that changes nothing is none');
  t.throws(() => diagrams.node(0, [0, 1], [one, leaf(0)]), ClassesTooManyError);
  const rules = Array.from({ length: 60 }, (_, at) =>
    tcp(`r${at}`, `${at}-${2 * at + 9}`, at % 2 === 0 ? 'allow' : 'drop'),
  );
  t.throws(
    () => shadowedRules([policy(rules)], { bounds: { nodesMax: 1e6, stepsMax: 50 } }),
    ClassesTooManyError,
  );
  t.throws(() => diffPolicies([policy(rules)], [policy([])], { bounds: { nodesMax: 1e6, stepsMax: 500 } }), {
    name: 'ClassesTooManyError',
    message: /fewer rules/,
  });
});

t.test('what no packet tells is told', async (t) => {
  const cookies = (synCookies?: SynCookies) =>
    policy([], {
      ingress: [
        { zone: 'wan', default: 'drop', rules: [], ...(synCookies === undefined ? {} : { synCookies }) },
      ],
    });
  const settings = (before: PacketPolicy, after: PacketPolicy) => diffPolicies([before], [after]).settings;
  const [none, some] = [cookies(), cookies({ above: '100/s' })];
  t.strictSame(settings(some, some), []);
  t.strictSame(settings(some, none), ['p: zone wan, SYN cookies above 100/s → none']);
  t.strictSame(settings(some, cookies({ above: '100/s', perSource: '1/s' })), [
    'p: zone wan, SYN cookies above 100/s → above 100/s, 1/s per source',
  ]);

  const set = (until: string): PolicyDocument => ({
    apiVersion: 'husk/v1',
    kind: 'AddressSet',
    metadata: { name: 'urgent' },
    spec: { addresses: ['192.0.2.1'], additions: [{ address: '192.0.2.2', until }] },
  });
  const blocked = policy([{ id: 'blocked', from: { set: 'urgent' }, action: 'drop' }], {
    sets: { urgent: { addressSet: 'urgent' } },
  });
  const { texts } = diffPolicies(
    [blocked, set('2030-01-01T00:00:00Z')],
    [blocked, set('2031-01-01T00:00:00Z')],
  );
  t.strictSame(texts, ['address set urgent: additions written otherwise']);
});

t.test('differences in words', async (t) => {
  const before = policy([tcp('ssh', 22), tcp('web', 80)]);
  const told = (after: PacketPolicy) =>
    diffPolicies([before], [after]).differences.map(({ kind, direction, packets }) =>
      [kind, direction, ...packets.map(({ text }) => text)].join(' | '),
    );
  t.strictSame(told(before), []);
  t.strictSame(
    told(policy([tcp('web', 80), tcp('ssh', 22)])),
    [],
    'order that does not matter is no difference',
  );
  t.strictSame(told(policy([tcp('ssh', 22), tcp('web', '80-81')])), ['verdict | ingress | tcp to port 81']);
  t.strictSame(told(policy([{ ...tcp('ssh', 22), from: '192.0.2.0/24' }, tcp('web', 80)])), [
    'verdict | ingress | tcp from ::/0, IPv4 outside 192.0.2.0/24 to port 22',
  ]);
  t.strictSame(told(policy([{ ...tcp('ssh', 22), limit: { rate: '5/s' } }, tcp('web', 80)])), [
    'limit | ingress | tcp to port 22',
  ]);
  t.strictSame(told(policy([{ ...tcp('ssh', 22), log: {} }, tcp('web', 80)])), [
    'report | ingress | tcp to port 22',
  ]);
  t.strictSame(told(policy([{ ...tcp('shell', 22) }, tcp('web', 80)])), ['rule | ingress | tcp to port 22']);
  t.strictSame(
    told(policy([{ ...tcp('never', 443, 'drop'), mode: 'monitor' }, tcp('ssh', 22), tcp('web', 80)])),
    ['mode | ingress | tcp to port 443'],
  );
  t.strictSame(
    told(
      policy([
        { id: 'tcp', protocol: 'tcp', tcpFlags: { set: ['syn'], unset: ['ack'] }, action: 'allow' },
        tcp('ssh', 22),
        tcp('web', 80),
      ]),
    ),
    [
      'verdict | ingress | tcp to port not 22, 80; flags syn, without ack',
      'rule | ingress | tcp to port 22; flags syn, without ack',
      'rule | ingress | tcp to port 80; flags syn, without ack',
    ],
  );
  const instead = (rule: Partial<PacketRule>) =>
    told(policy([tcp('ssh', 22), tcp('web', 80), { id: 'new', protocol: 'udp', action: 'allow', ...rule }]));
  t.strictSame(instead({ fragment: 'none' }), ['verdict | ingress | udp; no fragment']);
  t.strictSame(instead({ fragment: 'any' }), ['verdict | ingress | udp; fragment first, later']);
  const icmp = (types: PacketRule['icmp']) =>
    instead({ protocol: 'icmp', ...(types === undefined ? {} : { icmp: types }) });
  t.strictSame(icmp(8), ['verdict | ingress | icmp; icmp type 8']);
  t.strictSame(icmp([3, 4, 11]), ['verdict | ingress | icmp; icmp type 3-4, 11']);
  t.strictSame(icmp(['3/4']), ['verdict | ingress | icmp; icmp type 3/4']);
  t.strictSame(
    told(
      policy([tcp('ssh', 22), tcp('web', 80)], {
        zones: { lan: { interfaces: ['wan0', 'lan*'] }, wan: { interfaces: ['x'] } },
      }),
    ).length > 0,
    true,
    'an interface that changes its zone',
  );
});

t.test('ICMP of the other family may be without a header', async (t) => {
  const asked = { family: 'ipv6', length: '0-40' } as const;
  const policy = (action: 'allow' | 'drop'): PolicyDocument => ({
    apiVersion: 'husk/v1',
    kind: 'PacketPolicy',
    metadata: { name: 'p' },
    spec: {
      mode: 'enforce',
      zones: { lan: { interfaces: ['lan0'] } },
      ingress: [
        { zone: 'lan', default: 'drop', rules: [{ ...asked, id: 'short', protocol: ['icmp'], action }] },
      ],
      egress: [],
    },
  });
  const { differences } = diffPolicies([policy('drop')], [policy('allow')]);
  t.match(differences, [{ kind: 'verdict', example: { words: /icmp .*length 40/ } }]);
});

t.test('strict and loose: what is in the middle of a connection is another state', async (t) => {
  const rules: readonly PacketRule[] = [
    { id: 'known', protocol: 'tcp', state: ['new', 'established'], action: 'allow' },
  ];
  const [one, ...more] = diffPolicies(
    [policy(rules)],
    [policy(rules, { connections: { tcp: 'strict' } })],
  ).differences;
  t.equal(more.length, 0);
  t.match(one, { kind: 'verdict', example: { situation: 'midstream' } });
  t.strictSame(
    one?.packets.map(({ text }) => text),
    ['tcp; state TCP of no known connection'],
  );
});

t.test('rules that several others cover together', async (t) => {
  const dhcp: PacketRule = {
    id: 'dhcp',
    protocol: 'udp',
    ports: { from: 67, to: 68 },
    family: 'ipv4',
    action: 'drop',
  };
  const shadows = (rules: readonly PacketRule[], parts = false) =>
    shadowedRules([policy(rules)], { parts }).map(
      ({ rule, extent, by }) => `${rule} ${extent} ${by.join(' ')}`,
    );
  t.strictSame(shadows([tcp('low', '0-1023'), tcp('high', '1024-65535', 'drop'), tcp('web', '80-8080')]), [
    'p/web whole p/low p/high',
  ]);
  t.strictSame(
    shadows([
      tcp('low', '0-1023'),
      { ...tcp('high', '1024-65535'), limit: { rate: '1/s', over: 'next' } },
      tcp('web', '80-8080'),
    ]),
    [],
    'above a limit others are come to',
  );
  t.strictSame(
    shadows([{ ...tcp('all', '0-65535'), mode: 'monitor' }, tcp('web', 80)]),
    [],
    'monitor takes nothing',
  );
  t.strictSame(shadows([{ ...dhcp, toDevice: true }]), ['p/dhcp whole never-drop']);
  t.strictSame(shadows([dhcp]), [], 'what goes through the device is for the rules');
  t.strictSame(
    shadows([{ id: 'none', protocol: 'tcp', ports: { to: 1 }, fragment: 'later', action: 'drop' }]),
    ['p/none whole '],
    'no packet is like that',
  );
  t.strictSame(shadows([tcp('low', '0-100', 'drop'), tcp('web', '80-8080')], true), ['p/web part p/low']);
  t.strictSame(shadows([tcp('ssh', 22), tcp('some', '0-1023'), tcp('none', 2000, 'drop')], true), [
    'p/ssh redundant ',
    'p/none redundant ',
  ]);
  t.strictSame(
    shadows([tcp('ssh', 22, 'reject'), tcp('some', '0-1023')], true),
    ['p/some part p/ssh'],
    'a verdict of its own',
  );
});

t.test('the way to the controller', async (t) => {
  const egress = (rules: readonly PacketRule[], zone = 'wan') => [{ zone, default: 'drop' as const, rules }];
  const controller = { address: '192.0.2.10', port: 8883 };
  const zones = { wan: { interfaces: ['wan0'] } };
  const only = (rules: readonly PacketRule[]) => policy([], { zones, egress: egress(rules) });
  const result = (document: PacketPolicy, controllers: readonly Controller[] = [controller]) => {
    const [proof] = proveExpectations([document], { controllers });
    return [proof?.result, proof?.counterexample?.step.rule ?? null];
  };
  t.strictSame(result(policy([])), ['proven', null], 'no rules for what goes out');
  t.strictSame(result(only([])), ['refuted', 'p/wan:default-egress']);
  const [open] = proveExpectations([policy([], { egress: egress([]) })], { controllers: [controller] });
  t.match(open, {
    result: 'partly',
    open: ['p/lan'],
    counterexample: { step: { rule: 'p/wan:default-egress' } },
  });
  t.strictSame(
    result(
      policy([], {
        egress: [
          ...egress([], 'lan'),
          ...egress([{ ...tcp('mqtt', 8883), to: '192.0.2.10', origin: 'device' }]),
        ],
      }),
    ),
    ['proven', null],
    'by one zone of two',
  );
  t.strictSame(
    result(only([{ ...tcp('mqtt', 8883), to: '192.0.2.11' }])),
    ['refuted', 'p/wan:default-egress'],
    'another address',
  );
  const anywhere = [{ address: null, port: 8883 }];
  t.strictSame(
    result(only([{ ...tcp('mqtt', 8883), to: '192.0.2.11' }]), anywhere)[0],
    'partly',
    'not known which',
  );
  t.strictSame(result(only([{ ...tcp('mqtt', 8883), limit: { rate: '1/s' } }]))[0], 'limited');
  t.strictSame(
    result(policy([], { mode: 'monitor', egress: egress([]) })),
    ['proven', null],
    'monitor stops nothing',
  );
});

t.test('admins', async (t) => {
  const admins = [{ zone: 'wan', from: '192.0.2.0/24', ports: 22 }];
  const result = (rules: readonly PacketRule[]) => {
    const proof = proveExpectations([policy(rules, { admins })]).find(({ kind }) => kind === 'admins');
    return [proof?.result, proof?.counterexample?.step.rule ?? null];
  };
  t.strictSame(result([{ ...tcp('ssh', 22), from: '192.0.2.0/24', toDevice: true }]), ['proven', null]);
  t.strictSame(result([{ ...tcp('ssh', 22), from: '192.0.2.0/25' }]), ['refuted', 'p/wan:default-ingress']);
  t.strictSame(
    result([
      { id: 'martians', to: '127.0.0.0/8', action: 'drop' },
      { id: 'strange', state: 'invalid', action: 'drop' },
      tcp('ssh', 22),
    ]),
    ['proven', null],
    'what is no new connection does not count',
  );
  t.strictSame(
    result([{ id: 'long', length: '1400-1500', action: 'drop' }, tcp('ssh', 22)])[0],
    'refuted',
    'a SYN may be long',
  );
});
