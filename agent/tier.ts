// The tier of a kernel, by what it was seen to do (kernel/try-kernel.ts). Each tier has all that those below it have.

import type { Tier } from './contract/policy.ts';
import type { GuardTier } from './kernel/guards.ts';
import type { KernelTrials } from './kernel/try-kernel.ts';
import { mayPreempt, type Preemption } from './os/preemption.ts';

/** What can be enforced here at the most. */
export function tierOf({ lsm, fmodRet, end, connect }: KernelTrials): Tier {
  if (!connect.works) return 'D';
  if (!end.works) return 'C';
  if (lsm.works) return 'A';
  return fmodRet.works ? 'B' : 'C';
}

/** By which programs operations of tasks are judged; null: by none, since a task can't be told where it comes from. */
export function guardTierOf({ lsm, fmodRet, end }: KernelTrials): GuardTier | null {
  if (!end.works) return null;
  if (lsm.works) return 'A';
  return fmodRet.works ? 'B' : 'C';
}

/** What a device enforces: by the programs that were loaded and seen to run, or else by what needs none of them. */
export function deviceTier(guards: GuardTier | null, { connect }: KernelTrials): Tier {
  return guards ?? (connect.works ? 'C' : 'D');
}

/**
 * How programs of these guards are passed over; null: they are not. A trampoline leaves a program out that is at work on its
 * CPU, which takes a task that was put in between; newer kernels (6.1 and later) do so with programs on functions alone.
 * `leavesLsmOut`: the kernel is older.
 */
export function passedOver(
  guards: GuardTier | null,
  { preemption, leavesLsmOut }: { readonly preemption: Preemption; readonly leavesLsmOut: boolean },
): string | null {
  const isLeftOut = guards === 'B' || (guards === 'A' && leavesLsmOut);
  if (!isLeftOut || !mayPreempt(preemption)) return null;
  return `the kernel's preemption is ${preemption}: a program that is at work on a CPU is passed over when a task that was put in between calls it there again (boot parameter preempt=none or voluntary)`;
}

/** A function of kernels that tell programs on functions and LSM programs apart there. */
export const recursionFunction = '__bpf_prog_enter_recur';
