// Goal: every rule that can be tried is, by a packet or call that it decides, within bounded work.
// Method: policies whose rules leave little room: ports beside ports, holes in sets, flags, fragments; what
// cannot be tried must be named. That the kernel agrees with each try is in agreement.test.ts.

import t from 'tap';
import type { PolicyDocument } from '../../../agent/contract/policy.ts';
import { readAndCheck } from '../../../agent/policy/read.ts';
import { makeTries } from '../../../agent/policy/tries.ts';
import { labFacts } from './kernel-lab.ts';

function read(text: string): readonly PolicyDocument[] {
  const { documents, faults } = readAndCheck([{ file: 'x', text }]);
  const errors = faults.filter(({ severity }) => severity === 'error');
  if (errors.length > 0) throw new Error(JSON.stringify(errors));
  return documents;
}
const packets = (rules: string, rest = '') =>
  read(`apiVersion: husk/v1
kind: PacketPolicy
metadata: { name: p }
spec:
  mode: enforce
  zones: { wan: { interfaces: [w0] } }
  sets: { most: [0.0.0.0/1, 128.0.0.0-203.0.113.6, 203.0.113.8-255.255.255.255], one: [203.0.113.0/24] }
  ingress:
    - zone: wan
      default: drop
      rules:
${rules}
  egress: []
${rest}`);

t.test('finds the little room that rules leave', async (t) => {
  const documents = packets(`
        - { id: most, from: { set: most }, action: drop }
        - { id: hole, from: { set: one }, action: allow }
        - { id: low, family: ipv6, protocol: tcp, ports: { to: 0-442 }, action: drop }
        - { id: high, family: ipv6, protocol: tcp, ports: { to: 444-65535 }, action: drop }
        - { id: between, family: ipv6, protocol: tcp, ports: { to: 440-450 }, tcpFlags: { set: [fin, urg, psh], unset: [ack] }, action: drop }
        - { id: rest, family: ipv6, protocol: tcp, ports: { to: 0-65535 }, action: allow }
        - { id: fragments, family: ipv6, protocol: tcp, action: drop }
        - { id: anything-six, family: ipv6, action: allow }`);
  const tries = makeTries(documents, labFacts(['w0']));
  const decided = tries.packets.map(({ expect }) => expect.rule);
  for (const id of [
    'most',
    'hole',
    'low',
    'high',
    'between',
    'rest',
    'fragments',
    'anything-six',
    'wan:default-ingress',
  ]) {
    t.ok(decided.includes(`p/${id}`), id);
  }
  t.strictSame(tries.untried, []);
  const reasons = tries.packets.map(({ direction, expect }) => `${direction} ${expect.reason}`);
  for (const one of [
    'ingress never-drop',
    'ingress unparseable',
    'egress never-drop',
    'egress unparseable',
  ]) {
    t.ok(reasons.includes(one), one);
  }
});

t.test('what cannot be tried is named', async (t) => {
  const documents = packets(`
        - { id: four, family: ipv4, action: allow }
        - { id: low, family: ipv6, from: "::/1", action: allow }
        - { id: high, family: ipv6, from: "8000::/1", action: allow }
        - { id: six-left, family: ipv6, protocol: udp, action: drop }`);
  t.strictSame(makeTries(documents, labFacts(['w0'])).untried, ['p/six-left']);
  const absent = makeTries(documents, labFacts(['other0']));
  t.strictSame(absent.packets, []);
  t.strictSame(absent.untried, ['p/four', 'p/low', 'p/high', 'p/six-left', 'p/wan:default-ingress']);
});

t.test('calls are tried as their subject, and something is let through', async (t) => {
  const documents = read(`apiVersion: husk/v1
kind: HardeningPolicy
metadata: { name: outer }
spec:
  mode: enforce
  subject: { cgroup: d }
  rules:
    - { id: no-mail, connect: { ports: 25 }, action: deny }
---
apiVersion: husk/v1
kind: HardeningPolicy
metadata: { name: inner }
spec:
  mode: enforce
  subject: { cgroup: d/x }
  default: { connect: deny, bind: deny }
  rules:
    - { id: unix, socket: { family: [unix] }, action: allow }
    - { id: no-udp, socket: { family: [inet, inet6], type: [dgram] }, action: deny }
    - { id: no-dns, connect: { protocol: udp, ports: 53 }, action: deny }
`);
  const { calls, untried } = makeTries(documents, labFacts([]));
  const of = (id: string) => calls.find(({ expect }) => expect.rule === id);
  t.equal(of('outer/no-mail')?.subjects, 1n);
  t.equal(of('inner/no-udp')?.subjects, 3n, 'inside both');
  t.equal(of('inner/default-connect')?.expect.verdict, 'deny');
  // No hook shows unix sockets, and without a UDP socket nothing gets to the connect() that no-dns is about.
  t.strictSame(untried, ['inner/no-dns', 'inner/unix']);
  for (const subjects of [1n, 3n]) {
    t.ok(
      calls.some((call) => call.subjects === subjects && call.expect.verdict === 'allow'),
      `allowed for ${subjects}`,
    );
  }
  t.ok(
    calls.every(({ call }) => call.call === 'socket' || call.call === 'bind' || call.port > 0),
    'no port 0',
  );
  t.ok(
    calls.some(({ call }) => call.call === 'sendto'),
    'sends are tried as well as connects',
  );
});

t.test('bounded work for many rules over large sets', async (t) => {
  const addresses = Array.from(
    { length: 100_000 },
    (_, index) => `10.${(index * 7) >> 16}.${((index * 7) >> 8) & 255}.${(index * 7) & 255}`,
  );
  const rules = Array.from({ length: 128 }, (_, index) => ({
    id: `r${index}`,
    from: { set: 'big', not: index % 2 === 1 },
    protocol: 'udp' as const,
    ports: { to: index },
    action: 'drop' as const,
  }));
  const documents: readonly PolicyDocument[] = [
    { apiVersion: 'husk/v1', kind: 'AddressSet', metadata: { name: 'big' }, spec: { addresses } },
    {
      apiVersion: 'husk/v1',
      kind: 'PacketPolicy',
      metadata: { name: 'p' },
      spec: {
        mode: 'enforce',
        zones: { wan: { interfaces: ['w0'] } },
        sets: { big: { addressSet: 'big' } },
        ingress: [{ zone: 'wan', default: 'allow', rules }],
        egress: [],
      },
    },
  ];
  const start = performance.now();
  const tries = makeTries(documents, labFacts(['w0']));
  const ms = performance.now() - start;
  t.comment(`${Math.round(ms)} ms`);
  t.strictSame(tries.untried, []);
  t.ok(ms < 10_000);
});
