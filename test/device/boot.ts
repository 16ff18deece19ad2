// A guest by hand: boots one, with Husk's programs in it, for a command or a shell.

import { spawn } from 'node:child_process';
import { parseArgs } from 'node:util';
import { qemu } from '../../firmware-integration/image/qemu.ts';
import { Undo } from '../lab/undo.ts';
import { Guest, guestMissing } from './guest.ts';
import { guestPrograms, packetPrograms, programMissing } from './guest-programs.ts';
import type { GuestFiles } from './initramfs.ts';
import { findKernel, isKernelName, type KernelName } from './kernels.ts';
import { dyingWithUs, machineArguments, prepareFolder } from './machine.ts';

const help = `usage: node test/device/boot.ts --kernel 5.10|6.1|6.12|full-6.12 [--shell | COMMAND...]

Boots an emulated guest with that kernel of Debian's and powers it off again.

  COMMAND   runs it in the guest's shell, shows what it writes and exits as it does
  --shell   a shell on the guest's console instead; \`exit\` powers off, Ctrl-A x ends it at once

In the guest: node, busybox, /usr/sbin/ip; in /husk/build the addon, the BPF objects and

  node /husk/build/packet-programs.cjs                            what the guests' test runs
  node /husk/build/load-objects.cjs /husk/build/bpf/NAME.bpf.o    loads objects
`;

async function boot(name: KernelName, files: GuestFiles, command: string): Promise<number> {
  const guest = await Guest.boot(name, files);
  let status = 1;
  try {
    console.error(`${guest.kernel.version}: up after ${guest.bootMs} ms`);
    if (command === '') return 0;
    const result = await guest.run(command, 180_000);
    for (const line of result.lines) console.log(line);
    status = result.status;
    return status;
  } finally {
    const kept = await guest.close({ failed: status !== 0 && command !== '' });
    if (kept !== null) console.error(`console: ${kept}`);
  }
}

/** The terminal is the guest's until it powers off. */
async function shell(name: KernelName, files: GuestFiles): Promise<number> {
  const kernel = findKernel(name);
  if (kernel === null) throw new Error(`no ${name} kernel in the cache`);
  const undo = new Undo();
  try {
    const { initramfs } = prepareFolder(kernel, files, undo);
    const argv = [...machineArguments(kernel, initramfs, 'quiet husk.shell'), '-serial', 'mon:stdio'];
    const [program, ...before] = dyingWithUs;
    const child = spawn(program, [...before, qemu, ...argv], { stdio: 'inherit' });
    undo.add('the guest', () => void child.kill('SIGKILL'));
    return await new Promise<number>((resolve, reject) => {
      child.once('exit', (code) => resolve(code ?? 1));
      child.once('error', reject);
    });
  } finally {
    await undo.close();
  }
}

async function main(): Promise<number> {
  const { values, positionals } = parseArgs({
    options: {
      kernel: { type: 'string' },
      shell: { type: 'boolean', default: false },
      help: { type: 'boolean', short: 'h', default: false },
    },
    allowPositionals: true,
  });
  if (values.help) {
    console.log(help);
    return 0;
  }
  const name = values.kernel ?? '';
  if (!isKernelName(name) || (values.shell && positionals.length > 0)) {
    console.error(help);
    return 2;
  }
  const missing = guestMissing(name) || programMissing();
  if (missing) {
    console.error(`${name}: ${missing}`);
    return 1;
  }
  const files = await guestPrograms('load-objects', ...packetPrograms);
  return values.shell ? await shell(name, files) : await boot(name, files, positionals.join(' '));
}

process.exitCode = await main();
