// One packet in a line.

import { formatAddress } from '../addresses.ts';
import type { Direction } from '../ids.ts';
import { dscpNames, etherTypeNumbers } from '../numbers.ts';
import type { Situation } from './fields.ts';
import type { FrameWanted } from './frame.ts';
import { flagNames, hex, nameIn, protocolName, situationWords } from './names.ts';

/** `tcp 198.51.100.7:49152 → 192.0.2.1:22, syn, state new, in by wan0`. */
export function packetWords(
  { ip, ports, tcpFlags, icmp, link, etherType }: FrameWanted,
  place: {
    readonly situation: Situation | null;
    readonly direction: Direction;
    readonly interface: string;
    readonly cameBy: string | null;
  },
): string {
  const { situation, direction, cameBy } = place;
  const by =
    direction === 'ingress'
      ? `in by ${place.interface}`
      : `out by ${place.interface}, ${cameBy === null ? 'made by the device' : `came in by ${cameBy}`}`;
  const tags = (link?.vlans ?? []).map((id) => `vlan ${id}`);
  if (ip === null) {
    const name = nameIn(etherTypeNumbers, etherType);
    return [`frame of EtherType ${name ?? hex(etherType, 4)}`, ...tags, by].join(', ');
  }
  const end = (address: Uint32Array, port: number | undefined) => {
    const text = formatAddress(address, 0);
    if (port === undefined) return text;
    return ip.family === 'ipv6' ? `[${text}]:${port}` : `${text}:${port}`;
  };
  const parts = [
    `${protocolName(ip.protocol)} ${end(ip.source, ports?.from)} → ${end(ip.destination, ports?.to)}`,
    ...(tcpFlags === null ? [] : [flagNames(tcpFlags)]),
    ...(icmp === null ? [] : [`type ${icmp.type}/${icmp.code}`]),
    ...(ip.fragment === 'none' ? [] : [`${ip.fragment} fragment`]),
    ...(ip.dscp === 0 ? [] : [`dscp ${nameIn(dscpNames, ip.dscp) ?? ip.dscp}`]),
    ...(ip.length === null ? [] : [`length ${ip.length}`]),
    ...tags,
    ...(situation === null ? [] : [situationWords[situation]]),
    by,
  ];
  return parts.join(', ');
}
