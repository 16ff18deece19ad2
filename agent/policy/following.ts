// The tables that follow the device while their generation is in force, without compiling the rest again.
//
// Numbers of zones, rules and conditions are those of the image itself: it keeps what they were given to. So an
// interface that comes costs a handful of rows, however large the sets of the policy are.

import { HUSK_CGROUPS_MAX, HuskTable } from '../../bpf/abi/layout.gen.ts';
import type { DeviceView } from './device-view.ts';
import { matchesGlob } from './globs.ts';
import type { Named } from './packet-conditions.ts';
import type { DeviceFacts, LeftOut, Table } from './table-image.ts';
import { hashTable } from './tables.ts';
import { placeInterfaces } from './zone-rows.ts';
import { type CompiledZone, deferredTable, zoneTable } from './zone-table.ts';

/** What of an image depends on the device as it is now. */
export interface Following {
  readonly zones: readonly CompiledZone[];
  /** Conditions on names of interfaces; the index is the bit. */
  readonly interfaceConditions: readonly Named[];
  /** Cgroups of subjects; the index is the bit. */
  readonly cgroups: readonly string[];
}

export interface FollowingTables {
  /** Of kinds ZONES, DEFERRED and SUBJECTS. */
  readonly tables: readonly Table[];
  readonly leftOut: readonly LeftOut[];
}

export function followInterfaces(
  { zones, interfaceConditions }: Pick<Following, 'zones' | 'interfaceConditions'>,
  device: DeviceView,
): FollowingTables {
  const { placed, deferred, leftOut } = placeInterfaces(
    device,
    (name) => zones.find(({ interfaces }) => interfaces.some((glob) => matchesGlob(glob, name))) ?? null,
  );
  return { tables: [zoneTable(placed, device, interfaceConditions), deferredTable(deferred)], leftOut };
}

/** A cgroup that does not exist (yet) has no entry: nobody is in it. */
export function followCgroups(
  { cgroups }: Pick<Following, 'cgroups'>,
  { cgroupId }: Pick<DeviceFacts, 'cgroupId'>,
): Table {
  const bits = new Map<bigint, bigint>();
  cgroups.forEach((cgroup, index) => {
    const id = cgroupId(cgroup);
    if (id !== null) bits.set(id, (bits.get(id) ?? 0n) | (1n << BigInt(index)));
  });
  const rows = [...bits].map(([id, subjects]) => ({ key: bytesOfU64(id), value: bytesOfU64(subjects) }));
  return hashTable(HuskTable.SUBJECTS, { keySize: 8, valueSize: 8, maxEntries: HUSK_CGROUPS_MAX }, rows);
}

function bytesOfU64(value: bigint): Uint8Array {
  const bytes = new Uint8Array(8);
  new DataView(bytes.buffer).setBigUint64(0, value, true);
  return bytes;
}
