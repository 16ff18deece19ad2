// The project's files as the tidy checks see them: what git tracks or would track, with their text.

import { execFileSync } from 'node:child_process';
import { existsSync, lstatSync, readdirSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';

export interface ProjectFile {
  /** Relative to the project's root, with `/`. */
  readonly path: string;
  readonly bytes: number;
  /** null where it is not text. */
  readonly text: string | null;
}

export const root = resolve(import.meta.dirname, '../..');

/** What an install or a build puts into a tree that git does not look after. */
const made = new Set(['.cache', '.git', '.tap', 'build', 'dist', 'node_modules']);

/** Tracked files and new ones that are not ignored, so that a fault is seen before it is committed. */
export function projectFiles(): ProjectFile[] {
  const paths = existsSync(join(root, '.git')) ? pathsOfGit() : pathsOfFolder();
  return paths.map(readProjectFile).filter((file) => file !== null);
}

function pathsOfGit(): string[] {
  const args = ['ls-files', '-z', '--cached', '--others', '--exclude-standard'];
  const out = execFileSync('git', args, { cwd: root, maxBuffer: 64 << 20 });
  return out.toString().split('\0').filter(Boolean);
}

/** For a tree that was unpacked and not cloned. */
function pathsOfFolder(): string[] {
  const all = readdirSync(root, { recursive: true, encoding: 'utf8' });
  return all.filter((path) => !path.split('/').some((part) => made.has(part)));
}

function readProjectFile(path: string): ProjectFile | null {
  const full = join(root, path);
  const stat = lstatSync(full, { throwIfNoEntry: false });
  // Tracked and deleted in the work tree: the commit to come will say so.
  if (stat === undefined || !stat.isFile()) return null;
  if (stat.size > 4 << 20) return { path, bytes: stat.size, text: null };
  const content = readFileSync(full);
  return { path, bytes: stat.size, text: content.includes(0) ? null : content.toString('utf8') };
}
