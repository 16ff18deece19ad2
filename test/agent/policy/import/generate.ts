// Packets drawn from what a ruleset speaks of: its addresses, ports and protocols, and their neighbours.

import type { Way } from './compare.ts';
import { ipPacket, type PacketShape } from './packets.ts';
import { networks, routerAddresses, sides } from './router.ts';

/** A stream of numbers from a seed (mulberry32). */
export function randomFrom(seed: number): (below: number) => number {
  let at = seed >>> 0;
  return (below) => {
    at = (at + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(at ^ (at >>> 15), at | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return Math.floor((((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32) * below);
  };
}

export interface Pools {
  readonly ports: readonly number[];
  /** Last two parts of addresses behind a side, as in `0.5`. */
  readonly hosts: readonly string[];
  /** Later ones, of IPv4 alone: nft reads ports of whatever stands where their header would be, which a policy does not. */
  readonly fragments: 'all' | 'first' | 'none';
}

/** Ports and hosts that stand in the text, with what lies beside them. */
export function poolsOf(text: string): Pools {
  const numbers = [...text.matchAll(/\b\d{1,5}\b/g)]
    .map(([one]) => Number(one))
    .filter((one) => one > 0 && one < 65535);
  const ports = new Set<number>([53, 40000]);
  for (const one of numbers) for (const port of [one - 1, one, one + 1]) if (port > 0) ports.add(port);
  const hosts = new Set(['0.1', '0.200', '7.7']);
  for (const [, three = '', four = ''] of text.matchAll(/\b10\.\d+\.(\d{1,3})\.(\d{1,3})\b/g)) {
    for (const last of [Number(four) - 1, Number(four), Number(four) + 1])
      if (last > 0 && last < 255) hosts.add(`${three}.${last}`);
  }
  return {
    ports: [...ports],
    hosts: [...hosts],
    fragments: /ct ?state|--ctstate|--state/.test(text) ? 'none' : 'all',
  };
}

const protocols = [6, 6, 6, 17, 17, 17, 1, 1, 132, 47, 50, 136];
const flagSets = [2, 18, 16, 4, 17, 1, 20, 3, 6, 0, 41, 24];

export function randomWays(
  seed: number,
  count: number,
  families: readonly (4 | 6)[],
  pools: Pools,
): readonly Way[] {
  const random = randomFrom(seed);
  const pick = <T>(list: readonly T[]): T => list[random(list.length)] as T;
  return Array.from({ length: count }, (_, index) => {
    const family = pick(families);
    const at = family === 4 ? 0 : 1;
    const host = (side: (typeof sides)[number]) => {
      const [three = '0', four = '1'] = pick(pools.hosts).split('.');
      const network = networks[side][at];
      return family === 4
        ? `${network}.${three}.${four}`
        : `${network}:${Number(three).toString(16)}::${Number(four).toString(16)}`;
    };
    const kind = random(10);
    const from = kind === 9 ? null : pick(sides);
    const to =
      from === null ? pick(sides) : kind < 4 ? 'router' : pick(sides.filter((side) => side !== from));
    const source = from === null ? routerAddresses[pick(sides)][at] : host(from);
    const destination = to === 'router' ? routerAddresses[pick(sides)][at] : host(to);
    const drawn = pick(protocols);
    const protocol = drawn === 1 && family === 6 ? 58 : drawn;
    const shape: PacketShape = {
      from: source,
      to: destination,
      protocol,
      fromPort: pick(pools.ports),
      toPort: pick(pools.ports),
      flags: pick(flagSets),
      icmp:
        protocol === 58
          ? pick([
              [128, 0],
              [129, 0],
              [1, 3],
              [3, 0],
              [139, 0],
            ] as const)
          : pick([
              [8, 0],
              [0, 0],
              [3, 3],
              [3, 1],
              [11, 0],
              [13, 0],
            ] as const),
      dscp: pick([0, 0, 46, 8, 10]),
      payload: pick([0, 8, 64, 400, 900]),
      // What comes to the router itself is put together before its rules see it.
      ...(pools.fragments !== 'none' && from !== null && to !== 'router' && random(8) === 0
        ? {
            fragment:
              pools.fragments === 'first' || family === 6
                ? { offset: 0, more: true }
                : pick([
                    { offset: 0, more: true },
                    { offset: 20, more: true },
                    { offset: 50, more: false },
                  ]),
          }
        : {}),
    };
    const number = index + 1;
    return {
      number,
      family,
      from,
      to,
      packet: ipPacket(shape, number),
      says: JSON.stringify({ ...shape, by: from, out: to }),
    };
  });
}
