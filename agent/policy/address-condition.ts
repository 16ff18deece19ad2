// How the condition on an address stands in a compiled rule: in the rule itself, or as bits of sets.

import { maskWord, prefixLength, rangeWords, wordsToBytes } from './addresses.ts';
import type { SetTable } from './set-table.ts';
import type { ResolvedSet } from './sets.ts';

export interface AddressCondition {
  readonly sets: bigint;
  readonly address: Uint8Array;
  readonly mask: Uint8Array;
  readonly not: boolean;
}

/**
 * One prefix without a name stands in the rule itself; everything else is a set. So is a negated prefix,
 * because the rule's own comparison goes by the 16 bytes: there, an IPv6 packet with a mapped address
 * would be inside an IPv4 prefix, and `::/0` could not be told from "not asked".
 */
export function addressCondition(set: ResolvedSet | null, table: SetTable, rule: string): AddressCondition {
  const all = { sets: 0n, address: new Uint8Array(16), mask: new Uint8Array(16), not: false };
  if (set === null) return all;
  const { ipv4, ipv6 } = set.ranges;
  const only = ipv4.length + ipv6.length === rangeWords ? (ipv4.length > 0 ? ipv4 : ipv6) : null;
  const length = only === null ? -1 : prefixLength(only, 0);
  if (only === null || length < 0 || set.not || set.name !== null) {
    return { ...all, sets: table.maskOf(set, rule), not: set.not };
  }
  const mask = new Uint8Array(16);
  const view = new DataView(mask.buffer);
  for (let word = 0; word < 4; word++) view.setUint32(word * 4, maskWord(length, word));
  return { ...all, address: wordsToBytes(only, 0), mask };
}
