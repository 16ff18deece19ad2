// The classifier's walk over the bytes of a table, step by step as bpf/include/classify.h takes it: to test
// tables without a kernel, and to count what a packet costs.

import {
  HUSK_CLASSIFIER_KEYS4,
  HUSK_CLASSIFIER_KEYS6,
  HUSK_CLASSIFIER_LARGE_WORDS,
  HUSK_CLASSIFIER_LINE,
  HUSK_CLASSIFIER_NO_PROTOCOL,
  HUSK_CLASSIFIER_SMALL_BYTES,
  HUSK_CLASSIFIER_UNIT,
  HuskClass,
  HuskClassifier,
  HuskNode4,
  HuskNode6,
} from '../../../bpf/abi/layout.gen.ts';
import type { ClassifierKey } from './entry.ts';

export interface Walked {
  /** The number in the list of the entry that was found; -1 where none matches. */
  readonly entry: number;
  /** What was given with that entry. */
  readonly row: number;
  /** Words of which four were compared. */
  readonly words: number;
  /** Nodes of address trees that were looked into. */
  readonly nodes: number;
}

const { offset } = HuskClassifier;

export class ClassifierWalker {
  readonly #view: DataView;
  #nodes = 0;

  constructor(table: Uint8Array) {
    this.#view = new DataView(table.buffer, table.byteOffset, table.byteLength);
  }

  /** The first match at or behind entry `from`. */
  first(key: ClassifierKey, from = 0): Walked {
    this.#nodes = 0;
    const classes = [...this.#addresses(key), this.#ports(key), this.#small(key)];
    return this.#view.byteLength === HUSK_CLASSIFIER_SMALL_BYTES
      ? this.#firstOfWord(classes, from)
      : this.#firstOfSections(classes, from);
  }

  /** Sections are left at their first match that is not before `from`; of these the least is the first. */
  #firstOfSections(classes: readonly number[], from: number): Walked {
    let words = 0;
    let best = Number.POSITIVE_INFINITY;
    const done = new Set<number>();
    for (let word = 0; word < HUSK_CLASSIFIER_LARGE_WORDS; word++) {
      const section = this.#u8(offset.section + word);
      const isThere = classes.every((one) => this.#hasWord(one, word));
      if (!isThere || done.has(section)) continue;
      words++;
      const lines = classes.map((one) =>
        this.#u16(
          one * HUSK_CLASSIFIER_UNIT + HuskClass.offset.group + ((word >> 3) & this.#groups(one)) * 2,
        ),
      );
      let bits = this.#and(lines.map((line) => line * HUSK_CLASSIFIER_LINE + (word & 7) * 8));
      for (; bits !== 0n && !done.has(section); bits &= bits - 1n) {
        const entry = this.#element(offset.order, word * 64 + lowestBit(bits));
        if (entry < from) continue;
        done.add(section);
        best = Math.min(best, entry);
      }
    }
    if (best === Number.POSITIVE_INFINITY) return { entry: -1, row: 0, words, nodes: this.#nodes };
    return this.#found(best, words);
  }

  /** Which bits of a group's number count. */
  #groups(one: number): number {
    return this.#u8(one * HUSK_CLASSIFIER_UNIT + HuskClass.offset.any + 23) >> 3;
  }

  #hasWord(one: number, word: number): boolean {
    const byte = this.#u8(one * HUSK_CLASSIFIER_UNIT + HuskClass.offset.any + (word >> 3));
    return ((byte >> (word & 7)) & 1) === 1;
  }

  #firstOfWord(classes: readonly number[], from: number): Walked {
    const all = this.#and(classes.map((one) => one * HUSK_CLASSIFIER_UNIT + HuskClass.offset.any));
    const bits = from > 63 ? 0n : all & (-1n << BigInt(from));
    return bits === 0n
      ? { entry: -1, row: 0, words: 1, nodes: this.#nodes }
      : this.#found(lowestBit(bits), 1);
  }

  #found(entry: number, words: number): Walked {
    const row = this.#u32(this.#u32(offset.rows) * HUSK_CLASSIFIER_LINE + entry * 4);
    return { entry, row, words, nodes: this.#nodes };
  }

  #addresses({ family, saddr, daddr }: ClassifierKey): readonly number[] {
    if (family === 'other') return [this.#u32(offset.sourceOther), this.#u32(offset.destinationOther)];
    return family === 'ipv4'
      ? [this.#class4(offset.source4, saddr[3] ?? 0), this.#class4(offset.destination4, daddr[3] ?? 0)]
      : [this.#class6(offset.source6, saddr), this.#class6(offset.destination6, daddr)];
  }

  #class4(root: number, address: number): number {
    const page = this.#u16(root + (address >>> 23) * 2);
    let reference = this.#u16(page * HUSK_CLASSIFIER_LINE + ((address >>> 15) & 255) * 2);
    while (reference < this.#u32(offset.firstClass)) {
      const node = reference * HUSK_CLASSIFIER_UNIT;
      let rank = 0;
      while (rank < HUSK_CLASSIFIER_KEYS4 && this.#u16(node + rank * 2) <= (address & 0x7fff)) rank++;
      reference = this.#u16(node + HuskNode4.offset.child + rank * 2);
      this.#nodes++;
    }
    return reference;
  }

  #class6(root: number, words: Uint32Array): number {
    const first = words[0] ?? 0;
    const upper = (BigInt(first) << 32n) | BigInt(words[1] ?? 0);
    const lower = (BigInt(words[2] ?? 0) << 32n) | BigInt(words[3] ?? 0);
    const page = this.#u16(root + (first >>> 20) * 2);
    const next = this.#u16(page * HUSK_CLASSIFIER_LINE + ((first >>> 12) & 255) * 2);
    let reference = this.#u16(next * HUSK_CLASSIFIER_LINE + ((first >>> 4) & 255) * 2);
    while (reference < this.#u32(offset.firstClass)) {
      const half = reference < this.#u32(offset.firstLowerNode) ? upper : lower;
      const node = reference * HUSK_CLASSIFIER_UNIT;
      let rank = 0;
      while (rank < HUSK_CLASSIFIER_KEYS6 && this.#view.getBigUint64(node + rank * 8, true) <= half) rank++;
      reference = this.#u16(node + HuskNode6.offset.child + rank * 2);
      this.#nodes++;
    }
    return reference;
  }

  #leaf(root: number, port: number): number {
    return this.#u16(this.#u16(root + (port >>> 6) * 2) * HUSK_CLASSIFIER_LINE + (port & 63) * 2);
  }

  #ports({ family, ipProto, hasPorts, sport, dport }: ClassifierKey): number {
    const at =
      this.#leaf(offset.sport, sport) * this.#u32(offset.pairsStride) + this.#leaf(offset.dport, dport);
    const pair = this.#element(offset.pairs, family !== 'other' && hasPorts ? 1 + at : 0);
    const protocol = this.#u16(
      offset.protocol + (family === 'other' ? HUSK_CLASSIFIER_NO_PROTOCOL : ipProto) * 2,
    );
    return this.#element(offset.ports, pair * this.#u32(offset.portsStride) + protocol);
  }

  #small({ family, hasPorts, sport, zone, state, device, fragment, sets }: ClassifierKey): number {
    const small = this.#u16(offset.small + (zone | (state << 4) | (device << 7) | (fragment << 8)) * 2);
    const cell = small * this.#u32(offset.smallsStride) + this.#u16(offset.set + sets * 2);
    const ports = family !== 'other' && hasPorts ? 1 + this.#leaf(offset.sport, sport) : 0;
    return this.#element(
      offset.smalls,
      cell * this.#u32(offset.sportsStride) + ports * this.#u32(offset.sportsStep),
    );
  }

  /** Of the array of u16 whose line stands at `line` of the header. */
  #element(line: number, index: number): number {
    return this.#u16(this.#u32(line) * HUSK_CLASSIFIER_LINE + index * 2);
  }

  #and(places: readonly number[]): bigint {
    return places.reduce((bits, at) => bits & this.#view.getBigUint64(at, true), 0xffffffffffffffffn);
  }
  #u8 = (at: number) => this.#view.getUint8(at);
  #u16 = (at: number) => this.#view.getUint16(at, true);
  #u32 = (at: number) => this.#view.getUint32(at, true);
}

function lowestBit(bits: bigint): number {
  const low = Number(bits & 0xffffffffn);
  if (low !== 0) return 31 - Math.clz32(low & -low);
  const high = Number(bits >> 32n);
  return 63 - Math.clz32(high & -high);
}
