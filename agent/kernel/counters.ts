// Rule counters: stable rule ids on dense indexes of a per-CPU array.
//
// A rule keeps its index over policy changes, so its counter goes on. The names are in a map beside the
// counters and pinned with them: whoever reads one can read the other. An index is taken away from a rule
// only when there is no free one and neither slot names it; what it had counted is handed over first.

import {
  decodeHuskCounter,
  decodeHuskRuleName,
  encodeHuskRuleName,
  HuskCounter,
  HuskRuleName,
} from '../../bpf/abi/layout.gen.ts';
import type { Addon, MapHandle } from '../../native/index.ts';
import { RefusalError } from '../contract/refusal.ts';

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
  readonly #indexes = new Map<string, number>();
  readonly #ids = new Map<number, string>();
  readonly #onRecycled: (last: RuleCounter) => void;
  /** As the map was made. */
  readonly #countersMax: number;

  private constructor(
    addon: Addon,
    names: MapHandle,
    counters: MapHandle,
    onRecycled: (last: RuleCounter) => void,
  ) {
    this.#addon = addon;
    this.#names = names;
    this.#counters = counters;
    this.#onRecycled = onRecycled;
    this.#countersMax = addon.mapInfo(counters).maxEntries;
  }

  /** Reads the names that are in the kernel. `onRecycled` gets the last value of a rule whose index is taken away. */
  static async open(
    addon: Addon,
    names: MapHandle,
    counters: MapHandle,
    onRecycled: (last: RuleCounter) => void,
  ): Promise<RuleCounters> {
    const made = new RuleCounters(addon, names, counters, onRecycled);
    const all = await addon.readAll(names);
    const keys = new DataView(all.keys.buffer, all.keys.byteOffset, all.keys.byteLength);
    const values = new DataView(all.values.buffer, all.values.byteOffset, all.values.byteLength);
    for (let i = 0; i < all.count; i++) {
      const index = keys.getUint32(i * 4, true);
      made.#remember(index, decodeHuskRuleName(values, i * HuskRuleName.size).id);
    }
    return made;
  }

  /** The index of a rule, given out at its first use. `inUse`: indexes that some slot names. */
  indexOf(id: string, inUse: ReadonlySet<number>): number {
    const known = this.#indexes.get(id);
    if (known !== undefined) return known;
    const index = this.#freeIndex() ?? this.#recycle(inUse);
    this.#zero(index);
    const value = new Uint8Array(HuskRuleName.size);
    encodeHuskRuleName(new DataView(value.buffer), 0, { id });
    this.#addon.update(this.#names, key(index), value);
    this.#remember(index, id);
    return index;
  }

  /** The rule of an index; null where no rule has had it. */
  idOf(index: number): string | null {
    return this.#ids.get(index) ?? null;
  }

  /** All rules that have a counter, in order of index. */
  async read(): Promise<RuleCounter[]> {
    const all = await this.#addon.readAll(this.#counters);
    const perKey = all.count === 0 ? 0 : all.values.length / all.count;
    const keys = new DataView(all.keys.buffer, all.keys.byteOffset, all.keys.byteLength);
    const rows: RuleCounter[] = [];
    for (let i = 0; i < all.count; i++) {
      const index = keys.getUint32(i * 4, true);
      const id = this.#ids.get(index);
      if (id !== undefined)
        rows.push({ id, index, ...sum(all.values.subarray(i * perKey, (i + 1) * perKey)) });
    }
    return rows.sort((a, b) => a.index - b.index);
  }

  #remember(index: number, id: string): void {
    this.#indexes.set(id, index);
    this.#ids.set(index, id);
  }

  #freeIndex(): number | null {
    if (this.#ids.size >= this.#countersMax) return null;
    // Nearly always those given out are without a hole, so that the next is their number.
    for (let index = this.#ids.size; index < this.#countersMax; index++)
      if (!this.#ids.has(index)) return index;
    for (let index = 0; index < this.#ids.size; index++) if (!this.#ids.has(index)) return index;
    return null;
  }

  #recycle(inUse: ReadonlySet<number>): number {
    for (const [id, index] of this.#indexes) {
      if (inUse.has(index)) continue;
      this.#onRecycled({
        id,
        index,
        ...sum(this.#addon.lookup(this.#counters, key(index)) ?? new Uint8Array()),
      });
      this.#indexes.delete(id);
      this.#ids.delete(index);
      return index;
    }
    throw new RefusalError(
      'policy.over-limit',
      `all ${this.#countersMax} rule counters of this device are in use (limits.counters of its configuration)`,
    );
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
