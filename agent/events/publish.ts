// From the spool to the fleet: batches in order, and again until the controller says that it has them.
//
//   for each stream:   acknowledged ──── one batch under way ──── spooled
//
// The broker's answer (PUBACK) only means that the broker has it; the spool lets go of nothing until the
// controller's acknowledgement. Without one in time, or on a new session, the batch is sent again; the
// controller knows numbers it has seen. The waits grow, so that a broker whose controller is away does not
// fill up.
//
// One batch at a time, and not several: an acknowledgement is for everything up to a number, so a batch that
// the broker threw away between two that arrived would be let go of unseen. What it costs is speed: 500 events
// a round trip, which is more than the windows before the spool let through.
//
// A batch that the broker will not have is sent in halves until the one event is found that it will not
// have; that event is given up and counted, since all that come after it would wait for ever.

import { type EventBatch, type SpoolAcknowledgement, type Stream, streams } from '../contract/event.ts';
import { batchEventsMax } from '../contract/limits.ts';
import { Backoff } from '../os/backoff.ts';
import type { Clock } from '../os/clock.ts';
import type { Log } from '../os/log.ts';
import type { Random } from '../os/random.ts';
import { Later } from './later.ts';
import type { Spool } from './spool.ts';

/** What follows within this time goes with it. Packets were gathered for a second already. */
const gatherMs: Readonly<Record<Stream, number>> = { audit: 50, alert: 50, packet: 200 };
/** A controller commits within a second; the rest is for a slow link. */
const acknowledgedWithinMs = 15_000;
const acknowledgedWithinMsMax = 600_000;
const retryLimits = { baseMs: 1000, maxMs: 60_000 } as const;

/**
 * Resolves when the broker has it; rejects where there is no link. An error whose `kind` is `refused` says
 * that the link will never take this batch.
 */
export type PublishBatch = (batch: EventBatch) => Promise<void>;

interface UnderWay {
  /** Its last number. */
  readonly last: number;
  /** Aborted when it is not waited for any more. */
  readonly waiting: AbortController;
}

interface Sending {
  readonly stream: Stream;
  /** The batch under way; null: none is. */
  underWay: UnderWay | null;
  /** Last number ever handed to the link; nothing above it can be acknowledged. */
  sentMost: number;
  /** Less than a batch may have while a refused event is searched, which ends at `searchUpTo`. */
  eventsMax: number;
  searchUpTo: number;
  withinMs: number;
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
      const run = () => this.#sendNext(sending);
      const sending: Sending = {
        stream,
        underWay: null,
        // An earlier process may have sent all that it left.
        sentMost: this.#spool.lastSeq(stream),
        eventsMax: batchEventsMax,
        searchUpTo: 0,
        withinMs: acknowledgedWithinMs,
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
    if (upTo >= sending.searchUpTo) sending.eventsMax = batchEventsMax;
    sending.withinMs = acknowledgedWithinMs;
    if (sending.underWay === null || sending.underWay.last <= upTo) this.#sendAnew(sending);
    return true;
  }

  close(): void {
    this.#closing.abort();
    for (const sending of this.#sending) sending.underWay?.waiting.abort();
  }

  #sendAnew(sending: Sending): void {
    sending.underWay?.waiting.abort();
    sending.underWay = null;
    this.#sendNext(sending);
  }

  #sendNext(sending: Sending): void {
    const { stream } = sending;
    if (!this.#online || this.#closing.signal.aborted || sending.underWay !== null) return;
    const batch = this.#spool.nextBatch(stream, this.#spool.acknowledged(stream), sending.eventsMax);
    const last = batch?.events.at(-1)?.seq;
    if (batch === null || last === undefined) return;
    sending.sentMost = Math.max(sending.sentMost, last);
    const underWay = { last, waiting: new AbortController() };
    sending.underWay = underWay;
    this.#send(sending, batch);
    this.#clock.sleep(sending.withinMs, underWay.waiting.signal).then(
      () => {
        sending.withinMs = Math.min(sending.withinMs * 2, acknowledgedWithinMsMax);
        this.#sendAnew(sending);
      },
      () => {
        // Acknowledged, sent anew for another reason, or closing.
      },
    );
  }

  #send(sending: Sending, batch: EventBatch): void {
    const session = this.#session;
    this.#publish(batch).then(
      () => this.#backoff.succeeded(),
      (error: unknown) => {
        if (session !== this.#session || this.#closing.signal.aborted) return;
        if (isRefusal(error)) this.#searchRefused(sending, batch);
        else this.#retryLater();
      },
    );
  }

  #searchRefused(sending: Sending, batch: EventBatch): void {
    const { stream } = sending;
    const [first] = batch.events;
    const last = batch.events.at(-1)?.seq;
    if (first === undefined || last === undefined || last !== sending.underWay?.last) return;
    if (batch.events.length > 1) {
      sending.eventsMax = Math.ceil(batch.events.length / 2);
      sending.searchUpTo = Math.max(sending.searchUpTo, last);
    } else {
      this.#log.warn(
        { stream, seq: first.seq, event: first.event },
        'events: refused by the broker, given up',
      );
      this.#spool.acknowledge(stream, first.seq);
      const lost = first.event.kind === 'gap' ? first.event.lost : 1;
      this.#spool.append(stream, { kind: 'gap', lost, where: 'agent' });
      sending.eventsMax = batchEventsMax;
    }
    this.#sendAnew(sending);
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
    for (const sending of this.#sending) this.#sendAnew(sending);
  }
}

function isRefusal(error: unknown): boolean {
  return typeof error === 'object' && error !== null && 'kind' in error && error.kind === 'refused';
}

function readAcknowledgement(body: unknown): SpoolAcknowledgement | null {
  if (typeof body !== 'object' || body === null) return null;
  const { stream, upTo } = body as Record<string, unknown>;
  const known = streams.find((one) => one === stream);
  if (known === undefined || typeof upTo !== 'number' || !Number.isSafeInteger(upTo) || upTo < 0) return null;
  return { stream: known, upTo };
}
