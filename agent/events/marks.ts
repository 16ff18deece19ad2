// The spool's marks: how far each stream is acknowledged and numbered, and what must outlive its segments.
//
// One file of two slots of equal size, written in turn and in place: a write that a power cut tore leaves
// the other slot, and a full disk does not keep us from writing, since the space is there from the start.
// A slot is `crc u32 | length u32 | generation u64 | JSON`, and the valid one of the higher generation holds.

import { closeSync, constants, fdatasyncSync, openSync, readSync, writeSync } from 'node:fs';
import { crc32 } from 'node:zlib';
import type { Stream } from '../contract/event.ts';
import type { ToldTotals } from './losses.ts';
import { OpenFile } from './open-file.ts';
import type { When } from './when.ts';

/** Three streams of eight gaps each, with the longest numbers there are, fill three quarters of it. */
const slotBytes = 8192;
const slotHeadBytes = 16;

export interface MarkedGap {
  /** Number of the last event it stands for. */
  readonly seq: number;
  readonly lost: number;
  /** The stream's count of records behind it. */
  readonly ordinal: number;
  readonly when: When;
  readonly boot: string;
}

export interface StreamMarks {
  /** Everything up to and with this number is in the controller's database. */
  readonly acknowledged: number;
  /** Records ever given up to and with that number, and in all. */
  readonly acknowledgedOrdinal: number;
  readonly ordinal: number;
  /** The next number, as it was when this was written. */
  readonly next: number;
  /** Not acknowledged, and not to be found again in the segments. */
  readonly gaps: readonly MarkedGap[];
  /** Events this stream has ever lost in the spool. */
  readonly lost: number;
}

export interface Marks {
  readonly v: 1;
  /** Closed in order: the numbers are exact. */
  readonly clean: boolean;
  readonly streams: Readonly<Record<Stream, StreamMarks>>;
  /** Kernel totals already told, and the boot they were counted in. */
  readonly totals: { readonly boot: string; readonly told: ToldTotals };
}

export class MarksFile {
  readonly #file: OpenFile;
  #generation: bigint;

  private constructor(fd: number, generation: bigint) {
    this.#file = new OpenFile(fd);
    this.#generation = generation;
  }

  /**
   * Opens or makes the file. `found` is what it held: null for nothing, 'damaged' for what is no marks.
   * Throws what the disk answers.
   */
  static open(path: string): { readonly file: MarksFile; readonly found: Marks | 'damaged' | null } {
    const fd = openSync(path, constants.O_RDWR | constants.O_CREAT | constants.O_NOFOLLOW, 0o600);
    try {
      const { marks, generation, isEmpty } = readSlots(fd);
      return { file: new MarksFile(fd, generation), found: marks ?? (isEmpty ? null : 'damaged') };
    } catch (error) {
      closeSync(fd);
      throw error;
    }
  }

  /** Writes the marks; with `sync` they are on the disk when it returns. Throws what the disk answers. */
  write(marks: Marks, options: { readonly sync: boolean }): void {
    const generation = this.#generation + 1n;
    const slot = encodeSlot(marks, generation);
    const written = writeSync(this.#file.fd, slot, 0, slot.length, Number(generation % 2n) * slotBytes);
    if (written !== slot.length) throw Object.assign(new Error('short write of marks'), { code: 'ENOSPC' });
    this.#generation = generation;
    if (options.sync) fdatasyncSync(this.#file.fd);
  }

  /** What was written is on the disk when it resolves. */
  sync(): Promise<void> {
    return this.#file.sync();
  }

  close(): void {
    this.#file.close();
  }
}

/** What a marks file holds, without opening it for writing. */
export function readMarks(path: string): Marks | 'damaged' | null {
  const fd = openSync(path, 'r');
  try {
    const { marks, isEmpty } = readSlots(fd);
    return marks ?? (isEmpty ? null : 'damaged');
  } finally {
    closeSync(fd);
  }
}

function encodeSlot(marks: Marks, generation: bigint): Buffer {
  const json = Buffer.from(JSON.stringify(marks));
  if (json.length > slotBytes - slotHeadBytes) throw new RangeError(`marks of ${json.length} bytes`);
  const slot = Buffer.alloc(slotBytes);
  slot.writeUInt32LE(json.length, 4);
  slot.writeBigUInt64LE(generation, 8);
  json.copy(slot, slotHeadBytes);
  slot.writeUInt32LE(crc32(slot.subarray(4)), 0);
  return slot;
}

function readSlots(fd: number): { marks: Marks | null; generation: bigint; isEmpty: boolean } {
  const bytes = Buffer.alloc(2 * slotBytes);
  const length = readSync(fd, bytes, 0, bytes.length, 0);
  let best: { marks: Marks; generation: bigint } | null = null;
  for (let at = 0; at + slotBytes <= length; at += slotBytes) {
    const read = decodeSlot(bytes.subarray(at, at + slotBytes));
    if (read !== null && (best === null || read.generation > best.generation)) best = read;
  }
  return { marks: best?.marks ?? null, generation: best?.generation ?? 0n, isEmpty: length === 0 };
}

function decodeSlot(slot: Buffer): { marks: Marks; generation: bigint } | null {
  const length = slot.readUInt32LE(4);
  if (length > slotBytes - slotHeadBytes || crc32(slot.subarray(4)) !== slot.readUInt32LE(0)) return null;
  try {
    const marks = JSON.parse(slot.toString('utf8', slotHeadBytes, slotHeadBytes + length)) as Marks;
    return marks.v === 1 ? { marks, generation: slot.readBigUInt64LE(8) } : null;
  } catch {
    // A checksum over something that is not ours.
    return null;
  }
}
