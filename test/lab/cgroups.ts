// cgroup v2 directories of a lab, and ending all that runs in one.

import { existsSync, mkdirSync, readdirSync, readFileSync, rmdirSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { mountTable, run } from './system.ts';

/** Where cgroup v2 is mounted and writable; a machine with v1 alone gets a mount in `dir`. */
export function cgroupRoot(dir: string): string {
  const row = mountTable().find((one) => one.type === 'cgroup2' && one.options.includes('rw'));
  if (row !== undefined) return row.point;
  const path = join(dir, 'cgroup2');
  mkdirSync(path);
  run('mount', ['-t', 'cgroup2', 'cgroup2', path]);
  return path;
}

/** Ends every process in the cgroup and below, and removes it. */
export async function removeCgroup(cgroup: string): Promise<void> {
  if (!existsSync(cgroup)) return;
  for (let attempt = 0; attempt < 100; attempt++) {
    killIn(cgroup);
    if (removeEmpty(cgroup)) return;
    await sleep(20);
  }
  throw new Error(`${cgroup} still holds processes`);
}

function below(cgroup: string): string[] {
  const inner = readdirSync(cgroup, { withFileTypes: true }).filter((entry) => entry.isDirectory());
  return inner.flatMap((entry) => [...below(join(cgroup, entry.name)), join(cgroup, entry.name)]);
}

function killIn(cgroup: string): void {
  for (const dir of [...below(cgroup), cgroup]) {
    for (const pid of readFileSync(join(dir, 'cgroup.procs'), 'utf8').split('\n').filter(Boolean)) {
      // 0 is a process of another pid namespace, and would be kill(2)'s "my own group".
      if (pid === '0') continue;
      try {
        process.kill(Number(pid), 'SIGKILL');
      } catch {
        // it ended in between
      }
    }
  }
}

/** false: processes that were killed are still leaving. */
function removeEmpty(cgroup: string): boolean {
  try {
    for (const dir of [...below(cgroup), cgroup]) rmdirSync(dir);
    return true;
  } catch {
    return false;
  }
}
