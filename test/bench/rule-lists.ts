// Lists of rules and traffic for them, from a seed: access lists, a firewall and an IP chain, in the manner of
// ClassBench (Taylor and Turner, 2007): pairs of prefix lengths with their weights, addresses out of a tree
// that branches the less the deeper it is (so that prefixes nest and lists overlap), five kinds of ports
// (any, above 1023, below 1024, an arbitrary range, one port) and a mix of protocols. The weights are ours,
// drawn after the published characters of its acl1, acl2, fw1 and ipc1 seeds; no seed file is used.

import { compareWords, maskWord } from '../../agent/policy/addresses.ts';
import {
  anyDevice,
  anyFragment,
  anySets,
  anyState,
  anyZone,
  type ClassifierEntry,
  type ClassifierKey,
} from '../../agent/policy/classifier/entry.ts';
import type { PortRange } from '../../agent/policy/ports.ts';
import { addOne, type Ranges } from '../../agent/policy/ranges.ts';

export type Shape = 'acl1' | 'acl2' | 'fw1' | 'ipc1';
export const shapes: readonly Shape[] = ['acl1', 'acl2', 'fw1', 'ipc1'];
export type ListFamily = 'ipv4' | 'ipv6';

/** xorshift32: the same numbers everywhere. */
export class Random {
  #state: number;
  constructor(seed: number) {
    this.#state = (Math.imul(seed, 0x9e3779b1) ^ 0x5bd1e995) >>> 0 || 1;
  }
  word(): number {
    let state = this.#state;
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    this.#state = state >>> 0;
    return this.#state;
  }
  unit(): number {
    return this.word() / 2 ** 32;
  }
  below(count: number): number {
    return Math.floor(this.unit() * count);
  }
  pick<T>(items: readonly T[]): T {
    return items[this.below(items.length)] as T;
  }
  /** One of `weighted`, whose first elements are weights. */
  weigh<T>(weighted: readonly (readonly [weight: number, item: T])[]): T {
    let left = this.unit() * weighted.reduce((sum, [weight]) => sum + weight, 0);
    for (const [weight, item] of weighted) {
      left -= weight;
      if (left < 0) return item;
    }
    return (weighted.at(-1) as readonly [number, T])[1];
  }
}

type Weighted<T> = readonly (readonly [weight: number, item: T])[];
type PortKind = 'any' | 'high' | 'low' | 'range' | 'one';

interface Character {
  /** Lengths of source and destination of IPv4. */
  readonly lengths: Weighted<readonly [from: number, to: number]>;
  /** How likely a node of the tree has both children, by depth / 8. */
  readonly branches: readonly number[];
  readonly ports: Weighted<readonly [from: PortKind, to: PortKind]>;
  readonly protocols: Weighted<number | null>;
  /** Different source and destination ports that the list names; a quarter as many ranges. */
  readonly portPool: readonly [from: number, to: number];
  /** How often source and destination are those of an earlier rule: a server has many rules. */
  readonly again: readonly [from: number, to: number];
  /** Share of rules that name several prefixes. */
  readonly lists: number;
}

const characters: Readonly<Record<Shape, Character>> = {
  acl1: {
    lengths: [
      [30, [32, 32]],
      [14, [24, 32]],
      [12, [28, 32]],
      [10, [16, 32]],
      [8, [0, 32]],
      [8, [22, 24]],
      [6, [30, 27]],
      [6, [24, 24]],
      [4, [20, 30]],
      [2, [0, 24]],
    ],
    branches: [0.9, 0.7, 0.45, 0.35],
    ports: [
      [58, ['any', 'one']],
      [16, ['any', 'range']],
      [22, ['any', 'any']],
      [4, ['any', 'high']],
    ],
    protocols: [
      [78, 6],
      [12, 17],
      [4, 1],
      [6, null],
    ],
    portPool: [1, 108],
    again: [0.5, 0.85],
    lists: 0,
  },
  acl2: {
    lengths: [
      [22, [0, 32]],
      [16, [32, 32]],
      [14, [24, 32]],
      [12, [16, 24]],
      [10, [32, 24]],
      [8, [24, 16]],
      [8, [32, 0]],
      [6, [8, 32]],
      [4, [16, 16]],
    ],
    branches: [0.8, 0.6, 0.4, 0.4],
    ports: [
      [48, ['any', 'one']],
      [24, ['any', 'any']],
      [10, ['one', 'any']],
      [10, ['any', 'range']],
      [8, ['any', 'high']],
    ],
    protocols: [
      [58, 6],
      [22, 17],
      [6, 1],
      [14, null],
    ],
    portPool: [20, 100],
    again: [0.7, 0.5],
    lists: 0.01,
  },
  fw1: {
    lengths: [
      [30, [0, 32]],
      [20, [32, 0]],
      [14, [32, 32]],
      [12, [0, 28]],
      [10, [24, 32]],
      [8, [16, 0]],
      [6, [32, 24]],
    ],
    branches: [0.7, 0.55, 0.4, 0.45],
    ports: [
      [34, ['any', 'one']],
      [20, ['any', 'any']],
      [16, ['one', 'any']],
      [12, ['high', 'one']],
      [8, ['one', 'high']],
      [6, ['any', 'range']],
      [4, ['one', 'one']],
    ],
    protocols: [
      [56, 6],
      [26, 17],
      [8, 1],
      [4, 47],
      [6, null],
    ],
    portPool: [13, 43],
    again: [0.6, 0.6],
    lists: 0.02,
  },
  ipc1: {
    lengths: [
      [26, [32, 32]],
      [14, [24, 24]],
      [12, [32, 24]],
      [12, [24, 32]],
      [10, [16, 32]],
      [8, [0, 32]],
      [8, [32, 0]],
      [6, [28, 30]],
      [4, [16, 16]],
    ],
    branches: [0.85, 0.65, 0.4, 0.4],
    ports: [
      [30, ['any', 'any']],
      [28, ['any', 'one']],
      [14, ['one', 'any']],
      [8, ['one', 'one']],
      [8, ['high', 'one']],
      [6, ['range', 'any']],
      [6, ['any', 'range']],
    ],
    protocols: [
      [54, 6],
      [26, 17],
      [8, 1],
      [3, 50],
      [9, null],
    ],
    portPool: [34, 54],
    again: [0.6, 0.55],
    lists: 0.01,
  },
};

const anyPort: PortRange = { first: 0, last: 65535 };
const everything: Ranges = Uint32Array.of(0, 0, 0xffff, 0, 0, 0, 0xffff, 0xffffffff);
const everything6: Ranges = Uint32Array.of(0, 0, 0, 0, ~0, ~0, ~0, ~0);

/** `count` different rules in order, each with its number as its row. No rule asks for nothing at all. */
export function ruleList(
  shape: Shape,
  count: number,
  { seed = 1, family = 'ipv4' }: { readonly seed?: number; readonly family?: ListFamily } = {},
): ClassifierEntry[] {
  const random = new Random(seed * 31 + shapes.indexOf(shape));
  const character = characters[shape];
  const tree = new PrefixTree(random, character.branches, family);
  const pools = character.portPool.map((size) => portPool(random, size)) as [PortPool, PortPool];
  const made = new Map<string, { readonly entry: ClassifierEntry; readonly place: number }>();
  for (let tries = 0; made.size < count && tries < count * 50; tries++) {
    const [fromLength, toLength] = random.weigh(character.lengths);
    const several = random.unit() < character.lists ? 2 + random.below(12) : 1;
    const from = tree.prefixes(fromLength, 1, character.again[0]);
    const to = tree.prefixes(toLength, several, character.again[1]);
    const protocol = random.weigh(character.protocols);
    const ports = portsFor(random, character, pools, protocol);
    const text = [from.join(), to.join(), protocol, JSON.stringify(ports)].join(' ');
    if (made.has(text)) continue;
    const specific = fromLength + toLength + (ports === null ? 0 : 8);
    if (specific === 0) continue;
    // Narrow rules come first, more or less, as in lists that people keep: or most would be covered.
    made.set(text, {
      entry: ruleOf(family, from, to, protocol, ports),
      place: random.unit() * 24 - specific,
    });
  }
  return [...made.values()].sort((a, b) => a.place - b.place).map(({ entry }, row) => ({ ...entry, row }));
}

function ruleOf(
  family: ListFamily,
  from: Ranges,
  to: Ranges,
  protocol: number | null,
  ports: ClassifierEntry['ports'],
): ClassifierEntry {
  return {
    ipv4: family === 'ipv4' ? { from, to } : null,
    ipv6: family === 'ipv6' ? { from, to } : null,
    other: false,
    protocols: protocol === null ? null : [protocol === 1 && family === 'ipv6' ? 58 : protocol],
    ports,
    zones: anyZone,
    states: anyState,
    device: anyDevice,
    fragments: anyFragment,
    sets: anySets,
    row: 0,
  };
}

interface PortPool {
  readonly ones: readonly number[];
  readonly ranges: readonly PortRange[];
}

function portPool(random: Random, size: number): PortPool {
  const known = [
    22, 25, 53, 80, 110, 123, 143, 161, 179, 389, 443, 445, 993, 1433, 1521, 3306, 3389, 5060, 8080,
  ];
  const ones = Array.from({ length: size }, (_, index) =>
    index < known.length
      ? (known[index] as number)
      : random.unit() < 0.6
        ? 1024 + random.below(9000)
        : random.below(65536),
  );
  const ranges = Array.from({ length: 1 + (size >> 2) }, () => {
    const first = random.below(60000);
    return { first, last: Math.min(65535, first + 1 + random.below(random.unit() < 0.7 ? 100 : 4000)) };
  });
  return { ones, ranges };
}

function portsFor(
  random: Random,
  character: Character,
  [fromPool, toPool]: readonly [PortPool, PortPool],
  protocol: number | null,
): ClassifierEntry['ports'] {
  if (protocol !== 6 && protocol !== 17) return null;
  const [from, to] = random.weigh(character.ports);
  if (from === 'any' && to === 'any') return null;
  const range = (kind: PortKind, pool: PortPool): PortRange => {
    switch (kind) {
      case 'any':
        return anyPort;
      case 'high':
        return { first: 1024, last: 65535 };
      case 'low':
        return { first: 0, last: 1023 };
      case 'range':
        return random.pick(pool.ranges);
      case 'one': {
        // Few ports are asked for often.
        const port = pool.ones[Math.floor(random.unit() ** 2 * pool.ones.length)] as number;
        return { first: port, last: port };
      }
    }
  };
  return { from: [range(from, fromPool)], to: [range(to, toPool)] };
}

/** Addresses that share their upper bits: a node has one child or two, by its depth, and always the same. */
class PrefixTree {
  readonly #random: Random;
  readonly #branches: readonly number[];
  readonly #family: ListFamily;
  readonly #kind = new Map<string, number>();
  /** By length: what was given out. */
  readonly #known = Array.from({ length: 33 }, (): number[] => []);

  constructor(random: Random, branches: readonly number[], family: ListFamily) {
    this.#random = random;
    this.#branches = branches;
    this.#family = family;
  }

  /** Up to `count` prefixes of a length (as of IPv4) as sorted ranges that do not touch; one of before as often as `again`. */
  prefixes(length: number, count: number, again: number): Ranges {
    if (length === 0) return this.#family === 'ipv4' ? everything : everything6;
    const found = Array.from({ length: count }, () => this.#rangeOf(this.#prefix(length, again), length));
    found.sort((a, b) => compareWords(a, 0, b, 0));
    const apart = found.filter((range, index) => index === 0 || isApart(found[index - 1] as Ranges, range));
    const out = new Uint32Array(apart.length * 8);
    apart.forEach((range, index) => {
      out.set(range, index * 8);
    });
    return out;
  }

  #prefix(length: number, again: number): number {
    const known = this.#known[length] as number[];
    if (known.length > 0 && this.#random.unit() < again) return this.#random.pick(known);
    // One in three lies in a shorter prefix that is named as well.
    const shorter = this.#random.unit() < 1 / 3 ? this.#random.below(length) : 0;
    const around = this.#known[shorter] as number[];
    const address =
      around.length > 0
        ? this.#address(length, this.#random.pick(around), shorter)
        : this.#address(length, 0, 0);
    known.push(address);
    return address;
  }

  /** Goes on from the first `from` bits of an address. */
  #address(length: number, start: number, from: number): number {
    let address = start;
    for (let depth = from; depth < length; depth++) {
      const node = `${depth}:${depth === 0 ? 0 : address >>> (32 - depth)}`;
      let kind = this.#kind.get(node);
      if (kind === undefined) {
        const both = this.#random.unit() < (this.#branches[depth >> 3] as number);
        kind = both ? 2 : this.#random.below(2);
        this.#kind.set(node, kind);
      }
      const bit = kind === 2 ? (this.#random.unit() < 0.6 ? 0 : 1) : kind;
      if (bit === 1) address = (address | (1 << (31 - depth))) >>> 0;
    }
    return address;
  }

  /**
   * IPv6: 32 bits of IPv4 become the 32 that follow 2000::/3 and its registry, so /16 is a /32, /24 a /48, and
   * a host is half the time a /64 and half the time a /128.
   */
  #rangeOf(address: number, length: number): Ranges {
    if (this.#family === 'ipv4') {
      const mask = length === 0 ? 0 : (-1 << (32 - length)) >>> 0;
      const first = (address & mask) >>> 0;
      return Uint32Array.of(0, 0, 0xffff, first, 0, 0, 0xffff, (first | ~mask) >>> 0);
    }
    const registry = [0x2001, 0x2600, 0x2a00, 0x2400][address >>> 30] as number;
    const words = [((registry << 16) | (address >>> 16)) >>> 0, (address << 16) >>> 0, 0, 0];
    const isHost = length === 32;
    if (isHost) {
      words[1] = ((address << 16) | (Math.imul(address, 7) & 0xff)) >>> 0;
      words[2] = address % 2 === 0 ? 0 : Math.imul(address, 0x9e3779b1) >>> 0;
      words[3] = address % 2 === 0 ? 1 + (address % 200) : (address ^ 0x1234567) >>> 0;
    }
    const wanted = isHost
      ? Math.imul(address, 0x85ebca6b) >>> 31 === 0
        ? 64
        : 128
      : 16 + length + (length > 20 ? length - 20 : 0);
    const out = new Uint32Array(8);
    for (let word = 0; word < 4; word++) {
      const mask = maskWord(Math.min(wanted, 128), word);
      out[word] = ((words[word] as number) & mask) >>> 0;
      out[word + 4] = ((words[word] as number) & mask) | ~mask;
    }
    return out;
  }
}

/** Whether there is an address between two ranges: Ranges have none that touch. */
function isApart(range: Ranges, next: Ranges): boolean {
  const behind = range.slice(4, 8);
  return addOne(behind, 0) && compareWords(behind, 0, next, 0) < 0;
}

// -- traffic ----------------------------------------------------------------------------------------------

const noAddress = new Uint32Array(4);

/** A packet inside a rule, anywhere in it. */
export function packetOf(entry: ClassifierEntry, random: Random): ClassifierKey {
  const pair = entry.ipv4 ?? entry.ipv6;
  const ipProto = entry.protocols?.length ? random.pick(entry.protocols) : random.pick([6, 17]);
  const hasPorts = entry.ports !== null || ipProto === 6 || ipProto === 17 || ipProto === 1 || ipProto === 58;
  const port = (ranges: readonly PortRange[] | undefined, other: number): number => {
    if (!ranges?.length) return other;
    const range = random.pick(ranges);
    return range.first + random.below(range.last - range.first + 1);
  };
  const isIcmp = ipProto === 1 || ipProto === 58;
  return {
    family: entry.ipv4 !== null ? 'ipv4' : entry.ipv6 !== null ? 'ipv6' : 'other',
    saddr: pair === null ? noAddress : addressIn(pair.from, random),
    daddr: pair === null ? noAddress : addressIn(pair.to, random),
    ipProto,
    hasPorts,
    sport: hasPorts ? port(entry.ports?.from, isIcmp ? 0 : 1024 + random.below(64000)) : 0,
    dport: hasPorts
      ? port(entry.ports?.to, isIcmp ? 0x800 : random.pick([80, 443, 53, 22, random.below(65536)]))
      : 0,
    ...{ zone: 0, state: 0, device: 0, fragment: 0, sets: entry.sets.value },
  };
}

/** An address of one of the ranges. */
export function addressIn(ranges: Ranges, random: Random): Uint32Array {
  const at = random.below(ranges.length / 8) * 8;
  const out = new Uint32Array(4);
  let isAbove = false; // of the first address, and below the last: the rest is free
  let isBelow = false;
  for (let word = 0; word < 4; word++) {
    const low = isAbove ? 0 : (ranges[at + word] as number);
    const high = isBelow ? 0xffffffff : (ranges[at + 4 + word] as number);
    const value = low + random.below(high - low + 1);
    if (value > low) isAbove = true;
    if (value < high) isBelow = true;
    out[word] = value;
  }
  return out;
}

/** Source of one rule, destination of another, ports and protocol of a third. */
export function mixedPacket(entries: readonly ClassifierEntry[], random: Random): ClassifierKey {
  const one = packetOf(random.pick(entries), random);
  const other = packetOf(random.pick(entries), random);
  const third = packetOf(random.pick(entries), random);
  if (one.family !== other.family) return one;
  return { ...third, family: one.family, saddr: one.saddr, daddr: other.daddr };
}

/** Any addresses and ports at all. */
export function randomPacket(family: ListFamily, random: Random): ClassifierKey {
  const everywhere =
    family === 'ipv4' ? everything : Uint32Array.of(0x20000000, 0, 0, 0, 0x3fffffff, ~0, ~0, ~0);
  return {
    family,
    saddr: addressIn(everywhere, random),
    daddr: addressIn(everywhere, random),
    ipProto: random.pick([6, 17]),
    hasPorts: true,
    sport: random.below(65536),
    dport: random.below(65536),
    ...{ zone: 0, state: 0, device: 0, fragment: 0, sets: 0 },
  };
}
