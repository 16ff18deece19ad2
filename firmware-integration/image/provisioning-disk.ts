// A provisioning disk: files for one device, as /etc/init.d/provision of the image unpacks them over its root.

import { type CpioEntry, foldersAbove, packCpio } from './cpio.ts';

const sectorBytes = 512;

export interface ProvisionedFile {
  /** In the device, without the first slash. */
  readonly path: string;
  readonly content: string | Uint8Array;
  /** As in `0o600`. */
  readonly mode: number;
}

/** A disk's content: an archive in whole sectors. */
export function packProvisioningDisk(files: readonly ProvisionedFile[]): Buffer {
  const entries = files.map(
    ({ path, content, mode }): CpioEntry => ({ path, kind: 'file', bytes: Buffer.from(content), mode }),
  );
  const archive = packCpio([...foldersAbove(files.map(({ path }) => path)), ...entries]);
  return Buffer.concat([archive, Buffer.alloc(-archive.length & (sectorBytes - 1))]);
}
