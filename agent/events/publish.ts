// From the spool to the fleet: batches in order, and again until the controller says that it has them.
//
//   for each stream:   acknowledged ──── sent, not acknowledged (the window) ──── spooled
//
// The broker's answer (PUBACK) only means that the broker has it; the spool lets go of nothing until the
// controller's acknowledgement. Without one in time, or on a new session, sending starts again behind the
// last acknowledged number; the controller knows numbers it has seen. While no acknowledgement comes the
// window is one batch and the waits grow, so that a broker whose controller is away does not fill up.

import { type EventBatch, type SpoolAcknowledgement, type Stream, streams } from '../contract/event.ts';
import { Backoff } from '../os/backoff.ts';
import type { Clock } from '../os/clock.ts';
import type { Log } from '../os/log.ts';
import type { Random } from '../os/random.ts';
import { Later } from './later.ts';
import type { Spool } from './spool.ts';

/** Batches of a stream that may be under way: 512 KiB at most. */
export const windowBatchesMax = 4;
/** What follows within this time goes with it. Packets were gathered for a second already. */
const gatherMs: Readonly<Record<Stream, number>> = { audit: 50, alert: 50, packet: 200 };
const acknowledgedWithinMs = 30_000;
const acknowledgedWithinMsMax = 600_000;
const retryLimits = { baseMs: 1000, maxMs: 60_000 } as const;

/** Resolves when the broker has it; rejects where there is no link. */
export type PublishBatch = (batch: EventBatch) => Promise<void>;

interface Sending {
  readonly stream: Stream;
  /** Last number handed to the link since sending last started again. */
  sent: number;
  /** Last number ever handed to the link; nothing above it can be acknowledged. */
  sentMost: number;
  /** Last number of each batch under way, oldest first. */
  underWay: number[];
  windowBatches: number;
  withinMs: number;
  deadlineMs: number;
  isWatched: boolean;
  readonly gather: Later;
}

export class Publisher {
  readonly #spool: Spool;
  readonly #publish: PublishBatch;
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #backoff: Backoff;
  readonly #sending: readonly Sending[];
  readonly #closing = new AbortController();
  #online = true;
  /** Grows when sending starts again: answers to what was sent before mean nothing any more. */
  #session = 0;

  constructor(options: { spool: Spool; publish: PublishBatch; clock: Clock; random: Random; log: Log }) {
    this.#spool = options.spool;
    this.#publish = options.publish;
    this.#clock = options.clock;
    this.#log = options.log;
    this.#backoff = new Backoff(retryLimits, options.random);
    const { signal } = this.#closing;
    this.#sending = streams.map((stream): Sending => {
      const run = () => this.#pump(sending);
      const sending: Sending = {
        stream,
        sent: this.#spool.acknowledged(stream),
        // An earlier process may have sent all that it left.
        sentMost: this.#spool.lastSeq(stream),
        underWay: [],
        windowBatches: windowBatchesMax,
        withinMs: acknowledgedWithinMs,
        deadlineMs: 0,
        isWatched: false,
        gather: new Later({ clock: this.#clock, ms: gatherMs[stream], signal, run }),
      };
      return sending;
    });
    for (const sending of this.#sending) sending.gather.arm();
  }

  /** Something was spooled. */
  wake(stream: Stream): void {
    for (const sending of this.#sending) if (sending.stream === stream) sending.gather.arm();
  }

  /** A new session with the broker: what the old one took with it is sent again. */
  connected(): void {
    this.#online = true;
    this.#backoff.succeeded();
    this.#startAgain();
  }

  /** An `ack.spool` body, from outside; false where it is none. */
  acknowledge(body: unknown): boolean {
    const acknowledgement = readAcknowledgement(body);
    const sending = this.#sending.find((one) => one.stream === acknowledgement?.stream);
    if (acknowledgement === null || sending === undefined) return false;
    const { stream } = sending;
    const before = this.#spool.acknowledged(stream);
    this.#spool.acknowledge(stream, Math.min(acknowledgement.upTo, sending.sentMost));
    const upTo = this.#spool.acknowledged(stream);
    if (upTo === before) return true;
    sending.sent = Math.max(sending.sent, upTo);
    sending.underWay = sending.underWay.filter((last) => last > upTo);
    sending.windowBatches = windowBatchesMax;
    sending.withinMs = acknowledgedWithinMs;
    sending.deadlineMs = this.#clock.bootMs() + sending.withinMs;
    this.#pump(sending);
    return true;
  }

  close(): void {
    this.#closing.abort();
  }

  #pump(sending: Sending): void {
    while (this.#online && !this.#closing.signal.aborted && sending.underWay.length < sending.windowBatches) {
      const batch = this.#spool.nextBatch(sending.stream, sending.sent);
      const last = batch?.events.at(-1)?.seq;
      if (batch === null || last === undefined) return;
      if (sending.underWay.length === 0) sending.deadlineMs = this.#clock.bootMs() + sending.withinMs;
      sending.sent = last;
      sending.sentMost = Math.max(sending.sentMost, last);
      sending.underWay.push(last);
      this.#send(batch);
      if (!sending.isWatched) this.#watch(sending);
    }
  }

  #send(batch: EventBatch): void {
    const session = this.#session;
    this.#publish(batch).then(
      () => this.#backoff.succeeded(),
      (error: unknown) => {
        if (session !== this.#session || this.#closing.signal.aborted) return;
        this.#log.debug({ error, stream: batch.stream }, 'events: not published');
        this.#retryLater();
      },
    );
  }

  #retryLater(): void {
    if (!this.#online) return;
    this.#online = false;
    const session = this.#session;
    this.#clock.sleep(this.#backoff.nextMs(), this.#closing.signal).then(
      () => {
        // A new session has started again by itself.
        if (session !== this.#session) return;
        this.#online = true;
        this.#startAgain();
      },
      () => {
        // Closing.
      },
    );
  }

  #startAgain(): void {
    this.#session += 1;
    for (const sending of this.#sending) {
      rewind(sending, this.#spool);
      this.#pump(sending);
    }
  }

  /** Sends again what was not acknowledged in time, until nothing is under way. */
  async #watch(sending: Sending): Promise<void> {
    sending.isWatched = true;
    while (sending.underWay.length > 0) {
      const waitMs = sending.deadlineMs - this.#clock.bootMs();
      if (waitMs > 0) {
        try {
          await this.#clock.sleep(waitMs, this.#closing.signal);
        } catch {
          // Closing.
          return;
        }
        continue;
      }
      sending.withinMs = Math.min(sending.withinMs * 2, acknowledgedWithinMsMax);
      sending.windowBatches = 1;
      rewind(sending, this.#spool);
      this.#pump(sending);
    }
    sending.isWatched = false;
  }
}

function rewind(sending: Sending, spool: Spool): void {
  sending.sent = spool.acknowledged(sending.stream);
  sending.underWay = [];
}

function readAcknowledgement(body: unknown): SpoolAcknowledgement | null {
  if (typeof body !== 'object' || body === null) return null;
  const { stream, upTo } = body as Record<string, unknown>;
  const known = streams.find((one) => one === stream);
  if (known === undefined || typeof upTo !== 'number' || !Number.isSafeInteger(upTo) || upTo < 0) return null;
  return { stream: known, upTo };
}
