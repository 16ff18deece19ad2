// The kernels that guests boot, as the cache holds them; fetch-kernels.ts puts them there.
//
//   .cache/kernels/5.10 -> 5.10-<version of the package>/
//     vmlinuz         the kernel
//     lib/modules/    its modules, as Debian ships them: .ko or .ko.xz
//     VERSION         name and version of the package

import { existsSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';

export const root = resolve(import.meta.dirname, '../..');
export const kernelCache = join(root, '.cache/kernels');

/** The oldest that packets are filtered on, and two that devices have today: Debian's cloud flavour, which boots soonest. */
export const kernelNames = ['5.10', '6.1', '6.12'] as const;
/** Debian's usual flavour, which has what the cloud one is built without: PPP, PPPoE, simulated modems. */
export const fullKernel = 'full-6.12';
export type CloudKernelName = (typeof kernelNames)[number];
export type KernelName = CloudKernelName | typeof fullKernel;

export interface GuestKernel {
  readonly name: KernelName;
  /** As in `linux-image-6.1.0-57-cloud-amd64 6.1.192-3`. */
  readonly version: string;
  readonly vmlinuz: string;
  /** The folder that holds `lib/modules`. */
  readonly directory: string;
}

export function isKernelName(name: string): name is KernelName {
  return [...kernelNames, fullKernel].some((known) => known === name);
}

/** A kernel of the cache, or null where it was never fetched. */
export function findKernel(name: KernelName): GuestKernel | null {
  const directory = join(kernelCache, name);
  if (!existsSync(join(directory, 'VERSION'))) return null;
  return {
    name,
    version: readFileSync(join(directory, 'VERSION'), 'utf8').trim(),
    vmlinuz: join(directory, 'vmlinuz'),
    directory,
  };
}
