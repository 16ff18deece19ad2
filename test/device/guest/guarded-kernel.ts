// Inside a guest: the kernel with its guards, opened as the agent opens it.

import { randomBytes } from 'node:crypto';
import { Kernel } from '../../../agent/kernel/kernel.ts';
import { tryKernel } from '../../../agent/kernel/try-kernel.ts';
import { readTrialFiles } from '../../../agent/os/assets.ts';
import { readGuards, readObjects } from '../../../agent/prepare-device.ts';
import { guardTierOf } from '../../../agent/tier.ts';
import { addon } from '../../../native/index.ts';
import { plainKernel } from '../../lab/plain-kernel.ts';
import { bpffs } from './stage.ts';

export const hardeningRoot = '/sys/fs/cgroup/husk';

const log = { error: console.error, warn: console.error, info: () => {} } as never;

/** Of the tier that this kernel was seen to give. */
export async function guardsHere() {
  const trials = await tryKernel({ addon, files: readTrialFiles(), random: (bytes) => randomBytes(bytes) });
  return readGuards(guardTierOf(trials), log);
}

/** `guards`: as an agent of some version has them. */
export async function openKernel(guards: Awaited<ReturnType<typeof guardsHere>>): Promise<Kernel> {
  return await Kernel.open({
    addon,
    bpffs,
    files: readObjects(),
    guards,
    scratch: '/run',
    cgroup: hardeningRoot,
    ...plainKernel,
    onRecycled: () => {},
  });
}
