// Sets the system clock forward. Never back: a clock that is ahead is somebody's decision, or an attack that
// going along with would make worse.

import { execFileSync } from 'node:child_process';

/** By the system's own `date`, which knows the syscall that Node does not have. Throws what it says. */
export function stepSystemClock(unixMs: number): void {
  if (unixMs <= Date.now()) return;
  const seconds = Math.floor(unixMs / 1000);
  // Understood by coreutils and busybox alike.
  execFileSync('date', ['-u', '-s', `@${seconds}`], { stdio: ['ignore', 'ignore', 'pipe'], timeout: 5000 });
}
