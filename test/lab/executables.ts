// The two programs under test: the executables that a build leaves in dist/, not the sources.

import { existsSync } from 'node:fs';
import { join, resolve } from 'node:path';

const dist = resolve(import.meta.dirname, '../../dist');

export const husk = join(dist, 'husk');
export const huskAgent = join(dist, 'husk-agent');

/** Why they cannot be run, or false: for a test's `skip`. */
export function executablesMissing(): string | false {
  const missing = [husk, huskAgent].filter((path) => !existsSync(path));
  return missing.length > 0 && 'needs dist/husk and dist/husk-agent: ./build.sh build';
}
