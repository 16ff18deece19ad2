// Sets of one generation: which bit each has, and the two tries that hold them all.

import {
  encodeHuskPrefix4,
  encodeHuskPrefix6,
  HUSK_PREFIXES_MAX,
  HUSK_SETS_MAX,
  HuskPrefix4,
  HuskPrefix6,
} from '../../bpf/abi/layout.gen.ts';
import { wordsToBytes } from './addresses.ts';
import { foldSets, prefixesOf, prefixWords } from './prefixes.ts';
import type { AddressRanges } from './ranges.ts';
import type { ResolvedSet } from './sets.ts';
import type { CompiledSet, Table } from './table-image.ts';
import { holdTo, mapTypes, noPrealloc } from './tables.ts';

const maskBytes = 8;

/** Gives each set a bit as rules ask for it. */
export class SetTable {
  readonly #what: string;
  readonly #bits = new Map<string, number>();
  readonly #ranges: AddressRanges[] = [];
  /** The rule that named each first. */
  readonly #rules: string[] = [];
  readonly #named = new Map<string, { readonly ranges: AddressRanges; readonly rules: Set<string> }>();

  /** `what`: for the refusal, as in `packet rules`. */
  constructor(what: string) {
    this.#what = what;
  }

  /** The mask of one bit for a set; the same for two conditions that name the same set. */
  maskOf(set: ResolvedSet, rule: string): bigint {
    if (set.name !== null) {
      const known = this.#named.get(set.name) ?? { ranges: set.ranges, rules: new Set<string>() };
      if (!set.not) known.rules.add(rule);
      this.#named.set(set.name, known);
    }
    let bit = this.#bits.get(set.key);
    if (bit === undefined) {
      bit = this.#ranges.length;
      this.#bits.set(set.key, bit);
      this.#ranges.push(set.ranges);
      this.#rules.push(rule);
    }
    return 1n << BigInt(bit);
  }

  /** What rules asked for by name. */
  named(): readonly CompiledSet[] {
    const count = (ranges: Uint32Array) => prefixesOf(ranges).length / prefixWords;
    return [...this.#named].map(([name, { ranges, rules }]) => ({
      name,
      rules: [...rules],
      prefixes4: count(ranges.ipv4),
      prefixes6: count(ranges.ipv6),
      number: null,
    }));
  }

  table4(kind: number): Table {
    return this.#table(kind, 'ipv4');
  }

  table6(kind: number): Table {
    return this.#table(kind, 'ipv6');
  }

  #table(kind: number, family: 'ipv4' | 'ipv6'): Table {
    const beyond = () => this.#rules[HUSK_SETS_MAX] ?? null;
    holdTo(HUSK_SETS_MAX, this.#ranges.length, `sets in ${this.#what}`, beyond);
    const { count, prefixes, masks } = foldSets(this.#ranges.map((ranges) => ranges[family]));
    holdTo(HUSK_PREFIXES_MAX, count, `${family} prefixes in sets of ${this.#what}`);
    const keySize = family === 'ipv4' ? HuskPrefix4.size : HuskPrefix6.size;
    const keys = new Uint8Array(count * keySize);
    const values = new Uint8Array(count * maskBytes);
    const keyView = new DataView(keys.buffer);
    const valueView = new DataView(values.buffer);
    keyOrder(prefixes, count).forEach((from, to) => {
      const addr = wordsToBytes(prefixes, from * prefixWords);
      const prefixlen = prefixes[from * prefixWords + 4] ?? 0;
      if (family === 'ipv4') {
        encodeHuskPrefix4(keyView, to * keySize, { prefixlen: prefixlen - 96, addr: addr.subarray(12) });
      } else {
        encodeHuskPrefix6(keyView, to * keySize, { prefixlen, addr });
      }
      valueView.setBigUint64(to * maskBytes, masks[from] ?? 0n, true);
    });
    return {
      kind,
      mapType: mapTypes.lpmTrie,
      mapFlags: noPrealloc,
      keySize,
      valueSize: maskBytes,
      // The kernel has no map of no entries.
      maxEntries: Math.max(count, 1),
      count,
      keys,
      values,
    };
  }
}

/**
 * Indexes in the order of the keys' bytes. The length comes first in a key, as a little-endian word of
 * which only the first byte is ever set, and the prefixes are in order of their addresses already.
 */
function keyOrder(prefixes: Uint32Array, count: number): Uint32Array {
  const lengthAt = (index: number) => prefixes[index * prefixWords + 4] ?? 0;
  const starts = new Uint32Array(130);
  for (let index = 0; index < count; index++) {
    const next = lengthAt(index) + 1;
    starts[next] = (starts[next] ?? 0) + 1;
  }
  for (let length = 1; length < starts.length; length++) {
    starts[length] = (starts[length] ?? 0) + (starts[length - 1] ?? 0);
  }
  const order = new Uint32Array(count);
  for (let index = 0; index < count; index++) {
    const length = lengthAt(index);
    order[starts[length] ?? 0] = index;
    starts[length] = (starts[length] ?? 0) + 1;
  }
  return order;
}
