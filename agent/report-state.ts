// What is so on this device → told to the fleet, whenever it has changed.
//
//   changed ─▶ wait out the pause ─▶ read the state ─▶ publish, retained ─▶ acknowledged
//                                                          │ link down: again at the next birth
//
// Retained, so the newest is all that counts: changes in a pause become one report. Each session begins with
// a report, since a broker may have lost what it kept.

import type { Reported } from './contract/state.ts';
import { messageOf } from './contract/thrown.ts';
import type { Clock } from './os/clock.ts';
import type { Log } from './os/log.ts';

export interface ReporterParts {
  readonly state: () => Reported;
  /** Publishes and resolves when the broker has it. */
  readonly send: (state: Reported) => Promise<void>;
  readonly clock: Clock;
  readonly log: Log;
}

/** Between two reports: a trial has five changes within a second, and the fleet needs the last. */
const pauseMs = 200;
/** After one that could not be sent, unless a birth comes first. */
const retryMs = 5_000;

export class StateReporter {
  readonly #parts: ReporterParts;
  #wake: () => void = () => {};
  #isDue = false;
  #isUp = false;
  /** What this session has been told, as text; null: nothing yet. */
  #told: string | null = null;

  constructor(parts: ReporterParts) {
    this.#parts = parts;
  }

  /** Something may be different. Cheap: called as often as one likes. */
  changed(): void {
    this.#isDue = true;
    this.#wake();
  }

  /** A new session: it knows nothing. */
  connected(): void {
    this.#isUp = true;
    this.#told = null;
    this.changed();
  }

  /** Reports until the signal. */
  async run(signal: AbortSignal): Promise<void> {
    const { clock } = this.#parts;
    const onAbort = () => this.#wake();
    signal.addEventListener('abort', onAbort, { once: true });
    while (!signal.aborted) {
      if (!this.#isDue || !this.#isUp) {
        await new Promise<void>((resolve) => {
          this.#wake = resolve;
        });
        continue;
      }
      this.#isDue = false;
      await this.#report(signal);
      await clock.sleep(pauseMs, signal).catch(() => {});
    }
  }

  async #report(signal: AbortSignal): Promise<void> {
    const { state, send, clock, log } = this.#parts;
    const now = state();
    const text = JSON.stringify(now);
    if (text === this.#told) return;
    try {
      await send(now);
      this.#told = text;
    } catch (error) {
      // Down, or too busy: due again at the next birth, or after a while.
      this.#isUp = false;
      this.#isDue = true;
      void clock.sleep(retryMs, signal).then(
        () => {
          this.#isUp = true;
          this.#wake();
        },
        // Stopping.
        () => {},
      );
      log.debug({ error: messageOf(error) }, 'report: not sent');
    }
  }
}
