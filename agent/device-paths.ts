// Paths of this device, for policies that name them: which object each is, and which programs have many names.

import { existsSync, readdirSync, readlinkSync, realpathSync } from 'node:fs';
import { basename, join } from 'node:path';
import type { HuskPathKey } from '../bpf/abi/layout.gen.ts';
import { placeOf, placesMountedBelow, readMounts } from './os/mounts.ts';
import type { DevicePaths } from './policy/table-image.ts';

/** Where programs are looked for. */
const programFolders = ['/bin', '/sbin', '/usr/bin', '/usr/sbin'];
/** What a program of many applets is called; others may be named in time. */
const multipleNames = ['busybox', 'toybox'];

/** Mounts are read once: what is asked together sees one state of them. */
export function devicePaths(pathKey: HuskPathKey): DevicePaths {
  const mounts = readMounts();
  let applets: ReturnType<DevicePaths['applets']> | null = null;
  return {
    pathKey,
    placeOf: (path) => placeOf(path, mounts),
    placesMountedBelow: (path) => placesMountedBelow(path, mounts),
    applets: () => {
      applets ??= findApplets();
      return applets;
    },
  };
}

/** By the links that lead to them: the names they were installed under. */
function findApplets(): { executable: string; names: string[] }[] {
  const found = new Map<string, Set<string>>();
  for (const folder of programFolders.filter(existsSync)) {
    for (const entry of readdirSync(folder, { withFileTypes: true })) {
      const path = join(folder, entry.name);
      const executable = entry.isSymbolicLink() ? linkedTo(path) : path;
      if (executable === null || !multipleNames.includes(basename(executable))) continue;
      const names = found.get(executable) ?? new Set();
      found.set(executable, names);
      // Its own name is none: what it becomes under that, its arguments say.
      if (entry.isSymbolicLink()) names.add(entry.name);
    }
  }
  return [...found].map(([executable, names]) => ({ executable, names: [...names].toSorted() }));
}

function linkedTo(path: string): string | null {
  try {
    readlinkSync(path);
    return realpathSync(path);
  } catch {
    return null;
  }
}
