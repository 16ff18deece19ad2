// Finds an earlier rule that covers a later one without comparing all pairs.
//
// A rule that covers another holds every packet of it, so also any one of them. Rules are kept by the smallest blocks
// around what they ask for (a protocol, aligned blocks of ports and addresses), one hash for each combination of sizes:
//
//   shape: ipv4, a protocol, to port of 16 bits, from /24      key of 10.1.2.9 tcp 22 → the rules around exactly that
//
// One packet of the later rule is looked up in each of them, and only what is found is compared whole.

import { compareWords, maskWord } from './addresses.ts';
import type { PacketConditions, PacketFamily } from './packet-conditions.ts';
import type { PortRange } from './ports.ts';
import type { Ranges } from './ranges.ts';
import { packetCovers } from './reach.ts';

/** Looked up or compared for one rule; beyond that a cover may go unseen, and costs nothing but a rule too many. */
const workMax = 500;
/** Sizes of blocks are rounded down to these, so that there are few shapes. */
const portBits = [16, 12, 8, 0] as const;
const lengthStep = 8;

interface Shape {
  readonly family: PacketFamily;
  readonly hasProtocol: boolean;
  readonly fromPortBits: number;
  readonly toPortBits: number;
  /** Of 128. */
  readonly fromLength: number;
  readonly toLength: number;
}

interface Entry<T> {
  readonly what: T;
  readonly conditions: PacketConditions;
}

export class CoverIndex<T> {
  readonly #shapes = new Map<string, { readonly shape: Shape; readonly byKey: Map<string, Entry<T>[]> }>();

  add(what: T, conditions: PacketConditions): void {
    for (const family of conditions.families) {
      const shape = shapeOf(conditions, family);
      const name = Object.values(shape).join(' ');
      const known = this.#shapes.get(name) ?? { shape, byKey: new Map<string, Entry<T>[]>() };
      this.#shapes.set(name, known);
      const key = keyOf(shape, conditions) ?? '';
      const entries = known.byKey.get(key);
      if (entries === undefined) known.byKey.set(key, [{ what, conditions }]);
      else entries.push({ what, conditions });
    }
  }

  /** One that was added and covers these conditions, or null. They must leave something (`emptyCondition`). */
  coverOf(conditions: PacketConditions): T | null {
    const [family] = conditions.families;
    let left = workMax;
    for (const { shape, byKey } of this.#shapes.values()) {
      if (shape.family !== family) continue;
      const key = keyOf(shape, conditions);
      if (left-- <= 0) return null;
      if (key === null) continue;
      for (const entry of byKey.get(key) ?? []) {
        if (packetCovers(entry.conditions, conditions)) return entry.what;
        if (left-- <= 0) return null;
      }
    }
    return null;
  }
}

function shapeOf({ protocols, ports, from, to }: PacketConditions, family: PacketFamily): Shape {
  return {
    family,
    hasProtocol: protocols?.length === 1,
    fromPortBits: ports === null ? 0 : blockBits(ports.from),
    toPortBits: ports === null ? 0 : blockBits(ports.to),
    fromLength: family === 'other' ? 0 : blockLength(from[family]),
    toLength: family === 'other' ? 0 : blockLength(to[family]),
  };
}

/** The key of one packet of the conditions; null where they leave open what the shape asks for. */
function keyOf(shape: Shape, { protocols, ports, from, to }: PacketConditions): string | null {
  const { family, hasProtocol, fromPortBits, toPortBits, fromLength, toLength } = shape;
  let key = '';
  if (hasProtocol) {
    const protocol = protocols?.[0];
    if (protocol === undefined) return null;
    key = `${protocol}`;
  }
  if (fromPortBits > 0 || toPortBits > 0) {
    const [first, last] = [ports?.from[0], ports?.to[0]];
    if (first === undefined || last === undefined) return null;
    key += ` ${first.first >> (16 - fromPortBits)} ${last.first >> (16 - toPortBits)}`;
  }
  if (family === 'other') return key;
  return key + masked(from[family], fromLength) + masked(to[family], toLength);
}

/** How many leading bits all ports of the ranges have in common, rounded down. */
function blockBits(ranges: readonly PortRange[]): number {
  const [first, last] = [ranges[0]?.first ?? 0, ranges.at(-1)?.last ?? 0];
  return portBits.find((bits) => first >> (16 - bits) === last >> (16 - bits)) ?? 0;
}

/** How many leading bits all addresses of the ranges have in common, rounded down. */
function blockLength(ranges: Ranges): number {
  const lastAt = ranges.length - 4;
  if (lastAt < 0) return 0;
  if (compareWords(ranges, 0, ranges, lastAt) === 0) return 128;
  for (let word = 0; word < 4; word++) {
    const differing = ((ranges[word] ?? 0) ^ (ranges[lastAt + word] ?? 0)) >>> 0;
    if (differing === 0) continue;
    const length = word * 32 + Math.clz32(differing);
    return length - (length % lengthStep);
  }
  return 128;
}

/** The first address, cut to a length. */
function masked(ranges: Ranges, length: number): string {
  let text = ' ';
  for (let word = 0; word * 32 < length; word++) {
    text += `.${((ranges[word] ?? 0) & maskWord(length, word)) >>> 0}`;
  }
  return text;
}
