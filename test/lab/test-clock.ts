// A clock that stands still until a test moves it.

import type { TimeQuality } from '../../agent/contract/envelope.ts';
import type { Clock, WallTime } from '../../agent/os/clock.ts';

interface Sleeper {
  readonly wakeMs: number;
  readonly wake: () => void;
}

export class TestClock implements Clock {
  #bootMs: number;
  #wallMs: number | null;
  #quality: TimeQuality;
  #certain: { readonly ms: number; readonly atBootMs: number } | null = null;
  #sleepers: Sleeper[] = [];

  constructor(start: { readonly bootMs?: number; readonly wallMs?: number | null } = {}) {
    this.#bootMs = start.bootMs ?? 1000;
    this.#wallMs = start.wallMs ?? null;
    this.#quality = this.#wallMs === null ? 'none' : 'ntp';
  }

  bootMs(): number {
    return this.#bootMs;
  }

  wall(): WallTime {
    return { ms: this.#wallMs, quality: this.#quality };
  }

  certainMs(): number | null {
    return this.#certain === null ? null : this.#certain.ms + (this.#bootMs - this.#certain.atBootMs);
  }

  learn(unixMs: number, from: 'controller' | 'floor'): void {
    const certain = this.certainMs();
    if (certain === null || unixMs > certain) this.#certain = { ms: unixMs, atBootMs: this.#bootMs };
    if (this.#wallMs !== null && unixMs <= this.#wallMs) return;
    this.#wallMs = unixMs;
    this.#quality = from;
  }

  sleep(ms: number, signal?: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      if (signal?.aborted) {
        reject(signal.reason);
        return;
      }
      const sleeper = { wakeMs: this.#bootMs + Math.max(0, ms), wake };
      const onAbort = () => {
        this.#sleepers = this.#sleepers.filter((other) => other !== sleeper);
        reject(signal?.reason);
      };
      function wake(): void {
        signal?.removeEventListener('abort', onAbort);
        resolve();
      }
      signal?.addEventListener('abort', onAbort, { once: true });
      this.#sleepers.push(sleeper);
    });
  }

  /** How many wait; a test that sees it grow knows that the code under test has come to its pause. */
  get sleeping(): number {
    return this.#sleepers.length;
  }

  /** Moves both clocks and wakes, in order of their time, all that are due; lets woken code run in between. */
  async advance(ms: number): Promise<void> {
    const end = this.#bootMs + ms;
    for (;;) {
      const due = this.#sleepers.filter((one) => one.wakeMs <= end).sort((a, b) => a.wakeMs - b.wakeMs)[0];
      if (due === undefined) break;
      this.#moveTo(Math.max(due.wakeMs, this.#bootMs));
      this.#sleepers = this.#sleepers.filter((other) => other !== due);
      due.wake();
      await new Promise((resolve) => setImmediate(resolve));
    }
    this.#moveTo(end);
    await new Promise((resolve) => setImmediate(resolve));
  }

  #moveTo(bootMs: number): void {
    if (this.#wallMs !== null) this.#wallMs += bootMs - this.#bootMs;
    this.#bootMs = bootMs;
  }
}
