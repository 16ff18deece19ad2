// Goal: what is said of a kernel is what a canary met in it, and nothing is left of the try.
// Method: the trials on this machine's kernel, compared with what its own answers to plain attempts are; and the same with
// programs that refuse nobody, since the canary has another name than the one they know.

import { readdirSync } from 'node:fs';
import t from 'tap';
import { tryKernel } from '../../../agent/kernel/try-kernel.ts';
import { readTrialFiles } from '../../../agent/os/assets.ts';
import { findMounted } from '../../../agent/os/file-systems.ts';
import { systemRandom } from '../../../agent/os/random.ts';
import { addon } from '../../../native/index.ts';
import { openDescriptors } from '../../native/kernel.ts';

const skip = process.geteuid?.() === 0 ? false : 'needs root';
const random = (bytes: number) => systemRandom.bytes(bytes);
const tools = { addon, files: readTrialFiles(), random };

t.test('the witness runs where nothing is in its way', async (t) => {
  t.strictSame(await addon.witness('', ''), { refused: 0, signal: 0, ran: true });
  t.strictSame(await addon.witness('', 'husk-witnessed'), { refused: 0, signal: 0, ran: true });
  await t.rejects(addon.witness('/nowhere', ''), { name: 'KernelError', message: /open cgroup/ });
  t.throws(() => addon.witness('', 'a name of 16 byt'), { message: /name/ });
});

t.test('what is claimed was seen, and what is not says why', { skip }, async (t) => {
  const features = addon.probe();
  const before = await openDescriptors();
  const trials = await tryKernel(tools);
  t.comment(JSON.stringify(trials));
  for (const [name, trial] of Object.entries(trials)) t.equal(trial.works, trial.why === '', name);
  // A kernel that does not even load such a program was not seen to run one.
  if (features.lsm !== 0) t.match(trials.lsm, { works: false, why: /husk_probe_lsm|ENOENT|ESRCH/ });
  if (features.fmodRet !== 0) t.notOk(trials.fmodRet.works);
  if (features.tracepointBtf === 0 && features.taskStorage === 0) t.ok(trials.end.works, trials.end.why);
  const root = findMounted('cgroup2');
  if (root !== null && features.cgroupSockAddr === 0) {
    t.ok(trials.connect.works, trials.connect.why);
    t.strictSame(
      readdirSync(root).filter((name) => name.startsWith('husk-probe-')),
      [],
    );
  }
  t.equal(await openDescriptors(), before, 'nothing is left open');
  t.strictSame(await addon.witness('', ''), { refused: 0, signal: 0, ran: true }, 'and nothing attached');
});

t.test('programs that act on nobody are not taken for ones that work', { skip }, async (t) => {
  if (!(await tryKernel(tools)).end.works) return t.pass('no such programs here');
  // Attached by another name: as in a kernel that attaches programs and does not run them.
  let asked = 0;
  const deaf = { ...addon, openObject: addon.openObject.bind(addon) } as typeof addon;
  deaf.witness = (cgroup) => {
    asked++;
    return addon.witness(cgroup, 'somebody-else');
  };
  const trials = await tryKernel({ ...tools, addon: Object.setPrototypeOf(deaf, addon) });
  t.ok(asked > 0);
  t.match(trials.end, { works: false, why: 'the signal came after the first instruction' });
});
