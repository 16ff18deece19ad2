// The branch of the enrollment listener that belongs to one client, as a channel of messages.

import { enrollmentBytesMax } from '../contract/limits.ts';
import { enrollmentTopics } from '../contract/topics.ts';
import { Connection, type ConnectOptions, type Endpoint, LinkError } from './connection.ts';

export interface ChannelOptions {
  readonly endpoint: Endpoint;
  /** PEM: the only authority believed. */
  readonly authority: string;
  readonly tenant: string;
  readonly claim: string;
  readonly client: string;
}

/** Answers that nobody has taken yet; the exchange has two. */
const unreadMax = 4;
const openMsMax = 20_000;

export class EnrollmentChannel {
  readonly #up: string;
  readonly #connection: Connection;
  readonly #inbox: Inbox;

  /** Tries MQTT 5 and, where the broker does not speak it, 3.1.1. */
  static async open(options: ChannelOptions, signal: AbortSignal): Promise<EnrollmentChannel> {
    const { up, down } = enrollmentTopics(options.tenant, options.claim, options.client);
    const inbox = new Inbox();
    const connect: Omit<ConnectOptions, 'version'> = {
      endpoint: options.endpoint,
      credentials: { authority: options.authority },
      clientId: options.client,
      // What the listener's rules tell one claim from another by.
      username: options.claim,
      keepaliveSeconds: 30,
      openMsMax,
      filters: [down],
      onMessage: (topic, payload) => {
        if (topic === down) inbox.put(payload);
      },
    };
    let connection: Connection;
    try {
      connection = await Connection.open({ ...connect, version: 5 }, signal);
    } catch (error) {
      if (!(error instanceof LinkError) || error.kind !== 'protocol') throw error;
      connection = await Connection.open({ ...connect, version: 4 }, signal);
    }
    return new EnrollmentChannel(up, connection, inbox);
  }

  private constructor(up: string, connection: Connection, inbox: Inbox) {
    this.#up = up;
    this.#connection = connection;
    this.#inbox = inbox;
    void connection.closed.then((why) => inbox.fail(why));
  }

  async send(message: string): Promise<void> {
    if (Buffer.byteLength(message) > enrollmentBytesMax)
      throw new RangeError('an enrollment message too large');
    await this.#connection.publish({ topic: this.#up, payload: message, qos: 1, retain: false });
  }

  receive(signal: AbortSignal): Promise<Uint8Array> {
    return this.#inbox.take(signal);
  }

  close(): Promise<void> {
    return this.#connection.end();
  }
}

/** Messages in order, for one reader. */
class Inbox {
  readonly #unread: Uint8Array[] = [];
  #reader: { readonly resolve: (bytes: Uint8Array) => void; readonly reject: (why: unknown) => void } | null =
    null;
  #failure: unknown = null;

  put(payload: Uint8Array): void {
    // The reader refuses by content; here it only must not be kept.
    const bytes = payload.length > enrollmentBytesMax ? new Uint8Array(0) : new Uint8Array(payload);
    const reader = this.#reader;
    this.#reader = null;
    if (reader !== null) reader.resolve(bytes);
    else if (this.#unread.length < unreadMax) this.#unread.push(bytes);
  }

  fail(why: unknown): void {
    this.#failure = why;
    this.#reader?.reject(why);
    this.#reader = null;
  }

  take(signal: AbortSignal): Promise<Uint8Array> {
    const first = this.#unread.shift();
    if (first !== undefined) return Promise.resolve(first);
    if (this.#failure !== null) return Promise.reject(this.#failure);
    return new Promise((resolve, reject) => {
      if (signal.aborted) {
        reject(signal.reason);
        return;
      }
      const onAbort = () => {
        this.#reader = null;
        reject(signal.reason);
      };
      const settle =
        <T>(then: (value: T) => void) =>
        (value: T) => {
          signal.removeEventListener('abort', onAbort);
          then(value);
        };
      signal.addEventListener('abort', onAbort, { once: true });
      this.#reader = { resolve: settle(resolve), reject: settle(reject) };
    });
  }
}
