// The reference device on this terminal: its console, until it powers off or is ended.

import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { packProvisioningDisk } from './provisioning-disk.ts';
import { deviceArguments, qemu } from './qemu.ts';

const help = `usage: ./build.sh image --boot [--kernel 6.12|6.1|5.10] [--append WORDS] [--join LINE]

Boots the image in an emulator, with its console on this terminal. Log in as root, without a password. \`poweroff\` ends it,
Ctrl-A x at once. What it writes to its disk is gone then.

  --kernel NAME   the kernel to boot (default: 6.12)
  --append WORDS  more of the kernel's command line: husk.slot=b, husk.overlay=none, husk=baseline,
                  lsm=lockdown,capability,landlock (a kernel without BPF's LSM)
  --join LINE     what \`husk token create\` printed: put on a provisioning disk as /etc/husk/join

The device reaches this machine as 10.0.2.2 and has its web pages on http://127.0.0.1:8080.`;

/** Numbers of the image's partitions and files are those of mkimage.ts, which made it. */
const image = join(import.meta.dirname, '../../build/image');

function readArguments() {
  const { values } = parseArgs({
    options: {
      kernel: { type: 'string', default: '6.12' },
      append: { type: 'string', default: '' },
      join: { type: 'string' },
      help: { type: 'boolean', short: 'h', default: false },
    },
  });
  return values;
}

/** A disk with the join line, in a folder that is the caller's to remove. */
function writeProvision(folder: string, line: string): string {
  const disk = join(folder, 'provision');
  writeFileSync(disk, packProvisioningDisk([{ path: 'etc/husk/join', content: `${line}\n`, mode: 0o600 }]));
  return disk;
}

async function main(): Promise<number> {
  const { kernel, append, join: line, help: helpAsked } = readArguments();
  if (helpAsked) {
    console.log(help);
    return 0;
  }
  if (!existsSync(join(image, `vmlinuz-${kernel}`))) {
    console.error(
      `build/image has no kernel ${kernel}: ./build.sh image packs those that ./build.sh deps fetched`,
    );
    return 1;
  }
  const work = mkdtempSync(join(tmpdir(), 'husk-boot-'));
  try {
    const provision = line === undefined ? {} : { provision: writeProvision(work, line) };
    const argv = deviceArguments({
      ...{ image, kernel, append, network: 'user,hostfwd=tcp:127.0.0.1:8080-:80' },
      ...provision,
    });
    const child = spawn(qemu, [...argv, '-serial', 'mon:stdio'], { stdio: 'inherit' });
    return await new Promise<number>((resolve, reject) => {
      child.once('exit', (code) => resolve(code ?? 1));
      child.once('error', reject);
    });
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

process.exitCode = await main();
