// Entries of sets that are kept one by one, as the kernel has them: what each has counted, and when it ends.

import {
  decodeHuskAddition,
  decodeHuskAddition4,
  decodeHuskAddition6,
  HuskAddition,
  HuskAddition4,
  HuskAddition6,
} from '../../bpf/abi/layout.gen.ts';
import { formatBytes } from '../policy/addresses.ts';

export interface SetEntry {
  /** Number of the set in the generation. */
  readonly set: number;
  /** As in `192.0.2.0/24`. */
  readonly prefix: string;
  /** Packets that were looked up in it; since its generation was loaded. */
  readonly hits: bigint;
  /** Second of boot time at which it ends; null: it does not. */
  readonly endS: number | null;
}

/** Of one table, `ADDITIONS4` or `ADDITIONS6`, as `readAll` gives it. */
export function readSetEntries(
  family: 4 | 6,
  table: { readonly keys: Uint8Array; readonly values: Uint8Array; readonly count: number },
): SetEntry[] {
  const keys = viewOf(table.keys);
  const values = viewOf(table.values);
  const size = family === 4 ? HuskAddition4.size : HuskAddition6.size;
  const decode = family === 4 ? decodeHuskAddition4 : decodeHuskAddition6;
  return Array.from({ length: table.count }, (_, index) => {
    const { prefixlen, set, addr } = decode(keys, index * size);
    const { hits, expiresS } = decodeHuskAddition(values, index * HuskAddition.size);
    return {
      // In network order, as everything behind the length of a trie's key.
      set: new DataView(Uint32Array.of(set).buffer).getUint32(0, false),
      prefix: `${formatBytes(addr)}/${prefixlen - 32}`,
      hits,
      endS: expiresS === 0 ? null : expiresS,
    };
  });
}

const viewOf = (bytes: Uint8Array) => new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
