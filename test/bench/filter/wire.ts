// Husk and its peers over the same veth pair in one run: tcpreplay at one end, as fast as it goes, on the CPU that also
// receives, so that the time of a packet is sending and judging it. All drop; packets are 4,096 by turns, from sources
// that no rule names, so that lists are walked to their end. A bare drop by XDP comes again between the others, and each
// is seen against the one before it: what the machine does besides changes in minutes.
//
// Run as a program in namespaces of its own by measureWire(): both ends lie in one, and all goes with it.

import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { messageOf } from '../../../agent/contract/thrown.ts';
import { addon, type Handle } from '../../../native/index.ts';
import { randomFrom } from '../../agent/policy/set-tables/samples.ts';
import { udpFrame } from '../../lab/frame.ts';
import { writeCapture } from '../../lab/pcap.ts';
import { liveProgram, openKernel } from '../subject.ts';
import { enforce } from './judged.ts';
import {
  ipset,
  iptablesRules,
  type Listed,
  nftDrop,
  nftRules,
  nftSet,
  type Undo,
  xdpFilter,
} from './peers.ts';
import { loadTestObject } from './play.ts';
import { packetPolicy } from './policies.ts';
import { inNamespace, makeVeth, type Veth, vethMac, withBpffs } from './veth.ts';

export interface WireFigure {
  readonly name: string;
  /** Nanoseconds a packet, sending included, the least of some rounds; null: it could not be measured here. */
  readonly ns: number | null;
  /** Of the bare drop beside it. */
  readonly floorNs: number;
  /** Why it could not. */
  readonly why: string;
}

const packets = 4096;
const rounds = 3;
/** Each round takes about so long, so that one that is slow is not waited for for minutes. */
const roundMs = 250;
const loopsMax = 40;
const ruleCounts = [10, 100, 1000, 10_000];
const setCount = 10_000;

export function measureWire(): WireFigure[] {
  return inNamespace<WireFigure[]>(import.meta.filename, [], 900_000);
}

/** Numbers 10.0.0.0 on, or 2001:db8:1::. */
const addressOf = (family: 4 | 6, index: number) =>
  family === 4
    ? `10.${index >> 16}.${(index >> 8) & 255}.${index & 255}`
    : `2001:db8:1:${(index >> 8).toString(16)}::${((index & 255) + 1).toString(16)}`;

function writeFrames(folder: string, family: 4 | 6): string {
  const file = join(folder, `frames${family}.pcap`);
  const random = randomFrom(family);
  const source = () =>
    family === 4
      ? `172.16.${random(256)}.${random(256)}`
      : `2001:db8:2:${random(65_536).toString(16)}::${(1 + random(65_535)).toString(16)}`;
  const to = family === 4 ? '192.0.2.1' : '2001:db8:3::1';
  const destinationMac = vethMac;
  const frames = Array.from({ length: packets }, () =>
    udpFrame({ from: source(), to, fromPort: 1024 + random(60_000), toPort: 9, destinationMac }),
  );
  writeFileSync(file, writeCapture(frames));
  return file;
}

/** Nanoseconds a packet of a file that is sent `loops` times over. */
function send(file: string, sender: string, loops: number): number {
  const options = ['--preload-pcap', '--topspeed', `--intf1=${sender}`, `--loop=${loops}`];
  const out = execFileSync('taskset', ['-c', '0', 'tcpreplay', ...options, file], {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  const [, sent, seconds] = /Actual: (\d+) packets .* sent in ([\d.]+) seconds/.exec(out) ?? [];
  if (Number(sent) !== packets * loops) throw new Error(`tcpreplay sent ${sent}: ${out}`);
  return (Number(seconds) * 1e9) / Number(sent);
}

/** The least of some rounds, and how many packets they were. */
function measure(file: string, sender: string): { readonly ns: number; readonly sent: number } {
  const first = send(file, sender, 1);
  const loops = Math.min(loopsMax, Math.max(1, Math.floor((roundMs * 1e6) / (first * packets))));
  const times = Array.from({ length: rounds }, () => send(file, sender, loops));
  return { ns: Math.min(...times), sent: packets * (1 + loops * rounds) };
}

const number = (count: number) => count.toLocaleString('en-US');

async function all(): Promise<WireFigure[]> {
  return withBpffs(async (bpffs, folder) => {
    const veth = makeVeth();
    const kernel = await openKernel(bpffs);
    try {
      kernel.setPacketEventsPerSecond(0);
      const figures: WireFigure[] = [];
      for (const family of [4, 6] as const) {
        const bench = { kernel, bpffs, veth, family, file: writeFrames(folder, family) };
        figures.push(...(await measureFamily(bench)));
      }
      return figures;
    } finally {
      kernel.unload([]);
    }
  });
}

interface Bench {
  readonly kernel: Awaited<ReturnType<typeof openKernel>>;
  readonly bpffs: string;
  readonly veth: Veth;
  readonly family: 4 | 6;
  readonly file: string;
}

async function measureFamily({ kernel, bpffs, veth, family, file }: Bench): Promise<WireFigure[]> {
  const figures: WireFigure[] = [];
  const closing =
    (link: Handle): Undo =>
    () =>
      link.close();
  const bare = loadTestObject('xdp_drop').program('bench_drop');
  const generic = (program: Parameters<typeof addon.attachXdp>[0]) =>
    closing(addon.attachXdp(program, veth.index, 'generic'));
  const timed = (undo: Undo) => {
    try {
      return measure(file, veth.sender);
    } finally {
      undo();
    }
  };
  const floor = () => timed(generic(bare)).ns;
  const time = (name: string, set: () => Undo): number => {
    const floorNs = floor();
    try {
      const { ns, sent } = timed(set());
      figures.push({ name: `IPv${family}, ${name}`, ns, floorNs, why: '' });
      return sent;
    } catch (error) {
      const why = String((error as { stderr?: unknown }).stderr ?? messageOf(error)).trim();
      figures.push({ name: `IPv${family}, ${name}`, ns: null, floorNs, why: why.slice(0, 300) });
      return 0;
    }
  };
  const listed = (count: number): Listed => ({
    ...{ interface: veth.name, family },
    addresses: Array.from({ length: count }, (_, index) => addressOf(family, index)),
  });
  const husk = async (name: string, documents: ReturnType<typeof packetPolicy>) => {
    await enforce(kernel, documents, [veth]);
    const before = kernel.totals().INGRESS ?? 0n;
    const sent = time(name, () => generic(liveProgram(bpffs)));
    const judged = Number((kernel.totals().INGRESS ?? 0n) - before);
    if (judged < sent) throw new Error(`${name}: judged ${judged} of ${sent} packets`);
  };

  time('bare drop by XDP', () => generic(bare));
  const interfaces = [veth.name];
  for (const count of ruleCounts) {
    const rules = listed(count).addresses.map((from, at) => ({
      id: `r${at}`,
      from,
      action: 'allow' as const,
    }));
    await husk(`husk, ${number(count)} rules`, packetPolicy({ rules, default: 'drop', interfaces }));
  }
  const allowListed = { id: 'listed', from: { set: 'listed' }, action: 'allow' } as const;
  const set = { rules: [allowListed], default: 'drop', listed: listed(setCount).addresses } as const;
  await husk(`husk, a set of ${number(setCount)}`, packetPolicy({ ...set, interfaces }));
  time(`xdp-filter, ${number(setCount)} addresses`, () => xdpFilter(listed(setCount)));
  time('nftables, bare drop', () => nftDrop(listed(0)));
  for (const count of ruleCounts) {
    time(`nftables, ${number(count)} rules`, () => nftRules(listed(count)));
  }
  time(`nftables, a set of ${number(setCount)}`, () => nftSet(listed(setCount)));
  for (const count of ruleCounts) {
    time(`iptables, ${number(count)} rules`, () => iptablesRules(listed(count)));
  }
  time(`iptables, an ipset of ${number(setCount)}`, () => ipset(listed(setCount)));
  return figures;
}

if (import.meta.main) process.stdout.write(`${JSON.stringify(await all())}\n`);
