// The classic capture file of libpcap and tcpdump (draft-ietf-opsawg-pcap-07): a header, then records.
//
// Both byte orders and both clock units are read and written. Of version 2 only minor version 4 is read: older
// ones had the two lengths of a record the other way round, and no program writes them any more.

import type { ByteSource } from './byte-source.ts';
import { type CapturedPacket, CaptureError, packetBytesMax } from './captured-packet.ts';
import { checkLinkType } from './link-types.ts';

const microsecondMagic = 0xa1b2c3d4;
const nanosecondMagic = 0xa1b23c4d;
/** "Modified" pcap of some old Linux distributions, with longer record headers. */
const modifiedMagic = 0xa1b2cd34;
const fileHeaderBytes = 24;
const recordHeaderBytes = 16;

interface FileForm {
  readonly little: boolean;
  readonly nsPerUnit: bigint;
}

/** What the first four bytes say; null: this is no classic capture. */
export function pcapForm(magic: Uint8Array): FileForm | null {
  const view = viewOf(magic);
  for (const little of [true, false]) {
    const number = view.getUint32(0, little);
    if (number === microsecondMagic) return { little, nsPerUnit: 1000n };
    if (number === nanosecondMagic) return { little, nsPerUnit: 1n };
    if (number === modifiedMagic) {
      throw new CaptureError(
        'malformed',
        0,
        'modified pcap is not read; editcap -F pcap makes it a plain one',
      );
    }
  }
  return null;
}

/** The packets of a file whose first four bytes were taken already. Throws CaptureError. */
export function* readPcap(source: ByteSource, { little, nsPerUnit }: FileForm): Generator<CapturedPacket> {
  // §4: what was called time zone and accuracy MUST be ignored; the snapshot length binds nobody.
  const head = viewOf(source.take(fileHeaderBytes - 4, 'the file header'));
  const version = `${head.getUint16(0, little)}.${head.getUint16(2, little)}`;
  if (version !== '2.4') {
    throw new CaptureError('malformed', 4, `pcap version ${version} is not read, only 2.4`);
  }
  // The upper half holds the length of a frame check sequence, which is padding to us.
  const linkType = head.getUint32(16, little) & 0xffff;
  checkLinkType(linkType, fileHeaderBytes - 4);
  for (let index = 0; !source.isAtEnd(); index++) {
    const start = source.offset;
    const record = viewOf(source.take(recordHeaderBytes, `the header of packet ${index}`));
    const seconds = BigInt(record.getUint32(0, little));
    const fraction = BigInt(record.getUint32(4, little));
    const captured = record.getUint32(8, little);
    if (captured > packetBytesMax) {
      throw new CaptureError(
        'malformed',
        start + 8,
        `packet ${index} is said to have ${captured} bytes, more than the ${packetBytesMax} that any has`,
      );
    }
    const bytes = source.take(captured, `packet ${index}`);
    yield {
      index,
      timeNs: seconds * 1_000_000_000n + fraction * nsPerUnit,
      linkType,
      bytes,
      originalLength: Math.max(record.getUint32(12, little), captured),
      interface: null,
      direction: null,
    };
  }
}

export interface PcapOptions {
  /** LINKTYPE_ number of all packets. */
  readonly linkType: number;
  readonly byteOrder?: 'little' | 'big';
  /** What is finer than the unit is cut off. Default: nanoseconds. */
  readonly unit?: 'microseconds' | 'nanoseconds';
  /** Of the header; packets are written as they are given. */
  readonly snapLength?: number;
}

export interface PacketToWrite {
  /** Nanoseconds since 1970; from 0 to the end of 2105. */
  readonly timeNs: bigint;
  readonly bytes: Uint8Array;
  /** Absent: nothing was cut off. */
  readonly originalLength?: number;
}

/** The header of a file; records follow it. */
export function pcapHeader(options: PcapOptions): Uint8Array {
  const { little, magic } = writtenForm(options);
  const bytes = new Uint8Array(fileHeaderBytes);
  const view = viewOf(bytes);
  view.setUint32(0, magic, little);
  view.setUint16(4, 2, little);
  view.setUint16(6, 4, little);
  view.setUint32(16, options.snapLength ?? packetBytesMax, little);
  view.setUint32(20, options.linkType, little);
  return bytes;
}

/** One packet. Throws RangeError where the format has no room for it. */
export function pcapRecord(packet: PacketToWrite, options: PcapOptions): Uint8Array {
  const { little, nsPerUnit } = writtenForm(options);
  const seconds = packet.timeNs / 1_000_000_000n;
  if (packet.timeNs < 0n || seconds > 0xffff_ffffn) throw new RangeError(`no pcap time: ${packet.timeNs} ns`);
  if (packet.bytes.length > packetBytesMax) throw new RangeError(`a packet of ${packet.bytes.length} bytes`);
  const bytes = new Uint8Array(recordHeaderBytes + packet.bytes.length);
  const view = viewOf(bytes);
  view.setUint32(0, Number(seconds), little);
  view.setUint32(4, Number((packet.timeNs % 1_000_000_000n) / nsPerUnit), little);
  view.setUint32(8, packet.bytes.length, little);
  view.setUint32(12, packet.originalLength ?? packet.bytes.length, little);
  bytes.set(packet.bytes, recordHeaderBytes);
  return bytes;
}

/** A whole file. */
export function writePcap(packets: readonly PacketToWrite[], options: PcapOptions): Uint8Array {
  const parts = [pcapHeader(options), ...packets.map((packet) => pcapRecord(packet, options))];
  const bytes = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.length;
  }
  return bytes;
}

function writtenForm({ byteOrder, unit }: PcapOptions): FileForm & { readonly magic: number } {
  const little = byteOrder !== 'big';
  if (unit === 'microseconds') return { little, nsPerUnit: 1000n, magic: microsecondMagic };
  return { little, nsPerUnit: 1n, magic: nanosecondMagic };
}

const viewOf = (bytes: Uint8Array) => new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
