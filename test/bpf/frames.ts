// Frames put together header by header, each of which may lie: for what a well-meaning builder would refuse
// to make. Lengths are right unless stated; checksums are zero, since no filter looks at them.

import { addressBytes } from '../lab/frame.ts';

export const etherType = { ipv4: 0x0800, arp: 0x0806, vlan: 0x8100, qinq: 0x88a8, ipv6: 0x86dd } as const;
export const protocol = {
  hopByHop: 0,
  icmp: 1,
  tcp: 6,
  udp: 17,
  routing: 43,
  fragment: 44,
  esp: 50,
  ah: 51,
  icmpv6: 58,
  none: 59,
  destination: 60,
  sctp: 132,
  mobility: 135,
  udplite: 136,
  hip: 139,
  shim6: 140,
} as const;

export const from4 = '192.0.2.1';
export const to4 = '198.51.100.1';
export const from6 = '2001:db8::1';
export const to6 = '2001:db8:1::1';

export function ethernet(type: number, payload: Uint8Array, tags: readonly number[] = []): Buffer {
  const types = [...tags, type].map((one, index) =>
    Buffer.from(index === 0 ? u16(one) : [0, 5, ...u16(one)]),
  );
  return Buffer.concat([Buffer.alloc(12, 2), ...types, payload]);
}

export interface Ipv4 {
  readonly from?: string;
  readonly to?: string;
  readonly version?: number;
  /** In words of 4 bytes; options fill what is above 5. */
  readonly words?: number;
  readonly totalLength?: number;
  /** Flags and offset as they stand in the header. */
  readonly fragment?: number;
  readonly ttl?: number;
}

export function ipv4(ipProto: number, payload: Uint8Array, ip: Ipv4 = {}): Buffer {
  const { words = 5, fragment = 0, ttl = 64 } = ip;
  const options = Buffer.alloc(Math.max(0, words - 5) * 4, 1);
  const total = ip.totalLength ?? 20 + options.length + payload.length;
  const head = [
    ((ip.version ?? 4) << 4) | words,
    0,
    ...u16(total),
    0,
    0,
    ...u16(fragment),
    ttl,
    ipProto,
    0,
    0,
  ];
  return ethernet(
    etherType.ipv4,
    Buffer.concat([
      Buffer.from(head),
      addressBytes(ip.from ?? from4),
      addressBytes(ip.to ?? to4),
      options,
      payload,
    ]),
  );
}

export interface Ipv6 {
  readonly from?: string;
  readonly to?: string;
  readonly version?: number;
  readonly payloadLength?: number;
  readonly hopLimit?: number;
}

export function ipv6(nextHeader: number, payload: Uint8Array, ip: Ipv6 = {}): Buffer {
  const length = ip.payloadLength ?? payload.length;
  const head = [(ip.version ?? 6) << 4, 0, 0, 0, ...u16(length), nextHeader, ip.hopLimit ?? 64];
  return ethernet(
    etherType.ipv6,
    Buffer.concat([Buffer.from(head), addressBytes(ip.from ?? from6), addressBytes(ip.to ?? to6), payload]),
  );
}

/** An extension header with what follows it. `size` as it stands in the header; AH counts by 4 beyond 8. */
export function extension(
  kind: number,
  nextHeader: number,
  payload: Uint8Array,
  size = kind === protocol.ah ? 1 : 0,
): Buffer {
  const bytes = kind === protocol.ah ? (size + 2) * 4 : (size + 1) * 8;
  const head = Buffer.alloc(bytes);
  head.set([nextHeader, size]);
  return Buffer.concat([head, payload]);
}

export function fragmentHeader(
  nextHeader: number,
  offset: number,
  isMore: boolean,
  payload: Uint8Array,
): Buffer {
  return Buffer.concat([
    Buffer.from([nextHeader, 0, ...u16((offset << 3) | Number(isMore)), 0, 0, 0, 1]),
    payload,
  ]);
}

export interface Ports {
  readonly fromPort?: number;
  readonly toPort?: number;
}

export function tcp(
  tcp: Ports & { readonly flags?: number; readonly words?: number; readonly bytes?: number } = {},
): Buffer {
  const { fromPort = 40000, toPort = 22, flags = 2, words = 5 } = tcp;
  const head = Buffer.alloc(Math.max(20, words * 4));
  head.set([...u16(fromPort), ...u16(toPort)]);
  head.set([words << 4, flags], 12);
  return head.subarray(0, tcp.bytes ?? head.length);
}

export function udp(udp: Ports & { readonly length?: number; readonly payload?: Uint8Array } = {}): Buffer {
  const { fromPort = 40000, toPort = 53, payload = Buffer.alloc(4) } = udp;
  const length = udp.length ?? 8 + payload.length;
  return Buffer.concat([Buffer.from([...u16(fromPort), ...u16(toPort), ...u16(length), 0, 0]), payload]);
}

export function sctp({ fromPort = 40000, toPort = 3868 }: Ports = {}): Buffer {
  return Buffer.concat([Buffer.from([...u16(fromPort), ...u16(toPort)]), Buffer.alloc(8)]);
}

export function icmp(type: number, code = 0): Buffer {
  return Buffer.from([type, code, 0, 0, 0, 0, 0, 0]);
}

/** The same frame with VLAN tags pushed in, outermost first. */
export function tagged(frame: Uint8Array, ...tags: readonly number[]): Buffer {
  const type = (frame[12] ?? 0) * 256 + (frame[13] ?? 0);
  return ethernet(type, frame.subarray(14), tags);
}

const u16 = (number: number): [number, number] => [(number >> 8) & 255, number & 255];
