// How often something may happen: a token bucket for each key, bounded in number.
//
// A key that is not there has its whole burst. When there are too many keys the one least recently used
// is dropped, which gives it a new burst: bounded memory is worth more than exactness here.

export interface Rate {
  readonly burst: number;
  readonly perSecond: number;
}

export class Allowance {
  readonly #rate: Rate;
  readonly #keysMax: number;
  readonly #now: () => number;
  readonly #buckets = new Map<string, { level: number; at: number }>();

  constructor(options: { readonly rate: Rate; readonly keysMax: number; readonly now: () => number }) {
    this.#rate = options.rate;
    this.#keysMax = options.keysMax;
    this.#now = options.now;
  }

  /** Takes `count` if there are as many. */
  take(key: string, count = 1): boolean {
    const bucket = this.#refilled(key);
    if (bucket.level < count) return false;
    bucket.level -= count;
    return true;
  }

  /** How many could be taken now. */
  left(key: string): number {
    return Math.floor(this.#refilled(key).level);
  }

  #refilled(key: string): { level: number; at: number } {
    const now = this.#now();
    const { burst, perSecond } = this.#rate;
    const old = this.#buckets.get(key);
    const bucket = old ?? { level: burst, at: now };
    bucket.level = Math.min(burst, bucket.level + (Math.max(0, now - bucket.at) / 1000) * perSecond);
    bucket.at = now;
    // Moved to the end: a Map keeps the order of insertion, so the first is the least recently used.
    this.#buckets.delete(key);
    this.#buckets.set(key, bucket);
    if (this.#buckets.size > this.#keysMax) {
      const first = this.#buckets.keys().next().value;
      if (first !== undefined) this.#buckets.delete(first);
    }
    return bucket;
  }
}
