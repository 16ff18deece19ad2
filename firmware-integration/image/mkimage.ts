// Makes the reference device image, of what the build left and what Debian packages hold:
//
//   agent, busybox, root/ ─▶ squashfs ─▶ disk.img with two slots
//   each kernel ─▶ its initramfs
//
//   node firmware-integration/image/mkimage.ts --agent FILE --kernel NAME=FOLDER [--kernel …] --out FOLDER
//
// A kernel's folder holds `vmlinuz` and `lib/modules`. The output folder is replaced as a whole once all is made.

import { copyFileSync, mkdirSync, mkdtempSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { parseArgs } from 'node:util';
import { writeDisk } from './disk.ts';
import { makeInitramfs } from './initramfs.ts';
import { makeRootTree, packSquashfs } from './root-tree.ts';

const usage = 'usage: mkimage.ts --agent FILE --kernel NAME=FOLDER [--kernel NAME=FOLDER …] --out FOLDER';

interface Asked {
  readonly agent: string;
  readonly kernels: ReadonlyMap<string, string>;
  readonly out: string;
}

function readArguments(): Asked | null {
  const { values } = parseArgs({
    options: {
      agent: { type: 'string' },
      kernel: { type: 'string', multiple: true, default: [] },
      out: { type: 'string' },
    },
  });
  const kernels = new Map(
    values.kernel.map((text): [string, string] => {
      const at = text.indexOf('=');
      return [text.slice(0, at), text.slice(at + 1)];
    }),
  );
  if (values.agent === undefined || values.out === undefined || kernels.size === 0 || kernels.has(''))
    return null;
  return { agent: values.agent, kernels, out: values.out };
}

function make({ agent, kernels, out }: Asked): void {
  mkdirSync(dirname(out), { recursive: true });
  const work = mkdtempSync(`${out}-`);
  try {
    const sizes: Record<string, number> = {};
    const made = (name: string): void => {
      sizes[name] = statSync(join(work, name)).size;
      console.log(`    ${name.padEnd(16)} ${((sizes[name] ?? 0) / 1e6).toFixed(1).padStart(6)} MB`);
    };
    const tree = join(work, 'tree');
    makeRootTree(tree, agent);
    packSquashfs(tree, join(work, 'root.squashfs'));
    rmSync(tree, { recursive: true });
    made('root.squashfs');
    writeDisk(join(work, 'disk.img'), join(work, 'root.squashfs'));
    made('disk.img');
    for (const [name, folder] of kernels) {
      copyFileSync(join(folder, 'vmlinuz'), join(work, `vmlinuz-${name}`));
      made(`vmlinuz-${name}`);
      writeFileSync(join(work, `initramfs-${name}`), makeInitramfs(folder));
      made(`initramfs-${name}`);
    }
    writeFileSync(
      join(work, 'manifest.json'),
      `${JSON.stringify({ kernels: [...kernels.keys()], bytes: sizes }, null, 2)}\n`,
    );
    rmSync(out, { recursive: true, force: true });
    renameSync(work, out);
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

const asked = readArguments();
if (asked === null) {
  console.error(usage);
  process.exitCode = 2;
} else make(asked);
