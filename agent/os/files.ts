// Small files that must survive a power cut whole: the old content or the new, never half of it.
//
// A write goes to a temporary name beside the file, is fsynced, renamed over the file, and the folder is
// fsynced, so that once `writeAtomic` has returned the new content is what the next boot finds. All is
// synchronous on purpose: what is written this way is small and rare, and the caller may act only after it.

import {
  closeSync,
  constants,
  fchmodSync,
  fstatSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readdirSync,
  readSync,
  renameSync,
  rmSync,
  statSync,
  writeSync,
} from 'node:fs';
import { basename, dirname, join } from 'node:path';

export interface Files {
  /** The file's bytes, or null where there is none. Throws `FileError` EFBIG where it is longer than `bytesMax`. */
  readBounded(path: string, bytesMax: number): Uint8Array | null;
  /** Replaces the file as a whole, mode 0600 unless said otherwise. */
  writeAtomic(path: string, bytes: Uint8Array | string, mode?: number): void;
  /** Gone and fsynced after it returns; a file that is not there is as good. */
  remove(path: string): void;
  /** Names in a folder, sorted; none where there is no folder. Leftover temporary files are not shown. */
  list(folder: string): readonly string[];
  /** Makes a folder and its parents, mode 0700 for those it makes. */
  makeFolder(path: string): void;
}

/** What the disk answered: operation, path and errno name, as in `write /var/lib/husk/x: ENOSPC`. */
export class FileError extends Error {
  override readonly name = 'FileError';
  readonly operation: string;
  readonly path: string;
  readonly code: string;
  constructor(operation: string, path: string, code: string, options?: ErrorOptions) {
    super(`${operation} ${path}: ${code}`, options);
    this.operation = operation;
    this.path = path;
    this.code = code;
  }
}

/** Names of temporary files; whoever finds one that old content survived under may delete it. */
const temporaryPrefix = '.tmp-';

/** Read at a time where no size is stated. */
const pieceBytes = 4096;

export class DiskFiles implements Files {
  readBounded(path: string, bytesMax: number): Uint8Array | null {
    return wrap('read', path, () => {
      const fd = openOrNull(path);
      if (fd === null) return null;
      try {
        const size = fstatSync(fd).size;
        if (size > bytesMax) throw new FileError('read', path, 'EFBIG');
        // In pieces, since /proc states no size; the last byte over the limit is how growing under us shows.
        const pieces: Buffer[] = [];
        for (let length = 0; ; ) {
          const piece = Buffer.alloc(
            Math.min(bytesMax + 1 - length, Math.max(size + 1 - length, pieceBytes)),
          );
          const got = readSync(fd, piece, 0, piece.length, null);
          if (got === 0) return new Uint8Array(Buffer.concat(pieces));
          length += got;
          if (length > bytesMax) throw new FileError('read', path, 'EFBIG');
          pieces.push(piece.subarray(0, got));
        }
      } finally {
        closeSync(fd);
      }
    });
  }

  writeAtomic(path: string, bytes: Uint8Array | string, mode = 0o600): void {
    wrap('write', path, () => {
      const folder = dirname(path);
      const temporary = join(folder, `${temporaryPrefix}${basename(path)}`);
      rmSync(temporary, { force: true });
      // O_EXCL and O_NOFOLLOW: nobody's link is written through.
      const flags = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW;
      const fd = openSync(temporary, flags, mode);
      try {
        fchmodSync(fd, mode);
        const data = typeof bytes === 'string' ? Buffer.from(bytes) : bytes;
        for (let at = 0; at < data.length; ) at += writeSync(fd, data, at, data.length - at);
        fsyncSync(fd);
      } catch (error) {
        closeSync(fd);
        rmSync(temporary, { force: true });
        throw error;
      }
      closeSync(fd);
      renameSync(temporary, path);
      syncFolder(folder);
    });
  }

  remove(path: string): void {
    wrap('remove', path, () => {
      rmSync(path, { force: true });
      syncFolder(dirname(path));
    });
  }

  list(folder: string): readonly string[] {
    return wrap('list', folder, () => {
      if (statSync(folder, { throwIfNoEntry: false }) === undefined) return [];
      return readdirSync(folder)
        .filter((name) => !name.startsWith(temporaryPrefix))
        .sort();
    });
  }

  makeFolder(path: string): void {
    wrap('make folder', path, () => {
      const made = mkdirSync(path, { recursive: true, mode: 0o700 });
      // A folder's own entry is in its parent: that is what has to be on the disk.
      if (made !== undefined) syncFolder(dirname(made));
    });
  }
}

function openOrNull(path: string): number | null {
  try {
    return openSync(path, constants.O_RDONLY);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
    throw error;
  }
}

function syncFolder(folder: string): void {
  const fd = openSync(folder, constants.O_RDONLY | constants.O_DIRECTORY);
  try {
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}

function wrap<T>(operation: string, path: string, action: () => T): T {
  try {
    return action();
  } catch (error) {
    if (error instanceof FileError) throw error;
    throw new FileError(operation, path, (error as NodeJS.ErrnoException).code ?? 'EUNKNOWN', {
      cause: error,
    });
  }
}
