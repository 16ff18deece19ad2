// Goal: nothing from outside makes a reader throw, hang or take what it should not: texts, values, frames.
// Method: generated input, most of it one or two steps away from something right. Seed printed; HUSK_SEED
// replays one.

import fc from 'fast-check';
import t from 'tap';
import { RefusalError } from '../../../agent/contract/refusal.ts';
import { parseAddressList } from '../../../agent/policy/address-list.ts';
import { checkDocuments } from '../../../agent/policy/check.ts';
import { compile } from '../../../agent/policy/compile.ts';
import { formatFaults } from '../../../agent/policy/faults.ts';
import { parsePacket } from '../../../agent/policy/packet.ts';
import { parseDocuments } from '../../../agent/policy/parse.ts';
import { readAndCheck } from '../../../agent/policy/read.ts';
import { makeTries } from '../../../agent/policy/tries.ts';
import { labFacts } from './kernel-lab.ts';

const seed = Number(process.env.HUSK_SEED ?? Math.floor(Math.random() * 0x7fffffff));
t.comment(`seed ${seed}`);
const runs = (numRuns: number) => ({ seed, numRuns, endOnFailure: true });

const right = `apiVersion: husk/v1
kind: PacketPolicy
metadata: { name: p, labels: { a: b } }
spec:
  mode: enforce
  zones: { wan: { interfaces: [wan0, "ppp*"] }, lan: { interfaces: [lan0] } }
  sets: { a: [192.0.2.0/24, "2001:db8::/32"], b: { addressSet: feed } }
  ingress:
    - zone: wan
      default: drop
      rules:
        - { id: one, from: { set: a, not: true }, protocol: tcp, ports: { to: [22, 80-90] }, action: allow }
        - { id: two, mode: monitor, to: { not: 10.0.0.0/8 }, protocol: 17, action: drop }
  egress: []
---
apiVersion: husk/v1
kind: AddressSet
metadata: { name: feed }
spec: { addresses: [203.0.113.1, 198.51.100.0-198.51.100.9] }
---
apiVersion: husk/v1
kind: HardeningPolicy
metadata: { name: h }
spec:
  mode: enforce
  subject: { cgroup: d/x }
  default: { connect: deny }
  rules:
    - { id: r, connect: { to: { addressSet: feed }, ports: 1-5 }, action: allow }
    - { id: s, socket: { family: [inet], type: [raw] }, action: deny }
`;
const facts = labFacts(['wan0', 'lan0']);

/** What is faultless compiles, or is refused for a reason; its tries can be made. */
function goOn(documents: Parameters<typeof compile>[0]): 'compiled' | 'refused' {
  try {
    compile(documents, facts);
    makeTries(documents, facts);
    return 'compiled';
  } catch (error) {
    if (error instanceof RefusalError && error.code !== 'policy.invalid') return 'refused';
    throw error;
  }
}

t.test('texts one step away from a right one', async (t) => {
  const pieces = [
    '{',
    '}',
    '[',
    ']',
    ':',
    '- ',
    '\n',
    '  ',
    '---\n',
    '&a ',
    '*a',
    '!x ',
    '|',
    '>',
    '"',
    "'",
    '#',
    '?',
    '\0',
    '\t',
    '\ud800',
    '0',
    '65536',
    '/',
    '-',
    '::',
    'off',
    'null',
    '~',
    '<<: ',
    'set',
    'mode',
    '\u2028',
  ];
  const edit = fc.record({
    at: fc.nat(right.length),
    cut: fc.constantFrom(0, 0, 1, 4, 12),
    put: fc.oneof(fc.constantFrom(...pieces), fc.string({ maxLength: 4 })),
  });
  let faultless = 0;
  let compiled = 0;
  fc.assert(
    fc.property(fc.array(edit, { minLength: 1, maxLength: 2 }), (edits) => {
      const text = edits.reduce(
        (all, { at, cut, put }) => all.slice(0, at) + put + all.slice(at + cut),
        right,
      );
      const { documents, faults } = readAndCheck([{ file: 'f', text }]);
      for (const fault of faults) {
        if (fault.line < 1 || fault.column < 1 || fault.message === '')
          throw new Error(`no place: ${formatFaults([fault])}`);
      }
      if (faults.some(({ severity }) => severity === 'error')) {
        if (documents.length > 0) throw new Error('documents beside an error');
        return;
      }
      faultless++;
      if (goOn(documents) === 'compiled') compiled++;
    }),
    runs(1500),
  );
  t.comment(`${faultless} of 1500 faultless, ${compiled} compiled`);
  t.ok(compiled > 5 && faultless < 1400);
});

t.test('any text', async () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary', maxLength: 300 }), (text) => {
      readAndCheck([{ file: 'f', text }]);
      parseAddressList(text);
    }),
    runs(1500),
  );
});

t.test('any value', async () => {
  const value = fc.anything({ withNullPrototype: true, maxDepth: 4 });
  fc.assert(
    fc.property(fc.array(value, { maxLength: 3 }), (values) => {
      const { documents, faults } = parseDocuments(values);
      if (documents.length !== 0 || faults.length < values.length) throw new Error('taken');
    }),
    runs(1500),
  );
});

t.test('values one step away from a right one', async (t) => {
  const { documents } = readAndCheck([{ file: 'f', text: right }]);
  const paths: string[][] = [];
  const collect = (value: unknown, path: string[]): void => {
    paths.push(path);
    if (typeof value === 'object' && value !== null)
      for (const [key, inner] of Object.entries(value)) collect(inner, [...path, key]);
  };
  for (const [index, document] of documents.entries()) collect(document, [String(index)]);
  const odd = fc.oneof(
    fc.anything({ maxDepth: 2 }),
    fc.constantFrom<unknown>(
      'off',
      'monitor',
      'ipv6',
      0,
      65535,
      '0-65535',
      '::/0',
      '0.0.0.0/0',
      [],
      {},
      { set: 'b' },
      { not: '::/0' },
      'lan',
      'wan',
      '*',
      'feed',
      'd',
      undefined,
    ),
  );
  let compiled = 0;
  fc.assert(
    fc.property(fc.constantFrom(...paths.filter((path) => path.length > 1)), odd, (path, value) => {
      const copy = structuredClone(documents) as unknown as Record<string, unknown>;
      const holder = path
        .slice(0, -1)
        .reduce<Record<string, unknown>>((at, part) => at[part] as Record<string, unknown>, copy);
      holder[path.at(-1) ?? ''] = value;
      const parsed = parseDocuments(copy as unknown as unknown[]);
      const faults = [...parsed.faults, ...checkDocuments(parsed.documents)];
      if (!faults.some(({ severity }) => severity === 'error') && goOn(parsed.documents) === 'compiled')
        compiled++;
    }),
    runs(2000),
  );
  t.comment(`${compiled} of 2000 compiled`);
  t.ok(compiled > 20);
});

t.test('any frame', async (t) => {
  const counts = { unparseable: 0, read: 0 };
  const etherType = fc.constantFrom(
    [0x08, 0x00, 0x45],
    [0x86, 0xdd, 0x60],
    [0x81, 0x00, 0x00],
    [0x88, 0xa8, 0x00],
  );
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 120 }), etherType, (bytes, head) => {
      const frame = Uint8Array.from([...new Uint8Array(12), ...head, ...bytes]);
      counts[parsePacket(frame) === 'unparseable' ? 'unparseable' : 'read']++;
      // A view into something longer, as captures are read: what is around it does not count.
      const inside = new Uint8Array(frame.length + 64).fill(0xff);
      inside.set(frame, 32);
      const again = parsePacket(inside.subarray(32, 32 + frame.length));
      if (JSON.stringify(again) !== JSON.stringify(parsePacket(frame)))
        throw new Error('looks outside the frame');
      parsePacket(bytes);
    }),
    runs(5000),
  );
  t.ok(counts.unparseable > 500 && counts.read > 50, JSON.stringify(counts));
});
