// The SHA-256 of an executable, for policies that are meant for certain builds of one.

import { createHash } from 'node:crypto';
import { closeSync, fstatSync, openSync, readSync } from 'node:fs';
import { isInImage } from './firmware.ts';

export interface FileDigest {
  /** Hex; null: there is no such file, or it can't be read, or is too large. */
  readonly sha256: string | null;
  /** Whether it is as the image has it, so that nobody on the device can have made it another. */
  readonly isInImage: boolean;
}

/** Larger ones are no daemon's. */
const bytesMax = 128 * 1024 * 1024;
const chunkBytes = 1024 * 1024;

/** Does not throw. */
export function digestFile(path: string): FileDigest {
  try {
    return { sha256: digest(path), isInImage: isInImage(path) };
  } catch {
    // What can't be read is not known, and said to be.
    return { sha256: null, isInImage: false };
  }
}

function digest(path: string): string | null {
  const file = openSync(path, 'r');
  try {
    const stat = fstatSync(file);
    if (!stat.isFile() || stat.size > bytesMax) return null;
    const hash = createHash('sha256');
    const chunk = new Uint8Array(chunkBytes);
    for (let left = bytesMax; left > 0; ) {
      const got = readSync(file, chunk);
      if (got === 0) break;
      hash.update(chunk.subarray(0, got));
      left -= got;
    }
    return hash.digest('hex');
  } finally {
    closeSync(file);
  }
}
