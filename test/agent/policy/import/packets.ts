// Packets for comparing a policy with the ruleset it came from: IP with every field that rules look at.
//
// Each has a number of its own that nothing on the way changes, by which it is known again: the identification of
// IPv4, the flow label of IPv6.

import { addressBytes } from '../../../lab/frame.ts';

export interface PacketShape {
  readonly from: string;
  readonly to: string;
  readonly protocol: number;
  readonly fromPort?: number;
  readonly toPort?: number;
  readonly flags?: number;
  /** Type and code. */
  readonly icmp?: readonly [number, number];
  readonly dscp?: number;
  /** Bytes of payload. */
  readonly payload?: number;
  /** Fragment: offset in units of 8 bytes, and whether more follow. */
  readonly fragment?: { readonly offset: number; readonly more: boolean };
  readonly sequence?: number;
  readonly acknowledged?: number;
}

export function ipPacket(shape: PacketShape, number: number): Buffer {
  const [from, to] = [addressBytes(shape.from), addressBytes(shape.to)];
  const body =
    shape.fragment !== undefined && shape.fragment.offset > 0
      ? Buffer.alloc((shape.payload ?? 0) + 16, 0x55)
      : transport(shape, from, to);
  return from.length === 4 ? ipv4(shape, number, from, to, body) : ipv6(shape, number, from, to, body);
}

function ipv4(shape: PacketShape, number: number, from: Buffer, to: Buffer, body: Buffer): Buffer {
  const head = Buffer.alloc(20);
  head[0] = 0x45;
  head[1] = (shape.dscp ?? 0) << 2;
  head.writeUInt16BE(20 + body.length, 2);
  head.writeUInt16BE(number, 4);
  const { offset, more } = shape.fragment ?? { offset: 0, more: false };
  head.writeUInt16BE((more ? 0x2000 : 0) | offset, 6);
  head[8] = 64;
  head[9] = shape.protocol;
  from.copy(head, 12);
  to.copy(head, 16);
  head.writeUInt16BE(checksum(head), 10);
  return Buffer.concat([head, body]);
}

function ipv6(shape: PacketShape, number: number, from: Buffer, to: Buffer, body: Buffer): Buffer {
  const head = Buffer.alloc(8);
  head.writeUInt32BE(((6 << 28) | ((shape.dscp ?? 0) << 22) | number) >>> 0, 0);
  head[7] = 64;
  const extra = Buffer.alloc(shape.fragment === undefined ? 0 : 8);
  if (shape.fragment !== undefined) {
    extra[0] = shape.protocol;
    extra.writeUInt16BE((shape.fragment.offset << 3) | (shape.fragment.more ? 1 : 0), 2);
    extra.writeUInt32BE(number, 4);
  }
  head[6] = shape.fragment === undefined ? shape.protocol : 44;
  head.writeUInt16BE(extra.length + body.length, 4);
  return Buffer.concat([head, from, to, extra, body]);
}

function transport(shape: PacketShape, from: Buffer, to: Buffer): Buffer {
  const payload = Buffer.alloc(shape.payload ?? 0, 0x55);
  const { protocol } = shape;
  if (protocol === 6) return withChecksum(shape, from, to, Buffer.concat([tcp(shape), payload]), 16);
  if (protocol === 17 || protocol === 136) {
    const head = ports(shape, 8);
    head.writeUInt16BE(8 + payload.length, 4);
    return withChecksum(shape, from, to, Buffer.concat([head, payload]), 6);
  }
  if (protocol === 132) return Buffer.concat([ports(shape, 12), payload]);
  if (protocol === 1 || protocol === 58) {
    const head = Buffer.alloc(8);
    head[0] = shape.icmp?.[0] ?? 8;
    head[1] = shape.icmp?.[1] ?? 0;
    head.writeUInt16BE(shape.fromPort ?? 1, 4);
    const body = Buffer.concat([head, payload]);
    if (protocol === 58) return withChecksum(shape, from, to, body, 2);
    body.writeUInt16BE(checksum(body), 2);
    return body;
  }
  return Buffer.concat([Buffer.alloc(8), payload]);
}

function tcp(shape: PacketShape): Buffer {
  const head = ports(shape, 20);
  head.writeUInt32BE(shape.sequence ?? 1, 4);
  head.writeUInt32BE(shape.acknowledged ?? 0, 8);
  head[12] = 5 << 4;
  head[13] = shape.flags ?? 2;
  head.writeUInt16BE(64240, 14);
  return head;
}

function ports(shape: PacketShape, length: number): Buffer {
  const head = Buffer.alloc(length);
  head.writeUInt16BE(shape.fromPort ?? 40000, 0);
  head.writeUInt16BE(shape.toPort ?? 80, 2);
  return head;
}

function withChecksum(shape: PacketShape, from: Buffer, to: Buffer, body: Buffer, at: number): Buffer {
  // UDP-Lite states how much its checksum covers; all of it is said by 0.
  const pseudo = Buffer.concat([
    from,
    to,
    Buffer.from([0, shape.protocol, body.length >> 8, body.length & 255]),
  ]);
  body.writeUInt16BE(checksum(Buffer.concat([pseudo, body])) || 0xffff, at);
  return body;
}

/** RFC 1071. */
function checksum(bytes: Buffer): number {
  let sum = 0;
  for (let at = 0; at < bytes.length; at += 2) sum += (bytes[at] ?? 0) * 256 + (bytes[at + 1] ?? 0);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return ~sum & 0xffff;
}

export function etherFrame(to: Uint8Array, from: Uint8Array, packet: Buffer): Buffer {
  return Buffer.concat([to, from, Buffer.from((packet[0] ?? 0) >> 4 === 6 ? [0x86, 0xdd] : [8, 0]), packet]);
}
