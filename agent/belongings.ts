// What of this device is Husk's, for self-protection: where its executable, configuration, state, pins and socket are, and
// which process it is.

import { realpathSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { controlPath } from './cli/control.ts';
import type { Config } from './config.ts';
import type { Belongings, GuardedAs, GuardedPlace } from './kernel/self-guard.ts';
import { type Mount, placeOf, readMounts } from './os/mounts.ts';

export interface BelongingsOptions {
  readonly config: Pick<Config, 'stateDirectory' | 'runDirectory' | 'bpffs'>;
  /** The file it was read from. */
  readonly configPath: string;
}

/** As they are now; mounts are read once. */
export function findBelongings({ config, configPath }: BelongingsOptions): Belongings {
  const mounts = readMounts();
  const guarded: readonly (readonly [string, ...GuardedAs[]])[] = [
    [realpathSync('/proc/self/exe'), 'file', 'program'],
    [configPath, 'file'],
    [config.stateDirectory, 'folder', 'secret'],
    [config.runDirectory, 'folder'],
    [join(config.bpffs, 'husk'), 'folder'],
  ];
  return {
    places: guarded.flatMap(([path, ...words]) => [
      ...words.flatMap((as) => placed(path, as, mounts)),
      ...foldersAbove(path).flatMap((folder) => placed(folder, 'above', mounts)),
    ]),
    bpffs: placeOf(config.bpffs, mounts)?.device ?? 0,
    control: controlSocket(config.runDirectory, mounts),
    agent: { process: process.pid, mountSpace: statSync('/proc/self/ns/mnt').ino },
  };
}

function placed(path: string, as: GuardedAs, mounts: readonly Mount[]): GuardedPlace[] {
  const place = placeOf(path, mounts);
  return place === null ? [] : [{ ...place, as }];
}

/** Without the root: nothing can be renamed or mounted there that would show to who runs already. */
function foldersAbove(path: string): string[] {
  const above = dirname(path);
  return above === '/' ? [] : [above, ...foldersAbove(above)];
}

function controlSocket(runDirectory: string, mounts: readonly Mount[]): Belongings['control'] {
  const path = controlPath(runDirectory);
  const found = statSync(path, { bigint: true, throwIfNoEntry: false });
  const device = placeOf(path, mounts)?.device;
  return found === undefined || device === undefined ? null : { inode: found.ino, device };
}
