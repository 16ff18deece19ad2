// The project's files as the tidy checks see them: what git tracks or would track, with their text.

import { execFileSync } from 'node:child_process';
import { lstatSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';

export interface ProjectFile {
  /** Relative to the project's root, with `/`. */
  readonly path: string;
  readonly bytes: number;
  /** null where it is not text. */
  readonly text: string | null;
}

export const root = resolve(import.meta.dirname, '../..');

/** Tracked files and new ones that are not ignored, so that a fault is seen before it is committed. */
export function projectFiles(): ProjectFile[] {
  const out = execFileSync('git', ['ls-files', '-z', '--cached', '--others', '--exclude-standard'], {
    cwd: root,
    maxBuffer: 64 << 20,
  });
  const files: ProjectFile[] = [];
  for (const path of out.toString().split('\0')) {
    if (path === '') continue;
    const file = readProjectFile(path);
    if (file !== null) files.push(file);
  }
  return files;
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
