// Big sets as tables: one for each set and family that has addresses, and one trie a family for the entries that are
// kept one by one.

import {
  encodeHuskAddition,
  encodeHuskAddition4,
  encodeHuskAddition6,
  HUSK_ADDITIONS_MAX,
  HuskAddition,
  HuskAddition4,
  HuskAddition6,
  HuskTable,
} from '../../bpf/abi/layout.gen.ts';
import { maskWord, readRange, wordsToBytes } from './addresses.ts';
import { prefixesOf, prefixWords } from './prefixes.ts';
import { type Ranges, rangeCount } from './ranges.ts';
import { buildSet, setArray } from './set-tables/set-image.ts';
import type { BigSet } from './set-uses.ts';
import type { DeviceFacts, Table } from './table-image.ts';
import { hashTable, holdTo, mapTypes, noPrealloc, type Row } from './tables.ts';

export function setTables(sets: readonly BigSet[], facts: DeviceFacts): readonly Table[] {
  const tables = sets.flatMap(({ set, single }, number): readonly Table[] => {
    // Where every entry is counted, the trie holds all of them.
    if (single?.countEntries) return [];
    const { ipv4, ipv6 } = single?.base ?? set.ranges;
    return [
      ...tableOf(HuskTable.BIG4 + number, 4, ipv4, facts),
      ...tableOf(HuskTable.BIG6 + number, 6, ipv6, facts),
    ];
  });
  return [...tables, additionsTable(4, sets, facts), additionsTable(6, sets, facts)];
}

function tableOf(kind: number, family: 4 | 6, ranges: Ranges, { setImages }: DeviceFacts): readonly Table[] {
  if (rangeCount(ranges) === 0) return [];
  const build = () => buildSet(family, ranges);
  return [{ kind, ...setArray(setImages === undefined ? build() : setImages.get(family, ranges, build)) }];
}

/** Entries of a set that end together: second of boot time, 0 where they do not. */
interface SingleEntry {
  readonly set: number;
  readonly ranges: Ranges;
  readonly expiresS: number;
}

function additionsTable(family: 4 | 6, sets: readonly BigSet[], facts: DeviceFacts): Table {
  const entries = sets.flatMap(({ single }, number) => {
    if (single === null) return [];
    const counted = single.countEntries ? single.base : null;
    const listed = counted === null ? [] : [family === 4 ? counted.ipv4 : counted.ipv6];
    return [
      ...listed.map((ranges): SingleEntry => ({ set: number, ranges, expiresS: 0 })),
      ...single.additions.flatMap(({ address, until }): readonly SingleEntry[] => {
        const range = new Uint32Array(8);
        if (readRange(address, range) !== family) return [];
        const end = until === undefined ? null : facts.bootSeconds(until);
        // What has ended is left out; boot seconds begin at 1, so that 0 can say "never".
        if (end !== null && end <= 0) return [];
        return [{ set: number, ranges: range, expiresS: end ?? 0 }];
      }),
    ];
  });
  const rows = rowsOf(family, entries);
  holdTo(HUSK_ADDITIONS_MAX, rows.length, `IPv${family} entries of sets that are kept one by one`);
  const keySize = family === 4 ? HuskAddition4.size : HuskAddition6.size;
  const sizes = { keySize, valueSize: HuskAddition.size, maxEntries: Math.max(rows.length, 1) };
  const kind = family === 4 ? HuskTable.ADDITIONS4 : HuskTable.ADDITIONS6;
  const shape = { mapType: mapTypes.lpmTrie, mapFlags: noPrealloc };
  return { ...hashTable(kind, sizes, rows), ...shape };
}

/** One prefix of a set; `end`: second of boot time, infinite where it has none. */
interface SinglePrefix {
  readonly set: number;
  readonly words: Uint32Array;
  readonly length: number;
  end: number;
}

/**
 * A trie finds the longest prefix alone, and an address is in a set while any of its entries holds it: so each prefix
 * lasts as long as the longest-lived of those that it lies in, and of those written twice.
 */
function rowsOf(family: 4 | 6, entries: readonly SingleEntry[]): readonly Row[] {
  const prefixes = new Map<string, SinglePrefix>();
  const lengths = new Set<number>();
  for (const { set, ranges, expiresS } of entries) {
    const listed = prefixesOf(ranges);
    for (let at = 0; at < listed.length; at += prefixWords) {
      const words = listed.slice(at, at + 4);
      const length = listed[at + 4] ?? 0;
      const key = prefixKey(set, words, length);
      const end = expiresS === 0 ? Number.POSITIVE_INFINITY : expiresS;
      const known = prefixes.get(key);
      if (known === undefined) prefixes.set(key, { set, words, length, end });
      else known.end = Math.max(known.end, end);
      lengths.add(length);
    }
  }
  for (const prefix of prefixes.values()) {
    if (prefix.end === Number.POSITIVE_INFINITY) continue;
    for (const length of lengths) {
      if (length >= prefix.length) continue;
      const masked = prefix.words.map((word, index) => word & maskWord(length, index));
      prefix.end = Math.max(prefix.end, prefixes.get(prefixKey(prefix.set, masked, length))?.end ?? 0);
    }
  }
  return [...prefixes.values()].map((prefix) => rowOf(family, prefix));
}

const prefixKey = (set: number, words: Uint32Array, length: number) => `${set} ${length} ${words.join(' ')}`;

function rowOf(family: 4 | 6, { set, words, length, end }: SinglePrefix): Row {
  const addr = wordsToBytes(words, 0);
  const value = new Uint8Array(HuskAddition.size);
  const expiresS = end === Number.POSITIVE_INFINITY ? 0 : end;
  encodeHuskAddition(new DataView(value.buffer), 0, { hits: 0n, expiresS });
  const key = new Uint8Array(family === 4 ? HuskAddition4.size : HuskAddition6.size);
  const view = new DataView(key.buffer);
  // The set's number is in network order, as everything behind the length of a trie's key.
  const swapped = new DataView(Uint32Array.of(set).buffer).getUint32(0, false);
  if (family === 4) {
    encodeHuskAddition4(view, 0, { prefixlen: 32 + length - 96, set: swapped, addr: addr.subarray(12) });
  } else {
    encodeHuskAddition6(view, 0, { prefixlen: 32 + length, set: swapped, addr });
  }
  return { key, value };
}
