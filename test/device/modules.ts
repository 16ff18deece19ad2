// The modules of guests: those that every one inserts, and those that a run brings along besides.

import { orderModules } from '../../firmware-integration/image/modules.ts';
import type { GuestFiles } from './initramfs.ts';
import type { GuestKernel } from './kernels.ts';

/** Network devices, tc's clsact and BPF classifier, and what later guests boot from. */
export const guestModules = [
  ...['virtio_pci', 'virtio_net', 'virtio_blk', 'virtio_rng'],
  ...['veth', 'dummy', 'bridge', '8021q', 'bonding', 'tun'],
  ...['sch_ingress', 'cls_bpf'],
] as const;

/**
 * Modules that a run brings along besides, for a program in the guest to insert: `more-modules/<name>.ko`, and their
 * order in `more-modules/order`.
 */
export function moreModules(kernel: GuestKernel, names: readonly string[]): GuestFiles {
  const inserted = new Set(orderModules(kernel.directory, guestModules).map(({ name }) => name));
  const modules = orderModules(kernel.directory, names).filter(({ name }) => !inserted.has(name));
  return {
    'more-modules/order': Buffer.from(modules.map(({ name }) => `${name}\n`).join('')),
    ...Object.fromEntries(modules.map(({ name, bytes }) => [`more-modules/${name}.ko`, bytes])),
  };
}
