// Inside a guest: every operation that a canary child can do, done by a process of a cgroup, without a label, so that it
// is judged as any process is.

import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { operationNames, operationNumbers } from '../../../agent/policy/operation-words.ts';
import { addon } from '../../../native/index.ts';

/** The errno of each, 0 where it was done; of what no canary does, ENOTSUP. */
export async function tryEach(cgroup: string): Promise<Record<string, number>> {
  const found: Record<string, number> = {};
  for (const name of operationNames) {
    const folder = mkdtempSync('/run/each-');
    try {
      const path = join(folder, 'file');
      if (name !== 'create') writeFileSync(path, 'x');
      if (name === 'mount') mkdirSync(join(folder, 'at'));
      const [errno] = await addon.canary(cgroup, [
        {
          call: 'operation',
          operation: operationNumbers[name],
          path: name === 'mount' ? join(folder, 'at') : path,
          number: 1000,
        },
      ]);
      found[name] = errno ?? -1;
    } finally {
      // What a process mounted that was allowed to is in the way.
      if (name === 'mount') spawnSync('/bin/umount', [join(folder, 'at')]);
      rmSync(folder, { recursive: true, force: true });
    }
  }
  return found;
}
