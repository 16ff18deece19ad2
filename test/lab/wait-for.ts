// Waiting for something to become true, with a limit and a sentence for when it did not.

import { setTimeout as sleep } from 'node:timers/promises';

export interface Waiting {
  /** As in `the device to confirm serial 2`. */
  readonly what: string;
  readonly withinMs: number;
  readonly everyMs?: number;
  readonly signal?: AbortSignal;
}

/** Asks until the answer is neither undefined, null nor false, and returns it. What it throws counts as a no. */
export async function waitFor<T>(
  ask: () => T | Promise<T>,
  { what, withinMs, everyMs = 50, signal }: Waiting,
): Promise<Exclude<T, undefined | null | false>> {
  const until = performance.now() + withinMs;
  let last: unknown = 'no';
  for (;;) {
    signal?.throwIfAborted();
    try {
      const answer = await ask();
      if (answer !== undefined && answer !== null && answer !== false) {
        return answer as Exclude<T, undefined | null | false>;
      }
    } catch (error) {
      last = error;
    }
    if (performance.now() > until) {
      const why = last instanceof Error ? `: ${last.message}` : '';
      throw new Error(`waited ${withinMs} ms for ${what}${why}`, { cause: last });
    }
    await sleep(everyMs);
  }
}
