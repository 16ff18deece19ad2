// Goal: the evaluator judges sequences of packets by PACKETS.md: places, connections, limits, swaps.
// Method: small policies and packets as text, one after another on one device; the page's sentences in turn.

import t from 'tap';
import type { PacketPolicy } from '../../../../agent/contract/policy.ts';
import { frameFromText } from '../../../../agent/policy/cases/frame-text.ts';
import { type DeviceView, plainDevice, usualNeverDrop } from '../../../../agent/policy/device-view.ts';
import { evaluatePacket, PacketEvaluator } from '../../../../agent/policy/evaluate.ts';
import type { PacketAt } from '../../../../agent/policy/judgement.ts';

type Spec = PacketPolicy['spec'];
const policy = (spec: Partial<Spec>): readonly [PacketPolicy] => [
  {
    apiVersion: 'husk/v1',
    kind: 'PacketPolicy',
    metadata: { name: 'p' },
    spec: {
      mode: 'enforce',
      zones: { wan: { interfaces: ['wan0'] }, lan: { interfaces: ['lan0'] } },
      ingress: [],
      egress: [],
      ...spec,
    },
  },
];
/** wan lets in what belongs to something that went out; all else may pass. */
const stateful = policy({
  ingress: [
    {
      zone: 'wan',
      default: 'drop',
      rules: [
        { id: 'back', state: ['established', 'related'], action: 'allow' },
        { id: 'through', state: 'new', toDevice: false, protocol: 'sctp', action: 'allow' },
      ],
    },
  ],
  egress: [{ zone: 'wan', default: 'allow', rules: [] }],
});
const device = plainDevice(['wan0', 'lan0'], ['192.0.2.1/24']);

/** Judges `DIRECTION INTERFACE SECONDS [from IF]: HEADERS` and says verdict, rule or reason, and state. */
function player(evaluator: PacketEvaluator) {
  return (text: string, more: Partial<PacketAt> = {}): string => {
    const parts = /^(in|out) (\S+) (\d+)(?: from (\S+))?: (.*)$/.exec(text);
    if (parts === null) throw new Error(text);
    const [, way, name = '', seconds, cameBy, packet = ''] = parts;
    const { verdict, reason, rule, state } = evaluator.judge({
      interface: name,
      direction: way === 'in' ? 'ingress' : 'egress',
      frame: frameFromText(packet),
      timeNs: BigInt(seconds ?? 0) * 1_000_000_000n,
      cameBy: cameBy ?? null,
      ...more,
    });
    return [verdict, rule ?? reason, state].join(' ');
  };
}

t.test('a connection opens, is answered, and is forgotten after its timeout', async (t) => {
  const play = player(new PacketEvaluator(stateful, device));
  const query = 'ipv4 192.0.2.1 > 198.51.100.9 / udp 5000 > 99';
  const answer = 'ipv4 198.51.100.9 > 192.0.2.1 / udp 99 > 5000';
  t.equal(play(`in wan0 0: ${answer}`), 'drop p/wan:default-ingress new');
  t.equal(play(`out wan0 1: ${query}`), 'allow p/wan:default-egress new');
  t.equal(play(`out wan0 30: ${query}`), 'allow p/wan:default-egress new', 'not answered yet');
  t.equal(play(`in wan0 59: ${answer}`), 'allow p/back established');
  t.equal(play(`in wan0 178: ${answer}`), 'allow p/back established', 'two ways: two minutes');
  t.equal(play(`in wan0 298: ${answer}`), 'drop p/wan:default-ingress new', 'forgotten');
});

t.test('a dropped packet changes nothing', async (t) => {
  const play = player(new PacketEvaluator(stateful, device));
  t.equal(play('in wan0 0: ipv4 198.51.100.9 > 192.0.2.1 / udp 99 > 5000'), 'drop p/wan:default-ingress new');
  t.equal(
    play('out wan0 0: ipv4 192.0.2.1 > 198.51.100.9 / udp 5000 > 99'),
    'allow p/wan:default-egress new',
  );
});

t.test('a closed TCP connection is opened anew by a SYN, from either side', async (t) => {
  const open = policy({
    ingress: [{ zone: 'wan', default: 'allow', rules: [{ id: 's', state: 'new', action: 'log' }] }],
  });
  const play = player(new PacketEvaluator(open, device));
  const there = 'ipv4 192.0.2.1 > 198.51.100.9 / tcp 5000 > 80';
  const back = 'ipv4 198.51.100.9 > 192.0.2.1 / tcp 80 > 5000';
  t.equal(play(`out wan0 0: ${there} syn`), 'allow default new');
  t.equal(play(`in wan0 0: ${back} syn ack`), 'allow p/wan:default-ingress established');
  t.equal(play(`in wan0 1: ${back} rst`), 'allow p/wan:default-ingress established');
  t.equal(play(`in wan0 2: ${back} syn`), 'allow p/wan:default-ingress new');
  t.equal(play(`out wan0 2: ${there} syn ack`), 'allow default established');
  t.equal(play(`in wan0 2: ${back} ack`), 'allow p/wan:default-ingress established');
});

t.test('strict wants a SYN first, loose picks up what is under way', async (t) => {
  const syn = 'ipv4 192.0.2.1 > 198.51.100.9 / tcp 1 > 80 syn';
  const ack = 'ipv4 192.0.2.1 > 198.51.100.9 / tcp 2 > 80 ack';
  const loose = player(new PacketEvaluator(stateful, device));
  t.equal(loose(`out wan0 0: ${ack}`), 'allow p/wan:default-egress new');
  t.equal(loose(`out wan0 0: ${ack}`), 'allow p/wan:default-egress established');
  const spec = { ...stateful[0].spec, connections: { tcp: 'strict' as const } };
  const strict = player(new PacketEvaluator(policy(spec), device));
  t.equal(strict(`out wan0 0: ${ack}`), 'allow p/wan:default-egress invalid');
  t.equal(strict(`out wan0 0: ${ack}`), 'allow p/wan:default-egress invalid', 'and opens nothing');
  t.equal(strict(`out wan0 0: ${syn}`), 'allow p/wan:default-egress new');
  t.equal(
    strict(`out wan0 0: ipv4 192.0.2.1 > 198.51.100.9 / tcp 1 > 80 rst`),
    'allow p/wan:default-egress new',
  );
});

t.test('a reply to a masqueraded connection goes through the device', async (t) => {
  const through = policy({
    ingress: [
      {
        zone: 'wan',
        default: 'drop',
        rules: [{ id: 'through', state: 'established', toDevice: false, action: 'allow' }],
      },
    ],
  });
  const play = player(new PacketEvaluator(through, device));
  t.equal(play('out wan0 0 from lan0: ipv4 192.0.2.1 > 198.51.100.9 / udp 5000 > 99'), 'allow default new');
  t.equal(play('in wan0 0: ipv4 198.51.100.9 > 192.0.2.1 / udp 99 > 5000'), 'allow p/through established');
  t.equal(play('out wan0 0: ipv4 192.0.2.1 > 198.51.100.9 / udp 6000 > 99'), 'allow default new');
  t.equal(
    play('in wan0 0: ipv4 198.51.100.9 > 192.0.2.1 / udp 99 > 6000'),
    'drop p/wan:default-ingress established',
    'one of its own is to the device',
  );
});

t.test('replies to what the device asked are never dropped, its own and to the services alone', async (t) => {
  const closed = policy({ ingress: [{ zone: 'wan', default: 'drop', rules: [] }] });
  const play = player(new PacketEvaluator(closed, device));
  const ask = (port: number, to: number) => `ipv4 192.0.2.1 > 198.51.100.9 / udp ${port} > ${to}`;
  const answer = (port: number, to: number) => `ipv4 198.51.100.9 > 192.0.2.1 / udp ${to} > ${port}`;
  play(`out wan0 0: ${ask(1, 53)}`);
  t.equal(play(`in wan0 0: ${answer(1, 53)}`), 'allow never-drop established');
  play(`out wan0 0: ${ask(2, 54)}`);
  t.equal(play(`in wan0 0: ${answer(2, 54)}`), 'drop p/wan:default-ingress established');
  play(`out wan0 0 from lan0: ${ask(3, 53)}`);
  t.equal(play(`in wan0 0: ${answer(3, 53)}`), 'drop p/wan:default-ingress established', 'of another');
});

t.test('limits are buckets of the rule, the source or the flow', async (t) => {
  const limited = (per: 'rule' | 'source' | 'flow') =>
    policy({
      ingress: [
        {
          zone: 'wan',
          default: 'drop',
          rules: [{ id: 'l', protocol: 'udp', action: 'allow', limit: { rate: '1/s', burst: 2, per } }],
        },
      ],
    });
  const from = (host: number, port: number) => `ipv4 198.51.100.${host} > 192.0.2.1 / udp ${port} > 9`;
  const plays = (['rule', 'source', 'flow'] as const).map((per) =>
    player(new PacketEvaluator(limited(per), device)),
  );
  const all = (text: string) => plays.map((play) => play(text).split(' ').slice(0, 2).join(' '));
  const [yes, no] = ['allow p/l', 'drop p/l'];
  t.strictSame(all(`in wan0 0: ${from(1, 1)}`), [yes, yes, yes]);
  t.strictSame(all(`in wan0 0: ${from(1, 1)}`), [yes, yes, yes]);
  t.strictSame(all(`in wan0 0: ${from(1, 1)}`), [no, no, no]);
  t.strictSame(all(`in wan0 0: ${from(1, 2)}`), [no, no, yes]);
  t.strictSame(all(`in wan0 0: ${from(2, 1)}`), [no, yes, yes]);
  t.strictSame(all(`in wan0 1: ${from(1, 1)}`), [yes, yes, yes], 'a second later');
  t.strictSame(all(`in wan0 1: ${from(1, 1)}`), [no, no, no]);
});

t.test('after a swap a connection is judged again, and a trial that was returned leaves none', async (t) => {
  const evaluator = new PacketEvaluator(stateful, device);
  const play = player(evaluator);
  const query = (to: number) => `ipv4 192.0.2.1 > 198.51.100.9 / udp 5000 > ${to}`;
  const answer = (to: number) => `ipv4 198.51.100.9 > 192.0.2.1 / udp ${to} > 5000`;
  play(`out wan0 0: ${query(99)}`);
  play(`out wan0 0: ${query(98)}`);
  const { spec } = stateful[0];
  evaluator.replace(
    policy({
      ...spec,
      egress: [
        {
          zone: 'wan',
          default: 'allow',
          rules: [{ id: 'no', protocol: 'udp', ports: { to: 99 }, action: 'drop' }],
        },
      ],
    }),
  );
  t.equal(play(`in wan0 0: ${answer(99)}`), 'drop p/wan:default-ingress new', 'over');
  t.equal(play(`in wan0 0: ${answer(98)}`), 'allow p/back established', 'still allowed');
  play(`out wan0 0: ${query(97)}`);
  evaluator.returned();
  t.equal(play(`in wan0 0: ${answer(97)}`), 'drop p/wan:default-ingress new', 'void');
  t.equal(play(`in wan0 0: ${answer(98)}`), 'allow p/back established', 'was there before');
});

t.test('errors are related to what they quote; later fragments are as their first', async (t) => {
  const play = player(new PacketEvaluator(stateful, device));
  t.equal(play('in wan0 0: ipv4 198.51.100.1 > 192.0.2.1 / icmp 3 1'), 'drop p/wan:default-ingress invalid');
  const fragment = (words: string) =>
    `ipv4 198.51.100.9 > 192.0.2.1 ${words} / udp 99 > 5000 length 3000 / bytes 8`;
  t.equal(play(`in wan0 0: ${fragment('offset 9')}`), 'drop p/wan:default-ingress invalid');
  play('out wan0 0: ipv4 192.0.2.1 > 198.51.100.9 / udp 5000 > 99');
  t.equal(play(`in wan0 0: ${fragment('more')}`), 'allow p/back established');
  t.equal(play(`in wan0 29: ${fragment('offset 9')}`), 'allow p/back established');
  t.equal(play(`in wan0 30: ${fragment('offset 9')}`), 'drop p/wan:default-ingress invalid');
});

t.test('an interface that lies on another is the point, or leaves it to the other', async (t) => {
  const all = policy({
    zones: { wan: { interfaces: ['*'] } },
    ingress: [{ zone: 'wan', default: 'drop', rules: [] }],
  });
  const ethernet = { link: 'ethernet', addresses: [] } as const;
  const stacked: DeviceView = {
    interfaces: [
      { ...ethernet, name: 'eth0', index: 1 },
      { ...ethernet, name: 'eth0.7', index: 2, over: { kind: 'vlan', parent: 1, id: 7 } },
      { name: 'ppp0', index: 3, link: 'ip', addresses: [], over: { kind: 'pppoe', parent: 1 } },
      { ...ethernet, name: 'mv0', index: 4, over: { kind: 'macvlan', parent: 1 } },
      { ...ethernet, name: 'bond0', index: 5, over: { kind: 'bond', ports: [6] } },
      { ...ethernet, name: 'eth1', index: 6 },
      { ...ethernet, name: 'br0', index: 7, over: { kind: 'bridge', ports: [8] } },
      { ...ethernet, name: 'eth2', index: 8 },
      { name: 'lo', index: 9, link: 'loopback', addresses: [] },
    ],
    neverDrop: usualNeverDrop,
  };
  const udp = 'ipv4 192.0.2.1 > 198.51.100.9 / udp 1 > 2';
  const judged = (name: string, frame: Uint8Array) => {
    const { verdict, reason } = evaluatePacket(
      all,
      { interface: name, direction: 'ingress', frame },
      stacked,
    );
    return `${verdict} ${reason}`;
  };
  const text = (name: string, packet: string) => judged(name, frameFromText(packet));
  t.equal(text('eth0', udp), 'drop default');
  t.equal(text('eth0', `vlan 7 / ${udp}`), 'allow deferred');
  t.equal(text('eth0', `vlan 8 / ${udp}`), 'drop default');
  t.equal(text('eth0.7', udp), 'drop default');
  t.equal(text('eth0', 'ethertype 0x8864'), 'allow deferred');
  t.equal(text('eth0', 'ethertype 0x8863'), 'drop default');
  t.equal(judged('ppp0', frameFromText(udp).slice(14)), 'drop default', 'without an Ethernet header');
  t.equal(text('mv0', udp), 'allow unzoned');
  t.equal(text('bond0', udp), 'drop default');
  t.equal(text('eth1', udp), 'allow unzoned');
  t.equal(text('br0', udp), 'allow unzoned');
  t.equal(text('eth2', udp), 'drop default');
  t.equal(text('lo', udp), 'allow unzoned');
});
