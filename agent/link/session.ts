// The link to the broker over its whole life: one connection after another, presence, and what is on its way.
//
//            ┌────────────── pause, full jitter ◀─────────────┐
//            ▼                                                │ failed or closed
//   start ─▶ connecting ─── subscribed, birth published ───▶ up ──▶ stopped (goodbye)
//            ▲                                                │
//            └── reconnect(): closed at once, short pauses ───┘
//
// Nothing is queued over a broken connection: what was not acknowledged is rejected, and its owner knows
// better than we do whether it is still worth sending (the spool sends again, a report is made anew). So the
// memory of a link that is down for a week is bounded by nothing at all being kept. What waits within a
// connection is bounded too: beyond the bound the newest is refused and counted.
//
// A publication that a broker refuses by closing the connection would be sent again after each reconnect,
// for ever. One that was on its way at several quick closings is therefore sent alone, and then dropped.

import { createHash } from 'node:crypto';
import { type Envelope, envelopeKinds } from '../contract/envelope.ts';
import { payloadBytesMax } from '../contract/limits.ts';
import type { Birth, Gone } from '../contract/state.ts';
import { type DeviceTopics, deviceTopics } from '../contract/topics.ts';
import { Backoff, type BackoffLimits } from '../os/backoff.ts';
import type { Clock } from '../os/clock.ts';
import type { Log } from '../os/log.ts';
import { hexNonce, type Random } from '../os/random.ts';
import { Connection, type ConnectOptions, type Credentials, type Endpoint, LinkError } from './connection.ts';
import { type Incoming, readMessage } from './inbox.ts';
import { Poison } from './poison.ts';
import type { SessionMemory } from './session-memory.ts';

export interface SessionOptions {
  readonly endpoint: Endpoint;
  readonly credentials: Credentials;
  readonly tenant: string;
  readonly device: string;
  readonly keepaliveSeconds: number;
  readonly reconnect: BackoffLimits;
  readonly bootId: string;
  readonly memory: SessionMemory;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  /** What a birth says, asked for at each. */
  readonly birth: () => Omit<Birth, 'state' | 'time' | 'nonce'>;
}

export interface Outgoing {
  readonly topic: string;
  /** `envelopeKinds` */
  readonly kind: string;
  readonly body: unknown;
  readonly qos?: 0 | 1;
  readonly retain?: boolean;
  /** What is the same when the same thing is sent again; absent: topic and body are. */
  readonly key?: string;
}

export interface LinkStatus {
  readonly state: 'connecting' | 'up' | 'waiting' | 'stopped';
  readonly broker: string;
  /** 5 or 4 (3.1.1) while up. */
  readonly protocol: number | null;
  readonly sid: number;
  readonly connects: number;
  /** Why the last connection ended or did not come about. */
  readonly lastError: string | null;
  readonly unreadable: number;
  /** Publications refused because too many waited. */
  readonly dropped: number;
  /** Publications dropped because they closed the connection again and again. */
  readonly poisoned: number;
}

/** Unacknowledged QoS 1 publications at a time: brokers on small machines cut at 20. */
const inFlightMax = 16;
/** Publications that wait for a place, and their bytes. */
const waitingMax = 128;
const waitingBytesMax = 2 * 1024 * 1024;
/** A connection that lived this long starts the pauses over. */
const steadyMs = 30_000;
/** Name lookup to birth. */
const openMsMax = 20_000;
/** In a trial a few seconds of the deadline are worth more than the broker's peace. */
const trialPause: BackoffLimits = { baseMs: 250, maxMs: 2_000 };
const trialOpenMsMax = 5_000;

interface Up {
  readonly connection: Connection;
  readonly sid: number;
  readonly sinceMs: number;
  /** Next number per topic. */
  readonly seq: Map<string, number>;
}

interface Slip {
  readonly go: () => void;
  readonly reject: (error: unknown) => void;
  readonly bytes: number;
  readonly alone: boolean;
}

export class Session {
  readonly topics: DeviceTopics;
  readonly #options: SessionOptions;
  readonly #broker: string;
  readonly #blobBase: string;
  readonly #listeners = new Set<(message: Incoming) => void>();
  readonly #upListeners = new Set<() => void>();
  readonly #extraFilters = new Set<string>();
  readonly #poison: Poison;
  readonly #waiting: Slip[] = [];
  #waitingBytes = 0;
  #inFlight = 0;
  #aloneInFlight = false;
  #state: LinkStatus['state'] = 'stopped';
  #up: Up | null = null;
  /** Ends what the loop is doing: an attempt, a pause or, through `#up`, a connection. */
  #interrupt = new AbortController();
  /** How many are in a hurry: a trial's deadline runs. */
  #hurried = 0;
  #sid = 0;
  #connects = 0;
  #lastError: string | null = null;
  #unreadable = 0;
  #dropped = 0;

  constructor(options: SessionOptions) {
    this.#options = options;
    this.topics = deviceTopics(options.tenant, options.device);
    this.#broker = `${options.endpoint.host}:${options.endpoint.port}`;
    this.#blobBase = `husk/${options.tenant}/b/blob/`;
    this.#poison = new Poison(options.clock);
  }

  /** Connects, and again, until the signal; then says goodbye. */
  async run(signal: AbortSignal): Promise<void> {
    const { clock, random, reconnect, log, memory } = this.#options;
    const steady = new Backoff(reconnect, random);
    const urgent = new Backoff(trialPause, random);
    const onAbort = () => this.#interrupt.abort(signal.reason);
    signal.addEventListener('abort', onAbort, { once: true });
    while (!signal.aborted) {
      this.#interrupt = new AbortController();
      const interrupted = this.#interrupt.signal;
      try {
        this.#state = 'connecting';
        const up = await this.#open(interrupted);
        if (interrupted.aborted) {
          await up.connection.end();
          continue;
        }
        this.#becomeUp(up);
        const ended = await Promise.race([up.connection.closed, aborted(interrupted)]);
        this.#becomeDown(up, ended ?? new LinkError('down', 'closed by us'));
        if (clock.bootMs() - up.sinceMs >= steadyMs) steady.succeeded();
        if (ended === null) {
          await (signal.aborted ? this.#sayGoodbye(up) : up.connection.end());
          continue;
        }
      } catch (error) {
        if (interrupted.aborted) continue;
        const { kind, message } = asLinkError(error);
        this.#lastError = message;
        if (kind === 'protocol') {
          memory.rememberOldBroker(this.#broker);
          continue;
        }
      }
      this.#state = 'waiting';
      const pauseMs = (this.#hurried > 0 ? urgent : steady).nextMs();
      log.info({ broker: this.#broker, why: this.#lastError, pauseMs }, 'link: down');
      // An interrupted pause goes straight on to the next attempt.
      await clock.sleep(pauseMs, interrupted).catch(() => {});
    }
    signal.removeEventListener('abort', onAbort);
    this.#state = 'stopped';
    this.#rejectWaiting(new LinkError('down', 'the session was stopped'));
  }

  /**
   * For a trial: gives up whatever connection or attempt there is and resolves when one that was begun after
   * this call is up, its birth acknowledged. Until then, or until the signal, tries in quick succession.
   */
  async reconnect(signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    const calm = this.hurry();
    try {
      const before = this.#up;
      this.#interrupt.abort(new LinkError('down', 'reconnecting for a trial'));
      await this.#whenUp((up) => up !== before, signal);
    } finally {
      calm();
    }
  }

  /** Connects in quick succession until what it returns is called. */
  hurry(): () => void {
    this.#hurried += 1;
    return () => {
      this.#hurried -= 1;
    };
  }

  /** Resolves once the link is up, at once if it is. */
  whenUp(signal: AbortSignal): Promise<void> {
    return this.#whenUp(() => true, signal);
  }

  get isUp(): boolean {
    return this.#up !== null;
  }

  status(): LinkStatus {
    return {
      state: this.#state,
      broker: this.#broker,
      protocol: this.#up === null ? null : this.#options.memory.version(this.#broker),
      sid: this.#sid,
      connects: this.#connects,
      lastError: this.#lastError,
      unreadable: this.#unreadable,
      dropped: this.#dropped,
      poisoned: this.#poison.dropped,
    };
  }

  /** Every message that arrives, read. Returns how to stop listening. */
  listen(listener: (message: Incoming) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** After each birth. */
  onUp(listener: () => void): () => void {
    this.#upListeners.add(listener);
    return () => this.#upListeners.delete(listener);
  }

  /** Subscribes a filter beside the standing ones, on this connection and on those to come. */
  async addFilter(filter: string, signal: AbortSignal): Promise<void> {
    this.#extraFilters.add(filter);
    if (this.#up !== null) await this.#up.connection.subscribe([filter], signal);
  }

  async removeFilter(filter: string): Promise<void> {
    this.#extraFilters.delete(filter);
    // A connection that ends meanwhile has forgotten the filter as well.
    await this.#up?.connection.unsubscribe([filter]).catch(() => {});
  }

  /** Resolves when the broker has it (QoS 1). Rejects with LinkError when the link is or goes down, or is too busy. */
  async send(out: Outgoing, signal?: AbortSignal): Promise<void> {
    signal?.throwIfAborted();
    const up = this.#up;
    if (up === null) throw new LinkError('down', 'the link is down');
    const key = out.key ?? `${out.topic} ${digestOf(out.body)}`;
    if (this.#poison.isPoison(key)) {
      this.#poison.countDrop();
      throw new LinkError('refused', `${out.topic}: it closed the connection again and again`);
    }
    const payload = JSON.stringify(this.#envelope(up, out));
    if (Buffer.byteLength(payload) > payloadBytesMax) {
      throw new LinkError('refused', `${out.topic}: a payload of ${payload.length} bytes`);
    }
    const alone = this.#poison.isSuspect(key);
    await this.#takePlace(payload.length, alone);
    // It may have ended while we waited: then nothing was sent, and nobody is to be suspected of the end.
    if (this.#up !== up || !up.connection.open) {
      this.#leavePlace(alone);
      throw new LinkError('down', 'the connection ended');
    }
    this.#poison.sent(key);
    try {
      const qos = out.qos ?? 1;
      await up.connection.publish({ topic: out.topic, payload, qos, retain: out.retain ?? false });
      this.#poison.acknowledged(key);
    } finally {
      this.#leavePlace(alone);
    }
  }

  async #open(signal: AbortSignal): Promise<Up> {
    const { memory, device, endpoint, credentials, keepaliveSeconds, clock } = this.#options;
    const sid = memory.nextSid();
    this.#sid = sid;
    this.#connects += 1;
    const seq = new Map<string, number>();
    const up = { sid, seq };
    const options: ConnectOptions = {
      endpoint,
      credentials,
      clientId: device,
      version: memory.version(this.#broker),
      keepaliveSeconds,
      openMsMax: this.#hurried > 0 ? trialOpenMsMax : openMsMax,
      will: {
        topic: this.topics.presence,
        payload: JSON.stringify(
          this.#envelope(up, {
            topic: this.topics.presence,
            kind: envelopeKinds.will,
            body: { state: 'gone' } satisfies Gone,
          }),
        ),
      },
      filters: [
        this.topics.desired,
        this.topics.shadow,
        this.topics.request,
        this.topics.acknowledge,
        ...this.#extraFilters,
      ],
      onMessage: (topic, payload) => this.#receive(topic, payload),
    };
    const connection = await Connection.open(options, signal);
    try {
      const birth: Birth = {
        state: 'up',
        ...this.#options.birth(),
        time: clock.wall().quality,
        nonce: hexNonce(this.#options.random, 32),
      };
      const payload = this.#envelope(up, {
        topic: this.topics.presence,
        kind: envelopeKinds.birth,
        body: birth,
      });
      const published = connection.publish({
        topic: this.topics.presence,
        payload: JSON.stringify(payload),
        qos: 1,
        retain: true,
      });
      const gaveUp = await Promise.race([published.then(() => false), aborted(signal).then(() => true)]);
      published.catch(() => {});
      if (gaveUp) throw signal.reason;
    } catch (error) {
      await connection.end();
      throw error;
    }
    return { connection, sid, seq, sinceMs: clock.bootMs() };
  }

  #becomeUp(up: Up): void {
    this.#up = up;
    this.#state = 'up';
    this.#lastError = null;
    this.#options.log.info(
      { broker: this.#broker, sid: up.sid, protocol: this.#options.memory.version(this.#broker) },
      'link: up',
    );
    for (const listener of [...this.#upListeners]) listener();
  }

  #becomeDown(up: Up, why: LinkError): void {
    assertSame(this.#up, up);
    this.#up = null;
    this.#lastError = why.message;
    this.#poison.closed(why);
    this.#rejectWaiting(why);
  }

  async #sayGoodbye(up: Up): Promise<void> {
    const envelope = this.#envelope(up, {
      topic: this.topics.presence,
      kind: envelopeKinds.goodbye,
      body: { state: 'bye' } satisfies Gone,
    });
    const publication = {
      topic: this.topics.presence,
      payload: JSON.stringify(envelope),
      qos: 1,
      retain: true,
    } as const;
    const timeout = AbortSignal.timeout(goodbyeMsMax);
    // A broker that does not answer gets no second goodbye; it has the will for that.
    await Promise.race([up.connection.publish(publication).catch(() => {}), aborted(timeout)]);
    await up.connection.end();
  }

  #envelope(up: Pick<Up, 'sid' | 'seq'>, out: Pick<Outgoing, 'topic' | 'kind' | 'body'>): Envelope {
    const { clock, bootId } = this.#options;
    const seq = up.seq.get(out.topic) ?? 0;
    up.seq.set(out.topic, seq + 1);
    const wall = clock.wall();
    return {
      v: 1,
      k: out.kind,
      sid: up.sid,
      boot: bootId,
      seq,
      mono: Math.floor(clock.bootMs()),
      ts: wall.ms,
      tq: wall.quality,
      body: out.body,
    };
  }

  #receive(topic: string, payload: Uint8Array): void {
    const message = readMessage(topic, payload, this.topics, this.#blobBase);
    if (message.kind === 'unreadable') {
      this.#unreadable += 1;
      this.#options.log.warn({ topic: message.topic, why: message.why }, 'link: unreadable message');
      return;
    }
    for (const listener of [...this.#listeners]) listener(message);
  }

  #whenUp(fits: (up: Up) => boolean, signal: AbortSignal): Promise<void> {
    if (this.#up !== null && fits(this.#up) && !this.#interrupt.signal.aborted) return Promise.resolve();
    return new Promise((resolve, reject) => {
      const stop = this.onUp(() => {
        if (this.#up === null || !fits(this.#up)) return;
        stop();
        signal.removeEventListener('abort', onAbort);
        resolve();
      });
      const onAbort = () => {
        stop();
        reject(signal.reason);
      };
      signal.addEventListener('abort', onAbort, { once: true });
    });
  }

  /** Waits for a place among those on their way; `alone` waits until none is and keeps others from going. */
  #takePlace(bytes: number, alone: boolean): Promise<void> {
    return new Promise((resolve, reject) => {
      if (this.#waiting.length >= waitingMax || this.#waitingBytes + bytes > waitingBytesMax) {
        this.#dropped += 1;
        reject(new LinkError('down', 'too much is waiting to be sent'));
        return;
      }
      this.#waiting.push({ go: resolve, reject, bytes, alone });
      this.#waitingBytes += bytes;
      this.#letGo();
    });
  }

  #leavePlace(alone: boolean): void {
    this.#inFlight -= 1;
    if (alone) this.#aloneInFlight = false;
    this.#letGo();
  }

  #letGo(): void {
    const places = Math.min(inFlightMax, this.#up?.connection.receiveMaximum ?? 0);
    for (;;) {
      const next = this.#waiting[0];
      if (next === undefined || this.#aloneInFlight) return;
      if (next.alone ? this.#inFlight > 0 : this.#inFlight >= places) return;
      this.#waiting.shift();
      this.#waitingBytes -= next.bytes;
      this.#inFlight += 1;
      if (next.alone) this.#aloneInFlight = true;
      next.go();
    }
  }

  #rejectWaiting(why: LinkError): void {
    for (const slip of this.#waiting.splice(0)) slip.reject(why);
    this.#waitingBytes = 0;
  }
}

const goodbyeMsMax = 1_000;

/** What the loop can go on after. Anything else is a mistake of ours and ends the agent. */
function asLinkError(error: unknown): LinkError {
  if (error instanceof LinkError) return error;
  throw error;
}

function digestOf(body: unknown): string {
  return createHash('sha256').update(JSON.stringify(body)).digest('base64url');
}

/** Resolves with null when the signal fires. */
function aborted(signal: AbortSignal): Promise<null> {
  if (signal.aborted) return Promise.resolve(null);
  return new Promise((resolve) => signal.addEventListener('abort', () => resolve(null), { once: true }));
}

function assertSame(a: unknown, b: unknown): void {
  if (a !== b) throw new Error('link: another connection is up');
}
