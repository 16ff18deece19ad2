// Finds and opens the addon, `husk.node`.
//
//   1. beside the executable: a device image ships it there, on a file system that nobody writes to
//   2. inside the executable: written to a folder of our own, opened, and removed at once
//   3. in a checkout: `build/native/`
//
// The sources run as modules, the executables as one CommonJS file made by esbuild. So what tells where we
// are differs: `import.meta.dirname` there, `__dirname` here.

import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { getRawAsset, isSea } from 'node:sea';
import type { Addon } from './index.ts';

const fileName = 'husk.node';

/** Where an unpacked addon may be tried: many systems mount the first, or the second, with noexec. */
function unpackFolders(): string[] {
  return ['/run', tmpdir(), process.env.STATE_DIRECTORY ?? '/var/lib/husk'];
}

function open(path: string): Addon {
  const module = { exports: {} };
  process.dlopen(module, path);
  return module.exports as Addon;
}

/** A name that is gone once opened can't be swapped for another file, nor be left behind. */
function unpackAndOpen(bytes: Uint8Array, parent: string): Addon {
  const folder = mkdtempSync(join(parent, 'husk-'));
  try {
    const path = join(folder, fileName);
    writeFileSync(path, bytes, { mode: 0o500, flag: 'wx' });
    return open(path);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function openEmbedded(): Addon {
  const bytes = new Uint8Array(getRawAsset(fileName));
  const causes: unknown[] = [];
  for (const parent of unpackFolders()) {
    try {
      return unpackAndOpen(bytes, parent);
    } catch (cause) {
      causes.push(cause);
    }
  }
  throw new AggregateError(
    causes,
    `${fileName} could not be opened from any of ${unpackFolders().join(', ')}`,
  );
}

/** Sources are in `native/`, the bundles in `build/`. */
function checkoutPath(): string {
  return import.meta.dirname
    ? join(import.meta.dirname, '..', 'build', 'native', fileName)
    : join(__dirname, 'native', fileName);
}

export function loadAddon(): Addon {
  const beside = join(dirname(process.execPath), fileName);
  if (existsSync(beside)) return open(beside);
  if (isSea()) return openEmbedded();
  const path = checkoutPath();
  if (!existsSync(path)) throw new Error(`${path} is missing: ./build.sh build makes it`);
  return open(path);
}
