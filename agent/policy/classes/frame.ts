// A frame for a point on every axis: what proofs show as an example, for the evaluator to confirm.

import { buildPacket, ordinaryPacket } from '../build-packet.ts';

/** Fields that the packet does not have are null. */
export interface FrameWanted {
  /** null: no Ethernet header; then it is IP. */
  readonly link: {
    readonly macFrom: number;
    readonly macTo: number;
    readonly vlans: readonly number[];
  } | null;
  readonly etherType: number;
  readonly ip: {
    readonly family: 'ipv4' | 'ipv6';
    readonly source: Uint32Array;
    readonly destination: Uint32Array;
    readonly protocol: number;
    readonly fragment: 'none' | 'first' | 'later';
    readonly hopLimit: number;
    readonly dscp: number;
    /** From the IP header on; null: as long as it has to be. */
    readonly length: number | null;
  } | null;
  readonly ports: { readonly from: number; readonly to: number } | null;
  readonly tcpFlags: number | null;
  readonly icmp: { readonly type: number; readonly code: number } | null;
}

/** The bytes from the Ethernet header on, or from the IP header where there is none. */
export function buildFrame({ link, etherType, ip, ports, tcpFlags, icmp }: FrameWanted): Uint8Array {
  const frame = {
    ...ordinaryPacket,
    ...(link === null
      ? { link: 'ip' as const }
      : { macs: { from: link.macFrom, to: link.macTo }, vlans: link.vlans }),
  };
  if (ip === null) return buildPacket({ ...frame, etherType });
  const { family, source, destination, length, ...rest } = ip;
  return buildPacket({
    ...frame,
    ...rest,
    addresses: { family: family === 'ipv4' ? 4 : 6, source, destination },
    length: length ?? 0,
    ...(ports === null ? {} : { ports }),
    ...(tcpFlags === null ? {} : { tcpFlags }),
    ...(icmp === null ? {} : { icmp: icmp.type * 256 + icmp.code }),
  });
}
