// Programs of tests that are written in C, compiled for this run: static, so that a guest can have them as well.

import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, renameSync, statSync } from 'node:fs';
import { basename, join } from 'node:path';

const folder = join(import.meta.dirname, '../../build/test');

export function gccMissing(): string | false {
  return spawnSync('gcc', ['--version']).error === undefined ? false : 'needs gcc (./build.sh deps)';
}

/** Returns the path of the program. Made anew where its source is newer. */
export function compileC(source: string): string {
  const path = join(folder, basename(source, '.c').replaceAll('_', '-'));
  if (existsSync(path) && statSync(path).mtimeMs > statSync(source).mtimeMs) return path;
  mkdirSync(folder, { recursive: true });
  // Beside it, and moved in: two tests at a time may make the same.
  const beside = `${path}-${process.pid}`;
  execFileSync('gcc', ['-static', '-O1', '-Wall', '-Wextra', '-Werror', '-o', beside, source]);
  renameSync(beside, path);
  return path;
}
