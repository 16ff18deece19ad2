// A generation: one table image in one slot.
//
// Filling a slot goes in an order that leaves no moment at which it could be taken for whole and is not:
//
//   1. a grace period passes: no program still runs that had read the live word when it named this slot
//   2. its generation entry is removed: from here the slot counts as empty
//   3. every table is a new map, filled, read back and compared, then frozen; or, where the other slot has a
//      table of the same digest, that very map
//   4. the maps are put into the slot's entries of the outer maps
//   5. the generation entry, with the digests, is put in last
//
// Maps are never refilled: a program that holds one from before must go on seeing what it was.

import {
  decodeHuskGeneration,
  encodeHuskGeneration,
  HuskGeneration,
  HuskTable,
} from '../../bpf/abi/layout.gen.ts';
import type { Addon, MapHandle } from '../../native/index.ts';
import { RefusalError } from '../contract/refusal.ts';
import { messageOf } from '../contract/thrown.ts';
import type { Table, TableImage } from '../policy/table-image.ts';
import { digestEntries, digestGeneration, digestTable } from './digest.ts';
import type { Slot } from './live-word.ts';
import { otherSlot } from './live-word.ts';
import { indexesOf, namingKinds } from './rule-indexes.ts';
import { readSetEntries, type SetEntry } from './set-entries.ts';
import {
  countingKinds,
  entryOf,
  followingKinds,
  innerMapName,
  mapType,
  type Outer,
  outerFor,
  outersOf,
  tableKinds,
} from './tables.ts';

/** What a slot says of itself. */
export interface GenerationRecord {
  /** 0: the built-in baseline. */
  readonly serial: number;
  readonly digest: string;
  readonly bundleDigest: string;
  /** By kind; raw. */
  readonly tableDigests: readonly Uint8Array[];
  /** Of all generations loaded since the maps were made; grows. Connections remember it. */
  readonly id: number;
  /** Seconds, by enum husk_connection_timeout. */
  readonly timeouts: readonly number[];
}

export interface GenerationSource {
  readonly serial: number;
  /** Hex, 64 digits; zeros for the baseline. */
  readonly bundleDigest: string;
  readonly image: TableImage;
}

export interface LoadedGeneration extends GenerationRecord {
  readonly slot: Slot;
  /** Kinds that were taken over from the other slot. */
  readonly shared: readonly number[];
}

/** The two slots and what is in them. */
export class Slots {
  readonly #addon: Addon;
  readonly #maps: ReadonlyMap<string, MapHandle>;
  readonly #nextId: () => number;

  /** `nextId`: a greater number at each call. */
  constructor(addon: Addon, maps: ReadonlyMap<string, MapHandle>, nextId: () => number) {
    this.#addon = addon;
    this.#maps = maps;
    this.#nextId = nextId;
  }

  /** null: the slot is empty or was being filled when its filler was ended. */
  record(slot: Slot): GenerationRecord | null {
    const inner = this.#inner(HuskTable.GENERATION, slot);
    if (inner === null) return null;
    try {
      const value = this.#addon.lookup(inner, arrayKey);
      if (value === null || value.length !== HuskGeneration.size) return null;
      const generation = decodeHuskGeneration(view(value), 0);
      return {
        serial: Number(generation.serial),
        digest: hex(generation.digest),
        bundleDigest: hex(generation.bundleDigest),
        tableDigests: generation.tableDigest,
        id: generation.id,
        timeouts: generation.connections.timeouts,
      };
    } finally {
      inner.close();
    }
  }

  /** Fills a slot that is not in force. Throws RefusalError kernel.load or kernel.readback. */
  async load(slot: Slot, source: GenerationSource): Promise<LoadedGeneration> {
    await this.#empty(slot);
    this.#removeOthers(slot, source.image.tables);
    const other = this.record(otherSlot(slot));
    const digests: Uint8Array[] = [];
    const shared: number[] = [];
    const made: MapHandle[] = [];
    const placements: Promise<void>[] = [];
    try {
      for (const table of source.image.tables) {
        const digest = digestTable(table);
        digests[table.kind] = digest;
        const known =
          other !== null &&
          !followingKinds.includes(table.kind) &&
          !countingKinds.includes(table.kind) &&
          same(other.tableDigests[table.kind], digest);
        if (known) shared.push(table.kind);
        const map = known
          ? this.#innerOrThrow(table.kind, otherSlot(slot))
          : await this.#makeTable(table, digest);
        made.push(map);
        const placement = this.#place(outerFor(table.kind, table.valueSize), slot, map);
        // One may fail while the next table is being made: it is looked at below, and must not end the process.
        placement.catch(() => {});
        placements.push(placement);
      }
      await Promise.all(placements);
      const record = await this.#placeRecord(slot, source, digests);
      return { ...record, slot, shared };
    } catch (error) {
      // None may land later, in what the next load puts here.
      await Promise.allSettled(placements);
      if (error instanceof RefusalError) throw error;
      throw new RefusalError('kernel.load', messageOf(error), { cause: error });
    } finally {
      for (const map of made) map.close();
    }
  }

  /** Whether the slot was filled with these very tables. */
  holds(slot: Slot, tables: readonly Table[]): boolean {
    const record = this.record(slot);
    return (
      record !== null && tables.every((table) => same(record.tableDigests[table.kind], digestTable(table)))
    );
  }

  /**
   * Gives what lies in a slot that is not in force a number of its own, before it comes into force again: connections
   * of the generation after it are then older than it, and judged again, not void. False: the slot is empty.
   */
  async renumber(slot: Slot): Promise<boolean> {
    const inner = this.#inner(HuskTable.GENERATION, slot);
    if (inner === null) return false;
    try {
      const value = this.#addon.lookup(inner, arrayKey);
      if (value === null || value.length !== HuskGeneration.size) return false;
      view(value).setUint32(HuskGeneration.offset.id, this.#nextId(), true);
      await this.#placeGeneration(slot, value);
      return true;
    } finally {
      inner.close();
    }
  }

  /** Makes a table that follows the device equal to `table`, one entry at a time. Returns how many changed. */
  async follow(slot: Slot, table: Table): Promise<number> {
    const inner = this.#innerOrThrow(table.kind, slot);
    try {
      const now = entriesOf(await this.#addon.readAll(inner), table);
      const wanted = entriesOf(table, table);
      let changed = 0;
      for (const [key, value] of wanted) {
        if (now.get(key) === value) continue;
        this.#addon.update(inner, Buffer.from(key, 'hex'), Buffer.from(value, 'hex'));
        changed++;
      }
      for (const key of now.keys()) {
        if (wanted.has(key)) continue;
        this.#addon.remove(inner, Buffer.from(key, 'hex'));
        changed++;
      }
      return changed;
    } finally {
      inner.close();
    }
  }

  /** Counter indexes that the tables of these slots name. */
  async ruleIndexes(slots: readonly Slot[] = [0, 1]): Promise<Set<number>> {
    const indexes = new Set<number>();
    for (const slot of slots) {
      for (const kind of namingKinds) {
        const inner = this.#inner(kind, slot);
        if (inner === null) continue;
        try {
          for (const index of indexesOf(kind, (await this.#addon.readAll(inner)).values)) indexes.add(index);
        } finally {
          inner.close();
        }
      }
    }
    return indexes;
  }

  /** Entries of sets that the slot keeps one by one. */
  async setEntries(slot: Slot): Promise<SetEntry[]> {
    const entries: SetEntry[] = [];
    for (const [family, kind] of [
      [4, HuskTable.ADDITIONS4],
      [6, HuskTable.ADDITIONS6],
    ] as const) {
      const inner = this.#inner(kind, slot);
      if (inner === null) continue;
      try {
        for (const entry of readSetEntries(family, await this.#addon.readAll(inner))) entries.push(entry);
      } finally {
        inner.close();
      }
    }
    return entries;
  }

  /** Kernel bytes of both slots' tables, each map counted once; for tries what they take, not what the kernel states. */
  kernelBytes(): number {
    const seen = new Map<number, number>();
    for (const slot of [0, 1] as const) {
      for (const kind of tableKinds) {
        const inner = this.#inner(kind, slot);
        if (inner === null) continue;
        const info = this.#addon.mapInfo(inner);
        seen.set(info.id, info.type === mapType.lpmTrie ? info.memlock * trieUnderstated : info.memlock);
        inner.close();
      }
    }
    return [...seen.values()].reduce((sum, bytes) => sum + bytes, 0);
  }

  async #empty(slot: Slot): Promise<void> {
    const outer = this.#outer(generationOuter);
    // Writing an entry of a map of maps waits for a grace period (kernel/bpf/syscall.c,
    // maybe_wait_bpf_programs). The entry of the other slot is written with what it already holds.
    const other = this.#inner(HuskTable.GENERATION, otherSlot(slot));
    if (other !== null) {
      try {
        await this.#addon.setInner(outer, entryOf(generationOuter, otherSlot(slot)), other);
      } finally {
        other.close();
      }
    }
    this.#addon.remove(outer, entryKey(entryOf(generationOuter, slot)));
  }

  /** Takes out what the next generation has not, or has in another size: it must not be left from the last. */
  #removeOthers(slot: Slot, tables: readonly Table[]): void {
    const wanted = new Set(tables.map((table) => outerFor(table.kind, table.valueSize)));
    for (const kind of tableKinds) {
      if (kind === HuskTable.GENERATION) continue;
      for (const outer of outersOf(kind)) {
        const entry = entryOf(outer, slot);
        // Each removal waits for a grace period, also where there is nothing to remove.
        if (wanted.has(outer) || this.#addon.innerId(this.#outer(outer), entry) === 0) continue;
        this.#addon.remove(this.#outer(outer), entryKey(entry));
      }
    }
  }

  async #makeTable(table: Table, digest: Uint8Array): Promise<MapHandle> {
    const map = this.#addon.createMap({
      name: innerMapName(table.kind),
      type: table.mapType,
      keySize: table.keySize,
      valueSize: table.valueSize,
      maxEntries: table.maxEntries,
      flags: table.mapFlags,
    });
    try {
      if (table.count > 0) await this.#addon.writeAll(map, table.keys, table.values);
      await this.#compare(map, table, digest);
      if (!followingKinds.includes(table.kind)) this.#addon.freeze(map);
      return map;
    } catch (error) {
      map.close();
      throw error;
    }
  }

  /** Reads a table back and holds its digest against what was meant to be written. */
  async #compare(map: MapHandle, table: Table, digest: Uint8Array): Promise<void> {
    const read = await this.#addon.readAll(map);
    const found = digestEntries(table, read.keys, read.values, read.count);
    if (!same(found, digest)) {
      throw new RefusalError(
        'kernel.readback',
        `${innerMapName(table.kind)}: wrote ${table.count} entries ${hex(digest).slice(0, 12)}, read ${read.count} entries ${hex(found).slice(0, 12)}`,
      );
    }
  }

  async #placeRecord(
    slot: Slot,
    source: GenerationSource,
    digests: readonly Uint8Array[],
  ): Promise<GenerationRecord> {
    const digest = digestGeneration(digests);
    const tableDigests = Array.from(
      { length: HuskTable.COUNT },
      (_, kind) => digests[kind] ?? new Uint8Array(32),
    );
    const value = new Uint8Array(HuskGeneration.size);
    const id = this.#nextId();
    encodeHuskGeneration(view(value), 0, {
      serial: BigInt(source.serial),
      digest,
      tableDigest: tableDigests,
      bundleDigest: Buffer.from(source.bundleDigest, 'hex'),
      ...source.image.settings,
      id,
    });
    await this.#placeGeneration(slot, value);
    return {
      serial: source.serial,
      digest: hex(digest),
      bundleDigest: source.bundleDigest,
      tableDigests,
      id,
      timeouts: source.image.settings.connections.timeouts,
    };
  }

  async #placeGeneration(slot: Slot, value: Uint8Array): Promise<void> {
    const map = this.#addon.createMap({
      name: innerMapName(HuskTable.GENERATION),
      type: mapType.array,
      keySize: 4,
      valueSize: HuskGeneration.size,
      maxEntries: 1,
      flags: 0,
    });
    try {
      this.#addon.update(map, arrayKey, value);
      this.#addon.freeze(map);
      await this.#place(generationOuter, slot, map);
    } finally {
      map.close();
    }
  }

  #place(outer: Outer, slot: Slot, map: MapHandle): Promise<void> {
    return this.#addon.setInner(this.#outer(outer), entryOf(outer, slot), map);
  }

  #outer({ map: name }: Outer): MapHandle {
    const map = this.#maps.get(name);
    if (map === undefined) throw new Error(`there is no outer map ${name}`);
    return map;
  }

  #inner(kind: number, slot: Slot): MapHandle | null {
    for (const outer of outersOf(kind)) {
      const id = this.#addon.innerId(this.#outer(outer), entryOf(outer, slot));
      if (id !== 0) return this.#addon.openMapById(id);
    }
    return null;
  }

  #innerOrThrow(kind: number, slot: Slot): MapHandle {
    const inner = this.#inner(kind, slot);
    if (inner === null) throw new Error(`slot ${slot} has no ${innerMapName(kind)}`);
    return inner;
  }
}

const generationOuter = outerFor(HuskTable.GENERATION, HuskGeneration.size);

const arrayKey = new Uint8Array(4);

/**
 * The kernel states about 35 bytes for an entry of a trie; by SUnreclaim of /proc/meminfo it takes 128 to 141,
 * with its inner nodes and the allocator's rounding.
 */
const trieUnderstated = 4;

function entryKey(entry: number): Uint8Array {
  return Uint8Array.of(entry, 0, 0, 0);
}

function view(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex');
}

function same(a: Uint8Array | undefined, b: Uint8Array): boolean {
  return a !== undefined && Buffer.compare(a, b) === 0;
}

/** Entries of a small table as hex key → hex value. */
function entriesOf(
  entries: { readonly keys: Uint8Array; readonly values: Uint8Array; readonly count: number },
  sizes: Pick<Table, 'keySize' | 'valueSize'>,
): Map<string, string> {
  const map = new Map<string, string>();
  for (let i = 0; i < entries.count; i++) {
    const key = entries.keys.subarray(i * sizes.keySize, (i + 1) * sizes.keySize);
    map.set(hex(key), hex(entries.values.subarray(i * sizes.valueSize, (i + 1) * sizes.valueSize)));
  }
  return map;
}
