// Goal: a rule keeps its counter for as long as it may be needed, and only then gives its index away.
// Method: the real maps, as the set has them, without programs; counting is written into them by hand.

import t, { type Test } from 'tap';
import { type RuleCounter, RuleCounters } from '../../../agent/kernel/counters.ts';
import { HUSK_COUNTERS_MAX, HuskCounter, HuskRuleName } from '../../../bpf/abi/layout.gen.ts';
import { addon, type MapHandle } from '../../../native/index.ts';
import { labMissing } from '../../lab/lab.ts';

const skip = labMissing();
const hash = 1;
const perCpuArray = 6;
const noPreallocation = 1;

interface Bench {
  readonly names: MapHandle;
  readonly counters: MapHandle;
  readonly recycled: RuleCounter[];
  open(): Promise<RuleCounters>;
}

function bench(t: Test): Bench {
  const shape = { keySize: 4, maxEntries: HUSK_COUNTERS_MAX };
  const names = addon.createMap({
    ...shape,
    name: 'names',
    type: hash,
    valueSize: HuskRuleName.size,
    flags: noPreallocation,
  });
  const counters = addon.createMap({
    ...shape,
    name: 'counters',
    type: perCpuArray,
    valueSize: HuskCounter.size,
    flags: 0,
  });
  t.teardown(() => {
    names.close();
    counters.close();
  });
  const recycled: RuleCounter[] = [];
  return {
    names,
    counters,
    recycled,
    open: () => RuleCounters.open(addon, names, counters, (last) => recycled.push(last)),
  };
}

/** Each CPU has counted one packet of ten bytes. */
function count(map: MapHandle, index: number): void {
  const value = new DataView(new ArrayBuffer(HuskCounter.size * addon.possibleCpus()));
  for (let at = 0; at < value.byteLength; at += HuskCounter.size) {
    value.setBigUint64(at + HuskCounter.offset.hits, 1n, true);
    value.setBigUint64(at + HuskCounter.offset.bytes, 10n, true);
  }
  addon.update(map, Uint8Array.of(index & 255, index >> 8, 0, 0), new Uint8Array(value.buffer));
}

t.test('a rule has the same index for ever, and the next agent knows it', { skip }, async (t) => {
  const { open, counters } = bench(t);
  const first = await open();
  const index = first.indexOf('wan/ssh', new Set());
  t.not(first.indexOf('wan/web', new Set()), index);
  t.equal(first.indexOf('wan/ssh', new Set()), index);
  count(counters, index);
  const cpus = BigInt(addon.possibleCpus());
  const second = await open();
  t.equal(second.idOf(index), 'wan/ssh');
  t.same((await second.read())[0], { id: 'wan/ssh', index, hits: cpus, bytes: 10n * cpus, limited: 0n });
  t.equal(second.idOf(77), null);
});

t.test(
  'with no index free, one that no slot names is taken, its last value handed over, counted from zero',
  { skip },
  async (t) => {
    const { open, counters, recycled } = bench(t);
    const rules = await open();
    const inUse = new Set<number>();
    for (let n = 0; n < HUSK_COUNTERS_MAX; n++) {
      const index = rules.indexOf(`wan/${n}`, inUse);
      if (n !== 5) inUse.add(index);
    }
    t.equal(recycled.length, 0);
    const free = rules.indexOf('wan/5', inUse);
    count(counters, free);

    t.equal(rules.indexOf('lan/new', inUse), free);
    t.match(recycled, [{ id: 'wan/5', index: free, hits: BigInt(addon.possibleCpus()) }]);
    t.equal((await rules.read()).find((one) => one.id === 'lan/new')?.hits, 0n);
    inUse.add(free);
    t.throws(() => rules.indexOf('lan/one-too-many', inUse), /rule counters of this device are in use/);
    t.equal((await open()).idOf(free), 'lan/new');
  },
);
