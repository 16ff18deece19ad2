// A disk that fails when a test says so: full, read-only, or cut off in the middle of a series of writes.

import { FileError, type Files } from '../../agent/os/files.ts';

export interface Fault {
  readonly operation: 'read' | 'write' | 'remove' | 'list' | 'make folder';
  /** Only paths that contain this; absent: all. */
  readonly path?: string;
  /** errno name, as in `ENOSPC`. */
  readonly code: string;
  /** How many calls go well before; absent: none. */
  readonly after?: number;
}

export class FailingFiles implements Files {
  readonly #inner: Files;
  #faults: { readonly fault: Fault; passed: number }[] = [];
  /** Every operation that was asked for, in order, as in `write /x/y`. */
  readonly log: string[] = [];

  constructor(inner: Files) {
    this.#inner = inner;
  }

  fail(fault: Fault): void {
    this.#faults.push({ fault, passed: 0 });
  }

  heal(): void {
    this.#faults = [];
  }

  readBounded(path: string, bytesMax: number): Uint8Array | null {
    this.#try('read', path);
    return this.#inner.readBounded(path, bytesMax);
  }

  writeAtomic(path: string, bytes: Uint8Array | string, mode?: number): void {
    this.#try('write', path);
    this.#inner.writeAtomic(path, bytes, mode);
  }

  remove(path: string): void {
    this.#try('remove', path);
    this.#inner.remove(path);
  }

  list(folder: string): readonly string[] {
    this.#try('list', folder);
    return this.#inner.list(folder);
  }

  makeFolder(path: string): void {
    this.#try('make folder', path);
    this.#inner.makeFolder(path);
  }

  #try(operation: Fault['operation'], path: string): void {
    this.log.push(`${operation} ${path}`);
    for (const one of this.#faults) {
      if (one.fault.operation !== operation) continue;
      if (one.fault.path !== undefined && !path.includes(one.fault.path)) continue;
      if (one.passed++ < (one.fault.after ?? 0)) continue;
      throw new FileError(operation, path, one.fault.code);
    }
  }
}
