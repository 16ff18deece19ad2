// A plain list of addresses, as block lists are published: what an AddressSet's `file` names.
//
// One address, prefix or range a line; what follows `#` is a comment, and so is what follows `;`, which
// some feeds use. The CLI reads the list in before anything is signed, so that a bundle holds what was
// looked at; a device refuses documents that still name a file.

import type { AddressSet } from '../contract/policy.ts';
import { rangeWords, readRange } from './addresses.ts';
import { type Fault, FaultList, rememberSource, sourceOf } from './faults.ts';

export interface AddressList {
  readonly addresses: readonly string[];
  readonly faults: readonly Fault[];
}

/** Every entry, and every line that is none. `file` is said in the faults. */
export function parseAddressList(text: string, file = ''): AddressList {
  const addresses: string[] = [];
  const faults = new FaultList();
  const scratch = new Uint32Array(rangeWords);
  text.split('\n').forEach((line, index) => {
    const entry = line.replace(/[#;].*$/s, '').trim();
    if (entry === '') return;
    const read = readRange(entry, scratch);
    if (typeof read === 'number') {
      addresses.push(entry);
      return;
    }
    const message = `"${entry.slice(0, 80)}" ${read}`;
    const column = line.indexOf(entry) + 1;
    faults.add({ severity: 'error', file, line: index + 1, column, path: '', message });
  });
  return { addresses, faults: faults.all() };
}

/** The document with its list written out instead of named; faults in it are still found at the same place. */
export function withAddresses(document: AddressSet, addresses: readonly string[]): AddressSet {
  const written: AddressSet = { ...document, spec: { addresses } };
  const source = sourceOf(document);
  if (source !== undefined) rememberSource(written, source);
  return written;
}
