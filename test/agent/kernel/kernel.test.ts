// Goal: the set of programs is made, adopted, renewed and taken out as kernel.ts says, on real interfaces.
// Method: interfaces need a network namespace that ends with the process, so the work is done by
// kernel-in-namespace.ts under `unshare --net`; what needs none is here.

import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { Kernel } from '../../../agent/kernel/kernel.ts';
import { setDirectory } from '../../../agent/kernel/objects.ts';
import { usualSizes } from '../../../agent/policy/kernel-memory.ts';
import { addon } from '../../../native/index.ts';
import { Lab } from '../../lab/lab.ts';
import { benchMissing, objectFiles } from '../apply-bench.ts';

const skip = benchMissing();
const sizes = { ...usualSizes, cpus: addon.possibleCpus() };
const random = (bytes: number) => new Uint8Array(bytes).fill(7);

t.test('on interfaces', { skip, timeout: 120_000 }, async (t) => {
  const lab = await Lab.open();
  t.teardown(() => lab.close());
  const program = join(import.meta.dirname, 'kernel-in-namespace.ts');
  await t.spawn('unshare', [
    '--net',
    process.execPath,
    program,
    ...Array.from({ length: 5 }, () => lab.bpffs()),
  ]);
});

t.test('a set half made is made again', { skip }, async (t) => {
  const lab = await Lab.open();
  t.teardown(() => lab.close());
  const bpffs = lab.bpffs();
  const options = { addon, bpffs, files: objectFiles(), cgroup: null, sizes, random, onRecycled: () => {} };
  (await Kernel.open(options)).close();
  // As if its maker had been ended before the last step.
  rmSync(join(setDirectory(bpffs), 'about'));
  const again = await Kernel.open(options);
  t.equal(again.status().how, 'made');
  again.close();
});

t.test('an object of another layout is refused and leaves nothing pinned', { skip }, async (t) => {
  const lab = await Lab.open();
  t.teardown(() => lab.close());
  const bpffs = lab.bpffs();
  const files = { ...objectFiles(), cgroup_socket: new Uint8Array([1, 2, 3]) };
  await t.rejects(Kernel.open({ addon, bpffs, files, cgroup: null, sizes, random, onRecycled: () => {} }));
  t.equal(Kernel.isPinned(bpffs), false);
});

t.test('looking at a set that is not there says so', { skip }, async (t) => {
  const lab = await Lab.open();
  t.teardown(() => lab.close());
  const folder = lab.folder('none');
  mkdirSync(join(folder, 'husk'));
  writeFileSync(join(folder, 'husk', 'v1'), '');
  await t.rejects(
    Kernel.open({ addon, bpffs: folder, files: null, cgroup: null, sizes, random, onRecycled: () => {} }),
    {
      name: 'KernelError',
    },
  );
});
