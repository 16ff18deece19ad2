// Programs that run inside a guest: TypeScript of `guest/`, bundled into one file as the agent itself is, with
// the addon and the BPF objects where they look for them.
//
//   husk/build/<name>.cjs       the bundle
//   husk/build/native/husk.node beside it, as in a checkout
//   husk/build/bpf/<object>.bpf.o
//
// What it has to tell, it prints as a line `husk-json {…}`.

import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { build, stop } from 'esbuild';
import type { z } from 'zod';
import type { CommandResult } from './command-line.ts';
import type { GuestFiles } from './initramfs.ts';
import { root } from './kernels.ts';

const addonPath = join(root, 'build/native/husk.node');
const objectFolder = join(root, 'build/bpf');
const mark = 'husk-json ';

/** packet-programs.ts and what it starts. */
export const packetPrograms = ['packet-programs', 'peer', 'caller'] as const;

export function programMissing(): string | false {
  return existsSync(addonPath) && existsSync(objectFolder) ? false : 'needs ./build.sh build';
}

/** File names of the objects that the build makes of bpf/; older ones may lie beside them. */
export function builtObjects(): string[] {
  return readdirSync(join(root, 'bpf'))
    .filter((file) => file.endsWith('.bpf.c'))
    .map((file) => file.replace(/c$/, 'o'))
    .flatMap((file) => (file.startsWith('guard_') ? [file, file.replace('.bpf.o', '_b.bpf.o')] : [file]));
}

/** Files that let a guest run `node /husk/build/<name>.cjs` for each of these programs. */
export async function guestPrograms(...names: readonly string[]): Promise<GuestFiles> {
  const files: Record<string, Uint8Array> = { 'husk/build/native/husk.node': readFileSync(addonPath) };
  for (const file of builtObjects()) files[`husk/build/bpf/${file}`] = readFileSync(join(objectFolder, file));
  for (const name of names)
    files[`husk/build/${name}.cjs`] = await bundle(join(import.meta.dirname, 'guest', `${name}.ts`));
  // Else its service stays with us to the end.
  await stop();
  return files;
}

async function bundle(entry: string): Promise<Uint8Array> {
  const result = await build({
    entryPoints: [entry],
    bundle: true,
    platform: 'node',
    target: 'node24',
    format: 'cjs',
    write: false,
    logLevel: 'warning',
    logOverride: { 'empty-import-meta': 'silent' },
    define: { HUSK_BUILD_SECONDS: '0' },
  });
  const file = result.outputFiles[0];
  if (file === undefined) throw new Error(`esbuild made nothing of ${entry}`);
  return file.contents;
}

/** What a guest's program told, each as the type it must be. Throws on a line that is none. */
export function told<T>(result: CommandResult, type: z.ZodType<T>): T[] {
  return result.lines
    .filter((line) => line.startsWith(mark))
    .map((line) => type.parse(JSON.parse(line.slice(mark.length))));
}
