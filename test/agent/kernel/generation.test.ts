// Goal: a slot is never taken for whole while it is not, what is read back decides, and equal tables are one map.
// Method: the real kernel through an addon that writes down the order of things and can be made to lie. Nothing
// is attached.

import { readdirSync, readlinkSync } from 'node:fs';
import t, { type Test } from 'tap';
import { Kernel } from '../../../agent/kernel/kernel.ts';
import { openPinnedSet } from '../../../agent/kernel/objects.ts';
import { followingKinds, slotMaps } from '../../../agent/kernel/tables.ts';
import { compile } from '../../../agent/policy/compile.ts';
import { parseDocuments } from '../../../agent/policy/parse.ts';
import { HuskTable } from '../../../bpf/abi/layout.gen.ts';
import { type Addon, addon } from '../../../native/index.ts';
import { Lab } from '../../lab/lab.ts';
import { benchMissing, objectFiles } from '../apply-bench.ts';

const skip = benchMissing();
const kinds = Array.from({ length: HuskTable.COUNT }, (_, kind) => kind);

/** The real addon, watched. */
class Watched {
  /** As in `remove generation 1`, `place set4 1` and, when the kernel has answered, `placed set4 1`. */
  readonly said: string[] = [];
  /** Name of the table whose next read back has one bit turned. */
  lieAbout: string | null = null;
  readonly addon: Addon;

  constructor() {
    // The kernel cuts names at 15 characters.
    const kindOf = (name: string): string => name.replace(/^husk_/, '').replace(/_slots?$/, '');
    const watched: Partial<Addon> = {
      remove: (map, key) => {
        this.said.push(`remove ${kindOf(addon.mapInfo(map).name)} ${key[0]}`);
        return addon.remove(map, key);
      },
      setInner: async (outer, index, inner) => {
        const what = `${kindOf(addon.mapInfo(outer).name)} ${index}`;
        this.said.push(`place ${what}`);
        await addon.setInner(outer, index, inner);
        this.said.push(`placed ${what}`);
      },
      readAll: async (map) => {
        const read = await addon.readAll(map);
        if (this.lieAbout !== kindOf(addon.mapInfo(map).name)) return read;
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
  /** Id of the map of each kind in a slot; 0: none. */
  ids(slot: number): number[];
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
    onRecycled: () => {},
  });
  t.teardown(() => kernel.unload([]));
  const facts = {
    interfaces: [{ name: 'lo', index: 1 }],
    cgroupId: () => 77n,
    ruleIndex: (id: string) => kernel.ruleIndex(id),
  };
  const load = (serial: number, source: string, isAllowed = false) => {
    const { documents, faults } = parseDocuments(policy(source, isAllowed));
    if (faults.length > 0) throw new Error(JSON.stringify(faults));
    return kernel.loadStandby({ serial, bundleDigest: '1'.repeat(64), image: compile(documents, facts) });
  };
  const ids = (slot: number): number[] => {
    const { maps, programs } = openPinnedSet(addon, bpffs);
    try {
      return kinds.map((kind) => {
        const outer = maps.get(slotMaps[kind] ?? '');
        if (outer === undefined) throw new Error(`no map for kind ${kind}`);
        return addon.innerId(outer, slot);
      });
    } finally {
      for (const handle of [...maps.values(), ...programs.values()]) handle.close();
    }
  };
  return { kernel, watched, load, ids };
}

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
        zones: { wan: { interfaces: ['lo'] } },
        sets: { bad: [source, '203.0.113.9'] },
        ingress: [
          { zone: 'wan', default: 'allow', rules: [{ id: 'in', from: { set: 'bad' }, action: packets }] },
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
    const { kernel, watched, load } = await bench(t);
    kernel.settle(await load(1, '198.51.100.1'));
    kernel.settle(await load(2, '198.51.100.2'));
    const live = kernel.status().live.slot;
    const standby = 1 - live;
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
    const tables = kinds.filter((kind) => kind !== HuskTable.GENERATION).map((kind) => slotMaps[kind]);
    const names = tables.map((name) => name?.replace('_slots', ''));
    t.strictSame(
      between.toSorted(),
      names.flatMap((name) => [`place ${name} ${standby}`, `placed ${name} ${standby}`]).toSorted(),
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
  for (const table of ['zones', 'ingress', 'egress', 'set4', 'subjects', 'calls']) {
    watched.lieAbout = table;
    await t.rejects(load(2, '198.51.100.2'), { code: 'kernel.readback' }, table);
    t.equal(watched.lieAbout, null, 'the lie was told');
    t.equal(kernel.status().other, null, 'the slot is empty');
    t.equal(ids(1 - live.slot)[HuskTable.GENERATION], 0);
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
  const maps = ids(kernel.status().live.slot).map((id) => addon.openMapById(id));
  t.teardown(() => {
    for (const map of maps) map.close();
  });
  for (const [kind, map] of maps.entries()) {
    const { keySize, valueSize, frozen } = addon.mapInfo(map);
    const write = () => addon.update(map, new Uint8Array(keySize), new Uint8Array(valueSize));
    const follows = followingKinds.includes(kind);
    const name = slotMaps[kind] ?? '';
    t.equal(frozen, !follows, name);
    if (follows) t.doesNotThrow(write, name);
    else t.throws(write, { code: 'EPERM' }, name);
  }
});

t.test('a table equal to the other slot’s is that very map', { skip }, async (t) => {
  const { kernel, load, ids } = await bench(t);
  kernel.settle(await load(1, '198.51.100.1'));
  const never: readonly number[] = [HuskTable.GENERATION, ...followingKinds];

  const twice = await load(2, '198.51.100.1');
  const same = kinds.filter((kind) => ids(0)[kind] === ids(1)[kind]);
  t.strictSame(
    same,
    kinds.filter((kind) => !never.includes(kind)),
    'but what follows the device',
  );
  t.strictSame(twice.shared, same);

  await load(3, '198.51.100.3');
  const alike = kinds.filter((kind) => ids(0)[kind] === ids(1)[kind]);
  t.strictSame(
    alike,
    same.filter((kind) => kind !== HuskTable.SET4),
    'one that differs is a map of its own',
  );
});
