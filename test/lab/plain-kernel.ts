// What a kernel set takes besides what a test means to try.

import { systemRandom } from '../../agent/os/random.ts';
import { type DeviceInterface, usualNeverDrop } from '../../agent/policy/device-view.ts';
import { usualSizes } from '../../agent/policy/kernel-memory.ts';
import type { DeviceFacts } from '../../agent/policy/table-image.ts';
import { addon } from '../../native/index.ts';

export const plainSizes = { ...usualSizes, cpus: addon.possibleCpus() };
export const plainKernel = { sizes: plainSizes, random: (bytes: number) => systemRandom.bytes(bytes) };

/** An interface with an Ethernet header and no address. */
export const plainInterface = ({
  name,
  index,
}: Pick<DeviceInterface, 'name' | 'index'>): DeviceInterface => ({
  name,
  index,
  link: 'ethernet',
  addresses: [],
});

/** A device of such interfaces, without cgroups and without the time. */
export function plainFacts(
  interfaces: readonly Pick<DeviceInterface, 'name' | 'index'>[],
  ruleIndex: (id: string) => number,
): DeviceFacts {
  return {
    neverDrop: usualNeverDrop,
    interfaces: interfaces.map(plainInterface),
    bootSeconds: () => null,
    cgroupId: () => null,
    ruleIndex,
  };
}
