// What the kernel benchmarks measure: the set of programs as the agent loads it, on a bpf file system of its
// own, with the list of 120,430 addresses in force for the loopback interface. Nothing is attached to it; an
// interface gives a test run its zone.

import { readFileSync } from 'node:fs';
import { cpus } from 'node:os';
import { join, resolve } from 'node:path';
import { gunzipSync } from 'node:zlib';
import type { PolicyDocument } from '../../agent/contract/policy.ts';
import { Kernel } from '../../agent/kernel/kernel.ts';
import { type ObjectFiles, objects, setDirectory } from '../../agent/kernel/objects.ts';
import { compile } from '../../agent/policy/compile.ts';
import { type KernelSizes, usualSizes } from '../../agent/policy/kernel-memory.ts';
import type { DeviceFacts, TableImage } from '../../agent/policy/table-image.ts';
import { addon, type ProgramHandle } from '../../native/index.ts';
import { plainFacts, plainKernel } from '../lab/plain-kernel.ts';

const root = resolve(import.meta.dirname, '../..');
const list = join(root, 'test/fixtures/blocklist-ipsum-2026-08-22.txt.gz');
/** Counters for 10,000 rules of both generations. */
export const benchSizes: KernelSizes = { ...usualSizes, counters: 24_576, cpus: cpus().length };
export const noDigest = '0'.repeat(64);

export function readList(): string[] {
  return gunzipSync(readFileSync(list)).toString().split('\n').filter(Boolean);
}

export function objectFiles(): ObjectFiles {
  const read = (name: string) => new Uint8Array(readFileSync(join(root, `build/bpf/${name}.bpf.o`)));
  return Object.fromEntries(Object.keys(objects).map((name) => [name, read(name)])) as unknown as ObjectFiles;
}

export async function openKernel(
  bpffs: string,
  sizes: KernelSizes = benchSizes,
  files: ObjectFiles = objectFiles(),
): Promise<Kernel> {
  return await Kernel.open({
    addon,
    bpffs,
    files,
    cgroup: null,
    ...plainKernel,
    sizes,
    onRecycled: () => {},
  });
}

export function liveProgram(bpffs: string): ProgramHandle {
  return addon.openPinnedProgram(join(setDirectory(bpffs), 'programs/husk_xdp_ingress'));
}

export function facts(kernel: Kernel): DeviceFacts {
  return plainFacts([{ name: 'lo', index: 1 }], (id) => kernel.ruleIndex(id));
}

/** `port` makes one policy another. */
export function policy(addresses: readonly string[], port: number): PolicyDocument[] {
  return [
    { apiVersion: 'husk/v1', kind: 'AddressSet', metadata: { name: 'ipsum' }, spec: { addresses } },
    {
      apiVersion: 'husk/v1',
      kind: 'PacketPolicy',
      metadata: { name: 'bench' },
      spec: {
        mode: 'enforce',
        zones: { wan: { interfaces: ['lo'] } },
        sets: { listed: { addressSet: 'ipsum' } },
        ingress: [
          {
            zone: 'wan',
            default: 'allow',
            rules: [
              { id: 'listed', from: { set: 'listed' }, action: 'drop' },
              { id: 'port', protocol: 'tcp', ports: { to: port }, action: 'drop' },
            ],
          },
        ],
        egress: [],
      },
    },
  ];
}

export function image(kernel: Kernel, addresses: readonly string[], port: number): TableImage {
  return compile(policy(addresses, port), facts(kernel));
}
