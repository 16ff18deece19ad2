// Swaps generations in the network namespace it is started in, while packets arrive and leave there and a
// process in a cgroup calls connect(), and says what the hooks saw. Started by swap.test.ts.
//
//   node swapper.ts <swap|refill> <bpffs> <cgroup> <interface> <loads> <flips>
//
// Two generations stop the same peer by tables that agree only with each other: in one the peer is in the
// set `first` and `first` is stopped, in the other it is in `second` and `second` is stopped. A hook that took
// the set of one and the rules of the other would find the peer in the set that is allowed.
//
//   swap     as the agent does it: new inner maps in the standby slot, then one store of the live word
//   refill   what Husk must not do: new values into the inner maps of the slot in force, one after another

import { spawn } from 'node:child_process';
import { mkdirSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { text } from 'node:stream/consumers';
import type { HardeningRule, PacketRule, PolicyDocument } from '../../agent/contract/policy.ts';
import { Kernel, type LoadedGeneration } from '../../agent/kernel/kernel.ts';
import { type ObjectFiles, objects, openPinnedSet } from '../../agent/kernel/objects.ts';
import { entryOf, outerFor } from '../../agent/kernel/tables.ts';
import { compile } from '../../agent/policy/compile.ts';
import type { DeviceFacts, Table, TableImage } from '../../agent/policy/table-image.ts';
import { HuskTable } from '../../bpf/abi/layout.gen.ts';
import { addon, type MapHandle } from '../../native/index.ts';
import { plainAttach } from '../lab/plain-attach.ts';
import { plainFacts, plainKernel } from '../lab/plain-kernel.ts';
import { type HookReport, type SwapReport, swapPeer } from './swap-report.ts';

const elsewhere = ['203.0.113.200', '203.0.113.100'];
/** A call rule of one address has it in the rule; of two, in a set. */
const peers = [swapPeer, '203.0.113.50'];
const swappedKinds = [
  HuskTable.BIG4,
  HuskTable.BIG4 + 1,
  HuskTable.INGRESS,
  HuskTable.EGRESS,
  HuskTable.CALL_SET4,
  HuskTable.CALLS,
];
/** Of the subject, below the cgroup that is hardened. */
const callerName = 'caller';

const [how = '', bpffs = '', cgroup = '', interfaceName = '', loads = '0', flips = '0'] =
  process.argv.slice(2);

const filler = Array.from({ length: 300 }, (_, index) => `10.0.${index >> 7}.${(index & 127) * 2}`);

/** In the order of the sets, not of what is done to them: sets are numbered as rules ask for them. */
const setNames = ['first', 'second'] as const;

function policy(stopped: 'first' | 'second'): PolicyDocument[] {
  const addresses = (set: string): readonly string[] => (set === stopped ? peers : elsewhere);
  // Large sets have tables of their own; small ones would be part of the rules' classes.
  const large = (set: string): readonly string[] => [...addresses(set), ...filler];
  const id = (set: string): string => (set === stopped ? 'whole' : 'torn');
  const packets = (end: 'from' | 'to'): PacketRule[] =>
    setNames.map((set) => ({
      id: `${id(set)}-${end}`,
      [end]: { set },
      action: set === stopped ? 'drop' : 'allow',
    }));
  const calls = setNames.map(
    (set): HardeningRule => ({
      id: id(set),
      connect: { to: addresses(set) },
      action: set === stopped ? 'deny' : 'allow',
    }),
  );
  return [
    {
      apiVersion: 'husk/v1',
      kind: 'PacketPolicy',
      metadata: { name: 'packets' },
      spec: {
        mode: 'enforce',
        zones: { wan: { interfaces: [interfaceName] } },
        sets: { first: large('first'), second: large('second') },
        ingress: [{ zone: 'wan', default: 'allow', rules: packets('from') }],
        egress: [{ zone: 'wan', default: 'allow', rules: packets('to') }],
      },
    },
    {
      apiVersion: 'husk/v1',
      kind: 'HardeningPolicy',
      metadata: { name: 'calls' },
      spec: {
        mode: 'enforce',
        subject: { cgroup: callerName },
        default: { connect: 'allow' },
        rules: calls,
      },
    },
  ];
}

async function main(): Promise<void> {
  const folder = resolve(import.meta.dirname, '../../build/bpf');
  const files = Object.fromEntries(
    Object.keys(objects).map((name) => [name, new Uint8Array(readFileSync(`${folder}/${name}.bpf.o`))]),
  ) as unknown as ObjectFiles;
  const kernel = await Kernel.open({ addon, bpffs, files, cgroup, ...plainKernel, onRecycled: () => {} });
  const interfaces = addon.interfaces().filter((one) => one.name === interfaceName);
  const facts: DeviceFacts = {
    ...plainFacts(interfaces, (id) => kernel.ruleIndex(id)),
    cgroupId: (path) => addon.cgroupId(join(cgroup, path)),
  };
  mkdirSync(join(cgroup, callerName), { recursive: true });
  const images = [compile(policy('first'), facts), compile(policy('second'), facts)] as const;
  // Generations with a table in common would be tables shared, and nothing could tear.
  for (const kind of swappedKinds) {
    const [a, b] = images.map((image) => tableOf(image, kind));
    if (a === undefined || b === undefined || Buffer.compare(a.values, b.values) === 0)
      throw new Error(`the tables of kind ${kind} are the same`);
  }
  const source = (serial: number) => ({
    serial,
    bundleDigest: '0'.repeat(64),
    image: images[serial % 2] as TableImage,
  });

  const first = await kernel.loadStandby(source(1));
  kernel.settle(first);
  kernel.attach(plainAttach(interfaces));
  // Traffic has been coming all the time; what the hooks see counts from here.
  const before = await counts(kernel);
  const caller = startCaller();
  const swaps = how === 'refill' ? await refill(kernel, images) : await swap(kernel, source, first);
  const called = await caller.stop();
  const after = await counts(kernel);
  const since = (id: keyof typeof after): number => (after[id] ?? 0) - (before[id] ?? 0);
  const hook = (suffix: string, byDefault: string): HookReport => ({
    whole: since(suffix.replace('*', 'whole')),
    torn: since(suffix.replace('*', 'torn')),
    neither: since(byDefault),
  });
  const report: SwapReport = {
    swaps,
    ingress: hook('packets/*-from', 'packets/wan:default-ingress'),
    egress: hook('packets/*-to', 'packets/wan:default-egress'),
    connect: hook('calls/*', 'calls/default-connect'),
    noGeneration: since('NO_GENERATION'),
    packets: since('INGRESS') + since('EGRESS'),
    neverDrop: since('NEVER_DROP'),
    ...called,
  };
  kernel.unload(interfaces);
  console.log(JSON.stringify(report));
}

interface Caller {
  /** Ends it and tells what it was answered. */
  stop(): Promise<Pick<SwapReport, 'refused' | 'notRefused'>>;
}

function startCaller(): Caller {
  const program = join(import.meta.dirname, 'swap-caller.ts');
  const child = spawn(process.execPath, [program, join(cgroup, callerName)], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const told = text(child.stdout);
  return {
    stop: async () => {
      if (child.exitCode !== null) throw new Error(`the caller ended with ${child.exitCode}`);
      child.kill('SIGTERM');
      return JSON.parse(await told) as Pick<SwapReport, 'refused' | 'notRefused'>;
    },
  };
}

type Source = (serial: number) => { serial: number; bundleDigest: string; image: TableImage };

/** Each load is put live on trial and confirmed; then both slots are made live by turns. */
async function swap(kernel: Kernel, source: Source, first: LoadedGeneration): Promise<number> {
  let [swaps, before] = [0, first];
  for (let serial = 2; serial < 2 + Number(loads); serial++) {
    const loaded = await kernel.loadStandby(source(serial));
    const trial = kernel.beginTrial(loaded, 60);
    if (kernel.confirm(trial) !== 'confirmed') throw new Error('a trial was not confirmed');
    swaps++;
    for (let flip = 0; flip < Number(flips); flip++, swaps++) {
      kernel.settle(flip % 2 === 0 ? before : loaded);
      // Long enough for packets to meet it, and never the same twice; but the next load comes at once upon
      // the last flip, while programs may still be running that read the slot it fills.
      if (flip < Number(flips) - 1) await new Promise((resolve) => setTimeout(resolve, flip % 3));
    }
    // The next load goes into the slot that is not in force.
    if (Number(flips) % 2 === 0) before = loaded;
  }
  return swaps;
}

/** The slot in force gets inner maps that can be written, and then the one and the other image by turns. */
async function refill(kernel: Kernel, images: readonly [TableImage, TableImage]): Promise<number> {
  const set = openPinnedSet(addon, bpffs);
  const slot = kernel.status().live.slot;
  const open = new Map<number, MapHandle>();
  for (const kind of swappedKinds) {
    const table = tableOf(images[1], kind);
    const map = addon.createMap({
      name: 'refilled',
      type: table.mapType,
      keySize: table.keySize,
      valueSize: table.valueSize,
      maxEntries: table.maxEntries,
      flags: table.mapFlags,
    });
    await addon.writeAll(map, table.keys, table.values);
    const place = outerFor(kind, table.valueSize);
    const outer = set.maps.get(place.map);
    if (outer === undefined) throw new Error(`no map for kind ${kind}`);
    await addon.setInner(outer, entryOf(place, slot), map);
    open.set(kind, map);
  }
  let swaps = 0;
  for (; swaps < Number(loads); swaps++) {
    for (const kind of swappedKinds) {
      const table = tableOf(images[swaps % 2] as TableImage, kind);
      await addon.writeAll(open.get(kind) as MapHandle, table.keys, table.values);
    }
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
  return swaps;
}

function tableOf(image: TableImage, kind: number): Table {
  const table = image.tables.find((one) => one.kind === kind);
  if (table === undefined) throw new Error(`no table of kind ${kind}`);
  return table;
}

/** Hits of every rule by its id, and the totals by name. */
async function counts(kernel: Kernel): Promise<Record<string, number>> {
  const rules = (await kernel.counters()).map(({ id, hits }) => [id, hits] as const);
  const all = [...rules, ...Object.entries(kernel.totals())];
  return Object.fromEntries(all.map(([id, count]) => [id, Number(count)]));
}

await main();
