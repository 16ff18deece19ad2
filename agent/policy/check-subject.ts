// What is wrong with whom a policy means.

import type { Subject } from '../contract/policy.ts';
import { checkPaths, checkTwice, pathFault } from './check-paths.ts';
import type { Checking } from './checking.ts';

const at = ['spec', 'subject'];

export function checkSubject(subject: Subject, checking: Checking): void {
  const { fault } = checking;
  const { cgroup, executable, user } = subject;
  if (cgroup === undefined && executable === undefined && user === undefined) {
    fault(at, 'has none of executable, user, cgroup: a policy is about somebody');
  }
  if (typeof executable === 'string') {
    const message = pathFault(executable);
    if (message !== null) fault([...at, 'executable'], `"${executable}" ${message}`);
  } else {
    checkPaths(executable, [...at, 'executable'], checking);
  }
  if (typeof user === 'object') checkTwice(user, [...at, 'user'], fault);
  if (subject.applet !== undefined) {
    const message = appletFault(subject.applet);
    if (message !== null) fault([...at, 'applet'], `"${subject.applet}" ${message}`);
  }
  if (executable !== undefined) return;
  for (const key of ['applet', 'descendants', 'unknown'] as const) {
    if (subject[key] === undefined) continue;
    fault([...at, key], 'narrows executable, and there is none', { what: 'key' });
  }
}

/** What keeps a word from being a name that a program is started by; null where nothing does. */
export function appletFault(name: string): string | null {
  if (name.includes('/')) return 'is a path: an applet is named as in wget';
  if (name.startsWith('-')) return 'begins with "-", which marks a login shell and is none of a name';
  return name.includes('\0') ? 'holds a NUL, which ends a name' : null;
}
