// The numbers behind the words of a policy: IANA protocol numbers, TCP flag bits (RFC 9293 §3.1), and
// Linux's numbers for families and types of sockets, which are the same on every architecture but MIPS
// (there SOCK_STREAM and SOCK_DGRAM change places; no MIPS device is built yet).

import type { Protocol, SocketFamily, SocketType, TcpFlag } from '../contract/policy.ts';

export const protocolNumbers = {
  tcp: 6,
  udp: 17,
  sctp: 132,
  icmp: 1,
  icmpv6: 58,
  gre: 47,
  esp: 50,
} as const satisfies Record<Exclude<Protocol, number>, number>;

export const protocolNumber = (protocol: Protocol): number =>
  typeof protocol === 'number' ? protocol : protocolNumbers[protocol];

/** Protocols whose header starts with a source and a destination port. */
export const protocolsWithPorts: readonly number[] = [6, 17, 132];

export const tcpFlagBits = {
  fin: 0x01,
  syn: 0x02,
  rst: 0x04,
  psh: 0x08,
  ack: 0x10,
  urg: 0x20,
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
