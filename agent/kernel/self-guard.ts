// Husk guards itself: its pins, maps, programs and links, its files, its process (bpf/guard_self.bpf.c).
//
//   <set>/self/maps/<name>        what is guarded, and by whom it may be touched
//   <set>/self/programs/<name>
//   <set>/self/links/<name>       as of other guards: a newer agent attaches its own before the old ones go
//   <set>/self/about              digest of the object file and the tier; last, so its absence marks a half
//
// On top of the guards, whose lineages it goes by. What the agent makes or opens while it runs is guarded by itself;
// links alone have to be told.

import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, rmdirSync, unlinkSync } from 'node:fs';
import { join } from 'node:path';
import {
  decodeHuskSelf,
  decodeHuskSelfObject,
  encodeHuskSelf,
  encodeHuskSelfObject,
  HUSK_SELF_ABOVE,
  HUSK_SELF_DEVICES_MAX,
  HUSK_SELF_FILE,
  HUSK_SELF_FOLDER,
  HUSK_SELF_INTERFACES_MAX,
  HUSK_SELF_PLACES_MAX,
  HUSK_SELF_PROGRAM,
  HUSK_SELF_SECRET,
  type HuskPathKey,
  type HuskSelf,
  HuskSelfKind,
  HuskSelfObject,
  HuskSelfOpen,
  layoutDigest,
} from '../../bpf/abi/layout.gen.ts';
import type { Addon, LinkHandle, MapHandle, ProgramHandle } from '../../native/index.ts';
import { type Place, placeNumber } from '../policy/path-number.ts';
import type { GuardTier } from './guards.ts';
import { checkObjectLayout } from './object-layout.ts';
import { readAbout, repin, writeAbout } from './pins.ts';

/** What holds for a place; several words of one place add up. */
export type GuardedAs = 'file' | 'folder' | 'above' | 'program' | 'secret';
export interface GuardedPlace extends Place {
  readonly as: GuardedAs;
}

/** What of this device is Husk's. */
export interface Belongings {
  readonly places: readonly GuardedPlace[];
  /** Device of the bpf file system. */
  readonly bpffs: number;
  /** The socket for commands; null: there is none. */
  readonly control: { readonly inode: bigint; readonly device: number } | null;
  /** The running agent's process and mount namespace. */
  readonly agent: { readonly process: number; readonly mountSpace: number };
}

/** Whom it lets through for a while. */
export type OpenTo = 'logins' | 'all';

export interface SelfGuardOptions {
  readonly addon: Addon;
  /** The set's pin folder, and the maps all programs share. */
  readonly directory: string;
  readonly maps: ReadonlyMap<string, MapHandle>;
  readonly file: Uint8Array;
  readonly tier: Exclude<GuardTier, 'C'>;
  readonly pathKey: HuskPathKey;
  readonly belongings: Belongings;
}

const ownMaps = ['self', 'self_places', 'self_objects', 'self_interfaces', 'self_scratch'] as const;
const flagOf: Readonly<Record<GuardedAs, number>> = {
  file: HUSK_SELF_FILE,
  folder: HUSK_SELF_FOLDER,
  above: HUSK_SELF_ABOVE,
  program: HUSK_SELF_PROGRAM,
  secret: HUSK_SELF_SECRET,
};
/** Functions that call an LSM hook, where their name is not the hook's. */
const callers: Readonly<Record<string, string>> = { bprm_check_security: 'bprm_check' };
/** On a function of the kernel in both tiers. */
const linkFunction = { program: 'husk_self_link_fd', function: 'bpf_link_new_fd' } as const;
/** `enum bpf_map_type`. */
const arrayOfMaps = 12;
const onlyEntry = new Uint8Array(4);
const word = (value: number) => new Uint8Array(Uint32Array.of(value).buffer);

export class SelfGuard {
  readonly how: 'made' | 'adopted' | 'renewed';
  /** Hooks that this kernel lacks, where programs were loaded. */
  readonly missing: readonly string[];
  readonly #options: SelfGuardOptions;
  readonly #maps: ReadonlyMap<string, MapHandle>;

  private constructor(
    options: SelfGuardOptions,
    maps: ReadonlyMap<string, MapHandle>,
    how: SelfGuard['how'],
    missing: readonly string[],
  ) {
    this.#options = options;
    this.#maps = maps;
    this.how = how;
    this.missing = missing;
  }

  /** Guarding when it returns. Throws KernelError; EPERM where it is guarded against us. */
  static async open(options: SelfGuardOptions): Promise<SelfGuard> {
    const { addon, directory } = options;
    const folder = selfFolder(directory);
    const digest = digestOf(options);
    const isThere = existsSync(join(folder, 'about'));
    const isAdopted = isThere && readAbout(addon, folder) === digest;
    if (!isThere) removeSelfGuard(directory);
    for (const name of ['maps', 'programs', 'links'])
      mkdirSync(join(folder, name), { recursive: true, mode: 0o700 });
    const maps = openOwnMaps(addon, folder);
    const programs = new Map<string, ProgramHandle>();
    try {
      const missing = isAdopted ? [] : loadObject(options, folder, maps, programs);
      const how = isAdopted ? 'adopted' : isThere ? 'renewed' : 'made';
      const guard = new SelfGuard(options, maps, how, missing);
      guard.#describe();
      if (!isAdopted) {
        attachAll(addon, folder, programs);
        writeAbout(addon, folder, digest);
      }
      guard.#guardTables();
      await guard.#forgetAllBut(guard.guardPins());
      return guard;
    } catch (error) {
      for (const handle of maps.values()) handle.close();
      // Half a guard is none; one that was there before holds on.
      if (!isThere) removeSelfGuard(directory);
      throw error;
    } finally {
      for (const handle of programs.values()) handle.close();
    }
  }

  /** After links were made. Returns what is pinned: what is not any more is forgotten by the next agent. */
  guardPins(): ReadonlySet<string> {
    const { addon, directory } = this.#options;
    const found = new Set<string>();
    // The whole tree: the floor's pins lie beside the set's.
    for (const pin of pinsBelow(join(directory, '..'))) {
      const object = openPin(addon, pin);
      if (object === null) continue;
      found.add(nameOf(object));
      if (object.kind === HuskSelfKind.LINK)
        addon.update(this.#map('self_objects'), keyOf(object), new Uint8Array(8));
    }
    return found;
  }

  /** Interfaces whose clsact holds our filters; what its owner does to others is nothing to us. */
  guardInterfaces(indexes: readonly number[]): void {
    const { addon } = this.#options;
    const map = this.#map('self_interfaces');
    const wanted = new Set(indexes.slice(0, HUSK_SELF_INTERFACES_MAX));
    for (const index of wanted) addon.update(map, word(index), word(1));
    for (const index of this.#interfaces) if (!wanted.has(index)) addon.remove(map, word(index));
    this.#interfaces = wanted;
    this.#change({ interfaces: wanted.size });
  }

  /** Lets these do what they want to what is Husk's until that second of boot time; 0: no longer. */
  openUntil(bootSeconds: number, to: OpenTo): void {
    this.#change(openFields(bootSeconds, to));
  }

  close(): void {
    for (const handle of this.#maps.values()) handle.close();
  }

  #interfaces: ReadonlySet<number> = new Set();

  /** Who we are and what is ours: before programs are attached that go by it, and anew by each agent. */
  #describe(): void {
    const { addon, belongings, pathKey } = this.#options;
    const flags = new Map<bigint, number>();
    for (const place of belongings.places) {
      const number = placeNumber(place, pathKey);
      flags.set(number, (flags.get(number) ?? 0) | flagOf[place.as]);
    }
    if (flags.size > HUSK_SELF_PLACES_MAX)
      throw new Error(`${flags.size} places to guard, at most ${HUSK_SELF_PLACES_MAX}`);
    const map = this.#map('self_places');
    for (const [number, bits] of flags)
      addon.update(map, new Uint8Array(BigUint64Array.of(number).buffer), word(bits));
    const devices = [...new Set(belongings.places.map(({ device }) => device))].slice(
      0,
      HUSK_SELF_DEVICES_MAX,
    );
    this.#change({
      controlInode: belongings.control?.inode ?? 0n,
      controlDevice: belongings.control?.device ?? 0,
      bpffs: belongings.bpffs,
      devicesLength: devices.length,
      devices: Array.from({ length: HUSK_SELF_DEVICES_MAX }, (_, at) => devices[at] ?? 0),
      agent: belongings.agent.process,
      // Whoever started a new agent is done with what the guard was opened for.
      ...openFields(0, 'logins'),
      mountSpace: belongings.agent.mountSpace,
    });
  }

  /** Tables of the generations that were there before us; those that come are the agent's as it makes them. */
  #guardTables(): void {
    const { addon, maps } = this.#options;
    for (const outer of maps.values()) {
      const { type, maxEntries } = addon.mapInfo(outer);
      if (type !== arrayOfMaps) continue;
      for (let index = 0; index < maxEntries; index++) {
        const id = addon.innerId(outer, index);
        if (id !== 0) addon.openMapById(id).close();
      }
    }
  }

  /** Links and programs that are pinned no more, and maps that are gone. */
  async #forgetAllBut(pinned: ReadonlySet<string>): Promise<void> {
    const { addon } = this.#options;
    const map = this.#map('self_objects');
    const { keys, count } = await addon.readAll(map);
    const view = new DataView(keys.buffer, keys.byteOffset, keys.byteLength);
    for (let at = 0; at < count; at++) {
      const object = decodeHuskSelfObject(view, at * HuskSelfObject.size);
      const isThere =
        pinned.has(nameOf(object)) || (object.kind === HuskSelfKind.MAP && isMap(addon, object.id));
      if (!isThere) addon.remove(map, keyOf(object));
    }
  }

  #change(fields: Partial<HuskSelf>): void {
    changeSelf(this.#options.addon, this.#map('self'), fields);
  }

  #map(name: (typeof ownMaps)[number]): MapHandle {
    const map = this.#maps.get(name);
    if (map === undefined) throw new Error(`self-protection has no map ${name}`);
    return map;
  }
}

/** Whether it is pinned there. */
export const isSelfGuarded = (directory: string): boolean => existsSync(join(selfFolder(directory), 'about'));

/** As `openUntil`, without a running agent. Throws KernelError EPERM where we are not believed. */
export function openSelfGuard(addon: Addon, directory: string, bootSeconds: number): void {
  const map = addon.openPinnedMap(join(selfFolder(directory), 'maps/self'));
  try {
    changeSelf(addon, map, openFields(bootSeconds, 'logins'));
  } finally {
    map.close();
  }
}

/** Links first; what is Husk's is anybody's afterwards. */
export function removeSelfGuard(directory: string): void {
  const folder = selfFolder(directory);
  for (const name of ['links', 'programs', 'maps']) {
    const path = join(folder, name);
    if (!existsSync(path)) continue;
    for (const pin of readdirSync(path)) unlinkSync(join(path, pin));
    rmdirSync(path);
  }
  for (const about of ['about', 'about_new'])
    if (existsSync(join(folder, about))) unlinkSync(join(folder, about));
  if (existsSync(folder)) rmdirSync(folder);
}

const selfFolder = (directory: string) => join(directory, 'self');

function openFields(bootSeconds: number, to: OpenTo): Pick<HuskSelf, 'openUntil' | 'openTo'> {
  const openTo = to === 'all' ? HuskSelfOpen.OPEN_ALL : HuskSelfOpen.OPEN_LOGINS;
  return { openUntil: bootSeconds, openTo: bootSeconds === 0 ? HuskSelfOpen.SHUT : openTo };
}

function changeSelf(addon: Addon, map: MapHandle, fields: Partial<HuskSelf>): void {
  const value = addon.lookup(map, onlyEntry);
  if (value === null) throw new Error('the map `self` has no entry');
  const view = new DataView(value.buffer, value.byteOffset, value.byteLength);
  encodeHuskSelf(view, 0, { ...decodeHuskSelf(view, 0), ...fields });
  addon.update(map, onlyEntry, value);
}

function openOwnMaps(addon: Addon, folder: string): Map<string, MapHandle> {
  const maps = new Map<string, MapHandle>();
  for (const name of ownMaps) {
    const path = join(folder, 'maps', name);
    if (existsSync(path)) maps.set(name, addon.openPinnedMap(path));
  }
  return maps;
}

/** Loads the programs onto the maps that are there; returns hooks that this kernel lacks. */
function loadObject(
  { addon, directory, maps: shared, file, tier }: SelfGuardOptions,
  folder: string,
  maps: Map<string, MapHandle>,
  programs: Map<string, ProgramHandle>,
): string[] {
  const object = addon.openObject('guard_self', file);
  const borrowed: MapHandle[] = [];
  try {
    checkObjectLayout('guard_self', object.btf());
    const lacking = lackingPrograms(addon, object.programNames(), tier);
    for (const program of lacking) object.setAutoload(program, false);
    for (const name of object.mapNames()) {
      const path = join(directory, 'guards/maps', name);
      let found = shared.get(name) ?? maps.get(name);
      if (found === undefined && existsSync(path)) {
        found = addon.openPinnedMap(path);
        borrowed.push(found);
      }
      if (found === undefined) continue;
      object.setMaxEntries(name, addon.mapInfo(found).maxEntries);
      object.reuseMap(name, found);
    }
    object.load();
    for (const name of ownMaps) {
      if (maps.has(name)) continue;
      const made = object.map(name);
      maps.set(name, made);
      addon.pin(made, join(folder, 'maps', name));
    }
    for (const program of object.programNames())
      if (!lacking.includes(program)) programs.set(program, object.program(program));
    return lacking.map(hookOf);
  } finally {
    for (const handle of borrowed) handle.close();
    object.close();
  }
}

const hookOf = (program: string) => program.replace('husk_self_', '');

function lackingPrograms(
  addon: Addon,
  programs: readonly string[],
  tier: SelfGuardOptions['tier'],
): string[] {
  const functionOf = (program: string): string => {
    if (program === linkFunction.program) return linkFunction.function;
    const hook = hookOf(program);
    return tier === 'A' ? `bpf_lsm_${hook}` : `security_${callers[hook] ?? hook}`;
  };
  const there = new Set(addon.kernelFunctions(programs.map(functionOf)));
  return programs.filter((name) => !there.has(functionOf(name)));
}

function attachAll(addon: Addon, folder: string, programs: ReadonlyMap<string, ProgramHandle>): void {
  for (const [name, program] of programs) {
    const link = addon.attachTracing(program);
    try {
      repin(addon, program, join(folder, 'programs', name));
      repin(addon, link, join(folder, 'links', name));
    } finally {
      link.close();
    }
  }
}

function pinsBelow(folder: string): string[] {
  return readdirSync(folder, { withFileTypes: true }).flatMap((entry) => {
    const path = join(folder, entry.name);
    return entry.isDirectory() ? pinsBelow(path) : [path];
  });
}

/** What is pinned there. By opening it, it becomes guarded, if it is no link. null: it went, or is of another kind. */
function openPin(addon: Addon, path: string): HuskSelfObject | null {
  const openers: readonly (() => {
    handle: MapHandle | ProgramHandle | LinkHandle;
    object: HuskSelfObject;
  })[] = [
    () => {
      const handle = addon.openPinnedMap(path);
      return { handle, object: { kind: HuskSelfKind.MAP, id: addon.mapInfo(handle).id } };
    },
    () => {
      const handle = addon.openPinnedProgram(path);
      const { id, mapIds } = addon.programInfo(handle);
      // Maps of its own are pinned nowhere.
      for (const map of mapIds) addon.openMapById(map).close();
      return { handle, object: { kind: HuskSelfKind.BPF_PROGRAM, id } };
    },
    () => {
      const handle = addon.openPinnedLink(path);
      return { handle, object: { kind: HuskSelfKind.LINK, id: addon.linkInfo(handle).id } };
    },
  ];
  for (const open of openers) {
    try {
      const { handle, object } = open();
      handle.close();
      return object;
    } catch {
      // Of another kind: the next opener will know.
    }
  }
  return null;
}

function isMap(addon: Addon, id: number): boolean {
  try {
    addon.openMapById(id).close();
    return true;
  } catch {
    return false;
  }
}

const nameOf = ({ kind, id }: HuskSelfObject) => `${kind} ${id}`;

function keyOf(object: HuskSelfObject): Uint8Array {
  const key = new Uint8Array(HuskSelfObject.size);
  encodeHuskSelfObject(new DataView(key.buffer), 0, object);
  return key;
}

function digestOf({ file, tier }: SelfGuardOptions): string {
  return createHash('sha256').update(layoutDigest).update(tier).update(file).digest('hex');
}
