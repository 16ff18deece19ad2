// A policy that is swapped without pause while packets arrive as fast as they are sent: what gets past a denial, and
// what is lost of what is allowed. Two generations stop the same source by tables that agree only with each other: it is
// in the set `first` and `first` is stopped, or in `second` and `second` is stopped. A packet judged by the one's sets and
// the other's rules, or by neither, would be let through. What came through is counted behind the program, by nftables.
//
// Run as a program in namespaces of its own by measureLeaks(). The test of the same is test/flow/swap.test.ts.

import { execFileSync, spawn } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { PolicyDocument } from '../../../agent/contract/policy.ts';
import { compile } from '../../../agent/policy/compile.ts';
import { udpFrame } from '../../lab/frame.ts';
import { writeCapture } from '../../lab/pcap.ts';
import { plainAttach } from '../../lab/plain-attach.ts';
import { plainFacts } from '../../lab/plain-kernel.ts';
import { noDigest, openKernel } from '../subject.ts';
import { inNamespace, makeVeth, type Veth, vethMac, withBpffs } from './veth.ts';

export interface LeakFigures {
  readonly swaps: number;
  /** Packets judged while policies were swapped. */
  readonly judged: number;
  /** Of the source that both policies stop: what came through. */
  readonly leaked: number;
  /** Of the sources that both allow: judged and not come through. */
  readonly lost: number;
  /** Judged by no generation. */
  readonly withoutGeneration: number;
}

const seconds = 5;
/** Live words stored for each generation that is loaded. */
const flips = 40;
/** Of each frame in the file, since starting over takes the sender time. */
const repeats = 1024;
const stopped = { 4: '198.51.100.9', 6: '2001:db8:9::9' } as const;
const allowed = { 4: '198.51.100.10', 6: '2001:db8:9::a' } as const;

export function measureLeaks(): LeakFigures {
  return inNamespace<LeakFigures>(import.meta.filename, [], 120_000);
}

const filler = Array.from({ length: 400 }, (_, index) => `10.0.${index >> 7}.${(index & 127) * 2}`);
const filler6 = Array.from({ length: 400 }, (_, index) => `2001:db8:8:${index.toString(16)}::1`);

/** Sets large enough for tables of their own. */
function policy(stops: 'first' | 'second', { name }: Veth): PolicyDocument[] {
  const addresses = (set: string) => [
    ...filler,
    ...filler6,
    ...(set === stops ? Object.values(stopped) : []),
  ];
  return [
    {
      apiVersion: 'husk/v1',
      kind: 'PacketPolicy',
      metadata: { name: 'leaks' },
      spec: {
        mode: 'enforce',
        zones: { wan: { interfaces: [name] } },
        sets: { first: addresses('first'), second: addresses('second') },
        ingress: [
          {
            zone: 'wan',
            default: 'allow',
            rules: (['first', 'second'] as const).map((set) => ({
              id: set,
              from: { set },
              action: set === stops ? ('drop' as const) : ('allow' as const),
            })),
          },
        ],
        egress: [],
      },
    },
  ];
}

/** Behind XDP, before anything else. */
function countArrivals({ name }: Veth): void {
  const count = (family: 4 | 6, from: string) => `${family === 4 ? 'ip' : 'ip6'} saddr ${from} counter drop`;
  const rules = ([4, 6] as const).flatMap((family) => [
    count(family, stopped[family]),
    count(family, allowed[family]),
  ]);
  const chain = `chain c { type filter hook ingress device ${name} priority 0;\n${rules.join('\n')}\n}`;
  execFileSync('nft', ['-f', '-'], { input: `table netdev bench {\n${chain}\n}\n` });
}

/** Packets that came through: of the source that is stopped, and of the other. */
function arrivals(): { readonly stopped: number; readonly allowed: number } {
  const out = execFileSync('nft', ['list', 'table', 'netdev', 'bench'], { encoding: 'utf8' });
  const of = (addresses: readonly string[]) =>
    addresses.reduce((sum, address) => {
      const [, found] =
        new RegExp(`saddr ${address.replaceAll('.', '\\.')} counter packets (\\d+)`).exec(out) ?? [];
      if (found === undefined) throw new Error(`no counter for ${address}: ${out}`);
      return sum + Number(found);
    }, 0);
  return { stopped: of(Object.values(stopped)), allowed: of(Object.values(allowed)) };
}

function writeFrames(folder: string): string {
  const file = join(folder, 'frames.pcap');
  const frames = ([4, 6] as const).flatMap((family) =>
    [stopped, allowed].map((from) =>
      udpFrame({
        from: from[family],
        to: family === 4 ? '192.0.2.1' : '2001:db8:3::1',
        ...{ fromPort: 4444, toPort: 9, destinationMac: vethMac },
      }),
    ),
  );
  writeFileSync(file, writeCapture(Array.from({ length: repeats }, () => frames).flat()));
  return file;
}

async function swapUnderLoad(): Promise<LeakFigures> {
  return withBpffs(async (bpffs, folder) => {
    const veth = makeVeth();
    const kernel = await openKernel(bpffs);
    try {
      kernel.setPacketEventsPerSecond(0);
      const facts = plainFacts([veth], (id) => kernel.ruleIndex(id));
      const images = [compile(policy('first', veth), facts), compile(policy('second', veth), facts)] as const;
      const load = (serial: number) =>
        kernel.loadStandby({ serial, bundleDigest: noDigest, image: images[serial & 1] ?? images[0] });
      kernel.settle(await load(1));
      kernel.attach(plainAttach([veth]));
      countArrivals(veth);
      const before = kernel.totals();
      const options = ['--preload-pcap', '--topspeed', `--intf1=${veth.sender}`, '--loop=0'];
      const sender = spawn('tcpreplay', [...options, writeFrames(folder)], { stdio: 'ignore' });
      const sent = new Promise((resolve) => sender.once('exit', resolve));
      let swaps = 0;
      try {
        const end = performance.now() + seconds * 1000;
        for (let serial = 2; performance.now() < end; serial++) {
          const trial = kernel.beginTrial(await load(serial), 60);
          if (kernel.confirm(trial) !== 'confirmed') throw new Error('a trial was not confirmed');
          swaps++;
          for (let flip = 0; flip < flips; flip++, swaps++) {
            await kernel.returnToPrevious();
            await new Promise((resolve) => setTimeout(resolve, flip % 2));
          }
        }
      } finally {
        sender.kill('SIGTERM');
        await sent;
      }
      // What is still queued between the ends of the pair.
      await new Promise((resolve) => setTimeout(resolve, 300));
      const after = kernel.totals();
      const since = (total: 'INGRESS' | 'NO_GENERATION') =>
        Number((after[total] ?? 0n) - (before[total] ?? 0n));
      const arrived = arrivals();
      const judged = since('INGRESS');
      if (swaps < 100 || judged < 1000) throw new Error(`only ${swaps} swaps, ${judged} packets`);
      const byRules = (await kernel.counters())
        .filter(({ id }) => id === 'leaks/first' || id === 'leaks/second')
        .reduce((sum, { hits }) => sum + Number(hits), 0);
      return {
        ...{ swaps, judged, leaked: arrived.stopped, withoutGeneration: since('NO_GENERATION') },
        lost: judged - byRules - arrived.allowed,
      };
    } finally {
      kernel.unload([veth]);
    }
  });
}

if (import.meta.main) process.stdout.write(`${JSON.stringify(await swapUnderLoad())}\n`);
