// The modules a guest needs, with what they depend on, in the order to insert them.
//
// What a module depends on stands in the module itself (`depends=` of .modinfo), so nothing of kmod is needed.
// A name that the kernel does not ship as a module is built in, or not there: the guest's tests will tell.

import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import type { GuestFiles } from './initramfs.ts';
import type { GuestKernel } from './kernels.ts';

/** Network devices, tc's clsact and BPF classifier, and what later guests boot from. */
export const guestModules = [
  ...['virtio_pci', 'virtio_net', 'virtio_blk', 'virtio_rng'],
  ...['veth', 'dummy', 'bridge', '8021q', 'bonding', 'tun'],
  ...['sch_ingress', 'cls_bpf'],
] as const;

export interface Module {
  /** As the kernel names it: `virtio_net`. */
  readonly name: string;
  readonly bytes: Uint8Array;
}

/** Modules in the order of insertion: each after those it depends on. */
export function orderModules(kernel: GuestKernel, names: readonly string[]): Module[] {
  const paths = modulePaths(kernel);
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

/**
 * Modules that a run brings along besides, for a program in the guest to insert: `more-modules/<name>.ko`, and their
 * order in `more-modules/order`.
 */
export function moreModules(kernel: GuestKernel, names: readonly string[]): GuestFiles {
  const inserted = new Set(orderModules(kernel, guestModules).map(({ name }) => name));
  const modules = orderModules(kernel, names).filter(({ name }) => !inserted.has(name));
  return {
    'more-modules/order': Buffer.from(modules.map(({ name }) => `${name}\n`).join('')),
    ...Object.fromEntries(modules.map(({ name, bytes }) => [`more-modules/${name}.ko`, bytes])),
  };
}

function modulePaths(kernel: GuestKernel): Map<string, string> {
  const folder = join(kernel.directory, 'lib/modules');
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
