// Frames made to order: what the tries before a swap and the tests send at the rules.
//
// Lengths and headers are right, checksums too where a header has one of its own; what a packet is not
// asked to be is ordinary.

import { wordsToBytes } from './addresses.ts';
import { etherTypes, ipv6Extensions } from './packet.ts';

export interface PacketWanted {
  /** Both of the same family; `null`: a frame that is not IP. */
  readonly addresses: {
    readonly source: Uint32Array;
    readonly destination: Uint32Array;
    readonly family: 4 | 6;
  } | null;
  readonly protocol: number;
  readonly ports: { readonly from: number; readonly to: number };
  readonly tcpFlags: number;
  readonly fragment: 'none' | 'later';
}

/** IEEE 802 local experimental EtherType 1: nobody's protocol. */
export const experimentalEtherType = 0x88b5;

export function buildPacket(wanted: PacketWanted): Uint8Array {
  const { addresses, fragment, protocol } = wanted;
  if (addresses === null) return ethernet(experimentalEtherType, new Uint8Array(46));
  const payload = fragment === 'later' ? new Uint8Array(16) : layer4(wanted);
  const source = wordsToBytes(addresses.source, 0);
  const destination = wordsToBytes(addresses.destination, 0);
  if (addresses.family === 4) {
    return ethernet(
      etherTypes.ipv4,
      ipv4(source.subarray(12), destination.subarray(12), protocol, fragment, payload),
    );
  }
  return ethernet(etherTypes.ipv6, ipv6(source, destination, protocol, fragment, payload));
}

/** An ARP request, which is never dropped. */
export const arpFrame = (): Uint8Array => {
  const arp = new Uint8Array(46);
  arp.set([0, 1, 8, 0, 6, 4, 0, 1]);
  return ethernet(etherTypes.arp, arp);
};

/** An IPv4 header that says it is shorter than any; whole, since 6.18 runs tc programs on no shorter one. */
export const lyingFrame = (): Uint8Array => {
  const header = new Uint8Array(46);
  header.set([0x44, 0, 0, 46]);
  return ethernet(etherTypes.ipv4, header);
};

export function ethernet(etherType: number, payload: Uint8Array): Uint8Array {
  const frame = new Uint8Array(14 + payload.length);
  // Locally administered addresses; unicast, so that neither side is a group.
  frame.set([0x02, 0, 0, 0, 0, 1, 0x02, 0, 0, 0, 0, 2, etherType >> 8, etherType & 0xff]);
  frame.set(payload, 14);
  return frame;
}

function ipv4(
  source: Uint8Array,
  destination: Uint8Array,
  protocol: number,
  fragment: PacketWanted['fragment'],
  payload: Uint8Array,
): Uint8Array {
  const bytes = new Uint8Array(20 + payload.length);
  const view = new DataView(bytes.buffer);
  bytes[0] = 0x45;
  view.setUint16(2, bytes.length);
  view.setUint16(6, fragment === 'later' ? 64 : 0);
  bytes[8] = 64;
  bytes[9] = protocol;
  bytes.set(source, 12);
  bytes.set(destination, 16);
  view.setUint16(10, checksum(bytes.subarray(0, 20)));
  bytes.set(payload, 20);
  return bytes;
}

function ipv6(
  source: Uint8Array,
  destination: Uint8Array,
  protocol: number,
  fragment: PacketWanted['fragment'],
  payload: Uint8Array,
): Uint8Array {
  const body =
    fragment === 'later' ? concat(Uint8Array.of(protocol, 0, 0x02, 0, 0, 0, 0, 1), payload) : payload;
  const bytes = new Uint8Array(40 + body.length);
  const view = new DataView(bytes.buffer);
  bytes[0] = 0x60;
  view.setUint16(4, body.length);
  bytes[6] = fragment === 'later' ? ipv6Extensions.fragment : protocol;
  bytes[7] = 64;
  bytes.set(source, 8);
  bytes.set(destination, 24);
  bytes.set(body, 40);
  return bytes;
}

function layer4({ protocol, ports, tcpFlags }: PacketWanted): Uint8Array {
  const sizes: Readonly<Record<number, number>> = { 6: 20, 17: 8, 132: 12, 1: 8, 58: 8 };
  const bytes = new Uint8Array(sizes[protocol] ?? 8);
  const view = new DataView(bytes.buffer);
  if (protocol === 1) bytes[0] = 8;
  if (protocol === 58) bytes[0] = 128;
  if (protocol !== 6 && protocol !== 17 && protocol !== 132) return bytes;
  view.setUint16(0, ports.from);
  view.setUint16(2, ports.to);
  if (protocol === 6) bytes.set([0x50, tcpFlags], 12);
  if (protocol === 17) view.setUint16(4, bytes.length);
  return bytes;
}

/** RFC 1071, over a header whose checksum is zero. */
function checksum(header: Uint8Array): number {
  let sum = 0;
  for (let at = 0; at < header.length; at += 2) sum += ((header[at] ?? 0) << 8) | (header[at + 1] ?? 0);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return ~sum & 0xffff;
}

function concat(a: Uint8Array, b: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(a.length + b.length);
  bytes.set(a);
  bytes.set(b, a.length);
  return bytes;
}
