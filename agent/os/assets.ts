// The BPF objects: inside the executable, or in the build folder of a checkout.

import { existsSync, readFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { getRawAsset, isSea } from 'node:sea';

/** The bytes of `NAME.bpf.o`. */
export type ReadObject = (name: string) => Uint8Array;

export const readBpfObject: ReadObject = (name) => {
  const file = `${name}.bpf.o`;
  // A view on the executable's own pages: to be read, never written.
  if (isSea()) return new Uint8Array(getRawAsset(file) as ArrayBuffer);
  return readFileSync(join(checkoutFolder(), 'build/bpf', file));
};

/** Programs that a kernel is tried by (kernel/try-kernel.ts). */
export const readTrialFiles = () => ({
  refuse: readBpfObject('probe_refuse'),
  end: readBpfObject('probe_end'),
});

/**
 * The checkout that the started program lies in: the nearest folder above it with build/bpf. Not from
 * `import.meta`, which a CommonJS bundle does not have.
 */
function checkoutFolder(): string {
  for (const start of [process.argv[1], join(process.cwd(), 'x')]) {
    if (start === undefined) continue;
    for (let folder = dirname(resolve(start)); ; folder = dirname(folder)) {
      if (existsSync(join(folder, 'build/bpf'))) return folder;
      if (folder === dirname(folder)) break;
    }
  }
  throw new Error('build/bpf is nowhere above the program: run ./build.sh build');
}
