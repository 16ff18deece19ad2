// Paths that many devices showed, as few words of a policy: very paths, and folders where there are many in one.
//
// A folder stands for what is in it where a device said so, or where more files of it were seen than `filesMax`. Folders
// side by side are one folder where there are more than that of them, but never one just below the root: `/etc` as a
// whole would be no longer what was seen. What is below /proc/PID is different at each start, and is /proc.

export interface PathSeen {
  readonly path: string;
  readonly isFolder: boolean;
  readonly device: string;
}

/** Devices that did something at this path, or below this folder. */
export interface PathWord {
  readonly path: string;
  readonly isFolder: boolean;
  readonly devices: ReadonlySet<string>;
}

/** Names from the root: a folder made of folders has at least two. */
const mergedDepthMin = 2;

export function generalisePaths(seen: readonly PathSeen[], filesMax: number): PathWord[] {
  const words = new Map<string, PathWord>();
  for (const one of seen) {
    const { path, isFolder } = withoutProcess(one);
    const key = `${isFolder} ${path}`;
    const devices = new Set([...(words.get(key)?.devices ?? []), one.device]);
    words.set(key, { path, isFolder, devices });
  }
  let merged = without(foldFiles([...words.values()], filesMax));
  for (;;) {
    const next = without(foldFolders(merged, filesMax));
    if (next.length === merged.length) return next.toSorted((a, b) => (a.path < b.path ? -1 : 1));
    merged = next;
  }
}

function withoutProcess(one: PathSeen): PathSeen {
  return /^\/proc\/\d+(\/|$)/.test(one.path) ? { ...one, path: '/proc', isFolder: true } : one;
}

const folderOf = (path: string) => path.slice(0, Math.max(1, path.lastIndexOf('/')));
const depthOf = (path: string) => path.split('/').filter((name) => name !== '').length;

function foldFiles(words: readonly PathWord[], filesMax: number): PathWord[] {
  const files = Map.groupBy(
    words.filter((one) => !one.isFolder),
    ({ path }) => folderOf(path),
  );
  const folded = [...files].flatMap(([folder, within]) => {
    // The root's own files are never all there is.
    if (within.length <= filesMax || folder === '/') return within;
    return [{ path: folder, isFolder: true, devices: union(within) }];
  });
  return [...folded, ...words.filter((one) => one.isFolder)];
}

function foldFolders(words: readonly PathWord[], filesMax: number): PathWord[] {
  const folders = Map.groupBy(
    words.filter((one) => one.isFolder),
    ({ path }) => folderOf(path),
  );
  const folded = [...folders].flatMap(([above, within]) => {
    if (within.length <= filesMax || depthOf(above) < mergedDepthMin) return within;
    return [{ path: above, isFolder: true, devices: union(within) }];
  });
  return [...folded, ...words.filter((one) => !one.isFolder)];
}

/** Without what a folder of them says already, whose devices are those of all below it. */
function without(words: readonly PathWord[]): PathWord[] {
  const folders = new Map<string, Set<string>>();
  for (const { path, isFolder, devices } of words)
    if (isFolder) folders.set(path, new Set([...(folders.get(path) ?? []), ...devices]));
  const above = (path: string): string | null => {
    for (let at = folderOf(path); at !== '/'; at = folderOf(at)) if (folders.has(at)) return at;
    return null;
  };
  const kept: PathWord[] = [];
  for (const { path, isFolder, devices } of words) {
    let outermost = isFolder ? path : above(path);
    for (let next = outermost; next !== null; next = above(next)) outermost = next;
    if (outermost === null) kept.push({ path, isFolder, devices });
    else for (const device of devices) folders.get(outermost)?.add(device);
  }
  const isInner = (path: string) => above(path) !== null;
  const outer = [...folders].filter(([path]) => !isInner(path));
  return [...kept, ...outer.map(([path, devices]) => ({ path, isFolder: true, devices }))];
}

const union = (words: readonly PathWord[]): ReadonlySet<string> =>
  new Set(words.flatMap(({ devices }) => [...devices]));
