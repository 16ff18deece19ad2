// The root file system of a slot: busybox, the agent as it is flashed, the libraries of both, and the text files of `root/`.
//
// It has no kernel modules: those travel with their kernel, in the initramfs, so that a slot boots with any kernel.

import { execFileSync } from 'node:child_process';
import { copyFileSync, cpSync, mkdirSync, readdirSync, symlinkSync } from 'node:fs';
import { dirname, join } from 'node:path';

export const busybox = '/usr/bin/busybox';
const texts = join(import.meta.dirname, 'root');

/** Where something is mounted or written, or programs look. */
const emptyFolders = [
  ...['proc', 'sys', 'dev', 'run', 'tmp', 'rom', 'data', 'root', 'mnt', 'srv', 'var/lib', 'usr/bin'],
  ...['if-pre-up.d', 'if-up.d', 'if-down.d', 'if-post-down.d'].map((name) => `etc/network/${name}`),
];
/**
 * Programs of their own, as the daemons of devices are, although busybox is in each: policies name them by path. The
 * squashfs keeps the same bytes once.
 */
const daemons = ['httpd', 'crond', 'telnetd'] as const;
/** Where scripts look for programs by their path. */
const systemPrograms = ['init', 'getty', 'reboot', 'poweroff'] as const;

/** Fills a folder with it. `agent` is the executable. */
export function makeRootTree(tree: string, agent: string): void {
  for (const folder of emptyFolders) mkdirSync(join(tree, folder), { recursive: true });
  put(busybox, tree, 'bin/busybox');
  for (const daemon of daemons) put(busybox, tree, `usr/sbin/${daemon}`);
  for (const applet of applets()) symlinkSync('busybox', join(tree, 'bin', applet));
  mkdirSync(join(tree, 'sbin'));
  for (const program of systemPrograms) symlinkSync('../bin/busybox', join(tree, 'sbin', program));
  put(agent, tree, 'usr/sbin/husk-agent');
  for (const library of librariesOf(agent)) put(library, tree, library);
  for (const name of readdirSync(texts)) cpSync(join(texts, name), join(tree, name), { recursive: true });
  symlinkSync('/run/resolv.conf', join(tree, 'etc/resolv.conf'));
  symlinkSync('/run', join(tree, 'var/run'));
  symlinkSync('/run/log', join(tree, 'var/log'));
}

/** Names that this busybox goes by, apart from those of the daemons. */
function applets(): string[] {
  const names = execFileSync(busybox, ['--list'], { encoding: 'utf8' }).trim().split('\n');
  return names.filter((name) => name !== 'busybox' && !daemons.some((daemon) => daemon === name));
}

function put(source: string, tree: string, path: string): void {
  const target = join(tree, path);
  mkdirSync(dirname(target), { recursive: true });
  copyFileSync(source, target);
}

/** Shared libraries of a program with their loader, where it looks for them. */
function librariesOf(program: string): string[] {
  const text = execFileSync('ldd', [program], { encoding: 'utf8' });
  return [...text.matchAll(/(?:=> |^\t)(\/\S+) \(/gm)].flatMap(([, path]) => path ?? []);
}

/** Packs a tree as a squashfs, everything owned by root. Level 3: in a second, and 7 % larger than in sixteen. */
export function packSquashfs(tree: string, path: string): void {
  const options = ['-comp', 'zstd', '-Xcompression-level', '3', '-all-root', '-noappend', '-no-progress'];
  execFileSync('mksquashfs', [tree, path, ...options, '-quiet'], { stdio: ['ignore', 'pipe', 'inherit'] });
}
