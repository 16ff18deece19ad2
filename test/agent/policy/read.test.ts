// Goal: a text becomes documents or faults with their places, whatever is in it and however large it is.
// Method: texts that are right in several notations, and hostile ones: alias bombs, nesting, tags, other
// YAML versions, doubled keys, too long. Faults of ordinary mistakes are in test/cases/policy/*faults.case.

import t from 'tap';
import { bundleBytesMax } from '../../../agent/contract/limits.ts';
import { checkDocuments } from '../../../agent/policy/check.ts';
import { type Fault, formatFault, formatFaults } from '../../../agent/policy/faults.ts';
import { readAndCheck, readDocuments } from '../../../agent/policy/read.ts';

const addressSet = (spec: string) =>
  `apiVersion: husk/v1\nkind: AddressSet\nmetadata: { name: s }\nspec: ${spec}\n`;
const said = (faults: readonly Fault[]) => faults.map(formatFault);

t.test('reads YAML and JSON alike', async (t) => {
  const value = {
    apiVersion: 'husk/v1',
    kind: 'AddressSet',
    metadata: { name: 's' },
    spec: { addresses: ['192.0.2.1'] },
  };
  for (const [what, text] of [
    ['YAML', addressSet('{ addresses: [192.0.2.1] }')],
    [
      'YAML in blocks',
      'apiVersion: husk/v1\nkind: AddressSet\nmetadata:\n  name: s\nspec:\n  addresses:\n    - 192.0.2.1\n',
    ],
    ['JSON', JSON.stringify(value)],
    ['JSON in lines', JSON.stringify(value, null, 2)],
    ['JSON with tabs', JSON.stringify(value, null, '\t')],
    ['carriage returns', addressSet('{ addresses: [192.0.2.1] }').replaceAll('\n', '\r\n')],
    ['a byte order mark', `\ufeff${addressSet('{ addresses: [192.0.2.1] }')}`],
    [
      'an anchor used once',
      'apiVersion: husk/v1\nkind: AddressSet\nmetadata: { name: &n s }\nspec: { addresses: [192.0.2.1] }\n',
    ],
  ] as const) {
    const { documents, faults } = readDocuments(text, 'f.yaml');
    t.strictSame(said(faults), [], what);
    t.strictSame(documents, [value], what);
  }
});

t.test('JSON may be longer than YAML, and brackets in text nest nothing', async (t) => {
  const addresses = Array.from({ length: 250_000 }, (_, index) => `2001:db8::${index.toString(16)}`);
  const value = { apiVersion: 'husk/v1', kind: 'AddressSet', metadata: { name: 's' }, spec: { addresses } };
  const { documents, faults } = readDocuments(JSON.stringify(value), 'f');
  t.strictSame(said(faults), []);
  t.equal(documents[0]?.kind === 'AddressSet' && documents[0].spec.addresses?.length, 250_000);
  const brackets = '[{'.repeat(500);
  const text = `# ${brackets} - ? :\n${addressSet('{ addresses: [] }')}# ${brackets}\n`;
  t.strictSame(said(readDocuments(text, 'f').faults), []);
  const labels = `metadata:\n  name: s\n  labels: { a: "${'[ '.repeat(30)}", b: '${'{'.repeat(60)}' }\n`;
  const labelled = addressSet('{ addresses: [] }').replace('metadata: { name: s }\n', labels);
  t.notMatch(said(readDocuments(labelled, 'f').faults).join(), /nested/);
});

t.test('several documents, empty ones between them', async (t) => {
  const one = addressSet('{ addresses: [] }');
  const { documents, faults } = readDocuments(
    `---\n${one}---\n# nothing\n---\n${one.replace('name: s', 'name: t')}...\n`,
    'f',
  );
  t.strictSame(said(faults), []);
  t.strictSame(
    documents.map((document) => document.metadata.name),
    ['s', 't'],
  );
});

t.test('words of YAML 1.1 are words', async (t) => {
  const { documents } = readDocuments(
    'apiVersion: husk/v1\nkind: HardeningPolicy\nmetadata: { name: no, labels: { a: off, b: y, c: 2027-06-01 } }\nspec: { mode: off, subject: { cgroup: on }, rules: [] }\n',
    'f',
  );
  t.strictSame(documents[0]?.metadata, { name: 'no', labels: { a: 'off', b: 'y', c: '2027-06-01' } });
});

t.test('hostile texts', async (t) => {
  const bomb = [
    'a: &a [x,x,x,x,x,x,x,x,x]',
    ...'bcdefghi'.split('').map((name, index) => {
      const before = 'abcdefgh'[index];
      return `${name}: &${name} [${Array.from({ length: 9 }, () => `*${before}`).join(',')}]`;
    }),
  ].join('\n');
  const cases: readonly (readonly [what: string, text: string, fault: RegExp])[] = [
    ['a bomb of aliases', bomb, /uses too many aliases/],
    ['an alias of itself', 'a: &a [*a]\n', /alias|nested/],
    ['nesting in flow', `x: ${'['.repeat(100_000)}`, /nested deeper than 32/],
    ['nesting in blocks', '- '.repeat(50_000), /nested deeper than 32/],
    ['closed nesting', `spec: ${'['.repeat(200)}${']'.repeat(200)}`, /nested deeper than 32 levels/],
    ['another version', `%YAML 1.1\n---\n${addressSet('{ addresses: [] }')}`, /is not YAML 1\.2/],
    ['a tag', addressSet('!!js/function { addresses: [] }'), /tags are not allowed/],
    ['a tag of its own', addressSet('!env { addresses: [] }'), /tags are not allowed/],
    ['binary', addressSet('{ addresses: [!!binary aGk=] }'), /tags are not allowed/],
    ['a key that is a list', addressSet('{ ? [a] : b }'), /a key has to be text/],
    ['a key that is a number', addressSet('{ 1: b }'), /spec\.1: is not known here/],
    ['merge keys', `${addressSet('{ addresses: [] }')}<<: { kind: X }\n`, /\["<<"\]: is not known here/],
    ['__proto__', addressSet('{ addresses: [], __proto__: { file: x } }'), /__proto__: is a name/],
    ['a doubled key', addressSet('{ addresses: [], addresses: [] }'), /addresses: is there twice/],
    ['no end', addressSet('{ addresses: ['), /f:5:1: .*must be/],
    ['a tab', 'apiVersion: husk/v1\n\tkind: AddressSet\n', /f:2:1: /],
    ['nothing', '', /holds no document/],
    ['comments alone', '# nothing\n', /holds no document/],
    ['text', 'hello', /has to be a map, not "hello"/],
    ['NUL', '\0', /f:1:1: /],
    ['a JSON list of documents', '[{}]', /has to be a map, not a list/],
    ['nesting in flow, megabytes of it', '['.repeat(2_000_000), /^f:1:129: is nested deeper than 32 levels/],
    ['keys of keys', '? '.repeat(1_000_000), /^f:1:257: is nested deeper than 32 levels/],
    ['quotes', '"'.repeat(2_000_000), /^f:1:\d+: has too much on one line/],
    ['keys in a row', 'a: '.repeat(600_000), /^f:1:384: has too much on one line/],
    [
      'parts',
      `spec: [${'a,'.repeat(600_000)}]`,
      /^f:1:\d+: has too many parts; a long list belongs in a file/,
    ],
    [
      'brackets too long for YAML',
      '['.repeat(5_000_000),
      /^f:1:\d+: is longer than 2097152 characters.*JSON/,
    ],
    ['quotes too long for YAML', '"'.repeat(8_000_000), /^f:1:\d+: is longer than 2097152 characters/],
    ['keys too long for YAML', '? '.repeat(4_000_000), /^f:1:\d+: is longer than 2097152 characters/],
    ['long JSON with a fault', `{"kind":"${'x'.repeat(3_000_000)}"}`, /^f:1:1: kind: has to be PacketPolicy/],
    ['too much', ' '.repeat(bundleBytesMax + 1), /is longer than/],
    ['too many', '---\na: b\n'.repeat(2000), /holds more than 1024 documents/],
  ];
  for (const [what, text, fault] of cases) {
    const start = performance.now();
    const { documents, faults } = readDocuments(text, 'f');
    t.strictSame(documents, [], what);
    t.ok(
      said(faults).some((one) => fault.test(one)),
      `${what}: ${said(faults).slice(0, 3).join(' | ')}`,
    );
    t.ok(faults.length <= 1001 && performance.now() - start < 5000, `${what}: bounded`);
  }
});

t.test('a thousand faults are listed, the rest is counted', async (t) => {
  const { faults } = readDocuments(
    addressSet(`{ addresses: [${Array.from({ length: 1500 }, (_, i) => i).join(', ')}] }`),
    'f',
  );
  t.equal(faults.length, 1001);
  t.match(faults.at(-1)?.message, /and 500 more faults/);
});

t.test('characters that control a terminal are shown', async (t) => {
  const { faults } = readDocuments(addressSet('{ addresses: [], "\\e[31m\\u202e": 1 }'), 'f');
  const text = formatFaults(faults);
  t.notMatch(text, /[\p{Cc}\p{Cf}]/u);
  t.match(text, /u\{1b\}.*u\{202e\}|\\u001b/);
});

t.test('checkDocuments finds the places of documents that were read', async (t) => {
  const { documents } = readDocuments(
    `# comment\n${addressSet('{ addresses: [1.2.3.4, bad] }')}`,
    'list.yaml',
  );
  t.strictSame(said(checkDocuments(documents)), [
    'list.yaml:5:30: spec.addresses[1]: "bad" is not an IPv4 or IPv6 address',
  ]);
  t.strictSame(said(checkDocuments(structuredClone(documents))), [
    'documents[0].spec.addresses[1]: "bad" is not an IPv4 or IPv6 address',
  ]);
});

t.test('several files are one bundle', async (t) => {
  const policy = (set: string) =>
    `apiVersion: husk/v1\nkind: HardeningPolicy\nmetadata: { name: h }\nspec:\n  mode: enforce\n  subject: { cgroup: d }\n  rules: [ { id: a, connect: { to: { addressSet: ${set} } }, action: deny } ]\n`;
  const list = { file: 'a.yaml', text: addressSet('{ addresses: [1.2.3.4] }') };
  t.equal(readAndCheck([list, { file: 'b.yaml', text: policy('s') }]).documents.length, 2);
  t.strictSame(said(readAndCheck([list, { file: 'b.yaml', text: policy('missing') }]).faults), [
    'b.yaml:7:50: spec.rules[0].connect.to.addressSet: there is no AddressSet "missing" in the bundle',
  ]);
  // The list cannot be read, and nobody is blamed for naming what may be in it.
  const broken = { file: 'a.yaml', text: 'kind: AddressSet\n' };
  const faults = said(readAndCheck([broken, { file: 'b.yaml', text: policy('s') }]).faults);
  t.ok(faults.length > 0 && faults.every((fault) => fault.startsWith('a.yaml')), faults.join(' | '));
});
