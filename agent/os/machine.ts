// Who this machine is: boot id, hardware id, names. What an image leaves out is said, not made up.

import { readFileSync } from 'node:fs';
import { arch, hostname, release, totalmem } from 'node:os';

export interface Machine {
  /** New with each boot. */
  readonly bootId: string;
  readonly hostname: string;
  readonly kernel: string;
  readonly architecture: string;
  /** Bytes of memory that the kernel has. */
  readonly memoryBytes: number;
}

export function readMachine(): Machine {
  return {
    bootId: readText('/proc/sys/kernel/random/boot_id') ?? '',
    hostname: hostname(),
    kernel: release(),
    architecture: arch(),
    memoryBytes: totalmem(),
  };
}

/** Where a hardware id may be found, best first: what survives a reflash comes before what is made at first boot. */
const hardwareIdFiles = [
  '/sys/class/dmi/id/product_uuid',
  '/sys/firmware/devicetree/base/serial-number',
  '/etc/machine-id',
  '/var/lib/dbus/machine-id',
];

/** Serial numbers that makers leave in: they would make a conflict of every second box. */
const emptyIds = /^(0+|f+|none|default string|to be filled.*|not specified|unknown|system serial number)$/i;

/** What tells this box from another: the configured id, else the first that is there; null where nothing is. */
export function findHardwareId(
  configured: string | undefined,
  read: (path: string) => string | null = readText,
): string | null {
  if (configured !== undefined) return configured;
  for (const path of hardwareIdFiles) {
    const text = read(path)?.replaceAll('\0', '').trim().toLowerCase();
    if (text === undefined || text.length < 4 || text.length > 128) continue;
    if (emptyIds.test(text.replaceAll('-', '')) || !/^[\x21-\x7e]+$/.test(text)) continue;
    return text;
  }
  return null;
}

/**
 * Where the firmware says nothing: the address of the first Ethernet interface that has one burnt in.
 * Addresses with the local bit (IEEE 802 §8.2.2) were made up by software, and may be made up again.
 */
export function hardwareIdOfMac(
  interfaces: readonly { readonly index: number; readonly hardwareType: number; readonly mac: string }[],
): string | null {
  const ethernet = 1;
  const burntIn = interfaces
    .filter((one) => one.hardwareType === ethernet && /^[0-9a-f][048c]:/.test(one.mac))
    .filter((one) => one.mac !== '00:00:00:00:00:00')
    .sort((a, b) => a.index - b.index)[0];
  return burntIn === undefined ? null : `mac-${burntIn.mac.replaceAll(':', '')}`;
}

function readText(path: string): string | null {
  try {
    return readFileSync(path, 'utf8').trim();
  } catch {
    // Absent or unreadable comes to the same: this source says nothing.
    return null;
  }
}
