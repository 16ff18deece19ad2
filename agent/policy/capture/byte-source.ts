// Bytes of a file that come in chunks, taken a piece at a time: nobody has the whole file in memory.

import { CaptureError } from './captured-packet.ts';

export class ByteSource {
  readonly #chunks: Iterator<Uint8Array>;
  #chunk: Uint8Array = new Uint8Array(0);
  /** Where in the chunk. */
  #at = 0;
  #offset = 0;

  /** The chunks are not copied where that can be avoided: nobody may write to them afterwards. */
  constructor(chunks: Iterable<Uint8Array>) {
    this.#chunks = chunks[Symbol.iterator]();
  }

  /** Of the next byte, from the start of the file. */
  get offset(): number {
    return this.#offset;
  }

  isAtEnd(): boolean {
    return this.#fill() === 0;
  }

  /** The next `count` bytes. Throws CaptureError cut-off where there are fewer. `what` names them. */
  take(count: number, what: string): Uint8Array {
    const start = this.#offset;
    if (this.#fill() >= count) return this.#advance(count);
    const bytes = new Uint8Array(count);
    for (let have = 0; have < count; ) {
      const piece = this.#advance(Math.min(this.#fill(), count - have));
      if (piece.length === 0) throw cutOff(start, what, count, have);
      bytes.set(piece, have);
      have += piece.length;
    }
    return bytes;
  }

  /** Passes over bytes without keeping them. */
  skip(count: number, what: string): void {
    const start = this.#offset;
    for (let have = 0; have < count; ) {
      const piece = this.#advance(Math.min(this.#fill(), count - have));
      if (piece.length === 0) throw cutOff(start, what, count, have);
      have += piece.length;
    }
  }

  /** Ends the source of chunks early, so that a file behind it is closed. */
  close(): void {
    this.#chunks.return?.();
  }

  /** Bytes left in the chunk, which is the next one where this one is used up; 0 at the end. */
  #fill(): number {
    while (this.#at === this.#chunk.length) {
      const next = this.#chunks.next();
      if (next.done === true) return 0;
      this.#chunk = next.value;
      this.#at = 0;
    }
    return this.#chunk.length - this.#at;
  }

  #advance(count: number): Uint8Array {
    const piece = this.#chunk.subarray(this.#at, this.#at + count);
    this.#at += count;
    this.#offset += count;
    return piece;
  }
}

const cutOff = (start: number, what: string, count: number, have: number) =>
  new CaptureError('cut-off', start, `the file ends in ${what}: ${have} of ${count} bytes are there`);
