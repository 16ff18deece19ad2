// Something done once, a while after it was first asked for: what is asked meanwhile is gathered into it.

import type { Clock } from '../os/clock.ts';

export class Later {
  readonly #clock: Clock;
  readonly #ms: number;
  readonly #signal: AbortSignal;
  readonly #run: () => void;
  #isArmed = false;

  constructor(options: { clock: Clock; ms: number; signal: AbortSignal; run: () => void }) {
    this.#clock = options.clock;
    this.#ms = options.ms;
    this.#signal = options.signal;
    this.#run = options.run;
  }

  arm(): void {
    if (this.#isArmed || this.#signal.aborted) return;
    this.#isArmed = true;
    this.#clock.sleep(this.#ms, this.#signal).then(
      () => {
        this.#isArmed = false;
        this.#run();
      },
      () => {
        // Aborted: whoever aborts does himself what is left to do.
      },
    );
  }
}
