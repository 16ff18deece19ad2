// Entries to the table that bpf/include/classify.h reads.
//
//   fields of the entries -> classes of each -> an order of the entries -> vectors -> lines -> one table
//
// The same entries give the same bytes. Sizes are tried from the smallest up; what fits none is refused.

import {
  HUSK_CLASSIFIER_DEPTH6,
  HUSK_CLASSIFIER_LARGE_BYTES,
  HUSK_CLASSIFIER_LARGE_ENTRIES,
  HUSK_CLASSIFIER_MEDIUM_BYTES,
  HUSK_CLASSIFIER_MEDIUM_ENTRIES,
  HUSK_CLASSIFIER_SMALL_BYTES,
  HUSK_CLASSIFIER_SMALL_ENTRIES,
} from '../../../bpf/abi/layout.gen.ts';
import { addressField } from './address-classes.ts';
import { AddressTrees } from './address-trees.ts';
import { type Bits, bitsOf, setBit } from './bits.ts';
import { plainFields } from './cross-classes.ts';
import { type ClassifierEntry, ClassifierLimitError } from './entry.ts';
import { EntryVectors, type Field } from './field.ts';
import { type TableParts, unitsMax, usedBytes, usedUnits, writeTable } from './layout.ts';
import { LinePacker } from './line-packer.ts';
import { type Order, orderOf } from './order.ts';

export type ClassifierSize = 'small' | 'medium' | 'large';

export interface ClassifierImage {
  readonly size: ClassifierSize;
  /** The one value of the table, all of it: its length is the size's. */
  readonly bytes: Uint8Array;
  readonly statistics: ClassifierStatistics;
}

export interface ClassifierStatistics {
  readonly entries: number;
  /** Of the table's bytes, those that hold something. */
  readonly bytesUsed: number;
  readonly classes: {
    readonly source: number;
    readonly destination: number;
    readonly ports: number;
    readonly small: number;
  };
  readonly pages: number;
  readonly nodes: number;
  readonly vectorLines: number;
  /** No packet has more words compared than this. What traffic needs is far less: see test/bench/classifier.ts. */
  readonly wordsMax: number;
}

export interface ClassifierBounds {
  /** The largest table that may be made, bytes; HUSK_CLASSIFIER_LARGE_BYTES where it is not said. */
  readonly bytesMax?: number;
}

const sizes: readonly { readonly name: ClassifierSize; readonly bytes: number; readonly entries: number }[] =
  [
    { name: 'small', bytes: HUSK_CLASSIFIER_SMALL_BYTES, entries: HUSK_CLASSIFIER_SMALL_ENTRIES },
    { name: 'medium', bytes: HUSK_CLASSIFIER_MEDIUM_BYTES, entries: HUSK_CLASSIFIER_MEDIUM_ENTRIES },
    { name: 'large', bytes: HUSK_CLASSIFIER_LARGE_BYTES, entries: HUSK_CLASSIFIER_LARGE_ENTRIES },
  ];

/** Makes the table. Throws ClassifierLimitError where the entries fit none that `bounds` allows. */
export function buildClassifier(
  entries: readonly ClassifierEntry[],
  { bytesMax = HUSK_CLASSIFIER_LARGE_BYTES }: ClassifierBounds = {},
): ClassifierImage {
  if (entries.length > HUSK_CLASSIFIER_LARGE_ENTRIES) {
    throw new ClassifierLimitError('entries', entries.length, HUSK_CLASSIFIER_LARGE_ENTRIES);
  }
  const fields = {
    source4: addressField(
      'ipv4',
      entries.map((entry) => entry.ipv4?.from ?? null),
    ),
    destination4: addressField(
      'ipv4',
      entries.map((entry) => entry.ipv4?.to ?? null),
    ),
    source6: addressField(
      'ipv6',
      entries.map((entry) => entry.ipv6?.from ?? null),
    ),
    destination6: addressField(
      'ipv6',
      entries.map((entry) => entry.ipv6?.to ?? null),
    ),
    ...plainFields(entries),
  };
  const order = orderOf(entries, fields);
  const classes = new ClassList(order);
  const others = bitsOf(order.entryAt.length);
  entries.forEach((entry, index) => {
    if (entry.other) setBit(others, order.position[index] as number);
  });
  const bases = {
    source4: classes.addField(fields.source4),
    source6: classes.addField(fields.source6),
    sourceOther: classes.add(others),
    destination4: classes.addField(fields.destination4),
    destination6: classes.addField(fields.destination6),
    destinationOther: classes.add(others),
    ports: classes.addField(fields.ports),
    small: classes.addField(fields.small),
  };
  const trees = new AddressTrees();
  const parts: TableParts = {
    entries: entries.length,
    roots: {
      source4: trees.rootOf(fields.source4, bases.source4),
      destination4: trees.rootOf(fields.destination4, bases.destination4),
      source6: trees.rootOf(fields.source6, bases.source6),
      destination6: trees.rootOf(fields.destination6, bases.destination6),
    },
    trees,
    ...{ bases, ports: fields.ports, small: fields.small },
    classes: classes.finish(),
    order,
    rows: Uint32Array.from(entries, (entry) => entry.row),
  };
  // IPv4 cannot be deeper: a page's slot has 2^15 addresses.
  const depth = trees.depth.upper + trees.depth.lower;
  if (depth > HUSK_CLASSIFIER_DEPTH6)
    throw new ClassifierLimitError('address depth', depth, HUSK_CLASSIFIER_DEPTH6);
  const size = sizes.find(
    (one) =>
      one.bytes <= bytesMax &&
      entries.length <= one.entries &&
      usedUnits(parts) <= unitsMax &&
      usedBytes(parts, one.name) <= one.bytes,
  );
  if (size === undefined) throw new ClassifierLimitError('memory', usedBytes(parts, 'large'), bytesMax);
  return {
    size: size.name,
    bytes: writeTable(parts, size.name, size.bytes),
    statistics: {
      entries: entries.length,
      bytesUsed: usedBytes(parts, size.name),
      classes: {
        source: bases.destination4 - bases.source4,
        destination: bases.ports - bases.destination4,
        ports: bases.small - bases.ports,
        small: fields.small.classes.length,
      },
      pages: trees.pages.length,
      nodes: trees.nodes.length,
      vectorLines: size.name === 'small' ? 0 : parts.classes.lines,
      wordsMax: classes.wordsMax([bases.source4, bases.destination4, bases.ports, bases.small]),
    },
  };
}

/** Classes as they will lie in the table: which words have bits, and where these are. */
export interface ClassVectors {
  readonly count: number;
  /** Six words of 32 bits a class: `any` of husk_class. */
  readonly any: Uint32Array;
  /** Two words a class: the first 64 bits of the vector itself. */
  readonly first: Uint32Array;
  /** By class: the index of the line of each group, -1 where the group has no bit; or the one line of all groups. */
  readonly lineOf: readonly (number | Int32Array)[];
  readonly lineWords: Uint32Array;
  readonly lines: number;
}

/** Gathers the classes of all fields, one after another, with their vectors over positions. */
class ClassList {
  readonly #order: Order;
  readonly #groups: number;
  readonly #packer = new LinePacker();
  readonly #any: number[] = [];
  readonly #first: number[] = [];
  readonly #needs: (number | number[])[] = [];
  readonly #together = new Uint32Array(16);
  readonly #words: number[] = [];
  readonly #scratch: Bits;

  constructor(order: Order) {
    this.#order = order;
    this.#groups = Math.max(1, Math.ceil(order.entryAt.length / 512));
    this.#scratch = new Uint32Array(this.#groups * 16);
  }

  /** Gives the number of the field's first class. */
  addField(field: Field): number {
    const vectors = new EntryVectors(field, this.#order.entryAt.length, this.#order.position);
    const base = this.#words.length;
    for (const specs of field.classes) {
      this.#scratch.fill(0);
      vectors.addTo(this.#scratch, specs);
      this.#add();
    }
    return base;
  }

  /** One class that is made of no specs. */
  add(vector: Bits): number {
    this.#scratch.fill(0);
    this.#scratch.set(vector);
    return this.#add();
  }

  #add(): number {
    const vector = this.#scratch;
    const any = [0, 0, 0, 0, 0, 0];
    const words: number[] = [];
    for (let word = 0; word * 2 < vector.length; word++) {
      if (((vector[word * 2] as number) | (vector[word * 2 + 1] as number)) === 0) continue;
      any[word >> 5] = (any[word >> 5] as number) | (1 << (word & 31));
      words.push(word);
    }
    this.#any.push(...any);
    this.#first.push(vector[0] as number, vector[1] as number);
    this.#needs.push(
      this.#fitOneLine(words)
        ? this.#packer.need(this.#together, 0)
        : Array.from({ length: this.#groups }, (_, group) => this.#packer.need(vector, group * 16)),
    );
    return this.#words.push(words.length) - 1;
  }

  /** Lays the words on one line, if none is in another's place. */
  #fitOneLine(words: readonly number[]): boolean {
    if (words.length > 8) return false;
    const line = this.#together.fill(0);
    let filled = 0;
    for (const word of words) {
      const place = word & 7;
      if ((filled & (1 << place)) !== 0) return false;
      filled |= 1 << place;
      line[place * 2] = this.#scratch[word * 2] as number;
      line[place * 2 + 1] = this.#scratch[word * 2 + 1] as number;
    }
    return true;
  }

  finish(): ClassVectors {
    const { words, lines, lineOf } = this.#packer.pack();
    const of = (need: number): number => (need < 0 ? -1 : (lineOf[need] as number));
    return {
      count: this.#words.length,
      any: Uint32Array.from(this.#any),
      first: Uint32Array.from(this.#first),
      lineOf: this.#needs.map((need) => (typeof need === 'number' ? of(need) : Int32Array.from(need, of))),
      lineWords: words,
      lines,
    };
  }

  /** The least, over the fields that begin at `bases`, of the most words that one of its classes has. */
  wordsMax(bases: readonly number[]): number {
    const most = bases.map((base, index) => {
      const end = bases[index + 1] ?? this.#words.length;
      return this.#words.slice(base, end).reduce((max, words) => Math.max(max, words), 0);
    });
    return Math.min(...most);
  }
}
