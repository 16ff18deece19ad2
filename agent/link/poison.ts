// Finds the publication that makes a broker close the connection, so that it is not sent for ever.
//
//   sent, then closed soon after      once: suspect, from now on sent alone
//   sent alone, closed soon after     `closingsMax` times: poison, dropped and counted
//   acknowledged                      innocent again
//
// Only closings by the other side count, and only soon after sending: a cable that is pulled or a keepalive
// that runs out accuses nobody.

import type { Clock } from '../os/clock.ts';
import type { LinkError } from './connection.ts';

/** A broker that refuses does so when it has read the packet. */
const soonMs = 5_000;
const closingsMax = 4;
/** Keys under suspicion at a time; the oldest is forgotten. */
const suspectsMax = 64;

export class Poison {
  readonly #clock: Clock;
  readonly #inFlight = new Map<string, number>();
  readonly #closings = new Map<string, number>();
  #dropped = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  get dropped(): number {
    return this.#dropped;
  }

  isSuspect(key: string): boolean {
    return this.#closings.has(key);
  }

  isPoison(key: string): boolean {
    return (this.#closings.get(key) ?? 0) >= closingsMax;
  }

  countDrop(): void {
    this.#dropped += 1;
  }

  sent(key: string): void {
    this.#inFlight.set(key, this.#clock.bootMs());
  }

  acknowledged(key: string): void {
    this.#inFlight.delete(key);
    this.#closings.delete(key);
  }

  closed(why: LinkError): void {
    const nowMs = this.#clock.bootMs();
    const byBroker = !/keepalive/i.test(why.message) && why.message !== 'closed by us';
    for (const [key, sentMs] of this.#inFlight) {
      if (!byBroker || nowMs - sentMs > soonMs) continue;
      const count = (this.#closings.get(key) ?? 0) + 1;
      this.#closings.delete(key);
      this.#closings.set(key, count);
    }
    this.#inFlight.clear();
    while (this.#closings.size > suspectsMax) {
      const oldest = this.#closings.keys().next().value;
      if (oldest !== undefined) this.#closings.delete(oldest);
    }
  }
}
