// A plain list of addresses, as block lists are published: what an AddressSet's `file` names.
//
// One address, prefix or range a line; what follows the entry on its line is ignored, since feeds come with
// counts and names there, and so are lines that start with `#` or `;`. The CLI reads the list in before
// anything is signed, so that a bundle holds what was looked at; a device refuses documents that still name a file.

import type { AddressSet } from '../contract/policy.ts';
import { rangeWords, readRange } from './addresses.ts';
import { type Fault, rememberSource, sourceOf } from './faults.ts';

/** Faults in one list that are said one by one. */
const listFaultsMax = 20;

export interface AddressList {
  readonly addresses: readonly string[];
  readonly faults: readonly Fault[];
}

/** Every entry, and every line that starts with none. `file` is said in the faults. */
export function parseAddressList(text: string, file = ''): AddressList {
  const addresses: string[] = [];
  const faults: Fault[] = [];
  let wrong = 0;
  const scratch = new Uint32Array(rangeWords);
  const place = { severity: 'error', file, path: '' } as const;
  for (const [index, line] of text.split('\n').entries()) {
    const entry = /^\s*([^\s#;]+)/.exec(line)?.[1];
    if (entry === undefined) continue;
    const read = readRange(entry, scratch);
    if (typeof read === 'number') {
      addresses.push(entry);
      continue;
    }
    wrong += 1;
    if (wrong > listFaultsMax) continue;
    const message = `"${entry.slice(0, 80)}" ${read}`;
    faults.push({ ...place, line: index + 1, column: line.indexOf(entry) + 1, message });
  }
  if (wrong > listFaultsMax) {
    const message = `and ${wrong - listFaultsMax} more entries that cannot be read`;
    faults.push({ ...place, line: 0, column: 0, message });
  }
  return { addresses, faults };
}

/** The document with its list written out instead of named; faults in it are still found at the same place. */
export function withAddresses(document: AddressSet, addresses: readonly string[]): AddressSet {
  const written: AddressSet = { ...document, spec: { addresses } };
  const source = sourceOf(document);
  if (source !== undefined) rememberSource(written, source);
  return written;
}
