// Bundles to devices in parts: asked for by one, heard by all who wait for the same.
//
//   ask.parts ─▶ allowed? (current assignment, rate) ─▶ parts wanted, each once ─▶ b/blob/<digest>/<n>
//
// A device subscribes first and asks then, so a part that is still to be sent serves everybody who has
// asked for it so far. Asks are gathered for a moment before the first part goes, a few parts are on the
// wire at a time, and a device that asks without end is refused quietly (it asks again later by itself).

import type { Logger } from 'pino';
import type { PartsAsked } from '../agent/contract/bundle.ts';
import { bundleBytesMax, partBytes } from '../agent/contract/limits.ts';
import { messageOf } from '../agent/contract/thrown.ts';
import { blobTopic } from '../agent/contract/topics.ts';
import { Allowance } from './allowance.ts';
import type { Clock } from './clock.ts';
import type { BundleStore } from './store/bundles.ts';

export interface DeliveryParts {
  readonly tenant: string;
  readonly bundles: Pick<BundleStore, 'slice' | 'lengthOf'>;
  readonly publish: (topic: string, payload: Uint8Array) => Promise<void>;
  readonly clock: Clock;
  readonly log: Logger;
}

/** Asks that come within this time share their parts. */
const gatherMs = 25;
const underWayMax = 8;
/** Parts that wait to be sent: a dozen of the largest bundles. */
const wantedMax = 12 * (bundleBytesMax / partBytes);
/** Of one device: the largest bundle twice at once, and then once more every four seconds or so. */
const perDevice = { burst: 2 * (bundleBytesMax / partBytes), perSecond: 64 };

export class PartDelivery {
  readonly #parts: DeliveryParts;
  readonly #allowance: Allowance;
  /** `digest/part`, in the order they will go. */
  readonly #wanted = new Set<string>();
  #underWay = 0;
  #timer: NodeJS.Timeout | null = null;
  #isClosed = false;
  readonly #counts = { sent: 0, shared: 0, dropped: 0 };

  constructor(parts: DeliveryParts) {
    this.#parts = parts;
    this.#allowance = new Allowance({ rate: perDevice, keysMax: 50_000, now: () => parts.clock.now() });
  }

  /** shared: asked for while they waited already. dropped: over the rate or the queue, or not delivered. */
  counts(): Readonly<Record<'sent' | 'shared' | 'dropped', number>> {
    return { ...this.#counts };
  }

  /** The caller has seen that this device may have that bundle. */
  ask(device: string, { digest, from, count }: PartsAsked): void {
    const length = this.#parts.bundles.lengthOf(digest);
    if (length === null) return;
    const to = Math.min(from + count, Math.ceil(length / partBytes));
    for (let part = from; part < to; part += 1) {
      const key = `${digest}/${part}`;
      if (!this.#allowance.take(device)) this.#counts.dropped += 1;
      else if (this.#wanted.has(key)) this.#counts.shared += 1;
      else if (this.#wanted.size >= wantedMax) this.#counts.dropped += 1;
      else this.#wanted.add(key);
    }
    if (this.#timer === null && this.#underWay === 0 && !this.#isClosed) {
      this.#timer = setTimeout(() => {
        this.#timer = null;
        this.#pump();
      }, gatherMs);
    }
  }

  close(): void {
    this.#isClosed = true;
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#wanted.clear();
  }

  #pump(): void {
    for (const key of this.#wanted) {
      if (this.#underWay >= underWayMax || this.#isClosed) return;
      this.#wanted.delete(key);
      this.#underWay += 1;
      this.#send(key).finally(() => {
        this.#underWay -= 1;
        this.#pump();
      });
    }
  }

  async #send(key: string): Promise<void> {
    const { tenant, bundles, publish, log } = this.#parts;
    const [digest = '', number = ''] = key.split('/');
    const part = Number(number);
    try {
      const bytes = bundles.slice(digest, part * partBytes, partBytes);
      if (bytes === null) return;
      await publish(blobTopic(tenant, digest, part), bytes);
      this.#counts.sent += 1;
    } catch (error) {
      // The link went: whoever waits asks again when it is back.
      this.#counts.dropped += 1;
      log.debug({ reason: messageOf(error), digest, part }, 'a part was not delivered');
    }
  }
}
