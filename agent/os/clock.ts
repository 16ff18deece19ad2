// Time as the agent knows it: boot time, which only grows, and wall-clock time with how it was come by.
//
// Devices boot in 1970 and have no battery. Whatever lasts is therefore measured in boot time; wall-clock
// time is for people, and is given out only with its quality:
//
//   system clock at or past the floor      → that clock, `ntp`: somebody has set it
//   controller's signed time was learned   → that time and the boot time since, `controller`
//   only build time or the stored floor    → the floor and the boot time since, `floor`
//   no floor either                        → null, `none`
//
// The floor only rises, so a clock set back by hand or by a forged answer makes nothing valid again.

import { readFileSync } from 'node:fs';
import type { TimeQuality } from '../contract/envelope.ts';

export interface WallTime {
  /** Unix milliseconds, or null while time is unknown. */
  readonly ms: number | null;
  readonly quality: TimeQuality;
}

export interface Clock {
  /** Milliseconds since boot, time asleep included (CLOCK_BOOTTIME). */
  bootMs(): number;
  wall(): WallTime;
  /** Unix milliseconds that have certainly passed, whatever the system clock says; null: nothing is certain. */
  certainMs(): number | null;
  /** Takes a time that is certainly not in the future as the new floor. */
  learn(unixMs: number, from: 'controller' | 'floor'): void;
  /** Resolves after `ms` of running time; rejects with the signal's reason. */
  sleep(ms: number, signal?: AbortSignal): Promise<void>;
}

export interface SystemClockSources {
  readonly bootMs: () => number;
  readonly systemMs: () => number;
}

/** Timers of Node take 31 bits; a longer wait is cut to this and the caller asks again. */
const timerMsMax = 2 ** 31 - 1;

export class SystemClock implements Clock {
  readonly #sources: SystemClockSources;
  #floor: {
    readonly ms: number;
    readonly atBootMs: number;
    readonly quality: 'controller' | 'floor';
  } | null = null;

  constructor(sources: SystemClockSources = { bootMs: bootMsFromProc, systemMs: Date.now }) {
    this.#sources = sources;
  }

  bootMs(): number {
    return this.#sources.bootMs();
  }

  wall(): WallTime {
    const system = this.#sources.systemMs();
    if (this.#floor === null) return { ms: null, quality: 'none' };
    const floor = this.#floor.ms + (this.bootMs() - this.#floor.atBootMs);
    // A second of grace: the controller's time is a whole second and travels.
    if (system >= floor - 1000) return { ms: system, quality: 'ntp' };
    return { ms: Math.floor(floor), quality: this.#floor.quality };
  }

  certainMs(): number | null {
    const floor = this.#floor;
    return floor === null ? null : floor.ms + (this.bootMs() - floor.atBootMs);
  }

  learn(unixMs: number, from: 'controller' | 'floor'): void {
    const atBootMs = this.bootMs();
    const floor = this.#floor;
    if (floor !== null && unixMs <= floor.ms + (atBootMs - floor.atBootMs)) return;
    this.#floor = { ms: unixMs, atBootMs, quality: from };
  }

  sleep(ms: number, signal?: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      if (signal?.aborted) {
        reject(signal.reason);
        return;
      }
      const onAbort = () => {
        clearTimeout(timer);
        reject(signal?.reason);
      };
      const timer = setTimeout(
        () => {
          signal?.removeEventListener('abort', onAbort);
          resolve();
        },
        Math.max(0, Math.min(ms, timerMsMax)),
      );
      signal?.addEventListener('abort', onAbort, { once: true });
    });
  }
}

/** CLOCK_BOOTTIME with 10 ms of resolution, for commands that do without the addon. */
export function bootMsFromProc(): number {
  const seconds = Number(readFileSync('/proc/uptime', 'latin1').split(' ')[0]);
  return Math.round(seconds * 1000);
}
