// Records that are not in a segment yet: encoded, numbered without a hole, in one buffer.
//
// In good times this is a write buffer that is emptied in the same turn of the event loop; on a full disk it
// is all the memory a stream has, and the oldest are dropped from it.

import { payloadBytesMax, recordBytes, recordHeadBytes, writeRecordHead } from './record.ts';

/** Grows from here, by doubling, to what it may have. */
const firstBytes = 16 * 1024;
/** UTF-8 takes at most three bytes for a UTF-16 unit. */
const bytesPerUnitMax = 3;

export class Pending {
  readonly #bytesMax: number;
  bytes = Buffer.allocUnsafeSlow(firstBytes);
  start = 0;
  end = 0;
  count = 0;

  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax;
  }

  /** Whether a payload of that many characters fits, after moving or growing where that helps. */
  makeRoom(characters: number): boolean {
    const wanted = recordHeadBytes + Math.min(characters * bytesPerUnitMax, payloadBytesMax);
    if (this.end + wanted <= this.bytes.length) return true;
    const used = this.end - this.start;
    let capacity = this.bytes.length;
    while (capacity < used + wanted && capacity < this.#bytesMax) {
      capacity = Math.min(capacity * 2, this.#bytesMax);
    }
    if (capacity < used + wanted) return false;
    const target = capacity === this.bytes.length ? this.bytes : Buffer.allocUnsafeSlow(capacity);
    this.bytes.copy(target, 0, this.start, this.end);
    this.bytes = target;
    this.start = 0;
    this.end = used;
    return true;
  }

  /** Takes a record for which there is room. */
  push(seq: number, flags: number, payload: string): void {
    const length = this.bytes.write(payload, this.end + recordHeadBytes, 'utf8');
    writeRecordHead(this.bytes, this.end, { seq, flags, length });
    this.end += recordHeadBytes + length;
    this.count += 1;
  }

  /** The offset behind as many whole records as fit in `bytesMax`, at least one, and their number. */
  take(bytesMax: number): { readonly end: number; readonly count: number } {
    let at = this.start;
    let count = 0;
    while (at < this.end) {
      const next = at + recordBytes(this.bytes, at);
      if (count > 0 && next - this.start > bytesMax) break;
      at = next;
      count += 1;
    }
    return { end: at, count };
  }

  /** Forgets the oldest records up to an offset that `take` gave. */
  shift(end: number, count: number): void {
    this.start = end;
    this.count -= count;
    if (this.count === 0) {
      this.start = 0;
      this.end = 0;
    }
  }
}
