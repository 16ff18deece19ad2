// Files that an operator names, read up to a limit, whatever they are: a pipe, a device that never ends, a folder.

import { closeSync, openSync, readSync } from 'node:fs';
import { gunzipSync } from 'node:zlib';
import { systemMessageOf } from '../../agent/contract/thrown.ts';

/** A file that cannot be used; the message is without its name. */
export class FileError extends Error {
  override readonly name = 'FileError';
}

const chunkBytes = 256 * 1024;

/** The bytes of a file, unpacked where it is named `.gz`. `-` is stdin. Throws FileError. */
function readFileWithin(path: string, bytesMax: number): Uint8Array {
  const tooLong = () => new FileError(`is longer than ${bytesMax} bytes`);
  try {
    const raw = readWithin(path, bytesMax);
    if (raw === null) throw tooLong();
    return path.endsWith('.gz') ? gunzipSync(raw, { maxOutputLength: bytesMax }) : raw;
  } catch (error) {
    if (error instanceof FileError) throw error;
    if ((error as { code?: unknown }).code === 'ERR_BUFFER_TOO_LARGE') throw tooLong();
    throw new FileError(`cannot be read: ${systemMessageOf(error)}`);
  }
}

/** The same as text. Throws FileError. */
export function readTextWithin(path: string, bytesMax: number): string {
  const bytes = readFileWithin(path, bytesMax);
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch {
    throw new FileError('cannot be read: it is not text in UTF-8');
  }
}

/** null: there is more. What is said of its size is not believed: of a pipe or a device it says nothing. */
function readWithin(path: string, bytesMax: number): Uint8Array | null {
  const file = path === '-' ? 0 : openSync(path, 'r');
  try {
    const chunks: Uint8Array[] = [];
    for (let bytes = 0; bytes <= bytesMax; ) {
      const chunk = new Uint8Array(chunkBytes);
      const count = readSync(file, chunk);
      if (count === 0) return Buffer.concat(chunks);
      chunks.push(chunk.subarray(0, count));
      bytes += count;
    }
    return null;
  } finally {
    if (file !== 0) closeSync(file);
  }
}
