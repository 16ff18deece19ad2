// Goal: what is wrong across documents is found, and nothing that is right is called wrong.
// Method: documents without a text. Faults inside one file are in test/cases/policy/*.case.

import t from 'tap';
import type {
  HardeningPolicy,
  PacketMatch,
  PacketPolicy,
  PolicyDocument,
} from '../../../agent/contract/policy.ts';
import { checkDocuments } from '../../../agent/policy/check.ts';
import { formatFault } from '../../../agent/policy/faults.ts';

const apiVersion = 'husk/v1';
const packets = (
  name: string,
  zone: string,
  glob: string,
  spec: Partial<PacketPolicy['spec']> = {},
): PacketPolicy => ({
  apiVersion,
  kind: 'PacketPolicy',
  metadata: { name },
  spec: {
    mode: 'enforce',
    zones: { [zone]: { interfaces: [glob] } },
    ingress: [{ zone, default: 'drop', rules: [] }],
    egress: [],
    ...spec,
  },
});
const calls = (
  name: string,
  ids: readonly string[],
  spec: Partial<HardeningPolicy['spec']> = {},
): HardeningPolicy => ({
  apiVersion,
  kind: 'HardeningPolicy',
  metadata: { name },
  spec: {
    mode: 'enforce',
    subject: { cgroup: 'd' },
    rules: ids.map((id, index) => ({ id, bind: { ports: index }, action: 'deny' })),
    ...spec,
  },
});
const faultsOf = (...documents: readonly PolicyDocument[]) => checkDocuments(documents).map(formatFault);

t.test('names are unique for each kind', async (t) => {
  t.strictSame(faultsOf(packets('a', 'x', 'x'), calls('a', ['r'])), []);
  t.strictSame(faultsOf(calls('a', []), calls('a', [])), [
    'documents[1].metadata.name: there is another HardeningPolicy "a"',
  ]);
});

t.test('rules are counted under different ids, whatever kind their document is', async (t) => {
  const rule = { id: 'r', action: 'drop' } as const;
  const policy = packets('a', 'x', 'x', { ingress: [{ zone: 'x', default: 'allow', rules: [rule] }] });
  t.strictSame(faultsOf(policy, calls('a', ['r'])), [
    'documents[1].spec.rules[0].id: there is another rule "r" that is counted as "a/r"',
  ]);
  t.strictSame(faultsOf(calls('a', ['default-bind'], { default: { bind: 'deny' } })), [
    'documents[0].spec.rules[0].id: there is another rule "default-bind" that is counted as "a/default-bind"',
  ]);
  t.strictSame(faultsOf(calls('a', ['default-bind'], { default: { connect: 'deny' } })), []);
});

t.test('a full name fits its place in the kernel', async (t) => {
  const [name, id] = ['n'.repeat(63), 'r'.repeat(63)];
  t.strictSame(faultsOf(calls(name, [id])), [], '127 bytes');
  const zone = 'z'.repeat(63);
  t.match(
    faultsOf(packets(name, zone, 'x')).join(),
    /is 143 bytes long, and a rule's full name may have 127/,
  );
});

t.test('a rule of whose condition a negation leaves nothing never matches', async (t) => {
  const udp = { protocol: 'udp' } as const;
  const whole = ['0-1023', '1024-65535'];
  const conditions: readonly (readonly [what: string, match: PacketMatch])[] = [
    ['ports', { ...udp, ports: { to: { not: whole } } }],
    ['ports', { ...udp, ports: { from: { not: whole }, to: 1 } }],
    ['icmp', { protocol: 'icmp', icmp: { not: '0-255' } }],
    ['dscp', { dscp: { not: Array.from({ length: 64 }, (_, one) => one) } }],
    ['length', { length: { not: '0-65535' } }],
    ['interface', { interface: { not: ['x', '*'] } }],
  ];
  for (const [what, match] of conditions) {
    const rules = [{ id: 'r', ...match, action: 'drop' } as const];
    const found = faultsOf(packets('a', 'x', 'x', { ingress: [{ zone: 'x', default: 'allow', rules }] }));
    t.strictSame(
      found,
      [`documents[0].spec.ingress[0].rules[0].id: rule "r" can never match: its ${what} leaves nothing`],
      JSON.stringify(match),
    );
  }
});

t.test('an interface is in one zone over all policies that are on', async (t) => {
  t.strictSame(faultsOf(packets('a', 'x', 'eth*'), packets('b', 'y', 'eth0')), [
    'documents[1].spec.zones.y.interfaces[0]: an interface can be both "eth0" and "eth*" and would also be in zone a/x',
  ]);
  t.strictSame(faultsOf(packets('a', 'x', 'eth0'), packets('b', 'y', 'eth0')), [
    'documents[1].spec.zones.y.interfaces[0]: "eth0" would also be in zone a/x',
  ]);
  t.strictSame(faultsOf(packets('a', 'x', 'eth*'), packets('b', 'y', 'eth0', { mode: 'off' })), []);
  t.strictSame(faultsOf(packets('a', 'x', 'eth?'), packets('b', 'y', 'eth10')), []);
});

t.test('policies agree on packets that cannot be read', async (t) => {
  const drop = packets('a', 'x', 'x');
  t.strictSame(faultsOf(drop, packets('b', 'y', 'y')), []);
  t.strictSame(faultsOf(drop, packets('b', 'y', 'y', { unparseable: 'allow' })), [
    'documents[1].spec.unparseable: comes to allow, but a says drop; a device has one verdict for packets that cannot be read',
  ]);
  t.match(
    faultsOf(drop, packets('b', 'y', 'y', { mode: 'monitor' })).join(),
    /documents\[1\]\.spec\.mode: comes to allow, since its mode is monitor/,
  );
  t.strictSame(
    faultsOf(
      { ...drop, spec: { ...drop.spec, unparseable: 'allow' } },
      packets('b', 'y', 'y', { mode: 'monitor' }),
    ),
    [],
  );
  t.strictSame(faultsOf(drop, packets('b', 'y', 'y', { mode: 'off', unparseable: 'allow' })), []);
});

t.test('an AddressSet has addresses, and only those', async (t) => {
  const set = (spec: { readonly addresses?: readonly string[]; readonly file?: string }): PolicyDocument => ({
    apiVersion,
    kind: 'AddressSet',
    metadata: { name: 's' },
    spec,
  });
  t.strictSame(faultsOf(set({ addresses: [] })), []);
  t.strictSame(
    faultsOf(set({ addresses: ['10.0.0.0/8', '10.1.0.0/16', '10.0.0.0/8'] })),
    [],
    'entries may overlap',
  );
  t.strictSame(faultsOf(set({})), ['documents[0].spec: has neither addresses nor file']);
  t.strictSame(faultsOf(set({ addresses: [], file: 'x' })), [
    'documents[0].spec.file: stands beside addresses; one of the two has to go',
  ]);
  t.match(faultsOf(set({ file: 'x' })).join(), /was not read in/);
});

t.test('a shield may deny what the policy beside it denies already', async (t) => {
  const base = calls('base', [], { rules: [{ id: 'all', connect: {}, action: 'deny' }] });
  const shield = calls('cve-2023-1389', [], {
    rules: [{ id: 'no-home', connect: { except: ['127.0.0.0/8'] }, action: 'deny' }],
  });
  t.strictSame(faultsOf(base, shield), []);
  t.strictSame(faultsOf(shield, base), []);
});

t.test('rules are compared quickly, however many there are', async (t) => {
  const rules = Array.from({ length: 3000 }, (_, index) => ({
    id: `r${index}`,
    from: `10.${index >> 8}.${index & 255}.0/24`,
    protocol: 'tcp' as const,
    ports: { to: index },
    action: index % 2 === 0 ? ('drop' as const) : ('allow' as const),
  }));
  const start = performance.now();
  t.strictSame(faultsOf(packets('a', 'x', 'x', { ingress: [{ zone: 'x', default: 'allow', rules }] })), []);
  const ms = performance.now() - start;
  t.comment(`${Math.round(ms)} ms`);
  t.ok(ms < 10_000);
});

t.test('large sets that lie in each other are compared once, not for every pair of rules', async (t) => {
  const list = (count: number) =>
    Array.from(
      { length: count },
      (_, index) => `10.${index >> 13}.${(index >> 5) & 255}.${(index & 31) * 8}`,
    );
  const rules = Array.from({ length: 120 }, (_, index) => ({
    id: `r${index}`,
    from: { set: index % 2 === 0 ? 'inner' : 'outer' },
    protocol: 'tcp' as const,
    ports: { to: index },
    action: index % 4 < 2 ? ('drop' as const) : ('allow' as const),
  }));
  const policy = packets('a', 'x', 'x', {
    sets: { inner: list(100_000), outer: list(100_001) },
    ingress: [{ zone: 'x', default: 'allow', rules }],
  });
  const start = performance.now();
  const errors = checkDocuments([policy]).filter(({ severity }) => severity === 'error');
  const ms = performance.now() - start;
  t.strictSame(errors, []);
  t.comment(`${Math.round(ms)} ms`);
  t.ok(ms < 5000);
});
