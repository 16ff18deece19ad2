// The shape of a PacketPolicy; see schema.ts. What a condition means is in PACKETS.md.

import * as z from 'zod';
import { apiVersion } from '../contract/policy.ts';
import { dscpNames, etherTypeNumbers, protocolNumbers, tcpFlagBits } from './numbers.ts';
import {
  addresses,
  addressesMax,
  addressList,
  addressSetReference,
  interfaceGlob,
  localName,
  metadata,
  mode,
  numberMatch,
  optional,
  portMatch,
  rulesMax,
  setsMax,
  words,
  zonesMax,
} from './shapes.ts';

const valuesMax = 64;
const expectationsMax = 1000;
/** A week; longer than any translator on the way remembers. */
const timeoutSecondsMax = 604_800;
const burstMax = 1_000_000;

const oneOrMore = <T extends z.ZodType>(one: T) => z.union([one, z.array(one).min(1).max(valuesMax)]);
const orNot = <T extends z.ZodType>(value: T) =>
  z.union([value, z.strictObject({ not: value.describe('Everything but this.') })]);

const addressMatch = z
  .union([
    addresses,
    addressList,
    z.strictObject({
      set: localName.describe('Name of a set of this policy.'),
      not: optional(z.boolean().describe('true: every address that is not in the set.')),
    }),
    z.strictObject({ not: z.union([addresses, addressList]).describe('Every address but these.') }),
  ])
  .describe('Addresses written out, or a set by its name.');

const protocol = z
  .union([words(protocolNumbers), z.int().min(0).max(255)])
  .describe('By name, or the number in the IP header.');
const tcpFlags = z.array(words(tcpFlagBits)).max(Object.keys(tcpFlagBits).length);
const icmpType = z.union([
  z.int().min(0).max(255),
  z
    .string()
    .max(16)
    .regex(
      /^\d{1,3}(\/\d{1,3}|-\d{1,3})?$/,
      'has to be a type, type/code, or a range of types such as 128-129',
    ),
]);
const etherType = z.union([words(etherTypeNumbers), z.int().min(0).max(0xffff)]);
const macAddress = z
  .string()
  .regex(/^[0-9a-fA-F]{2}(:[0-9a-fA-F]{2}){5}$/, 'has to be a MAC address such as 02:00:00:00:00:01');
const dscp = z.union([
  z.int().min(0).max(63),
  z
    .string()
    .refine(
      (name) => Object.hasOwn(dscpNames, name),
      'is not a name of a code point such as ef, cs6 or af41',
    ),
]);
const vlan = z.union([
  z.literal('none'),
  numberMatch,
  z.strictObject({
    outer: optional(numberMatch),
    inner: optional(z.union([z.literal('none'), numberMatch])),
  }),
]);
const zoneName = localName.describe('Name of a zone of this policy.');

/** Conditions that a rule and an expectation share. */
const commonMatch = {
  family: optional(z.enum(['ipv4', 'ipv6'])),
  from: optional(addressMatch.describe('Source addresses.')),
  to: optional(addressMatch.describe('Destination addresses.')),
  protocol: optional(orNot(oneOrMore(protocol))),
  ports: optional(
    z
      .strictObject({ from: optional(orNot(portMatch)), to: optional(orNot(portMatch)) })
      .describe('tcp, udp, sctp and udplite only. A later fragment carries no ports and does not match.'),
  ),
  tcpFlags: optional(
    z
      .strictObject({ set: optional(tcpFlags), unset: optional(tcpFlags) })
      .describe('tcp only: flags that must be set, and flags that must not be.'),
  ),
  icmp: optional(orNot(oneOrMore(icmpType)).describe('icmp and icmpv6 only: type, or type/code.')),
  state: optional(
    oneOrMore(z.enum(['new', 'established', 'related', 'invalid'])).describe(
      'Of the connection it belongs to.',
    ),
  ),
  toDevice: optional(z.boolean().describe('ingress: whether it is for the device itself, or goes through.')),
  origin: optional(
    orNot(oneOrMore(localName)).describe('egress: "device", or the zone by which it came in.'),
  ),
  etherType: optional(orNot(oneOrMore(etherType)).describe('After VLAN tags.')),
  fragment: optional(z.enum(['any', 'first', 'later', 'none'])),
};

export const packetMatch = {
  ...commonMatch,
  interface: optional(orNot(oneOrMore(interfaceGlob)).describe('Narrower than the zone.')),
  vlan: optional(vlan.describe('VLAN ids from the outside in; none: without a tag.')),
  mac: optional(
    z.strictObject({
      from: optional(orNot(oneOrMore(macAddress))),
      to: optional(orNot(oneOrMore(macAddress))),
    }),
  ),
  dscp: optional(orNot(oneOrMore(dscp)).describe('Differentiated services code point.')),
  length: optional(orNot(numberMatch).describe('Bytes from the IP header on.')),
};

const rate = z
  .string()
  .regex(/^[1-9]\d{0,8}\/[smhd]$/, 'has to be a rate such as 10/s, 600/m, 5/h or 100/d')
  .describe('Packets per second, minute, hour or day.');

export const limit = z
  .strictObject({
    rate,
    burst: optional(z.int().min(1).max(burstMax)),
    per: optional(z.enum(['rule', 'source', 'flow'])),
    prefix: optional(
      z.strictObject({
        ipv4: optional(z.int().min(0).max(32)),
        ipv6: optional(z.int().min(0).max(128)),
      }),
    ),
    over: optional(z.enum(['drop', 'next'])),
  })
  .describe('A token bucket: burst packets at once, refilled at rate.');

export const rejectWith = z.enum([
  'tcp-reset',
  'port-unreachable',
  'host-unreachable',
  'net-unreachable',
  'admin-prohibited',
]);

const packetRule = z.strictObject({
  id: localName.describe('Unique in the document; counters and events are kept under document/id.'),
  mode: optional(mode),
  ...packetMatch,
  action: z.enum(['allow', 'drop', 'reject', 'log']),
  rejectWith: optional(rejectWith),
  limit: optional(limit),
  log: optional(z.strictObject({ sample: optional(z.int().min(1).max(1_000_000)) })),
});

const zoneRules = z.strictObject({
  zone: zoneName,
  default: z.enum(['allow', 'drop', 'reject']).describe('What happens to a packet that no rule decides.'),
  rules: z.array(packetRule).max(rulesMax).describe('The first rule that matches decides.'),
  synCookies: optional(
    z
      .strictObject({
        above: rate.describe('SYNs of the zone to the device itself that are handled as any other.'),
        perSource: optional(rate.describe('SYNs of each source where no cookie can be given.')),
      })
      .describe('ingress: SYNs to the device itself above a rate are answered with SYN cookies.'),
  ),
});

const expectation = z
  .strictObject({
    id: localName.describe('Shown where it fails.'),
    zone: zoneName,
    direction: optional(z.enum(['ingress', 'egress'])),
    ...commonMatch,
    verdict: z.enum(['allow', 'drop']),
  })
  .describe('Every packet described gets this verdict.');

const admins = z
  .strictObject({
    zone: zoneName,
    from: addressMatch,
    protocol: optional(z.enum(['tcp', 'udp'])),
    ports: portMatch,
  })
  .describe('New connections from these addresses to these ports of the device are allowed.');

const timeout = optional(z.int().min(1).max(timeoutSecondsMax));
const connections = z.strictObject({
  tcp: optional(z.enum(['strict', 'loose'])),
  timeouts: optional(
    z.strictObject({
      tcpOpening: timeout,
      tcpEstablished: timeout,
      tcpClosing: timeout,
      udpOneWay: timeout,
      udp: timeout,
      icmp: timeout,
      other: timeout,
    }),
  ),
});

export const packetPolicySchema = z.strictObject({
  apiVersion: z.literal(apiVersion),
  kind: z.literal('PacketPolicy'),
  metadata,
  spec: z.strictObject({
    mode,
    zones: z
      .record(
        localName,
        z.strictObject({
          interfaces: z.array(interfaceGlob).min(1).max(64),
          uncovered: optional(
            z.enum(['allow', 'drop']).describe('While no program covers an interface of the zone yet.'),
          ),
        }),
      )
      .refine((zones) => Object.keys(zones).length <= zonesMax, `at most ${zonesMax} zones`)
      .describe('Zone to its interfaces. An interface is in one zone at the most.'),
    sets: optional(
      z
        .record(localName, z.union([z.array(addresses).max(addressesMax), addressSetReference]))
        .refine((sets) => Object.keys(sets).length <= setsMax, `at most ${setsMax} sets`)
        .describe('Named sets of addresses, for from and to of rules.'),
    ),
    unparseable: optional(
      z
        .enum(['allow', 'drop'])
        .describe('What happens to a packet whose headers cannot be read. Default: drop.'),
    ),
    connections: optional(connections.describe('How connections are followed.')),
    ingress: z.array(zoneRules).max(zonesMax),
    egress: z.array(zoneRules).max(zonesMax),
    admins: optional(z.array(admins).max(valuesMax)),
    expect: optional(z.array(expectation).max(expectationsMax)),
  }),
});
