// What the agent takes of the device's memory: the executable, enrolled and connected, at rest, before a policy
// and with the list in force. `Anonymous` is what it takes for itself; `Rss` counts pages of its file too.

import { readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { layOutPolicies } from '../demo/scenes.ts';
import { huskAgent } from '../lab/executables.ts';
import { Lab } from '../lab/lab.ts';
import { openSite, publishAndSettle } from '../lab/site.ts';

export interface MemoryFigures {
  /** Bytes. */
  readonly connected: Usage;
  readonly enforcing: Usage;
  readonly executableBytes: number;
}
export interface Usage {
  readonly rss: number;
  readonly anonymous: number;
}

/** Garbage of the start is collected, and an idle agent stays idle. */
const restMs = 15_000;

export async function measureMemory(): Promise<MemoryFigures> {
  const lab = await Lab.open();
  try {
    const site = await openSite(lab);
    await sleep(restMs);
    const connected = usageOf(site.device.program.pid);
    const folder = lab.folder('policies');
    layOutPolicies(folder);
    const result = await publishAndSettle(site, { files: [join(folder, 'branch.yaml')] });
    if (result.assignment?.result !== 'confirmed') throw new Error(JSON.stringify(result.assignment));
    await sleep(restMs);
    const enforcing = usageOf(site.device.program.pid);
    return { connected, enforcing, executableBytes: statSync(huskAgent).size };
  } finally {
    await lab.close();
  }
}

/** proc_pid_smaps_rollup: kibibytes. */
function usageOf(pid: number): Usage {
  const text = readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8');
  const of = (name: string): number =>
    1024 * Number(new RegExp(`^${name}:\\s+(\\d+) kB`, 'm').exec(text)?.[1] ?? Number.NaN);
  return { rss: of('Rss'), anonymous: of('Anonymous') };
}
