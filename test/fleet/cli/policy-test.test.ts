// Goal: cases that hold end with 0, those that do not with 1 and with what was expected and found, line by line;
// what is no case is said to be none and never passes for one that holds.
// Method: the command run in this process over the project's own cases and small ones with one thing wrong each;
// for --kernel an agent from the sources, and one that lies.

import { chmodSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import t from 'tap';
import { kernelMissing } from '../../agent/policy/kernel-lab.ts';
import { husk } from '../test-controller.ts';

const root = resolve(import.meta.dirname, '../../..');
const own = join(root, 'test/cases/policy');
const folder = mkdtempSync(join(tmpdir(), 'husk-policy-test-'));
t.teardown(() => rmSync(folder, { recursive: true }));

const file = (name: string, content: string) => {
  writeFileSync(join(folder, name), content);
  return join(folder, name);
};
const policy = `apiVersion: husk/v1
kind: PacketPolicy
metadata: { name: p }
spec:
  mode: enforce
  zones: { wan: { interfaces: [wan0] } }
  ingress:
    - { zone: wan, default: drop, rules: [{ id: ssh, protocol: tcp, ports: { to: 22 }, action: allow }] }
  egress: []
`;
const text = `=== policy
${policy}
=== packets
ingress wan0: ipv4 192.0.2.1 > 192.0.2.2 / tcp 1 > 22 syn => allow by p/ssh
ingress wan0: ipv4 192.0.2.1 > 192.0.2.2 / udp 1 > 22 => drop by p/wan:default-ingress
`;
const right = file('right.case', text);
const wrong = file('wrong.case', text.replace('udp 1 > 22', 'tcp 1 > 22'));
const run = (...words: readonly string[]) => husk(['policy', 'test', ...words]);

t.test('the project’s own cases hold', async (t) => {
  const cases = readdirSync(own).map((name) => join(own, name));
  const said = await run(...cases);
  t.match(said, { code: 0, err: '' });
  t.match(said.out, /^[\d,]+ expectations met$/m);
  t.equal(said.out.split('\n').filter((line) => line.startsWith('ok ')).length, cases.length);
});

t.test('what does not hold', async (t) => {
  const said = await run(right, wrong);
  t.match(said, { code: 1, err: '1 of 4 expectations not met' });
  t.match(said.out, /^ok +\S+right.case: 2 checked$/m);
  t.match(
    said.out,
    /^FAIL +\S+wrong.case: 2 checked\n +\S+wrong.case:14: ingress wan0: .*\n +expected +drop by p\/wan:default-ingress\n +found +allow by p\/ssh$/m,
  );
  const json = await run(wrong, '--json');
  t.equal(json.code, 1);
  t.strictSame(JSON.parse(json.out), {
    ...{ checked: 2, failed: 1, broken: 0 },
    cases: [
      {
        ...{ file: wrong, checked: 2, byKernel: 0, error: null },
        failures: [
          {
            line: 14,
            text: 'ingress wan0: ipv4 192.0.2.1 > 192.0.2.2 / tcp 1 > 22 => drop by p/wan:default-ingress',
            ...{ by: 'evaluator', expected: 'drop by p/wan:default-ingress', found: 'allow by p/ssh' },
          },
        ],
      },
    ],
  });
});

t.test('another policy than the one in the case', async (t) => {
  const other = file('other.yaml', policy.replace('to: 22', 'to: 2222'));
  t.match(await run(right, '--policy', other), {
    code: 1,
    out: /found +drop by p\/wan:default-ingress/,
    err: '1 of 2 expectations not met',
  });
  const bare = file('bare.case', text.slice(text.indexOf('=== packets')));
  t.match(await run(bare, '--policy', file('same.yaml', policy)), { code: 0 });
  const broken = file('broken.yaml', policy.replace('tcp', 'tpc'));
  t.match(await run(right, '--policy', broken), {
    code: 1,
    out: '',
    err: /broken.yaml:8:\d+: [\s\S]*not tested: 1 fault/,
  });
});

t.test('what is no case', async (t) => {
  const bad: readonly (readonly [path: string, reason: RegExp])[] = [
    [join(folder, 'none.case'), /none.case: cannot be read: there is no such file/],
    [file('empty.case', ''), /empty.case: has no policy; --policy may name one/],
    [file('words.case', text.replace('tcp 1 > 22', 'tcp one > 22')), /words.case:13: "one" is no number/],
    [file('quiet.case', `=== policy\n${policy}`), /quiet.case: expects nothing/],
  ];
  for (const [path, reason] of bad) {
    const said = await run(path, right);
    t.equal(said.code, 1, path);
    t.match(`${said.out}\n${said.err}`, reason);
    t.match(said.out, /^ok +\S+right.case/m, 'the others run all the same');
  }
  const json = JSON.parse((await run(join(folder, 'none.case'), '--json')).out);
  t.match(json, { broken: 1, cases: [{ error: /no such file/, checked: 0 }] });
});

t.test('--kernel', { skip: kernelMissing() ?? false, timeout: 120_000 }, async (t) => {
  const agent = (name: string, script: string) => {
    const path = file(name, `#!/bin/sh\n${script}\n`);
    chmodSync(path, 0o755);
    return { HUSK_AGENT: path, PATH: '' };
  };
  const sources = agent('from-sources', `exec ${process.execPath} ${root}/agent/main.ts "$@"`);
  const cases = ['ports', 'vlan', 'calls', 'faults'].map((name) => join(own, `${name}.case`));
  const said = await husk(['policy', 'test', '--kernel', ...cases, '--json'], sources);
  t.match(said, { code: 0, err: '' });
  const judged = JSON.parse(said.out).cases.map((one: { readonly byKernel: number }) => one.byKernel);
  t.ok(judged[0] > 10 && judged[1] > 5 && judged[2] === 0 && judged[3] === 0, judged.join(' '));

  const allow = '{"verdict":"allow","reason":"unzoned","rule":null,"monitored":null}';
  const liar = agent('liar', `read l; echo '{"ready":true}'; while read l; do echo '${allow}'; done`);
  t.match(await husk(['policy', 'test', '--kernel', right], liar), {
    code: 1,
    out: /2 checked, 2 by the kernel too[\s\S]*found +allow unzoned \(by the kernel\)/,
    err: '2 of 4 expectations not met',
  });
});
