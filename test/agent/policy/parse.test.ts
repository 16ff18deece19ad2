// Goal: values from a bundle become documents or faults with a path, and nothing odd gets through.
// Method: one document of each kind, then the same with something wrong.

import t from 'tap';
import type { HardeningPolicy, PacketPolicy } from '../../../agent/contract/policy.ts';
import { baseline } from '../../../agent/policy/baseline.ts';
import { checkDocuments } from '../../../agent/policy/check.ts';
import { formatFault } from '../../../agent/policy/faults.ts';
import { parseDocuments } from '../../../agent/policy/parse.ts';

const packets: PacketPolicy = {
  apiVersion: 'husk/v1',
  kind: 'PacketPolicy',
  metadata: { name: 'p', labels: { 'site/kind': 'branch' }, owner: 'noc' },
  spec: {
    mode: 'enforce',
    zones: { wan: { interfaces: ['eth0'] } },
    ingress: [
      {
        zone: 'wan',
        default: 'drop',
        rules: [{ id: 'a', protocol: 'tcp', ports: { to: [22, '80-90'] }, action: 'allow' }],
      },
    ],
    egress: [],
  },
};
const calls: HardeningPolicy = {
  apiVersion: 'husk/v1',
  kind: 'HardeningPolicy',
  metadata: { name: 'h' },
  spec: {
    mode: 'monitor',
    subject: { cgroup: 'a/b.service' },
    rules: [{ id: 'x', socket: { type: ['raw'] }, action: 'deny' }],
  },
};

const faultsOf = (...values: readonly unknown[]) => parseDocuments(values).faults.map(formatFault);
/** A copy with one value replaced; undefined takes the key away. */
function changed(document: object, path: readonly (string | number)[], value: unknown): unknown {
  const copy = structuredClone(document);
  const holder = path
    .slice(0, -1)
    .reduce<Record<string, unknown>>(
      (at, part) => at[part] as Record<string, unknown>,
      copy as Record<string, unknown>,
    );
  const key = String(path.at(-1));
  if (value === undefined) delete holder[key];
  else holder[key] = value;
  return copy;
}

t.test('faultless documents come out as they went in', async (t) => {
  const { documents, faults } = parseDocuments([packets, calls, ...baseline]);
  t.strictSame(faults, []);
  t.strictSame(documents, [packets, calls, ...baseline]);
  t.strictSame(checkDocuments(baseline), [], 'the baseline is faultless');
});

t.test('a list that the schema never sees is judged as one that it sees', async (t) => {
  const addresses = Array.from({ length: 5000 }, (_, index) => `10.1.${index >> 8}.${index & 255}`);
  const list = { apiVersion: 'husk/v1', kind: 'AddressSet', metadata: { name: 'l' }, spec: { addresses } };
  t.strictSame(parseDocuments([list]), { documents: [list], faults: [] });
  const entry = (value: unknown) => faultsOf(changed(list, ['spec', 'addresses', 4000], value));
  t.strictSame(entry(7), ['documents[0].spec.addresses[4000]: has to be text, not 7']);
  t.strictSame(entry(''), ['documents[0].spec.addresses[4000]: must not be empty']);
  t.strictSame(entry('1'.repeat(92)), ['documents[0].spec.addresses[4000]: is too long: at most 91']);
  t.strictSame(faultsOf(changed(list, ['spec', 'extra'], 1)), ['documents[0].spec.extra: is not known here']);
  t.strictSame(faultsOf(changed(list, ['metadata'], undefined)), ['documents[0].metadata: is required']);
  const mixed = parseDocuments([list, packets, changed(list, ['spec', 'addresses'], addresses.slice(0, 3))]);
  t.strictSame(mixed.faults, []);
  t.equal(mixed.documents.length, 3);
});

t.test('a key that is there without a value is a fault, and one that is not there is none', async (t) => {
  const path = ['spec', 'ingress', 0, 'rules', 0];
  for (const key of ['protocol', 'from', 'limit', 'mode']) {
    const copy = structuredClone(packets) as unknown as Record<string, unknown>;
    const rule = path.reduce((at, part) => (at as never)[part], copy) as Record<string, unknown>;
    rule[key] = undefined;
    t.strictSame(faultsOf(copy), [`documents[0].spec.ingress[0].rules[0].${key}: is required`], key);
  }
});

t.test('a faulty document is left out, with a path from the bundle', async (t) => {
  const { documents, faults } = parseDocuments([packets, changed(calls, ['spec', 'mode'], 'on'), calls]);
  t.strictSame(documents, [packets, calls]);
  t.strictSame(faults.map(formatFault), [
    'documents[1].spec.mode: has to be off, learn, monitor or enforce, not "on"',
  ]);
});

t.test('each of these is a fault', async (t) => {
  const wrong: readonly (readonly [
    document: object,
    path: readonly (string | number)[],
    value: unknown,
    fault: string,
  ])[] = [
    [packets, ['apiVersion'], 'husk/v2', 'apiVersion: has to be husk/v1, not "husk/v2"'],
    [packets, ['apiVersion'], undefined, 'apiVersion: is required'],
    [
      packets,
      ['kind'],
      'Packetpolicy',
      'kind: has to be PacketPolicy, HardeningPolicy, Shield, Exception or AddressSet',
    ],
    [packets, ['extra'], 1, 'extra: is not known here'],
    [
      packets,
      ['metadata', 'name'],
      'Upper',
      'metadata.name: has to be lower case letters, digits, "-" and "."',
    ],
    [
      packets,
      ['metadata', 'name'],
      'a/b',
      'metadata.name: has to be lower case letters, digits, "-" and "."',
    ],
    [packets, ['metadata', 'name'], 'a'.repeat(64), 'metadata.name: is too long: at most 63'],
    [packets, ['metadata', 'owner'], 3, 'metadata.owner: has to be text, not 3'],
    [packets, ['spec', 'zones', 'wan', 'interfaces'], [], 'spec.zones.wan.interfaces: must not be empty'],
    [
      packets,
      ['spec', 'zones', 'wan', 'interfaces'],
      ['a b'],
      'spec.zones.wan.interfaces[0]: has to be the name of an interface; "*" and "?" stand for any characters',
    ],
    [
      packets,
      ['spec', 'zones', 'wan', 'interfaces'],
      ['sixteencharacter'],
      'spec.zones.wan.interfaces[0]: is too long: at most 15',
    ],
    [
      packets,
      ['spec', 'zones', 'a zone'],
      { interfaces: ['x'] },
      'spec.zones["a zone"]: has to be letters, digits, ".", "_" and "-"',
    ],
    [
      packets,
      ['spec', 'ingress', 0, 'rules', 0, 'ports'],
      { to: 70000 },
      'spec.ingress[0].rules[0].ports.to: is too large: at most 65535',
    ],
    [
      packets,
      ['spec', 'ingress', 0, 'rules', 0, 'ports'],
      { to: -1 },
      'spec.ingress[0].rules[0].ports.to: is too small: at least 0',
    ],
    [
      packets,
      ['spec', 'ingress', 0, 'rules', 0, 'ports'],
      { to: 1.5 },
      'spec.ingress[0].rules[0].ports.to: has to be a whole number, text, a list or a map, not 1.5',
    ],
    [
      packets,
      ['spec', 'ingress', 0, 'rules', 0, 'ports'],
      { to: 'ssh' },
      'spec.ingress[0].rules[0].ports.to: has to be a port or a range such as 8000-8080',
    ],
    [
      packets,
      ['spec', 'ingress', 0, 'rules', 0, 'ports'],
      { to: [] },
      'spec.ingress[0].rules[0].ports.to: must not be empty',
    ],
    [
      packets,
      ['spec', 'ingress', 0, 'rules', 0, 'protocol'],
      'tpc',
      'spec.ingress[0].rules[0].protocol: has to be tcp, udp, sctp, icmp, icmpv6, gre, esp, ah, igmp, ospf, vrrp, udplite, a number, a list or a map, not "tpc"',
    ],
    [
      packets,
      ['spec', 'ingress', 0, 'rules', 0, 'protocol'],
      256,
      'spec.ingress[0].rules[0].protocol: is too large: at most 255',
    ],
    [
      packets,
      ['spec', 'ingress', 0, 'rules', 0, 'from'],
      { set: 'x', nto: true },
      'spec.ingress[0].rules[0].from.nto: is not known here',
    ],
    [
      packets,
      ['spec', 'ingress', 0, 'rules', 0, 'from'],
      5,
      'spec.ingress[0].rules[0].from: has to be text, a list or a map, not 5',
    ],
    [
      packets,
      ['spec', 'ingress', 0, 'rules', 0, 'from'],
      [],
      'spec.ingress[0].rules[0].from: must not be empty',
    ],
    [
      packets,
      ['spec', 'ingress', 0, 'rules', 0, 'action'],
      'deny',
      'spec.ingress[0].rules[0].action: has to be allow, drop, reject or log, not "deny"',
    ],
    [
      packets,
      ['spec', 'ingress', 0, 'rules', 0, 'mode'],
      null,
      'spec.ingress[0].rules[0].mode: has to be off, monitor or enforce, not nothing',
    ],
    [packets, ['spec', 'egress'], undefined, 'spec.egress: is required'],
    [
      calls,
      ['spec', 'subject', 'cgroup'],
      '/abs',
      'spec.subject.cgroup: has to be a path below the hardening root such as daemons/httpd, without a slash at its ends',
    ],
    [
      calls,
      ['spec', 'subject', 'cgroup'],
      'a/../b',
      'spec.subject.cgroup: has to be a path below the hardening root such as daemons/httpd, without a slash at its ends',
    ],
    [
      calls,
      ['spec', 'subject', 'cgroup'],
      '',
      'spec.subject.cgroup: has to be a path below the hardening root such as daemons/httpd, without a slash at its ends',
    ],
    [
      calls,
      ['spec', 'rules', 0, 'socket', 'type'],
      ['dgrm'],
      'spec.rules[0].socket.type[0]: has to be stream, dgram, raw or seqpacket, not "dgrm"',
    ],
    [calls, ['spec', 'rules', 0, 'id'], '', 'spec.rules[0].id: has to be letters, digits, ".", "_" and "-"'],
    [
      calls,
      ['spec', 'default'],
      { connect: 'drop' },
      'spec.default.connect: has to be allow or deny, not "drop"',
    ],
    [calls, ['spec', 'default'], { read: 'deny' }, 'spec.default.read: is not known here'],
    [calls, ['spec', 'subject'], { executable: [] }, 'spec.subject.executable: must not be empty'],
    [calls, ['spec', 'subject'], { user: -1 }, 'spec.subject.user: is too small: at least 0'],
    [calls, ['spec', 'subject'], { exe: '/x' }, 'spec.subject.exe: is not known here'],
    [calls, ['spec', 'minimumTier'], 'E', 'spec.minimumTier: has to be A, B, C or D, not "E"'],
    [
      calls,
      ['spec', 'rules', 0],
      { id: 'a', exec: { path: ['/x'] }, action: 'deny' },
      'spec.rules[0].exec.path: is not known here',
    ],
    [
      calls,
      ['spec', 'rules', 0],
      { id: 'a', exec: { memfd: false }, action: 'deny' },
      'spec.rules[0].exec.memfd: has to be true, not false',
    ],
    [
      calls,
      ['spec', 'rules', 0],
      { id: 'a', file: { write: { except: { applets: ['ls'] } } }, action: 'deny' },
      'spec.rules[0].file.write.except.applets: is not known here',
    ],
    [
      calls,
      ['spec', 'rules', 0],
      { id: 'a', memory: {}, action: 'deny' },
      'spec.rules[0].memory.writeExecute: is required',
    ],
    [
      calls,
      ['spec', 'rules', 0],
      { id: 'a', kernel: { modules: true }, action: 'deny' },
      'spec.rules[0].kernel.modules: is not known here',
    ],
  ];
  for (const [document, path, value, fault] of wrong) {
    t.strictSame(faultsOf(changed(document, path, value)), [`documents[0].${fault}`], fault);
  }
});

t.test('values that are no documents', async (t) => {
  for (const value of [null, undefined, 1, 'text', [], true])
    t.equal(faultsOf(value).length, 1, String(value));
  t.match(faultsOf({}).join(), /kind: has to be/);
});

t.test('names with a meaning in JavaScript are names or faults, never more', async (t) => {
  const own = JSON.parse('{"__proto__": {"interfaces": ["x"]}}') as object;
  t.match(faultsOf(changed(packets, ['spec', 'zones'], own)).join(), /zones\.__proto__/);
  const zone = changed(packets, ['spec', 'ingress', 0, 'zone'], 'constructor');
  const { documents } = parseDocuments([zone]);
  t.match(checkDocuments(documents).map(formatFault).join(), /there is no zone "constructor"/);
  const deep = Array.from({ length: 100_000 }).reduce<unknown>((inner) => [inner], 1);
  t.match(faultsOf(changed(packets, ['spec', 'ingress'], deep)).join(), /nested deeper/);
});
