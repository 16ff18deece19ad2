// Inside a guest: a service is hardened by policy, with the agent's own code; what it and others can still do is told.

import { spawnSync } from 'node:child_process';
import { copyFileSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { devicePaths } from '../../../agent/device-paths.ts';
import type { Kernel } from '../../../agent/kernel/kernel.ts';
import type { Proof } from '../../../agent/kernel/prove.ts';
import { compile } from '../../../agent/policy/compile.ts';
import { parseDocuments } from '../../../agent/policy/parse.ts';
import { makeTries } from '../../../agent/policy/tries.ts';
import { addon } from '../../../native/index.ts';
import { plainFacts } from '../../lab/plain-kernel.ts';
import { guardsHere, hardeningRoot, openKernel } from './guarded-kernel.ts';
import { hardened } from './policies.ts';
import { tell } from './tell.ts';

/** The daemon: a shell under a name and in a place of its own. */
const daemon = '/srv/stubd/sh';

/** Exit status and words of a shell line, run by `shell`. */
function run(shell: string, line: string): string {
  const { status, signal, stdout, stderr } = spawnSync(shell, ['-c', line], { encoding: 'utf8' });
  return `${signal ?? status} ${(stdout + stderr).trim()}`.trim();
}

const cgroupId = (path: string) => addon.cgroupId(join(hardeningRoot, path));

/** Puts the policy in force, for where its paths are now. */
async function enforce(kernel: Kernel, serial: number): Promise<{ proof: Proof }> {
  if (kernel.guards === null) throw new Error(kernel.guardsWhy);
  const { documents, faults } = parseDocuments(hardened);
  if (faults.length > 0) throw new Error(JSON.stringify(faults));
  const paths = devicePaths(kernel.guards.pathKey);
  const facts = { ...plainFacts([], (id) => kernel.ruleIndex(id)), cgroupId, paths };
  const image = compile(documents, facts);
  const generation = await kernel.loadStandby({
    serial,
    bundleDigest: String(serial).padStart(64, '0'),
    image,
  });
  const proof = await kernel.prove(generation, makeTries(documents, facts), paths);
  kernel.settle(generation);
  return { proof };
}

/** What no shell command does: to other users and groups one by one, and listening on a port that the kernel picks. */
const identities = `
const said = [];
const tell = (what, act) => { try { act(); said.push(what + ' 0'); } catch ({ code }) { said.push(what + ' ' + code); } };
tell('setgroups', () => process.setgroups([1000]));
tell('setgid', () => process.setegid(1000));
tell('setuid', () => process.seteuid(1000));
const server = require('node:net').createServer();
server.once('error', ({ code, syscall }) => console.log([...said, syscall + ' ' + code].join(', ')));
server.listen(0, '127.0.0.1', () => { console.log([...said, 'listen 0'].join(', ')); server.close(); });
`;

const inCgroup = (name: string) => join(hardeningRoot, name);
const folders = [
  ...[inCgroup('each'), inCgroup('others')],
  ...[
    '/srv/stubd',
    '/srv/jitd',
    '/srv/evil',
    '/srv/mnt',
    '/srv/trace',
    '/tmp/evil',
    '/tmp/late',
    '/etc/stubd',
  ],
];

async function main(): Promise<void> {
  for (const folder of folders) mkdirSync(folder, { recursive: true });
  for (const copy of [daemon, '/tmp/evil/true', '/srv/evil/true']) copyFileSync('/bin/busybox', copy);
  writeFileSync('/etc/stubd/conf', 'x');
  writeFileSync('/run/identities.cjs', identities);
  run('/bin/sh', 'mount -t tracefs none /srv/trace; ip link set lo up');

  const started = performance.now();
  const guards = await guardsHere();
  let kernel = await openKernel(guards);
  tell({
    openedMs: Math.round(performance.now() - started),
    tier: kernel.guards?.tier ?? null,
    why: kernel.guardsWhy,
    missing: kernel.guards?.missing ?? [],
  });
  if (kernel.guards === null) return;
  mkdirSync('/tmp/evil', { recursive: true });

  const { proof } = await enforce(kernel, 1);
  tell({ operations: proof.operations, calls: proof.calls, untried: proof.untried });

  const lines = {
    'exec under /tmp': '/tmp/evil/true',
    'exec elsewhere': '/srv/evil/true',
    'exec by a grandchild': '/bin/sh -c /tmp/evil/true',
    'exec of a listed applet': '/bin/wget',
    'exec of another applet': '/bin/true',
    'exec under a name that is none': '/bin/busybox wget',
    'exec under a false first argument': '(exec -a wget /bin/ls)',
    'write what is protected': 'echo x >/etc/stubd/conf',
    'write elsewhere': 'echo x >/tmp/some',
    'link what is protected': 'ln /etc/stubd/conf /etc/stubd/other',
    'rename the folder of what is protected': 'mv /etc/stubd /etc/other',
    'create in it': 'echo x >/etc/stubd/new',
    'read it': 'cat /etc/stubd/conf',
    'load a module': 'insmod /modules/veth.ko',
    'connect to another host': 'nc 192.0.2.20 9 </dev/null',
    'connect to this host': 'nc 127.0.0.1 9 </dev/null',
    'mount something': 'mount -t tmpfs none /srv/mnt',
    'make a raw socket': 'ping -c 1 -W 1 127.0.0.1',
    'make a packet socket': 'arping -c 1 -w 1 -I lo 127.0.0.1',
    'bind a port': 'timeout 3 nc -l -p 7000',
    'be another, and listen': `${process.execPath} /run/identities.cjs`,
    'what lockdown is about': 'cat /srv/trace/trace | head -n 1',
    'remove in monitor mode': 'rm /srv/evil/true',
  } as const;
  const others = [
    'exec under /tmp',
    'exec of a listed applet',
    'write what is protected',
    'link what is protected',
    'load a module',
    'connect to another host',
    'mount something',
    'make a raw socket',
    'make a packet socket',
    'bind a port',
    'be another, and listen',
    'what lockdown is about',
  ] as const;
  for (const [what, line] of Object.entries(lines)) tell({ what, said: run(daemon, line) });
  // The same by a shell that is no service, so that what is denied above is not denied by something else.
  for (const what of others) tell({ what: `not of the service: ${what}`, said: run('/bin/sh', lines[what]) });
  const hits = await kernel.counters();
  tell({ hits: Object.fromEntries(hits.map(({ id, hits }) => [id, Number(hits)])) });

  // As when the agent was killed: programs and links are pinned, and hold meanwhile.
  kernel.close();
  tell({ what: 'without the agent', said: run(daemon, '/tmp/evil/true') });
  kernel = await openKernel(guards);
  tell({ again: kernel.guards?.how ?? null, said: run(daemon, '/tmp/evil/true') });
  kernel.unload([]);
  tell({ what: 'once unloaded', said: run(daemon, 'echo x >/etc/stubd/conf') });
}

main().catch((error: unknown) => {
  console.error(error, (error as { log?: string }).log ?? '');
  process.exit(1);
});
