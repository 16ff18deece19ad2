// The whole packet language out of fast-check: every condition, states, limits, and packets one after another on a
// device with interfaces that lie on others. The world is small, so that rules overlap and packets answer each other.

import fc from 'fast-check';
import type {
  PacketMatch,
  PacketPolicy,
  PacketRule,
  PolicyDocument,
} from '../../../agent/contract/policy.ts';
import { frameFromText } from '../../../agent/policy/cases/frame-text.ts';
import { type DeviceView, usualNeverDrop } from '../../../agent/policy/device-view.ts';
import type { PacketAt } from '../../../agent/policy/judgement.ts';

const ethernet = { link: 'ethernet', addresses: [] } as const;
/** A router with two wires, a VLAN and a PPP session on the first, and an interface in no zone. */
export const languageDevice: DeviceView = {
  interfaces: [
    { ...ethernet, name: 'wan0', index: 1000, addresses: ['192.0.2.1/24', '2001:db8::1/64'] },
    { ...ethernet, name: 'lan0', index: 1001, addresses: ['10.0.0.1/24'] },
    { ...ethernet, name: 'wan0.5', index: 1002, over: { kind: 'vlan', parent: 1000, id: 5 } },
    {
      name: 'ppp0',
      index: 1003,
      link: 'ip',
      addresses: ['203.0.113.1/32'],
      over: { kind: 'pppoe', parent: 1000 },
    },
    { ...ethernet, name: 'none0', index: 1004 },
  ],
  neverDrop: { ...usualNeverDrop, dhcpServer: ['lan0'], arp: ['wan*'] },
};
const zones = { wan: { interfaces: ['wan0', 'wan0.5', 'ppp*'] }, lan: { interfaces: ['lan*'] } } as const;

const pick = <const T extends readonly unknown[]>(...values: T) =>
  fc.constantFrom(...values) as fc.Arbitrary<T[number]>;
/** A value or a list of them, now and then turned round. */
const orNot = <T>(value: fc.Arbitrary<T>) =>
  fc.oneof(
    { weight: 3, arbitrary: value },
    { weight: 2, arbitrary: fc.array(value, { minLength: 1, maxLength: 3 }) },
    { weight: 1, arbitrary: fc.record({ not: value }) },
    { weight: 1, arbitrary: fc.record({ not: fc.array(value, { minLength: 1, maxLength: 3 }) }) },
  );
const address = pick(
  '192.0.2.1',
  '192.0.2.0/24',
  '10.0.0.0/8',
  '198.51.100.9',
  '2001:db8::/32',
  '2001:db8::1',
  '0.0.0.0/1',
);
const port: fc.Arbitrary<number | string> = pick(1, 22, 53, 80, '0-1023', '1024-65535', '50-60');

/** Each condition in so many of so many rules. */
const rarely = <T>(often: number, arbitrary: fc.Arbitrary<T>) =>
  fc.oneof({ weight: often - 1, arbitrary: fc.constant(undefined) }, { weight: 1, arbitrary });
const sometimes = <T>(arbitrary: fc.Arbitrary<T>) => rarely(3, arbitrary);
const seldom = <T>(arbitrary: fc.Arbitrary<T>) => rarely(9, arbitrary);

const transport: fc.Arbitrary<Partial<PacketMatch>> = fc.oneof(
  fc.constant({}),
  fc.record({ protocol: orNot(pick('tcp', 'udp', 'icmp', 'icmpv6', 'gre', 253)) }),
  fc.record({
    protocol: pick(['tcp'], ['udp'], ['tcp', 'udp'], ['sctp', 'udplite']),
    ports: fc.oneof(fc.record({ to: orNot(port) }), fc.record({ from: orNot(port), to: orNot(port) })),
  }),
  fc.record({
    protocol: fc.constant('tcp' as const),
    tcpFlags: pick({ set: ['syn'] }, { set: ['ack'], unset: ['syn'] }, { unset: ['fin', 'rst'] }),
  }),
  fc.record({
    protocol: pick('icmp' as const, 'icmpv6' as const),
    icmp: orNot(pick<readonly (number | string)[]>(8, 0, '3/4', '128-129', 1)),
  }),
);

const match = (direction: 'ingress' | 'egress'): fc.Arbitrary<PacketMatch> =>
  fc
    .tuple(
      transport,
      fc.record({
        family: seldom(pick('ipv4' as const, 'ipv6' as const)),
        from: seldom(orNot(address)),
        to: seldom(orNot(address)),
        state: sometimes(
          pick('new' as const, 'established' as const, 'related' as const, 'invalid' as const),
        ),
        toDevice: direction === 'ingress' ? seldom(fc.boolean()) : fc.constant(undefined),
        origin: direction === 'egress' ? seldom(orNot(pick('device', 'lan', 'wan'))) : fc.constant(undefined),
        interface: seldom(orNot(pick('wan0', 'wan*', 'lan0', '*'))),
        vlan: seldom(pick('none', 5, '6-9', { outer: 7, inner: 8 }, { inner: 'none' }, { inner: [8, 9] })),
        etherType: seldom(
          orNot(pick('ipv4' as const, 'ipv6' as const, 'arp' as const, 'lldp' as const, 0x9000)),
        ),
        mac: seldom(fc.record({ from: orNot(pick('02:00:00:00:00:02', '02:00:00:00:00:0a')) })),
        dscp: seldom(orNot(pick<readonly (number | string)[]>('ef', 0, 10))),
        length: seldom(orNot(pick<readonly (number | string)[]>('0-40', '41-100', 28))),
        fragment: seldom(pick('any' as const, 'first' as const, 'later' as const, 'none' as const)),
      }),
    )
    .map(([first, rest]) => defined({ ...first, ...rest }) as PacketMatch);

/** Leaves keys out, as a document does, instead of setting them to undefined. */
const defined = (value: object) =>
  Object.fromEntries(Object.entries(value).filter(([, one]) => one !== undefined));

const rule = (direction: 'ingress' | 'egress'): fc.Arbitrary<Omit<PacketRule, 'id'>> =>
  fc
    .tuple(
      match(direction),
      pick('allow' as const, 'allow' as const, 'drop' as const, 'reject' as const, 'log' as const),
      fc.record({
        mode: seldom(pick('off' as const, 'monitor' as const)),
        limit: rarely(
          2,
          fc
            .record({
              rate: pick('1/s', '2/s', '30/m', '5/h'),
              burst: pick(1, 1, 2, 3),
              per: seldom(pick('rule' as const, 'source' as const, 'flow' as const)),
              over: seldom(pick('drop' as const, 'next' as const)),
            })
            .map(defined),
        ),
      }),
    )
    .map(
      ([conditions, action, rest]) => ({ ...conditions, action, ...defined(rest) }) as Omit<PacketRule, 'id'>,
    );

const list = (zone: 'wan' | 'lan', direction: 'ingress' | 'egress') =>
  fc
    .record({
      rules: fc.array(rule(direction), { minLength: 1, maxLength: 7, size: 'max' }),
      default: pick('allow' as const, 'allow' as const, 'drop' as const, 'reject' as const),
    })
    .map(({ rules, default: fallback }) => ({
      zone,
      default: fallback,
      rules: rules.map((one, index) => ({ id: `${zone[0]}${direction[0]}${index}`, ...one })),
    }));

/** Shape and values are right; rules may be covered, or leave nothing. */
export const languageDocuments: fc.Arbitrary<readonly [PacketPolicy] & readonly PolicyDocument[]> = fc
  .record({
    mode: pick('enforce' as const, 'enforce' as const, 'enforce' as const, 'monitor' as const),
    tcp: pick('strict' as const, 'loose' as const),
    ingress: fc.tuple(list('wan', 'ingress'), list('lan', 'ingress')),
    egress: fc.tuple(list('wan', 'egress'), list('lan', 'egress')),
  })
  .map(({ mode, tcp, ingress, egress }) => [
    {
      apiVersion: 'husk/v1',
      kind: 'PacketPolicy',
      metadata: { name: 'p' },
      spec: { mode, zones, connections: { tcp, timeouts: { udpOneWay: 5 } }, ingress, egress },
    },
  ]);

/** A conversation between an inside and an outside end, so that packets answer each other. */
const ends = [
  ['192.0.2.1', '198.51.100.9'],
  ['10.0.0.9', '198.51.100.9'],
  ['2001:db8::1', '2001:db8:9::9'],
] as const;
const transports = [
  ['tcp 1025 > 80 syn', 'tcp 80 > 1025 syn ack'],
  ['tcp 1025 > 80 ack', 'tcp 80 > 1025 ack'],
  ['tcp 1025 > 80 fin ack', 'tcp 80 > 1025 rst'],
  ['udp 1025 > 53', 'udp 53 > 1025'],
  ['udp 68 > 67', 'udp 67 > 68'],
  ['sctp 1 > 22', 'sctp 22 > 1'],
  ['udplite 1 > 22', 'udplite 22 > 1'],
  ['gre', 'gre'],
] as const;
const pings = { ipv4: ['icmp 8 id 3', 'icmp 0 id 3'], ipv6: ['icmpv6 128 id 3', 'icmpv6 129 id 3'] } as const;

const ipText = fc
  .record({
    ends: pick(...ends),
    transport: fc.option(pick(...transports), { nil: null, freq: 5 }),
    isBack: fc.boolean(),
    words: pick('', '', '', '', 'dscp 46', 'dscp 10'),
    fragment: pick('', '', '', '', '', 'more', 'offset 9'),
    isError: pick(true, false, false, false, false, false, false, false),
    payload: pick('', '', ' / bytes 40'),
  })
  .map(({ ends: [inside, outside], transport, isBack, words, fragment, isError, payload }) => {
    const isSix = inside.includes(':');
    const [from, to] = isBack ? [outside, inside] : [inside, outside];
    const pair = transport ?? pings[isSix ? 'ipv6' : 'ipv4'];
    const layer4 = pair[isBack ? 1 : 0];
    const ip = isSix ? `ipv6 ${from} > ${to}` : `ipv4 ${from} > ${to}`;
    // An error comes back to whom it quotes.
    if (isError) {
      const error = isSix ? 'icmpv6 1' : 'icmp 3 1';
      return `${isSix ? 'ipv6 2001:db8:5::5' : 'ipv4 203.0.113.77'} > ${from} / ${error} quotes (${ip} / ${layer4})`;
    }
    const cut = fragment === '' || isSix ? ip : `${ip} ${fragment}`;
    const header = fragment === '' || !isSix ? '' : ` / fragment ${fragment === 'more' ? '0 more' : '9'}`;
    return `${cut} ${words}${header} / ${layer4}${payload}`;
  });
const frameText = fc
  .tuple(
    pick('', '', '', 'eth 02:00:00:00:00:0a > 02:00:00:00:00:01 / '),
    pick('', '', '', '', 'vlan 5 / ', 'vlan 7 / ', 'qinq 7 / vlan 8 / '),
    fc.oneof(
      { weight: 12, arbitrary: ipText },
      { weight: 1, arbitrary: pick('arp', 'ethertype 0x88cc', 'ethertype 0x8864') },
    ),
  )
  .map((parts) => parts.join(''));

const packet: fc.Arbitrary<Omit<PacketAt, 'timeNs'> & { readonly afterMs: number }> = fc
  .record({
    interface: pick('wan0', 'wan0', 'wan0', 'lan0', 'lan0', 'wan0.5', 'ppp0', 'none0'),
    direction: pick('ingress' as const, 'egress' as const),
    text: frameText,
    cameBy: pick(null, null, 'lan0', 'wan0'),
    afterMs: pick(0, 0, 0, 10, 500, 1000, 4000, 6000, 31_000),
  })
  .map(({ text, interface: name, direction, cameBy, afterMs }) => {
    const whole = frameFromText(name === 'ppp0' ? text.replace(/^.*?(?=ipv[46] )/, '') : text);
    return {
      interface: name,
      direction,
      frame: name === 'ppp0' ? whole.slice(14) : whole,
      cameBy: direction === 'egress' ? cameBy : null,
      afterMs,
    };
  });

/** Packets in the order of their times. */
export const packetSequence: fc.Arbitrary<readonly PacketAt[]> = fc
  .array(packet, { minLength: 20, maxLength: 60, size: 'max' })
  .map((packets) => {
    let timeNs = 0n;
    return packets.map(({ afterMs, ...at }) => {
      timeNs += BigInt(afterMs) * 1_000_000n;
      return { ...at, timeNs };
    });
  });
