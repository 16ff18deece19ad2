// Swaps generations in the network namespace it is started in, while packets arrive there, and says what the
// hooks saw. Started by swap.test.ts.
//
//   node swapper.ts <swap|refill> <bpffs> <interface> <loads> <flips>
//
// Two generations drop the same source by tables that agree only with each other: in one the source is in the
// set `first` and `first` is dropped, in the other it is in `second` and `second` is dropped. A hook that took
// the set of one and the rules of the other would find the source in the set that is allowed.
//
//   swap     as the agent does it: new inner maps in the standby slot, then one store of the live word
//   refill   what Husk must not do: new values into the inner maps of the slot in force, one after another

import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import type { PacketRule, PolicyDocument } from '../../agent/contract/policy.ts';
import { Kernel } from '../../agent/kernel/kernel.ts';
import { type ObjectFiles, objects, openPinnedSet } from '../../agent/kernel/objects.ts';
import { slotMaps } from '../../agent/kernel/tables.ts';
import { compile } from '../../agent/policy/compile.ts';
import type { Table, TableImage } from '../../agent/policy/table-image.ts';
import { HuskTable } from '../../bpf/abi/layout.gen.ts';
import { addon, type MapHandle } from '../../native/index.ts';
import { type SwapReport, swapSource } from './swap-report.ts';

const elsewhere = '203.0.113.200';
const swappedKinds = [HuskTable.SET4, HuskTable.INGRESS];

const [how = '', bpffs = '', interfaceName = '', loads = '0', flips = '0'] = process.argv.slice(2);

function policy(dropped: 'first' | 'second'): PolicyDocument[] {
  // In the order of the sets, not of what is done to them: sets are numbered as rules ask for them.
  const rules: PacketRule[] = (['first', 'second'] as const).map((set) =>
    set === dropped
      ? { id: 'whole', from: { set }, action: 'drop' }
      : { id: 'torn', from: { set }, action: 'allow' },
  );
  const first = dropped === 'first' ? swapSource : elsewhere;
  const second = dropped === 'first' ? elsewhere : swapSource;
  return [
    {
      apiVersion: 'husk/v1',
      kind: 'PacketPolicy',
      metadata: { name: 'swap' },
      spec: {
        mode: 'enforce',
        zones: { wan: { interfaces: [interfaceName] } },
        sets: { first: [first], second: [second] },
        ingress: [{ zone: 'wan', default: 'allow', rules }],
        egress: [],
      },
    },
  ];
}

async function main(): Promise<void> {
  const folder = resolve(import.meta.dirname, '../../build/bpf');
  const files = Object.fromEntries(
    Object.keys(objects).map((name) => [name, new Uint8Array(readFileSync(`${folder}/${name}.bpf.o`))]),
  ) as unknown as ObjectFiles;
  const kernel = await Kernel.open({ addon, bpffs, files, cgroup: null, onRecycled: () => {} });
  const interfaces = addon.interfaces().filter((one) => one.name === interfaceName);
  const facts = { interfaces, cgroupId: () => null, ruleIndex: (id: string) => kernel.ruleIndex(id) };
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

  kernel.settle(await kernel.loadStandby(source(1)));
  kernel.attach({ interfaces, xdpMode: 'native', egress: 'tcx' });
  // Traffic has been coming all the time; what the hooks see counts from here.
  const before = await counts(kernel);
  const swaps = how === 'refill' ? await refill(kernel, images) : await swap(kernel, source);
  const after = await counts(kernel);
  const report: SwapReport = {
    swaps,
    whole: after.whole - before.whole,
    torn: after.torn - before.torn,
    neither: after.neither - before.neither,
    noGeneration: after.noGeneration - before.noGeneration,
    ingress: after.ingress - before.ingress,
    neverDrop: after.neverDrop - before.neverDrop,
  };
  kernel.unload(interfaces);
  console.log(JSON.stringify(report));
}

type Source = (serial: number) => { serial: number; bundleDigest: string; image: TableImage };

/** Each load is put live on trial and confirmed; then both slots are made live by turns. */
async function swap(kernel: Kernel, source: Source): Promise<number> {
  let swaps = 0;
  for (let serial = 2; serial < 2 + Number(loads); serial++) {
    const trial = kernel.beginTrial(await kernel.loadStandby(source(serial)), 60);
    if (kernel.confirm(trial) !== 'confirmed') throw new Error('a trial was not confirmed');
    swaps++;
    for (let flip = 0; flip < Number(flips); flip++, swaps++) {
      kernel.returnToPrevious();
      // Long enough for packets to meet it, and never the same twice.
      await new Promise((resolve) => setTimeout(resolve, flip % 3));
    }
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
    const outer = set.maps.get(slotMaps[kind] ?? '');
    if (outer === undefined) throw new Error(`no map for kind ${kind}`);
    await addon.setInner(outer, slot, map);
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

async function counts(kernel: Kernel): Promise<Omit<SwapReport, 'swaps'>> {
  const rules = await kernel.counters();
  const hits = (id: string): number => Number(rules.find((rule) => rule.id === id)?.hits ?? 0n);
  const totals = kernel.totals();
  return {
    whole: hits('swap/whole'),
    torn: hits('swap/torn'),
    neither: hits('swap/wan:default-ingress'),
    noGeneration: Number(totals.NO_GENERATION),
    ingress: Number(totals.INGRESS),
    neverDrop: Number(totals.NEVER_DROP),
  };
}

await main();
