// Whether the kernel takes the CPU from a task that is inside it, for another.
//
// It matters to programs on security_ functions (tier B): one that is at work on a CPU is passed over when it is called there
// again, which a task that was put in between does.

import { existsSync, readFileSync } from 'node:fs';
import { version } from 'node:os';
import { type KernelOptions, readKernelOptions } from './kernel-options.ts';

/** `unknown`: it can be chosen at boot, and nothing says what was. */
export type Preemption = 'none' | 'voluntary' | 'lazy' | 'full' | 'realtime' | 'unknown';

/** What tells of it. */
export interface PreemptionSources {
  /** As `uname -v`. */
  readonly version: string;
  /** /proc/cmdline */
  readonly commandLine: string;
  /** /sys/kernel/debug/sched/preempt; null: debugfs is not mounted. */
  readonly scheduler: string | null;
  readonly options: KernelOptions | null;
}

const models = ['none', 'voluntary', 'lazy', 'full'] as const;
const schedulerPath = '/sys/kernel/debug/sched/preempt';

/** What is not known may be. */
export const mayPreempt = (preemption: Preemption) => preemption !== 'none' && preemption !== 'voluntary';

export function readPreemption(): Preemption {
  return preemptionOf({
    version: version(),
    commandLine: readFileSync('/proc/cmdline', 'utf8'),
    scheduler: existsSync(schedulerPath) ? readFileSync(schedulerPath, 'utf8') : null,
    options: readKernelOptions(),
  });
}

export function preemptionOf({ version, commandLine, scheduler, options }: PreemptionSources): Preemption {
  const words = version.split(/\s+/);
  if (words.includes('PREEMPT_RT')) return 'realtime';
  if (words.includes('PREEMPT')) return 'full';
  if (words.includes('PREEMPT_LAZY')) return 'lazy';
  // Neither voluntary nor none shows there, and neither takes the CPU away.
  if (!words.includes('PREEMPT_DYNAMIC')) return 'none';
  const named = (name: string | undefined) => models.find((model) => model === name);
  // The scheduler puts what holds in brackets: `none (voluntary) full`.
  const held = named(scheduler?.match(/\((\w+)\)/)?.[1]);
  // The kernel keeps what it was built with where the word is none that it knows.
  const asked = named(commandLine.match(/(?:^|\s)preempt=(\w+)/)?.[1]);
  return held ?? asked ?? builtIn(options) ?? 'unknown';
}

function builtIn(options: KernelOptions | null): Preemption | undefined {
  const built = [
    ['CONFIG_PREEMPT', 'full'],
    ['CONFIG_PREEMPT_LAZY', 'lazy'],
    ['CONFIG_PREEMPT_VOLUNTARY', 'voluntary'],
    ['CONFIG_PREEMPT_NONE', 'none'],
  ] as const;
  return built.find(([name]) => options?.values.get(name) === 'y')?.[1];
}
