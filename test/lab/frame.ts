// Ethernet frames written out field by field, with right checksums, for tests that send or judge packets.

import { isIPv6 } from 'node:net';

export interface FrameOptions {
  readonly sourceMac?: Uint8Array;
  readonly destinationMac?: Uint8Array;
  readonly from: string;
  readonly to: string;
  readonly payload?: Uint8Array;
}
export interface UdpOptions extends FrameOptions {
  readonly fromPort: number;
  readonly toPort: number;
}
export interface TcpOptions extends UdpOptions {
  readonly flags: number;
  readonly sequence?: number;
  readonly acknowledgement?: number;
  /** Whole words. */
  readonly options?: Uint8Array;
}

export const tcpFlag = { fin: 1, syn: 2, rst: 4, psh: 8, ack: 16, urg: 32 } as const;

const protocolNumber = { tcp: 6, udp: 17 } as const;
const noMac = Buffer.from([2, 0, 0, 0, 0, 9]);

export function udpFrame(options: UdpOptions): Buffer {
  const payload = Buffer.from(options.payload ?? []);
  const head = Buffer.alloc(8);
  head.writeUInt16BE(options.fromPort, 0);
  head.writeUInt16BE(options.toPort, 2);
  head.writeUInt16BE(8 + payload.length, 4);
  return frame(options, protocolNumber.udp, Buffer.concat([head, payload]), 6);
}

export function tcpFrame(options: TcpOptions): Buffer {
  const head = Buffer.alloc(20);
  head.writeUInt16BE(options.fromPort, 0);
  head.writeUInt16BE(options.toPort, 2);
  head.writeUInt32BE(options.sequence ?? 1, 4);
  head.writeUInt32BE(options.acknowledgement ?? 0, 8);
  const tcpOptions = Buffer.from(options.options ?? []);
  head.writeUInt8((5 + tcpOptions.length / 4) << 4, 12);
  head.writeUInt8(options.flags, 13);
  head.writeUInt16BE(64240, 14);
  return frame(
    options,
    protocolNumber.tcp,
    Buffer.concat([head, tcpOptions, Buffer.from(options.payload ?? [])]),
    16,
  );
}

/** `checksumAt`: where in the transport header its checksum stands. */
function frame(options: FrameOptions, protocol: number, transport: Buffer, checksumAt: number): Buffer {
  const from = addressBytes(options.from);
  const to = addressBytes(options.to);
  if (from.length !== to.length) throw new Error(`${options.from} and ${options.to} are of two families`);
  // The pseudo header (RFC 768, RFC 8200 §8.1) sums to the same however its fields are laid out.
  const pseudo = Buffer.concat([
    from,
    to,
    Buffer.from([0, protocol, transport.length >> 8, transport.length & 255]),
  ]);
  transport.writeUInt16BE(checksum(Buffer.concat([pseudo, transport])) || 0xffff, checksumAt);

  const six = from.length === 16;
  const ethernet = Buffer.concat([
    options.destinationMac ?? noMac,
    options.sourceMac ?? noMac,
    Buffer.alloc(2),
  ]);
  ethernet.writeUInt16BE(six ? 0x86dd : 0x0800, 12);
  return Buffer.concat([
    ethernet,
    six ? ipv6(from, to, protocol, transport) : ipv4(from, to, protocol, transport),
  ]);
}

function ipv4(from: Buffer, to: Buffer, protocol: number, body: Buffer): Buffer {
  const head = Buffer.alloc(20);
  head.writeUInt8(0x45, 0);
  head.writeUInt16BE(20 + body.length, 2);
  head.writeUInt16BE(0x4000, 6); // do not fragment
  head.writeUInt8(64, 8);
  head.writeUInt8(protocol, 9);
  from.copy(head, 12);
  to.copy(head, 16);
  head.writeUInt16BE(checksum(head), 10);
  return Buffer.concat([head, body]);
}

function ipv6(from: Buffer, to: Buffer, protocol: number, body: Buffer): Buffer {
  const head = Buffer.alloc(8);
  head.writeUInt8(0x60, 0);
  head.writeUInt16BE(body.length, 4);
  head.writeUInt8(protocol, 6);
  head.writeUInt8(64, 7);
  return Buffer.concat([head, from, to, body]);
}

/** The Internet checksum (RFC 1071). */
function checksum(bytes: Buffer): number {
  let sum = 0;
  for (let at = 0; at < bytes.length; at += 2) {
    sum += (bytes[at] ?? 0) * 256 + (bytes[at + 1] ?? 0);
  }
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return ~sum & 0xffff;
}

/** 4 or 16 bytes in network order. */
export function addressBytes(address: string): Buffer {
  if (!isIPv6(address)) return Buffer.from(address.split('.').map(Number));
  const [left = '', right] = address.split('::');
  const words = (text: string): number[] =>
    text === '' ? [] : text.split(':').map((word) => Number.parseInt(word, 16));
  const head = words(left);
  const tail = right === undefined ? [] : words(right);
  const all = [...head, ...new Array<number>(8 - head.length - tail.length).fill(0), ...tail];
  return Buffer.from(all.flatMap((word) => [word >> 8, word & 255]));
}
