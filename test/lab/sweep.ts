// Takes down what runs that were killed outright left behind: processes, cgroups, namespaces, mounts, folders.
//
// Only names of a dead run of this lab are touched (see run-name.ts). Two runs may sweep at the same time,
// so a thing that is suddenly gone is a thing swept.

import { existsSync, readdirSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { removeCgroup } from './cgroups.ts';
import { isLeftOver } from './run-name.ts';
import { mountTable, removeFolder, run } from './system.ts';

export const netnsFolder = '/run/netns';

/** The paths that were removed. */
export async function sweepLeftOvers(): Promise<string[]> {
  const cgroups = mountTable().filter((row) => row.type === 'cgroup2' && row.options.includes('rw'));
  const swept: string[] = [];
  for (const row of cgroups) swept.push(...(await each(row.point, removeCgroup)));
  const deleteNamespace = (_path: string, name: string): void => {
    run('ip', ['netns', 'delete', name]);
  };
  swept.push(...(await each(netnsFolder, deleteNamespace)));
  swept.push(...(await each(tmpdir(), removeFolder)));
  return swept;
}

async function each(
  folder: string,
  remove: (path: string, name: string) => void | Promise<void>,
): Promise<string[]> {
  if (!existsSync(folder)) return [];
  const swept: string[] = [];
  for (const name of readdirSync(folder).filter(isLeftOver)) {
    const path = join(folder, name);
    try {
      await remove(path, name);
      swept.push(path);
    } catch (error) {
      if (existsSync(path)) throw error;
    }
  }
  return swept;
}
