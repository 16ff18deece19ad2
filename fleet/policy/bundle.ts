// A bundle's bytes: JSON in one canonical form, so that the same documents always have the same digest.
//
// Keys are sorted by UTF-16 unit and nothing is indented; numbers and strings are as JSON.stringify writes
// them (the form of RFC 8785 for the values policies hold). Devices do not depend on the form, they take
// the bytes under the digest.

import { createHash } from 'node:crypto';
import type { Bundle } from '../../agent/contract/bundle.ts';
import { bundleBytesMax } from '../../agent/contract/limits.ts';
import type { PolicyDocument } from '../../agent/contract/policy.ts';

export interface BundleBytes {
  readonly bytes: Uint8Array;
  /** SHA-256, hex. */
  readonly digest: string;
}

/** Throws a RangeError for a bundle that no device would take. */
export function writeBundle(
  tenant: string,
  title: string,
  documents: readonly PolicyDocument[],
): BundleBytes {
  const bundle: Bundle = { v: 1, tenant, title, documents };
  const bytes = new TextEncoder().encode(canonicalJson(bundle));
  if (bytes.length > bundleBytesMax) {
    throw new RangeError(`the bundle has ${bytes.length} bytes, ${bundleBytesMax} are allowed`);
  }
  return { bytes, digest: createHash('sha256').update(bytes).digest('hex') };
}

/** Throws a TypeError for what JSON does not have. */
export function canonicalJson(value: unknown): string {
  if (value === null || typeof value === 'boolean' || typeof value === 'string') return JSON.stringify(value);
  if (typeof value === 'number') {
    if (!Number.isFinite(value)) throw new TypeError(`${value} is not a JSON number`);
    return JSON.stringify(value);
  }
  if (Array.isArray(value)) return `[${value.map(canonicalJson).join(',')}]`;
  if (typeof value === 'object') {
    const entries = Object.entries(value)
      .filter(([, member]) => member !== undefined)
      .sort(([a], [b]) => (a < b ? -1 : 1));
    return `{${entries.map(([key, member]) => `${JSON.stringify(key)}:${canonicalJson(member)}`).join(',')}}`;
  }
  throw new TypeError(`${typeof value} is not JSON`);
}
