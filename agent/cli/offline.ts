// What the command line can say and do without an agent: the kernel holds what is enforced, and is asked.

import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import type { Addon } from '../../native/index.ts';
import { returnToPrevious } from '../apply-bundle.ts';
import type { Config } from '../config.ts';
import type { View } from '../contract/query.ts';
import { kernelRow } from '../describe-device.ts';
import { removeFloor } from '../kernel/floor.ts';
import { findNft, removeFloorTableBy } from '../kernel/floor-table.ts';
import { Kernel } from '../kernel/kernel.ts';
import { removePins, setDirectory } from '../kernel/objects.ts';
import { isSelfGuarded, openSelfGuard, removeSelfGuard } from '../kernel/self-guard.ts';
import type { Files } from '../os/files.ts';
import { usualSizes } from '../policy/kernel-memory.ts';
import { shownCount } from '../query/views.ts';
import { BundleStore } from '../trust/store.ts';
import { NotBelieved, type Row } from './control.ts';

export interface OfflineParts {
  readonly config: Config;
  readonly addon: Addon;
  readonly files: Files;
}

/** Rows of a view as far as the kernel alone knows them; null: only a running agent does. */
export async function offlineRows(parts: OfflineParts, view: View): Promise<readonly Row[] | null> {
  const { addon, config } = parts;
  switch (view) {
    case 'interfaces':
      return addon.interfaces().map((one) => ({ ...one }));
    case 'status':
      return [await withKernel(parts, statusRow, { agent: 'not running', inForce: null })];
    case 'rules':
      return withKernel(parts, ruleRows, []);
    case 'sets':
    case 'connections':
    case 'drops':
    case 'events':
      return null;
  }

  function statusRow(kernel: Kernel): Row {
    const status = kernel.status();
    return {
      agent: 'not running',
      inForce:
        status.inForce === null || status.inForce.serial === 0
          ? null
          : { serial: status.inForce.serial, digest: status.inForce.bundleDigest },
      ...kernelRow(kernel, status),
      // Attached is what is pinned: nobody has looked at it since the agent ended.
      hooks: readdirSync(join(setDirectory(config.bpffs), 'links')),
    };
  }
}

async function ruleRows(kernel: Kernel): Promise<readonly Row[]> {
  const counters = await kernel.countersInForce();
  // What was proven of them only the agent remembers.
  return counters.map(({ id, hits, bytes, limited }) => ({
    id,
    state: 'not known without the agent',
    hits: shownCount(hits),
    bytes: shownCount(bytes),
    limited: shownCount(limited),
  }));
}

/** `return` without an agent. False: there is nothing to go back to. Throws NotBelieved. */
export async function offlineReturn(parts: OfflineParts): Promise<boolean> {
  try {
    const { store } = BundleStore.open(parts.files, storeFolder(parts.config));
    return await withKernel(parts, (kernel) => returnToPrevious(kernel, store), false);
  } catch (error) {
    throw asNotBelieved(error);
  }
}

/** Lets go of Husk's own protection without an agent. False: there is none. Throws NotBelieved. */
export function offlineUnprotect({ addon, config }: Omit<OfflineParts, 'files'>, seconds: number): boolean {
  const directory = setDirectory(config.bpffs);
  if (!isSelfGuarded(directory)) return false;
  const now = Number(addon.bootNs() / 1_000_000_000n);
  try {
    openSelfGuard(addon, directory, seconds === 0 ? 0 : now + seconds);
    return true;
  } catch (error) {
    throw asNotBelieved(error);
  }
}

/** Husk's own pins refused us. */
function asNotBelieved(error: unknown): unknown {
  return (error as { code?: string }).code === 'EPERM' ? new NotBelieved({ cause: error }) : error;
}

/** Takes everything out of the kernel. False: nothing was there. Throws NotBelieved. */
export async function unloadKernel(parts: OfflineParts): Promise<boolean> {
  try {
    return await takeOut(parts);
  } catch (error) {
    throw asNotBelieved(error);
  }
}

async function takeOut(parts: OfflineParts): Promise<boolean> {
  const { addon, config } = parts;
  removeSelfGuard(setDirectory(config.bpffs));
  removeFloor(config.bpffs);
  const nft = findNft();
  if (nft !== null) removeFloorTableBy(nft);
  const kernel = await openPinned(parts).catch(() => 'damaged' as const);
  if (kernel === null) return false;
  if (kernel === 'damaged') removePins(setDirectory(config.bpffs));
  else kernel.unload(addon.interfaces());
  return true;
}

/** Where the bundles of this device are kept. */
export function storeFolder(config: Config): string {
  return join(config.stateDirectory, 'bundles');
}

async function withKernel<T>(
  parts: OfflineParts,
  ask: (kernel: Kernel) => T | Promise<T>,
  none: T,
): Promise<T> {
  const kernel = await openPinned(parts);
  if (kernel === null) return none;
  try {
    return await ask(kernel);
  } finally {
    kernel.close();
  }
}

/** For `trace` too, which needs no agent. null: nothing is loaded. */
export async function openPinned({
  config,
  addon,
}: Pick<OfflineParts, 'config' | 'addon'>): Promise<Kernel | null> {
  if (!Kernel.isPinned(config.bpffs)) return null;
  return Kernel.open({
    addon,
    bpffs: config.bpffs,
    files: null,
    cgroup: config.hardening?.cgroup ?? null,
    // Nothing is made: what is pinned has its sizes.
    sizes: { ...usualSizes, cpus: 1 },
    random: () => new Uint8Array(),
    onRecycled: () => {},
  });
}
