// Goal: what a policy takes of a device's kernel memory is told to whoever checks it, and held to a ceiling if asked.
// Method: the command runs in this process on small files.

import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { husk } from '../test-controller.ts';

const folder = mkdtempSync(join(tmpdir(), 'husk-check-'));
t.teardown(() => rmSync(folder, { recursive: true }));
const file = join(folder, 'branch.yaml');
writeFileSync(
  file,
  `apiVersion: husk/v1
kind: PacketPolicy
metadata: { name: branch }
spec:
  mode: enforce
  zones: { wan: { interfaces: [wan0] } }
  ingress:
    - { zone: wan, default: allow, rules: [{ id: bad, from: 192.0.2.0/24, action: drop }] }
  egress: []
`,
);

t.test('kernel memory is stated', async (t) => {
  const said = await husk(['policy', 'check', file]);
  t.equal(said.code, 0, said.err);
  t.match(said.out, /^two generations of \d+\.\d MiB, .*: \d+\.\d MiB of kernel memory in all$/m);
  const { kernelMemory } = JSON.parse((await husk(['policy', 'check', file, '--json'])).out);
  t.ok(kernelMemory.tables > 0);
  t.equal(
    kernelMemory.total,
    2 * kernelMemory.tables +
      kernelMemory.connections +
      kernelMemory.limits +
      kernelMemory.counters +
      kernelMemory.rings,
  );
  const many = JSON.parse((await husk(['policy', 'check', file, '--json', '--cpus', '64'])).out);
  t.ok(many.kernelMemory.counters > kernelMemory.counters, 'each CPU counts for itself');
});

t.test('where the form is wrong, it is said that the meaning was not looked at', async (t) => {
  const wrong = join(folder, 'wrong.yaml');
  const text = readFileSync(file, 'utf8').replace('from: 192.0.2.0/24', 'from: { set: none }');
  writeFileSync(wrong, text.replace('default: allow', 'default: accept'));
  const shape = await husk(['policy', 'check', wrong]);
  t.match(shape, { code: 1, err: /accept"[^\n]*\n1 fault; .* checked once these are mended/ });
  t.match(JSON.parse((await husk(['policy', 'check', wrong, '--json'])).out), { isWhole: false });
  writeFileSync(wrong, text);
  t.match(await husk(['policy', 'check', wrong]), { code: 1, err: /no set "none"[^\n]*\n1 fault$/ });
  t.match(JSON.parse((await husk(['policy', 'check', wrong, '--json'])).out), { isWhole: true });
});

t.test('and held to a ceiling', async (t) => {
  t.equal((await husk(['policy', 'check', file, '--kernel-memory', '64'])).code, 0);
  const said = await husk(['policy', 'check', file, '--kernel-memory', '1']);
  t.equal(said.code, 1);
  t.match(said.err, /of kernel memory in all: above 1 MiB/);
});

t.test('more rules than a device counts as a rule are said, and are in the sum', async (t) => {
  const long = join(folder, 'long.json');
  const rules = Array.from({ length: 2500 }, (_, index) => ({
    id: `r${index}`,
    from: `10.${index >> 8}.${index & 255}.0/24`,
    action: 'drop',
  }));
  const spec = {
    mode: 'enforce',
    zones: { wan: { interfaces: ['wan0'] } },
    ingress: [{ zone: 'wan', default: 'allow', rules }],
    egress: [],
  };
  writeFileSync(
    long,
    JSON.stringify({ apiVersion: 'husk/v1', kind: 'PacketPolicy', metadata: { name: 'long' }, spec }),
  );
  const said = await husk(['policy', 'check', long]);
  t.equal(said.code, 0, said.err);
  t.match(said.out, /^2501 rules and defaults are counted: devices need limits\.counters of 5002 /m);
  const countersOf = async (path: string) =>
    JSON.parse((await husk(['policy', 'check', path, '--json'])).out).kernelMemory.counters;
  t.ok((await countersOf(long)) > (await countersOf(file)));
  t.notMatch((await husk(['policy', 'check', file])).out, /are counted/);
});
