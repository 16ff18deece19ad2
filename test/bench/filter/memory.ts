// What a router's policy takes of the kernel's memory: 1,000 rules, 100,000 prefixes, 16,384 connections, the rings,
// and two generations that share nothing. What kernelMemory() states before anything is loaded, beside what the kernel
// says of each map (fdinfo's memlock). What the machine's free memory says is no figure: other programs are in it, and
// it came out negative.

import { readdirSync, readFileSync } from 'node:fs';
import { compile } from '../../../agent/policy/compile.ts';
import { kernelMemory, usualSizes } from '../../../agent/policy/kernel-memory.ts';
import { addon } from '../../../native/index.ts';
import { facts, noDigest, openKernel } from '../subject.ts';
import { largePolicy } from './large-policy.ts';

export interface RouterMemory {
  /** Bytes. */
  readonly stated: number;
  readonly byMaps: number;
  /** The largest maps by what they lock. */
  readonly maps: readonly (readonly [name: string, bytes: number])[];
}

export async function measureRouterMemory(bpffs: string): Promise<RouterMemory> {
  const sizes = { ...usualSizes, cpus: addon.possibleCpus() };
  const policies = [
    largePolicy({ rules: 1000, prefixes: 100_000 }),
    largePolicy({ rules: 999, prefixes: 99_999 }),
  ];
  const known = new Set(ownMaps().map(({ id }) => id));
  const kernel = await openKernel(bpffs, sizes);
  try {
    let tables = 0;
    let serial = 0;
    for (const documents of policies) {
      const image = compile(documents, facts(kernel));
      tables = Math.max(tables, image.kernelBytes);
      kernel.settle(await kernel.loadStandby({ serial: ++serial, bundleDigest: noDigest, image }));
    }
    const inner = kernel.status().kernelBytes;
    const outer = ownMaps().filter(({ id }) => !known.has(id));
    const maps: (readonly [string, number])[] = outer.map(({ name, bytes }) => [name, bytes]);
    maps.push(['tables of both generations', inner]);
    maps.sort((a, b) => b[1] - a[1]);
    const byMaps = maps.reduce((sum, [, bytes]) => sum + bytes, 0);
    return { stated: kernelMemory(tables, sizes).total, byMaps, maps: maps.slice(0, 12) };
  } finally {
    kernel.unload([]);
  }
}

/** Maps that this process holds, each once: proc_pid_fdinfo(5). */
function ownMaps(): { readonly id: number; readonly name: string; readonly bytes: number }[] {
  const maps = new Map<number, { readonly id: number; readonly name: string; readonly bytes: number }>();
  for (const fd of readdirSync('/proc/self/fdinfo')) {
    let text: string;
    try {
      text = readFileSync(`/proc/self/fdinfo/${fd}`, 'utf8');
    } catch {
      continue; // the descriptor of the folder itself
    }
    const number = (key: string) =>
      Number(new RegExp(`^${key}:\\s+(\\d+)`, 'm').exec(text)?.[1] ?? Number.NaN);
    const id = number('map_id');
    if (Number.isNaN(id)) continue;
    const { name } = withMap(id);
    maps.set(id, { id, name, bytes: number('memlock') });
  }
  return [...maps.values()];
}

function withMap(id: number): { readonly name: string } {
  const map = addon.openMapById(id);
  try {
    return addon.mapInfo(map);
  } finally {
    map.close();
  }
}
