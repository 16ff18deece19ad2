// Rule counters: stable rule ids on dense indexes of a per-CPU array.
//
// Who has which index is in policy/counter-indexes.ts. The names are in a map beside the counters and pinned with
// them: whoever reads one can read the other. What a rule had counted is handed over before its index is taken away.

import {
  decodeHuskCounter,
  decodeHuskRuleName,
  encodeHuskRuleName,
  HuskCounter,
  HuskRuleName,
} from '../../bpf/abi/layout.gen.ts';
import type { Addon, MapHandle } from '../../native/index.ts';
import { CounterIndexes, type CounterIndexesNow } from '../policy/counter-indexes.ts';

export interface RuleCounter {
  readonly id: string;
  readonly index: number;
  readonly hits: bigint;
  readonly bytes: bigint;
  /** Packets that matched above the limit; not among the hits. */
  readonly limited: bigint;
}

export class RuleCounters {
  readonly #addon: Addon;
  readonly #names: MapHandle;
  readonly #counters: MapHandle;
  readonly #indexes: CounterIndexes;
  readonly #onRecycled: (last: RuleCounter) => void;

  private constructor(
    addon: Addon,
    names: MapHandle,
    counters: MapHandle,
    indexes: CounterIndexes,
    onRecycled: (last: RuleCounter) => void,
  ) {
    this.#addon = addon;
    this.#names = names;
    this.#counters = counters;
    this.#indexes = indexes;
    this.#onRecycled = onRecycled;
  }

  /** Reads the names that are in the kernel. `onRecycled` gets the last value of a rule whose index is taken away. */
  static async open(
    addon: Addon,
    names: MapHandle,
    counters: MapHandle,
    onRecycled: (last: RuleCounter) => void,
  ): Promise<RuleCounters> {
    const all = await addon.readAll(names);
    const keys = new DataView(all.keys.buffer, all.keys.byteOffset, all.keys.byteLength);
    const values = new DataView(all.values.buffer, all.values.byteOffset, all.values.byteLength);
    const given = Array.from({ length: all.count }, (_, at) => {
      return [decodeHuskRuleName(values, at * HuskRuleName.size).id, keys.getUint32(at * 4, true)] as const;
    });
    const indexes = new CounterIndexes(addon.mapInfo(counters).maxEntries, given);
    return new RuleCounters(addon, names, counters, indexes, onRecycled);
  }

  /** The index of a rule, given out at its first use. `inUse`: indexes that some slot names. */
  indexOf(id: string, inUse: ReadonlySet<number>): number {
    const { index, isNew, from } = this.#indexes.give(id, inUse);
    if (!isNew) return index;
    // One that nobody has had was never counted.
    if (from !== null) {
      this.#handOver(from, index);
      this.#zero(index);
    }
    const value = new Uint8Array(HuskRuleName.size);
    encodeHuskRuleName(new DataView(value.buffer), 0, { id });
    this.#addon.update(this.#names, key(index), value);
    return index;
  }

  /** What has been given out, for whoever compiles elsewhere. */
  indexesNow(inUse: ReadonlySet<number>): CounterIndexesNow {
    return this.#indexes.now(inUse);
  }

  /** The rule of an index; null where no rule has had it. */
  idOf(index: number): string | null {
    return this.#indexes.idOf(index);
  }

  /** All rules that have a counter, in order of index. */
  async read(): Promise<RuleCounter[]> {
    const all = await this.#addon.readAll(this.#counters);
    const perKey = all.count === 0 ? 0 : all.values.length / all.count;
    const keys = new DataView(all.keys.buffer, all.keys.byteOffset, all.keys.byteLength);
    const rows: RuleCounter[] = [];
    for (let i = 0; i < all.count; i++) {
      const index = keys.getUint32(i * 4, true);
      const id = this.#indexes.idOf(index);
      if (id !== null) rows.push({ id, index, ...sum(all.values.subarray(i * perKey, (i + 1) * perKey)) });
    }
    return rows.sort((a, b) => a.index - b.index);
  }

  #handOver(id: string, index: number): void {
    const last = this.#addon.lookup(this.#counters, key(index)) ?? new Uint8Array();
    this.#onRecycled({ id, index, ...sum(last) });
  }

  #zero(index: number): void {
    const now = this.#addon.lookup(this.#counters, key(index));
    if (now !== null) this.#addon.update(this.#counters, key(index), new Uint8Array(now.length));
  }
}

function key(index: number): Uint8Array {
  const bytes = new Uint8Array(4);
  new DataView(bytes.buffer).setUint32(0, index, true);
  return bytes;
}

/** Over all CPUs. */
function sum(perCpu: Uint8Array): Pick<RuleCounter, 'hits' | 'bytes' | 'limited'> {
  const view = new DataView(perCpu.buffer, perCpu.byteOffset, perCpu.byteLength);
  let hits = 0n;
  let bytes = 0n;
  let limited = 0n;
  for (let at = 0; at + HuskCounter.size <= perCpu.length; at += HuskCounter.size) {
    const counter = decodeHuskCounter(view, at);
    hits += counter.hits;
    bytes += counter.bytes;
    limited += counter.limited;
  }
  return { hits, bytes, limited };
}
