// The spool's bytes: a segment's header, and records behind it.
//
//   header   magic 8 | first seq u64 | ordinal u64 | boot id 36 | stream u8, pad 3 | crc u32       68 bytes
//   record   magic 4 | crc u32 | length u32 | flags u32 | seq u64 | payload: `length` bytes of JSON
//
// `ordinal` is how many records the stream had ever been given before this segment: two neighbours whose
// ordinals do not join have lost exactly the difference. A record's checksum is seeded with its segment's
// header, so a stale block of another file that the file system hands us after a power cut is no record.
//
// The magic of a record holds bytes that UTF-8 does not have (f5, fa), so it cannot occur inside a payload,
// whatever an attacker put into a file name; after damage the next record is found by looking for it.
//
// CRC-32 (zlib's) and not CRC32C: node:zlib has it in C, and no other reader of these files exists that
// would want the other polynomial. For records of up to 11 KB both find every error of three bits.

import { crc32 } from 'node:zlib';
import { type Stream, streams } from '../contract/event.ts';

export const headerBytes = 68;
export const recordHeadBytes = 24;
/** One event in JSON. The largest honest one is some 2 KiB: paths are cut, audit details are short. */
export const payloadBytesMax = 16 * 1024;

/** The record's event is a gap: what it says was lost must not be lost with it. */
export const flagGap = 1;

const headerMagic = Buffer.from('HUSKSPL1', 'latin1');
const recordMagic = Buffer.from([0xf5, 0x48, 0x52, 0xfa]);
const recordMagicWord = recordMagic.readUInt32LE(0);
const bootBytes = 36;

export interface SegmentHeader {
  readonly stream: Stream;
  readonly firstSeq: number;
  readonly ordinal: number;
  /** Boot id under which its events were recorded. */
  readonly boot: string;
}

export function encodeHeader(header: SegmentHeader): Buffer {
  const bytes = Buffer.alloc(headerBytes);
  headerMagic.copy(bytes, 0);
  bytes.writeBigUInt64LE(BigInt(header.firstSeq), 8);
  bytes.writeBigUInt64LE(BigInt(header.ordinal), 16);
  bytes.write(header.boot.slice(0, bootBytes), 24, bootBytes, 'latin1');
  bytes.writeUInt8(streams.indexOf(header.stream), 60);
  bytes.writeUInt32LE(crc32(bytes.subarray(0, 64)), 64);
  return bytes;
}

/** null where these bytes are not a header. */
export function decodeHeader(bytes: Buffer): SegmentHeader | null {
  if (bytes.length < headerBytes || !bytes.subarray(0, 8).equals(headerMagic)) return null;
  if (crc32(bytes.subarray(0, 64)) !== bytes.readUInt32LE(64)) return null;
  const stream = streams[bytes.readUInt8(60)];
  const firstSeq = Number(bytes.readBigUInt64LE(8));
  const ordinal = Number(bytes.readBigUInt64LE(16));
  if (stream === undefined || !Number.isSafeInteger(firstSeq) || !Number.isSafeInteger(ordinal)) return null;
  return { stream, firstSeq, ordinal, boot: bytes.toString('latin1', 24, 60).replace(/\0+$/, '') };
}

/** What a header's records are sealed with. Not a checksum over all of it: over its own checksum that is a constant. */
export function sealSeed(header: Buffer): number {
  return header.readUInt32LE(64);
}

/** Writes an unsealed record at `at`; its payload is already in place behind the head. */
export function writeRecordHead(
  bytes: Buffer,
  at: number,
  head: { readonly seq: number; readonly flags: number; readonly length: number },
): void {
  bytes.writeUInt32LE(recordMagicWord, at);
  bytes.writeUInt32LE(head.length, at + 8);
  bytes.writeUInt32LE(head.flags, at + 12);
  bytes.writeUInt32LE(head.seq % 2 ** 32, at + 16);
  bytes.writeUInt32LE(Math.floor(head.seq / 2 ** 32), at + 20);
}

/** Bytes of the whole record at `at`, whose head is known to be good. */
export function recordBytes(bytes: Buffer, at: number): number {
  return recordHeadBytes + bytes.readUInt32LE(at + 8);
}

export function recordSeq(bytes: Buffer, at: number): number {
  return bytes.readUInt32LE(at + 20) * 2 ** 32 + bytes.readUInt32LE(at + 16);
}

export function recordIsGap(bytes: Buffer, at: number): boolean {
  return (bytes.readUInt32LE(at + 12) & flagGap) !== 0;
}

export function recordPayload(bytes: Buffer, at: number): string {
  return bytes.toString('utf8', at + recordHeadBytes, at + recordBytes(bytes, at));
}

/** Seals the records in `[start, end)` for a segment. */
export function sealRecords(bytes: Buffer, start: number, end: number, seed: number): void {
  for (let at = start; at < end; at += recordBytes(bytes, at)) {
    bytes.writeUInt32LE(crc32(bytes.subarray(at + 8, at + recordBytes(bytes, at)), seed), at + 4);
  }
}

/**
 * The offset of the next good record at or after `from` whose number is between `seqLeast` and `seqMost`;
 * -1 where there is none. More than `from`: what lies between is damaged.
 */
export function findRecord(
  bytes: Buffer,
  from: number,
  want: { readonly seed: number; readonly seqLeast: number; readonly seqMost: number },
): number {
  let at = from;
  while (at >= 0 && at + recordHeadBytes <= bytes.length) {
    if (isRecord(bytes, at, want)) return at;
    at = bytes.indexOf(recordMagic, at + 1);
  }
  return -1;
}

function isRecord(
  bytes: Buffer,
  at: number,
  want: { readonly seed: number; readonly seqLeast: number; readonly seqMost: number },
): boolean {
  if (bytes.readUInt32LE(at) !== recordMagicWord) return false;
  const length = bytes.readUInt32LE(at + 8);
  if (length > payloadBytesMax || at + recordHeadBytes + length > bytes.length) return false;
  const seq = recordSeq(bytes, at);
  if (seq < want.seqLeast || seq > want.seqMost) return false;
  return (
    crc32(bytes.subarray(at + 8, at + recordHeadBytes + length), want.seed) === bytes.readUInt32LE(at + 4)
  );
}
