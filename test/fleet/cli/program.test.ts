// Goal: the contracts of the command line that scripts hang on: exit codes, what goes to which stream, JSON for
// every command, help for every command.
// Method: commands run in this process against a controller of the test; `husk serve` as a process of its own,
// ended by signals.

import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { joinPrefix } from '../../../agent/contract/enrollment.ts';
import { commands } from '../../../fleet/cli/commands.ts';
import { shown } from '../../../fleet/cli/io.ts';
import { readJoin } from '../simulated-device.ts';
import { husk, somePolicy, TestController } from '../test-controller.ts';

const folder = mkdtempSync(join(tmpdir(), 'husk-cli-'));
t.teardown(() => rmSync(folder, { recursive: true }));
const policy = join(folder, 'branch.yaml');
writeFileSync(policy, somePolicy);
const broken = join(folder, 'broken.yaml');
writeFileSync(
  broken,
  somePolicy.replace('action: drop', 'action: explode').replace('192.0.2.0/24', '192.0.2.0/33'),
);

const fleet = new TestController(t);
await fleet.start();

t.test('every command has help that teaches, and takes --json', async (t) => {
  const leaves = [
    ...[
      'init',
      'serve',
      'status',
      'token create',
      'token list',
      'token revoke',
      'device list',
      'device show',
    ],
    ...[
      'device forget',
      'policy check',
      'policy test',
      'policy simulate',
      'policy diff',
      'policy publish',
      'policy schema',
      'policy template',
    ],
    ...['query', 'events', 'audit'],
    'broker-config mosquitto',
    ...['import iptables', 'import nft', 'import list'],
  ];
  const counted = commands.flatMap((entry) => (typeof entry === 'function' ? [entry] : entry.commands));
  t.equal(leaves.length, counted.length, 'this list is complete');
  for (const leaf of leaves) {
    const said = await husk([...leaf.split(' '), '--help']);
    t.match(said, { code: 0, err: '' }, leaf);
    t.match(said.out, new RegExp(`^Usage: husk ${leaf} `), leaf);
    t.match(said.out, /--json/, leaf);
  }
  t.match((await husk(['--help'])).out, /policy publish/);
  t.match(
    (await husk(['policy', '--help'])).out,
    /husk policy test branch.case[\s\S]*husk policy simulate branch.yaml --pcap/,
  );
  t.match(await husk(['--version']), { code: 0, out: /^\d+\.\d+\.\d+$/ });
});

t.test('wrong usage is 2, with the reason on stderr and nothing on stdout', async (t) => {
  const wrong: readonly (readonly string[])[] = [
    [],
    ['nonsense'],
    ['token'],
    ['token', 'create', '--uses', '0'],
    ['token', 'create', '--uses', 'many'],
    ['token', 'create', '--expires', '1 day'],
    ['token', 'create', '--expires', '0s'],
    ['token', 'create', '--device-url', 'http://x'],
    ['token', 'create', 'extra'],
    ['token', 'revoke'],
    ['init'],
    ['init', '--tenant', 'A B'],
    ['init', '--tenant', 'a', '--name', 'a b'],
    ['serve', '--port', '70000'],
    ['serve', '--port', '-1'],
    ['serve', '--listen', 'nowhere'],
    ['serve', '--no-embedded'],
    ['serve', '--embedded', '--broker', 'mqtts://x:1'],
    ['serve', '--broker', 'mqtt://x'],
    ['serve', '--log-level', 'loud'],
    ['query', 'dev'],
    ['query', 'dev', 'shell'],
    ['query', 'dev', 'rules', 'novalue'],
    ['query', 'dev', 'rules', '=1'],
    ['policy', 'check'],
    ['policy', 'test'],
    ['policy', 'simulate', policy],
    ['policy', 'simulate', '--pcap', 'x.pcap'],
    ['policy', 'simulate', policy, '--pcap', 'x.pcap', '--direction', 'sideways'],
    ['policy', 'simulate', policy, '--pcap', 'x.pcap', '--zone', 'nowhere'],
    ['policy', 'simulate', policy, '--pcap', 'x.pcap', '--zone', 'wan', '--interface', 'wan0'],
    ['policy', 'publish', policy],
    ['policy', 'publish', policy, '--all', '--device', 'x'],
    ['policy', 'publish', policy, '--all', '--trial', '0'],
    ['policy', 'publish', '--all'],
    ['events', '--stream', 'nope'],
    ['events', '--count', '0'],
    ['broker-config', 'mosquitto'],
    ['broker-config', 'mosquitto', '--out', folder, '--service', 'controller'],
    ['status', '--nonsense'],
  ];
  for (const words of wrong) {
    const said = await fleet.cli(...words);
    t.equal(said.code, 2, `husk ${words.join(' ')}: ${said.err}`);
    t.not(said.err, '');
    t.equal(said.out, '');
  }
});

t.test('what is refused or fails is 1, with the reason on stderr', async (t) => {
  const failing: readonly (readonly [words: readonly string[], reason: RegExp])[] = [
    [['device', 'show', 'nobody'], /not-found: no device nobody/],
    [['device', 'forget', 'nobody'], /not-found/],
    [['query', 'nobody', 'status'], /not-found/],
    [['events', '--device', 'nobody'], /not-found/],
    [['token', 'revoke', 'nope'], /not-found: there is no token nope/],
    [['policy', 'publish', policy, '--all'], /no-devices/],
    [['policy', 'publish', policy, '--device', 'nobody'], /not-found/],
    [['policy', 'publish', join(folder, 'none.yaml'), '--all'], /none.yaml: cannot be read/],
    [['init', fleet.folder, '--tenant', 'acme'], /left as it is/],
    [['serve', '--data', folder], /not a data folder/],
    [['broker-config', 'mosquitto', '--data', folder, '--out', join(folder, 'x')], /there is no such file/],
    [['status', '--data', folder], /no controller answers at .*husk.sock: start it with `husk serve`/],
  ];
  for (const [words, reason] of failing) {
    const said = await fleet.cli(...words);
    t.equal(said.code, 1, `husk ${words.join(' ')}: ${said.err}`);
    t.match(said.err, reason);
    t.equal(said.out, '');
  }
});

t.test('init', async (t) => {
  const data = join(folder, 'made');
  const said = await husk(['init', data, '--tenant', 'acme', '--name', 'gw.example,192.0.2.1', '--json']);
  t.match(JSON.parse(said.out), {
    data,
    tenant: 'acme',
    names: ['gw.example', '192.0.2.1', 'localhost'],
    authority: /^[0-9a-f]{64}$/,
    signer: /^[0-9a-f]{64}$/,
  });
  t.match(await husk(['init', '--tenant', 'acme'], { HUSK_DATA: join(folder, 'by-name') }), {
    code: 0,
    out: /made .*by-name for tenant acme[\s\S]*^Next: husk serve$/m,
  });
  const elsewhere = join(folder, 'elsewhere');
  const next = (await husk(['init', elsewhere, '--tenant', 'acme'])).out;
  t.ok(next.split('\n').includes(`Next: husk serve --data ${elsewhere}`), next);
});

t.test('tokens', async (t) => {
  const made = await fleet.cli('token', 'create', '--uses', '3', '--expires', '30m');
  t.equal(made.code, 0);
  t.match(made.out, /^husk-join:\S+$/, 'the line alone is on stdout');
  t.match(made.err, /for 3 devices, until/);
  t.ok(made.out.startsWith(joinPrefix));
  const join = readJoin(made.out);
  const { device, enroll } = fleet.ports;
  t.match(join, {
    ...{ v: 1, broker: `mqtts://127.0.0.1:${device}`, enroll: `mqtts://127.0.0.1:${enroll}`, tenant: 'acme' },
    authority: fleet.data.authority.digest,
    signer: fleet.data.signer.keyid,
  });
  t.equal(Buffer.from(join.secret, 'base64url').length, 32);
  const other = await fleet.json<{ join: string; uses: number }>(
    'token',
    'create',
    '--device-url',
    'mqtts://gw.example:8883',
    '--enroll-url',
    'mqtts://[2001:db8::1]:9',
  );
  t.match(readJoin(other.join), { broker: 'mqtts://gw.example:8883', enroll: 'mqtts://[2001:db8::1]:9' });
  t.equal(other.uses, 1);

  t.match(await fleet.cli('token', 'revoke', join.token), { code: 0, out: `revoked ${join.token}` });
  const list = await fleet.json<{ token: string; state: string }[]>('token', 'list');
  t.equal(list.find((one) => one.token === join.token)?.state, 'revoked');
  t.notMatch(JSON.stringify(list), /secret/);
  t.match((await fleet.cli('token', 'list')).out, new RegExp(`^${join.token}  revoked  3 of 3`, 'm'));
  t.match((await fleet.cli('audit')).out, new RegExp(`token.revoke +${join.token}`));
  t.match(await fleet.json('audit', '--count', '1'), [{ what: 'token.revoke' }]);
});

t.test('policy check', async (t) => {
  t.match(await husk(['policy', 'check', policy]), { code: 0, out: '2 documents without faults', err: '' });
  const said = await husk(['policy', 'check', broken]);
  t.equal(said.code, 1);
  t.match(said.err, /^.*broken.yaml:12:\d+: .*action/m);
  t.match(said.err, /^.*broken.yaml:18:\d+: .*addresses/m);
  const json = await husk(['policy', 'check', broken, '--json']);
  t.equal(json.code, 1);
  t.match(JSON.parse(json.out), {
    isFaultless: false,
    faults: [{ severity: 'error', file: broken, line: 12 }, { line: 18 }],
  });
  const unseen = join(folder, 'unseen.yaml');
  const head = 'apiVersion: husk/v1\nkind: HardeningPolicy\nmetadata: { name: h }\n';
  writeFileSync(
    unseen,
    `${head}spec:\n  mode: enforce\n  subject: { cgroup: d }\n  default: { socket: deny }\n  rules: []\n`,
  );
  t.match(await husk(['policy', 'check', unseen]), {
    code: 1,
    err: /unseen.yaml:7:22: spec.default.socket: would deny sockets of every family/,
  });
  t.match(JSON.parse((await husk(['policy', 'check', policy, '--json'])).out), {
    isFaultless: true,
    documents: 2,
    faults: [],
  });
  t.match(JSON.parse((await husk(['policy', 'schema'])).out), { $schema: /json-schema/ });
});

t.test('nothing of a broken policy is published', async (t) => {
  await fleet.enroll({ hardwareId: 'hw' });
  t.match(await fleet.cli('policy', 'publish', broken, '--all'), {
    code: 1,
    err: /not published: 2 faults/,
    out: '',
  });
  t.match(await fleet.json('status'), { newestSerial: 0 });
  const said = await fleet.cli('policy', 'publish', policy, '--all', '--wait', '--within', '1s');
  t.match(said, { code: 1, out: /^serial 1: /, err: /offered \(never\)[\s\S]*confirmed by 0 of 1/ });
});

t.test('empty tables are tables, and arrays', async (t) => {
  t.same(await fleet.json('events'), []);
  t.match(await fleet.cli('events'), { code: 0, out: '' });
  t.match((await fleet.cli('device', 'list')).out, /^DEVICE +HOSTNAME/);
  const [device] = await fleet.json<{ device: string }[]>('device', 'list');
  t.match((await fleet.cli('device', 'show', device?.device ?? '')).out, /^in force +not heard yet$/m);
});

t.test('what a device says cannot steer a terminal', async (t) => {
  t.equal(shown('a\u001b[31mb\u0007\u202e\n'), 'a\\u{1b}[31mb\\u{7}\\u{202e}\\u{a}');
});

t.test('husk serve', async (t) => {
  const data = join(folder, 'served');
  await husk(['init', data, '--tenant', 'acme']);
  const serve = (...more: readonly string[]) => {
    const main = join(import.meta.dirname, '../../../fleet/main.ts');
    const words = [
      'serve',
      '--data',
      data,
      '--listen',
      '127.0.0.1',
      '--port',
      '0',
      '--enroll-port',
      '0',
      ...more,
    ];
    const child = spawn(process.execPath, [main, ...words], { stdio: ['ignore', 'pipe', 'pipe'] });
    t.teardown(() => child.kill('SIGKILL'));
    const said = { out: '', err: '' };
    child.stdout.on('data', (chunk: Buffer) => {
      said.out += chunk.toString();
    });
    child.stderr.on('data', (chunk: Buffer) => {
      said.err += chunk.toString();
    });
    const line = async () => {
      for (let turn = 0; turn < 500 && !said.out.includes('\n'); turn += 1)
        await new Promise((resolve) => setTimeout(resolve, 20));
      return said.out;
    };
    return { child, said, line, ended: exitOf(child) };
  };

  const first = serve();
  t.match(
    await first.line(),
    /^listening for devices on 127\.0\.0\.1:\d+, for enrollment on 127\.0\.0\.1:\d+\n/,
  );
  const socket = statSync(join(data, 'husk.sock'));
  t.ok(socket.isSocket());
  t.equal(socket.mode & 0o777, 0o600);
  t.match(await husk(['status', '--data', data, '--json']), { code: 0, out: /"isUp": true/ });
  const second = serve();
  t.equal(await second.ended, 1);
  t.match(second.said.err, /another controller serves this folder/);
  first.child.kill('SIGTERM');
  t.equal(await first.ended, 0, 'an orderly end');
  for (const line of first.said.err.trim().split('\n'))
    t.ok(JSON.parse(line), 'the log is JSON, a line each');

  const killed = serve('--json');
  t.match(JSON.parse((await killed.line()).split('\n')[0] ?? ''), {
    ready: true,
    tenant: 'acme',
    listening: { devices: /^127/ },
  });
  killed.child.kill('SIGKILL');
  await killed.ended;
  const after = serve();
  t.match(await after.line(), /listening/, 'a socket that was left over is no hindrance');
  after.child.kill('SIGINT');
  t.equal(await after.ended, 0);
});

function exitOf(child: ChildProcess): Promise<number | null> {
  return new Promise((resolve) => child.once('exit', (code) => resolve(code)));
}
