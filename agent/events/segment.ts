// One segment file of the spool: made, written to at its end, read, synced, removed. And found again.
//
// Nothing here decides what is dropped or what a hole means; it says what is there. A sync runs on Node's
// thread pool, so a file that is closed meanwhile stays open until the sync has come back.

import {
  closeSync,
  constants,
  fstatSync,
  ftruncateSync,
  openSync,
  readSync,
  rmSync,
  truncateSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { type GapEvent, type Stream, streams } from '../contract/event.ts';
import { OpenFile } from './open-file.ts';
import {
  decodeHeader,
  encodeHeader,
  findRecord,
  headerBytes,
  recordBytes,
  recordIsGap,
  recordPayload,
  recordSeq,
  type SegmentHeader,
  sealSeed,
} from './record.ts';

/** No file of ours is longer: what is, is not read. */
export const segmentBytesMax = 1024 * 1024;
/** Numbers that one segment can span: more than it has room for. */
const seqSpanMax = 2 ** 20;

/** A gap event that was recorded: what it counts outlives it. */
export interface GapRecord {
  readonly seq: number;
  readonly where: GapEvent['where'];
  readonly lost: number;
}

export class Segment {
  readonly kind = 'segment';
  readonly path: string;
  readonly header: SegmentHeader;
  readonly seed: number;
  readonly gapRecords: GapRecord[] = [];
  /** firstSeq - 1 while it holds nothing. */
  lastSeq: number;
  /** Good bytes; what lies behind them in the file is overwritten. */
  bytes: number;
  #file: OpenFile | null = null;
  #unsynced = false;
  #isNew = false;

  private constructor(path: string, header: SegmentHeader, seed: number, lastSeq: number, bytes: number) {
    this.path = path;
    this.header = header;
    this.seed = seed;
    this.lastSeq = lastSeq;
    this.bytes = bytes;
  }

  /** Makes the file with its header. Throws what the disk answers, and leaves nothing then. */
  static create(folder: string, header: SegmentHeader): Segment {
    const path = join(folder, segmentName(header.stream, header.firstSeq));
    const { O_WRONLY, O_CREAT, O_TRUNC, O_NOFOLLOW } = constants;
    const fd = openSync(path, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW, 0o600);
    try {
      const bytes = encodeHeader(header);
      writeWhole(fd, bytes, 0, bytes.length, 0);
      const segment = new Segment(path, header, sealSeed(bytes), header.firstSeq - 1, bytes.length);
      segment.#file = new OpenFile(fd);
      segment.#unsynced = true;
      segment.#isNew = true;
      return segment;
    } catch (error) {
      closeSync(fd);
      rmSync(path, { force: true });
      throw error;
    }
  }

  /** Finds out what is in a file; null where it is no segment of that name. Throws where it cannot be read. */
  static find(
    folder: string,
    name: string,
  ): { readonly segment: Segment; readonly tornBytes: number } | null {
    const named = parseSegmentName(name);
    if (named === null) return null;
    const path = join(folder, name);
    const bytes = readFrom(path, 0, segmentBytesMax + 1);
    if (bytes.length > segmentBytesMax) return null;
    const header = decodeHeader(bytes);
    if (header === null || header.stream !== named.stream || header.firstSeq !== named.firstSeq) return null;
    const seed = sealSeed(bytes);
    const segment = new Segment(path, header, seed, header.firstSeq - 1, headerBytes);
    const want = { seed, seqLeast: header.firstSeq, seqMost: header.firstSeq + seqSpanMax };
    for (let at = headerBytes; ; at = segment.bytes) {
      const found = findRecord(bytes, at, want);
      if (found < 0) break;
      segment.noteRecord(bytes, found);
      segment.bytes = found + recordBytes(bytes, found);
      want.seqLeast = segment.lastSeq + 1;
    }
    return { segment, tornBytes: bytes.length - segment.bytes };
  }

  /** Written to, or was and is not synced yet. */
  get isOpen(): boolean {
    return this.#file !== null;
  }

  get isUnsynced(): boolean {
    return this.#unsynced;
  }

  /** Made since, and never synced. */
  get isNew(): boolean {
    return this.#isNew;
  }

  get firstSeq(): number {
    return this.header.firstSeq;
  }

  /** The stream's count of records behind this segment. */
  get endOrdinal(): number {
    return this.header.ordinal + this.lastSeq - this.header.firstSeq + 1;
  }

  /** Appends sealed records. Throws what the disk answers; the segment is then as it was. */
  write(bytes: Buffer, start: number, end: number): void {
    if (this.#file === null) throw new Error(`write ${this.path}: closed`);
    const { fd } = this.#file;
    try {
      writeWhole(fd, bytes, start, end - start, this.bytes);
    } catch (error) {
      try {
        ftruncateSync(fd, this.bytes);
      } catch {
        // The next write goes over it, and a reader takes it for a torn tail.
      }
      throw error;
    }
    for (let at = start; at < end; at += recordBytes(bytes, at)) this.noteRecord(bytes, at);
    this.bytes += end - start;
    this.#unsynced = true;
  }

  noteRecord(bytes: Buffer, at: number): void {
    this.lastSeq = recordSeq(bytes, at);
    if (!recordIsGap(bytes, at)) return;
    const gap = parseGap(recordPayload(bytes, at));
    if (gap !== null) this.gapRecords.push({ seq: this.lastSeq, ...gap });
  }

  /** Its bytes from an offset to the end. Throws what the disk answers. */
  read(from: number): Buffer {
    return readFrom(this.path, from, this.bytes - from);
  }

  /** On the disk when it resolves. */
  async sync(): Promise<void> {
    if (this.#file === null || !this.#unsynced) return;
    this.#unsynced = false;
    try {
      await this.#file.sync();
      this.#isNew = false;
    } catch (error) {
      this.#unsynced = true;
      throw error;
    }
  }

  close(): void {
    this.#file?.close();
    this.#file = null;
  }

  /** Cuts off what a crash left behind the last good record. Throws what the disk answers. */
  truncate(): void {
    truncateSync(this.path, this.bytes);
  }

  /** Throws what the disk answers. */
  remove(): void {
    this.close();
    rmSync(this.path, { force: true });
  }
}

function segmentName(stream: Stream, firstSeq: number): string {
  return `${stream}-${String(firstSeq).padStart(16, '0')}.spool`;
}

export function parseSegmentName(
  name: string,
): { readonly stream: Stream; readonly firstSeq: number } | null {
  const match = /^([a-z]+)-(\d{16})\.spool$/.exec(name);
  const stream = streams.find((one) => one === match?.[1]);
  const firstSeq = Number(match?.[2]);
  return stream === undefined || !Number.isSafeInteger(firstSeq) ? null : { stream, firstSeq };
}

/** What a recorded gap says, from the record's JSON; null where it says nothing that can be counted. */
export function parseGap(payload: string): Omit<GapRecord, 'seq'> | null {
  try {
    const { event } = JSON.parse(payload) as { readonly event: GapEvent };
    return Number.isSafeInteger(event.lost) ? { where: event.where, lost: event.lost } : null;
  } catch {
    return null;
  }
}

/** A short write is the kernel's way to say that the disk has just become full. */
function writeWhole(fd: number, bytes: Buffer, start: number, length: number, position: number): void {
  const written = writeSync(fd, bytes, start, length, position);
  if (written !== length) throw Object.assign(new Error(`wrote ${written} of ${length}`), { code: 'ENOSPC' });
}

function readFrom(path: string, from: number, lengthMax: number): Buffer {
  const fd = openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW);
  try {
    const bytes = Buffer.allocUnsafe(Math.max(0, Math.min(lengthMax, fstatSync(fd).size - from)));
    let length = 0;
    while (length < bytes.length) {
      const got = readSync(fd, bytes, length, bytes.length - length, from + length);
      if (got === 0) break;
      length += got;
    }
    return bytes.subarray(0, length);
  } finally {
    closeSync(fd);
  }
}
