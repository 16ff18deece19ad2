// Goal: urgent additions to a large list are in force without the list being built or written anew; an addition ends
// by itself, and only it; sets and, where it is asked for, their entries count.
// Method: a router whose wan has listed senders, its kernel side counting what it writes; real datagrams.

import t from 'tap';
import type { Addition, PolicyDocument } from '../../agent/contract/policy.ts';
import { type Addon, addon, type MapHandle } from '../../native/index.ts';
import { Lab } from '../lab/lab.ts';
import { addresses } from '../lab/site.ts';
import { waitFor } from '../lab/wait-for.ts';
import { Router, routerMissing, say, serve } from './router.ts';

t.setTimeout(120_000);
const skip = routerMissing();
const port = 7000;
const listSize = 100_000;

/** As many addresses of 10.0.0.0/8, none beside another. */
const longList = Array.from({ length: listSize }, (_, index) => {
  const address = index * 3;
  return `10.${address >>> 16}.${(address >>> 8) & 255}.${address & 255}`;
});

const packetPolicy: PolicyDocument = {
  apiVersion: 'husk/v1',
  kind: 'PacketPolicy',
  metadata: { name: 'edge' },
  spec: {
    mode: 'enforce',
    zones: { wan: { interfaces: ['wan0'] } },
    sets: { listed: { addressSet: 'list' } },
    ingress: [
      {
        zone: 'wan',
        default: 'allow',
        rules: [{ id: 'listed', from: { set: 'listed' }, action: 'drop' }],
      },
    ],
    egress: [],
  },
};

function documents(spec: {
  readonly addresses: readonly string[];
  readonly additions?: readonly Addition[];
  readonly countEntries?: boolean;
}): readonly PolicyDocument[] {
  return [
    packetPolicy,
    // A list of its own each time, as each bundle has.
    { apiVersion: 'husk/v1', kind: 'AddressSet', metadata: { name: 'list' }, spec: structuredClone(spec) },
  ];
}

/** What was made and written since it was last asked, by the size of the maps' values. */
class Writes {
  readonly addon: Addon;
  #made = 0;
  #bytes = 0;

  constructor() {
    const counted = {
      createMap: (...args: Parameters<Addon['createMap']>): MapHandle => {
        this.#made++;
        return addon.createMap(...args);
      },
      writeAll: (...[map, keys, values]: Parameters<Addon['writeAll']>): Promise<void> => {
        this.#bytes += keys.length + values.length;
        return addon.writeAll(map, keys, values);
      },
    };
    this.addon = new Proxy(addon, {
      get: (target, name) => Reflect.get(Object.hasOwn(counted, name) ? counted : target, name),
    });
  }

  take(): { readonly made: number; readonly bytes: number } {
    const taken = { made: this.#made, bytes: this.#bytes };
    this.#made = 0;
    this.#bytes = 0;
    return taken;
  }
}

t.test('sets on a device as it runs', { skip, timeout: 110_000 }, async (t) => {
  const lab = await Lab.open();
  t.teardown(() => lab.close());
  const writes = new Writes();
  const router = await Router.open(lab, { addon: writes.addon });
  const { wan, inside } = router.ground;
  // The wan's further addresses speak from themselves.
  await serve(lab, inside, [port]);
  const ask = (from: string) => say(wan, 'udp', addresses.device, port, from);

  await t.test('an addition writes itself, not the list', async (t) => {
    writes.take();
    await router.settle(documents({ addresses: longList }));
    const first = writes.take();
    t.ok(first.bytes > listSize, `${first.bytes} bytes for the list`);
    t.equal(router.setImagesBuilt, 1);
    t.equal(await ask(addresses.attacker), 'echo');

    const additions = [{ address: `${addresses.attacker}/32` }];
    const loaded = await router.load(documents({ addresses: longList, additions }));
    router.kernel.settle(loaded);
    const second = writes.take();
    t.equal(router.setImagesBuilt, 1, 'the table was not built anew');
    t.ok(second.bytes < first.bytes / 20, `${second.bytes} bytes for the addition`);
    t.equal(await ask(addresses.attacker), 'none', 'it is in force');
    t.equal(await ask(addresses.neighbour), 'echo');

    await router.settle(documents({ addresses: [...longList, addresses.neighbour], additions }));
    t.ok(writes.take().bytes > listSize, 'a list that changed is written');
    t.equal(router.setImagesBuilt, 2);
    t.equal(await ask(addresses.neighbour), 'none');
  });

  await t.test('an addition ends by itself', async (t) => {
    const until = (seconds: number) => new Date(Date.now() + seconds * 1000).toISOString();
    await router.settle(
      documents({
        addresses: longList,
        additions: [
          { address: addresses.attacker, until: until(2.5) },
          { address: addresses.neighbour, until: until(2.5) },
          // What the shorter one holds goes on to be held by it.
          { address: '198.51.100.48/29', until: until(3600) },
        ],
      }),
    );
    t.equal(await ask(addresses.attacker), 'none');
    t.equal(await ask(addresses.neighbour), 'none');
    await waitFor(async () => (await ask(addresses.attacker)) === 'echo', {
      what: 'the addition to end',
      withinMs: 8000,
    });
    t.equal(await ask(addresses.neighbour), 'none', 'the network that it lies in has not ended');
    t.equal(await ask(addresses.controller), 'echo');
  });

  await t.test('entries count where they are asked to', async (t) => {
    const entries = async () =>
      Object.fromEntries(
        (await router.kernel.setEntries()).map(({ prefix, hits }) => [prefix, Number(hits)]),
      );
    await router.settle(
      documents({
        addresses: [addresses.attacker, '198.51.100.48/29', '203.0.113.0/24'],
        countEntries: true,
      }),
    );
    const { hits } = await router.moved(async () => {
      t.equal(await ask(addresses.attacker), 'none');
      t.equal(await ask(addresses.attacker), 'none');
      t.equal(await ask(addresses.neighbour), 'none');
      t.equal(await ask(addresses.controller), 'echo');
    });
    t.same(await entries(), { '198.51.100.66/32': 2, '198.51.100.48/29': 1, '203.0.113.0/24': 0 });
    t.equal(hits['edge/listed'], 3, 'and the set by its rule');
  });
});
