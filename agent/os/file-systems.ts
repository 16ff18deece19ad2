// Which kinds of file system are mounted, and where.

import { readFileSync } from 'node:fs';

/** Where the first of that type is mounted, as in `cgroup2`; null: nowhere. `text`: /proc/self/mounts. */
export function findMounted(
  type: string,
  text: string = readFileSync('/proc/self/mounts', 'utf8'),
): string | null {
  for (const line of text.split('\n')) {
    const [, at, found] = line.split(' ');
    // Blanks and the like are octal there (proc(5)).
    if (found === type && at !== undefined)
      return at.replace(/\\([0-7]{3})/g, (_, octal: string) =>
        String.fromCharCode(Number.parseInt(octal, 8)),
      );
  }
  return null;
}
