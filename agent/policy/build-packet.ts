// Frames made to order: what the tries before a swap and the tests send at the rules.
//
// Lengths and headers are right, checksums too where a header has one of its own; what a packet is not
// asked to be is ordinary.

import { wordsToBytes } from './addresses.ts';
import { protocolNumbers } from './numbers.ts';
import { etherTypes, ipv6Extensions } from './packet.ts';

export interface PacketWanted {
  /** What the frame begins with. */
  readonly link: 'ethernet' | 'ip';
  /** As 48-bit numbers. */
  readonly macs: { readonly from: number; readonly to: number };
  /** Ids from the outside in, at most two. */
  readonly vlans: readonly number[];
  /** Both of the same family; `null`: a frame that is not IP. */
  readonly addresses: {
    readonly source: Uint32Array;
    readonly destination: Uint32Array;
    readonly family: 4 | 6;
  } | null;
  /** Of a frame that is not IP. */
  readonly etherType: number;
  readonly protocol: number;
  readonly ports: { readonly from: number; readonly to: number };
  readonly tcpFlags: number;
  /** Type × 256 + code. */
  readonly icmp: number;
  readonly dscp: number;
  /** From the IP header on; more than the headers need is filled up, less is not. */
  readonly length: number;
  readonly fragment: 'none' | 'first' | 'later';
  /** TTL or hop limit. Default: 64. */
  readonly hopLimit?: number;
}

/** IEEE 802 local experimental EtherType 1: nobody's protocol. */
export const experimentalEtherType = 0x88b5;

/** What is ordinary: locally administered addresses, unicast, so that neither side is a group. */
export const ordinaryPacket: PacketWanted = {
  link: 'ethernet',
  macs: { to: 0x020000000001, from: 0x020000000002 },
  vlans: [],
  addresses: null,
  etherType: experimentalEtherType,
  /** RFC 3692 experiment: nothing speaks it. */
  protocol: 253,
  ports: { from: 40_000, to: 443 },
  tcpFlags: 2,
  icmp: 0,
  dscp: 0,
  length: 0,
  fragment: 'none',
};

/** The least that Ethernet carries, and room for the headers of a packet to nobody. */
const payloadMin = 46;

export function buildPacket(wanted: PacketWanted): Uint8Array {
  const { addresses, link } = wanted;
  if (addresses === null) return ethernet(wanted, wanted.etherType, new Uint8Array(payloadMin));
  const source = wordsToBytes(addresses.source, 0);
  const destination = wordsToBytes(addresses.destination, 0);
  const packet =
    addresses.family === 4
      ? ipv4(wanted, source.subarray(12), destination.subarray(12))
      : ipv6(wanted, source, destination);
  if (link === 'ip') return packet;
  return ethernet(wanted, addresses.family === 4 ? etherTypes.ipv4 : etherTypes.ipv6, packet);
}

/** An ARP request, which is never dropped. */
export const arpFrame = (): Uint8Array => {
  const arp = new Uint8Array(payloadMin);
  arp.set([0, 1, 8, 0, 6, 4, 0, 1]);
  return ethernet(ordinaryPacket, etherTypes.arp, arp);
};

/** An IPv4 header that says it is shorter than any; whole, since 6.18 runs tc programs on no shorter one. */
export const lyingFrame = (link: PacketWanted['link'] = 'ethernet'): Uint8Array => {
  const header = new Uint8Array(payloadMin);
  header.set([0x44, 0, 0, payloadMin]);
  return link === 'ip' ? header : ethernet(ordinaryPacket, etherTypes.ipv4, header);
};

function ethernet(
  { macs, vlans }: Pick<PacketWanted, 'macs' | 'vlans'>,
  etherType: number,
  payload: Uint8Array,
): Uint8Array {
  const frame = new Uint8Array(14 + vlans.length * 4 + payload.length);
  const view = new DataView(frame.buffer);
  setMac(view, 0, macs.to);
  setMac(view, 6, macs.from);
  let at = 12;
  vlans.forEach((id, index) => {
    // IEEE 802.1ad: the outer of two tags has a type of its own.
    view.setUint16(at, vlans.length === 2 && index === 0 ? etherTypes.qinq : etherTypes.vlan);
    view.setUint16(at + 2, id);
    at += 4;
  });
  view.setUint16(at, etherType);
  frame.set(payload, at + 2);
  return frame;
}

function setMac(view: DataView, at: number, mac: number): void {
  view.setUint16(at, Math.floor(mac / 2 ** 32));
  view.setUint32(at + 2, mac % 2 ** 32);
}

function ipv4(wanted: PacketWanted, source: Uint8Array, destination: Uint8Array): Uint8Array {
  const { fragment, protocol, dscp, length, hopLimit = 64 } = wanted;
  const payload = payloadOf(wanted, length - 20);
  const bytes = new Uint8Array(20 + payload.length);
  const view = new DataView(bytes.buffer);
  bytes[0] = 0x45;
  bytes[1] = dscp << 2;
  view.setUint16(2, bytes.length);
  view.setUint16(4, 1);
  view.setUint16(6, fragment === 'later' ? 64 : fragment === 'first' ? 0x2000 : 0);
  bytes[8] = hopLimit;
  bytes[9] = protocol;
  bytes.set(source, 12);
  bytes.set(destination, 16);
  view.setUint16(10, checksum(bytes.subarray(0, 20)));
  bytes.set(payload, 20);
  return bytes;
}

function ipv6(wanted: PacketWanted, source: Uint8Array, destination: Uint8Array): Uint8Array {
  const { fragment, protocol, dscp, length, hopLimit = 64 } = wanted;
  const header =
    fragment === 'none'
      ? new Uint8Array(0)
      : Uint8Array.of(protocol, 0, ...(fragment === 'later' ? [0x02, 0] : [0, 1]), 0, 0, 0, 1);
  const payload = payloadOf(wanted, length - 40 - header.length);
  const bytes = new Uint8Array(40 + header.length + payload.length);
  const view = new DataView(bytes.buffer);
  view.setUint16(0, 0x6000 | (dscp << 6));
  view.setUint16(4, bytes.length - 40);
  bytes[6] = fragment === 'none' ? protocol : ipv6Extensions.fragment;
  bytes[7] = hopLimit;
  bytes.set(source, 8);
  bytes.set(destination, 24);
  bytes.set(header, 40);
  bytes.set(payload, 40 + header.length);
  return bytes;
}

const headerBytes: Readonly<Record<number, number>> = {
  [protocolNumbers.tcp]: 20,
  [protocolNumbers.udp]: 8,
  [protocolNumbers.udplite]: 8,
  [protocolNumbers.sctp]: 12,
  [protocolNumbers.icmp]: 8,
  [protocolNumbers.icmpv6]: 8,
};

/** ICMP in the other family has no header that anybody reads: it may be shorter. */
const isForeign = (family: 4 | 6 | undefined, protocol: number) =>
  protocol === (family === 6 ? protocolNumbers.icmp : protocolNumbers.icmpv6);

/** The header of the protocol and what fills it up to `length`. */
function payloadOf(wanted: PacketWanted, length: number): Uint8Array {
  const { addresses, fragment, protocol, ports, tcpFlags, icmp } = wanted;
  // Where no length is asked for, `length` is below 0: what the headers before take of it.
  if (fragment === 'later') return new Uint8Array(length < 0 ? 16 : length);
  const header = length >= 0 && isForeign(addresses?.family, protocol) ? 0 : (headerBytes[protocol] ?? 0);
  const bytes = new Uint8Array(Math.max(header, length));
  if (header === 0) return bytes;
  const view = new DataView(bytes.buffer);
  if (protocol === protocolNumbers.icmp || protocol === protocolNumbers.icmpv6) view.setUint16(0, icmp);
  else {
    view.setUint16(0, ports.from);
    view.setUint16(2, ports.to);
  }
  if (protocol === protocolNumbers.tcp) bytes.set([0x50, tcpFlags], 12);
  if (protocol === protocolNumbers.udp) view.setUint16(4, bytes.length);
  return bytes;
}

/** RFC 1071, over a header whose checksum is zero. */
function checksum(header: Uint8Array): number {
  let sum = 0;
  for (let at = 0; at < header.length; at += 2) sum += ((header[at] ?? 0) << 8) | (header[at + 1] ?? 0);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return ~sum & 0xffff;
}
