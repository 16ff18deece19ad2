// The initramfs that goes with a kernel: busybox, init.sh, and the modules to find the disk and to filter packets.

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { type CpioEntry, foldersAbove, packCpio } from './cpio.ts';
import { orderModules } from './modules.ts';
import { busybox } from './root-tree.ts';

/** To find the disk and mount what is on it (ext4 asks for crc32c without naming it), the wired port, tc's hooks. */
const needed = [
  ...['virtio_pci', 'virtio_blk', 'virtio_net', 'virtio_rng'],
  ...['squashfs', 'overlay', 'crc32c_generic', 'ext4'],
  ...['sch_ingress', 'cls_bpf'],
] as const;
/** In /run/modules once booted, not inserted. */
const later = ['dummy', 'veth', 'bridge', 'tun'] as const;

/** `directory` is the kernel's, which holds `lib/modules`. */
export function makeInitramfs(directory: string): Buffer {
  const now = orderModules(directory, needed);
  const names = new Set(now.map(({ name }) => name));
  const more = orderModules(directory, later).filter(({ name }) => !names.has(name));
  const files: Readonly<Record<string, Uint8Array>> = {
    init: readFileSync(join(import.meta.dirname, 'init.sh')),
    'bin/busybox': readFileSync(busybox),
    'modules/order': Buffer.from(now.map(({ name }) => `${name}\n`).join('')),
    ...Object.fromEntries(now.map(({ name, bytes }) => [`modules/${name}.ko`, bytes])),
    ...Object.fromEntries(more.map(({ name, bytes }) => [`modules/later/${name}.ko`, bytes])),
  };
  const folders = foldersAbove([
    ...Object.keys(files),
    'dev/x',
    'proc/x',
    'sys/x',
    'run/x',
    'modules/later/x',
  ]);
  const entries = Object.entries(files).map(
    ([path, bytes]): CpioEntry => ({ path, kind: 'file', bytes, mode: 0o755 }),
  );
  return gzipSync(packCpio([...folders, ...applets.map(linkOf), ...entries]));
}

/** What init.sh uses, besides what its shell has built in. */
const applets = [
  ...['sh', 'cat', 'mkdir', 'mount', 'umount', 'mv', 'insmod', 'switch_root', 'setsid'],
  ...['ls', 'dmesg', 'vi', 'blkid', 'fdisk', 'reboot', 'poweroff'],
] as const;

function linkOf(applet: string): CpioEntry {
  return { path: `bin/${applet}`, kind: 'link', target: 'busybox' };
}
