// Ends a connection whose other side announces a larger MQTT packet than we take.
//
// The packet parser gathers a packet whole before anybody sees its length, up to 256 MiB by the protocol
// (MQTT 3.1.1 §2.2.3). So the lengths are read here from the passing bytes, before anything is gathered:
//
//   byte 1          bytes 2 … 5                       …
//   ┌─────────────┬──────────────────────────────────┬────────────────┐
//   │ type, flags │ remaining length, 7 bits a byte,  │ that many bytes│
//   │             │ lowest first, high bit: goes on   │                │
//   └─────────────┴──────────────────────────────────┴────────────────┘

/** Says what is wrong with a stream of MQTT packets so far, or null. Fed with every chunk in order. */
export class FrameLimit {
  readonly #bytesMax: number;
  /** Bytes of the current packet's content still to come. */
  #remaining = 0;
  /** Position in the fixed header: 0 at its first byte, n in the n-th byte of the length. */
  #at = 0;
  #length = 0;

  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax;
  }

  read(chunk: Uint8Array): string | null {
    for (let i = 0; i < chunk.length; ) {
      if (this.#remaining > 0) {
        const step = Math.min(this.#remaining, chunk.length - i);
        this.#remaining -= step;
        i += step;
        continue;
      }
      const byte = chunk[i] ?? 0;
      i += 1;
      if (this.#at === 0) {
        this.#at = 1;
        this.#length = 0;
        continue;
      }
      this.#length += (byte & 0x7f) * 128 ** (this.#at - 1);
      if (byte & 0x80) {
        this.#at += 1;
        if (this.#at > 4) return 'a packet length of more than four bytes';
        continue;
      }
      if (this.#length > this.#bytesMax)
        return `a packet of ${this.#length} bytes, at most ${this.#bytesMax}`;
      this.#remaining = this.#length;
      this.#at = 0;
    }
    return null;
  }
}
