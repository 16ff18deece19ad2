// Inside a guest: what scenes are played on. The programs in the kernel, a peer at the other end of the wire, who
// receives here, and policies that are loaded one after another.

import { Kernel, type LoadedGeneration } from '../../../agent/kernel/kernel.ts';
import { parseDocuments } from '../../../agent/policy/parse.ts';
import type { TableImage } from '../../../agent/policy/table-image.ts';
import { readObjects } from '../../../agent/prepare-device.ts';
import { addon } from '../../../native/index.ts';
import { plainKernel } from '../../lab/plain-kernel.ts';
import type { Peer, Receiver } from './wire.ts';

export const bpffs = '/sys/fs/bpf';

export const openKernel = (cgroup: string | null): Promise<Kernel> =>
  Kernel.open({ addon, bpffs, files: readObjects(), cgroup, ...plainKernel, onRecycled: () => {} });

export const tcHere = (): 'tcx' | 'clsact' => (addon.probe().tcx === 0 ? 'tcx' : 'clsact');

/** Documents without faults; throws where there are some. */
export function documentsOf(policy: readonly unknown[]): ReturnType<typeof parseDocuments>['documents'] {
  const { documents, faults } = parseDocuments(policy);
  if (faults.length > 0) throw new Error(JSON.stringify(faults));
  return documents;
}

export class Stage {
  readonly kernel: Kernel;
  readonly peer: Peer;
  readonly receiver: Receiver;
  #serial = 0;

  constructor(kernel: Kernel, peer: Peer, receiver: Receiver) {
    this.kernel = kernel;
    this.peer = peer;
    this.receiver = receiver;
  }

  /** Into the standby slot, under the next serial. */
  async loadImage(image: TableImage): Promise<LoadedGeneration> {
    const serial = ++this.#serial;
    return await this.kernel.loadStandby({ serial, bundleDigest: String(serial).padStart(64, '0'), image });
  }

  /** By rule. */
  async hits(): Promise<Record<string, number>> {
    const counters = await this.kernel.counters();
    return Object.fromEntries(counters.map(({ id, hits }) => [id, Number(hits)]));
  }

  close(interfaces: Parameters<Kernel['unload']>[0]): void {
    this.kernel.unload(interfaces);
    this.peer.stop();
    this.receiver.close();
  }
}

/** Not by a top-level await: a bundle is CommonJS. */
export function play(scenes: Promise<void>): void {
  scenes.catch((error: unknown) => {
    console.error(error);
    process.exit(1);
  });
}
