// Goal: the test that a shield carries holds it to what it is for: a shield that lets the exploit pass, or stops the
// service's own work, is said to, line by line, whatever mode it is in.
// Method: one shield with a line of every kind, then the same with each line turned round.

import t from 'tap';
import { runShieldTest, shieldTestFaults } from '../../../../agent/policy/cases/shield-test.ts';
import { readAndCheck } from '../../../../agent/policy/read.ts';

const head = `
apiVersion: husk/v1
kind: Shield
metadata: { name: cve }
spec:
  cve: CVE-2023-1389
  severity: high
  expires: 2027-06-01
  mode: monitor
  subject: { executable: /usr/sbin/uhttpd, user: 33 }
  rules:
    - { id: no-loader, exec: { applets: [wget] }, action: deny }
    - { id: no-tmp, mode: monitor, exec: { under: [/tmp] }, action: deny }
    - { id: unused, mode: off, exec: { under: [/srv] }, action: deny }
    - { id: no-call-home, connect: { except: { addressSet: peers } }, action: deny }
  packets:
    zones: [wan]
    ingress:
      - { id: no-admin, protocol: tcp, ports: { to: 8443 }, action: reject }
`;
const peers = `---
apiVersion: husk/v1
kind: AddressSet
metadata: { name: peers }
spec: { addresses: [127.0.0.0/8] }
`;
const denied = [
  'exec /bin/busybox as wget',
  'exec /tmp/x by /usr/sbin/uhttpd > /bin/sh user 33',
  'connect tcp 192.0.2.1 443',
  'ingress eth0: ipv4 192.0.2.1 > 198.51.100.1 / tcp 40000 > 8443 syn',
];
const allowed = [
  'exec /bin/busybox as ls',
  'exec /srv/x',
  'exec /tmp/x by /usr/sbin/dropbear',
  'connect tcp 127.0.0.1 443',
  'connect tcp 192.0.2.1 443 by /usr/sbin/uhttpd user 34',
  'ingress eth0: ipv4 192.0.2.1 > 198.51.100.1 / tcp 40000 > 443 syn',
];

function read(deny: readonly string[], allow: readonly string[]) {
  const list = (name: string, lines: readonly string[]) =>
    lines.length === 0
      ? ''
      : `    ${name}:\n${lines.map((line) => `      - ${JSON.stringify(line)}\n`).join('')}`;
  const test = `  test:\n    applets: { /bin/busybox: [sh, ls, wget] }\n${list('deny', deny)}${list('allow', allow)}`;
  const { documents, faults } = readAndCheck([{ file: 'cve.yaml', text: head + test + peers }]);
  const [shield] = documents;
  if (shield?.kind !== 'Shield') throw new Error(faults.map(({ message }) => message).join('\n'));
  return { shield, documents };
}

t.test('holds what it says', async (t) => {
  const { shield, documents } = read(denied, allowed);
  t.same(runShieldTest(shield, documents), { checked: denied.length + allowed.length, failures: [] });
  t.same(shieldTestFaults(documents), []);
});

t.test('says each line that does not hold, at its place', async (t) => {
  const { shield, documents } = read(allowed, denied);
  const { failures } = runShieldTest(shield, documents);
  t.same(
    failures.map(({ text }) => text),
    [...allowed, ...denied],
  );
  const faults = shieldTestFaults(documents);
  t.equal(faults.length, failures.length);
  t.match(faults[0], { file: 'cve.yaml', path: 'spec.test.deny[0]', severity: 'error' });
  t.match(faults[0]?.message, /has to be denied by a rule of the shield, and comes to: allow default/);
});

t.test('a line that is none is a fault as well', async (t) => {
  for (const line of [
    'run /tmp/x',
    'exec x',
    'connect tcp x 1',
    'ingress eth0 tcp',
    'exec /x by sh',
    'capability x',
  ]) {
    const { documents } = read([line], []);
    t.match(shieldTestFaults(documents), [{ message: /not understood/ }], line);
  }
});
