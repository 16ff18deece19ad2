// Pins that are replaced in one step, and what a folder of pins says of itself: the digest of what made it.

import { existsSync, renameSync, unlinkSync } from 'node:fs';
import { join } from 'node:path';
import type { Addon, Handle } from '../../native/index.ts';
import { mapType } from './tables.ts';

/** Replaces a pin in one step: ended in between, the next start must find the old one or the new one. */
export function repin(addon: Addon, handle: Handle, path: string): void {
  const beside = `${path}_new`;
  if (existsSync(beside)) unlinkSync(beside);
  addon.pin(handle, beside);
  renameSync(beside, path);
}

const aboutKey = new Uint8Array(4);

/** Hex; throws where nothing is pinned there. */
export function readAbout(addon: Addon, directory: string): string {
  const map = addon.openPinnedMap(join(directory, 'about'));
  try {
    return Buffer.from(addon.lookup(map, aboutKey) ?? []).toString('hex');
  } finally {
    map.close();
  }
}

export function writeAbout(addon: Addon, directory: string, digest: string): void {
  const map = addon.createMap({
    name: 'husk_about',
    type: mapType.array,
    keySize: 4,
    valueSize: 32,
    maxEntries: 1,
    flags: 0,
  });
  try {
    addon.update(map, aboutKey, Buffer.from(digest, 'hex'));
    repin(addon, map, join(directory, 'about'));
  } finally {
    map.close();
  }
}
