// Goal: who repeats the benchmark meets the very lists and packets that were measured: a seed makes the same ones anywhere.
// Method: lists of each shape in both families and packets drawn from them, by their digests, which are written here.

import { createHash } from 'node:crypto';
import t from 'tap';
import { mixedPacket, packetOf, Random, ruleList, shapes } from './rule-lists.ts';

const digests: Readonly<Record<string, string>> = {
  'acl1, ipv4': '414d1ab3e5283195',
  'acl1, ipv6': 'a07e06cefab56515',
  'acl2, ipv4': 'dd11ce53b5e410e6',
  'acl2, ipv6': 'b80157dfd05e8e72',
  'fw1, ipv4': 'd56a0ef16750455a',
  'fw1, ipv6': '4115152bdc6c95c3',
  'ipc1, ipv4': '9beb083ed2fe3336',
  'ipc1, ipv6': '1ce1e8550ab02075',
};

function digestOf(shape: (typeof shapes)[number], family: 'ipv4' | 'ipv6', seed: number): string {
  const list = ruleList(shape, 300, { seed, family });
  const random = new Random(seed);
  const packets = list.map((entry) => [packetOf(entry, random), mixedPacket(list, random)]);
  const text = JSON.stringify([list, packets], (_, one) => (typeof one === 'bigint' ? `${one}` : one));
  return createHash('sha256').update(text).digest('hex').slice(0, 16);
}

for (const shape of shapes) {
  for (const family of ['ipv4', 'ipv6'] as const) {
    const name = `${shape}, ${family}`;
    t.test(name, async (t) => {
      t.equal(ruleList(shape, 300, { family }).length, 300);
      t.equal(digestOf(shape, family, 1), digests[name]);
      t.not(digestOf(shape, family, 2), digests[name], 'another seed, other rules');
    });
  }
}
