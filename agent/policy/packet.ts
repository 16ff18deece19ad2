// What the evaluator sees in a packet: the headers, read by the letter of their specifications.
//
// Packets are hostile. Whatever is cut short, contradicts itself or stacks more headers than are
// followed is 'unparseable', which is a verdict of its own; there is no guessing. What is read and what
// is not is listed in README.md, section "What is read in a packet".

import { HUSK_IPV6_HEADERS_MAX, HUSK_VLAN_DEPTH_MAX } from '../../bpf/abi/layout.gen.ts';
import { bytesToWords } from './addresses.ts';
import { protocolsWithPorts } from './numbers.ts';

export interface Packet {
  readonly family: 'ipv4' | 'ipv6' | 'other';
  /** Behind VLAN tags; on links without an Ethernet header that of the IP version. */
  readonly etherType: number;
  /** VLAN ids from the outside in, those that the card took off first; null without an Ethernet header. */
  readonly vlans: readonly number[] | null;
  /** As 48-bit numbers; null without an Ethernet header. */
  readonly macs: { readonly from: number; readonly to: number } | null;
  /** Four words each; all zero outside IP. */
  readonly source: Uint32Array;
  readonly destination: Uint32Array;
  /** The protocol behind extension headers; null outside IP. */
  readonly protocol: number | null;
  /** TTL or hop limit; 0 outside IP. */
  readonly hopLimit: number;
  /** RFC 2474; null outside IP. */
  readonly dscp: number | null;
  /** Bytes from the IP header on, as it states them; null outside IP. */
  readonly length: number | null;
  /** A first fragment has its ports, a later one has none. */
  readonly fragment: 'none' | 'first' | 'later';
  /** Identification of the packet that fragments are of; 0 where it is whole. */
  readonly fragmentId: number;
  /** TCP, UDP, UDP-Lite and SCTP, save in later fragments. */
  readonly ports: { readonly from: number; readonly to: number } | null;
  /** TCP, save in later fragments. */
  readonly tcpFlags: number | null;
  /** ICMP in IPv4 and ICMPv6 in IPv6, save in later fragments. `id` is the identifier of echo, else 0. */
  readonly icmp: { readonly type: number; readonly code: number; readonly id: number } | null;
  /** What an ICMP error quotes; null where it cannot be read, and for all else. */
  readonly quoted: Endpoints | null;
}

/** What says which connection a packet is of. */
export type Endpoints = Pick<Packet, 'family' | 'source' | 'destination' | 'protocol' | 'ports' | 'icmp'>;

/** How the frame came to be seen. */
export interface SeenAs {
  /** What it begins with. Default: an Ethernet header. */
  readonly link?: 'ethernet' | 'ip' | 'loopback';
  /** VLAN tags that the card took off, from the outside in. */
  readonly strippedTags?: readonly number[];
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

type Layer4 = Pick<Packet, 'ports' | 'tcpFlags' | 'icmp' | 'quoted'>;
const noLayer4: Layer4 = { ports: null, tcpFlags: null, icmp: null, quoted: null };

/** RFC 792, RFC 4443: errors quote the packet they are about. */
const icmpErrors = { ipv4: [3, 4, 5, 11, 12], ipv6: [1, 2, 3, 4] } as const;
const icmpEchoes = { ipv4: [8, 0], ipv6: [128, 129] } as const;
const icmpProtocols = { ipv4: 1, ipv6: 58 } as const;
type IpFamily = 'ipv4' | 'ipv6';

export const isIcmpError = ({ family, icmp }: Pick<Packet, 'family' | 'icmp'>): boolean =>
  family !== 'other' && icmp !== null && isAmong(icmpErrors[family], icmp.type);
export const isIcmpEcho = ({ family, icmp }: Pick<Packet, 'family' | 'icmp'>): boolean =>
  family !== 'other' && icmp !== null && isAmong(icmpEchoes[family], icmp.type);
const isAmong = (numbers: readonly number[], number: number) => numbers.includes(number);

/** The link's part of a frame, as far as it can be read. */
export interface LinkHeader {
  readonly vlans: readonly number[] | null;
  readonly macs: Packet['macs'];
  /** null: it cannot be read, and the packet is unparseable. */
  readonly etherType: number | null;
  /** Where the next header begins. */
  readonly at: number;
}

/** Reads a frame from its first header on. */
export function parsePacket(frame: Uint8Array, seenAs: SeenAs = {}): Packet | 'unparseable' {
  return parseBehind(frame, readLink(frame, seenAs));
}

/** The Ethernet header with its tags, or what stands for it on links without one. */
export function readLink(frame: Uint8Array, { link = 'ethernet', strippedTags = [] }: SeenAs): LinkHeader {
  const view = viewOf(frame);
  if (link === 'ip') {
    const version = frame.length > 0 ? view.getUint8(0) >> 4 : 0;
    const etherType = version === 4 ? etherTypes.ipv4 : version === 6 ? etherTypes.ipv6 : null;
    return { vlans: null, macs: null, etherType, at: 0 };
  }
  const vlans = strippedTags.map(vlanId);
  if (frame.length < ethernetBytes) return { vlans, macs: null, etherType: null, at: 0 };
  const macs = { to: macAt(view, 0), from: macAt(view, 6) };
  let at = ethernetBytes;
  let etherType = view.getUint16(12);
  while (etherType === etherTypes.vlan || etherType === etherTypes.qinq) {
    if (at + vlanTagBytes > frame.length) return { vlans, macs, etherType: null, at };
    vlans.push(vlanId(view.getUint16(at)));
    if (vlans.length > HUSK_VLAN_DEPTH_MAX) return { vlans, macs, etherType: null, at };
    etherType = view.getUint16(at + 2);
    at += vlanTagBytes;
  }
  const isTooDeep = vlans.length > HUSK_VLAN_DEPTH_MAX;
  return { vlans, macs, etherType: isTooDeep ? null : etherType, at };
}

/** What is behind a link's header. */
export function parseBehind(frame: Uint8Array, link: LinkHeader): Packet | 'unparseable' {
  const { vlans, macs, etherType, at } = link;
  if (etherType === null) return 'unparseable';
  const network = { ...notIp, etherType, vlans, macs };
  if (etherType !== etherTypes.ipv4 && etherType !== etherTypes.ipv6) return network;
  const view = viewOf(frame);
  const ip = etherType === etherTypes.ipv4 ? parseIpv4(view, at) : parseIpv6(view, at);
  return ip === 'unparseable' ? ip : { ...network, ...ip };
}

const notIp = {
  family: 'other',
  source: new Uint32Array(4),
  destination: new Uint32Array(4),
  protocol: null,
  hopLimit: 0,
  dscp: null,
  length: null,
  fragment: 'none',
  fragmentId: 0,
  ...noLayer4,
} as const;

/** A tag without its priority (IEEE 802.1Q §9.6). */
const vlanId = (tag: number) => tag & 0xfff;
const macAt = (view: DataView, at: number) => view.getUint16(at) * 2 ** 32 + view.getUint32(at + 2);
const viewOf = (frame: Uint8Array) => new DataView(frame.buffer, frame.byteOffset, frame.byteLength);

type Ip = Omit<Packet, 'etherType' | 'vlans' | 'macs'>;

/** RFC 791 §3.1. What is behind the total length is padding of the link and not read. */
function parseIpv4(view: DataView, at: number): Ip | 'unparseable' {
  if (at + ipv4Bytes > view.byteLength) return 'unparseable';
  const headerBytes = (view.getUint8(at) & 0x0f) * 4;
  const totalBytes = view.getUint16(at + 2);
  const fragmentWord = view.getUint16(at + 6);
  if (view.getUint8(at) >> 4 !== 4 || headerBytes < ipv4Bytes) return 'unparseable';
  if (totalBytes < headerBytes || at + totalBytes > view.byteLength) return 'unparseable';
  const offset = fragmentWord & 0x1fff;
  const fragment = offset > 0 ? 'later' : (fragmentWord & 0x2000) !== 0 ? 'first' : 'none';
  const protocol = view.getUint8(at + 9);
  if (isOverTcpFlags(offset, protocol)) return 'unparseable';
  const layer4 = parseLayer4(view, at + headerBytes, at + totalBytes, protocol, fragment, 'ipv4');
  if (layer4 === 'unparseable') return 'unparseable';
  return {
    family: 'ipv4',
    source: wordsAt(view, at + 12, 4),
    destination: wordsAt(view, at + 16, 4),
    protocol,
    hopLimit: view.getUint8(at + 8),
    dscp: view.getUint8(at + 1) >> 2,
    length: totalBytes,
    fragment,
    fragmentId: fragment === 'none' ? 0 : view.getUint16(at + 4),
    ...layer4,
  };
}

/** RFC 8200 §3. Jumbograms (RFC 2675) say a length of 0 and are unparseable. */
function parseIpv6(view: DataView, at: number): Ip | 'unparseable' {
  if (at + ipv6Bytes > view.byteLength || view.getUint8(at) >> 4 !== 6) return 'unparseable';
  const end = at + ipv6Bytes + view.getUint16(at + 4);
  if (end > view.byteLength) return 'unparseable';
  const walked = walkExtensions(view, at + ipv6Bytes, end, view.getUint8(at + 6));
  if (walked === 'unparseable' || isOverTcpFlags(walked.offset, walked.protocol)) return 'unparseable';
  const layer4 = parseLayer4(view, walked.at, end, walked.protocol, walked.fragment, 'ipv6');
  if (layer4 === 'unparseable') return 'unparseable';
  return {
    family: 'ipv6',
    source: wordsAt(view, at + 8, 16),
    destination: wordsAt(view, at + 24, 16),
    protocol: walked.protocol,
    hopLimit: view.getUint8(at + 7),
    dscp: (view.getUint16(at) >> 6) & 0x3f,
    length: end - at,
    fragment: walked.fragment,
    fragmentId: walked.fragment === 'none' ? 0 : walked.fragmentId,
    ...layer4,
  };
}

interface Walked {
  readonly at: number;
  readonly protocol: number;
  readonly fragment: Packet['fragment'];
  readonly fragmentId: number;
  /** Of a later fragment, in units of 8 bytes. */
  readonly offset: number;
}

/** RFC 3128 §3: it could put other flags over those of the first fragment. */
const isOverTcpFlags = (offset: number, protocol: number) => offset === 1 && protocol === 6;

function walkExtensions(view: DataView, start: number, end: number, first: number): Walked | 'unparseable' {
  let at = start;
  let protocol = first;
  let fragment: Packet['fragment'] = 'none';
  let fragmentId = 0;
  for (let headers = 0; isExtension(protocol); headers++) {
    if (headers === HUSK_IPV6_HEADERS_MAX || at + 8 > end) return 'unparseable';
    const next = view.getUint8(at);
    if (protocol === ipv6Extensions.fragment) {
      const word = view.getUint16(at + 2);
      fragmentId = view.getUint32(at + 4);
      // Behind the header of a later fragment is the middle of something: nothing more can be read.
      if (word >> 3 > 0)
        return { at: at + 8, protocol: next, fragment: 'later', fragmentId, offset: word >> 3 };
      if ((word & 1) !== 0) fragment = 'first';
      at += 8;
    } else {
      const units = view.getUint8(at + 1);
      at += protocol === ipv6Extensions.authentication ? (units + 2) * 4 : (units + 1) * 8;
      if (at > end) return 'unparseable';
    }
    protocol = next;
  }
  return { at, protocol, fragment, fragmentId, offset: 0 };
}

const isExtension = (protocol: number) => Object.values<number>(ipv6Extensions).includes(protocol);

/** The header must be there as a whole, inside the length that the IP header states. */
function parseLayer4(
  view: DataView,
  at: number,
  end: number,
  protocol: number,
  fragment: Packet['fragment'],
  family: IpFamily,
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
    // Its coverage field (RFC 3828 §3.1) says nothing of how long it is.
    case 136:
      return bytes < 8 ? 'unparseable' : { ...noLayer4, ports: ports() };
    case icmpProtocols[family]: {
      if (bytes < 8) return 'unparseable';
      const icmp = icmpAt(view, at, family);
      const quoted = isIcmpError({ family, icmp }) ? parseQuoted(view, at + 8, end, family) : null;
      return { ...noLayer4, icmp, quoted };
    }
    default:
      return noLayer4;
  }
}

function icmpAt(view: DataView, at: number, family: IpFamily): NonNullable<Packet['icmp']> {
  const icmp = { type: view.getUint8(at), code: view.getUint8(at + 1), id: 0 };
  return isIcmpEcho({ family, icmp }) ? { ...icmp, id: view.getUint16(at + 4) } : icmp;
}

/**
 * The beginning of the packet that an error is about: its IP header and eight bytes behind it (RFC 792), so that its
 * lengths are not those of the quote. null where it is shorter, of another family, or a later fragment.
 */
function parseQuoted(view: DataView, at: number, end: number, family: IpFamily): Endpoints | null {
  const headerBytes = family === 'ipv4' ? ipv4Bytes : ipv6Bytes;
  if (at + headerBytes > end || view.getUint8(at) >> 4 !== (family === 'ipv4' ? 4 : 6)) return null;
  const [addressBytes, sourceAt] = family === 'ipv4' ? [4, at + 12] : [16, at + 8];
  const walked = family === 'ipv4' ? quotedIpv4(view, at, end) : quotedIpv6(view, at, end);
  if (walked === null || walked.fragment === 'later') return null;
  const { protocol, at: behind } = walked;
  const common = {
    family,
    source: wordsAt(view, sourceAt, addressBytes),
    destination: wordsAt(view, sourceAt + addressBytes, addressBytes),
    protocol,
  };
  const hasPorts = protocolsWithPorts.includes(protocol);
  if (!hasPorts && protocol !== icmpProtocols[family]) return { ...common, ports: null, icmp: null };
  if (behind + 8 > end) return null;
  if (!hasPorts) return { ...common, ports: null, icmp: icmpAt(view, behind, family) };
  const ports = { from: view.getUint16(behind), to: view.getUint16(behind + 2) };
  return { ...common, ports, icmp: null };
}

function quotedIpv4(view: DataView, at: number, end: number): Walked | null {
  const headerBytes = (view.getUint8(at) & 0x0f) * 4;
  if (headerBytes < ipv4Bytes || at + headerBytes > end) return null;
  const fragment = (view.getUint16(at + 6) & 0x1fff) > 0 ? 'later' : 'none';
  return { at: at + headerBytes, protocol: view.getUint8(at + 9), fragment, fragmentId: 0, offset: 0 };
}

function quotedIpv6(view: DataView, at: number, end: number): Walked | null {
  const walked = walkExtensions(view, at + ipv6Bytes, end, view.getUint8(at + 6));
  return walked === 'unparseable' ? null : walked;
}

function wordsAt(view: DataView, at: number, bytes: number): Uint32Array {
  const words = new Uint32Array(4);
  bytesToWords(new Uint8Array(view.buffer, view.byteOffset + at, bytes), words, 0);
  return words;
}
