// Full jitter: the n-th pause is random between a floor and the smaller of base·2ⁿ and a ceiling.
//
// A fleet whose broker went away comes back spread over the whole interval instead of in waves.

import type { Random } from './random.ts';

export interface BackoffLimits {
  readonly baseMs: number;
  readonly maxMs: number;
}

export class Backoff {
  readonly #limits: BackoffLimits;
  readonly #random: Random;
  #failures = 0;

  constructor(limits: BackoffLimits, random: Random) {
    this.#limits = limits;
    this.#random = random;
  }

  /** The pause before the next try, in milliseconds. */
  nextMs(): number {
    // 2³⁰ is past any ceiling; beyond it the shift would overflow.
    const ceiling = Math.min(this.#limits.maxMs, this.#limits.baseMs * 2 ** Math.min(this.#failures, 30));
    this.#failures += 1;
    const floor = Math.min(this.#limits.baseMs, ceiling) / 10;
    return Math.round(floor + this.#random.fraction() * (ceiling - floor));
  }

  succeeded(): void {
    this.#failures = 0;
  }
}
