// The time of an event, as it is spooled.

import type { SpooledEvent } from '../contract/event.ts';

export interface When {
  readonly mono: number;
  readonly ts: SpooledEvent['ts'];
  readonly tq: SpooledEvent['tq'];
}

/** A moment before `now`; one after it cannot be, and becomes now. */
export function whenAt(bootMs: number, now: When): When {
  const mono = Math.min(Math.max(bootMs, 0), now.mono);
  return { mono, ts: now.ts === null ? null : Math.round(now.ts - (now.mono - mono)), tq: now.tq };
}
