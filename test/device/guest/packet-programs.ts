// Inside a guest: the agent's own code loads the real programs, compiles a policy for this machine, attaches, and
// is seen to work by who receives and who calls. Each scene is told as one line; device/scenes.ts has their types.

import { execFileSync } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { release } from 'node:os';
import { join } from 'node:path';
import { deviceInterfaces } from '../../../agent/device-interfaces.ts';
import { Kernel, type LoadedGeneration } from '../../../agent/kernel/kernel.ts';
import { compile } from '../../../agent/policy/compile.ts';
import { usualNeverDrop } from '../../../agent/policy/device-view.ts';
import type { DeviceFacts } from '../../../agent/policy/table-image.ts';
import { makeTries } from '../../../agent/policy/tries.ts';
import { findCgroup } from '../../../agent/prepare-device.ts';
import { addon } from '../../../native/index.ts';
import { plainAttach } from '../../lab/plain-attach.ts';
import { guarded, shut } from './policies.ts';
import { bpffs, documentsOf, openKernel, play, Stage, tcHere } from './stage.ts';
import { tell } from './tell.ts';
import { type Datagrams, device, listed, other, Peer, Receiver, send } from './wire.ts';

const hardeningRoot = '/sys/fs/cgroup/husk';
const service = join(hardeningRoot, 'stubd');
const inward = 7000;
const outward = { allowed: 7000, dropped: 7001 } as const;
const lot = 20;
/** A trial must outlast what is sent in it; where the machine was too slow, the next is longer. */
const trialSeconds = [3, 15] as const;

const each = [0, 1] as const;
/** IPv4 and IPv6 from the peer's two addresses; the listed first, so that the others say when all have passed. */
const fromPeer: readonly Datagrams[] = [listed, other].flatMap((peer) =>
  each.map((family) => ({ from: peer[family], to: device[family], port: inward, count: lot })),
);
const toPeer: readonly Datagrams[] = [outward.dropped, outward.allowed].flatMap((port) =>
  each.map((family) => ({ from: device[family], to: other[family], port, count: lot })),
);

class Scenes extends Stage {
  readonly facts: DeviceFacts;

  constructor(kernel: Kernel, peer: Peer, receiver: Receiver) {
    super(kernel, peer, receiver);
    this.facts = {
      neverDrop: usualNeverDrop,
      interfaces: deviceInterfaces(addon.interfaces().filter(({ name }) => name === 'hk0')),
      bootSeconds: () => null,
      cgroupId: (path) => findCgroup(addon, hardeningRoot, path),
      ruleIndex: (id) => kernel.ruleIndex(id),
    };
  }

  /** From documents to a standby slot that is proven. */
  async load(policy: readonly unknown[]): Promise<LoadedGeneration> {
    const documents = documentsOf(policy);
    const generation = await this.loadImage(compile(documents, this.facts));
    const proof = await this.kernel.prove(generation, makeTries(documents, this.facts));
    tell({ scene: 'proven', serial: generation.serial, ...proof });
    return generation;
  }

  async inwards(): Promise<number[]> {
    await this.peer.send(fromPeer);
    return await this.receiver.take(fromPeer);
  }

  async outwards(): Promise<number[]> {
    await send(toPeer);
    return await this.peer.take(toPeer);
  }

  /** A policy that shuts all off, until the kernel takes it back. */
  async trial(seconds: number): Promise<{ readonly isValid: boolean }> {
    const word = this.kernel.beginTrial(await this.load(shut), seconds);
    const during = await this.inwards();
    const isValid = this.kernel.trialMsLeft(word) > 0;
    const ms = this.kernel.trialMsLeft(word);
    await new Promise((resolve) => setTimeout(resolve, ms + 50));
    const after = await this.inwards();
    const { inTrial, inForce } = this.kernel.status();
    const serial = inForce?.serial ?? null;
    if (isValid) tell({ scene: 'trial', seconds, during, after, inTrial, serial });
    this.kernel.endTrial();
    return { isValid };
  }
}

async function main(): Promise<void> {
  mkdirSync(service, { recursive: true });
  const peer = await Peer.start(Object.values(outward));
  const receiver = await Receiver.open([inward]);
  const tc = tcHere();
  const started = performance.now();
  const kernel = await openKernel(hardeningRoot);
  const ms = Math.round(performance.now() - started);
  tell({ scene: 'opened', release: release(), how: kernel.status().how, ms, hasTcx: tc === 'tcx' });

  const scenes = new Scenes(kernel, peer, receiver);
  // Before anything is loaded: a canary can prove only hooks that run.
  tell({
    scene: 'attached',
    hooks: kernel.attach(plainAttach(scenes.facts.interfaces, { tc })),
  });
  tell({ scene: 'empty', inwards: await scenes.inwards(), outwards: await scenes.outwards() });

  kernel.settle(await scenes.load(guarded));
  tell({ scene: 'guarded', inwards: await scenes.inwards(), outwards: await scenes.outwards() });
  const addresses = [other[0], other[1], '127.0.0.1', '::1'];
  tell({
    scene: 'calls',
    within: callFrom(service, addresses),
    without: callFrom('/sys/fs/cgroup', addresses),
  });
  tell({ scene: 'counted', hits: await scenes.hits() });
  for (const seconds of trialSeconds) if ((await scenes.trial(seconds)).isValid) break;

  scenes.close(scenes.facts.interfaces);
  tell({ scene: 'unloaded', isPinned: Kernel.isPinned(bpffs) });
}

/** What calls of a process in that cgroup come to, by call (caller.ts). */
function callFrom(cgroup: string, addresses: readonly string[]): unknown {
  const script = 'echo $$ >"$1/cgroup.procs" && shift && exec "$@"';
  const argv = ['-c', script, 'sh', cgroup, '/bin/node', '/husk/build/caller.cjs', ...addresses];
  return JSON.parse(execFileSync('/bin/sh', argv, { encoding: 'utf8' }));
}

play(main());
