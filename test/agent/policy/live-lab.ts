// The live programs as a device under test: tables in both slots, connections and limits kept by the kernel, packets
// by BPF_PROG_TEST_RUN on interfaces of the network namespace this runs in. Nothing is attached.
//
// The kernel's clock cannot be set. To let time pass, what the tables remember is made older instead: connections,
// first fragments and token buckets. They count seconds, so that time passes by whole ones here, and a sequence of
// packets is only believed where the clock's second did not change meanwhile. Since seconds are cut, the programs let
// a connection live up to one more than its timeout; that one is taken from it here.

import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { setUpConnections } from '../../../agent/kernel/connections.ts';
import { Slots } from '../../../agent/kernel/generation.ts';
import type { Slot } from '../../../agent/kernel/live-word.ts';
import { packetMaps, sharedMaps, slotMaps } from '../../../agent/kernel/tables.ts';
import type { DeviceView } from '../../../agent/policy/device-view.ts';
import type { TableImage } from '../../../agent/policy/table-image.ts';
import {
  decodeHuskCounter,
  HUSK_CONNECTION_WAYS,
  HUSK_LIVE_SLOT_SHIFT,
  HUSK_RATE_WAYS,
  HuskConnection,
  HuskConnectionBucket,
  HuskControl,
  HuskCounter,
  HuskFragment,
  HuskRate,
  HuskRateBucket,
  HuskTotal,
} from '../../../bpf/abi/layout.gen.ts';
import { type Addon, addon, type MapHandle, type ProgramHandle, type Words } from '../../../native/index.ts';
import { ownAddresses } from './own-addresses.ts';

const root = resolve(import.meta.dirname, '../../..');
const objects = ['xdp_ingress', 'tc_ingress', 'tc_egress'] as const;
export type Hook = (typeof objects)[number];
const shared: readonly string[] = [...sharedMaps, ...packetMaps, ...slotMaps];
const nanoseconds = 1_000_000_000n;
/** Few, so that they are read and written quickly; enough for a sequence. */
const sizes = { connectionBuckets: 64, rateBuckets: 64 } as const;

/** Totals that say why a packet was allowed or dropped where no rule does. */
const told = {
  'never-drop': HuskTotal.NEVER_DROP,
  unparseable: HuskTotal.UNPARSEABLE,
  unzoned: HuskTotal.UNZONED,
  deferred: HuskTotal.DEFERRED,
  'own-source': HuskTotal.OWN_SOURCE,
  'no-generation': HuskTotal.NO_GENERATION,
} as const;

export interface LiveSeen {
  readonly isStopped: boolean;
  /** Indexes of the counters that moved, each by one. */
  readonly hits: readonly number[];
  readonly limited: readonly number[];
  /** Reasons that were counted. */
  readonly reasons: readonly string[];
}

export class LiveLab {
  readonly #addon: Addon = addon;
  readonly #maps = new Map<string, MapHandle>();
  readonly #programs = new Map<Hook, ProgramHandle>();
  readonly #words: Words;
  readonly #slots: Slots;
  #serial = 0;
  #made = new Set<number>();

  constructor() {
    for (const name of objects) this.#load(name);
    let generations = 0;
    this.#slots = new Slots(this.#addon, this.#maps, () => ++generations);
    this.#words = this.#addon.mapWords(this.#map('control'));
    // Words that are alike would make a hash that does not tell both ends apart.
    const seed = crypto.getRandomValues(new Uint8Array(56));
    setUpConnections(this.#addon, this.#map('connection_setup'), sizes, seed);
  }

  #load(name: Hook): void {
    const object = this.#addon.openObject(name, readFileSync(join(root, 'build/bpf', `${name}.bpf.o`)));
    try {
      object.setMaxEntries('connections', sizes.connectionBuckets);
      object.setMaxEntries('rates', sizes.rateBuckets);
      const declared = object.mapNames().filter((map) => shared.includes(map));
      for (const map of declared) {
        const known = this.#maps.get(map);
        if (known !== undefined) object.reuseMap(map, known);
      }
      object.load();
      for (const map of declared) if (!this.#maps.has(map)) this.#maps.set(map, object.map(map));
      this.#programs.set(name, object.program(`husk_${name}`));
    } finally {
      object.close();
    }
  }

  /** Makes the device's interfaces, by their indexes alone, and tells the programs its addresses. */
  async become(device: DeviceView): Promise<void> {
    for (const { index } of device.interfaces) {
      if (this.#made.has(index)) continue;
      const names = ['name', `d${index}`, 'index', `${index}`, 'type', 'veth', 'peer', 'name', `p${index}`];
      execFileSync('ip', ['link', 'add', ...names]);
      this.#made.add(index);
    }
    const own = this.#map('own_addresses');
    await this.#clear('own_addresses');
    for (const key of ownAddresses(device)) this.#addon.update(own, key, new Uint8Array(4));
  }

  async load(slot: Slot, image: TableImage): Promise<void> {
    this.#serial++;
    await this.#slots.load(slot, { serial: this.#serial, bundleDigest: '0'.repeat(64), image });
  }

  setLive(slot: Slot): void {
    this.#words.store(HuskControl.offset.live, (slot << HUSK_LIVE_SLOT_SHIFT) >>> 0);
  }

  /** Forgets connections, first fragments and token buckets. */
  async forget(): Promise<void> {
    for (const [name, size] of [
      ['connections', HuskConnectionBucket.size],
      ['rates', HuskRateBucket.size],
    ] as const) {
      const { keys, count } = await this.#addon.readAll(this.#map(name));
      await this.#addon.writeAll(this.#map(name), keys, new Uint8Array(count * size));
    }
    await this.#clear('connection_fragments');
  }

  async #clear(name: string): Promise<void> {
    const { keys, count } = await this.#addon.readAll(this.#map(name));
    const size = keys.length / count;
    for (let at = 0; at < count; at++)
      this.#addon.remove(this.#map(name), keys.slice(at * size, (at + 1) * size));
  }

  /** All that is remembered becomes older by whole seconds. */
  async age(seconds: number): Promise<void> {
    const now = Number(this.bootSeconds);
    const older = (seen: number) => seen - seconds - (seen === now ? 1 : 0);
    await this.#rewrite('connections', (view, count) => {
      for (let bucket = 0; bucket < count; bucket++) {
        const at = bucket * HuskConnectionBucket.size + HuskConnectionBucket.offset.entries;
        for (let way = 0; way < HUSK_CONNECTION_WAYS; way++) {
          const seen = at + way * HuskConnection.size + HuskConnection.offset.seen;
          // The upper half of the word is the mark of the tenant.
          if (view.getBigUint64(seen, true) !== 0n)
            view.setUint32(seen, older(view.getUint32(seen, true)), true);
        }
      }
    });
    await this.#rewrite('connection_fragments', (view, count) => {
      for (let at = 0; at < count * HuskFragment.size; at += HuskFragment.size) {
        const seen = at + HuskFragment.offset.seen;
        view.setUint32(seen, older(view.getUint32(seen, true)), true);
      }
    });
    await this.#rewrite('rates', (view, count) => {
      for (let bucket = 0; bucket < count; bucket++) {
        for (let way = 0; way < HUSK_RATE_WAYS; way++) {
          const at = bucket * HuskRateBucket.size + HuskRateBucket.offset.entries + way * HuskRate.size;
          for (const field of [at + HuskRate.offset.fullNs, at + HuskRate.offset.usedNs]) {
            const before = view.getBigUint64(field, true);
            const then = before - BigInt(seconds) * nanoseconds;
            if (before !== 0n) view.setBigUint64(field, then > 0n ? then : 1n, true);
          }
        }
      }
    });
  }

  async #rewrite(name: string, change: (values: DataView, count: number) => void): Promise<void> {
    const map = this.#map(name);
    const { keys, values, count } = await this.#addon.readAll(map);
    if (count === 0) return;
    change(new DataView(values.buffer, values.byteOffset, values.byteLength), count);
    await this.#addon.writeAll(map, keys, values);
  }

  get bootSeconds(): bigint {
    return this.#addon.bootNs() / nanoseconds;
  }

  /** `rules`: how many counters there are to look at. */
  run(hook: Hook, frame: Uint8Array, ifindex: number, cameBy: number, rules: number): LiveSeen {
    const before = this.#counts(rules);
    const program = this.#programs.get(hook);
    if (program === undefined) throw new Error(`${hook} was not loaded`);
    const { verdict } = this.#addon.testRun(program, frame, { repeat: 1, ifindex, cameBy });
    const after = this.#counts(rules);
    const moved = (of: 'hits' | 'limited') =>
      after.rules.flatMap((one, index) => {
        const by = one[of] - (before.rules[index]?.[of] ?? 0n);
        if (by > 1n) throw new Error(`counter ${index} moved by ${by}`);
        return by === 0n ? [] : [index];
      });
    const reasons = Object.keys(told).filter((_, index) => after.totals[index] !== before.totals[index]);
    return { isStopped: isStopped(hook, verdict), hits: moved('hits'), limited: moved('limited'), reasons };
  }

  #counts(rules: number) {
    return {
      rules: Array.from({ length: rules }, (_, index) => this.#counter(index)),
      totals: Object.values(told).map((total) => this.#total(total)),
    };
  }

  #counter(index: number): { hits: bigint; limited: bigint } {
    const view = this.#lookup('counters', index);
    let [hits, limited] = [0n, 0n];
    for (let at = 0; at < view.byteLength; at += HuskCounter.size) {
      const one = decodeHuskCounter(view, at);
      hits += one.hits;
      limited += one.limited;
    }
    return { hits, limited };
  }

  #total(total: number): bigint {
    const view = this.#lookup('totals', total);
    let sum = 0n;
    for (let at = 0; at < view.byteLength; at += 8) sum += view.getBigUint64(at, true);
    return sum;
  }

  #lookup(map: string, index: number): DataView {
    const value = this.#addon.lookup(this.#map(map), new Uint8Array(Uint32Array.of(index).buffer));
    if (value === null) throw new Error(`${map} has no entry ${index}`);
    return new DataView(value.buffer, value.byteOffset, value.byteLength);
  }

  #map(name: string): MapHandle {
    const map = this.#maps.get(name);
    if (map === undefined) throw new Error(`${name} was not declared`);
    return map;
  }

  close(): void {
    this.#words.close();
    for (const handle of [...this.#programs.values(), ...this.#maps.values()]) handle.close();
  }
}

/** XDP_DROP and XDP_PASS, TC_ACT_SHOT and TC_ACT_UNSPEC. An answer to what is rejected goes back: XDP_TX. */
function isStopped(hook: Hook, verdict: number): boolean {
  const [stop, answer, pass] = hook === 'xdp_ingress' ? [1, 3, 2] : [2, 7, -1];
  if ((verdict | 0) === stop || (verdict | 0) === answer) return true;
  if ((verdict | 0) === pass) return false;
  throw new Error(`${hook} returned ${verdict}`);
}
