// Goal: on a device of tier C a policy about a service comes into force for what that tier gives, and each rule says how much that is:
// execs are ended, what a launcher can hold is held once the service was started by it, the rest is unsupported.
// Method: the real controller and agent on this machine's kernel, and a shell in the lab's folder that is the service; the same shell under
// another name is not.

import { spawn, spawnSync } from 'node:child_process';
import { copyFileSync, existsSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import t from 'tap';
import type { Reported } from '../../agent/contract/state.ts';
import { tryKernel } from '../../agent/kernel/try-kernel.ts';
import { readTrialFiles } from '../../agent/os/assets.ts';
import { systemRandom } from '../../agent/os/random.ts';
import { tierOf } from '../../agent/tier.ts';
import { addon } from '../../native/index.ts';
import { executablesMissing, huskAgent } from '../lab/executables.ts';
import { Lab, labMissing } from '../lab/lab.ts';
import { openSite } from '../lab/site.ts';
import { waitFor } from '../lab/wait-for.ts';

t.setTimeout(600_000);
const skip = labMissing() || executablesMissing();

t.test('tier C, whole', { skip }, async (t) => {
  const trials = await tryKernel({
    addon,
    files: readTrialFiles(),
    random: (bytes) => systemRandom.bytes(bytes),
  });
  if (!trials.end.works) return t.pass(`not tried: ${trials.end.why}`);
  if (tierOf(trials) !== 'C') return t.pass('this kernel gives more, which guests test');
  const lab = await Lab.open();
  t.teardown(() => lab.close());
  const folder = lab.folder('service');
  const [service, other, listed] = ['stubd', 'otherd', 'loader'].map((name) => join(folder, name));
  if (service === undefined || other === undefined || listed === undefined) throw new Error('no paths');
  for (const path of [service, other]) copyFileSync('/bin/sh', path);
  copyFileSync('/usr/bin/touch', listed);
  const site = await openSite(lab, { device: { tasks: true } });
  const policy = join(folder, 'policy.yaml');
  writeFileSync(
    policy,
    `apiVersion: husk/v1
kind: HardeningPolicy
metadata: { name: stubd }
spec:
  mode: enforce
  subject: { executable: ${service} }
  rules:
    - { id: no-loader, exec: { paths: [${listed}] }, action: deny }
    - { id: raw, socket: { family: [inet], type: [raw] }, action: deny }
    - { id: conf, file: { write: { under: [${folder}/conf] } }, action: deny }
    - { id: seen, mode: monitor, file: { read: {} }, action: deny }
`,
  );
  const published = await site.controller.publish({ files: [policy], trialSeconds: 20, wait: true });
  t.equal(published.code, 0, published.complaint);
  const states = async () =>
    Object.fromEntries(
      ((await site.device.json(['query', 'rules'])) as Reported['rules']).map((rule) => [rule.id, rule]),
    );

  const first = await states();
  t.match(first['stubd/no-loader'], { state: 'degraded', why: /ended before its first instruction/ });
  t.match(first['stubd/raw'], { state: 'unsupported', why: /husk-launch can hold its services/ });
  t.match(first['stubd/conf'], { state: 'unsupported', why: /needs tier B/ });
  t.match(first['stubd/seen'], { state: 'unsupported' }, 'nothing sees it, so it monitors nothing');
  t.match(await site.device.json(['status']), { tier: 'C', proven: /1 operations by canary/ });

  const mark = join(folder, 'mark');
  const run = (shell: string) => spawnSync(shell, ['-c', `${listed} ${mark}; exit $?`]).status;
  t.equal(run(service), 137, 'ended');
  t.notOk(existsSync(mark), 'before it did a thing');
  t.equal(run(other), 0, 'another program may');
  await site.device.kill();
  t.equal(run(service), 137, 'without the agent too');

  const launcher = join(dirname(huskAgent), 'husk-launch');
  const folders = ['--state', site.device.stateDirectory, '--run', site.device.runDirectory];
  const held = spawn(launcher, ['--require', ...folders, service, '-c', 'read line'], {
    stdio: ['pipe', 'ignore', 'inherit'],
  });
  t.teardown(() => held.kill('SIGKILL'));
  site.device.start();
  const raw = await waitFor(
    async () => {
      const found = (await states().catch(() => null))?.['stubd/raw'];
      return found?.state === 'degraded' && found;
    },
    { what: 'the launched service to be known', withinMs: 60_000 },
  );
  t.match(raw, { why: new RegExp(`held by husk-launch since its start: pid ${held.pid}`) });
});
