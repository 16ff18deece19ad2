// The canary and its label: a child in a cgroup of its own, which hooks judge by the slot and the subjects that the
// label names; what they came to is left in a record.

import { mkdirSync, rmdirSync } from 'node:fs';
import { join } from 'node:path';
import { decodeHuskTried, encodeHuskTry, HuskConnectionState, HuskTry } from '../../bpf/abi/layout.gen.ts';
import type { Addon, MapHandle } from '../../native/index.ts';
import { RefusalError } from '../contract/refusal.ts';

export interface LabelTools {
  readonly addon: Addon;
  readonly tryLabel: MapHandle;
  readonly tried: MapHandle;
}

export const noCanary: HuskTry = {
  slot: 0,
  ifindex: 0,
  canaryCgroup: 0n,
  canarySubjects: 0n,
  canaryOperation: 0,
  cameBy: 0,
  state: HuskConnectionState.NONE,
};

/** Name of its cgroup below the hardening root; empty but for the moment of a try. */
const canaryFolder = 'husk-canary';
const key = new Uint8Array(4);

export function writeLabel({ addon, tryLabel }: LabelTools, label: HuskTry): void {
  const value = new Uint8Array(HuskTry.size);
  encodeHuskTry(new DataView(value.buffer), 0, label);
  addon.update(tryLabel, key, value);
}

export function readTried({ addon, tried }: LabelTools): ReturnType<typeof decodeHuskTried> {
  const value = addon.lookup(tried, key);
  if (value === null) throw new Error('the map `tried` has no entry');
  return decodeHuskTried(new DataView(value.buffer, value.byteOffset, value.byteLength), 0);
}

/** Runs `act` with the cgroup's folder, which is gone afterwards. */
export async function withCanary<T>(root: string, act: (path: string) => Promise<T>): Promise<T> {
  const path = join(root, canaryFolder);
  mkdirSync(path, { recursive: true });
  try {
    return await act(path);
  } finally {
    removeFolder(path);
  }
}

/** The child has been waited for, but its network namespace may keep the cgroup busy for a moment. */
function removeFolder(path: string): void {
  try {
    rmdirSync(path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EBUSY') throw error;
  }
}

export function unproven(name: string, detail: string): RefusalError {
  return new RefusalError('kernel.unproven', `${name}: ${detail}`);
}
