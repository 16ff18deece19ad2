// A file that is synced on Node's thread pool: closed meanwhile, it stays open until the sync has come back,
// since its number would be another file's by then.

import { closeSync, fdatasync } from 'node:fs';

export class OpenFile {
  readonly fd: number;
  #syncing = 0;
  #closed = false;

  constructor(fd: number) {
    this.fd = fd;
  }

  sync(): Promise<void> {
    this.#syncing += 1;
    return new Promise((resolve, reject) => {
      fdatasync(this.fd, (error) => {
        this.#syncing -= 1;
        if (this.#closed && this.#syncing === 0) closeSync(this.fd);
        if (error === null) resolve();
        else reject(error);
      });
    });
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    if (this.#syncing === 0) closeSync(this.fd);
  }
}
