// In which order entries take their bits.
//
// Two entries that no packet matches both may change places; those that overlap may not, or the first match would
// be another. Of the orders that keep this (linear extensions of the graph of overlaps) we want one where entries
// that ask for similar addresses share words: then few words have bits of source, destination and ports at once.
//
// Rules for any source and rules for any destination overlap nearly all, and lists mix them; in one order every
// word would have both, and every packet every word. So there are four sections, by whether source and
// destination are asked for, each in an order of its own. The kernel takes the least of their first matches.

import { HUSK_CLASSIFIER_SECTIONS } from '../../../bpf/abi/layout.gen.ts';
import { compareWords } from '../addresses.ts';
import type { Ranges } from '../ranges.ts';
import type { AddressField } from './address-classes.ts';
import { type Bits, bitsOf, setBit } from './bits.ts';
import type { ClassifierEntry } from './entry.ts';
import { entryOverlapsOf, type Field } from './field.ts';

export interface OverlapFields {
  readonly source4: AddressField;
  readonly destination4: AddressField;
  readonly source6: AddressField;
  readonly destination6: AddressField;
  readonly ports: Field;
  readonly small: Field;
}

export interface Order {
  /** By entry. */
  readonly position: Uint32Array;
  /** By position: the entry, or -1 where a section's last word is not full. */
  readonly entryAt: Int32Array;
  /** By word of 64 positions. */
  readonly sectionOf: Uint8Array;
}

/** What fits one word stays as it is. */
export function orderOf(entries: readonly ClassifierEntry[], fields: OverlapFields): Order {
  const count = entries.length;
  if (count <= wordBits) {
    const same = Uint32Array.from(entries, (_, entry) => entry);
    return { position: same, entryAt: Int32Array.from(same), sectionOf: new Uint8Array(1) };
  }
  const sectionOf = Uint8Array.from(entries, sectionOfEntry);
  const sorted = sortOf(entries, sectionOf, fields);
  const position = new Uint32Array(count);
  const entryAt: number[] = [];
  const sectionOfWord: number[] = [];
  for (const entry of sorted) {
    const section = sectionOf[entry] as number;
    if (section !== sectionOfWord.at(-1)) while (entryAt.length % wordBits !== 0) entryAt.push(-1);
    if (entryAt.length % wordBits === 0) sectionOfWord.push(section);
    position[entry] = entryAt.push(entry) - 1;
  }
  return { position, entryAt: Int32Array.from(entryAt), sectionOf: Uint8Array.from(sectionOfWord) };
}

const wordBits = 64;

/** All entries, section after section, each in an order that keeps overlapping entries as they are. */
function sortOf(
  entries: readonly ClassifierEntry[],
  sectionOf: Uint8Array,
  fields: OverlapFields,
): Uint32Array {
  const count = entries.length;
  const rowOf = overlapRows(entries, sectionOf, fields);
  const rank = rankOf(entries, sectionOf);
  const earlier = new Uint32Array(count); // overlapping entries before it that have no position yet
  for (let entry = 0; entry < count; entry++) {
    eachLater(rowOf(entry), entry, (later) => {
      earlier[later] = (earlier[later] as number) + 1;
    });
  }
  const ready = new Heap(rank);
  for (let entry = 0; entry < count; entry++) if (earlier[entry] === 0) ready.push(entry);
  // Sections do not hold each other up, so that the least rank is of the first one that is not through.
  return Uint32Array.from({ length: count }, () => {
    const entry = ready.pop();
    eachLater(rowOf(entry), entry, (later) => {
      const left = (earlier[later] as number) - 1;
      earlier[later] = left;
      if (left === 0) ready.push(later);
    });
    return entry;
  });
}

/** Gives the entries of the same section that overlap one, as bits that are good until the next call. */
function overlapRows(
  entries: readonly ClassifierEntry[],
  sectionOf: Uint8Array,
  fields: OverlapFields,
): (entry: number) => Bits {
  const count = entries.length;
  const overlaps = (field: Field) => {
    const bySpec = entryOverlapsOf(field, count);
    const nothing = bitsOf(count);
    return (entry: number): Bits => bySpec[field.specOf[entry] as number] ?? nothing;
  };
  const source4 = overlaps(fields.source4);
  const destination4 = overlaps(fields.destination4);
  const source6 = overlaps(fields.source6);
  const destination6 = overlaps(fields.destination6);
  const ports = overlaps(fields.ports);
  const small = overlaps(fields.small);
  const others = bitsOf(count);
  entries.forEach((entry, index) => {
    if (entry.other) setBit(others, index);
  });
  const sections = Array.from({ length: HUSK_CLASSIFIER_SECTIONS }, () => bitsOf(count));
  sectionOf.forEach((section, entry) => {
    setBit(sections[section] as Bits, entry);
  });
  const nothing = bitsOf(count);
  const row = bitsOf(count);
  return (entry) => {
    const a = source4(entry);
    const b = destination4(entry);
    const c = source6(entry);
    const d = destination6(entry);
    const e = entries[entry]?.other ? others : nothing;
    const f = ports(entry);
    const g = small(entry);
    const h = sections[sectionOf[entry] as number] as Bits;
    for (let word = entry >> 5; word < row.length; word++) {
      row[word] =
        (((a[word] as number) & (b[word] as number)) |
          ((c[word] as number) & (d[word] as number)) |
          (e[word] as number)) &
        (f[word] as number) &
        (g[word] as number) &
        (h[word] as number);
    }
    return row;
  };
}

function eachLater(row: Bits, entry: number, visit: (later: number) => void): void {
  const first = (entry + 1) >> 5;
  for (let word = first; word < row.length; word++) {
    let bits = row[word] as number;
    if (word === first) bits &= -1 << ((entry + 1) & 31);
    for (; bits !== 0; bits &= bits - 1) visit(word * 32 + 31 - Math.clz32(bits & -bits));
  }
}

/** By entry: its place if nothing overlapped. */
function rankOf(entries: readonly ClassifierEntry[], sectionOf: Uint8Array): Uint32Array {
  const keys = entries.map((entry, index) => {
    const pair = entry.ipv4 ?? entry.ipv6;
    return {
      section: sectionOf[index] as number,
      family: entry.ipv4 !== null ? 4 : entry.ipv6 !== null ? 6 : 0,
      to: pair?.to.length ? pair.to : nowhere,
      from: pair?.from.length ? pair.from : nowhere,
      port: entry.ports?.to[0]?.first ?? -1,
    };
  });
  const order = Uint32Array.from(entries, (_, index) => index);
  type Key = (typeof keys)[number];
  order.sort((i, j) => {
    const a = keys[i] as Key;
    const b = keys[j] as Key;
    return (
      a.section - b.section ||
      a.family - b.family ||
      compareWords(a.from, 0, b.from, 0) ||
      compareWords(a.to, 0, b.to, 0) ||
      a.port - b.port ||
      i - j
    );
  });
  const rank = new Uint32Array(entries.length);
  order.forEach((entry, place) => {
    rank[entry] = place;
  });
  return rank;
}

const nowhere = new Uint32Array(8);

/** 0: both addresses are asked for; 1: the destination; 2: the source; 3: neither. */
function sectionOfEntry(entry: ClassifierEntry): number {
  const pair = entry.ipv4 ?? entry.ipv6;
  return (isWide(pair?.to) ? 2 : 0) + (isWide(pair?.from) ? 1 : 0);
}

/** Whether a set asks for next to nothing: it begins and ends further apart than a /6 (IPv6: a /16). */
function isWide(ranges: Ranges | undefined): boolean {
  if (ranges === undefined || ranges.length === 0) return true;
  const last = ranges.length - 4;
  const isIpv4 = ranges[0] === 0 && ranges[1] === 0 && ranges[2] === 0xffff && ranges[last] === 0;
  const word = isIpv4 ? 3 : 0;
  const span = (ranges[last + word] as number) - (ranges[word] as number);
  return span >= (isIpv4 ? 1 << 26 : 1 << 16);
}

/** A heap of entries, least rank first. */
class Heap {
  readonly #rank: Uint32Array;
  readonly #items: number[] = [];

  constructor(rank: Uint32Array) {
    this.#rank = rank;
  }

  push(entry: number): void {
    const items = this.#items;
    let at = items.length;
    items.push(entry);
    while (at > 0) {
      const above = (at - 1) >> 1;
      if (!this.#isBelow(entry, items[above] as number)) break;
      items[at] = items[above] as number;
      at = above;
    }
    items[at] = entry;
  }

  pop(): number {
    const items = this.#items;
    const top = items[0] as number;
    const entry = items.pop() as number;
    if (items.length === 0) return top;
    let at = 0;
    for (;;) {
      let below = at * 2 + 1;
      if (below >= items.length) break;
      if (below + 1 < items.length && this.#isBelow(items[below + 1] as number, items[below] as number))
        below++;
      if (!this.#isBelow(items[below] as number, entry)) break;
      items[at] = items[below] as number;
      at = below;
    }
    items[at] = entry;
    return top;
  }

  #isBelow(one: number, other: number): boolean {
    return (this.#rank[one] as number) < (this.#rank[other] as number);
  }
}
