// The numbers behind the words of a policy: IANA protocol numbers, TCP flag bits (RFC 9293 §3.1), and
// Linux's numbers for families and types of sockets, which are the same on every architecture but MIPS
// (there SOCK_STREAM and SOCK_DGRAM change places; no MIPS device is built yet).

import type { EtherType, Protocol, SocketFamily, SocketType, TcpFlag } from '../contract/policy.ts';

export const protocolNumbers = {
  tcp: 6,
  udp: 17,
  sctp: 132,
  icmp: 1,
  icmpv6: 58,
  gre: 47,
  esp: 50,
  ah: 51,
  igmp: 2,
  ospf: 89,
  vrrp: 112,
  udplite: 136,
} as const satisfies Record<Exclude<Protocol, number>, number>;

export const protocolNumber = (protocol: Protocol): number =>
  typeof protocol === 'number' ? protocol : protocolNumbers[protocol];

/** Protocols whose header starts with a source and a destination port. */
export const protocolsWithPorts: readonly number[] = [6, 17, 132, 136];

export const tcpFlagBits = {
  fin: 0x01,
  syn: 0x02,
  rst: 0x04,
  psh: 0x08,
  ack: 0x10,
  urg: 0x20,
  ece: 0x40,
  cwr: 0x80,
} as const satisfies Record<TcpFlag, number>;

export const flagBits = (flags: readonly TcpFlag[] | undefined): number =>
  (flags ?? []).reduce((bits, flag) => bits | tcpFlagBits[flag], 0);

export const socketFamilyNumbers = {
  unix: 1,
  inet: 2,
  inet6: 10,
  netlink: 16,
  packet: 17,
} as const satisfies Record<SocketFamily, number>;

export const socketTypeNumbers = {
  stream: 1,
  dgram: 2,
  raw: 3,
  seqpacket: 5,
} as const satisfies Record<SocketType, number>;

/** IEEE 802 numbers. */
export const etherTypeNumbers = {
  ipv4: 0x0800,
  arp: 0x0806,
  ipv6: 0x86dd,
  'pppoe-discovery': 0x8863,
  'pppoe-session': 0x8864,
  mpls: 0x8847,
  lldp: 0x88cc,
} as const satisfies Record<Exclude<EtherType, number>, number>;

export const etherTypeNumber = (etherType: EtherType): number =>
  typeof etherType === 'number' ? etherType : etherTypeNumbers[etherType];

/** Differentiated services code points by name: RFC 2474, 2597, 3246, 5865, 8622. */
export const dscpNames: Readonly<Record<string, number>> = {
  cs0: 0,
  cs1: 8,
  cs2: 16,
  cs3: 24,
  cs4: 32,
  cs5: 40,
  cs6: 48,
  cs7: 56,
  af11: 10,
  af12: 12,
  af13: 14,
  af21: 18,
  af22: 20,
  af23: 22,
  af31: 26,
  af32: 28,
  af33: 30,
  af41: 34,
  af42: 36,
  af43: 38,
  ef: 46,
  'voice-admit': 44,
  le: 1,
};
