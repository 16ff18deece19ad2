// How QEMU runs the reference device: its own translator (never KVM), one CPU, a disk that forgets what was written to it when
// QEMU ends, and nothing that was not asked for.

import { join } from 'node:path';

export const qemu = '/usr/bin/qemu-system-x86_64';
const memoryMib = 256;

export interface DeviceMachine {
  /** The folder that mkimage.ts made. */
  readonly image: string;
  /** One of the manifest's kernels. */
  readonly kernel: string;
  /** Words of the kernel's command line: `husk.slot=b`. */
  readonly append?: string;
  /** A provisioning disk. */
  readonly provision?: string;
  /** What eth0 is joined to, as QEMU's -netdev says it: `user`, `tap,ifname=tap0,script=no,downscript=no`. */
  readonly network?: string;
}

/** QEMU's arguments, but for serial lines. */
export function deviceArguments({ image, kernel, append = '', provision, network }: DeviceMachine): string[] {
  const words = ['console=ttyS0', 'panic=1', 'mitigations=off', 'random.trust_cpu=on'];
  if (provision !== undefined) words.push('husk.provision=vdb');
  const disk = (file: string): string[] => ['-drive', `file=${file},format=raw,if=virtio,snapshot=on`];
  return [
    ...['-M', 'q35', '-accel', 'tcg', '-m', String(memoryMib), '-smp', '1'],
    // A fifth level of page tables costs an emulated machine a lot.
    ...['-cpu', 'max,la57=off', '-nodefaults', '-no-user-config', '-display', 'none'],
    ...['-kernel', join(image, `vmlinuz-${kernel}`), '-initrd', join(image, `initramfs-${kernel}`)],
    ...['-append', [...words, append].join(' ').trim()],
    ...disk(join(image, 'disk.img')),
    ...(provision === undefined ? [] : disk(provision)),
    ...(network === undefined ? [] : ['-netdev', `${network},id=n0`, '-device', networkCard]),
  ];
}

/** Without a ROM to boot from the network by. */
const networkCard = 'virtio-net-pci,netdev=n0,mac=52:54:00:00:00:02,romfile=';
