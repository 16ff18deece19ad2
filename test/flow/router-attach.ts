// Attaches the programs that are pinned to interfaces of the network namespace it is started in, and says which
// interfaces there are, as JSON. Started by router.ts.
//
//   node router-attach.ts <bpffs> <interface>…

import { deviceInterfaces } from '../../agent/device-interfaces.ts';
import { Kernel } from '../../agent/kernel/kernel.ts';
import { addon } from '../../native/index.ts';
import { objectFiles } from '../agent/apply-bench.ts';
import { plainAttach } from '../lab/plain-attach.ts';
import { plainKernel } from '../lab/plain-kernel.ts';

const [bpffs = '', ...names] = process.argv.slice(2);
const files = objectFiles();
const kernel = await Kernel.open({ addon, bpffs, files, cgroup: null, ...plainKernel, onRecycled: () => {} });
const all = deviceInterfaces(addon.interfaces());
const hooks = kernel.attach(plainAttach(all.filter(({ name }) => names.includes(name))));
const failed = hooks.filter(({ action }) => action === 'failed');
if (failed.length > 0) throw new Error(JSON.stringify(failed));
kernel.close();
console.log(JSON.stringify(all));
