// Goal: no rule that matches a packet is missed by the index that the tries walk by, and few that do not are found.
// Method: lists of rules over nested prefixes, ranges, lists and large sets of both families, negated too, and packets at
// the ends of what they name; each rule is asked by the evaluator's own conditions. Seed printed; HUSK_SEED replays.

import fc from 'fast-check';
import t from 'tap';
import type { AddressMatch, PacketPolicy, PacketRule } from '../../../agent/contract/policy.ts';
import { formatAddress, maskWord } from '../../../agent/policy/addresses.ts';
import { buildPacket, ordinaryPacket } from '../../../agent/policy/build-packet.ts';
import { conditionsOf, type Seen } from '../../../agent/policy/evaluate/conditions.ts';
import { parsePacket } from '../../../agent/policy/packet.ts';
import { packetConditions } from '../../../agent/policy/packet-conditions.ts';
import { RuleIndex } from '../../../agent/policy/rule-index.ts';
import { SetResolver } from '../../../agent/policy/sets.ts';

const seed = Number(process.env.HUSK_SEED ?? Math.floor(Math.random() * 0x7fffffff));
t.comment(`seed ${seed}`);

const ends = [0, 1, 2, 127, 128, 254, 255] as const;
/** Few addresses, so that rules and packets meet. */
const words4 = fc
  .tuple(
    fc.constantFrom(10, 192),
    fc.constantFrom(0, 255),
    fc.constantFrom(...ends),
    fc.constantFrom(...ends),
  )
  .map(([a, b, c, d]) => Uint32Array.of(0, 0, 0xffff, ((a << 24) | (b << 16) | (c << 8) | d) >>> 0));
const words6 = fc
  .tuple(
    fc.constantFrom(0x20010db8, 0xfd000000),
    fc.constantFrom(0, 1),
    fc.constantFrom(0, ~0),
    fc.constantFrom(...ends),
  )
  .map((words) => Uint32Array.from(words));
const prefix = (words: fc.Arbitrary<Uint32Array>, longest: 32 | 128) =>
  fc
    .tuple(words, fc.constantFrom(longest, longest, longest - 1, longest - 8, 24, 17, 8))
    .map(([address, length]) => {
      const masked = address.map((word, at) => word & maskWord(128 - longest + length, at));
      return `${formatAddress(masked, 0)}/${length}`;
    });
const range = (words: fc.Arbitrary<Uint32Array>) =>
  fc.tuple(words, words).map(([a, b]) => {
    const isUp = a.join('.').localeCompare(b.join('.'), 'en', { numeric: true }) <= 0;
    return (isUp ? [a, b] : [b, a]).map((one) => formatAddress(one, 0)).join('-');
  });
const entry = fc.oneof(
  prefix(words4, 32),
  prefix(words6, 128),
  range(words4),
  range(words6),
  fc.constantFrom('0.0.0.0/0', '::/0'),
);
const match: fc.Arbitrary<AddressMatch> = fc.oneof(
  { weight: 4, arbitrary: entry },
  { weight: 2, arbitrary: fc.array(entry, { minLength: 1, maxLength: 4 }) },
  entry.map((not) => ({ not })),
  fc.boolean().map((not) => ({ set: 'large', not })),
);
const some = <T>(arbitrary: fc.Arbitrary<T>) => fc.option(arbitrary, { nil: undefined });
const rule = fc.record({
  from: some(match),
  to: some(match),
  protocol: some(
    fc.oneof(fc.constantFrom('tcp' as const, 'udp' as const), fc.constant(['tcp' as const, 'udp' as const])),
  ),
  ports: some(
    fc.constantFrom({ to: 53 }, { to: '50-60' }, { from: 53 }, { to: [53, 99] }, { to: { not: 53 } }),
  ),
  family: some(fc.constantFrom('ipv4' as const, 'ipv6' as const)),
});
const packet = fc
  .tuple(
    fc.boolean(),
    words4,
    words4,
    words6,
    words6,
    fc.constantFrom(6, 17, 47),
    fc.constantFrom(53, 99, 55),
  )
  .map(([isFour, from4, to4, from6, to6, protocol, port]) => ({
    ...ordinaryPacket,
    addresses: isFour
      ? ({ source: from4, destination: to4, family: 4 } as const)
      : ({ source: from6, destination: to6, family: 6 } as const),
    protocol,
    ports: { from: port, to: port },
  }));

/** More ranges than are kept by their prefixes. */
const large = Array.from({ length: 128 }, (_, index) => `10.255.${index * 2}.0/24`);

t.test('what matches is found, in order', async (t) => {
  let [asked, found, matched] = [0, 0, 0];
  fc.assert(
    fc.property(
      fc.array(rule, { minLength: 1, maxLength: 40 }),
      fc.array(packet, { minLength: 1, maxLength: 20 }),
      (conditions, packets) => {
        const rules: PacketRule[] = conditions.map((one, index) => {
          const stated = Object.entries(one).filter(([, value]) => value !== undefined);
          const wanted = Object.fromEntries(stated) as Partial<PacketRule>;
          return { id: `r${index}`, action: 'drop', ...wanted };
        });
        const document: PacketPolicy = {
          apiVersion: 'husk/v1',
          kind: 'PacketPolicy',
          metadata: { name: 'p' },
          spec: {
            mode: 'enforce',
            zones: { wan: { interfaces: ['w0'] } },
            sets: { large },
            ingress: [{ zone: 'wan', default: 'drop', rules }],
            egress: [],
          },
        };
        const sets = new SetResolver([document]);
        const resolved = (one: AddressMatch | undefined) =>
          one === undefined ? null : sets.match(document, one);
        const index = new RuleIndex(
          rules.map((one) => packetConditions(one, resolved(one.from), resolved(one.to))),
        );
        const judged = rules.map((one) => conditionsOf(document, one, 'ingress', sets));
        for (const wanted of packets) {
          const read = parsePacket(buildPacket(wanted));
          if (read === 'unparseable') throw new Error('a packet made to order');
          const seen: Seen = {
            ...{ packet: read, interface: 'w0', direction: 'ingress', cameBy: null },
            ...{ state: null, isToDevice: false },
          };
          const around = index.around(read);
          const matching = judged.flatMap((all, place) => (all.every((holds) => holds(seen)) ? [place] : []));
          if (around.some((place, at) => at > 0 && place <= (around[at - 1] ?? -1)))
            throw new Error(`out of order: ${around}`);
          const missed = matching.find((place) => !around.includes(place));
          if (missed !== undefined) throw new Error(`missed ${JSON.stringify(rules[missed])}`);
          asked += rules.length;
          found += around.length;
          matched += matching.length;
        }
      },
    ),
    { seed, endOnFailure: true, numRuns: 400 },
  );
  t.comment(`${asked} asked, ${found} found, ${matched} match`);
  t.ok(matched > 300, 'rules and packets meet');
  t.ok(found * 2 < asked, 'most rules that do not match are not found');
});
