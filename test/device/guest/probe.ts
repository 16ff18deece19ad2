// Inside a guest: what the agent says of the kernel, as `husk-agent probe --json` does, and that nothing of it stays.

import { readdirSync } from 'node:fs';
import { probe } from '../../../agent/cli/probe.ts';
import { findMounted } from '../../../agent/os/file-systems.ts';
import { addon } from '../../../native/index.ts';
import { tell } from './tell.ts';

async function main(): Promise<void> {
  const { tier, execs, preemption, degraded, launcher, trials, missing } = await probe(addon);
  const after = await addon.witness('', '');
  const root = findMounted('cgroup2');
  tell({
    tier,
    execs,
    preemption,
    degraded,
    launcher,
    trials,
    missing: missing.map(({ for: of, why, options }) => ({ for: of, why, options })),
    left: root === null ? [] : readdirSync(root).filter((name) => name.includes('probe')),
    runsAfter: after.ran,
  });
}

main().catch((error: unknown) => {
  console.error(error, (error as { log?: string }).log ?? '');
  process.exit(1);
});
