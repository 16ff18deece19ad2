// Policies, packets and calls out of fast-check, from a small world: few addresses, ports and flags, so that
// rules overlap and packets hit them. Frames are often broken on purpose.

import fc from 'fast-check';
import type {
  AddressMatch,
  AddressSet,
  CallMatch,
  HardeningMode,
  HardeningPolicy,
  HardeningRule,
  Mode,
  PacketPolicy,
  PacketRule,
  PolicyDocument,
  PortMatch,
} from '../../../agent/contract/policy.ts';
import { parseAddress } from '../../../agent/policy/addresses.ts';
import { frameFromText } from '../../../agent/policy/cases/frame-text.ts';
import type { CanaryOperation } from '../../../agent/policy/judgement.ts';

const apiVersion = 'husk/v1';
export const interfaces = ['wan0', 'lan0', 'lan1', 'none0'] as const;

/** `arbitrary` in one of `often` cases, else nothing. */
const seldom = <T extends object>(often: number, arbitrary: fc.Arbitrary<T>): fc.Arbitrary<T | object> =>
  fc.oneof({ weight: often - 1, arbitrary: fc.constant({}) }, { weight: 1, arbitrary });

const hosts4 = [
  '192.0.2.1',
  '192.0.2.2',
  '192.0.2.3',
  '192.0.2.130',
  '198.51.100.1',
  '10.0.0.1',
  '255.255.255.255',
  '0.0.0.0',
];
const hosts6 = [
  '2001:db8::1',
  '2001:db8::2',
  '2001:db8:1::1',
  'fe80::1',
  '::1',
  '::',
  'ff02::1',
  '::ffff:192.0.2.1',
];
const entries4 = [
  ...hosts4,
  '192.0.2.0/25',
  '192.0.2.0/24',
  '192.0.0.0/16',
  '0.0.0.0/0',
  '192.0.2.2-192.0.2.130',
  '10.0.0.0/8',
  '0.0.0.0/1',
];
const entries6 = [
  ...hosts6.filter((one) => !one.startsWith('::ffff')),
  '2001:db8::/32',
  '2001:db8::/64',
  '::/0',
  'fe80::/10',
  '2001:db8::1-2001:db8:1::',
];
const numbers = [0, 1, 22, 53, 67, 68, 80, 443, 546, 547, 1023, 1024, 65535];

const entry = fc.constantFrom(...entries4, ...entries6);
const entryList = fc.array(entry, { minLength: 1, maxLength: 4 });
const setNames = ['a', 'b', 'c', 'feed'] as const;
const addressMatch: fc.Arbitrary<AddressMatch> = fc.oneof(
  entry,
  entryList,
  fc.record({ set: fc.constantFrom(...setNames) }),
  fc.record({ set: fc.constantFrom(...setNames), not: fc.boolean() }),
  fc.record({ not: fc.oneof(entry, entryList) }),
);

const portEntry = fc.oneof(
  fc.constantFrom(...numbers),
  fc.constantFrom('0-65535', '1-1023', '53-80', '1024-65535'),
);
const portMatch: fc.Arbitrary<PortMatch> = fc.oneof(
  portEntry,
  fc.array(portEntry, { minLength: 1, maxLength: 2 }),
);
const flag = fc.constantFrom('fin', 'syn', 'rst', 'psh', 'ack', 'urg');
const mode = fc.constantFrom('off', 'monitor', 'enforce');
const lowerMode = fc.constantFrom('off' as const, 'monitor' as const, 'monitor' as const);

/** Leaves keys out, as a document does, instead of setting them to undefined. */
const optional = <T extends object>(model: { readonly [K in keyof T]: fc.Arbitrary<T[K]> }) =>
  fc.record<T>(model as never, { requiredKeys: [] }) as unknown as fc.Arbitrary<Partial<T>>;

const transportPart: fc.Arbitrary<Partial<PacketRule>> = fc.oneof(
  fc.constant({}),
  fc.record({
    protocol: fc.constantFrom(
      'tcp' as const,
      'udp' as const,
      'sctp' as const,
      'icmp' as const,
      'icmpv6' as const,
      0,
      43,
      59,
      60,
      253,
    ),
  }),
  fc.record({
    protocol: fc.constantFrom('tcp' as const, 'udp' as const, 17, 132),
    ports: fc.oneof(
      fc.record({ to: portMatch }),
      fc.record({ from: portMatch }),
      fc.record({ from: portMatch, to: portMatch }),
    ),
  }),
  fc
    .record({ set: fc.uniqueArray(flag, { maxLength: 3 }), unset: fc.uniqueArray(flag, { maxLength: 3 }) })
    .map(({ set, unset }) => ({
      protocol: 'tcp' as const,
      tcpFlags: { set, unset: unset.filter((one) => !set.includes(one)) },
    })),
);

const packetRule: fc.Arbitrary<Omit<PacketRule, 'id'>> = fc
  .tuple(
    seldom(2, fc.record({ from: addressMatch })),
    seldom(4, fc.record({ to: addressMatch })),
    seldom(5, fc.record({ family: fc.constantFrom('ipv4' as const, 'ipv6' as const) })),
    seldom(5, fc.record({ mode: lowerMode })),
    transportPart,
    fc.constantFrom('allow' as const, 'drop' as const),
  )
  .map(([from, to, family, own, transport, action]) => ({
    ...from,
    ...to,
    ...family,
    ...own,
    ...transport,
    action,
  }));

/** Rules are numbered, and no rule asks for more than the policy's mode. */
const numbered = <M extends HardeningMode, T extends { readonly mode?: M }>(
  rules: readonly (T & { readonly mode?: M })[],
  prefix: string,
  policyMode: string,
) =>
  rules.map((rule, index) => {
    const { mode: own, ...rest } = rule;
    const isKept = own !== undefined && (policyMode !== 'off' || own === 'off');
    return { id: `${prefix}${index}`, ...(isKept ? { mode: own } : {}), ...rest };
  });

const rules = fc.array(packetRule, { minLength: 1, maxLength: 8, size: 'max' });
const packetPolicy: fc.Arbitrary<readonly PolicyDocument[]> = fc
  .record({
    policyMode: fc.constantFrom(
      'enforce' as const,
      'enforce' as const,
      'enforce' as const,
      'monitor' as const,
    ),
    unparseable: fc.constantFrom('allow' as const, 'drop' as const),
    sets: fc.record({ a: fc.array(entry, { maxLength: 4 }), b: entryList, c: entryList }),
    feed: fc.array(entry, { maxLength: 6 }),
    lists: fc.array(fc.record({ rules, default: fc.constantFrom('allow' as const, 'drop' as const) }), {
      minLength: 4,
      maxLength: 4,
    }),
    present: fc.array(fc.constantFrom(true, true, true, false), { minLength: 4, maxLength: 4 }),
  })
  .map(({ policyMode, unparseable, sets, feed, lists, present }) => {
    const listAt = (index: number, zone: string, prefix: string) => {
      const list = lists[index];
      if (list === undefined || !present[index]) return [];
      return [{ zone, default: list.default, rules: numbered(list.rules, prefix, policyMode) }];
    };
    const addressSet: AddressSet = {
      apiVersion,
      kind: 'AddressSet',
      metadata: { name: 'feed' },
      spec: { addresses: feed },
    };
    const policy: PacketPolicy = {
      apiVersion,
      kind: 'PacketPolicy',
      metadata: { name: 'p' },
      spec: {
        mode: policyMode,
        unparseable,
        zones: { wan: { interfaces: ['wan0'] }, lan: { interfaces: ['lan*'] } },
        sets: { ...sets, feed: { addressSet: 'feed' } },
        ingress: [...listAt(0, 'wan', 'wi'), ...listAt(1, 'lan', 'li')],
        egress: [...listAt(2, 'wan', 'we'), ...listAt(3, 'lan', 'le')],
      },
    };
    return [addressSet, policy];
  });
export const packetDocuments = packetPolicy;

const number = fc.constantFrom(...numbers);
const transportText = fc.oneof(
  fc
    .tuple(number, number, fc.array(flag, { maxLength: 6 }))
    .map(([from, to, flags]) => `tcp ${from} > ${to} ${flags.join(' ')}`),
  fc.tuple(number, number).map(([from, to]) => `udp ${from} > ${to}`),
  fc.tuple(number, number).map(([from, to]) => `sctp ${from} > ${to}`),
  fc
    .tuple(fc.constantFrom(0, 8, 128, 132, 133, 135, 137, 138), fc.constantFrom(0, 0, 1))
    .map(([type, code]) => `icmpv6 ${type} ${code}`),
  fc.constantFrom('icmp 8', 'icmp 0', 'protocol 253', 'protocol 59', 'esp', 'gre'),
  fc.tuple(number, number).map(([from, to]) => `tcp ${from} > ${to} syn options 8 / bytes 20`),
  fc.tuple(number, number).map(([from, to]) => `udp ${from} > ${to} / bytes 9`),
);
const extension = fc.constantFrom(
  'hop-by-hop',
  'destination',
  'routing words 1',
  'ah',
  'mobility',
  'fragment 0',
  'fragment 0 more',
  'fragment 1',
  'fragment 7',
  'fragment 7 more',
  'destination words 30 bytes 8',
);
const ipv4Text = fc
  .tuple(
    fc.constantFrom(...hosts4),
    fc.constantFrom(...hosts4),
    fc.constantFrom(
      '',
      '',
      '',
      'more',
      'offset 1',
      'offset 3',
      'more offset 3',
      'options 8',
      'ttl 255',
      'words 4',
      'version 5',
      'total 24',
      'total 60',
    ),
  )
  .map(([from, to, words]) => `ipv4 ${from} > ${to} ${words}`);
const ipv6Text = fc
  .tuple(
    fc.constantFrom(...hosts6),
    fc.constantFrom(...hosts6),
    fc.constantFrom('', '', '', '', 'hops 255', 'hops 255', 'hops 255', 'version 4', 'length 5'),
    fc.oneof(
      { weight: 3, arbitrary: fc.constant([]) },
      { weight: 2, arbitrary: fc.array(extension, { maxLength: 10 }) },
    ),
  )
  .map(([from, to, words, headers]) => [`ipv6 ${from} > ${to} ${words}`, ...headers].join(' / '));
const networkText = fc.oneof(
  { weight: 6, arbitrary: fc.tuple(ipv4Text, transportText).map((parts) => parts.join(' / ')) },
  { weight: 6, arbitrary: fc.tuple(ipv6Text, transportText).map((parts) => parts.join(' / ')) },
  { weight: 1, arbitrary: fc.constantFrom('arp', 'ethertype 0x88cc', 'ethertype 100') },
);
const tags = fc.oneof(
  { weight: 6, arbitrary: fc.constant('') },
  {
    weight: 2,
    arbitrary: fc.constantFrom('vlan 5 / ', 'vlan 5 / ', 'qinq 7 / vlan 5 / ', 'vlan 1 / vlan 2 / vlan 3 / '),
  },
);

/** Whole frames, cut ones, and ones with bytes turned. */
const frame: fc.Arbitrary<Uint8Array> = fc
  .tuple(
    tags,
    networkText,
    fc.oneof(
      { weight: 8, arbitrary: fc.constant({ cut: 0, turned: [] as readonly (readonly [number, number])[] }) },
      { weight: 1, arbitrary: fc.integer({ min: 15, max: 90 }).map((cut) => ({ cut, turned: [] })) },
      {
        weight: 2,
        arbitrary: fc
          .array(fc.tuple(fc.integer({ min: 12, max: 80 }), fc.integer({ min: 0, max: 255 })), {
            minLength: 1,
            maxLength: 3,
          })
          .map((turned) => ({ cut: 0, turned })),
      },
    ),
  )
  .map(([before, network, { cut, turned }]) => {
    const whole = frameFromText(before + network);
    const bytes = cut === 0 ? whole : whole.slice(0, cut);
    for (const [at, value] of turned) if (at < bytes.length) bytes[at] = value;
    return bytes;
  });

export interface PacketSent {
  readonly interface: string;
  readonly direction: 'ingress' | 'egress';
  readonly frame: Uint8Array;
}
export const packetSent: fc.Arbitrary<PacketSent> = fc.record({
  interface: fc.constantFrom('wan0' as const, ...interfaces),
  direction: fc.constantFrom('ingress' as const, 'egress' as const),
  frame,
});

const addressSource = fc.oneof(entryList, fc.constant({ addressSet: 'feed' }));
const callMatch: fc.Arbitrary<CallMatch> = fc
  .tuple(
    fc.oneof(fc.constant({}), fc.record({ to: addressSource }), fc.record({ except: addressSource })),
    seldom(3, fc.record({ protocol: fc.constantFrom('tcp' as const, 'udp' as const) })),
    seldom(2, fc.record({ ports: portMatch })),
  )
  .map(([addresses, protocol, ports]) => ({ ...addresses, ...protocol, ...ports }));
const socketMatch = fc
  .tuple(
    fc.uniqueArray(fc.constantFrom('inet' as const, 'inet6' as const), { minLength: 1 }),
    fc.uniqueArray(fc.constantFrom('stream' as const, 'dgram' as const, 'raw' as const)),
  )
  .map(([family, type]) => (type.length === 0 ? { family } : { family, type }));
const callRule: fc.Arbitrary<Omit<HardeningRule, 'id' | 'mode'> & { mode?: Mode }> = fc
  .tuple(
    fc.oneof(
      { weight: 4, arbitrary: fc.record({ connect: callMatch }) },
      { weight: 2, arbitrary: fc.record({ bind: callMatch }) },
      { weight: 1, arbitrary: fc.record({ socket: socketMatch }) },
    ),
    seldom(5, fc.record({ mode: lowerMode })),
    fc.constantFrom('allow' as const, 'deny' as const),
  )
  .map(([what, own, action]) => ({ ...what, ...own, action }));
const callDefault = fc.constantFrom('allow' as const, 'deny' as const);

export const cgroups = ['d', 'd/x', 'd/x/y', 'd/z', 'e', 'dd'] as const;
const hardening = (name: string, cgroup: string): fc.Arbitrary<HardeningPolicy> =>
  fc
    .record({
      policyMode: fc.oneof(
        { weight: 4, arbitrary: fc.constant('enforce' as const) },
        { weight: 1, arbitrary: mode },
      ),
      defaults: optional<{ connect: 'allow' | 'deny'; bind: 'allow' | 'deny' }>({
        connect: callDefault,
        bind: callDefault,
      }),
      rules: fc.array(callRule, { minLength: 1, maxLength: 6, size: 'max' }),
    })
    .map(({ policyMode, defaults, rules }) => ({
      apiVersion,
      kind: 'HardeningPolicy',
      metadata: { name },
      spec: {
        mode: policyMode as 'enforce',
        subject: { cgroup },
        default: defaults,
        rules: numbered(rules, 'r', policyMode),
      },
    }));
export const callDocuments: fc.Arbitrary<readonly PolicyDocument[]> = fc
  .tuple(
    fc.array(entry, { maxLength: 5 }),
    hardening('h', 'd'),
    hardening('i', 'd/x'),
    hardening('j', 'd/x'),
    hardening('k', 'e'),
  )
  .map(([addresses, ...policies]) => [
    { apiVersion, kind: 'AddressSet', metadata: { name: 'feed' }, spec: { addresses } },
    ...policies,
  ]);

const callAddress = fc.oneof(
  fc.constantFrom(...hosts4).map((text) => ({ family: 4 as const, address: parseAddress(text).slice(12) })),
  fc.constantFrom(...hosts6).map((text) => ({ family: 6 as const, address: parseAddress(text) })),
);
export const callMade: fc.Arbitrary<CanaryOperation> = fc.oneof(
  {
    weight: 5,
    arbitrary: fc
      .tuple(
        fc.constantFrom('connect' as const, 'bind' as const, 'sendto' as const),
        callAddress,
        fc.boolean(),
        number,
      )
      .map(([call, where, isTcp, port]) => {
        const transport = isTcp && call !== 'sendto' ? { type: 1, protocol: 6 } : { type: 2, protocol: 17 };
        return { call, ...where, ...transport, port };
      }),
  },
  {
    weight: 1,
    arbitrary: fc
      .tuple(fc.constantFrom(2, 10), fc.constantFrom([1, 0], [2, 0], [3, 255]))
      .map(([family, [type = 1, protocol = 0]]) => ({ call: 'socket' as const, family, type, protocol })),
  },
);
