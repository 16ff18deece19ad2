// What is wrong with paths in policies: each names one object, in the one way that can be compared.

import type { Checking } from './checking.ts';
import type { Path } from './faults.ts';
import { isBelow } from './operation-reach.ts';

/** HUSK_PATH_DEPTH_MAX: what lies deeper is unresolved. */
const namesMax = 32;
/** NAME_MAX. */
const nameBytesMax = 255;
const utf8 = new TextEncoder();

/** What keeps a path from being one that a program could ever see; null where nothing does. */
export function pathFault(path: string): string | null {
  if (!path.startsWith('/')) return 'is relative: a path begins with "/"';
  if (path.includes('\0')) return 'holds a NUL, which ends a path';
  if (path === '/') return null;
  if (path.endsWith('/'))
    return `ends in "/": it is written ${JSON.stringify(path.replace(/\/+$/, '') || '/')}`;
  const names = path.slice(1).split('/');
  if (names.includes('')) return 'has two "/" in a row';
  const dots = names.find((name) => name === '.' || name === '..');
  if (dots !== undefined) return `holds "${dots}", of which no path that was resolved has any`;
  const long = names.find((name) => utf8.encode(name).length > nameBytesMax);
  if (long !== undefined) return `has a name of ${utf8.encode(long).length} bytes, at most ${nameBytesMax}`;
  if (names.length > namesMax)
    return `is ${names.length} folders deep, and none is looked into below ${namesMax}`;
  return null;
}

/** Paths of one list. False where one is no path. */
export function checkPaths(paths: readonly string[] | undefined, at: Path, { fault }: Checking): boolean {
  let isSound = true;
  paths?.forEach((path, index) => {
    const message = pathFault(path);
    if (message === null) return;
    isSound = false;
    fault([...at, index], `"${path}" ${message}`);
  });
  checkTwice(paths, at, fault);
  return isSound;
}

/** A path or name that stands twice: one of them was meant to be another. */
export function checkTwice(
  entries: readonly (string | number)[] | undefined,
  at: Path,
  fault: Checking['fault'],
): void {
  entries?.forEach((entry, index) => {
    const first = entries.indexOf(entry);
    if (first < index) fault([...at, index], `"${entry}" stands before, at ${first}`);
  });
}

/** Paths that a folder of the same match takes in already. */
export function checkTakenIn(
  { paths = [], under = [] }: { readonly paths?: readonly string[]; readonly under?: readonly string[] },
  at: Path,
  { fault }: Checking,
): void {
  const check = (list: readonly string[], key: 'paths' | 'under') =>
    list.forEach((path, index) => {
      const folder = under.find((one) => isBelow(path, one) && (key === 'paths' || one !== path));
      if (folder === undefined) return;
      fault([...at, key, index], `"${path}" is under "${folder}" anyway`, { severity: 'warning' });
    });
  check(paths, 'paths');
  check(under, 'under');
}
