// The classes of addresses of one family: a sweep over the starts and ends of all ranges that entries name.
//
// Between two neighbouring boundaries the same specs hold. Stretches with equal sets of specs are one class,
// wherever they lie.

import { compareWords, rangeWords } from '../addresses.ts';
import { addOne, allIpv4, allIpv6, type Ranges } from '../ranges.ts';
import { ClassifierLimitError } from './entry.ts';
import { type Field, specsOf } from './field.ts';

export type Family = 'ipv4' | 'ipv6';

export interface AddressField extends Field {
  readonly family: Family;
  /** First address of each interval, four words, ascending; neighbours differ in class. The first is the family's first. */
  readonly starts: Uint32Array;
  readonly classOf: Int32Array;
}

/** References from classes to specs, over a whole field: what the sweep may keep. */
const referencesMax = 1 << 22;

export function addressField(family: Family, demands: readonly (Ranges | null)[]): AddressField {
  const texts = new Map<Ranges, string>();
  const textOf = (ranges: Ranges): string => {
    const known = texts.get(ranges);
    if (known !== undefined) return known;
    const text = ranges.join();
    texts.set(ranges, text);
    return text;
  };
  const { specs, specOf } = specsOf(demands, textOf);
  return { family, specs: specs.length, specOf, ...sweep(family, specs) };
}

interface Boundaries {
  /** Four words a boundary. */
  readonly words: Uint32Array;
  /** The spec that starts there, or ~spec where it ends before. */
  readonly events: Int32Array;
  /** Boundaries in order of address. */
  readonly order: Uint32Array;
}

function boundariesOf(specs: readonly Ranges[], all: Ranges): Boundaries {
  const ranges = specs.reduce((sum, spec) => sum + spec.length / rangeWords, 0);
  const words = new Uint32Array(ranges * 8);
  const events = new Int32Array(ranges * 2);
  let count = 0;
  specs.forEach((spec, number) => {
    for (let at = 0; at < spec.length; at += rangeWords) {
      words.set(spec.subarray(at, at + 4), count * 4);
      events[count++] = number;
      if (compareWords(spec, at + 4, all, 4) >= 0) continue;
      words.set(spec.subarray(at + 4, at + 8), count * 4);
      addOne(words, count * 4);
      events[count++] = ~number;
    }
  });
  const order = Uint32Array.from({ length: count }, (_, index) => index);
  order.sort((a, b) => compareWords(words, a * 4, words, b * 4));
  return { words, events, order };
}

function sweep(
  family: Family,
  specs: readonly Ranges[],
): Pick<AddressField, 'classes' | 'starts' | 'classOf'> {
  const all = family === 'ipv4' ? allIpv4 : allIpv6;
  const { words, events, order } = boundariesOf(specs, all);
  const active = new ActiveSet(specs.length);
  const starts = new Uint32Array((order.length + 1) * 4);
  const classOf = new Int32Array(order.length + 1);
  starts.set(all.subarray(0, 4));
  let intervals = 0;
  let next = 0;
  const take = (at: Uint32Array, from: number): void => {
    const one = active.classOf();
    if (intervals > 0 && classOf[intervals - 1] === one) return;
    starts.set(at.subarray(from, from + 4), intervals * 4);
    classOf[intervals++] = one;
  };
  if (order.length === 0 || compareWords(words, (order[0] as number) * 4, all, 0) > 0) take(all, 0);
  while (next < order.length) {
    const at = (order[next] as number) * 4;
    while (next < order.length && compareWords(words, (order[next] as number) * 4, words, at) === 0) {
      active.toggle(events[order[next++] as number] as number);
    }
    take(words, at);
  }
  return {
    classes: active.classes,
    starts: starts.slice(0, intervals * 4),
    classOf: classOf.slice(0, intervals),
  };
}

/** The specs that hold where the sweep is. Sets are told apart by a sum of random numbers, and then compared. */
class ActiveSet {
  readonly classes: Int32Array[] = [];
  readonly #specs: number[] = [];
  readonly #mix: Float64Array;
  readonly #known = new Map<number, number[]>();
  #hash = 0;
  #references = 0;

  constructor(specs: number) {
    let state = 0x2545f491;
    const random = (): number => {
      state ^= state << 13;
      state ^= state >>> 17;
      state ^= state << 5;
      return state >>> 0;
    };
    // 38 bits: sums of up to 10,240 stay exact in a double.
    this.#mix = Float64Array.from({ length: specs }, () => random() * 64 + (random() & 63));
  }

  /** A spec starts, or (as ~spec) ends. */
  toggle(event: number): void {
    const spec = event < 0 ? ~event : event;
    const at = placeOf(this.#specs, spec);
    if (event < 0) this.#specs.splice(at, 1);
    else this.#specs.splice(at, 0, spec);
    this.#hash += (event < 0 ? -1 : 1) * (this.#mix[spec] as number);
  }

  classOf(): number {
    const bucket = this.#known.get(this.#hash);
    const known = bucket?.find((one) => isSame(this.classes[one] as Int32Array, this.#specs));
    if (known !== undefined) return known;
    this.#references += this.#specs.length;
    if (this.#references > referencesMax) {
      throw new ClassifierLimitError('address classes', this.#references, referencesMax);
    }
    const number = this.classes.length;
    this.classes.push(Int32Array.from(this.#specs));
    if (bucket === undefined) this.#known.set(this.#hash, [number]);
    else bucket.push(number);
    return number;
  }
}

function placeOf(sorted: readonly number[], value: number): number {
  let low = 0;
  let high = sorted.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((sorted[middle] as number) < value) low = middle + 1;
    else high = middle;
  }
  return low;
}

function isSame(a: Int32Array, b: readonly number[]): boolean {
  if (a.length !== b.length) return false;
  for (let index = 0; index < b.length; index++) if (a[index] !== b[index]) return false;
  return true;
}
