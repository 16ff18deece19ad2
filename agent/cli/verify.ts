// `husk-agent verify DIR`: whether a bundle in a folder is what this device would accept.

import { join } from 'node:path';
import { bundleBytesMax, envelopeBytesMax } from '../contract/limits.ts';
import type { Files } from '../os/files.ts';
import { checkDocuments } from '../policy/check.ts';
import { formatFaults } from '../policy/faults.ts';
import { parseDocuments } from '../policy/parse.ts';
import type { Trusted } from '../trust/keys.ts';
import { readBundle, verifyAssignment, verifyBundle } from '../trust/verify.ts';
import type { Row } from './control.ts';

export interface BundleFolder {
  readonly assignment: Uint8Array;
  readonly bundle: Uint8Array;
}

/** `assignment.json`, the signed envelope, and `bundle.json`, the very bytes it speaks of. */
export function readBundleFolder(files: Files, folder: string): BundleFolder {
  const read = (name: string, bytesMax: number): Uint8Array => {
    const bytes = files.readBounded(join(folder, name), bytesMax);
    if (bytes === null) throw new Error(`${join(folder, name)}: there is no such file`);
    return bytes;
  };
  return {
    assignment: read('assignment.json', envelopeBytesMax),
    bundle: read('bundle.json', bundleBytesMax),
  };
}

/** What the bundle is. Throws RefusalError where the device would refuse it, faults of the policy apart. */
export function verifyFolder(
  { assignment, bundle }: BundleFolder,
  trusted: Trusted,
  we: { readonly tenant: string; readonly device: string },
): { readonly row: Row; readonly faults: string; readonly isAcceptable: boolean } {
  const assigned = verifyAssignment(assignment, trusted, we);
  const { bytes } = verifyBundle(assigned, bundle);
  const { title, documents: values } = readBundle(bytes, assigned.tenant);
  const { documents, faults } = parseDocuments(values);
  const all = [...faults, ...(faults.length === 0 ? checkDocuments(documents) : [])];
  return {
    row: {
      tenant: assigned.tenant,
      device: assigned.device,
      serial: assigned.serial,
      digest: assigned.digest,
      bytes: assigned.bytes,
      title,
      documents: documents.map((one) => `${one.kind}/${one.metadata.name}`),
      trialSeconds: assigned.trialSeconds,
      issuedAt: new Date(assigned.issuedAt * 1000).toISOString(),
    },
    faults: all.length === 0 ? '' : formatFaults(all).trimEnd(),
    isAcceptable: all.every((fault) => fault.severity !== 'error'),
  };
}
