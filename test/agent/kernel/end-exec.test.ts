// Goal: in tier C what a policy denies to be run is ended before its first instruction, which a canary proves; what it
// allows runs, others are let alone, and a rule that nothing can judge there is called unsupported.
// Method: the agent's own code on this machine's kernel, with a policy whose subject is a shell of the test's own, and only
// in a cgroup of the test's own; that shell, inside and outside, runs programs that would write a file.

import { spawnSync } from 'node:child_process';
import { copyFileSync, existsSync, rmSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import t from 'tap';
import { devicePaths } from '../../../agent/device-paths.ts';
import { Kernel } from '../../../agent/kernel/kernel.ts';
import { tryKernel } from '../../../agent/kernel/try-kernel.ts';
import { readTrialFiles } from '../../../agent/os/assets.ts';
import { makeLog } from '../../../agent/os/log.ts';
import { systemRandom } from '../../../agent/os/random.ts';
import { compile } from '../../../agent/policy/compile.ts';
import { parseDocuments } from '../../../agent/policy/parse.ts';
import { makeTries } from '../../../agent/policy/tries.ts';
import { readGuards } from '../../../agent/prepare-device.ts';
import { ruleStates } from '../../../agent/rule-states.ts';
import { lowerToTier } from '../../../agent/tier-states.ts';
import { addon } from '../../../native/index.ts';
import { Lab } from '../../lab/lab.ts';
import { plainFacts, plainKernel } from '../../lab/plain-kernel.ts';
import { benchMissing, objectFiles } from '../apply-bench.ts';

const random = (bytes: number) => systemRandom.bytes(bytes);
const ended = 137;

t.test('execs are ended in tier C', { skip: benchMissing(), timeout: 300_000 }, async (t) => {
  const trials = await tryKernel({ addon, files: readTrialFiles(), random });
  if (!trials.end.works) return t.pass(`not tried: ${trials.end.why}`);
  const lab = await Lab.open();
  t.teardown(() => lab.close());
  const folder = lab.folder('programs');
  const at = (name: string) => join(folder, name);
  copyFileSync('/bin/sh', at('shell'));
  for (const name of ['listed', 'other', 'seen']) copyFileSync('/usr/bin/touch', at(name));
  const service = lab.cgroupBelow('end-exec/service');
  const options = {
    addon,
    bpffs: lab.bpffs(),
    files: objectFiles(),
    guards: readGuards('C', makeLog('silent')),
    scratch: folder,
    cgroup: dirname(service),
    ...plainKernel,
    onRecycled: () => {},
  };
  let kernel = await Kernel.open(options);
  lab.onClose('the programs', () => kernel.unload([]));
  t.match({ tier: kernel.guards?.tier, why: kernel.guardsWhy }, { tier: 'C', why: '' }, 'a canary was ended');
  if (kernel.guards === null) return;

  const { documents, faults } = parseDocuments([
    {
      apiVersion: 'husk/v1',
      kind: 'HardeningPolicy',
      metadata: { name: 'stubd' },
      spec: {
        mode: 'enforce',
        subject: { cgroup: basename(service), executable: at('shell') },
        rules: [
          { id: 'no-listed', exec: { paths: [at('listed')], memfd: true }, action: 'deny' },
          { id: 'seen', mode: 'monitor', exec: { paths: [at('seen')] }, action: 'deny' },
          { id: 'no-write', file: { write: { under: [folder] } }, action: 'deny' },
        ],
      },
    },
  ]);
  t.strictSame(faults, []);
  const facts = {
    ...plainFacts([], (id) => kernel.ruleIndex(id)),
    cgroupId: (path: string) => addon.cgroupId(join(dirname(service), path)),
    paths: devicePaths(kernel.guards.pathKey),
  };
  const image = compile(documents, facts);
  const generation = await kernel.loadStandby({ serial: 1, bundleDigest: '1'.repeat(64), image });
  const proof = await kernel.prove(generation, makeTries(documents, facts), facts.paths);
  t.strictSame(proof.untried, ['stubd/no-write'], 'what denies execs is proven by execs');
  kernel.settle(generation);

  const states = lowerToTier(ruleStates(image.rules, proof.untried), image.rules, {
    tier: 'C',
    passedOver: null,
    misses: 0n,
    launched: new Map(),
  });
  t.match(states, [
    { id: 'stubd/no-listed', state: 'degraded', why: /ended before its first instruction/ },
    { id: 'stubd/seen', state: 'monitor' },
    { id: 'stubd/no-write', state: 'unsupported', why: /needs tier B/ },
  ]);

  const mark = at('mark');
  /** The status of a program that is run by the shell, and whether it got to write its file. */
  const run = (shell: string, program: string, isService: boolean) => {
    rmSync(mark, { force: true });
    const join = isService ? `echo $$ > ${service}/cgroup.procs; ` : '';
    const line = `${at(program)} ${mark}; exit $?`;
    const { status } = spawnSync('/bin/sh', ['-c', `${join}exec ${shell} -c '${line}'`], {
      timeout: 60_000,
    });
    return { status, wrote: existsSync(mark) };
  };
  const holds = (of: string) => {
    t.strictSame(run(at('shell'), 'listed', true), { status: ended, wrote: false }, `${of}: denied`);
    t.strictSame(run(at('shell'), 'other', true), { status: 0, wrote: true }, `${of}: not named`);
    t.strictSame(run(at('shell'), 'seen', true), { status: 0, wrote: true }, `${of}: monitored`);
    t.strictSame(
      run(at('shell'), 'listed', false),
      { status: 0, wrote: true },
      `${of}: in no cgroup of ours`,
    );
    t.strictSame(run('/bin/sh', 'listed', true), { status: 0, wrote: true }, `${of}: by another shell`);
  };
  holds('with the agent');
  const hits = Object.fromEntries((await kernel.counters()).map(({ id, hits }) => [id, Number(hits)]));
  t.match(hits, { 'stubd/no-listed': 1, 'stubd/seen': 1 }, 'counted');

  // As when the agent was killed: programs and links are pinned.
  kernel.close();
  holds('without it');
  kernel = await Kernel.open(options);
  t.equal(kernel.guards?.how, 'adopted');
  holds('adopted');
});
