// The tables that follow the device while their generation is in force, without compiling the rest again.
//
// Numbers of zones, rules and conditions are those of the image itself: it keeps what they were given to. So an
// interface that comes costs a handful of rows, however large the sets of the policy are.

import { HUSK_CGROUPS_MAX, HuskTable } from '../../bpf/abi/layout.gen.ts';
import { knownPaths } from './compile-operations.ts';
import type { DeviceView } from './device-view.ts';
import { matchesGlob } from './globs.ts';
import { type OperationRules, pathTables } from './operation-tables.ts';
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
  /** Cgroups of subjects; the index is the bit. null: that subject is in any. */
  readonly cgroups: readonly (string | null)[];
  /** What tables about tasks and objects are made from; null: no rule needs any. */
  readonly operations: OperationRules | null;
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
    const id = cgroup === null ? null : cgroupId(cgroup);
    if (id !== null) bits.set(id, (bits.get(id) ?? 0n) | (1n << BigInt(index)));
  });
  const rows = [...bits].map(([id, subjects]) => ({ key: bytesOfU64(id), value: bytesOfU64(subjects) }));
  return hashTable(HuskTable.SUBJECTS, { keySize: 8, valueSize: 8, maxEntries: HUSK_CGROUPS_MAX }, rows);
}

/**
 * Programs, applets and decisions where the device's paths are now. What is mounted moves few of them, but any: a
 * device compares digests, and loads a generation anew where they differ.
 */
export function followPaths(
  { operations }: Pick<Following, 'operations'>,
  { paths }: Pick<DeviceFacts, 'paths'>,
): readonly Table[] {
  return operations === null ? [] : pathTables(operations, knownPaths(operations, paths));
}

function bytesOfU64(value: bigint): Uint8Array {
  const bytes = new Uint8Array(8);
  new DataView(bytes.buffer).setBigUint64(0, value, true);
  return bytes;
}
