// The floor: interfaces of zones with `uncovered: drop` pass nothing until programs of ours judge what they carry.
//
//   <bpffs>/husk/floor/<digest of the object>/
//     covered, patterns, stopped    maps, by which the programs go
//     in4, in6, out4, out6          netfilter links; pinned last, so that what is whole has all of them
//
// They hold without the agent and are adopted by the next one. Another object has another folder: it is made whole
// before the old one goes. Where the kernel has no netfilter programs (before 6.4) or no BTF, nft keeps the floor;
// without nft nobody does, and it is said.

import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, rmdirSync, unlinkSync } from 'node:fs';
import { join } from 'node:path';
import {
  encodeHuskFloor,
  HUSK_FLOOR_COVERED_IN,
  HUSK_FLOOR_COVERED_OUT,
  HUSK_FLOOR_PATTERNS_MAX,
  HuskFloor,
} from '../../bpf/abi/layout.gen.ts';
import type { Addon, LinkHandle, MapHandle } from '../../native/index.ts';
import { messageOf } from '../contract/thrown.ts';
import { encodeFloorPattern, floorPatterns } from '../policy/floor-patterns.ts';
import { floorTable, isFloorTableThere, type Nft, removeFloorTableBy } from './floor-table.ts';

export interface FloorWanted {
  /** Globs of zones with `uncovered: drop`. */
  readonly globs: readonly string[];
  /** Interfaces that pass, as far as what passes is judged. */
  readonly covered: readonly CoveredInterface[];
}

export interface CoveredInterface {
  readonly name: string;
  readonly index: number;
  readonly ingress: boolean;
  readonly egress: boolean;
}

export interface FloorState {
  /** none: no zone asks for it, or it cannot be kept, and `why` says so. */
  readonly by: 'netfilter' | 'nft' | 'none';
  /** What of it is not kept, and why; '' where all of it is. */
  readonly why: string;
  /** Packets stopped since it was laid, in and out; null where it is not counted. */
  readonly stopped: { readonly in: number; readonly out: number } | null;
}

export interface FloorParts {
  readonly addon: Addon;
  readonly bpffs: string;
  /** bpf/floor.bpf.o; null: without netfilter programs. */
  readonly object: Uint8Array | null;
  /** null: there is none. */
  readonly nft: Nft | null;
}

/** `enum nf_inet_hooks`, and a priority before defragmentation and connection tracking (netfilter_ipv4.h). */
const places = {
  in4: { program: 'husk_floor_in', family: 4, hook: 0 },
  in6: { program: 'husk_floor_in', family: 6, hook: 0 },
  out4: { program: 'husk_floor_out', family: 4, hook: 4 },
  out6: { program: 'husk_floor_out', family: 6, hook: 4 },
} as const;
type PlaceName = keyof typeof places;
const placeNames = Object.keys(places) as PlaceName[];
const priority = -449;
/** Two programs of one priority are EBUSY: an older object's links may still be there. */
const prioritiesTried = 8;
const mapNames = { covered: 'floor_covered', patterns: 'floor_patterns', stopped: 'floor_stopped' } as const;
type Maps = Readonly<Record<keyof typeof mapNames, MapHandle>>;

export class Floor {
  readonly #parts: FloorParts;
  readonly #directory: string;
  #maps: Maps | null = null;
  #table: string | null = null;
  /** Whether a table is there; null: not looked for yet. */
  #foundTable: boolean | null = null;
  #state: FloorState = { by: 'none', why: '', stopped: null };
  /** Why netfilter programs cannot be had here; '' until it was found out. */
  #noPrograms = '';

  constructor(parts: FloorParts) {
    this.#parts = parts;
    this.#directory = floorDirectory(parts.bpffs);
    if (parts.object === null) this.#noPrograms = 'no netfilter programs';
  }

  /** Whether one is laid, by this agent or by one before it. */
  get isLaid(): boolean {
    if (this.#maps !== null || this.#table !== null || folders(this.#directory).length > 0) return true;
    const { nft } = this.#parts;
    this.#foundTable ??= nft !== null && isFloorTableThere(nft);
    return this.#foundTable;
  }

  /** Makes the floor equal to what is wanted: whoever is covered passes before anything else is stopped. */
  async follow(wanted: FloorWanted): Promise<FloorState> {
    if (wanted.globs.length === 0) {
      this.remove();
      this.#state = { by: 'none', why: '', stopped: null };
      return this.#state;
    }
    const kept = (await this.#byPrograms(wanted)) ?? this.#byTable(wanted);
    this.#state = kept ?? { by: 'none', why: this.#unkept(), stopped: null };
    return this.#state;
  }

  state(): FloorState {
    return this.#maps === null ? this.#state : { ...this.#state, stopped: this.#stopped(this.#maps) };
  }

  /** Nothing is stopped any more. */
  remove(): void {
    this.close();
    removeFloor(this.#parts.bpffs);
    if (this.#parts.nft !== null && this.#foundTable !== false) removeFloorTableBy(this.#parts.nft);
    this.#foundTable = false;
    this.#table = null;
  }

  /** What is laid stays. */
  close(): void {
    for (const map of Object.values(this.#maps ?? {})) map.close();
    this.#maps = null;
  }

  async #byPrograms(wanted: FloorWanted): Promise<FloorState | null> {
    if (this.#noPrograms !== '') return null;
    const { globs, not } = floorPatterns(wanted.globs, 'netfilter');
    try {
      this.#maps ??= this.#adopt() ?? (await this.#lay(wanted, globs));
    } catch (error) {
      this.#noPrograms = messageOf(error);
      return null;
    }
    await this.#write(this.#maps, wanted.covered, globs);
    return { by: 'netfilter', why: inexpressible(not), stopped: this.#stopped(this.#maps) };
  }

  #byTable(wanted: FloorWanted): FloorState | null {
    const { nft } = this.#parts;
    if (nft === null) return null;
    const { globs, not } = floorPatterns(wanted.globs, 'nft');
    const table = floorTable(globs, wanted.covered);
    if (table !== this.#table) {
      const complaint = nft(table);
      if (complaint !== '') return { by: 'none', why: `${this.#unkept()}; nft: ${complaint}`, stopped: null };
      this.#table = table;
      this.#foundTable = true;
    }
    return { by: 'nft', why: inexpressible(not), stopped: null };
  }

  #unkept(): string {
    return `uncovered: drop cannot be kept: ${this.#noPrograms}${this.#parts.nft === null ? ', no nft' : ''}`;
  }

  /** What an earlier agent laid with this very object; null: nothing, or not all of it. */
  #adopt(): Maps | null {
    const folder = this.#folder();
    if (!placeNames.every((name) => existsSync(join(folder, name)))) return null;
    const maps = openMaps((name) => this.#parts.addon.openPinnedMap(join(folder, name)));
    removeOthers(this.#directory, folder);
    return maps;
  }

  async #lay(wanted: FloorWanted, globs: readonly string[]): Promise<Maps> {
    const { addon, object: bytes } = this.#parts;
    const folder = this.#folder();
    removeFolder(folder);
    const object = addon.openObject('floor', bytes ?? new Uint8Array());
    const made: LinkHandle[] = [];
    let maps: Maps | null = null;
    try {
      object.load();
      maps = openMaps((name) => object.map(mapNames[name]));
      await this.#write(maps, wanted.covered, globs);
      mkdirSync(folder, { recursive: true, mode: 0o700 });
      for (const [name, map] of Object.entries(maps)) addon.pin(map, join(folder, name));
      for (const name of placeNames) {
        const program = object.program(places[name].program);
        try {
          const link = attachAtSomePriority((at) =>
            addon.attachNetfilter(program, { ...places[name], priority: at }),
          );
          made.push(link);
          addon.pin(link, join(folder, name));
        } finally {
          program.close();
        }
      }
    } catch (error) {
      for (const map of Object.values(maps ?? {})) map.close();
      removeFolder(folder);
      throw error;
    } finally {
      for (const link of made) link.close();
      object.close();
    }
    removeOthers(this.#directory, folder);
    return maps;
  }

  async #write(maps: Maps, covered: readonly CoveredInterface[], globs: readonly string[]): Promise<void> {
    const { addon } = this.#parts;
    const wanted = new Map(covered.map((one) => [one.index, bitsOf(one)]));
    // Before what it is measured by.
    for (const [index, bits] of wanted) addon.update(maps.covered, word(index), word(bits));
    addon.update(maps.patterns, word(0), encodePatterns(globs));
    for (const index of await indexesIn(addon, maps.covered))
      if (!wanted.has(index)) addon.remove(maps.covered, word(index));
  }

  #stopped({ stopped }: Maps): FloorState['stopped'] {
    const sum = (counter: number) => {
      const value = this.#parts.addon.lookup(stopped, word(counter)) ?? new Uint8Array();
      const view = new DataView(value.buffer, value.byteOffset, value.byteLength);
      let total = 0;
      for (let at = 0; at + 8 <= value.length; at += 8) total += Number(view.getBigUint64(at, true));
      return total;
    };
    return { in: sum(0), out: sum(1) };
  }

  #folder(): string {
    const digest = createHash('sha256')
      .update(this.#parts.object ?? new Uint8Array())
      .digest('hex');
    return join(this.#directory, digest.slice(0, 16));
  }
}

/** Takes what netfilter programs keep out of the kernel. */
export function removeFloor(bpffs: string): void {
  const directory = floorDirectory(bpffs);
  removeOthers(directory, null);
  if (existsSync(directory)) rmdirSync(directory);
}

const floorDirectory = (bpffs: string) => join(bpffs, 'husk', 'floor');

const folders = (directory: string): readonly string[] =>
  existsSync(directory) ? readdirSync(directory).map((name) => join(directory, name)) : [];

function removeOthers(directory: string, keep: string | null): void {
  for (const folder of folders(directory)) if (folder !== keep) removeFolder(folder);
}

/** Links first: from then on nothing runs. */
function removeFolder(folder: string): void {
  if (!existsSync(folder)) return;
  const isLink = (name: string) => Object.hasOwn(places, name);
  const names = readdirSync(folder).toSorted((a, b) => Number(isLink(b)) - Number(isLink(a)));
  for (const name of names) unlinkSync(join(folder, name));
  rmdirSync(folder);
}

function openMaps(open: (name: keyof Maps) => MapHandle): Maps {
  const opened: MapHandle[] = [];
  const one = (name: keyof Maps): MapHandle => {
    const map = open(name);
    opened.push(map);
    return map;
  };
  try {
    return { covered: one('covered'), patterns: one('patterns'), stopped: one('stopped') };
  } catch (error) {
    for (const map of opened) map.close();
    throw error;
  }
}

function attachAtSomePriority(attach: (priority: number) => LinkHandle): LinkHandle {
  for (let at = priority; ; at++) {
    try {
      return attach(at);
    } catch (error) {
      if ((error as { code?: string }).code !== 'EBUSY' || at >= priority + prioritiesTried) throw error;
    }
  }
}

function encodePatterns(globs: readonly string[]): Uint8Array {
  const known = globs.map(encodeFloorPattern).filter((one) => one !== null);
  const nothing = { value: [0n, 0n], mask: [0n, 0n], least: 0 };
  const patterns = Array.from({ length: HUSK_FLOOR_PATTERNS_MAX }, (_, at) => known[at] ?? nothing);
  const value = new Uint8Array(HuskFloor.size);
  encodeHuskFloor(new DataView(value.buffer), 0, { count: known.length, patterns });
  return value;
}

async function indexesIn(addon: Addon, map: MapHandle): Promise<readonly number[]> {
  const { keys, count } = await addon.readAll(map);
  const view = new DataView(keys.buffer, keys.byteOffset, keys.byteLength);
  return Array.from({ length: count }, (_, at) => view.getUint32(at * 4, true));
}

const bitsOf = ({ ingress, egress }: CoveredInterface) =>
  (ingress ? HUSK_FLOOR_COVERED_IN : 0) | (egress ? HUSK_FLOOR_COVERED_OUT : 0);

const inexpressible = (globs: readonly string[]) =>
  globs.length === 0 ? '' : `uncovered: drop is not kept for ${globs.join(', ')}: only a * at the end can be`;

function word(number: number): Uint8Array {
  const bytes = new Uint8Array(4);
  new DataView(bytes.buffer).setUint32(0, number, true);
  return bytes;
}
