// What a new policy costs the device: compiling the list, loading it as a generation, loading one that shares
// the list with the other slot, and the swap itself.

import { image, noDigest, openKernel, readList } from './subject.ts';

export interface SwapFigures {
  /** Milliseconds, medians. */
  readonly compile: number;
  readonly load: number;
  readonly loadShared: number;
  /** Microseconds: from the call to the live word stored, and from the answer to the trial confirmed. */
  readonly swap: number;
  readonly confirm: number;
  /** Bytes the compiler estimates for the tables in the kernel. */
  readonly kernelBytes: number;
}

const rounds = 5;
const swaps = 2000;

export async function measureSwaps(bpffs: string): Promise<SwapFigures> {
  const listed = readList();
  const kernel = await openKernel(bpffs);
  try {
    const compiled = await times(async () => image(kernel, listed, 23));
    let serial = 0;
    const load = async (addresses: readonly string[], port: number) => {
      const source = { serial: ++serial, bundleDigest: noDigest, image: image(kernel, addresses, port) };
      const begun = performance.now();
      const loaded = await kernel.loadStandby(source);
      const ms = performance.now() - begun;
      kernel.settle(loaded);
      return ms;
    };
    const loads: number[] = [];
    const shared: number[] = [];
    for (let round = 0; round < rounds; round++) {
      // One address less is another table, that shares nothing with the one before.
      loads.push(await load(listed.slice(round + 1), 23));
      shared.push(await load(listed.slice(round + 1), 24));
    }
    const generation = await kernel.loadStandby({
      serial: ++serial,
      bundleDigest: noDigest,
      image: image(kernel, listed, 23),
    });
    const swapped: number[] = [];
    const confirmed: number[] = [];
    for (let round = 0; round < swaps; round++) {
      const begun = performance.now();
      const trial = kernel.beginTrial(generation, 60);
      swapped.push(performance.now() - begun);
      const asked = performance.now();
      kernel.confirm(trial);
      confirmed.push(performance.now() - asked);
      await kernel.returnToPrevious();
    }
    return {
      compile: median(compiled),
      load: median(loads),
      loadShared: median(shared),
      swap: median(swapped) * 1000,
      confirm: median(confirmed) * 1000,
      kernelBytes: image(kernel, listed, 23).kernelBytes,
    };
  } finally {
    kernel.unload([]);
  }
}

async function times(work: () => Promise<unknown>): Promise<number[]> {
  const all: number[] = [];
  for (let round = 0; round < rounds; round++) {
    const begun = performance.now();
    await work();
    all.push(performance.now() - begun);
  }
  return all;
}

function median(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[values.length >> 1] ?? 0;
}
