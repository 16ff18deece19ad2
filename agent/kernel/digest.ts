// What makes two tables equal: SHA-256 over their shape and their entries in order of key.
//
// The kernel gives entries back in an order of its own, so both sides are sorted before they are hashed.

import { createHash } from 'node:crypto';
import type { Table } from '../policy/table-image.ts';
import { HUSK_TABLE_GENERATION_KIND, HuskTable } from './tables.ts';

/** Order of `count` keys of `size` bytes by their bytes, as indexes. */
function orderOfKeys(keys: Uint8Array, size: number, count: number): Uint32Array {
  const view = new DataView(keys.buffer, keys.byteOffset, keys.byteLength);
  const words = size >> 2;
  const compare = (a: number, b: number): number => {
    for (let word = 0; word < words; word++) {
      const difference = view.getUint32(a * size + word * 4) - view.getUint32(b * size + word * 4);
      if (difference !== 0) return difference;
    }
    for (let at = words * 4; at < size; at++) {
      const difference = view.getUint8(a * size + at) - view.getUint8(b * size + at);
      if (difference !== 0) return difference;
    }
    return 0;
  };
  const order = new Uint32Array(count);
  let sorted = true;
  for (let i = 0; i < count; i++) {
    order[i] = i;
    if (i > 0 && sorted && compare(i - 1, i) > 0) sorted = false;
  }
  return sorted ? order : order.sort(compare);
}

/** Digest of a table's entries, given in any order. */
export function digestEntries(
  shape: Pick<Table, 'kind' | 'keySize' | 'valueSize'>,
  keys: Uint8Array,
  values: Uint8Array,
  count: number,
): Uint8Array {
  const hash = createHash('sha256');
  hash.update(`husk table ${shape.kind} ${shape.keySize} ${shape.valueSize} ${count}\n`);
  // Gathered in chunks: one update a key would cost more than the hash.
  const chunk = 4096;
  const entry = shape.keySize + shape.valueSize;
  const order = orderOfKeys(keys, shape.keySize, count);
  for (let from = 0; from < count; from += chunk) {
    const here = Math.min(chunk, count - from);
    const bytes = new Uint8Array(here * entry);
    for (let i = 0; i < here; i++) {
      const index = order[from + i] ?? 0;
      bytes.set(keys.subarray(index * shape.keySize, (index + 1) * shape.keySize), i * entry);
      bytes.set(
        values.subarray(index * shape.valueSize, (index + 1) * shape.valueSize),
        i * entry + shape.keySize,
      );
    }
    hash.update(bytes);
  }
  return hash.digest();
}

export function digestTable(table: Table): Uint8Array {
  return digestEntries(table, table.keys, table.values, table.count);
}

/** Digest of a generation: over the digests of its tables in order of kind, GENERATION's own as zeros. */
export function digestGeneration(tableDigests: readonly Uint8Array[]): Uint8Array {
  const hash = createHash('sha256');
  for (let kind = 0; kind < HuskTable.COUNT; kind++) {
    const digest = kind === HUSK_TABLE_GENERATION_KIND ? undefined : tableDigests[kind];
    hash.update(digest ?? new Uint8Array(32));
  }
  return hash.digest();
}
