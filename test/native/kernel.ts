// What the addon's tests share: the objects that build.sh made for them, the numbers of <linux/bpf.h> they
// use, and a cgroup of their own.

import { mkdirSync, readdirSync, readFileSync, rmdirSync } from 'node:fs';
import { basename, join, resolve } from 'node:path';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import type { Test } from 'tap';
import { addon, type BpfObject, type KernelError, type MapHandle } from '../../native/index.ts';

export const root = resolve(import.meta.dirname, '../..');

export const mapType = {
  hash: 1,
  array: 2,
  progArray: 3,
  perCpuHash: 5,
  perCpuArray: 6,
  lpmTrie: 11,
  arrayOfMaps: 12,
  hashOfMaps: 13,
  ringbuf: 27,
} as const;
export const mapFlag = { noPrealloc: 1, mmapable: 1024 } as const;
export const attachType = { inetSockCreate: 2, inet4Bind: 8, inet4Connect: 10, udp4Sendmsg: 14 } as const;
export const linkType = { cgroup: 3, xdp: 6, tcx: 11 } as const;
export const xdp = { drop: 1, pass: 2 } as const;

/** Opens `build/test-bpf/<name>.bpf.o`; closed when the test ends. */
export function openTestObject(t: Test, name: string): BpfObject {
  const object = addon.openObject(name, readFileSync(join(root, `build/test-bpf/${name}.bpf.o`)));
  t.teardown(() => object.close());
  return object;
}

export function loadTestObject(t: Test, name: string): BpfObject {
  const object = openTestObject(t, name);
  object.load();
  return object;
}

export interface Shape {
  readonly type: number;
  readonly keySize?: number;
  readonly valueSize?: number;
  readonly maxEntries?: number;
  readonly flags?: number;
}

/** Creates a map; closed when the test ends. */
export function createMap(t: Test, shape: Shape): MapHandle {
  const map = addon.createMap({
    name: 'husk_test',
    keySize: 4,
    valueSize: 8,
    maxEntries: 16,
    flags: 0,
    ...shape,
  });
  t.teardown(() => map.close());
  return map;
}

export function u32(...numbers: number[]): Uint8Array {
  return new Uint8Array(Uint32Array.from(numbers).buffer);
}

export function u64(...numbers: bigint[]): Uint8Array {
  return new Uint8Array(BigUint64Array.from(numbers).buffer);
}

/** What a call throws, as the error it must be. */
export function kernelErrorOf(call: () => unknown): KernelError {
  try {
    call();
  } catch (error) {
    return error as KernelError;
  }
  throw new Error('nothing was thrown');
}

/** A cgroup v2 directory of this test's own, wherever the machine has the hierarchy; removed at its end. */
export function makeCgroup(t: Test): string {
  const mounts = readFileSync('/proc/self/mountinfo', 'utf8').split('\n');
  const mount = mounts.map((line) => line.split(' ')).find((fields) => fields.includes('cgroup2'))?.[4];
  if (mount === undefined) throw new Error('no cgroup2 file system is mounted');
  const path = join(mount, `husk-native-${basename(process.argv[1] ?? '', '.test.ts')}-${process.pid}`);
  mkdirSync(path);
  t.teardown(() => rmdirSync(path));
  return path;
}

/** Descriptors in use; those of handles that nobody holds any more are closed first. */
export async function openDescriptors(): Promise<number> {
  await collectGarbage();
  return readdirSync('/proc/self/fd').length;
}

/** Node runs an addon's finalizers some turns of its loop after the collection. */
async function collectGarbage(): Promise<void> {
  setFlagsFromString('--expose-gc');
  const gc: () => void = runInNewContext('gc');
  for (let i = 0; i < 3; i++) {
    gc();
    await sleep(1);
  }
}

export async function sleep(ms: number): Promise<void> {
  await new Promise((done) => setTimeout(done, ms));
}

/** Waits for what the kernel does a moment later. Fails with `what` after ten seconds. */
export async function eventually(what: string, holds: () => boolean): Promise<void> {
  for (const end = Date.now() + 10_000; !holds(); await sleep(10)) {
    if (Date.now() > end) throw new Error(`not within ten seconds: ${what}`);
  }
}

export function mapExists(id: number): boolean {
  try {
    addon.openMapById(id).close();
    return true;
  } catch (error) {
    if ((error as KernelError).code === 'ENOENT') return false;
    throw error;
  }
}

/** Memory of the process's own, in KiB: what was read from files says nothing. */
async function ownMemoryKib(): Promise<number> {
  await collectGarbage();
  return Number(readFileSync('/proc/self/smaps_rollup', 'utf8').match(/^Anonymous:\s+(\d+) kB/m)?.[1]);
}

/** Growth that is the heap finding its size, and not a leak of what is repeated. */
const levelKib = 2048;
/** A heap may step up late once; what leaks grows in every series. */
const seriesMax = 3;

/**
 * Repeats something in rounds and shows that the later half of them added neither memory nor descriptors.
 * In the earlier half the heap finds its size; where it has not by then, the same is asked of another series.
 */
export async function staysLevel(
  t: Test,
  cycle: () => unknown,
  { rounds, times }: { readonly rounds: number; readonly times: number },
): Promise<void> {
  const told: string[] = [];
  const descriptors: number[] = [];
  let isLevel = false;
  for (let series = 0; series < seriesMax && !isLevel; series++) {
    const memory: number[] = [];
    for (let round = 0; round < rounds; round++) {
      for (let i = 0; i < times; i++) await cycle();
      memory.push(await ownMemoryKib());
      descriptors.push(await openDescriptors());
    }
    isLevel = growthKib(memory) < levelKib;
    told.push(memory.join(' '));
  }
  t.ok(isLevel, `memory by round, in KiB: ${told.join(' | ')}`);
  t.ok(
    Math.max(...descriptors.slice(rounds >> 1)) <= (descriptors[0] ?? 0),
    `descriptors by round: ${descriptors.join(' ')}`,
  );
}

/** What the later half of the rounds added, by the kinder of two readings. */
function growthKib(memory: readonly number[]): number {
  const half = memory.length >> 1;
  const grown = Math.min(...memory.slice(half)) - Math.min(...memory.slice(0, half));
  const slope = (memory.at(-1) ?? 0) - (memory[half] ?? 0);
  return Math.min(grown, slope);
}
