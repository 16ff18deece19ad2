// The modules that a kernel needs to be given, with what they depend on, in the order to insert them.
//
// What a module depends on stands in the module itself (`depends=` of .modinfo), so nothing of kmod is needed.
// A name that the kernel does not ship as a module is built in, or not there: who needs it will tell.

import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { basename, join } from 'node:path';

export interface Module {
  /** As the kernel names it: `virtio_net`. */
  readonly name: string;
  /** As `insmod` takes it, not compressed. */
  readonly bytes: Uint8Array;
}

/** Modules in the order of insertion: each after those it depends on. `directory` holds the kernel's `lib/modules`. */
export function orderModules(directory: string, names: readonly string[]): Module[] {
  const paths = modulePaths(directory);
  const ordered = new Map<string, Module>();
  const visit = (name: string): void => {
    const path = paths.get(name);
    if (path === undefined || ordered.has(name)) return;
    const bytes = readModule(path);
    for (const needed of dependencies(bytes)) visit(needed);
    ordered.set(name, { name, bytes });
  };
  for (const name of names) visit(name);
  return [...ordered.values()];
}

function modulePaths(directory: string): Map<string, string> {
  const folder = join(directory, 'lib/modules');
  const files = readdirSync(folder, { recursive: true, encoding: 'utf8' }).filter((path) =>
    /\.ko(\.xz)?$/.test(path),
  );
  return new Map(files.map((path) => [moduleName(path), join(folder, path)]));
}

/** File names have `-` or `_`, as their authors liked; the kernel knows `_` alone. */
function moduleName(path: string): string {
  return basename(path)
    .replace(/\.ko(\.xz)?$/, '')
    .replaceAll('-', '_');
}

function readModule(path: string): Uint8Array {
  if (!path.endsWith('.xz')) return readFileSync(path);
  return execFileSync('xz', ['-dc', path], { maxBuffer: 1 << 26 });
}

function dependencies(bytes: Uint8Array): string[] {
  const found =
    Buffer.from(bytes)
      .toString('latin1')
      .match(/\0depends=([^\0]*)\0/)?.[1] ?? '';
  return found
    .split(',')
    .filter((name) => name !== '')
    .map((name) => name.replaceAll('-', '_'));
}
