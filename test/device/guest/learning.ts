// Inside a guest: a service is learnt, a policy is made of it that lets the service work and nothing more, and one more
// policy is judged beside that in shadow. What each step showed is told.

import { spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { copyFileSync, mkdirSync, writeFileSync } from 'node:fs';
import type { PolicyDocument } from '../../../agent/contract/policy.ts';
import { differenceRow, operationWord, profileRow } from '../../../agent/describe-sights.ts';
import { devicePaths } from '../../../agent/device-paths.ts';
import { Kernel } from '../../../agent/kernel/kernel.ts';
import { tryKernel } from '../../../agent/kernel/try-kernel.ts';
import { readTrialFiles } from '../../../agent/os/assets.ts';
import { readMounts } from '../../../agent/os/mounts.ts';
import { checkDocuments } from '../../../agent/policy/check.ts';
import { compile } from '../../../agent/policy/compile.ts';
import { parseDocuments } from '../../../agent/policy/parse.ts';
import type { TableImage } from '../../../agent/policy/table-image.ts';
import { readGuards, readObjects } from '../../../agent/prepare-device.ts';
import { guardTierOf } from '../../../agent/tier.ts';
import { readProfile } from '../../../fleet/policy/profile.ts';
import { proposePolicy } from '../../../fleet/policy/propose-policy.ts';
import { addon } from '../../../native/index.ts';
import { plainFacts, plainKernel } from '../../lab/plain-kernel.ts';
import { tell } from './tell.ts';

const random = (bytes: number) => randomBytes(bytes);
const hardeningRoot = '/sys/fs/cgroup/husk';
const daemon = '/srv/stubd/sh';
const log = { error: console.error, warn: console.error, info: () => {} } as never;

/** What the service does day by day. */
const work = [
  '/bin/cat /etc/stubd/conf',
  'for n in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do echo x >/var/stubd/session$n; done',
  'echo x >/etc/stubd/state',
  'rm /var/stubd/session1',
  '/srv/helper/true',
  'nc 127.0.0.1 9 </dev/null',
] as const;
/** What it never did. */
const attack = {
  'run something from /tmp': '/tmp/evil/true',
  'run another applet': '/bin/wget',
  'write elsewhere': 'echo x >/etc/passwd',
  'remove elsewhere': 'rm /etc/stubd/conf',
  'load a module': 'insmod /modules/veth.ko',
  'connect elsewhere': 'nc 192.0.2.20 9 </dev/null',
} as const;

const learning = {
  apiVersion: 'husk/v1',
  kind: 'HardeningPolicy',
  metadata: { name: 'stubd' },
  spec: { mode: 'learn', subject: { executable: daemon }, rules: [] },
} as const;

/** Beside the proposal: it forbids a thing of each day, and allows what the proposal does not. */
const candidate = {
  apiVersion: 'husk/v1',
  kind: 'HardeningPolicy',
  metadata: { name: 'candidate' },
  spec: {
    mode: 'enforce',
    subject: { executable: daemon },
    rules: [
      { id: 'no-helper', exec: { under: ['/srv/helper'] }, action: 'deny' },
      { id: 'no-loopback', connect: { to: ['127.0.0.0/8'] }, action: 'deny' },
    ],
  },
} as const;

function run(line: string): string {
  const { status, signal, stdout, stderr } = spawnSync(daemon, ['-c', line], { encoding: 'utf8' });
  return `${signal ?? status} ${(stdout + stderr).trim()}`.trim();
}

async function main(): Promise<void> {
  for (const folder of [hardeningRoot, '/srv/stubd', '/srv/helper', '/tmp/evil', '/etc/stubd', '/var/stubd'])
    mkdirSync(folder, { recursive: true });
  for (const copy of [daemon, '/tmp/evil/true', '/srv/helper/true']) copyFileSync('/bin/busybox', copy);
  writeFileSync('/etc/stubd/conf', 'x');
  const kernel = await Kernel.open({
    addon,
    bpffs: '/sys/fs/bpf',
    files: readObjects(),
    guards: readGuards(guardTierOf(await tryKernel({ addon, files: readTrialFiles(), random })), log),
    scratch: '/run',
    cgroup: hardeningRoot,
    ...plainKernel,
    onRecycled: () => {},
  });
  tell({ tier: kernel.guards?.tier ?? null, why: kernel.guardsWhy });
  if (kernel.guards === null) return;
  const paths = devicePaths(kernel.guards.pathKey);
  let serial = 0;
  const image = (
    documents: readonly unknown[],
  ): { image: TableImage; source: Parameters<Kernel['loadShadow']>[0] } => {
    const parsed = parseDocuments(documents);
    const faults = [...parsed.faults, ...checkDocuments(parsed.documents)].filter(
      ({ severity }) => severity === 'error',
    );
    if (faults.length > 0) throw new Error(JSON.stringify(faults));
    const facts = { ...plainFacts([], (id) => kernel.ruleIndex(id)), paths };
    const compiled = compile(parsed.documents, facts);
    serial += 1;
    return { image: compiled, source: { serial, bundleDigest: String(serial).repeat(64), image: compiled } };
  };
  const enforce = async (documents: readonly unknown[]): Promise<TableImage> => {
    const made = image(documents);
    kernel.settle(await kernel.loadStandby(made.source));
    return made.image;
  };
  const names = () => ({
    ruleName: (index: number) => kernel.ruleName(index),
    mounts: readMounts(),
    applets: paths.applets(),
    bootMs: Number(addon.bootNs() / 1_000_000n),
  });

  const learnt = await enforce([learning]);
  tell({ step: 'learning', said: work.map(run) });
  const rows = (await kernel.profile()).map((sight) => profileRow(sight, names()));
  tell({ rows, lost: Number(kernel.totals().PROFILE_LOST ?? 0n) });
  const heads = learnt.learners.map(({ operations, ...learner }) => ({
    ...learner,
    learns: operations.flatMap((one) => operationWord(one) ?? []),
    tier: 'A',
    lost: 0,
  }));
  const { profiles, unread } = readProfile('guest', [...heads, ...rows]);
  const { policy, leftOut } = proposePolicy(profiles, { namedMax: 5, reads: true });
  tell({ proposal: policy, leftOut, unread });

  const enforced = { ...policy, spec: { ...policy.spec, mode: 'enforce' } } as PolicyDocument;
  await enforce([enforced]);
  tell({ step: 'proposal', said: work.map(run) });
  for (const [what, line] of Object.entries(attack)) tell({ what, said: run(line) });

  await kernel.loadShadow(image([candidate]).source);
  tell({ step: 'shadow', said: work.map(run) });
  tell({ what: 'still denied', said: run(attack['write elsewhere']) });
  tell({ differences: (await kernel.differences()).map((sight) => differenceRow(sight, names())) });
  kernel.dropShadow();
  run('/srv/helper/true');
  const after = (await kernel.differences()).map((sight) => differenceRow(sight, names()));
  tell({ dropped: kernel.shadow === null, differences: after });
  kernel.unload([]);
}

main().catch((error: unknown) => {
  console.error(error, (error as { log?: string }).log ?? '');
  process.exit(1);
});
