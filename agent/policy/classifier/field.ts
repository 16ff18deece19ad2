// A field of the classifier: what the entries ask of it, and its classes.
//
// Many entries ask the same of a field. Each different demand is a *spec*; classes are sets of specs, which
// are far fewer than entries, and become vectors over entries only when they are written.

import { type Bits, bitsOf, indexesOf, orInto, setBit } from './bits.ts';

export interface Field {
  readonly specs: number;
  /** By entry: its spec; -1 where no value of the field matches. */
  readonly specOf: Int32Array;
  /** By class: the specs that hold in it, ascending. */
  readonly classes: readonly Int32Array[];
}

/** Numbers what the entries ask, by a text that is the same for the same demand. */
export function specsOf<T>(
  demands: readonly (T | null)[],
  textOf: (demand: T) => string,
): { readonly specs: readonly T[]; readonly specOf: Int32Array } {
  const numbers = new Map<string, number>();
  const specs: T[] = [];
  const specOf = new Int32Array(demands.length).fill(-1);
  demands.forEach((demand, entry) => {
    if (demand === null) return;
    const text = textOf(demand);
    let spec = numbers.get(text);
    if (spec === undefined) {
      spec = specs.length;
      numbers.set(text, spec);
      specs.push(demand);
    }
    specOf[entry] = spec;
  });
  return { specs, specOf };
}

/** By spec: its entries, in `position` order of the caller. */
function entriesBySpec({ specs, specOf }: Field, position?: Uint32Array): readonly Int32Array[] {
  const counts = new Uint32Array(specs);
  for (const spec of specOf) if (spec >= 0) counts[spec] = (counts[spec] as number) + 1;
  const lists = Array.from(counts, (count) => new Int32Array(count));
  counts.fill(0);
  specOf.forEach((spec, entry) => {
    if (spec < 0) return;
    const at = counts[spec] as number;
    (lists[spec] as Int32Array)[at] = position === undefined ? entry : (position[entry] as number);
    counts[spec] = at + 1;
  });
  return lists;
}

/** Vectors over entries of unions of specs. A spec of many entries is kept as a vector. */
export class EntryVectors {
  readonly #lists: readonly Int32Array[];
  readonly #vectors: (Bits | null)[];
  readonly #count: number;

  constructor(field: Field, count: number, position?: Uint32Array) {
    this.#count = count;
    this.#lists = entriesBySpec(field, position);
    this.#vectors = this.#lists.map((list) => {
      if (list.length <= count / 64) return null;
      const bits = bitsOf(count);
      for (const entry of list) setBit(bits, entry);
      return bits;
    });
  }

  /** Adds the entries of the specs to `target`. */
  addTo(target: Bits, specs: Iterable<number>): void {
    for (const spec of specs) {
      const vector = this.#vectors[spec];
      if (vector) orInto(target, vector);
      else for (const entry of this.#lists[spec] as Int32Array) setBit(target, entry);
    }
  }

  unionOf(specs: Iterable<number>): Bits {
    const bits = bitsOf(this.#count);
    this.addTo(bits, specs);
    return bits;
  }
}

/** Sets up to this size are paired off one by one; larger ones are joined as vectors. */
const pairsMax = 24;

/** By spec: the specs it has a class in common with, itself included. */
function overlapsOf({ specs, classes }: Field): readonly Bits[] {
  const overlaps = Array.from({ length: specs }, () => bitsOf(specs));
  for (const set of classes) {
    if (set.length <= pairsMax) {
      for (const one of set) for (const other of set) setBit(overlaps[one] as Bits, other);
    } else {
      const bits = bitsOf(specs);
      for (const one of set) setBit(bits, one);
      for (const one of set) orInto(overlaps[one] as Bits, bits);
    }
  }
  return overlaps;
}

/** By spec: the entries that overlap it in this field. */
export function entryOverlapsOf(field: Field, count: number): readonly Bits[] {
  const vectors = new EntryVectors(field, count);
  return overlapsOf(field).map((specs) => vectors.unionOf(indexesOf(specs)));
}
