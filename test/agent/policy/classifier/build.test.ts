// Goal: the table says of every packet what the list says: the first entry that matches, and after it the next,
// for every dimension of an entry, in tables of all three sizes; and what does not fit is refused by name.
// Method: lists from seeds, built and walked in plain TypeScript, against the reference that goes through the
// entries one by one. A failure names its seed. test/bpf/classify.test.ts does the same in the kernel.

import t, { type Test } from 'tap';
import { buildClassifier, type ClassifierSize } from '../../../../agent/policy/classifier/build.ts';
import {
  anyDevice,
  anyFragment,
  anySets,
  anyState,
  anyZone,
  type ClassifierEntry,
  type ClassifierKey,
  ClassifierLimitError,
} from '../../../../agent/policy/classifier/entry.ts';
import { firstMatch } from '../../../../agent/policy/classifier/reference.ts';
import { ClassifierWalker } from '../../../../agent/policy/classifier/walk.ts';
import { allIpv4, allIpv6, rangesFrom } from '../../../../agent/policy/ranges.ts';
import { HUSK_CLASSIFIER_SMALL_BYTES } from '../../../../bpf/abi/layout.gen.ts';
import { mixedPacket, packetOf, Random, randomPacket, ruleList, shapes } from '../../../bench/rule-lists.ts';
import { worldEntries, worldKey } from './worlds.ts';

const anything: ClassifierEntry = {
  ipv4: { from: allIpv4, to: allIpv4 },
  ipv6: { from: allIpv6, to: allIpv6 },
  other: true,
  protocols: null,
  ports: null,
  zones: anyZone,
  states: anyState,
  device: anyDevice,
  fragments: anyFragment,
  sets: anySets,
  row: 7,
};
const packet: ClassifierKey = {
  family: 'ipv4',
  saddr: Uint32Array.of(0, 0, 0xffff, 0xc0000201),
  daddr: Uint32Array.of(0, 0, 0xffff, 0xc6336401),
  ipProto: 6,
  hasPorts: true,
  sport: 4444,
  dport: 443,
  ...{ zone: 3, state: 1, device: 0, fragment: 0, sets: 0 },
};

/** Every match of each key, one after another, as the list has them. */
function agrees(
  t: Test,
  entries: readonly ClassifierEntry[],
  keys: readonly ClassifierKey[],
  what: string,
): void {
  const walker = new ClassifierWalker(buildClassifier(entries).bytes);
  for (const key of keys) {
    for (let from = 0; ; ) {
      const want = firstMatch(entries, key, from);
      const found = walker.first(key, from);
      if (found.entry !== want || (want >= 0 && found.row !== entries[want]?.row)) {
        t.fail(`${what}: from ${from}, entry ${found.entry} and not ${want}`, { key });
        return;
      }
      if (want < 0) break;
      from = want + 1;
    }
  }
  t.pass(`${what}: ${keys.length} keys`);
}

t.test('small worlds: every match of every key', async (t) => {
  for (let seed = 1; seed <= 60; seed++) {
    const random = new Random(seed);
    const entries = worldEntries(random, 1 + random.below(64), seed % 3 === 0);
    agrees(
      t,
      entries,
      Array.from({ length: 300 }, () => worldKey(random)),
      `seed ${seed}`,
    );
  }
});

t.test('worlds of several words: every match of every key', async (t) => {
  for (let seed = 1; seed <= 12; seed++) {
    const random = new Random(seed * 77);
    const entries = worldEntries(random, 65 + random.below(600), seed % 2 === 0);
    agrees(
      t,
      entries,
      Array.from({ length: 200 }, () => worldKey(random)),
      `seed ${seed}`,
    );
  }
});

t.test('IPv6 ranges that begin and end at the edges of pages, and beside them', async (t) => {
  const random = new Random(5);
  // First addresses of what roots, pages, slots and nodes are about, and of a few of their neighbours.
  const edges = [12n, 20n, 28n, 36n, 64n, 128n].flatMap((length) =>
    [0n, 1n, 2n, 255n, 256n].map((more) => (0x20010n << 108n) + (more << (128n - length))),
  );
  const beside = () => random.pick(edges) + BigInt(random.below(3) - 1);
  const words = (value: bigint) =>
    Uint32Array.from([96n, 64n, 32n, 0n], (shift) => Number(BigInt.asUintN(32, value >> shift)));
  const range = () => {
    const [first, last] = [beside(), beside()].sort((a, b) => (a < b ? -1 : 1));
    return Uint32Array.of(...words(first ?? 0n), ...words(last ?? 0n));
  };
  const key = (): ClassifierKey => ({
    ...packet,
    family: 'ipv6',
    saddr: words(beside()),
    daddr: words(beside()),
  });
  for (let list = 0; list < 60; list++) {
    const entries = Array.from({ length: 1 + random.below(20) }, (_, row) => ({
      ...anything,
      ipv6: { from: range(), to: random.below(3) > 0 ? allIpv6 : range() },
      row,
    }));
    agrees(t, entries, Array.from({ length: 300 }, key), `list ${list}`);
  }
});

t.test('long lists in the manner of ClassBench', async (t) => {
  for (const family of ['ipv4', 'ipv6'] as const) {
    for (const shape of shapes) {
      const entries = ruleList(shape, 5000, { seed: 3, family });
      const random = new Random(11);
      const keys = Array.from({ length: 250 }, (_, index) =>
        index % 5 === 0
          ? randomPacket(family, random)
          : index % 2 === 0
            ? packetOf(random.pick(entries), random)
            : mixedPacket(entries, random),
      );
      agrees(t, entries, keys, `${shape} ${family}`);
    }
  }
});

t.test('each dimension alone decides', async (t) => {
  const narrow: readonly (readonly [Partial<ClassifierEntry>, Partial<ClassifierKey>])[] = [
    [{ ipv4: null }, { family: 'ipv6', saddr: new Uint32Array(4), daddr: new Uint32Array(4) }],
    [{ ipv4: { from: rangesFrom(['192.0.2.0/31'], fault).ipv4, to: allIpv4 } }, {}],
    [{ ipv4: { from: allIpv4, to: rangesFrom(['198.51.100.1'], fault).ipv4 } }, {}],
    [{ protocols: [6] }, {}],
    [{ ports: { from: [{ first: 4444, last: 4444 }], to: [{ first: 0, last: 65535 }] } }, {}],
    [{ ports: { from: [{ first: 0, last: 65535 }], to: [{ first: 400, last: 443 }] } }, {}],
    [{ zones: 1 << 3 }, {}],
    [{ states: 1 << 1 }, {}],
    [{ device: 1 }, {}],
    [{ fragments: 1 }, {}],
    [{ sets: { care: 0x81, value: 0x80 } }, { sets: 0x86 }],
  ];
  const away: readonly Partial<ClassifierKey>[] = [
    {},
    { saddr: Uint32Array.of(0, 0, 0xffff, 0xc0000202) },
    { daddr: Uint32Array.of(0, 0, 0xffff, 0xc6336402) },
    { ipProto: 17 },
    { sport: 4445 },
    { dport: 444 },
    { zone: 4 },
    { state: 2 },
    { device: 1 },
    { fragment: 1 },
    { sets: 0x87 },
  ];
  narrow.forEach(([entry, key], index) => {
    const walker = new ClassifierWalker(buildClassifier([{ ...anything, ...entry }]).bytes);
    t.equal(walker.first({ ...packet, ...key }).entry, 0, `${Object.keys(entry)[0]}: matches`);
    t.equal(walker.first({ ...packet, ...key }).row, 7);
    const other = index === 0 ? packet : { ...packet, ...key, ...away[index] };
    t.equal(walker.first(other).entry, -1, `${Object.keys(entry)[0]}: does not`);
  });
});

t.test('frames that are not IP, and packets without ports', async (t) => {
  const ofPorts = {
    ...anything,
    ports: { from: [{ first: 0, last: 65535 }], to: [{ first: 0, last: 65535 }] },
  };
  const entries = [ofPorts, { ...anything, protocols: [0] }, { ...anything, other: false }, anything];
  const walker = new ClassifierWalker(buildClassifier(entries).bytes);
  t.equal(walker.first(packet).entry, 0);
  t.equal(walker.first({ ...packet, hasPorts: false }).entry, 2, 'no entry of ports, however wide');
  t.equal(walker.first({ ...packet, hasPorts: false, ipProto: 0 }).entry, 1);
  t.equal(
    walker.first({ ...packet, family: 'other', ipProto: 0, hasPorts: false }).entry,
    3,
    'not protocol 0 either',
  );
});

t.test('no entries, and entries of nothing', async (t) => {
  t.equal(new ClassifierWalker(buildClassifier([]).bytes).first(packet).entry, -1);
  const none = { ...anything, ipv4: { from: new Uint32Array(), to: allIpv4 } };
  const walker = new ClassifierWalker(buildClassifier([none, { ...anything, zones: 0 }, anything]).bytes);
  t.equal(walker.first(packet).entry, 2);
});

t.test('sizes grow with the list, and bytes do not depend on anything else', async (t) => {
  const sizes: readonly (readonly [number, ClassifierSize])[] = [
    [10, 'small'],
    [1000, 'medium'],
    [4500, 'large'],
  ];
  for (const [count, size] of sizes) {
    const image = buildClassifier(ruleList('fw1', count));
    t.equal(image.size, size);
    t.ok(image.statistics.bytesUsed <= image.bytes.length);
    t.equal(image.statistics.entries, count);
    t.strictSame(buildClassifier(ruleList('fw1', count)).bytes, image.bytes);
  }
});

t.test('address lists of tens of thousands of ranges', async (t) => {
  const random = new Random(5);
  const list = (count: number) => {
    const texts = Array.from({ length: count }, () => {
      const word = random.word();
      return `${1 + (word & 127)}.${(word >>> 8) & 255}.${(word >>> 16) & 255}.${word >>> 24}`;
    });
    return rangesFrom(texts, fault).ipv4;
  };
  const entries = [
    { ...anything, ipv4: { from: list(12_000), to: allIpv4 } },
    { ...anything, ipv4: { from: allIpv4, to: list(9_000) }, ipv6: null },
    { ...anything, protocols: [17] },
  ];
  const keys = Array.from({ length: 2000 }, (_, index) => {
    const key = packetOf(entries[index % 2] as ClassifierEntry, random);
    return index % 4 < 2 ? key : { ...randomPacket('ipv4', random), daddr: key.daddr };
  });
  agrees(t, entries, keys, 'lists');
});

t.test('what does not fit is refused by the name of the limit', async (t) => {
  const refused = (build: () => unknown, limit: string): void => {
    try {
      build();
      t.fail(`${limit}: nothing was refused`);
    } catch (error) {
      t.ok(error instanceof ClassifierLimitError, limit);
      if (!(error instanceof ClassifierLimitError)) return;
      t.equal(error.limit, limit);
      t.ok(error.value > error.max, error.message);
    }
  };
  const wide = Array.from({ length: 10_049 }, (_, row) => ({ ...anything, row }));
  refused(() => buildClassifier(wide), 'entries');
  refused(() => buildClassifier(ruleList('acl1', 1000), { bytesMax: HUSK_CLASSIFIER_SMALL_BYTES }), 'memory');
  const ladder = Array.from({ length: 4000 }, (_, step) => {
    const range = Uint32Array.of(0, 0, 0xffff, step * 1000, 0, 0, 0xffff, step * 1000 + 0x7fffffff);
    return { ...anything, ipv4: { from: range, to: allIpv4 } };
  });
  refused(() => buildClassifier(ladder), 'address classes');
});

function fault(_index: number, message: string): void {
  throw new Error(message);
}
