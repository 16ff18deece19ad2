// The name of one run, which everything it makes carries: `husk-lab-<pid>-<start>`.
//
// `start` is the process's start time in clock ticks since boot, base 36 (proc_pid_stat(5), field 22). Pids
// come round again, a pair of both does not, so that a later run can tell leftovers of a dead run from the
// things of a living one.

import { readFileSync } from 'node:fs';

const pattern = /^husk-lab-(?<pid>\d+)-(?<start>[0-9a-z]+)(?:-|$)/;

export const runName = `husk-lab-${process.pid}-${startOf(process.pid) ?? '0'}`;

/** Whether a name belongs to a run of this lab whose process is gone. A name of any other kind never does. */
export function isLeftOver(name: string): boolean {
  const { pid, start } = pattern.exec(name)?.groups ?? {};
  if (pid === undefined || start === undefined) return false;
  return startOf(Number(pid)) !== start;
}

/** null: there is no such process. */
function startOf(pid: number): string | null {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    // The command stands in parentheses and may hold any character, so count from its end: state is field 3.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    return Number(fields[22 - 3]).toString(36);
  } catch {
    return null;
  }
}
