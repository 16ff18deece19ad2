// Goal: policy files and the lists beside them become documents, or every fault is said with its place.
// Method: files in a folder of the test, good and bad, plain and compressed.

import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import t from 'tap';
import { formatFault } from '../../../agent/policy/faults.ts';
import { readPolicyFiles } from '../../../fleet/policy/documents.ts';

const folder = mkdtempSync(join(tmpdir(), 'husk-documents-'));
t.teardown(() => rmSync(folder, { recursive: true }));
const at = (name: string) => join(folder, name);
const write = (name: string, content: string | Buffer) => {
  writeFileSync(at(name), content);
  return at(name);
};
const set = (file: string) => `apiVersion: husk/v1
kind: AddressSet
metadata: { name: bad }
spec:
  file: ${file}
`;
const lines = (paths: readonly string[]) =>
  readPolicyFiles(paths).faults.map((fault) => formatFault(fault).replaceAll(`${folder}/`, ''));

t.test('a list beside the document is written out', async (t) => {
  mkdirSync(at('lists'));
  write(
    'lists/plain.txt',
    '# a comment\n192.0.2.1\n\n  198.51.100.0/24 # one more\n2001:db8::/32\t17\n10.0.0.1-10.0.0.9\r\n',
  );
  const wanted = ['192.0.2.1', '198.51.100.0/24', '2001:db8::/32', '10.0.0.1-10.0.0.9'];
  const { documents, faults } = readPolicyFiles([write('plain.yaml', set('lists/plain.txt'))]);
  t.same(faults, []);
  t.match(documents, [{ kind: 'AddressSet', spec: { addresses: wanted, file: undefined } }]);

  write('lists/list.txt.gz', gzipSync('192.0.2.7\n'));
  t.match(readPolicyFiles([write('gz.yaml', set('lists/list.txt.gz'))]).documents, [
    { spec: { addresses: ['192.0.2.7'] } },
  ]);
});

t.test('faults in a list stand at its lines', async (t) => {
  write('wrong.txt', '192.0.2.1\n192.0.2.300\n\n   nonsense\n192.0.2.1/24\n');
  const path = write('wrong.yaml', set('wrong.txt'));
  t.match(lines([path]), [/^wrong.txt:2:1: /, /^wrong.txt:4:4: /, /^wrong.txt:5:1: /]);
  t.same(readPolicyFiles([path]).documents, [], 'and nothing is taken');
  write('many.txt', 'x\n'.repeat(100));
  const many = lines([write('many.yaml', set('many.txt'))]);
  t.equal(many.length, 21);
  t.match(many.at(-1), /80 more/);
});

t.test('what cannot be read is said', async (t) => {
  t.match(lines([at('none.yaml')]), [/^none.yaml: cannot be read: there is no such file/]);
  t.match(lines([write('missing.yaml', set('none.txt'))]), [
    /^missing.yaml:5:\d+: spec.file: cannot be read: there is no such file/,
  ]);
  write('no.txt.gz', 'not compressed');
  t.match(lines([write('nogz.yaml', set('no.txt.gz'))]), [/^nogz.yaml:5:\d+: spec.file: cannot be read/]);
  t.match(lines([write('binary.yaml', Buffer.from([0xff, 0xfe, 0x00]))]), [/^binary.yaml: cannot be read/]);
  write('bomb.txt.gz', gzipSync(Buffer.alloc(64 * 1024 * 1024, 0x31)));
  t.match(
    lines([write('bomb.yaml', set('bomb.txt.gz'))]),
    [/^bomb.yaml:5:\d+: spec.file: is longer than/],
    'however small it came',
  );
});

t.test('files are checked together, all faults at once', async (t) => {
  const one = write('one.yaml', `${set('lists/plain.txt')}  more: 1\n`);
  const two = write('two.yaml', 'apiVersion: husk/v1\nkind: Nothing\n');
  const said = lines([one, two, at('none.yaml')]);
  for (const file of ['one.yaml:6:', 'two.yaml:2:', 'none.yaml']) {
    t.ok(
      said.some((line) => line.startsWith(file)),
      `${file} in ${said.join(' | ')}`,
    );
  }
  const user = write(
    'user.yaml',
    `apiVersion: husk/v1
kind: HardeningPolicy
metadata: { name: h }
spec:
  mode: enforce
  subject: { cgroup: web }
  rules:
    - { id: out, connect: { to: { addressSet: bad } }, action: deny }
`,
  );
  t.same(lines([user, at('plain.yaml')]), [], 'a set of another file is found');
  t.ok(lines([user]).length > 0, 'and missed without it');
});
