// Goal: every command keeps the contract scripts rely on: exit 0, 1 or 2, JSON and nothing else with --json,
// the reason on standard error, and help that says what there is.
// Method: commands run in this process with what they write caught; an agent of a few lines behind a real
// control socket; signed folders made with a real key. The kernel is met in test/flow.

import { createHash, generateKeyPairSync, sign } from 'node:crypto';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import t from 'tap';
import { type ControlHandler, ControlServer } from '../../../agent/cli/control-server.ts';
import { runCommand } from '../../../agent/cli/program.ts';
import { payloadTypes, preAuthenticationEncoding } from '../../../agent/contract/bundle.ts';
import { views } from '../../../agent/contract/query.ts';
import { RefusalError } from '../../../agent/contract/refusal.ts';
import { DiskFiles } from '../../../agent/os/files.ts';
import { silentLog } from '../../../agent/os/log.ts';
import { keyId } from '../../../agent/trust/keys.ts';

type Test = Pick<typeof t, 'teardown'>;

interface Ran {
  readonly status: number;
  readonly out: string;
  readonly complaint: string;
}

async function husk(...argv: string[]): Promise<Ran> {
  let out = '';
  let complaint = '';
  const status = await runCommand(argv, {
    files: new DiskFiles(),
    addon: () => Promise.reject(new Error('the kernel was asked')),
    run: async () => 0,
    interrupted: () => new AbortController().signal,
    out: (text) => {
      out += text;
    },
    complain: (text) => {
      complaint += text;
    },
    input: Readable.from([]),
    isTerminal: false,
  });
  return { status, out, complaint };
}

function folder(t: Test): string {
  const path = mkdtempSync(join(tmpdir(), 'husk-cli-'));
  t.teardown(() => rmSync(path, { recursive: true }));
  return path;
}

/** A configuration, and an agent behind its control socket unless there is no handler. */
async function device(t: Test, handler: ControlHandler | null): Promise<string> {
  const at = folder(t);
  const path = join(at, 'agent.json');
  writeFileSync(
    path,
    JSON.stringify({
      stateDirectory: join(at, 'state'),
      runDirectory: join(at, 'run'),
      bpffs: join(at, 'bpf'),
    }),
  );
  if (handler !== null) {
    const server = await ControlServer.open(new DiskFiles(), join(at, 'run'), silentLog);
    server.serve(handler);
    t.teardown(() => server.close());
  }
  return path;
}

t.test('usage', async (t) => {
  const help = await husk('--help');
  t.equal(help.status, 0);
  for (const name of [
    'run',
    'probe',
    'status',
    'query',
    'events',
    'apply',
    'return',
    'unload',
    'verify',
    'judge',
    'version',
  ]) {
    t.match(help.out, new RegExp(`^  ${name} `, 'm'), name);
    const own = await husk(name, '--help');
    t.equal(own.status, 0);
    t.match(own.out, /--json/, `${name} --help`);
  }
  const query = await husk('query', '--help');
  for (const view of Object.keys(views)) t.match(query.out, view);

  const wrong = [
    [],
    ['fly'],
    ['query'],
    ['query', 'shell'],
    ['query', 'toString'],
    ['status', '--fast'],
    ['events', '--count', '0'],
    ['events', '--count', 'x'],
    ['events', '--count', '1001'],
    ['events', '--count', '1e2'],
    ['query', 'connections', '--port', ''],
    ['query', 'connections', '--protocol', 'tpc'],
    ['trace', '--address', 'example.net'],
    ['trace', '--address', '192.0.2.1-192.0.2.9'],
    ['trace', '--protocol', '256'],
    ['trace', '--port', '65536'],
    ['verify'],
    ['verify', '.', '--signer', 'AAAA'],
    ['verify', '.', '--signer', 'not base64', '--tenant', 'a', '--device', 'b'],
  ];
  for (const argv of wrong) {
    const { status, out, complaint } = await husk(...argv);
    t.equal(status, 2, argv.join(' ') || '(nothing)');
    t.equal(out, '', 'nothing on standard output');
    t.not(complaint, '');
  }
});

t.test('version', async (t) => {
  t.match(await husk('version'), { status: 0, out: /^husk-agent \d+\.\d+\.\d+\n$/ });
  t.match(JSON.parse((await husk('version', '--json')).out), { version: /^\d/, node: /^\d/ });
});

t.test('a configuration with faults is refused with all of them', async (t) => {
  const path = join(folder(t), 'agent.json');
  writeFileSync(path, '{"xdpMode":"fast","intefaces":[]}');
  const { status, complaint } = await husk('status', '--config', path);
  t.equal(status, 1);
  t.match(complaint, /xdpMode: /);
  t.match(complaint, /intefaces: there is no such field/);
});

/** A process may call itself, and its files, what it likes. */
const hostileEvent = {
  kind: 'operation',
  operation: 'exec',
  verdict: 'deny',
  mode: 'enforce',
  rule: 'web/no-tmp',
  file: { path: '/tmp/x\u001b[2J', device: '0:23' },
  process: {
    pid: 7,
    name: 'a\u001b[2Jb',
    user: { uid: 0 },
    cgroup: '/husk/web',
    file: { path: null },
    ancestry: [],
    ancestryIsWhole: false,
  },
  count: 1,
};

t.test('the running agent is asked', async (t) => {
  const asked: unknown[] = [];
  const config = await device(t, async function* (ask) {
    asked.push(ask);
    if (ask.ask === 'return') yield { returned: true };
    else if (ask.ask === 'query' && ask.view === 'sets') throw new RefusalError('query.busy', 'later');
    else if (ask.ask === 'query' && ask.view === 'events') {
      yield { stream: 'alert', seq: 3, mono: 5, ts: 0, event: hostileEvent };
    } else yield { id: 'a/b', hits: 5 };
  });
  const at = ['--config', config];
  t.match(await husk('query', 'rules', ...at), { status: 0, out: 'id   hits\na/b  5\n' });
  t.strictSame(JSON.parse((await husk('query', 'rules', '--json', ...at)).out), [{ id: 'a/b', hits: 5 }]);
  t.strictSame(JSON.parse((await husk('status', '--json', ...at)).out), { id: 'a/b', hits: 5 });
  t.match(await husk('query', 'events', '--count', '7', ...at), { status: 0 });
  t.strictSame(asked.at(-1), { ask: 'query', view: 'events', args: { count: 7 } });
  const events = await husk('events', ...at);
  t.match(
    events.out,
    '1970-01-01T00:00:00.000Z alert#3 denied exec /tmp/x?[2J by a?[2Jb (web/no-tmp)\n' +
      '    process 7, uid 0: unknown ← unknown, in /husk/web\n',
    'nothing moves the cursor',
  );
  t.match(await husk('query', 'sets', ...at), { status: 1, out: '', complaint: /query\.busy: .*later/ });
  t.match(await husk('return', ...at), { status: 0, out: /returned/ });
  t.strictSame(JSON.parse((await husk('return', '--json', ...at)).out), { returned: true });
  t.match(await husk('unload', '--yes', ...at), { status: 1, complaint: /is running.*stop it first/ });
});

t.test('what ends badly says so', async (t) => {
  const config = await device(t, async function* (ask) {
    if (ask.ask === 'return') yield { returned: false };
    if (ask.ask === 'apply') yield { serial: 3, result: 'returned', reason: 'no-confirmation' };
    if (ask.ask === 'query') throw new Error('kernel: EINVAL');
  });
  const at = ['--config', config];
  t.match(await husk('return', ...at), { status: 1, complaint: /no previous policy/ });
  t.match(await husk('status', ...at), { status: 1, out: '', complaint: /EINVAL/ });
  const applied = await husk('apply', '/tmp', '--json', ...at);
  t.equal(applied.status, 1);
  t.match(JSON.parse(applied.out), { result: 'returned' });
});

t.test('without an agent', async (t) => {
  const config = await device(t, null);
  const at = ['--config', config];
  t.match(await husk('events', ...at), { status: 1, complaint: /no agent/ });
  t.match(await husk('apply', '.', ...at), { status: 1, complaint: /no agent/ });
  t.match(
    await husk('status', ...at),
    { status: 1, complaint: /the kernel was asked/ },
    'the kernel is asked',
  );
  t.match(
    await husk('unload', ...at),
    { status: 1, complaint: /nothing was changed/ },
    'nobody could be asked, so nothing is unloaded',
  );
});

t.test('a bundle in a folder is verified', async (t) => {
  const where = folder(t);
  const { publicKey, privateKey } = generateKeyPairSync('ed25519');
  const raw = publicKey.export({ format: 'der', type: 'spki' }).subarray(-32);
  const we = { tenant: 'acme', device: 'abcdefghijklmnopqrstuvwxyz' };
  const write = (documents: readonly unknown[], name: string): string => {
    const bundle = Buffer.from(JSON.stringify({ v: 1, tenant: 'acme', title: 'x', documents }));
    const assignment = {
      ...{ v: 1, ...we, serial: 4, bytes: bundle.length, trialSeconds: 60, issuedAt: 1_795_447_525 },
      digest: createHash('sha256').update(bundle).digest('hex'),
    };
    const payload = Buffer.from(JSON.stringify(assignment));
    const sig = sign(null, preAuthenticationEncoding(payloadTypes.assignment, payload), privateKey);
    const envelope = {
      payloadType: payloadTypes.assignment,
      payload: payload.toString('base64'),
      signatures: [{ keyid: keyId(raw), sig: sig.toString('base64') }],
    };
    const at = join(where, name);
    mkdirSync(at);
    writeFileSync(join(at, 'assignment.json'), JSON.stringify(envelope));
    writeFileSync(join(at, 'bundle.json'), bundle);
    return at;
  };
  const signer = ['--signer', raw.toString('base64'), '--tenant', 'acme', '--device', we.device];
  const policy = {
    ...{ apiVersion: 'husk/v1', kind: 'PacketPolicy', metadata: { name: 'p' } },
    spec: {
      mode: 'enforce',
      zones: { wan: { interfaces: ['wan0'] } },
      ingress: [{ zone: 'wan', default: 'allow', rules: [] }],
      egress: [],
    },
  };

  const good = write([policy], 'good');
  const ran = await husk('verify', good, ...signer, '--json');
  t.equal(ran.status, 0, ran.complaint);
  t.match(JSON.parse(ran.out), { serial: 4, documents: ['PacketPolicy/p'], faults: [] });

  const faulty = await husk('verify', write([{ ...policy, spec: { mode: 'enforce' } }], 'faulty'), ...signer);
  t.match(faulty, { status: 1, complaint: /zones: is required/ }, 'well signed, and no policy');

  writeFileSync(join(good, 'bundle.json'), '{}');
  t.match(await husk('verify', good, ...signer), { status: 1, out: '', complaint: /bundle\.digest/ });
  const other = ['--signer', raw.toString('base64'), '--tenant', 'else', '--device', we.device];
  t.match(await husk('verify', good, ...other), { status: 1, complaint: /bundle\.not-for-us/ });
  t.match(await husk('verify', where, ...signer), { status: 1, complaint: /there is no such file/ });
  const config = await device(t, null);
  t.match(await husk('verify', good, '--config', config), { status: 1, complaint: /not enrolled/ });
});
