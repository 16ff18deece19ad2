// The floor as a table of nftables, for kernels without netfilter programs. One script replaces all of it at once.

import { spawnSync } from 'node:child_process';
import type { CoveredInterface } from './floor.ts';

const table = 'inet husk_floor';
/** Before connection tracking (-200) and defragmentation (-400). */
const priority = -449;
const nftMs = 5000;
/** Always the loopback interface's. */
const loopbackIndex = 1;

/** For `nft -f`. The table is declared first, so that deleting it cannot fail. */
export function floorTable(globs: readonly string[], covered: readonly CoveredInterface[]): string {
  // By index: an interface that comes again under its name is another one.
  const chain = (hook: 'prerouting' | 'postrouting', key: 'iif' | 'oif', pass: readonly CoveredInterface[]) =>
    [
      `  chain ${hook} {`,
      `    type filter hook ${hook} priority ${priority}; policy accept;`,
      `    ${key} { ${[loopbackIndex, ...pass.map((one) => one.index)].join(', ')} } accept`,
      ...globs.map((glob) => (glob === '*' ? '    drop' : `    ${key}name "${glob}" drop`)),
      '  }',
    ].join('\n');
  return [
    removeFloorTable.trimEnd(),
    `table ${table} {`,
    chain(
      'prerouting',
      'iif',
      covered.filter((one) => one.ingress),
    ),
    chain(
      'postrouting',
      'oif',
      covered.filter((one) => one.egress),
    ),
    '}',
    '',
  ].join('\n');
}

const removeFloorTable = `table ${table}\ndelete table ${table}\n`;

/** Runs nft with a script; its complaint, or ''. */
export type Nft = (script: string) => string;

export const isFloorTableThere = (nft: Nft): boolean => nft(`list table ${table}\n`) === '';

/** Touches no nftables where there is no table of ours. */
export function removeFloorTableBy(nft: Nft): void {
  if (isFloorTableThere(nft)) nft(removeFloorTable);
}

/** null: there is no nft here. */
export function findNft(): Nft | null {
  const found = spawnSync('nft', ['--version'], { timeout: nftMs, stdio: 'ignore' });
  if (found.error !== undefined || found.status !== 0) return null;
  return (script) => {
    const ran = spawnSync('nft', ['-f', '-'], { input: script, encoding: 'utf8', timeout: nftMs });
    if (ran.error !== undefined) return ran.error.message;
    return ran.status === 0 ? '' : ran.stderr.trim().split('\n')[0] || `exit ${ran.status}`;
  };
}
