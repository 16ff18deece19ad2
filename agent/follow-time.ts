// What ends by time, ends: exceptions, and shields that may retire by themselves.
//
//   a second has passed ─▶ is something over that is in force? ─▶ made anew without it ─▶ reported
//
// A look compares a few numbers. What is in force is made anew from the signed bundle on the disk, as at a start.

import type { BundleApplier } from './apply-bundle.ts';
import type { Clock } from './os/clock.ts';

export interface FollowTimeParts {
  readonly applier: Pick<BundleApplier, 'renewIfDue' | 'state'>;
  /** A state that is reported has changed. */
  readonly onChange: () => void;
  readonly clock: Clock;
}

const lookEveryMs = 1_000;
/** After it could not be made anew: compiling and proving are not for nothing. */
const againEveryMs = 30_000;

/** Looks until the signal. */
export async function followTime(
  { applier, onChange, clock }: FollowTimeParts,
  signal: AbortSignal,
): Promise<void> {
  let told = '';
  while (!signal.aborted) {
    const isDone = await applier.renewIfDue();
    const states = applier.state().documents.map(({ state }) => state);
    if (states.join() !== told) onChange();
    told = states.join();
    await clock.sleep(isDone === false ? againEveryMs : lookEveryMs, signal).catch(() => {});
  }
}
