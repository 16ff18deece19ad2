// Commands that read a whole bundle need more memory than the agent gives itself (native/package-executables.ts): they are
// run once more, with it.

import { spawnSync } from 'node:child_process';
import { totalmem } from 'node:os';
import { isSea } from 'node:sea';
import { getHeapStatistics } from 'node:v8';

/** Of the machine's memory. */
const part = 2;
const mebibyte = 2 ** 20;

/** The exit status of the command, run with a heap that takes any bundle; null: this process has one. */
export function runWithMoreHeap(argv: readonly string[]): number | null {
  const mebibytes = Math.floor(totalmem() / part / mebibyte);
  // A checkout runs on a node with the heap that node thinks right. Half of a small machine may be less than we have.
  if (!isSea() || getHeapStatistics().heap_size_limit >= (mebibytes / 2) * mebibyte) return null;
  const { status, signal, error } = spawnSync(
    process.execPath,
    [`--node-options=--max-old-space-size=${mebibytes}`, ...argv],
    { stdio: 'inherit' },
  );
  if (error !== undefined) throw error;
  if (signal === 'SIGABRT') process.stderr.write('husk-agent: the memory of this machine does not suffice\n');
  return status ?? 1;
}
