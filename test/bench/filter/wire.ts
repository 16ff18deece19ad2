// Husk and its peers over the same veth pair in one run: tcpreplay at one end, as fast as it goes, on the CPU that also
// receives, so that the time of a packet is sending and judging it. All drop; packets are 4,096 by turns, from sources
// that no rule names, so that lists are walked to their end.
//
// Run as a program in a network namespace of its own by measureWire(): both ends lie in it, and all goes with it.

import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { addon, type Handle } from '../../../native/index.ts';
import { randomFrom } from '../../agent/policy/set-tables/samples.ts';
import { udpFrame } from '../../lab/frame.ts';
import { writeCapture } from '../../lab/pcap.ts';
import { liveProgram, openKernel } from '../subject.ts';
import { enforce } from './judged.ts';
import { loadTestObject } from './play.ts';
import { packetPolicy } from './policies.ts';

export interface WireFigure {
  readonly name: string;
  /** Nanoseconds a packet, sending included; the least of some rounds. */
  readonly ns: number;
}

const packets = 4096;
const loops = 40;
const rounds = 3;

export function measureWire(): WireFigure[] {
  const args = ['--net', process.execPath, import.meta.filename];
  const { stdout, stderr, status } = spawnSync('unshare', args, { encoding: 'utf8', timeout: 120_000 });
  if (status !== 0) throw new Error(`the wire failed: ${stderr}`);
  return JSON.parse(stdout) as WireFigure[];
}

const address = (index: number) => `10.${index >> 16}.${(index >> 8) & 255}.${index & 255}`;
const addresses = (count: number) => Array.from({ length: count }, (_, index) => address(index));

function nft(...lines: string[]): () => void {
  const head = ['table netdev bench {', ...lines, '}'];
  execFileSync('nft', ['-f', '-'], { input: head.join('\n') });
  return () => {
    execFileSync('nft', ['delete', 'table', 'netdev', 'bench']);
  };
}
const chain = (...rules: string[]) =>
  nft('chain c { type filter hook ingress device v1 priority 0;', ...rules, 'drop', '}');

function measure(file: string): number {
  const args = [
    '-c',
    '0',
    'tcpreplay',
    '--preload-pcap',
    '--topspeed',
    '--intf1=v0',
    `--loop=${loops}`,
    file,
  ];
  const run = () => {
    const out = execFileSync('taskset', args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] });
    const [, sent, seconds] = /Actual: (\d+) packets .* sent in ([\d.]+) seconds/.exec(out) ?? [];
    return (Number(seconds) * 1e9) / Number(sent);
  };
  return Math.min(...Array.from({ length: rounds }, run));
}

async function all(): Promise<WireFigure[]> {
  const folder = mkdtempSync(join(tmpdir(), 'husk-bench-'));
  const bpffs = join(folder, 'bpf');
  execFileSync('mkdir', [bpffs]);
  execFileSync('ip', ['link', 'add', 'v0', 'type', 'veth', 'peer', 'name', 'v1']);
  for (const name of ['lo', 'v0', 'v1']) execFileSync('ip', ['link', 'set', name, 'up']);
  const index = addon.interfaces().find(({ name }) => name === 'v1')?.index ?? 0;
  addon.mountBpffs(bpffs);
  const kernel = await openKernel(bpffs);
  const file = join(folder, 'frames.pcap');
  const random = randomFrom(1);
  const frames = Array.from({ length: packets }, () => {
    const from = `172.16.${random(256)}.${random(256)}`;
    return udpFrame({ from, to: '192.0.2.1', fromPort: 1024 + random(60000), toPort: 9 });
  });
  writeFileSync(file, writeCapture(frames));
  kernel.setPacketEventsPerSecond(0);
  const figures: WireFigure[] = [];
  const time = (name: string, undo: () => void) => {
    figures.push({ name, ns: measure(file) });
    undo();
  };
  const attached = (link: Handle) => () => link.close();
  const husk = async (name: string, sources: readonly string[]) => {
    const rules = sources.map((from, at) => ({ id: `r${at}`, from, action: 'allow' as const }));
    const documents = packetPolicy({ rules, default: 'drop', interfaces: ['v1'] });
    await enforce(kernel, documents, [{ name: 'v1', index }]);
    const before = kernel.totals().INGRESS ?? 0n;
    time(name, attached(addon.attachXdp(liveProgram(bpffs), index, 'generic')));
    const seen = Number((kernel.totals().INGRESS ?? 0n) - before);
    if (seen < packets * loops * rounds) throw new Error(`${name}: judged ${seen} packets`);
  };
  try {
    const drop = loadTestObject('xdp_drop').program('bench_drop');
    time('bare drop by XDP', attached(addon.attachXdp(drop, index, 'generic')));
    await husk('husk, 10 rules', addresses(10));
    await husk('husk, 1,000 rules', addresses(1000));
    await husk('husk, 10,000 rules', addresses(10_000));
    time('nftables, bare drop', chain());
    for (const count of [10, 1000]) {
      const rules = addresses(count).map((one) => `ip saddr ${one} accept`);
      time(`nftables, ${count.toLocaleString('en-US')} rules`, chain(...rules));
    }
    const elements = addresses(10_000).join(', ');
    const body = [
      'chain c { type filter hook ingress device v1 priority 0;',
      'ip saddr @s accept',
      'drop',
      '}',
    ];
    time('nftables, a set of 10,000', nft(`set s { type ipv4_addr; elements = { ${elements} } }`, ...body));
    return figures;
  } finally {
    kernel.unload([]);
    execFileSync('umount', [bpffs]);
    rmSync(folder, { recursive: true });
  }
}

if (import.meta.main) process.stdout.write(`${JSON.stringify(await all())}\n`);
