// Where a path really is: the file system it is on, and its path within that.
//
// What hardening programs see of a file is its dentry, walked up to the root of its file system; which mount
// or chroot led there is gone. /proc/self/mountinfo says which part of which file system each mount shows.

import { readFileSync, realpathSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';

export interface Mount {
  /** major << 20 | minor, as the kernel keeps it. */
  readonly device: number;
  /** What of the file system is mounted, as in `/` or `/srv`. */
  readonly root: string;
  /** Where. */
  readonly at: string;
}

/** What is mounted in our mount namespace, as the kernel says it (proc(5), mountinfo). */
export const mountsText = (): string => readFileSync('/proc/self/mountinfo', 'utf8');

/** Mounts in the order in which they were made: of two at one place the later hides the earlier. */
export function readMounts(text: string = mountsText()): Mount[] {
  return text
    .split('\n')
    .map((line) => line.split(' '))
    .flatMap(([, , device, root, at]) => {
      const [major, minor] = (device ?? '').split(':').map(Number);
      if (root === undefined || at === undefined || major === undefined || minor === undefined) return [];
      return [{ device: (major << 20) | minor, root: decodeOctal(root), at: decodeOctal(at) }];
    });
}

/** Blanks and the like are octal there (proc(5)). */
function decodeOctal(field: string): string {
  return field.replace(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(Number.parseInt(octal, 8)));
}

/** The place of an absolute path, links followed as far as it exists. null where no mount shows it. */
export function placeOf(path: string, mounts: readonly Mount[]): { device: number; path: string } | null {
  const real = resolveExisting(path);
  const mount = mounts
    .filter(({ at }) => at === '/' || real === at || real.startsWith(`${at}/`))
    .reduce<Mount | null>(
      (best, one) => (best === null || one.at.length >= best.at.length ? one : best),
      null,
    );
  if (mount === null) return null;
  const within = mount.at === '/' ? real : real.slice(mount.at.length);
  return { device: mount.device, path: join('/', mount.root, within) };
}

/** A path that leads to the place, as the mounts stand; null where none shows it. Of several the shortest way. */
export function shownPath(place: { device: number; path: string }, mounts: readonly Mount[]): string | null {
  const ways = mounts
    .filter(({ device }) => device === place.device)
    .flatMap(({ root, at }) => {
      const below = root === '/' ? place.path : withinFolder(place.path, root);
      return below === null ? [] : [join('/', at, below)];
    });
  return ways.reduce<string | null>(
    (best, way) => (best === null || way.length < best.length ? way : best),
    null,
  );
}

function withinFolder(path: string, folder: string): string | null {
  if (path === folder) return '/';
  return path.startsWith(`${folder}/`) ? path.slice(folder.length) : null;
}

/** The roots of what is mounted below a folder, links to it followed; what a later mount hides is among them. */
export function placesMountedBelow(
  folder: string,
  mounts: readonly Mount[],
): { device: number; path: string }[] {
  const real = resolveExisting(folder);
  const below = real === '/' ? '/' : `${real}/`;
  return mounts
    .filter(({ at }) => at !== real && at.startsWith(below))
    .map(({ device, root }) => ({ device, path: root }));
}

function resolveExisting(path: string): string {
  try {
    return realpathSync(path);
  } catch {
    const above = dirname(path);
    return above === path ? path : join(resolveExisting(above), basename(path));
  }
}
