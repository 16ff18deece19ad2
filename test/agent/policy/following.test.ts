// Goal: following the device gives the very tables that compiling everything again would, and own addresses and floor
// patterns are what PACKETS.md and the kernel's comparison say.
// Method: a policy compiled twice, for two devices; addresses and globs written down, globs against the matcher.

import t from 'tap';
import { followingKinds } from '../../../agent/kernel/tables.ts';
import { compile, compileFollowing } from '../../../agent/policy/compile.ts';
import { type DeviceInterface, usualNeverDrop } from '../../../agent/policy/device-view.ts';
import { encodeFloorPattern, floorPatterns } from '../../../agent/policy/floor-patterns.ts';
import { matchesGlob } from '../../../agent/policy/globs.ts';
import { ownAddresses } from '../../../agent/policy/own-addresses.ts';
import { parseDocuments } from '../../../agent/policy/parse.ts';

const { documents, faults } = parseDocuments([
  {
    apiVersion: 'husk/v1',
    kind: 'PacketPolicy',
    metadata: { name: 'p' },
    spec: {
      mode: 'enforce',
      zones: { wan: { interfaces: ['eth0', 'ppp*'] }, lan: { interfaces: ['eth*.?', 'br*'] } },
      ingress: [
        {
          zone: 'wan',
          default: 'drop',
          rules: [
            { id: 'a', interface: 'ppp*', action: 'allow' },
            { id: 'b', interface: { not: 'eth0' }, from: '192.0.2.0/24', action: 'drop' },
          ],
        },
      ],
      egress: [{ zone: 'lan', default: 'allow', rules: [{ id: 'c', interface: ['br*'], action: 'drop' }] }],
    },
  },
  {
    apiVersion: 'husk/v1',
    kind: 'HardeningPolicy',
    metadata: { name: 'h' },
    spec: {
      mode: 'enforce',
      subject: { cgroup: 'svc' },
      rules: [{ id: 'd', connect: { to: ['198.51.100.0/24'] }, action: 'deny' }],
    },
  },
]);

const one = (name: string, index: number, more: Partial<DeviceInterface> = {}): DeviceInterface => ({
  name,
  index,
  link: 'ethernet',
  addresses: [],
  ...more,
});
const facts = (interfaces: readonly DeviceInterface[], cgroup: bigint | null) => {
  const ids: string[] = [];
  return {
    interfaces,
    neverDrop: usualNeverDrop,
    cgroupId: () => cgroup,
    bootSeconds: () => null,
    ruleIndex: (id: string) => (ids.includes(id) ? ids.indexOf(id) : ids.push(id) - 1),
  };
};

t.test('the same tables as compiling again', async (t) => {
  t.strictSame(faults, []);
  const before = compile(documents, facts([one('eth0', 2)], null));
  const now = facts(
    [
      one('eth0', 2),
      one('eth0.5', 3, { over: { kind: 'vlan', parent: 2, id: 5 } }),
      one('ppp0', 4, { link: 'ip', over: { kind: 'pppoe', parent: 2 } }),
      one('br0', 5, { over: { kind: 'bridge', ports: [2] } }),
    ],
    77n,
  );
  const again = compile(documents, now);
  const followed = compileFollowing(before, now);
  t.strictSame(
    followed.tables.toSorted((a, b) => a.kind - b.kind),
    again.tables.filter(({ kind }) => followingKinds.includes(kind)),
  );
  t.strictSame(
    followed.tables.map(({ count }) => count),
    [4, 1, 1],
  );
  t.strictSame(followed.leftOut, again.leftOut);
  t.equal(followed.leftOut.length, 1);
});

t.test(
  'own addresses: of all interfaces, with broadcast addresses of IPv4 networks that have one',
  async (t) => {
    const hex = (...addresses: readonly string[]) =>
      ownAddresses([{ addresses }]).keys.map((key) => Buffer.from(key).toString('hex'));
    const mapped = '00000000000000000000ffff';
    t.strictSame(hex('192.0.2.1/24'), [`${mapped}c0000201`, `${mapped}c00002ff`]);
    t.strictSame(hex('192.0.2.129/30'), [`${mapped}c0000281`, `${mapped}c0000283`]);
    t.strictSame(hex('192.0.2.1/31', '192.0.2.9/32'), [`${mapped}c0000201`, `${mapped}c0000209`]);
    t.strictSame(hex('255.0.0.1/8'), [`${mapped}ff000001`, `${mapped}ffffffff`]);
    t.strictSame(hex('2001:db8::1/64'), ['20010db8000000000000000000000001']);
    t.strictSame(hex('192.0.2.1/24', '192.0.2.1/24').length, 2, 'each once');
    const many = Array.from({ length: 1025 }, (_, n) => `2001:db8::${n.toString(16)}/64`);
    t.equal(ownAddresses([{ addresses: many }]).beyond, 1);
    t.equal(ownAddresses([{ addresses: many }]).keys.length, 1024);
  },
);

/** As bpf/floor.bpf.c compares. */
function fits(glob: string, name: string): boolean {
  const pattern = encodeFloorPattern(glob);
  if (pattern === null) throw new Error(`${glob} cannot be said`);
  const bytes = new Uint8Array(16);
  bytes.set(new TextEncoder().encode(name));
  const view = new DataView(bytes.buffer);
  return (
    name.length >= pattern.least &&
    [0, 1].every((half) => {
      const differs = view.getBigUint64(half * 8, true) ^ (pattern.value[half] ?? 0n);
      return (differs & (pattern.mask[half] ?? 0n)) === 0n;
    })
  );
}

t.test('floor patterns fit what the globs fit', async (t) => {
  const globs = [
    '*',
    'wan*',
    'wan0',
    'wan?',
    '?an*',
    'a?',
    'abcdefghijklmno',
    'abcdefghijklm??',
    'abcdefghijklmn*',
  ];
  const names = [
    'w',
    'wan',
    'wan0',
    'wan1',
    'wan10',
    'lan0',
    'a',
    'ab',
    'abc',
    'abcdefghijklmn',
    'abcdefghijklmno',
    'abcdefghijklmxy',
  ];
  for (const glob of globs)
    for (const name of names) t.equal(fits(glob, name), matchesGlob(glob, name), `${glob} ${name}`);
  t.equal(encodeFloorPattern('a*b'), null);
  t.equal(encodeFloorPattern('**'), null);
  t.strictSame(floorPatterns(['wan*', 'a*b', 'wan*', 'l?n'], 'netfilter'), {
    globs: ['wan*', 'l?n'],
    not: ['a*b'],
  });
  t.strictSame(floorPatterns(['wan*', 'l?n', 'x"y'], 'nft'), { globs: ['wan*'], not: ['l?n', 'x"y'] });
  const many = Array.from({ length: 70 }, (_, n) => `if${n}`);
  t.equal(floorPatterns(many, 'netfilter').not.length, 6);
});
