// Entries and keys from a seed, out of small worlds: few addresses, ports and protocols, so that entries overlap
// and keys hit them, at the edges of ranges above all.

import type { ClassifierEntry, ClassifierKey } from '../../../../agent/policy/classifier/entry.ts';
import type { PortRange } from '../../../../agent/policy/ports.ts';
import { addOne, type Ranges, rangesFrom, subtractOne } from '../../../../agent/policy/ranges.ts';
import type { Random } from '../../../bench/rule-lists.ts';

const texts4 = [
  ...[
    '0.0.0.0/0',
    '0.0.0.0/1',
    '10.0.0.0/8',
    '10.1.0.0/16',
    '10.1.128.0/17',
    '10.1.2.0/24',
    '10.1.2.3',
    '10.1.2.4/31',
  ],
  ...[
    '10.1.2.128-10.1.3.7',
    '10.1.255.255-10.2.0.0',
    '0.0.0.0',
    '255.255.255.255',
    '192.0.2.7',
    '192.0.2.0/25',
  ],
  ...['10.1.2.9', '10.1.2.11', '10.1.2.13-10.1.2.14', '223.255.255.255-224.0.0.0', '128.0.0.0/2'],
];
const texts6 = [
  ...[
    '::/0',
    '2000::/3',
    '2001:db8::/32',
    '2001:db8::/33',
    '2001:db8:1::/48',
    '2001:db8:1:2::/64',
    '2001:db8:1:2::1',
  ],
  ...[
    '2001:db8:1:2::8/125',
    '2001:db8:1:2::ffff-2001:db8:1:3::1',
    '2001:db8:1:2:8000::/65',
    'fe80::/10',
    '::1',
    '::',
  ],
  ...['ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff', '2001:d00::/24', '2001:db8:1:2:ffff:ffff:ffff:fff0/124'],
  ...['2001:db8:1:2::3', '2001:db8:1:2::5', '2001:db8:1:2::b', '2001:db8:1:2::d', '2001:db8:ffff:ffff::/64'],
];
const ports: readonly PortRange[] = [
  ...[0, 22, 53, 80, 443, 1023, 1024, 65535].map((port) => ({ first: port, last: port })),
  ...[
    { first: 0, last: 65535 },
    { first: 1024, last: 65535 },
    { first: 0, last: 1023 },
    { first: 60, last: 130 },
    { first: 63, last: 64 },
  ],
];
const protocols = [0, 1, 6, 17, 58, 255];

const nothing: Ranges = new Uint32Array();

/** `isPlain`: only addresses, protocol and ports are asked for. */
export function worldEntries(random: Random, count: number, isPlain = false): ClassifierEntry[] {
  return Array.from({ length: count }, (_, row) => entryOf(random, isPlain, row + 1000));
}

function entryOf(random: Random, isPlain: boolean, row: number): ClassifierEntry {
  const rare = (of: number) => random.below(of) === 0;
  const pair = (family: 'ipv4' | 'ipv6') => ({
    from: rangesOf(random, family),
    to: rangesOf(random, family),
  });
  const mask = (all: number) => (isPlain || !rare(4) ? all : random.below(all + 1));
  const care = isPlain || !rare(5) ? 0 : random.below(8);
  return {
    ipv4: rare(4) ? null : pair('ipv4'),
    ipv6: rare(4) ? null : pair('ipv6'),
    other: rare(3),
    protocols: rare(2) ? null : Array.from({ length: 1 + random.below(2) }, () => random.pick(protocols)),
    ports: rare(2) ? null : { from: portsOf(random), to: portsOf(random) },
    zones: mask(0xffff),
    states: mask(0xff),
    device: mask(3),
    fragments: mask(7),
    // Now and then a value outside what is cared for, which matches nothing.
    sets: { care, value: rare(8) ? random.below(8) : random.below(8) & care },
    row,
  };
}

function rangesOf(random: Random, family: 'ipv4' | 'ipv6'): Ranges {
  if (random.below(20) === 0) return nothing;
  const texts = family === 'ipv4' ? texts4 : texts6;
  const picked = Array.from({ length: 1 + random.below(3) }, () => random.pick(texts));
  return rangesFrom(picked, () => undefined)[family];
}

const portsOf = (random: Random) => Array.from({ length: 1 + random.below(2) }, () => random.pick(ports));

/** Keys at, before and behind the edges of what the world names. */
export function worldKey(random: Random): ClassifierKey {
  const family = random.weigh<ClassifierKey['family']>([
    [5, 'ipv4'],
    [5, 'ipv6'],
    [1, 'other'],
  ]);
  const hasPorts = random.below(4) !== 0;
  const port = () => {
    const range = random.pick(ports);
    const edge = random.pick([range.first, range.last]) + random.below(3) - 1;
    return Math.min(65535, Math.max(0, edge));
  };
  return {
    family,
    saddr: edgeOf(random, family),
    daddr: edgeOf(random, family),
    ipProto: random.pick(protocols),
    hasPorts,
    sport: hasPorts ? port() : 0,
    dport: hasPorts ? port() : 0,
    zone: random.below(16),
    state: random.below(8),
    device: random.below(2),
    fragment: random.below(3),
    sets: random.below(16),
  };
}

function edgeOf(random: Random, family: ClassifierKey['family']): Uint32Array {
  if (family === 'other') return new Uint32Array(4);
  const ranges = rangesFrom([random.pick(family === 'ipv4' ? texts4 : texts6)], () => undefined)[family];
  const edge = random.pick([ranges.slice(0, 4), ranges.slice(4, 8)]);
  const step = random.below(3);
  const isBeyond = step === 1 ? !addOne(edge, 0) : step === 2 ? !subtractOne(edge, 0) : false;
  // A step out of IPv4 comes back at its other end.
  if (family === 'ipv4' || isBeyond)
    return family === 'ipv4' ? Uint32Array.of(0, 0, 0xffff, edge[3] ?? 0) : new Uint32Array(4);
  return edge;
}
