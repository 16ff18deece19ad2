// A network namespace of a measurement's own: a program runs in it, makes a veth pair with both ends in it, and all of it
// goes with the program.

import { execFileSync, spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { addon } from '../../../native/index.ts';

/** Runs a file of TypeScript in namespaces of its own, network and mounts; gives the JSON that it prints. */
export function inNamespace<T>(file: string, args: readonly string[], withinMs: number): T {
  const argv = ['--net', '--mount', process.execPath, file, ...args];
  const options = { encoding: 'utf8', timeout: withinMs, maxBuffer: 2 ** 26 } as const;
  const { stdout, stderr, status, error } = spawnSync('unshare', argv, options);
  if (status !== 0) throw new Error(`${file} failed: ${error?.message ?? ''} ${stderr}`);
  return JSON.parse(stdout) as T;
}

export interface Veth {
  /** What is sent here arrives at `name`. */
  readonly sender: string;
  readonly name: string;
  readonly index: number;
}

/** The MAC address of the receiving end: what is sent to it is not for somebody else. */
export const vethMac = Uint8Array.of(2, 0, 0, 0, 0, 9);

export function makeVeth(): Veth {
  const [sender, name] = ['v0', 'v1'];
  execFileSync('ip', ['link', 'add', sender, 'type', 'veth', 'peer', 'name', name]);
  const mac = Buffer.from(vethMac)
    .toString('hex')
    .replaceAll(/..(?!$)/g, '$&:');
  execFileSync('ip', ['link', 'set', name, 'address', mac]);
  // No router solicitations and the like among what is measured.
  for (const end of [sender, name]) {
    execFileSync('ip', ['link', 'set', end, 'addrgenmode', 'none']);
    execFileSync('ip', ['link', 'set', end, 'up']);
  }
  const index = addon.interfaces().find((one) => one.name === name)?.index;
  if (index === undefined) throw new Error(`no interface ${name}`);
  return { sender, name, index };
}

/** A folder, and in it a BPF file system; both are gone afterwards, whatever `work` throws. */
export async function withBpffs<T>(work: (bpffs: string, folder: string) => Promise<T>): Promise<T> {
  const folder = mkdtempSync(join(tmpdir(), 'husk-bench-'));
  try {
    const bpffs = join(folder, 'bpf');
    mkdirSync(bpffs);
    addon.mountBpffs(bpffs);
    try {
      return await work(bpffs, folder);
    } finally {
      execFileSync('umount', [bpffs]);
    }
  } finally {
    rmSync(folder, { recursive: true });
  }
}
