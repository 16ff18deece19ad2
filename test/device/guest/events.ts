// Inside a guest: what a service is denied, and what it is seen doing, comes out of the kernel as events, by the agent's
// own code. Each is told; who reads them is outside.

import { spawnSync } from 'node:child_process';
import { copyFileSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { devicePaths } from '../../../agent/device-paths.ts';
import { Spool } from '../../../agent/events/spool.ts';
import type { Kernel } from '../../../agent/kernel/kernel.ts';
import { setDirectory } from '../../../agent/kernel/objects.ts';
import { SystemClock } from '../../../agent/os/clock.ts';
import { silentLog } from '../../../agent/os/log.ts';
import { systemRandom } from '../../../agent/os/random.ts';
import { compile } from '../../../agent/policy/compile.ts';
import { taskWords, traitWords } from '../../../agent/policy/operation-words.ts';
import { appletNumber, placeNumber } from '../../../agent/policy/path-number.ts';
import { remediationOf } from '../../../agent/policy/remediation.ts';
import { type EventStream, streamEvents } from '../../../agent/stream-events.ts';
import { addon } from '../../../native/index.ts';
import { plainFacts } from '../../lab/plain-kernel.ts';
import { guardsHere, hardeningRoot, openKernel } from './guarded-kernel.ts';
import { observed } from './policies.ts';
import { bpffs, documentsOf, play } from './stage.ts';
import { tell } from './tell.ts';

/** Daemons: shells in places of their own. */
const stubd = '/srv/stubd/sh';
const watched = '/srv/watched/sh';
const daemons = [stubd, watched];
/** Tries of one thing in a row. */
const tries = 500;
/** More packet events than their ring has room for. */
const packets = 8000;
const learntMs = 4000;
/** A period of the kernel's, and what it takes to be told after it. */
const settledMs = 12_000;

const run = (shell: string, line: string) => spawnSync(shell, ['-c', line], { encoding: 'utf8' });

async function openGuarded(): Promise<Kernel> {
  const kernel = await openKernel(await guardsHere());
  if (kernel.guards === null) throw new Error(`no guards: ${kernel.guardsWhy}`);
  return kernel;
}

async function putInForce(kernel: Kernel): Promise<void> {
  if (kernel.guards === null) return;
  const facts = {
    ...plainFacts([{ name: 'lo', index: 1 }], (id) => kernel.ruleIndex(id)),
    paths: devicePaths(kernel.guards.pathKey),
  };
  const image = compile(documentsOf(observed), facts);
  kernel.settle(await kernel.loadStandby({ serial: 1, bundleDigest: '1'.repeat(64), image }));
}

/** Fills the ring of packets, with nobody there to empty it. */
function floodPackets(kernel: Kernel): void {
  kernel.setPacketEventsPerSecond(1_000_000);
  const frame = new Uint8Array(64);
  // Ethernet: IPv4; a UDP packet of 20 bytes and more to port 7001.
  frame.set([0x08, 0x00, 0x45, 0, 0, 50, 0, 0, 0, 0, 64, 17, 0, 0, 192, 0, 2, 1, 192, 0, 2, 2], 12);
  frame.set([0x9c, 0x40, 0x1b, 0x59, 0, 30, 0, 0], 34);
  const program = addon.openPinnedProgram(join(setDirectory(bpffs), 'programs/husk_xdp_ingress'));
  addon.testRun(program, frame, { repeat: packets, ifindex: 1 });
  program.close();
}

function openStream(kernel: Kernel): { readonly stream: EventStream; readonly spool: Spool } {
  const clock = new SystemClock({ bootMs: () => Number(addon.bootNs() / 1_000_000n), systemMs: Date.now });
  mkdirSync('/run/spool', { recursive: true });
  const spool = Spool.open({ folder: '/run/spool', bootId: 'guest', clock, log: silentLog });
  const key = kernel.guards?.pathKey;
  const stream = streamEvents({
    rings: { packet: kernel.packetRing, call: kernel.callRing },
    repeats: kernel.repeats,
    addon,
    kernelNames: {
      ruleName: (index) => kernel.ruleName(index),
      interfaces: () => addon.interfaces(),
      operationWords: { operations: taskWords, traits: traitWords },
      programNumbers:
        key === undefined
          ? null
          : {
              placeNumber: (place) => placeNumber(place, key),
              nameNumber: (name) => appletNumber(name, key),
            },
      executables: () => daemons,
      tier: kernel.guards?.tier ?? null,
      remediation: remediationOf,
    },
    totals: () => kernel.totals(),
    spool,
    publish: async () => {},
    clock,
    random: systemRandom,
    log: silentLog,
  });
  return { stream, spool };
}

async function main(): Promise<void> {
  const folders = ['/srv/stubd', '/srv/watched', '/srv/killed', '/tmp/evil', '/etc/stubd'];
  for (const folder of [hardeningRoot, ...folders]) mkdirSync(folder, { recursive: true });
  for (const copy of [stubd, watched, '/tmp/evil/early', '/tmp/evil/true', '/srv/killed/true', '/srv/seen'])
    copyFileSync('/bin/busybox', copy);
  writeFileSync('/etc/stubd/conf', 'x');
  const started = performance.now();
  const kernel = await openGuarded();
  tell({ openedMs: Math.round(performance.now() - started), tier: kernel.guards?.tier ?? null });
  await putInForce(kernel);

  // Before anybody reads: packets have filled their ring when the first denial happens.
  floodPackets(kernel);
  const denied = run(stubd, '/tmp/evil/early');
  const { PACKET_EVENTS_LOST: packetsLost, CALL_EVENTS_LOST: callsLost } = kernel.totals();
  tell({ packetsLost: Number(packetsLost), callsLost: Number(callsLost), said: denied.stderr });

  const { stream, spool } = openStream(kernel);
  // Until it has learnt what is installed.
  await new Promise((resolve) => setTimeout(resolve, learntMs));
  run(stubd, '/bin/sh -c "/bin/env /tmp/evil/true"');
  run(stubd, 'rm /srv/seen');
  run(stubd, '(/srv/killed/true); true');
  run(stubd, 'nc 192.0.2.20 9 </dev/null');
  run(stubd, 'insmod /modules/veth.ko');
  run(watched, 'insmod /modules/veth.ko');
  run(watched, 'nc 127.0.0.1 9 </dev/null');
  run(watched, `i=0; while [ $i -lt 60 ]; do /bin/true; i=$((i+1)); done`);
  run(stubd, `i=0; while [ $i -lt ${tries} ]; do { echo x >/etc/stubd/conf; } 2>/dev/null; i=$((i+1)); done`);
  await new Promise((resolve) => setTimeout(resolve, settledMs));
  await stream.close();
  for (const { event } of spool.tail(1000)) if (event.kind !== 'packet') tell({ event });
  const hits = await kernel.counters();
  tell({ hits: Object.fromEntries(hits.map(({ id, hits }) => [id, Number(hits)])) });
  await spool.close();
  kernel.unload([]);
}

play(main());
