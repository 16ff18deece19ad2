// Tables as plain bytes: entries sorted by their keys' bytes, and what they will take of the kernel.

import type { PolicyDocument } from '../contract/policy.ts';
import { RefusalError } from '../contract/refusal.ts';
import type { Path } from './faults.ts';
import type { Table } from './table-image.ts';

export const mapTypes = { hash: 1, array: 2, lpmTrie: 11 } as const;
/** BPF_F_NO_PREALLOC: memory by the entries there are. The kernel has tries only so. */
export const noPrealloc = 1;

/** One entry of a trie: 128 bytes were measured at a hundred thousand, 141 at a million. */
const bytesPerPrefix = 141;
/** Header and bucket of an entry of a hash, which takes its entries at once, used or not. */
const bytesPerHashEntry = 64;
/** A bucket of a hash that takes its entries one by one: there are as many as entries it may have. */
const bytesPerBucket = 16;
/** Every map has a head of its own, and its memory comes in pages. */
const bytesPerMap = 4096;

/** Where a limit is gone over: at a rule, by its full name, or at a place in a document. */
export type BeyondAt = string | { readonly document: PolicyDocument; readonly path: Path } | null;

export class OverLimitError extends RefusalError {
  readonly at: BeyondAt;

  constructor(detail: string, at: BeyondAt) {
    super('policy.over-limit', detail);
    this.at = at;
  }
}

/** Says which limit of this device's tables a policy goes over. `beyond`: the first that finds no room. */
export function holdTo(
  limit: number,
  count: number,
  what: string,
  beyond: () => BeyondAt = () => null,
): void {
  if (count <= limit) return;
  const at = beyond();
  const first = typeof at === 'string' ? `; the first without room is ${at}` : '';
  throw new OverLimitError(`${count} ${what}, at most ${limit}${first}`, at);
}

/** A table of one wide value. */
export function wideTable(kind: number, value: Uint8Array): Table {
  return {
    kind,
    mapType: mapTypes.array,
    mapFlags: 0,
    keySize: 4,
    valueSize: value.length,
    maxEntries: 1,
    count: 1,
    keys: new Uint8Array(4),
    values: value,
  };
}

/** BPF_F_INNER_MAP: arrays of a map of maps may differ in how many rows they have. */
const innerMap = 0x1000;

/** An array of as many rows as there are, `before` of them empty; never of none. */
export function rowsTable<T>(
  kind: number,
  valueSize: number,
  rows: readonly T[],
  encode: (view: DataView, at: number, row: T) => void,
  before = 0,
): Table {
  const count = Math.max(rows.length + before, 1);
  const values = new Uint8Array(count * valueSize);
  const view = new DataView(values.buffer);
  for (const [index, row] of rows.entries()) encode(view, (index + before) * valueSize, row);
  return arrayTable(kind, valueSize, values);
}

/** An array whose values are given. */
function arrayTable(kind: number, valueSize: number, values: Uint8Array): Table {
  const count = values.length / valueSize;
  const keys = new Uint8Array(count * 4);
  const view = new DataView(keys.buffer);
  for (let index = 0; index < count; index++) view.setUint32(index * 4, index, true);
  const shape = {
    mapType: mapTypes.array,
    mapFlags: innerMap,
    keySize: 4,
    valueSize,
    maxEntries: count,
    count,
  };
  return { kind, ...shape, keys, values };
}

export interface Row {
  readonly key: Uint8Array;
  readonly value: Uint8Array;
}

/** A small hash table. The rows have different keys. */
export function hashTable(
  kind: number,
  sizes: Pick<Table, 'keySize' | 'valueSize' | 'maxEntries'>,
  rows: readonly Row[],
  mapFlags = 0,
): Table {
  const sorted = rows.toSorted((a, b) => compareBytes(a.key, b.key));
  const keys = new Uint8Array(sorted.length * sizes.keySize);
  const values = new Uint8Array(sorted.length * sizes.valueSize);
  sorted.forEach(({ key, value }, index) => {
    keys.set(key, index * sizes.keySize);
    values.set(value, index * sizes.valueSize);
  });
  return { kind, mapType: mapTypes.hash, mapFlags, ...sizes, count: sorted.length, keys, values };
}

function compareBytes(a: Uint8Array, b: Uint8Array): number {
  const differs = a.findIndex((byte, index) => byte !== b[index]);
  return differs < 0 ? 0 : (a[differs] ?? 0) - (b[differs] ?? 0);
}

export function kernelBytesOf(table: Table): number {
  switch (table.mapType) {
    case mapTypes.lpmTrie:
      return bytesPerMap + table.count * bytesPerPrefix;
    case mapTypes.hash:
      if ((table.mapFlags & noPrealloc) !== 0) {
        const entries = table.count * (bytesPerHashEntry + table.keySize + table.valueSize);
        return bytesPerMap + entries + 2 ** Math.ceil(Math.log2(table.maxEntries)) * bytesPerBucket;
      }
      return bytesPerMap + table.maxEntries * (bytesPerHashEntry + table.keySize + table.valueSize);
    default:
      return bytesPerMap + Math.ceil((table.maxEntries * table.valueSize) / 4096) * 4096;
  }
}
