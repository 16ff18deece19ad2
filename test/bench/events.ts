// Events from the real ring to the spool on a real disk: how many a second, and is every one accounted for?
//
// A thread makes the real packet program, or the real emit_packet() in a loop, emit under BPF_PROG_TEST_RUN;
// the real ring threads, decoder, aggregator and spool take what comes. Nothing is attached to any interface. The count that must come
// out even: offered = events in the spool (with the counts they stand for) + gaps in the spool.
//
// Run by itself it prints a table: `node test/bench/events.ts`. Needs root and a build.

import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { Worker } from 'node:worker_threads';
import type { Stream } from '../../agent/contract/event.ts';
import { PacketAggregator } from '../../agent/events/aggregate-packets.ts';
import { walkPackets } from '../../agent/events/decode.ts';
import { describePackets } from '../../agent/events/enrich.ts';
import { Spool } from '../../agent/events/spool.ts';
import { Kernel } from '../../agent/kernel/kernel.ts';
import { type ObjectFiles, objects, setDirectory } from '../../agent/kernel/objects.ts';
import { SystemClock } from '../../agent/os/clock.ts';
import { silentLog } from '../../agent/os/log.ts';
import { systemRandom } from '../../agent/os/random.ts';
import { compile } from '../../agent/policy/compile.ts';
import { parseDocuments } from '../../agent/policy/parse.ts';
import { streamEvents } from '../../agent/stream-events.ts';
import { encodeHuskPacketEvent, HUSK_EVENT_DATA_BYTES, HuskPacketEvent } from '../../bpf/abi/layout.gen.ts';
import { addon } from '../../native/index.ts';
import { plainFacts, plainKernel } from '../lab/plain-kernel.ts';
import type { ProducerOrder, ProducerReport } from './event-producer.ts';

export interface EventsRun {
  readonly name: string;
  readonly offered: number;
  readonly offeredPerSecond: number;
  /** Taken from the ring, decoded, aggregated and spooled, a second. */
  readonly receivedPerSecond: number;
  readonly received: number;
  /** By where they were lost. */
  readonly lost: {
    readonly ring: number;
    readonly suppressed: number;
    readonly thread: number;
    readonly table: number;
  };
  /** What the spool tells: counts of its events, and of its gaps. */
  readonly spooled: { readonly records: number; readonly events: number; readonly gaps: number };
  /** offered = spooled.events + spooled.gaps, and offered = received + lost in ring, budget and thread. */
  readonly accounted: boolean;
}

export interface EventsBench {
  readonly runs: readonly EventsRun[];
  /** Different records through decoder, aggregator, enrichment and spool, without ring and window, a second. */
  readonly distinctPerSecond: number;
  readonly spoolBytesPerSecond: number;
  /** Resident memory at the end, MiB. */
  readonly residentMib: number;
}

const root = resolve(import.meta.dirname, '../..');
/** Of the loopback interface, in every namespace. It gives the packets a zone; nothing is attached to it. */
const loopback = { name: 'lo', index: 1 } as const;
const secondsOfRun = 4;
/** So large that the limit takes nothing: what the limit takes would be records, not events. */
const spoolBytesMax = 1024 * 1024 * 1024;

export function benchMissing(): string | null {
  if (!existsSync(join(root, 'build/test-bpf/event_flood.bpf.o'))) return 'needs ./build.sh build';
  return process.getuid?.() === 0 ? null : 'needs root';
}

export async function bench(): Promise<EventsBench> {
  const missing = benchMissing();
  if (missing !== null) throw new Error(missing);
  const seconds = secondsOfRun;
  const runs = [
    await measureEvents('flood of one source', { how: 'flood', sources: 1, perSecond: 0, seconds }),
    await measureEvents('flood of 1,000 sources', { how: 'flood', sources: 1000, perSecond: 0, seconds }),
    await measureEvents('flood of 1,000 sources, 150,000/s', {
      how: 'flood',
      sources: 1000,
      perSecond: 150_000,
      seconds,
    }),
    await measureEvents('flood of 16 million sources', {
      how: 'flood',
      sources: 2 ** 24,
      perSecond: 0,
      seconds,
    }),
    await measureEvents('packets judged, 1,000 sources', {
      how: 'judge',
      sources: 1000,
      perSecond: 0,
      seconds,
    }),
  ];
  return { runs, ...distinct(), residentMib: process.memoryUsage.rss() / 2 ** 20 };
}

export type Offer = Pick<ProducerOrder, 'how' | 'sources' | 'perSecond' | 'seconds'>;

/** One run on a kernel set of its own, pinned on a bpf file system of its own. */
export async function measureEvents(name: string, offer: Offer): Promise<EventsRun> {
  const folder = mkdtempSync(join(tmpdir(), 'husk-bench-events-'));
  const bpffs = join(folder, 'bpf');
  mkdirSync(bpffs);
  addon.mountBpffs(bpffs);
  try {
    const kernel = await openKernel(bpffs);
    try {
      return await measure(name, offer, kernel, join(folder, 'spool'), bpffs);
    } finally {
      kernel.unload([]);
    }
  } finally {
    execFileSync('umount', [bpffs]);
    rmSync(folder, { recursive: true });
  }
}

async function measure(
  name: string,
  offer: Offer,
  kernel: Kernel,
  folder: string,
  bpffs: string,
): Promise<EventsRun> {
  const clock = new SystemClock({ bootMs: () => Number(addon.bootNs() / 1_000_000n), systemMs: Date.now });
  const spool = Spool.open({ folder, bytesMax: spoolBytesMax, bootId: '', clock, log: silentLog });
  const stream = streamEvents({
    rings: { packet: kernel.packetRing, call: kernel.callRing },
    addon,
    kernelNames: { ruleName: (index) => kernel.ruleName(index), interfaces: () => [loopback] },
    totals: () => kernel.totals(),
    spool,
    publish: () => Promise.reject(new Error('no link')),
    clock,
    random: systemRandom,
    log: silentLog,
  });
  const pins = setDirectory(bpffs);
  const started = performance.now();
  const report = await produce({ ...offer, pins, ifindex: loopback.index });
  await stream.close();
  const seconds = (performance.now() - started) / 1000;
  const { packets: received, undecodable, overflowed, dropped: thread } = stream.counts();
  const { PACKET_EVENTS_LOST: ring = 0n, PACKET_EVENTS_SUPPRESSED: suppressed = 0n } = kernel.totals();
  const spooled = countSpooled(spool, 'packet');
  await spool.close();
  const lost = { ring: Number(ring), suppressed: Number(suppressed), thread, table: overflowed };
  return {
    name,
    offered: report.offered,
    offeredPerSecond: report.offered / report.seconds,
    received,
    receivedPerSecond: received / seconds,
    lost,
    spooled,
    accounted:
      report.passed === 0 &&
      undecodable === 0 &&
      report.offered === received + lost.ring + lost.suppressed + thread &&
      report.offered === spooled.events + spooled.gaps,
  };
}

/** A kernel set with one zone, in which everything is dropped. */
async function openKernel(bpffs: string): Promise<Kernel> {
  const names = Object.keys(objects) as (keyof ObjectFiles)[];
  const files = Object.fromEntries(
    names.map((name) => [name, readFileSync(join(root, `build/bpf/${name}.bpf.o`))]),
  ) as unknown as ObjectFiles;
  const kernel = await Kernel.open({
    addon,
    bpffs,
    files,
    cgroup: null,
    ...plainKernel,
    onRecycled: () => {},
  });
  const { documents, faults } = parseDocuments([
    {
      apiVersion: 'husk/v1',
      kind: 'PacketPolicy',
      metadata: { name: 'bench' },
      spec: {
        mode: 'enforce',
        zones: { wan: { interfaces: [loopback.name] } },
        egress: [],
        ingress: [
          {
            zone: 'wan',
            default: 'drop',
            rules: [{ id: 'telnet', protocol: 'tcp', ports: { to: 23 }, action: 'drop' }],
          },
        ],
      },
    },
  ]);
  if (faults.length > 0) throw new Error(JSON.stringify(faults));
  const image = compile(
    documents,
    plainFacts([loopback], (id) => kernel.ruleIndex(id)),
  );
  kernel.settle(await kernel.loadStandby({ serial: 1, bundleDigest: '0'.repeat(64), image }));
  // No budget: what is lost is lost by the rings, and counted there.
  kernel.setPacketEventsPerSecond(0xffffffff);
  return kernel;
}

function produce(order: ProducerOrder): Promise<ProducerReport> {
  return new Promise((done, failed) => {
    const worker = new Worker(new URL('./event-producer.ts', import.meta.url), { workerData: order });
    worker.once('message', done);
    worker.once('error', failed);
  });
}

function countSpooled(spool: Spool, stream: Stream): EventsRun['spooled'] {
  let records = 0;
  let events = 0;
  let gaps = 0;
  let after = 0;
  for (let batch = spool.nextBatch(stream, 0); batch !== null; batch = spool.nextBatch(stream, after)) {
    for (const { event } of batch.events) {
      records += 1;
      if (event.kind === 'gap') gaps += event.lost;
      else if (event.kind === 'packet') events += event.count;
    }
    after = batch.events.at(-1)?.seq ?? Number.POSITIVE_INFINITY;
  }
  return { records, events, gaps };
}

/** The stages behind the ring with records of which no two are alike, and room for all of them. */
function distinct(): Pick<EventsBench, 'distinctPerSecond' | 'spoolBytesPerSecond'> {
  const folder = mkdtempSync(join(tmpdir(), 'husk-bench-events-'));
  const count = 300_000;
  const batchRecords = 2048;
  const frameBytes = 8 + HuskPacketEvent.size;
  const batch = new Uint8Array(batchRecords * frameBytes);
  const view = new DataView(batch.buffer);
  for (let at = 0; at < batch.length; at += frameBytes) {
    view.setUint32(at + 4, HuskPacketEvent.size, true);
    encodeHuskPacketEvent(view, at + 8, {
      head: {
        bootNs: 1n,
        serial: 1n,
        rule: 0,
        kind: 1,
        size: HuskPacketEvent.size,
        hook: 1,
        verdict: 2,
        mode: 2,
        reason: 1,
      },
      saddr: new Uint8Array(16),
      daddr: new Uint8Array(16),
      ...{
        ifindex: 1,
        length: 60,
        sport: 40000,
        dport: 23,
        etherType: 0x800,
        ipProto: 6,
        tcpFlags: 2,
        family: 1,
        fragment: 0,
        state: 0,
        icmpType: 0,
        icmpCode: 0,
        link: 0,
        outerVlan: 0,
        dataLength: 0,
        cameBy: 0,
        data: new Uint8Array(HUSK_EVENT_DATA_BYTES),
      },
    });
  }
  const clock = new SystemClock();
  const spool = Spool.open({ folder, bytesMax: spoolBytesMax, bootId: '', clock, log: silentLog });
  const packets = new PacketAggregator({ seed: 1, entriesMax: batchRecords });
  const names = { ruleName: () => 'bench/telnet', interfaceName: () => 'lo' };
  const started = performance.now();
  let spooled = 0;
  while (spooled < count) {
    // Another source in each record.
    for (let record = 0; record < batchRecords; record++) {
      view.setUint32(record * frameBytes + 8 + 44, spooled + record, false);
    }
    walkPackets(batch, (from, at) => packets.add(from, at));
    packets.drain((aggregate) => spool.append('packet', describePackets(aggregate, names), 1));
    spooled += batchRecords;
  }
  const seconds = (performance.now() - started) / 1000;
  const { bytes } = spool.status();
  rmSync(folder, { recursive: true });
  return { distinctPerSecond: spooled / seconds, spoolBytesPerSecond: bytes / seconds };
}

if (import.meta.main) {
  const result = await bench();
  for (const { accounted, lost, name, offeredPerSecond, receivedPerSecond, spooled } of result.runs) {
    console.log(`${name}: offered ${perSecond(offeredPerSecond)}, received ${perSecond(receivedPerSecond)}`);
    console.log(`  lost ${JSON.stringify(lost)}, spooled ${JSON.stringify(spooled)}, accounted ${accounted}`);
  }
  console.log(`all different, behind the ring: ${perSecond(result.distinctPerSecond)}`);
  console.log(
    `  ${(result.spoolBytesPerSecond / 2 ** 20).toFixed(0)} MiB/s; resident ${result.residentMib.toFixed(0)} MiB`,
  );
}

function perSecond(value: number): string {
  return `${Math.round(value).toLocaleString('en')}/s`;
}
