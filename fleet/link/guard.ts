// What stands between a socket and the embedded broker: it reads the framing of MQTT and nothing else.
//
//   socket ──bytes──▶ Framing (type, remaining length) ──▶ broker's parser
//          ◀──bytes── backlog, bounded ◀── broker
//
// The parser of the broker collects a packet until it is whole, so a client that announces 256 MB, or one
// byte a minute, would be kept waiting for in memory. Here the announced length is looked at in the first
// bytes, a packet has a time to become whole, and what a slow reader leaves unread has a bound: over it
// the connection ends (its messages are lost as in any disconnect; retained state and spools make good).
//
// For the controller's own connection the last of these is turned round: the broker waits for it.

import { Duplex } from 'node:stream';
import type { TLSSocket } from 'node:tls';

export interface GuardLimits {
  /** Remaining length of the first packet, which must be a CONNECT (MQTT 3.1.1 §2.2.3). */
  readonly connectBytesMax: number;
  /** Remaining length of any other. */
  readonly packetBytesMax: number;
  /** Time from a packet's first byte to its last. */
  readonly packetMsMax: number;
  /** Bytes waiting for a reader that does not read, until it is known who reads. */
  readonly backlogBytesMax: number;
}

/** What happens to a reader that falls behind: it is left behind at so many bytes, or waited for. */
export type Patience = { readonly backlogBytesMax: number } | 'wait';

const typeConnect = 1;
/** A remaining length takes four bytes at the most. */
const lengthBytesMax = 4;

/** Follows packets through a stream of bytes, however it is cut. */
export class Framing {
  readonly #limits: Pick<GuardLimits, 'connectBytesMax' | 'packetBytesMax'>;
  #state: 'type' | 'length' | 'body' = 'type';
  #isFirst = true;
  #length = 0;
  #lengthBytes = 0;
  #left = 0;
  #whole = 0;

  constructor(limits: Pick<GuardLimits, 'connectBytesMax' | 'packetBytesMax'>) {
    this.#limits = limits;
  }

  /** Whether a packet has begun and not ended. */
  get isInside(): boolean {
    return this.#state !== 'type';
  }

  /** Packets that have ended so far. */
  get whole(): number {
    return this.#whole;
  }

  /** Takes the next bytes; gives back what is wrong with them, or null. */
  take(bytes: Uint8Array): string | null {
    let at = 0;
    while (at < bytes.length) {
      if (this.#state === 'body') {
        const here = Math.min(this.#left, bytes.length - at);
        this.#left -= here;
        at += here;
        if (this.#left === 0) this.#end();
        continue;
      }
      const byte = bytes[at] ?? 0;
      at += 1;
      const fault = this.#state === 'type' ? this.#type(byte) : this.#lengthByte(byte);
      if (fault !== null) return fault;
    }
    return null;
  }

  #type(byte: number): string | null {
    if (this.#isFirst && byte >> 4 !== typeConnect) return 'the first packet is not a CONNECT';
    this.#state = 'length';
    this.#length = 0;
    this.#lengthBytes = 0;
    return null;
  }

  #lengthByte(byte: number): string | null {
    this.#length |= (byte & 0x7f) << (7 * this.#lengthBytes);
    this.#lengthBytes += 1;
    if ((byte & 0x80) !== 0) {
      return this.#lengthBytes === lengthBytesMax ? 'a remaining length of more than four bytes' : null;
    }
    const max = this.#isFirst ? this.#limits.connectBytesMax : this.#limits.packetBytesMax;
    if (this.#length > max) return `a packet of ${this.#length} bytes, ${max} allowed`;
    this.#isFirst = false;
    this.#left = this.#length;
    if (this.#left === 0) this.#end();
    else this.#state = 'body';
    return null;
  }

  #end(): void {
    this.#state = 'type';
    this.#whole += 1;
  }
}

/** How long an ended connection may take to send what was already written, as the refusing CONNACK. */
const lastWordsMs = 2000;

/** The stream that the broker is given in place of the socket. */
export class GuardedStream extends Duplex {
  readonly #socket: TLSSocket;
  readonly #limits: GuardLimits;
  readonly #framing: Framing;
  #patience: Patience;
  #packetTimer: NodeJS.Timeout | null = null;
  /** Packets that had ended when the timer was set: it is for the one after them. */
  #packetTimed = 0;

  constructor(socket: TLSSocket, limits: GuardLimits) {
    super({ allowHalfOpen: false });
    this.#socket = socket;
    this.#limits = limits;
    this.#framing = new Framing(limits);
    this.#patience = limits;
    socket.on('data', (chunk: Buffer) => this.#take(chunk));
    socket.on('end', () => this.push(null));
    socket.on('error', (error) => this.destroy(error));
    socket.on('close', () => this.destroy());
  }

  setPatience(patience: Patience): void {
    this.#patience = patience;
  }

  override _read(): void {
    this.#socket.resume();
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: (error?: Error | null) => void): void {
    this.#send(() => this.#socket.write(chunk), done);
  }

  override _writev(
    chunks: { chunk: Buffer; encoding: BufferEncoding }[],
    done: (error?: Error | null) => void,
  ): void {
    this.#send(() => {
      this.#socket.cork();
      for (const { chunk } of chunks) this.#socket.write(chunk);
      this.#socket.uncork();
      return !this.#socket.writableNeedDrain;
    }, done);
  }

  override _final(done: (error?: Error | null) => void): void {
    this.#socket.end();
    done();
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    if (this.#packetTimer !== null) clearTimeout(this.#packetTimer);
    this.#packetTimer = null;
    if (error === null) {
      this.#socket.destroySoon();
      const timer = setTimeout(() => this.#socket.destroy(), lastWordsMs);
      timer.unref();
      this.#socket.once('close', () => clearTimeout(timer));
    } else {
      this.#socket.destroy();
    }
    done(error);
  }

  #take(chunk: Buffer): void {
    const fault = this.#framing.take(chunk);
    if (fault !== null) {
      this.destroy(new Error(fault));
      return;
    }
    this.#watchPacket();
    if (!this.push(chunk)) this.#socket.pause();
  }

  #watchPacket(): void {
    const { isInside, whole } = this.#framing;
    if (this.#packetTimer !== null && (!isInside || whole !== this.#packetTimed)) {
      clearTimeout(this.#packetTimer);
      this.#packetTimer = null;
    }
    if (!isInside || this.#packetTimer !== null) return;
    const { packetMsMax } = this.#limits;
    const late = () => this.destroy(new Error(`a packet was not whole within ${packetMsMax} ms`));
    this.#packetTimed = whole;
    this.#packetTimer = setTimeout(late, packetMsMax);
    this.#packetTimer.unref();
  }

  #send(write: () => boolean, done: (error?: Error | null) => void): void {
    if (this.#socket.destroyed) {
      done(new Error('the connection is closed'));
      return;
    }
    const hasRoom = write();
    if (this.#patience === 'wait') {
      if (hasRoom) done();
      else this.#socket.once('drain', () => done());
      return;
    }
    const unread = this.#socket.writableLength;
    done(unread > this.#patience.backlogBytesMax ? new Error(`a slow reader: ${unread} bytes unread`) : null);
  }
}
