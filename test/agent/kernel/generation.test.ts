// Goal: a slot is never taken for whole while it is not, what is read back decides, and equal tables are one map.
// Method: the real kernel through an addon that writes down the order of things and can be made to lie. Nothing
// is attached.

import { readdirSync, readlinkSync } from 'node:fs';
import t, { type Test } from 'tap';
import { Kernel } from '../../../agent/kernel/kernel.ts';
import { otherSlot, type Slot } from '../../../agent/kernel/live-word.ts';
import { openPinnedSet } from '../../../agent/kernel/objects.ts';
import {
  countingKinds,
  entryOf,
  followingKinds,
  outerFor,
  outersOf,
  tableKinds,
} from '../../../agent/kernel/tables.ts';
import { compile } from '../../../agent/policy/compile.ts';
import { parseDocuments } from '../../../agent/policy/parse.ts';
import type { DeviceFacts, TableImage } from '../../../agent/policy/table-image.ts';
import { HuskTable } from '../../../bpf/abi/layout.gen.ts';
import { type Addon, addon } from '../../../native/index.ts';
import { Lab } from '../../lab/lab.ts';
import { plainFacts, plainKernel } from '../../lab/plain-kernel.ts';
import { benchMissing, objectFiles } from '../apply-bench.ts';

const skip = benchMissing();
/** The kernel cuts names at 15 characters. */
const nameOf = (map: string): string =>
  map
    .slice(0, 15)
    .replace(/^husk_/, '')
    .replace(/_slots?$/, '');

/** The real addon, watched. */
class Watched {
  /** As in `remove generation 1`, `place set4 1` and, when the kernel has answered, `placed set4 1`. */
  readonly said: string[] = [];
  /** Name of the table whose next read back has one bit turned. */
  lieAbout: string | null = null;
  /** What the kernel does not take, as in `zones 1`. */
  refuse: string | null = null;
  readonly addon: Addon;

  constructor() {
    const watched: Partial<Addon> = {
      remove: (map, key) => {
        this.said.push(`remove ${nameOf(addon.mapInfo(map).name)} ${key[0]}`);
        return addon.remove(map, key);
      },
      setInner: async (outer, index, inner) => {
        const what = `${nameOf(addon.mapInfo(outer).name)} ${index}`;
        this.said.push(`place ${what}`);
        if (this.refuse === what) throw new Error(`${what} is not taken`);
        await addon.setInner(outer, index, inner);
        this.said.push(`placed ${what}`);
      },
      readAll: async (map) => {
        const read = await addon.readAll(map);
        if (this.lieAbout !== nameOf(addon.mapInfo(map).name)) return read;
        this.lieAbout = null;
        const values = Uint8Array.from(read.values);
        values[0] = (values[0] ?? 0) ^ 1;
        return { ...read, values };
      },
    };
    // The addon's own properties can be neither spread nor overwritten.
    this.addon = Object.create(addon, Object.getOwnPropertyDescriptors(watched)) as Addon;
  }
}

interface Bench {
  readonly kernel: Kernel;
  readonly watched: Watched;
  load(serial: number, source: string, isAllowed?: boolean): ReturnType<Kernel['loadStandby']>;
  /** Id of the map of each kind that a slot has. */
  ids(slot: Slot): ReadonlyMap<number, number>;
  image(source: string): TableImage;
}

async function bench(t: Test): Promise<Bench> {
  const lab = await Lab.open();
  t.teardown(() => lab.close());
  const bpffs = lab.bpffs();
  const watched = new Watched();
  const kernel = await Kernel.open({
    addon: watched.addon,
    bpffs,
    files: objectFiles(),
    cgroup: null,
    ...plainKernel,
    onRecycled: () => {},
  });
  t.teardown(() => kernel.unload([]));
  const facts: DeviceFacts = {
    ...plainFacts([{ name: 'wan0', index: 1 }], (id) => kernel.ruleIndex(id)),
    cgroupId: () => 77n,
  };
  const image = (source: string, isAllowed = false) => {
    const { documents, faults } = parseDocuments(policy(source, isAllowed));
    if (faults.length > 0) throw new Error(JSON.stringify(faults));
    return compile(documents, facts);
  };
  const load = (serial: number, source: string, isAllowed = false) =>
    kernel.loadStandby({ serial, bundleDigest: '1'.repeat(64), image: image(source, isAllowed) });
  const ids = (slot: Slot): ReadonlyMap<number, number> => {
    const { maps, programs } = openPinnedSet(addon, bpffs);
    try {
      const found = tableKinds.map((kind): readonly [number, number] => {
        const inner = outersOf(kind).map((outer) => {
          const map = maps.get(outer.map);
          if (map === undefined) throw new Error(`no map ${outer.map}`);
          return addon.innerId(map, entryOf(outer, slot));
        });
        return [kind, inner.find((id) => id !== 0) ?? 0];
      });
      return new Map(found.filter(([, id]) => id !== 0));
    } finally {
      for (const handle of [...maps.values(), ...programs.values()]) handle.close();
    }
  };
  return { kernel, watched, load, ids, image };
}

/** More than are folded into the rules' own tables, so that the set has one of its own. */
const many = Array.from({ length: 300 }, (_, index) => `10.${index >> 7}.${(index & 127) * 2}.1`);

/** Has something in every kind of table that is read back but those of IPv6. */
function policy(source: string, isAllowed: boolean): unknown[] {
  const packets = isAllowed ? 'allow' : 'drop';
  const head = { apiVersion: 'husk/v1', metadata: { name: 'filled' } };
  return [
    {
      ...head,
      kind: 'PacketPolicy',
      spec: {
        mode: 'enforce',
        zones: { wan: { interfaces: ['wan0'] } },
        sets: { bad: [source, ...many] },
        ingress: [
          {
            zone: 'wan',
            default: 'allow',
            rules: [
              { id: 'in', from: { set: 'bad' }, dscp: isAllowed ? 11 : 10, action: packets },
              { id: 'port', protocol: 'tcp', ports: { to: isAllowed ? 1 : 2 }, action: packets },
            ],
          },
        ],
        egress: [
          { zone: 'wan', default: 'allow', rules: [{ id: 'out', to: { set: 'bad' }, action: packets }] },
        ],
      },
    },
    {
      ...head,
      kind: 'HardeningPolicy',
      spec: {
        mode: 'enforce',
        subject: { cgroup: 'stubd' },
        rules: [
          {
            id: 'call',
            connect: { except: ['192.0.2.7', '203.0.113.9'] },
            action: isAllowed ? 'allow' : 'deny',
          },
        ],
      },
    },
  ];
}

/** Descriptors of maps that this process holds. */
function openMaps(): number {
  return readdirSync('/proc/self/fd').filter((fd) => linkOf(fd) === 'anon_inode:bpf-map').length;
}

function linkOf(fd: string): string {
  try {
    return readlinkSync(`/proc/self/fd/${fd}`);
  } catch {
    return ''; // the one that readdir itself had
  }
}

t.test(
  'a slot is emptied, a grace period passes, tables come, the record comes last',
  { skip },
  async (t) => {
    const { kernel, watched, load, image } = await bench(t);
    kernel.settle(await load(1, '198.51.100.1'));
    kernel.settle(await load(2, '198.51.100.2'));
    const live = kernel.status().live.slot;
    const standby = otherSlot(live);
    watched.said.length = 0;
    await load(3, '198.51.100.3');
    const { said } = watched;
    // What a program in flight may still read is not touched before the kernel has waited for it.
    t.strictSame(said.slice(0, 3).toSorted(), [
      `place generation ${live}`,
      `placed generation ${live}`,
      `remove generation ${standby}`,
    ]);
    t.strictSame(said.slice(-2), [`place generation ${standby}`, `placed generation ${standby}`]);
    const between = said.slice(3, -2);
    const places = image('198.51.100.3').tables.map((table) => {
      const outer = outerFor(table.kind, table.valueSize);
      return `${nameOf(outer.map)} ${entryOf(outer, standby)}`;
    });
    t.strictSame(
      between.toSorted(),
      places.flatMap((place) => [`place ${place}`, `placed ${place}`]).toSorted(),
      'each table is in its place before the record is put there',
    );
  },
);

t.test('one bit read back otherwise refuses the generation', { skip }, async (t) => {
  const { kernel, watched, load, ids } = await bench(t);
  // Has no table in common with what is loaded after it: a shared one is not read again.
  kernel.settle(await load(1, '198.51.100.1', true));
  const { inForce, live } = kernel.status();
  const held = openMaps();
  const idsLive = ids(live.slot);
  for (const table of ['zones', 'rules', 'extra', 'classes', 'big4', 'subjects', 'calls']) {
    watched.lieAbout = table;
    await t.rejects(load(2, '198.51.100.2'), { code: 'kernel.readback' }, table);
    t.equal(watched.lieAbout, null, 'the lie was told');
    t.equal(kernel.status().other, null, 'the slot is empty');
    t.equal(ids(otherSlot(live.slot)).has(HuskTable.GENERATION), false);
    t.equal(openMaps(), held, 'no map is held that nobody needs');
  }
  t.strictSame(kernel.status().inForce, inForce);
  t.strictSame(ids(live.slot), idsLive, 'what is in force was not touched');
  t.equal((await load(2, '198.51.100.2')).serial, 2, 'the truth is taken');
  t.equal(openMaps(), held);
});

t.test('nothing is loaded while a trial runs: both slots are needed', { skip }, async (t) => {
  const { kernel, load, ids } = await bench(t);
  kernel.settle(await load(1, '198.51.100.1'));
  const trial = kernel.beginTrial(await load(2, '198.51.100.2'), 60);
  const before = { status: kernel.status(), slots: [ids(0), ids(1)] };
  t.match(before.status, { inTrial: true, inForce: { serial: 2 }, other: { serial: 1 } });
  await t.rejects(load(3, '198.51.100.3'), /a trial is running/);
  t.strictSame({ status: kernel.status(), slots: [ids(0), ids(1)] }, before);
  kernel.returnNow(trial);
  t.match(kernel.status(), { inTrial: false, inForce: { serial: 1 } }, 'the way back is as it was');
  t.equal((await load(3, '198.51.100.3')).serial, 3);
});

t.test('tables in force refuse to be written; those that follow the device do not', { skip }, async (t) => {
  const { kernel, load, ids } = await bench(t);
  kernel.settle(await load(1, '198.51.100.1'));
  const maps = [...ids(kernel.status().live.slot)].map(
    ([kind, id]) => [kind, addon.openMapById(id)] as const,
  );
  t.teardown(() => {
    for (const [, map] of maps) map.close();
  });
  t.ok(maps.length >= 14, `${maps.length} tables`);
  for (const [kind, map] of maps) {
    const { name, keySize, valueSize, frozen } = addon.mapInfo(map);
    const write = () => addon.update(map, new Uint8Array(keySize), new Uint8Array(valueSize));
    const follows = followingKinds.includes(kind);
    t.equal(frozen, !follows, name);
    if (follows) t.doesNotThrow(write, name);
    else t.throws(write, { code: 'EPERM' }, name);
  }
});

t.test('a table equal to the other slot’s is that very map', { skip }, async (t) => {
  const { kernel, load, ids } = await bench(t);
  kernel.settle(await load(1, '198.51.100.1'));
  const never: readonly number[] = [HuskTable.GENERATION, ...followingKinds, ...countingKinds];

  const alike = () => {
    const [one, other] = [ids(0), ids(1)];
    return [...one].filter(([kind, id]) => other.get(kind) === id).map(([kind]) => kind);
  };
  const twice = await load(2, '198.51.100.1');
  const same = alike();
  t.strictSame(
    same,
    [...ids(0).keys()].filter((kind) => !never.includes(kind)),
    'but what follows the device, and what counts',
  );
  t.strictSame(twice.shared, same);

  await load(3, '198.51.100.3');
  t.strictSame(
    alike(),
    same.filter((kind) => kind !== HuskTable.BIG4),
    'one that differs is a map of its own',
  );
});

t.test(
  'a table that the kernel does not take is a refusal, whatever is still being made',
  { skip },
  async (t) => {
    const { kernel, watched, load } = await bench(t);
    kernel.settle(await load(1, '198.51.100.1'));
    const standby = 1 - kernel.status().live.slot;
    watched.refuse = `zones ${standby}`;
    await t.rejects(load(2, '198.51.100.2'), { code: 'kernel.load', detail: /zones \d is not taken/ });
    watched.refuse = null;
    t.equal(kernel.status().inForce?.serial, 1);
    t.equal((await load(3, '198.51.100.3')).serial, 3, 'the next one is loaded');
  },
);
