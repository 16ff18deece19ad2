// The program of bare_link.c, compiled for this run: static, so that a guest can have it as well.

import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, renameSync, statSync } from 'node:fs';
import { join } from 'node:path';

const source = join(import.meta.dirname, 'bare_link.c');
const folder = join(import.meta.dirname, '../../build/test');

export function bareLinkMissing(): string | false {
  return spawnSync('gcc', ['--version']).error === undefined ? false : 'needs gcc (./build.sh deps)';
}

/** Returns its path. Made anew where its source is newer. */
export function buildBareLink(): string {
  const path = join(folder, 'bare-link');
  if (existsSync(path) && statSync(path).mtimeMs > statSync(source).mtimeMs) return path;
  mkdirSync(folder, { recursive: true });
  // Beside it, and moved in: two tests at a time may make the same.
  const beside = `${path}-${process.pid}`;
  execFileSync('gcc', ['-static', '-O1', '-Wall', '-Wextra', '-Werror', '-o', beside, source]);
  renameSync(beside, path);
  return path;
}
