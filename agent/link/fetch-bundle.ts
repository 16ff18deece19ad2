// Fetches a bundle in parts, by digest, with exactly the signed length.
//
// The parts come over a broadcast topic, so that a hundred devices asking for the same bundle are served
// once. The space is reserved from the signed length before anything arrives; a part counts when its number
// and its length fit, and a second copy of it is ignored. What is missing is asked for again, also after the
// link was down; nothing received is fetched twice. Whether the whole is the right one, its digest says, and
// that is looked at in trust/.

import type { PartsAsked } from '../contract/bundle.ts';
import { envelopeKinds } from '../contract/envelope.ts';
import { bundleBytesMax, partBytes, partsWindow } from '../contract/limits.ts';
import { RefusalError } from '../contract/refusal.ts';
import { blobFilter } from '../contract/topics.ts';
import { Backoff } from '../os/backoff.ts';
import type { Clock } from '../os/clock.ts';
import type { Random } from '../os/random.ts';
import { LinkError } from './connection.ts';
import type { Session } from './session.ts';

export interface FetchTools {
  readonly session: Session;
  readonly tenant: string;
  readonly clock: Clock;
  readonly random: Random;
}

/** How long a window may go without a new part before it is asked for again. */
const silenceMs = 3_000;
/** Silences in a row, with the link up, after which the controller counts as unable to deliver. */
const silencesMax = 10;
const retryPause = { baseMs: 500, maxMs: 15_000 } as const;

/** Throws RefusalError bundle.unavailable or bundle.too-large, or the signal's reason. */
export async function fetchBundle(
  tools: FetchTools,
  digest: string,
  bytes: number,
  signal: AbortSignal,
): Promise<Uint8Array> {
  if (bytes > bundleBytesMax || bytes < 1) {
    throw new RefusalError('bundle.too-large', `${bytes} bytes, at most ${bundleBytesMax}`);
  }
  const { session, tenant, clock, random } = tools;
  const filter = blobFilter(tenant, digest);
  const parts = new Parts(bytes);
  const stop = session.listen((message) => {
    if (message.kind === 'part' && message.digest === digest) parts.put(message.part, message.bytes);
  });
  const backoff = new Backoff(retryPause, random);
  let silences = 0;
  try {
    while (!parts.complete) {
      await session.whenUp(signal);
      const had = parts.count;
      try {
        await session.addFilter(filter, signal);
        const body: PartsAsked = { digest, ...parts.nextWindow() };
        await session.send(
          {
            topic: session.topics.ask,
            kind: envelopeKinds.fetchParts,
            body,
            key: `ask ${digest} ${body.from}`,
          },
          signal,
        );
        await waitForWindow(parts, body, tools, signal);
      } catch (error) {
        // The link went down: what has come stays, and the rest is asked for when it is up again.
        if (!(error instanceof LinkError)) throw error;
        await clock.sleep(backoff.nextMs(), signal);
        continue;
      }
      if (parts.count > had) {
        silences = 0;
        backoff.succeeded();
        continue;
      }
      silences += 1;
      if (silences >= silencesMax) {
        throw new RefusalError('bundle.unavailable', `${parts.count} of ${parts.total} parts came`);
      }
      await clock.sleep(backoff.nextMs(), signal);
    }
    return parts.bytes;
  } finally {
    stop();
    await session.removeFilter(filter);
  }
}

/** Until every part of the window is here, none has come for a while, or the question went down with its connection. */
async function waitForWindow(
  parts: Parts,
  window: PartsAsked,
  { clock, session }: FetchTools,
  signal: AbortSignal,
): Promise<void> {
  let isNewSession = false;
  while (!isNewSession && !parts.has(window.from, window.count)) {
    const before = parts.count;
    const woken = new AbortController();
    const stops = [
      parts.onPart(() => woken.abort()),
      session.onUp(() => {
        isNewSession = true;
        woken.abort();
      }),
    ];
    await clock.sleep(silenceMs, AbortSignal.any([signal, woken.signal])).catch(() => {});
    for (const stop of stops) stop();
    signal.throwIfAborted();
    if (parts.count === before) return;
  }
}

/** The bundle as far as it has come. */
class Parts {
  readonly bytes: Uint8Array;
  readonly total: number;
  readonly #have: Uint8Array;
  #count = 0;
  #listener: () => void = () => {};

  constructor(bytes: number) {
    this.bytes = new Uint8Array(bytes);
    this.total = Math.ceil(bytes / partBytes);
    this.#have = new Uint8Array(this.total);
  }

  get count(): number {
    return this.#count;
  }

  get complete(): boolean {
    return this.#count === this.total;
  }

  put(part: number, bytes: Uint8Array): void {
    if (part >= this.total || this.#have[part] === 1) return;
    const wanted = part === this.total - 1 ? this.bytes.length - part * partBytes : partBytes;
    if (bytes.length !== wanted) return;
    this.bytes.set(bytes, part * partBytes);
    this.#have[part] = 1;
    this.#count += 1;
    this.#listener();
  }

  has(from: number, count: number): boolean {
    return this.#have.subarray(from, from + count).every((one) => one === 1);
  }

  /** From the first missing part on. */
  nextWindow(): { readonly from: number; readonly count: number } {
    const from = this.#have.indexOf(0);
    return { from, count: Math.min(partsWindow, this.total - from) };
  }

  onPart(listener: () => void): () => void {
    this.#listener = listener;
    return () => {
      this.#listener = () => {};
    };
  }
}
