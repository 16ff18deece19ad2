// Goal: every packet is judged once, at the point its zone names, whatever kind of interface it passes and however
// that came to be; and what is to pass nothing until it is judged passes nothing.
// Method: real programs on real interfaces, by interfaces-in-namespace.ts under `unshare --net`.

import { join } from 'node:path';
import t from 'tap';
import { Lab } from '../lab/lab.ts';
import { benchMissing } from './apply-bench.ts';

const skip = benchMissing();
t.setTimeout(250_000);

t.test('on interfaces', { skip, timeout: 240_000 }, async (t) => {
  const lab = await Lab.open();
  t.teardown(() => lab.close());
  const program = join(import.meta.dirname, 'interfaces-in-namespace.ts');
  const bpffs = Array.from({ length: 16 }, () => lab.bpffs());
  await t.spawn('unshare', ['--net', process.execPath, program, lab.dir, ...bpffs], { timeout: 240_000 });
});
