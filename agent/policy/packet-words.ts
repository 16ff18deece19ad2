// A packet in words, for people: `tcp 192.0.2.1:40000 → 198.51.100.1:22 syn`. Read by the evaluator's own
// parser, so that what is shown is what was judged.

import { formatAddress } from './addresses.ts';
import { protocolNumbers, tcpFlagBits } from './numbers.ts';
import { etherTypes, type Packet, parsePacket } from './packet.ts';

export function packetWords(frame: Uint8Array, link: 'ethernet' | 'ip' = 'ethernet'): string {
  const packet = parsePacket(frame, { link });
  if (packet === 'unparseable') return `unreadable, ${frame.length} bytes`;
  if (packet.family === 'other') return etherTypeWords(packet.etherType);
  const words = [protocolWords(packet), `${endpoint(packet, 'from')} → ${endpoint(packet, 'to')}`];
  if (packet.tcpFlags !== null) words.push(flagWords(packet.tcpFlags));
  if (packet.icmp !== null) words.push(`type ${packet.icmp.type} code ${packet.icmp.code}`);
  if (packet.fragment !== 'none') words.push(`${packet.fragment} fragment`);
  return words.filter((word) => word !== '').join(' ');
}

/** An address and, where there is one, its port. IPv6 with a port stands in brackets (RFC 5952 §6). */
export function endpointWords(address: string, port: number | null): string {
  if (port === null) return address;
  return address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`;
}

const endpoint = (packet: Packet, side: 'from' | 'to') =>
  endpointWords(
    formatAddress(side === 'from' ? packet.source : packet.destination, 0),
    packet.ports === null ? null : packet.ports[side],
  );

const protocolNames = new Map<number, string>(
  Object.entries(protocolNumbers).map(([name, number]) => [number, name]),
);

const protocolWords = ({ protocol }: Packet) =>
  protocol === null ? 'ip' : (protocolNames.get(protocol) ?? `protocol ${protocol}`);

const flagWords = (bits: number) =>
  Object.entries(tcpFlagBits)
    .filter(([, bit]) => (bits & bit) !== 0)
    .map(([name]) => name)
    .join(' ');

/** Below 0x600 the field is a length, and LLC follows (IEEE 802.3 §3.2.6). */
function etherTypeWords(etherType: number): string {
  if (etherType === etherTypes.arp) return 'arp';
  if (etherType < 0x0600) return `802.3 frame of ${etherType} bytes`;
  return `EtherType 0x${etherType.toString(16).padStart(4, '0')}`;
}
