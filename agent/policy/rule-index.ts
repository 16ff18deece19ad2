// Which of many rules may match a packet, without walking them all.
//
// Rules are kept by the pair of sets that they want source and destination in, and below that by a protocol and a
// destination port where they name one. A set is found by the smallest prefixes around its ranges:
//
//   192.0.2.9 → the sets with a range in 192.0.2.9/32, in 192.0.2.0/24, ... × the same of the destination → rules
//
// What is found may match, and all that matches is found: whoever asks still holds the packet against each.

import { maskWord, rangeWords } from './addresses.ts';
import type { Packet } from './packet.ts';
import { ipFamilies, type PacketConditions } from './packet-conditions.ts';
import { holds, type Ranges, rangeCount } from './ranges.ts';

/** Sets of more ranges are asked one by one. */
const prefixedRangesMax = 64;

export class RuleIndex {
  readonly #byFamily: ReadonlyMap<Packet['family'], FamilyIndex>;
  readonly #notIp: readonly number[];

  /** Rules in their order; they are spoken of by their places. */
  constructor(rules: readonly PacketConditions[]) {
    this.#byFamily = new Map(ipFamilies.map((family) => [family, new FamilyIndex()]));
    const notIp: number[] = [];
    rules.forEach((rule, place) => {
      if (rule.families.includes('other')) notIp.push(place);
      for (const family of ipFamilies) {
        if (!rule.families.includes(family)) continue;
        this.#byFamily.get(family)?.add(place, rule.from[family], rule.to[family], rule);
      }
    });
    this.#notIp = notIp;
  }

  /** Places of rules that may match the packet, in order; no other rule does. */
  around(packet: Packet): readonly number[] {
    return this.#byFamily.get(packet.family)?.around(packet) ?? this.#notIp;
  }
}

/** Keys below a pair of sets: protocol and port, protocol, neither. */
const portsOfProtocol = 65_536;
const protocolOnly = 256 * portsOfProtocol;
const neither = protocolOnly + 256;
const keysOfPair = 2 ** 25;
/** More sets than any policy has. */
const setsMax = 2 ** 24;

class FamilyIndex {
  readonly #from = new SetIndex();
  readonly #to = new SetIndex();
  readonly #pairs = new Map<number, number>();
  readonly #places = new Map<number, number[]>();

  add(place: number, from: Ranges, to: Ranges, { protocols, ports }: PacketConditions): void {
    const pairKey = this.#from.add(from) * setsMax + this.#to.add(to);
    const pair = this.#pairs.get(pairKey) ?? this.#pairs.size;
    this.#pairs.set(pairKey, pair);
    const key = pair * keysOfPair + keyBelow(protocols, ports?.to ?? null);
    const places = this.#places.get(key);
    if (places === undefined) this.#places.set(key, [place]);
    else places.push(place);
  }

  around({ source, destination, protocol, ports }: Packet): readonly number[] {
    const found: number[] = [];
    const targets = this.#to.holding(destination);
    for (const from of this.#from.holding(source)) {
      for (const to of targets) {
        const pair = this.#pairs.get(from * setsMax + to);
        if (pair === undefined) continue;
        const base = pair * keysOfPair;
        this.#gather(base + neither, found);
        this.#gather(base + protocolOnly + (protocol ?? 0), found);
        if (ports !== null) this.#gather(base + (protocol ?? 0) * portsOfProtocol + ports.to, found);
      }
    }
    return found.sort((a, b) => a - b);
  }

  #gather(key: number, found: number[]): void {
    const places = this.#places.get(key);
    if (places !== undefined) for (const place of places) found.push(place);
  }
}

function keyBelow(
  protocols: PacketConditions['protocols'],
  ports: readonly { first: number; last: number }[] | null,
) {
  const [protocol] = protocols ?? [];
  if (protocol === undefined || protocols?.length !== 1) return neither;
  const [port] = ports ?? [];
  return port !== undefined && ports?.length === 1 && port.first === port.last
    ? protocol * portsOfProtocol + port.first
    : protocolOnly + protocol;
}

/** Different sets by number, and which of them hold an address: more than that, never less. */
class SetIndex {
  readonly #numbers = new Map<string | Ranges, number>();
  /** By the length of the prefix, then by its hash. */
  readonly #byLength = new Map<number, Map<number, number[]>>();
  readonly #large: { readonly ranges: Ranges; readonly number: number }[] = [];

  add(ranges: Ranges): number {
    const isLarge = rangeCount(ranges) > prefixedRangesMax;
    // Large ones are named, and resolved once.
    const key = isLarge ? ranges : ranges.join();
    const known = this.#numbers.get(key);
    if (known !== undefined) return known;
    const number = this.#numbers.size;
    this.#numbers.set(key, number);
    if (isLarge) this.#large.push({ ranges, number });
    else for (let at = 0; at < ranges.length; at += rangeWords) this.#addRange(ranges, at, number);
    return number;
  }

  #addRange(ranges: Ranges, at: number, number: number): void {
    const length = commonLength(ranges, at);
    const prefixes = this.#byLength.get(length) ?? new Map<number, number[]>();
    this.#byLength.set(length, prefixes);
    const hash = hashOf(ranges, at, length);
    const numbers = prefixes.get(hash);
    if (numbers === undefined) prefixes.set(hash, [number]);
    else if (numbers.at(-1) !== number) numbers.push(number);
  }

  holding(address: Uint32Array): ReadonlySet<number> {
    const found = new Set<number>();
    for (const [length, prefixes] of this.#byLength) {
      for (const number of prefixes.get(hashOf(address, 0, length)) ?? []) found.add(number);
    }
    for (const { ranges, number } of this.#large) if (holds(ranges, address, 0)) found.add(number);
    return found;
  }
}

/** How many leading bits, of 128, first and last address of a range have in common. */
function commonLength(ranges: Ranges, at: number): number {
  for (let word = 0; word < 4; word++) {
    const differing = ((ranges[at + word] ?? 0) ^ (ranges[at + 4 + word] ?? 0)) >>> 0;
    if (differing !== 0) return word * 32 + Math.clz32(differing);
  }
  return 128;
}

/** Two prefixes may have one hash: then more is found than holds the address. */
function hashOf(words: Uint32Array, at: number, length: number): number {
  let hash = 0;
  for (let word = 0; word * 32 < length; word++) {
    hash = Math.imul(hash ^ ((words[at + word] ?? 0) & maskWord(length, word)), 0x9e3779b1);
    hash ^= hash >>> 15;
  }
  return hash;
}
