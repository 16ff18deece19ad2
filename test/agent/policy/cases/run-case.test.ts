// Goal: a case that holds has no failures, and each kind of line that does not is said with what was expected
// and what was found.
// Method: a case that holds, and the same with one line changed each; the project's own cases, which all hold.

import { readdirSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import t from 'tap';
import { readCase } from '../../../../agent/policy/cases/read-case.ts';
import { runCase } from '../../../../agent/policy/cases/run-case.ts';
import { readAndCheck } from '../../../../agent/policy/read.ts';

const policy = `apiVersion: husk/v1
kind: PacketPolicy
metadata: { name: p }
spec:
  mode: enforce
  zones: { wan: { interfaces: [wan0] } }
  ingress:
    - zone: wan
      default: drop
      rules:
        - { id: ssh, protocol: tcp, ports: { to: 22 }, action: allow }
  egress: []
---
apiVersion: husk/v1
kind: HardeningPolicy
metadata: { name: h }
spec:
  mode: enforce
  subject: { cgroup: d }
  default: { connect: deny }
  rules: []
`;
const right = `=== policy
${policy}
=== packets
ingress wan0: ipv4 192.0.2.1 > 192.0.2.2 / tcp 1 > 22 syn => allow by p/ssh
=== calls
d: connect tcp 192.0.2.1 443 => deny by h/default-connect
`;
const run = (text: string) => runCase(readCase(text, 'x.case'));

t.test('what holds', async (t) => {
  t.match(run(right), { checked: 2, failures: [], documents: { length: 2 } });
  const folder = resolve(import.meta.dirname, '../../../cases/policy');
  for (const name of readdirSync(folder)) {
    const { checked, failures } = run(readFileSync(join(folder, name), 'utf8'));
    t.ok(checked > 0, name);
    t.strictSame(failures, [], name);
  }
});

t.test('what does not', async (t) => {
  t.strictSame(run(right.replace('> 22 syn', '> 23 syn')).failures, [
    {
      line: 25,
      text: 'ingress wan0: ipv4 192.0.2.1 > 192.0.2.2 / tcp 1 > 23 syn => allow by p/ssh',
      by: 'evaluator',
      expected: 'allow by p/ssh',
      found: 'drop by p/wan:default-ingress',
    },
  ]);
  t.match(run(right.replace('deny by h/default-connect', 'allow default')).failures, [
    { line: 27, expected: 'allow default', found: 'deny by h/default-connect' },
  ]);
  const broken = right.replace('protocol: tcp', 'protocol: tpc');
  t.match(run(broken), {
    checked: 3,
    documents: { length: 0 },
    failures: [
      { line: 12, text: /^11:\d+: /, expected: 'none', found: 'this fault' },
      { line: 25, expected: 'allow by p/ssh', found: 'nothing: the policy is refused' },
      { line: 27 },
    ],
  });
  t.match(run(`${right}=== faults\n11:5: spec: no such thing\n`).failures, [
    { line: 12, expected: 'this fault', found: 'none' },
  ]);
});

t.test('another policy in place of the one in the case', async (t) => {
  const other = readAndCheck([{ file: 'other.yaml', text: policy.replace('to: 22', 'to: 2222') }]);
  t.match(runCase(readCase(`${right}=== faults\n1:1: not asked\n`, 'x.case'), other.documents), {
    checked: 2,
    failures: [{ line: 25, found: 'drop by p/wan:default-ingress' }],
  });
});
