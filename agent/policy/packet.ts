// What the evaluator sees in a packet: the headers, read by the letter of their specifications.
//
// Packets are hostile. Whatever is cut short, contradicts itself or stacks more headers than are
// followed is 'unparseable', which is a verdict of its own; there is no guessing. What is read and what
// is not is listed in README.md, section "What is read in a packet".

import { HUSK_IPV6_HEADERS_MAX, HUSK_VLAN_DEPTH_MAX } from '../../bpf/abi/layout.gen.ts';
import { bytesToWords } from './addresses.ts';

export interface Packet {
  readonly family: 'ipv4' | 'ipv6' | 'other';
  /** Behind VLAN tags. */
  readonly etherType: number;
  /** Four words each; all zero outside IP. */
  readonly source: Uint32Array;
  readonly destination: Uint32Array;
  /** The protocol behind extension headers; null outside IP. */
  readonly protocol: number | null;
  /** TTL or hop limit; 0 outside IP. */
  readonly hopLimit: number;
  /** A first fragment has its ports, a later one has none. */
  readonly fragment: 'none' | 'first' | 'later';
  /** TCP, UDP and SCTP, save in later fragments. */
  readonly ports: { readonly from: number; readonly to: number } | null;
  /** TCP, save in later fragments. */
  readonly tcpFlags: number | null;
  /** ICMP in IPv4 and ICMPv6 in IPv6, save in later fragments. */
  readonly icmp: { readonly type: number; readonly code: number } | null;
}

export const etherTypes = {
  ipv4: 0x0800,
  arp: 0x0806,
  ipv6: 0x86dd,
  vlan: 0x8100,
  qinq: 0x88a8,
} as const;

const ethernetBytes = 14;
const vlanTagBytes = 4;
const ipv4Bytes = 20;
const ipv6Bytes = 40;

/** IANA's IPv6 extension header types that are stepped over. ESP ends the walk, since what follows is hidden. */
export const ipv6Extensions = {
  hopByHop: 0,
  routing: 43,
  fragment: 44,
  authentication: 51,
  destination: 60,
  mobility: 135,
  hip: 139,
  shim6: 140,
} as const;

type Layer4 = Pick<Packet, 'ports' | 'tcpFlags' | 'icmp'>;
const noLayer4: Layer4 = { ports: null, tcpFlags: null, icmp: null };

/** Reads a frame from its Ethernet header on. */
export function parsePacket(frame: Uint8Array): Packet | 'unparseable' {
  if (frame.length < ethernetBytes) return 'unparseable';
  const view = new DataView(frame.buffer, frame.byteOffset, frame.byteLength);
  let at = ethernetBytes;
  let etherType = view.getUint16(12);
  for (let tags = 0; etherType === etherTypes.vlan || etherType === etherTypes.qinq; tags++) {
    if (tags === HUSK_VLAN_DEPTH_MAX || at + vlanTagBytes > frame.length) return 'unparseable';
    etherType = view.getUint16(at + 2);
    at += vlanTagBytes;
  }
  if (etherType === etherTypes.ipv4) return parseIpv4(view, at);
  if (etherType === etherTypes.ipv6) return parseIpv6(view, at);
  return {
    family: 'other',
    etherType,
    source: new Uint32Array(4),
    destination: new Uint32Array(4),
    protocol: null,
    hopLimit: 0,
    fragment: 'none',
    ...noLayer4,
  };
}

/** RFC 791 §3.1. What is behind the total length is padding of the link and not read. */
function parseIpv4(view: DataView, at: number): Packet | 'unparseable' {
  if (at + ipv4Bytes > view.byteLength) return 'unparseable';
  const headerBytes = (view.getUint8(at) & 0x0f) * 4;
  const totalBytes = view.getUint16(at + 2);
  const fragmentWord = view.getUint16(at + 6);
  if (view.getUint8(at) >> 4 !== 4 || headerBytes < ipv4Bytes) return 'unparseable';
  if (totalBytes < headerBytes || at + totalBytes > view.byteLength) return 'unparseable';
  const offset = fragmentWord & 0x1fff;
  const fragment = offset > 0 ? 'later' : (fragmentWord & 0x2000) !== 0 ? 'first' : 'none';
  const protocol = view.getUint8(at + 9);
  const layer4 = parseLayer4(view, at + headerBytes, at + totalBytes, protocol, fragment, 1);
  if (layer4 === 'unparseable') return 'unparseable';
  return {
    family: 'ipv4',
    etherType: etherTypes.ipv4,
    source: wordsAt(view, at + 12, 4),
    destination: wordsAt(view, at + 16, 4),
    protocol,
    hopLimit: view.getUint8(at + 8),
    fragment,
    ...layer4,
  };
}

/** RFC 8200 §3. Jumbograms (RFC 2675) say a length of 0 and are unparseable. */
function parseIpv6(view: DataView, at: number): Packet | 'unparseable' {
  if (at + ipv6Bytes > view.byteLength || view.getUint8(at) >> 4 !== 6) return 'unparseable';
  const end = at + ipv6Bytes + view.getUint16(at + 4);
  if (end > view.byteLength) return 'unparseable';
  const walked = walkExtensions(view, at + ipv6Bytes, end, view.getUint8(at + 6));
  if (walked === 'unparseable') return 'unparseable';
  const layer4 = parseLayer4(view, walked.at, end, walked.protocol, walked.fragment, 58);
  if (layer4 === 'unparseable') return 'unparseable';
  return {
    family: 'ipv6',
    etherType: etherTypes.ipv6,
    source: wordsAt(view, at + 8, 16),
    destination: wordsAt(view, at + 24, 16),
    protocol: walked.protocol,
    hopLimit: view.getUint8(at + 7),
    fragment: walked.fragment,
    ...layer4,
  };
}

interface Walked {
  readonly at: number;
  readonly protocol: number;
  readonly fragment: Packet['fragment'];
}

function walkExtensions(view: DataView, start: number, end: number, first: number): Walked | 'unparseable' {
  let at = start;
  let protocol = first;
  let fragment: Packet['fragment'] = 'none';
  for (let headers = 0; isExtension(protocol); headers++) {
    if (headers === HUSK_IPV6_HEADERS_MAX || at + 8 > end) return 'unparseable';
    const next = view.getUint8(at);
    if (protocol === ipv6Extensions.fragment) {
      const word = view.getUint16(at + 2);
      // Behind the header of a later fragment is the middle of something: nothing more can be read.
      if (word >> 3 > 0) return { at: at + 8, protocol: next, fragment: 'later' };
      if ((word & 1) !== 0) fragment = 'first';
      at += 8;
    } else {
      const units = view.getUint8(at + 1);
      at += protocol === ipv6Extensions.authentication ? (units + 2) * 4 : (units + 1) * 8;
      if (at > end) return 'unparseable';
    }
    protocol = next;
  }
  return { at, protocol, fragment };
}

const isExtension = (protocol: number) => Object.values<number>(ipv6Extensions).includes(protocol);

/** The header must be there as a whole, inside the length that the IP header states. */
function parseLayer4(
  view: DataView,
  at: number,
  end: number,
  protocol: number,
  fragment: Packet['fragment'],
  icmpOf: number,
): Layer4 | 'unparseable' {
  if (fragment === 'later') return noLayer4;
  const bytes = end - at;
  const ports = () => ({ from: view.getUint16(at), to: view.getUint16(at + 2) });
  switch (protocol) {
    case 6: {
      if (bytes < 20) return 'unparseable';
      const headerBytes = (view.getUint8(at + 12) >> 4) * 4;
      if (headerBytes < 20 || headerBytes > bytes) return 'unparseable';
      return { ...noLayer4, ports: ports(), tcpFlags: view.getUint8(at + 13) };
    }
    case 17: {
      if (bytes < 8) return 'unparseable';
      const length = view.getUint16(at + 4);
      // A first fragment states the length of the whole datagram.
      if (length < 8 || (length > bytes && fragment === 'none')) return 'unparseable';
      return { ...noLayer4, ports: ports() };
    }
    case 132:
      return bytes < 12 ? 'unparseable' : { ...noLayer4, ports: ports() };
    case icmpOf:
      if (bytes < 8) return 'unparseable';
      return { ...noLayer4, icmp: { type: view.getUint8(at), code: view.getUint8(at + 1) } };
    default:
      return noLayer4;
  }
}

function wordsAt(view: DataView, at: number, bytes: number): Uint32Array {
  const words = new Uint32Array(4);
  bytesToWords(new Uint8Array(view.buffer, view.byteOffset + at, bytes), words, 0);
  return words;
}
