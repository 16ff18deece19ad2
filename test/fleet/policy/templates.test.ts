// Goal: every template makes a policy without a fault, that denies what it is for and lets the rest go on; what does not
// fit is refused with the reason, and what `husk` carries is what lies in firmware-integration.
// Method: the command runs in this process; what it prints is read back and judged by the evaluator.

import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import type { PolicyDocument } from '../../../agent/contract/policy.ts';
import { readCase } from '../../../agent/policy/cases/read-case.ts';
import { runCase } from '../../../agent/policy/cases/run-case.ts';
import { evaluateCall } from '../../../agent/policy/evaluate.ts';
import { formatFaults } from '../../../agent/policy/faults.ts';
import { readAndCheck } from '../../../agent/policy/read.ts';
import { templates } from '../../../fleet/policy/templates.ts';
import { husk } from '../test-controller.ts';

const httpd = '/usr/sbin/httpd';

async function made(...words: string[]): Promise<readonly PolicyDocument[]> {
  const { code, out, err } = await husk(['policy', 'template', ...words]);
  if (code !== 0) throw new Error(err);
  const { documents, faults } = readAndCheck([{ file: 'made', text: out }]);
  if (faults.length > 0) throw new Error(formatFaults(faults));
  return documents;
}

const set = (values: Record<string, string>) =>
  Object.entries({ mode: 'enforce', ...values }).flatMap(([name, value]) => ['--set', `${name}=${value}`]);

/** What of the lines, as in a case's section `operations`, does not hold. */
const failures = (documents: readonly PolicyDocument[], operations: string) =>
  runCase(readCase(`=== operations\n${operations}\n`, 'case'), documents).failures;

/** What becomes of a call: `deny web/ports`. */
function verdict(
  documents: readonly PolicyDocument[],
  call: 'connect' | 'bind',
  [ip, port]: readonly [string, number],
): string {
  const [a = 0, b = 0, c = 0, d = 0] = ip.split('.').map(Number);
  const address = Uint8Array.of(a, b, c, d);
  const at = { call, family: 4 as const, type: 1, protocol: 6, address, port };
  const task = { lineage: [{ path: httpd, applet: 'httpd' }], lineageKnown: true, user: 0 };
  const { verdict, rule } = evaluateCall(documents, { cgroup: '', call: at, task });
  return `${verdict} ${rule}`;
}

/** The same of a socket that a root process of that program makes. */
function socket(documents: readonly PolicyDocument[], path: string, family: number, type: number): string {
  const task = { lineage: [{ path, applet: null }], lineageKnown: true, user: 0 };
  const call = { call: 'socket', family, type, protocol: 0 } as const;
  const { verdict, rule } = evaluateCall(documents, { cgroup: '', call, task });
  return `${verdict} ${rule}`;
}

t.test('what husk carries is what lies in firmware-integration', async (t) => {
  const fleet = join(import.meta.dirname, '../../../fleet/policy');
  const fresh = execFileSync(process.execPath, [join(fleet, 'gen-templates.ts')], { encoding: 'utf8' });
  t.equal(readFileSync(join(fleet, 'templates.gen.json'), 'utf8'), fresh, './build.sh build makes it anew');
});

t.test('they are listed, with their parameters', async (t) => {
  const { out, code } = await husk(['policy', 'template', '--json']);
  t.equal(code, 0);
  t.same(
    JSON.parse(out).map(({ name }: { name: string }) => name),
    templates.map(({ name }) => name),
  );
  t.equal(templates.length, 7);
  for (const { name, parameters } of templates) {
    const told = await husk(['policy', 'template', name, '--parameters']);
    for (const parameter of Object.keys(parameters))
      t.match(told.out, new RegExp(`^${parameter} `, 'm'), name);
  }
});

t.test('each is without a fault with its examples, and in monitor mode', async (t) => {
  for (const { name, parameters } of templates) {
    const needed = Object.entries(parameters).flatMap(([key, one]) =>
      one.default === undefined ? ['--set', `${key}=${one.example}`] : [],
    );
    for (const { spec } of await made(name, ...needed)) t.match(spec, { mode: 'monitor' }, name);
  }
});

t.test('service-never-execs', async (t) => {
  const policy = await made('service-never-execs', ...set({ service: httpd, allowed: '/usr/bin/helper' }));
  const lines = [
    `exec /bin/sh by ${httpd} => deny by service-never-execs/never-execs`,
    `exec /bin/sh by ${httpd} > /usr/bin/helper => deny by service-never-execs/never-execs`,
    `exec /usr/bin/helper by ${httpd} => allow default`,
    'exec /bin/sh by /usr/sbin/sshd => allow no-subject',
  ];
  t.same(failures(policy, lines.join('\n')), []);
});

t.test('no-writable-exec', async (t) => {
  const policy = await made(
    'no-writable-exec',
    ...set({ service: httpd, writable: '/tmp,/data', code: 'enforce' }),
  );
  const lines = [
    `exec /tmp/x by ${httpd} => deny by no-writable-exec/no-writable-exec`,
    `load /data/lib.so by ${httpd} > /bin/sh => deny by no-writable-exec/no-writable-exec`,
    `exec /x memfd deleted by ${httpd} => deny by no-writable-exec/no-hidden-exec`,
    `writeExecute by ${httpd} => deny by no-writable-exec/no-written-code`,
    `exec /bin/sh by ${httpd} => allow default`,
    `write /tmp/x by ${httpd} => allow default`,
  ];
  t.same(failures(policy, lines.join('\n')), []);
});

t.test('single-writer', async (t) => {
  const policy = await made('single-writer', ...set({ service: httpd, protected: '/bin,/etc/preload' }));
  const by = `by ${httpd} => deny by single-writer/single-writer`;
  const lines = [
    ...['write', 'create', 'delete', 'rename', 'link', 'chmod', 'mount'].map(
      (word) => `${word} /bin/ls ${by}`,
    ),
    `create /etc/preload ${by}`,
    `read /bin/ls by ${httpd} => allow default`,
    `write /tmp/x by ${httpd} => allow default`,
    'write /bin/ls by /sbin/updater => allow no-subject',
  ];
  t.same(failures(policy, lines.join('\n')), []);
});

t.test('ports-and-peers', async (t) => {
  const policy = await made(
    'ports-and-peers',
    ...set({ name: 'web', service: httpd, ports: '80,8000-8080', peers: '192.0.2.0/24' }),
  );
  t.equal(verdict(policy, 'bind', ['0.0.0.0', 80]), 'allow web/ports');
  t.equal(verdict(policy, 'bind', ['0.0.0.0', 8080]), 'allow web/ports');
  t.equal(verdict(policy, 'bind', ['0.0.0.0', 2323]), 'deny web/default-bind');
  t.equal(verdict(policy, 'connect', ['192.0.2.7', 53]), 'allow null');
  t.equal(verdict(policy, 'connect', ['203.0.113.7', 53]), 'deny web/peers');
});

t.test('raw-sockets', async (t) => {
  const policy = await made('raw-sockets', ...set({ allowed: '/bin/ping' }));
  t.equal(socket(policy, httpd, 2, 1), 'allow raw-sockets/ordinary');
  t.equal(socket(policy, httpd, 1, 1), 'allow raw-sockets/local');
  t.equal(socket(policy, httpd, 2, 3), 'deny raw-sockets/default-socket');
  t.equal(socket(policy, httpd, 17, 3), 'deny raw-sockets/default-socket');
  t.equal(socket(policy, '/bin/ping', 2, 3), 'allow raw-sockets.allowed/all');
});

t.test('boot-seal', async (t) => {
  const policy = await made('boot-seal', ...set({ service: `${httpd},/usr/sbin/sshd` }));
  const lines = [
    ...['module', 'bpf', 'kexec', 'perf'].map(
      (word) => `${word} by /usr/sbin/sshd > /bin/sh => deny by boot-seal/sealed-kernel`,
    ),
    `ptrace by ${httpd} => deny by boot-seal/sealed-ptrace`,
    `mount / by ${httpd} => deny by boot-seal/sealed-mount`,
    'module by /sbin/modprobe => allow no-subject',
    'bpf by /usr/sbin/husk-agent => allow no-subject',
  ];
  t.same(failures(policy, lines.join('\n')), []);
});

t.test('setuid-hygiene', async (t) => {
  const policy = await made('setuid-hygiene', ...set({ service: httpd }));
  const lines = [
    `exec /usr/bin/sudo setuid by ${httpd} > /bin/sh => deny by setuid-hygiene/setuid-exec`,
    `userns by ${httpd} => deny by setuid-hygiene/setuid-userns`,
    `setuid by ${httpd} => allow default monitored setuid-hygiene/setuid-change`,
    `exec /bin/ls by ${httpd} => allow default`,
    'exec /usr/bin/sudo setuid by /bin/login => allow no-subject',
  ];
  t.same(failures(policy, lines.join('\n')), []);
});

t.test('what does not fit is refused with the reason', async (t) => {
  const refused = async (words: readonly string[], code: number, err: RegExp) =>
    t.match(await husk(['policy', 'template', ...words]), { code, err, out: '' }, words.join(' '));
  await refused(['boot-seal'], 2, /^service: has to be given: .*as in service=/);
  await refused(
    ['boot-seal', '--set', 'servcie=/x', '--set', 'service=/y'],
    2,
    /^servcie: is no parameter; there are name, service, mode$/m,
  );
  await refused(
    ['boot-seal', '--set', 'service=/x', '--set', 'mode=loud'],
    2,
    /^mode: "loud" is none of monitor, enforce/,
  );
  await refused(['boot-seal', '--set', 'service=/x,,/y'], 2, /^service: has an empty value/);
  await refused(['boot-seal', '--set', 'service=/x\nspec: {}'], 2, /^service: has a control character/);
  await refused(['boot-seal', '--set', 'service=/x', '--set', 'name=A B'], 2, /^name: "A B" has to be/);
  await refused(['boot-seal', '--set', 'service=/x', '--set', 'service=/y'], 2, /is given twice/);
  await refused(['boot-seal', '--set', 'service'], 2, /write it as parameter=value/);
  await refused(
    ['boot-seal', '--set', 'service=usr/sbin/httpd'],
    1,
    /boot-seal:\d+:\d+: spec\.subject\.executable\[0\]: "usr\/sbin\/httpd" is relative/,
  );
  await refused(
    ['ports-and-peers', '--set', 'service=/x', '--set', 'ports=99999'],
    1,
    /spec\.rules\[0\]\.bind\.ports/,
  );
  await refused(['none'], 2, /no template none; there are boot-seal, /);
  await refused(['--set', 'service=/x'], 2, /are for a named template/);
});

t.test('a value is a value, whatever is in it', async (t) => {
  const [policy] = await made('boot-seal', ...set({ service: '/a"] #,/b: {c}' }));
  t.match(policy?.spec, { subject: { executable: ['/a"] #', '/b: {c}'] } });
});
