// A capture on the disk, a chunk at a time.

import { closeSync, fstatSync, openSync, readSync } from 'node:fs';
import { systemMessageOf } from '../../agent/contract/thrown.ts';
import { Failure } from './io.ts';

const chunkBytes = 256 * 1024;

export interface CaptureFile {
  /** 0 where it is not known, as of a pipe. */
  readonly bytes: number;
  /** Read so far. */
  readonly readBytes: () => number;
  readonly chunks: Iterable<Uint8Array>;
}

/** Throws Failure where the file cannot be opened. It is closed when the chunks end or are left. */
export function openCaptureFile(path: string): CaptureFile {
  let read = 0;
  const file = failing(path, () => openSync(path, 'r'));
  const { size } = fstatSync(file);
  function* chunks(): Generator<Uint8Array> {
    try {
      for (;;) {
        // A new one each time: packets are views on it.
        const chunk = new Uint8Array(chunkBytes);
        const count = failing(path, () => readSync(file, chunk));
        if (count === 0) return;
        read += count;
        yield chunk.subarray(0, count);
      }
    } finally {
      closeSync(file);
    }
  }
  return { bytes: size, readBytes: () => read, chunks: chunks() };
}

function failing<T>(path: string, act: () => T): T {
  try {
    return act();
  } catch (error) {
    throw new Failure(`${path}: cannot be read: ${systemMessageOf(error)}`);
  }
}
