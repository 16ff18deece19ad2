// Goal: a service that husk-launch starts is held to what the agent wrote for it, others are not; damaged or foreign rules are told of and
// never half taken; and the agent knows who is held, and no longer once he is gone.
// Method: the agent's own writer and reader, the real launcher, and a shell that tries, with the errno it gets; the same tries by
// the same shell without it. Landlock and seccomp hold what is started, and nothing else on the machine.

import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import type { HardeningPolicy } from '../../agent/contract/policy.ts';
import { LaunchFiles, rulesName } from '../../agent/launch-files.ts';
import { DiskFiles } from '../../agent/os/files.ts';
import { makeLog } from '../../agent/os/log.ts';
import { launchPlans } from '../../agent/policy/launch-rules.ts';
import { addon } from '../../native/index.ts';
import { waitFor } from '../lab/wait-for.ts';

const launcher = join(import.meta.dirname, '../../dist/husk-launch');
const features = existsSync(join(import.meta.dirname, '../../build/native/husk.node')) ? addon.probe() : null;
const skip =
  !existsSync(launcher) || features === null
    ? 'needs ./build.sh build'
    : features.landlockAbi < 4 || features.seccomp !== 0
      ? `needs Landlock 4 and seccomp, and has ${features.landlockAbi}`
      : process.geteuid?.() !== 0 && 'needs root';

interface Site {
  readonly folder: string;
  readonly program: string;
  readonly files: LaunchFiles;
  readonly arguments: readonly string[];
}

function openSite(t: Test): Site {
  const folder = mkdtempSync(join(tmpdir(), 'husk-launch-'));
  t.teardown(() => rmSync(folder, { recursive: true, force: true }));
  const disk = new DiskFiles();
  for (const name of ['state', 'run', 'open', 'shut']) disk.makeFolder(join(folder, name));
  const program = join(folder, 'stubd');
  copyFileSync('/bin/sh', program);
  const folders = { state: join(folder, 'state'), run: join(folder, 'run') };
  return {
    folder,
    program,
    files: new LaunchFiles(disk, folders, makeLog('silent')),
    arguments: ['--state', folders.state, '--run', folders.run],
  };
}

function plansFor({ folder, program }: Site) {
  const policies: readonly HardeningPolicy[] = [
    {
      apiVersion: 'husk/v1',
      kind: 'HardeningPolicy',
      metadata: { name: 'stubd' },
      spec: {
        mode: 'enforce',
        subject: { executable: program },
        rules: [
          {
            id: 'files',
            file: {
              write: { except: { under: [join(folder, 'open')], paths: ['/dev/null'] } },
              create: { except: { under: [join(folder, 'open')] } },
              delete: { except: { under: [join(folder, 'open')] } },
              mount: {},
            },
            action: 'deny',
          },
          { id: 'sealed', kernel: { module: true, bpf: true, kexec: true, perf: true }, action: 'deny' },
          {
            id: 'rights',
            privilege: { userns: true, ptrace: true, capabilities: ['net_raw'] },
            action: 'deny',
          },
          { id: 'memory', memory: { writeExecute: true }, action: 'deny' },
          { id: 'raw', socket: { family: ['inet'], type: ['raw'] }, action: 'deny' },
          { id: 'no-listen', bind: { protocol: 'tcp' }, action: 'deny' },
        ],
      },
    },
  ];
  return launchPlans(policies, new Set());
}

/** What is tried, and what it says where it is denied. */
const attempts = (folder: string): Readonly<Record<string, readonly [line: string, denied: RegExp]>> => {
  const python = (code: string) => `python3 -c '${code}'`;
  return {
    write: [`echo x >>${folder}/shut/there`, /Permission denied/],
    create: [`: >${folder}/shut/new`, /Permission denied/],
    remove: [`rm ${folder}/shut/gone`, /Permission denied/],
    mount: ['unshare -m sh -c "mount -t tmpfs none /mnt"', /permission denied|not permitted/i],
    'user namespace': ['unshare -U true', /not permitted/],
    'raw socket': [python('import socket; socket.socket(2, 3, 1)'), /PermissionError/],
    'packet of its own': [python('import socket; socket.socket(10, 3, 58)'), /PermissionError/],
    'listen on TCP': [python('import socket; socket.socket().bind(("127.0.0.1", 0))'), /PermissionError/],
    'memory to write and run': [python('import mmap; mmap.mmap(-1, 4096, prot=7)'), /PermissionError/],
    'by a grandchild': [`sh -c 'sh -c "echo x >>${folder}/shut/there"'`, /Permission denied/],
  };
};
/** What goes on. */
const ordinary = (folder: string): readonly string[] => [
  `echo x >${folder}/open/new && mv ${folder}/open/new ${folder}/open/other && rm ${folder}/open/other`,
  'echo x >/dev/null',
  `cat ${folder}/shut/there`,
  'unshare --uts true',
];

t.test('a service is held from its start', { skip, timeout: 120_000 }, async (t) => {
  const site = openSite(t);
  const { folder, program } = site;
  site.files.settle(7, plansFor(site));
  for (const name of ['there', 'gone']) writeFileSync(join(folder, 'shut', name), 'x');
  const run = (line: string, before: readonly string[]) => {
    const [first = program, ...rest] = [...before, program, '-c', line];
    const { status, stderr } = spawnSync(first, rest, { encoding: 'utf8' });
    return { status, said: stderr };
  };
  const held = [launcher, '--require', ...site.arguments];
  for (const [what, [line, denied]] of Object.entries(attempts(folder))) {
    const tried = run(line, held);
    t.not(tried.status, 0, what);
    t.match(tried.said, denied, what);
  }
  for (const line of ordinary(folder)) t.equal(run(line, held).status, 0, line);
  // Without the launcher all of it works: what was denied was denied by that.
  for (const [what, [line]] of Object.entries(attempts(folder)))
    t.equal(run(line, []).status, 0, `free: ${what}`);
});

t.test('the agent knows who is held, by which policy', { skip, timeout: 60_000 }, async (t) => {
  const site = openSite(t);
  const plans = plansFor(site);
  site.files.settle(7, plans);
  t.equal(site.files.held().get('stubd/raw'), null, 'nobody was started');
  const child = spawn(launcher, [...site.arguments, site.program, '-c', 'read line'], {
    stdio: ['pipe', 'ignore', 'inherit'],
  });
  t.teardown(() => child.kill('SIGKILL'));
  const of = () => site.files.held().get('stubd/raw') ?? '';
  await waitFor(() => of() !== '' || undefined, { what: 'the record', withinMs: 20_000 });
  t.match(of(), new RegExp(`held by husk-launch since its start: pid ${child.pid}`));
  t.match(site.files.held().get('stubd/sealed'), /what passes: modules that the kernel loads by itself/);

  site.files.settle(8, [...plans]);
  t.match(of(), /pid/, 'a policy that says the same of it changes nothing');
  const [plan] = plans;
  if (plan === undefined) throw new Error('there is no plan');
  site.files.settle(9, [{ ...plan, lines: plan.lines.slice(1) }]);
  t.equal(of(), '', 'one that says something else wants it started again');
  site.files.settle(10, [...plans]);
  t.equal(of(), '', 'and what it holds is not what was asked for since');
  site.files.settle(7, [...plans]);

  child.kill('SIGKILL');
  await once(child, 'exit');
  t.equal(of(), '');
  t.strictSame(readdirSync(join(site.folder, 'run/launched')), [], 'its record is swept');
  site.files.settle(11, []);
  t.strictSame(readdirSync(join(site.folder, 'state/launch')), [], 'and rules that no policy has go');
});

t.test('damaged and foreign rules are never half taken', { skip, timeout: 60_000 }, async (t) => {
  const site = openSite(t);
  site.files.settle(7, plansFor(site));
  const path = join(site.folder, 'state/launch', rulesName(site.program) ?? '');
  const good = readFileSync(path, 'utf8');
  const start = (...options: string[]) =>
    spawnSync(launcher, [...options, ...site.arguments, site.program, '-c', `: >${site.folder}/shut/new`], {
      encoding: 'utf8',
    });
  const damages: Readonly<Record<string, readonly [text: string, why: RegExp]>> = {
    'cut off': [good.slice(0, good.length / 2), /line \d+: /],
    'without its end': [good.replace('end\n', ''), /the end is missing/],
    'with more behind the end': [`${good}deny bpf\n`, /something follows the end/],
    'of another format': [good.replace('husk-launch 1', 'husk-launch 2'), /does not begin with/],
    'with a word unknown': [
      good.replace('deny bpf', 'deny flight'),
      /line \d+: what is to be denied is not known/,
    ],
    'with a number too large': [good.replace('deny capability 13', 'deny capability 65'), /up to 64/],
    'with a path that is none': [good.replace(/beneath write .*/, 'beneath write etc'), /no absolute path/],
    'with too many sockets': [
      good.replace('end\n', `${'deny socket 1 1\n'.repeat(65)}end\n`),
      /too many sockets/,
    ],
    'too long': [good.replace('end\n', `${'deny bpf\n'.repeat(40_000)}end\n`), /File too large/],
    empty: ['', /does not begin with/],
  };
  for (const [what, [text, why]] of Object.entries(damages)) {
    writeFileSync(path, text);
    const { status, stderr } = start('--require');
    t.equal(status, 1, `${what}: not started where the rules are required`);
    t.match(stderr, why, what);
    t.equal(start().status, 0, `${what}: else started, as it is`);
  }
  writeFileSync(path, good);
  chmodSync(path, 0o622);
  t.match(start('--require').stderr, /not permitted/, 'a file that others may write is none of the agent');
  t.strictSame(
    readdirSync(join(site.folder, 'run/launched')).filter(
      (name) => readFileSync(join(site.folder, 'run/launched', name), 'utf8') !== '',
    ),
    [],
    'nothing is claimed',
  );
  rmSync(path);
  t.equal(start('--require').status, 0, 'a program that no policy speaks of is started');
  t.equal(spawnSync(launcher, []).status, 2);
  t.equal(spawnSync(launcher, ['--fast', site.program]).status, 2);
});
