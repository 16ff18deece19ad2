// What a device image is given for a test: a provisioning disk, as provision of the image unpacks it.

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { packProvisioningDisk } from '../../firmware-integration/image/provisioning-disk.ts';
import { commandsSource } from './initramfs.ts';

/** A page's program that runs what it is asked to. */
const runSource = join(import.meta.dirname, 'guest/run.sh');

/** Files by their path in the device, without the first slash. A path with /bin/, /init.d/ or /cgi-bin/ may be run. */
export type DeviceFiles = Readonly<Record<string, string | Uint8Array>>;

export interface Provision {
  /** The line that the device joins with. */
  readonly join: string;
  /** What eth0 gets: an IPv4 address. */
  readonly address: string;
  /** Laid over the test's configuration of the agent, top level by top level. */
  readonly config: Readonly<Record<string, unknown>>;
  readonly files: DeviceFiles;
}

/** The content of its disk. */
export function packProvision({ join: line, address, config, files }: Provision): Buffer {
  const all: DeviceFiles = {
    'etc/husk/join': line,
    'etc/husk/agent.json': JSON.stringify({ ...agentConfig, ...config }),
    'etc/network/interfaces': interfaces(address),
    // Before the agent, so that a test can see what holds while it starts.
    'etc/init.d/S08commands': '#!/bin/sh\nsetsid /usr/lib/test/bin/commands &\n',
    'usr/lib/test/bin/commands': readFileSync(commandsSource),
    'www/cgi-bin/run': readFileSync(runSource),
    ...files,
  };
  return packProvisioningDisk(
    Object.entries(all).map(([path, content]) => ({
      path,
      content,
      mode: /\/(bin|init\.d|cgi-bin)\//.test(path) ? 0o755 : 0o600,
    })),
  );
}

/** Short times, so that a test need not wait for a trial or a link. */
const agentConfig = {
  interfaces: ['eth0'],
  hardening: { cgroup: '/sys/fs/cgroup/services' },
  trial: { minimumSeconds: 2, maximumSeconds: 120 },
  link: { keepaliveSeconds: 20, reconnectSeconds: { minimum: 0.2, maximum: 1 } },
  clock: { step: true },
  join: '/etc/husk/join',
} as const;

const interfaces = (address: string): string => `auto lo eth0
iface lo inet loopback
iface eth0 inet static
    address ${address}
    netmask 255.255.255.0
`;
