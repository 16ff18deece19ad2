// Goal: a table image holds what the documents say, in the order and form bpf/abi/tables.h asks for, within
// its limits, quickly; what does not fit is refused with the count and the limit.
// Method: small documents looked at entry by entry (whole images are in test/cases/policy), documents one
// beyond each limit, and the real block list.

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import t, { type Test } from 'tap';
import type {
  HardeningPolicy,
  HardeningRule,
  PacketPolicy,
  PacketRule,
  PolicyDocument,
} from '../../../agent/contract/policy.ts';
import { RefusalError } from '../../../agent/contract/refusal.ts';
import { parseAddressList } from '../../../agent/policy/address-list.ts';
import { baseline } from '../../../agent/policy/baseline.ts';
import { checkDocuments } from '../../../agent/policy/check.ts';
import { compile } from '../../../agent/policy/compile.ts';
import type { DeviceFacts, TableImage } from '../../../agent/policy/table-image.ts';
import {
  decodeHuskCallList,
  decodeHuskExtra,
  decodeHuskRule,
  decodeHuskZone,
  HUSK_BIG_SETS_MAX,
  HUSK_CALL_RULES_MAX,
  HUSK_INTERFACES_MAX,
  HUSK_RULES_MAX,
  HUSK_SET_USES_MAX,
  HUSK_SUBJECTS_MAX,
  HUSK_ZONES_MAX,
  HuskExtra,
  HuskRule,
  HuskTable,
  HuskZone,
} from '../../../bpf/abi/layout.gen.ts';
import { longestMatch } from '../../cases/interpret.ts';
import { labFacts } from './kernel-lab.ts';

const apiVersion = 'husk/v1';
const view = (bytes: Uint8Array) => new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
const packets = (spec: Partial<PacketPolicy['spec']>, name = 'p'): PacketPolicy => ({
  apiVersion,
  kind: 'PacketPolicy',
  metadata: { name },
  spec: { mode: 'enforce', zones: { wan: { interfaces: ['w0'] } }, ingress: [], egress: [], ...spec },
});
const rules = (...list: readonly PacketRule[]): PacketPolicy =>
  packets({ ingress: [{ zone: 'wan', default: 'drop', rules: list }] });
const calls = (
  list: readonly HardeningRule[],
  spec: Partial<HardeningPolicy['spec']> = {},
  name = 'h',
): HardeningPolicy => ({
  apiVersion,
  kind: 'HardeningPolicy',
  metadata: { name },
  spec: { mode: 'enforce', subject: { cgroup: 'd' }, rules: list, ...spec },
});
const tableOf = (image: TableImage, kind: number) => {
  const table = image.tables.find((one) => one.kind === kind);
  if (table === undefined) throw new Error(`there is no table ${kind}`);
  return table;
};
const rowsOf = <T>(
  image: TableImage,
  kind: number,
  size: number,
  decode: (from: DataView, at: number) => T,
) => {
  const { values } = tableOf(image, kind);
  return many(values.length / size, (row) => decode(view(values), row * size));
};
const ingressOf = (image: TableImage) => rowsOf(image, HuskTable.INGRESS, HuskRule.size, decodeHuskRule);
const extrasOf = (image: TableImage) =>
  rowsOf(image, HuskTable.INGRESS_EXTRA, HuskExtra.size, decodeHuskExtra);
const deviceOf = (rest: Partial<DeviceFacts>): DeviceFacts => ({ ...labFacts([]), ...rest });
const many = <T>(count: number, make: (index: number) => T) =>
  Array.from({ length: count }, (_, index) => make(index));

t.test('all kinds but the generation, in order, each once, keys sorted', async (t) => {
  for (const documents of [
    [],
    baseline,
    [rules({ id: 'a', from: ['10.0.0.0/8', '192.0.2.1', '::1'], action: 'drop' })],
  ]) {
    const image = compile(documents, labFacts(['w0']));
    t.strictSame(
      image.tables.map(({ kind }) => kind),
      [1, 2, 3, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16],
    );
    for (const table of image.tables) {
      t.equal(table.keys.length, table.count * table.keySize, 'keys');
      t.equal(table.values.length, table.count * table.valueSize, 'values');
      t.ok(table.count <= table.maxEntries && table.maxEntries > 0, 'entries');
      for (let at = table.keySize; at < table.keys.length; at += table.keySize) {
        const order = Buffer.compare(
          table.keys.subarray(at - table.keySize, at),
          table.keys.subarray(at, at + table.keySize),
        );
        t.ok(order < 0, 'sorted, no key twice');
      }
    }
  }
});

/** As many single addresses as no rule's own tables take. */
const listed = (first: string, count = 300) =>
  many(count, (index) => `${first}.${index >> 7}.${(index & 127) * 2}`);

t.test('a small set is part of the classes, a large one has a table of its own', async (t) => {
  const rule = (from: PacketRule['from']) =>
    rules({ id: 'a', ...(from === undefined ? {} : { from }), action: 'drop' });
  const big = (image: TableImage) =>
    image.tables
      .filter(({ kind }) => kind >= HuskTable.BIG4 && kind < HuskTable.COUNT)
      .map(({ kind }) => kind);
  const classesOf = (image: TableImage) => tableOf(image, HuskTable.INGRESS_CLASSES).values;
  const any = compile([rule(undefined)], labFacts(['w0']));
  const small = compile([rule(listed('10.0', 256))], labFacts(['w0']));
  t.strictSame(big(small), []);
  t.not(Buffer.compare(classesOf(small), classesOf(any)), 0, 'the classes tell the addresses apart');
  const large = compile([rule(listed('10.0', 257))], labFacts(['w0']));
  t.strictSame(big(large), [HuskTable.BIG4]);
  t.match(large.settings.ingressSets[0], { set: 0, side: 0, hasAdditions: 0 });
  t.match(large.settings.egressSets[0], { set: 8 }, 'and egress asks for none');
  const both = compile(
    [rule([...listed('10.0'), ...many(300, (index) => `2001:db8::${(index * 2).toString(16)}`)])],
    labFacts(['w0']),
  );
  t.strictSame(big(both), [HuskTable.BIG4, HuskTable.BIG6]);
});

t.test('rules that name the same set share its table, and a use each side', async (t) => {
  const list: PolicyDocument = {
    apiVersion,
    kind: 'AddressSet',
    metadata: { name: 'feed' },
    spec: { addresses: listed('192.0') },
  };
  const policy = packets({
    sets: { one: { addressSet: 'feed' }, same: { addressSet: 'feed' }, other: listed('198.51') },
    ingress: [
      {
        zone: 'wan',
        default: 'allow',
        rules: [
          { id: 'a', from: { set: 'one' }, action: 'drop' },
          { id: 'b', to: { set: 'same' }, action: 'drop' },
          { id: 'c', to: { set: 'other' }, action: 'drop' },
          { id: 'd', from: { set: 'same', not: true }, action: 'drop' },
        ],
      },
    ],
  });
  const image = compile([list, policy], labFacts(['w0']));
  t.strictSame(
    image.settings.ingressSets.slice(0, 4).map(({ set, side }) => [set, side]),
    [
      [0, 0],
      [0, 1],
      [1, 1],
      [8, 0],
    ],
  );
  t.strictSame(image.sets, [
    { name: 'p/one', rules: ['p/a'], prefixes4: 300, prefixes6: 0, number: null },
    { name: 'p/same', rules: ['p/b'], prefixes4: 300, prefixes6: 0, number: null },
    { name: 'p/other', rules: ['p/c'], prefixes4: 300, prefixes6: 0, number: null },
  ]);
});

t.test('what the classes do not tell apart stands in extras, alike ones once', async (t) => {
  const image = compile(
    [
      rules(
        { id: 'plain', protocol: 'tcp', ports: { to: [1, 5, 9] }, action: 'allow' },
        { id: 'marked', dscp: 46, action: 'allow' },
        { id: 'same', protocol: 'udp', dscp: 46, action: 'drop' },
        { id: 'several', vlan: [5, '7-9'], action: 'drop' },
        { id: 'flags', protocol: 'tcp', tcpFlags: { set: ['syn'], unset: ['ack'] }, action: 'reject' },
        { id: 'limited', action: 'allow', limit: { rate: '10/s', burst: 3, per: 'source' } },
      ),
    ],
    labFacts(['w0']),
  );
  t.strictSame(
    ingressOf(image).map(({ rule, extra, verdict, flags }) => [rule, extra, verdict, flags]),
    [
      [0, 0, 1, 0],
      [1, 1, 1, 1],
      [2, 1, 2, 1],
      [3, 2, 2, 1],
      [3, 3, 2, 1],
      [4, 4, 4, 1],
      [5, 5, 1, 1],
    ],
  );
  const [nothing, marked, one, range, syn, limited] = extrasOf(image);
  t.match(nothing, { flags: 0, origins: 0 }, 'entry 0 stands for nothing');
  t.match(marked, { dscpFirst: 46, dscpLast: 46, etherTypeLast: 0xffff, origins: 0xffffffff });
  t.match(one, { outerVlanFirst: 0x1005, outerVlanLast: 0x1005, innerVlanLast: 0xffff });
  t.match(range, { outerVlanFirst: 0x1007, outerVlanLast: 0x1009 });
  t.match(syn, { tcpFlagsMask: 0x12, tcpFlagsValue: 2 });
  t.match(limited?.limit, { costNs: 100_000_000n, depthNs: 300_000_000n, prefix4: 32, prefix6: 64 });
});

t.test('indexes are asked for once for each rule, in the order of the documents', async (t) => {
  const asked: string[] = [];
  const facts = deviceOf({
    ruleIndex: (id) => {
      asked.push(id);
      return 100 + asked.length;
    },
  });
  const hardening = calls(
    [
      { id: 'x', connect: { ports: [1, 5] }, action: 'allow' },
      { id: 'y', bind: {}, action: 'deny' },
    ],
    { default: { bind: 'deny' } },
  );
  const policy = packets({
    ingress: [
      {
        zone: 'wan',
        default: 'drop',
        rules: [
          { id: 'a', protocol: 'tcp', ports: { to: [1, 5, 9] }, action: 'allow' },
          { id: 'gone', mode: 'off', action: 'drop' },
        ],
      },
    ],
    egress: [{ zone: 'wan', default: 'allow', rules: [{ id: 'b', mode: 'monitor', action: 'drop' }] }],
  });
  const image = compile(
    [hardening, policy, packets({ mode: 'off', zones: { off: { interfaces: ['o'] } } }, 'off')],
    facts,
  );
  t.strictSame(asked, [
    'h/x',
    'h/y',
    'h/default-bind',
    'p/a',
    'p/wan:default-ingress',
    'p/b',
    'p/wan:default-egress',
  ]);
  t.strictSame(
    image.rules.map(({ id, index, at, mode, verdict }) => `${index} ${id} ${at} ${mode} ${verdict}`),
    [
      '101 h/x call enforce allow',
      '102 h/y call enforce deny',
      '103 h/default-bind call enforce deny',
      '104 p/a ingress enforce allow',
      '105 p/wan:default-ingress ingress enforce drop',
      '106 p/b egress monitor drop',
      '107 p/wan:default-egress egress enforce allow',
    ],
  );
  t.strictSame(
    ingressOf(image).map(({ rule }) => rule),
    [104],
  );
  const list = decodeHuskCallList(view(tableOf(image, HuskTable.CALLS).values), 0);
  t.strictSame(
    list.rules.slice(0, list.count).map(({ rule }) => rule),
    [102, 101, 101, 103],
    'denials first',
  );
});

t.test('interfaces by name and pattern, subjects by cgroup', async (t) => {
  const facts = deviceOf({
    interfaces: [
      { name: 'w0', index: 9, link: 'ethernet', addresses: [] },
      { name: 'ppp3', index: 300, link: 'ip', addresses: [] },
      { name: 'other', index: 4, link: 'ethernet', addresses: [] },
    ],
    cgroupId: (path) => (path === 'd' ? 0x1_0000_0005n : null),
    ruleIndex: () => 0,
  });
  const image = compile(
    [
      packets({ zones: { wan: { interfaces: ['w0', 'ppp*'] } } }),
      calls([], {}, 'h'),
      calls([], { subject: { cgroup: 'd/absent' } }, 'i'),
    ],
    facts,
  );
  t.strictSame([...tableOf(image, HuskTable.ZONES).keys], [9, 0, 0, 0, 44, 1, 0, 0]);
  t.strictSame(
    rowsOf(image, HuskTable.ZONES, HuskZone.size, decodeHuskZone).map(({ zone, link }) => [zone, link]),
    [
      [0, 0],
      [0, 1],
    ],
    'a link without an Ethernet header is said to be one',
  );
  const subjects = tableOf(image, HuskTable.SUBJECTS);
  t.strictSame(
    [subjects.count, view(subjects.keys).getBigUint64(0, true), view(subjects.values).getBigUint64(0, true)],
    [1, 0x1_0000_0005n, 1n],
  );
});

t.test('two subjects on one cgroup are both in it', async (t) => {
  const facts = deviceOf({ cgroupId: () => 7n, ruleIndex: () => 0 });
  const documents = [
    calls([], {}, 'same-one'),
    calls([], {}, 'same-two'),
    // Another path to it, by a link in the hierarchy or a folder that was replaced meanwhile.
    calls([], { subject: { cgroup: 'alias' } }, 'other-path'),
    calls([{ id: 'x', bind: {}, action: 'deny' }], { subject: { cgroup: 'third' } }, 'third'),
  ];
  const image = compile(documents, facts);
  const subjects = tableOf(image, HuskTable.SUBJECTS);
  t.equal(subjects.count, 1);
  t.equal(view(subjects.keys).getBigUint64(0, true), 7n);
  t.equal(view(subjects.values).getBigUint64(0, true), 0b111n, 'a bit for each path');
  const list = decodeHuskCallList(view(tableOf(image, HuskTable.CALLS).values), 0);
  t.equal(list.rules[0]?.subjects, 0b100n);
});

t.test('denials stand before allowances, among rules and among defaults', async (t) => {
  const indexes: string[] = [];
  const facts = deviceOf({ ruleIndex: (id) => indexes.push(id) - 1 });
  const image = compile(
    [
      calls([{ id: 'yes', bind: { ports: 1 }, action: 'allow' }], { default: { bind: 'allow' } }, 'outer'),
      calls(
        [{ id: 'no', bind: { ports: 2 }, action: 'deny' }],
        { subject: { cgroup: 'd/x' }, default: { bind: 'deny', connect: 'allow' } },
        'inner',
      ),
    ],
    facts,
  );
  const list = decodeHuskCallList(view(tableOf(image, HuskTable.CALLS).values), 0);
  t.strictSame(
    list.rules.slice(0, list.count).map(({ rule, isDefault }) => `${indexes[rule]} ${isDefault}`),
    ['inner/no 0', 'outer/yes 0', 'inner/default-bind 1', 'outer/default-bind 1', 'inner/default-connect 1'],
  );
});

async function refuses(
  t: Test,
  documents: readonly PolicyDocument[],
  code: string,
  detail: RegExp,
  interfaces = ['w0'],
) {
  try {
    compile(documents, labFacts(interfaces));
    t.fail(`not refused: ${detail}`);
  } catch (error) {
    t.type(error, RefusalError);
    t.equal((error as RefusalError).code, code);
    t.match((error as RefusalError).detail, detail);
  }
}

t.test('one beyond each limit is refused, the limit itself is not', async (t) => {
  const over = 'policy.over-limit';
  const singles = (count: number) =>
    rules(
      ...many(count, (index) => ({
        id: `r${index}`,
        from: `10.0.${index >> 8}.${index & 255}`,
        action: 'drop' as const,
      })),
    );
  t.equal(ingressOf(compile([singles(HUSK_RULES_MAX)], labFacts(['w0']))).length, HUSK_RULES_MAX);
  await refuses(t, [singles(HUSK_RULES_MAX + 1)], over, /10049 entries of ingress rules, at most 10048/);
  const square = many(17, (index) => index * 2);
  await refuses(
    t,
    [rules({ id: 'a', length: square, dscp: square, action: 'drop' })],
    over,
    /entries for rule p\/a, at most 256/,
  );
  const setRules = (count: number) =>
    rules(
      ...many(count, (index) => ({ id: `r${index}`, from: listed(`10.${index}`), action: 'drop' as const })),
    );
  t.equal(compile([setRules(HUSK_BIG_SETS_MAX)], labFacts(['w0'])).settings.ingressSets.at(-1)?.set, 7);
  await refuses(t, [setRules(HUSK_BIG_SETS_MAX + 1)], over, /9 large sets, at most 8/);
  const uses = rules(
    ...many(5, (index) => ({
      id: `r${index}`,
      from: listed(`10.${index}`),
      to: listed(`10.${index}`),
      action: 'drop' as const,
    })),
  );
  await refuses(
    t,
    [uses],
    over,
    new RegExp(`${HUSK_SET_USES_MAX + 1} uses of large sets in ingress rules, at most 8`),
  );
  const zones = (count: number) =>
    Object.fromEntries(many(count, (index) => [`z${index}`, { interfaces: [`w${index}`] }]));
  const zoned = compile([packets({ zones: zones(HUSK_ZONES_MAX) })], labFacts(['w15']));
  t.equal(view(tableOf(zoned, HuskTable.ZONES).values).getUint32(0, true), 15);
  await refuses(t, [packets({ zones: zones(HUSK_ZONES_MAX + 1) })], over, /17 zones, at most 16/);
  const split = [
    packets({ zones: zones(HUSK_ZONES_MAX) }),
    packets({ zones: { x: { interfaces: ['x'] } } }, 'q'),
  ];
  await refuses(t, split, over, /17 zones/);
  const names = many(HUSK_INTERFACES_MAX + 1, (index) => `w${index}`);
  await refuses(
    t,
    [packets({ zones: { wan: { interfaces: ['w*'] } } })],
    over,
    /65 interfaces in zones, at most 64/,
    names,
  );
  const subjects = many(HUSK_SUBJECTS_MAX + 1, (index) =>
    calls([], { subject: { cgroup: `d${index}` } }, `h${index}`),
  );
  await refuses(t, subjects, over, /65 subjects, at most 64/);
  const callRules = many(HUSK_CALL_RULES_MAX + 1, (index) => ({
    id: `r${index}`,
    bind: { ports: index },
    action: 'deny' as const,
  }));
  await refuses(t, [calls(callRules)], over, /129 entries of call rules, at most 128/);
});

t.test('a denial that no hook could see is refused', async (t) => {
  const unsupported = 'policy.unsupported';
  const socket = (match: NonNullable<HardeningRule['socket']>, action: 'allow' | 'deny' = 'deny') =>
    calls([{ id: 'a', socket: match, action }]);
  await refuses(t, [socket({ family: ['packet'] })], unsupported, /h\/a would deny sockets of family packet/);
  await refuses(t, [socket({ family: ['inet', 'netlink'] })], unsupported, /netlink/);
  await refuses(t, [socket({ type: ['raw'] })], unsupported, /every family/);
  await refuses(t, [calls([], { default: { socket: 'deny' } })], unsupported, /h\/default-socket/);
  for (const document of [
    socket({ family: ['inet', 'inet6'], type: ['raw'] }),
    socket({ family: ['packet'] }, 'allow'),
    calls([{ id: 'a', socket: { type: ['raw'] }, mode: 'off', action: 'deny' }]),
    calls([], { default: { socket: 'allow' } }),
  ]) {
    t.doesNotThrow(() => compile([document], labFacts([])));
  }
});

t.test('what was not checked is refused, not guessed at', async (t) => {
  await refuses(
    t,
    [rules({ id: 'a', from: { set: 'missing' }, action: 'drop' })],
    'policy.invalid',
    /p\/missing/,
  );
  await refuses(
    t,
    [rules({ id: 'a', from: '10.0.0.1/8', action: 'drop' })],
    'policy.invalid',
    /host|bits set/,
  );
  const named: PolicyDocument = {
    apiVersion,
    kind: 'AddressSet',
    metadata: { name: 'l' },
    spec: { file: 'l.txt' },
  };
  const policy = packets({
    sets: { l: { addressSet: 'l' } },
    ingress: [{ zone: 'wan', default: 'drop', rules: [{ id: 'a', from: { set: 'l' }, action: 'drop' }] }],
  });
  await refuses(t, [named, policy], 'policy.invalid', /AddressSet l with addresses/);
  await refuses(
    t,
    [rules({ id: 'a', from: { set: 'constructor' }, action: 'drop' })],
    'policy.invalid',
    /p\/constructor/,
  );
});

t.test('the real block list: checked and compiled in about a second, every entry found', async (t) => {
  const path = join(import.meta.dirname, '../../fixtures/blocklist-ipsum-2026-08-22.txt.gz');
  const { addresses, faults } = parseAddressList(gunzipSync(readFileSync(path)).toString());
  t.strictSame(faults, []);
  t.equal(addresses.length, 120_430);
  const list: PolicyDocument = {
    apiVersion,
    kind: 'AddressSet',
    metadata: { name: 'ipsum' },
    spec: { addresses },
  };
  const documents = [
    list,
    packets({
      sets: { listed: { addressSet: 'ipsum' }, lan: ['10.0.0.0/8'] },
      ingress: [
        {
          zone: 'wan',
          default: 'allow',
          rules: [
            { id: 'listed', from: { set: 'listed' }, action: 'drop' },
            { id: 'lan', from: { set: 'lan' }, action: 'drop' },
          ],
        },
      ],
    }),
    calls([{ id: 'no-listed', connect: { to: { addressSet: 'ipsum' } }, action: 'deny' }]),
  ];
  t.strictSame(checkDocuments(documents), []);
  const start = performance.now();
  const image = compile(documents, labFacts(['w0']));
  const ms = performance.now() - start;
  t.comment(`${Math.round(ms)} ms, ${image.kernelBytes} bytes`);
  // Other work may share the machine: a second is the budget, five the alarm.
  t.ok(ms < 5000, 'quick');
  t.match(image.settings.ingressSets[0], { set: 0, side: 0 });
  // That each entry is found in the table of a big set is tried where those are built (set-tables).
  const big = tableOf(image, HuskTable.BIG4);
  t.equal(big.values.length, big.count * big.valueSize);
  const table = tableOf(image, HuskTable.CALL_SET4);
  t.ok(table.count > 90_000 && table.count <= 120_431, 'merged, never more');
  const listedRanges = image.sets.find(({ name }) => name === 'p/listed')?.prefixes4 ?? 0;
  t.ok(listedRanges > 90_000 && listedRanges <= table.count, 'a range is at least one prefix');
  let wrong = 0;
  for (let index = 0; index < addresses.length; index += 97) {
    const bytes = Uint8Array.from((addresses[index] ?? '').split('.').map(Number));
    if ((longestMatch(table, bytes) & 1n) === 0n) wrong++;
    bytes[3] = (bytes[3] ?? 0) ^ 0xff;
    const isListed = addresses.includes(bytes.join('.'));
    if (((longestMatch(table, bytes) & 1n) !== 0n) !== isListed) wrong++;
  }
  t.equal(wrong, 0, 'entries are in, neighbours are as the list says');
  t.ok(
    image.kernelBytes > table.count * 100 && image.kernelBytes < table.count * 200,
    'most of the memory is theirs',
  );
});
