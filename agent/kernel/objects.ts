// The set of programs and maps: loaded new, adopted from its pins, or renewed with newer programs.
//
//   <bpffs>/husk/v<ABI>/
//     maps/<name>        the maps all programs share; inner maps live in them
//     programs/<name>    hooks and their twins
//     links/<hook>       what attaches a hook; made and owned by attach.ts
//     about              digest of the object files; pinned last, so its absence marks a set half made
//
// Maps outlive programs: a newer agent with the same ABI loads its programs onto the maps it finds.

import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, rmdirSync, unlinkSync } from 'node:fs';
import { join } from 'node:path';
import { HUSK_ABI_VERSION, layoutDigest } from '../../bpf/abi/layout.gen.ts';
import type { Addon, BpfObject, MapHandle, ProgramHandle } from '../../native/index.ts';
import { removeGuards } from './guards.ts';
import { checkObjectLayout } from './object-layout.ts';
import { readAbout, repin, writeAbout } from './pins.ts';
import { removeSelfGuard } from './self-guard.ts';
import { packetMaps, sharedMaps, slotMaps } from './tables.ts';

/** Object files in the order they are loaded, and what each brings. */
export const objects = {
  xdp_ingress: ['husk_xdp_ingress', 'husk_xdp_ingress_twin'],
  tc_ingress: ['husk_tc_ingress', 'husk_tc_ingress_twin'],
  tc_egress: ['husk_tc_egress', 'husk_tc_egress_twin'],
  cgroup_connect: ['husk_connect4', 'husk_connect6', 'husk_sendmsg4', 'husk_sendmsg6'],
  cgroup_bind: ['husk_bind4', 'husk_bind6'],
  cgroup_socket: ['husk_sock_create'],
} as const;
export type ObjectName = keyof typeof objects;
export type ProgramName = (typeof objects)[ObjectName][number];

const objectNames = Object.keys(objects) as ObjectName[];
const mapNames: readonly string[] = [...sharedMaps, ...packetMaps, ...slotMaps];

/** Bytes of each object file, by name. */
export type ObjectFiles = Readonly<Record<ObjectName, Uint8Array>>;

export interface ProgramSet {
  readonly directory: string;
  readonly maps: ReadonlyMap<string, MapHandle>;
  readonly programs: ReadonlyMap<ProgramName, ProgramHandle>;
  /** made: all is new and every slot is empty. adopted: as found. renewed: maps as found, programs new. */
  readonly how: 'made' | 'adopted' | 'renewed';
}

export function setDirectory(bpffs: string): string {
  return join(bpffs, 'husk', `v${HUSK_ABI_VERSION}`);
}

/** Whether a complete set is pinned there. */
export function isPinned(bpffs: string): boolean {
  return existsSync(join(setDirectory(bpffs), 'about'));
}

/** Maps whose size is the device's to say; those of a set that is adopted stay as they are. */
export type MapSizes = Readonly<Partial<Record<string, number>>>;

export function openSet(addon: Addon, bpffs: string, files: ObjectFiles, sizes: MapSizes): ProgramSet {
  const directory = setDirectory(bpffs);
  const digest = digestFiles(files);
  if (!isPinned(bpffs)) {
    removePins(directory);
    return makeSet(addon, directory, files, digest, sizes);
  }
  const maps = adoptMaps(addon, directory);
  try {
    if (readAbout(addon, directory) === digest) {
      return { directory, maps, programs: adoptPrograms(addon, directory), how: 'adopted' };
    }
    return {
      directory,
      maps,
      programs: renewPrograms(addon, directory, files, maps, digest),
      how: 'renewed',
    };
  } catch (error) {
    closeAll(maps.values());
    throw error;
  }
}

/** Opens what is pinned for looking at it or for `return`; no object files are needed. */
export function openPinnedSet(addon: Addon, bpffs: string): ProgramSet {
  const directory = setDirectory(bpffs);
  const maps = adoptMaps(addon, directory);
  try {
    return { directory, maps, programs: adoptPrograms(addon, directory), how: 'adopted' };
  } catch (error) {
    closeAll(maps.values());
    throw error;
  }
}

/** Objects with a twin to judge packets by. */
export const packetObjects = [
  'xdp_ingress',
  'tc_ingress',
  'tc_egress',
] as const satisfies readonly ObjectName[];

/** The packet programs with maps of their own: nothing is pinned, all of it goes with its handles. */
export function loadPacketSet(
  addon: Addon,
  files: Pick<ObjectFiles, (typeof packetObjects)[number]>,
): Pick<ProgramSet, 'maps' | 'programs'> {
  const maps = new Map<string, MapHandle>();
  const programs = new Map<ProgramName, ProgramHandle>();
  try {
    loadPrograms(addon, files, maps, programs, { names: packetObjects });
    return { maps, programs };
  } catch (error) {
    closeAll([...maps.values(), ...programs.values()]);
    throw error;
  }
}

/** Takes the whole set out of the kernel: links first, so that nothing runs on maps half gone. */
export function removePins(directory: string): void {
  removeSelfGuard(directory);
  removeGuards(directory);
  for (const folder of ['links', 'programs', 'maps']) {
    const path = join(directory, folder);
    if (!existsSync(path)) continue;
    for (const name of readdirSync(path)) unlinkSync(join(path, name));
    rmdirSync(path);
  }
  for (const about of [join(directory, 'about'), join(directory, 'about_new')]) {
    if (existsSync(about)) unlinkSync(about);
  }
  if (existsSync(directory)) rmdirSync(directory);
}

function makeSet(
  addon: Addon,
  directory: string,
  files: ObjectFiles,
  digest: string,
  sizes: MapSizes,
): ProgramSet {
  for (const folder of ['maps', 'programs', 'links'])
    mkdirSync(join(directory, folder), { recursive: true, mode: 0o700 });
  const maps = new Map<string, MapHandle>();
  const programs = new Map<ProgramName, ProgramHandle>();
  try {
    loadPrograms(addon, files, maps, programs, { sizes });
    for (const [name, map] of maps) addon.pin(map, join(directory, 'maps', name));
    for (const [name, program] of programs) addon.pin(program, join(directory, 'programs', name));
    writeAbout(addon, directory, digest);
    return { directory, maps, programs, how: 'made' };
  } catch (error) {
    closeAll([...maps.values(), ...programs.values()]);
    removePins(directory);
    throw error;
  }
}

/** Loads every object; a map the set already has is used in place of the object's own. */
function loadPrograms<Name extends ObjectName = ObjectName>(
  addon: Addon,
  files: Readonly<Record<Name, Uint8Array>>,
  maps: Map<string, MapHandle>,
  programs: Map<ProgramName, ProgramHandle>,
  {
    names = objectNames as Name[],
    sizes = {},
  }: { readonly names?: readonly Name[]; readonly sizes?: MapSizes } = {},
): void {
  for (const name of names) {
    const object = addon.openObject(name, files[name]);
    try {
      checkObjectLayout(name, object.btf());
      const declared = object.mapNames().filter((map) => mapNames.includes(map));
      for (const map of declared) {
        const found = maps.get(map);
        const size = sizes[map];
        if (found !== undefined) {
          // Made for this device, and so perhaps of another size than the object declares.
          object.setMaxEntries(map, addon.mapInfo(found).maxEntries);
          object.reuseMap(map, found);
        } else if (size !== undefined) object.setMaxEntries(map, size);
      }
      object.load();
      takeMaps(object, declared, maps);
      for (const program of objects[name]) programs.set(program, object.program(program));
    } finally {
      object.close();
    }
  }
  const missing = mapNames.filter((name) => !maps.has(name));
  if (missing.length > 0) throw new Error(`no object declares ${missing.join(', ')}`);
}

function takeMaps(object: BpfObject, declared: readonly string[], maps: Map<string, MapHandle>): void {
  for (const name of declared) if (!maps.has(name)) maps.set(name, object.map(name));
}

function adoptMaps(addon: Addon, directory: string): Map<string, MapHandle> {
  const maps = new Map<string, MapHandle>();
  try {
    for (const name of mapNames) maps.set(name, addon.openPinnedMap(join(directory, 'maps', name)));
    return maps;
  } catch (error) {
    closeAll(maps.values());
    throw error;
  }
}

function adoptPrograms(addon: Addon, directory: string): Map<ProgramName, ProgramHandle> {
  const programs = new Map<ProgramName, ProgramHandle>();
  try {
    for (const name of objectNames.flatMap((object) => [...objects[object]])) {
      programs.set(name, addon.openPinnedProgram(join(directory, 'programs', name)));
    }
    return programs;
  } catch (error) {
    closeAll(programs.values());
    throw error;
  }
}

/** New programs on the old maps. attach.ts then updates the links to them, without a gap. */
function renewPrograms(
  addon: Addon,
  directory: string,
  files: ObjectFiles,
  maps: Map<string, MapHandle>,
  digest: string,
): Map<ProgramName, ProgramHandle> {
  const programs = new Map<ProgramName, ProgramHandle>();
  try {
    loadPrograms(addon, files, maps, programs);
    for (const [name, program] of programs) repin(addon, program, join(directory, 'programs', name));
    // Unpinned while the links still run the old programs: if we are ended here, the next start makes
    // the same step again, since `about` still tells the old digest.
    writeAbout(addon, directory, digest);
    return programs;
  } catch (error) {
    closeAll(programs.values());
    throw error;
  }
}

/** Of the object files and the layout this agent was built with. */
function digestFiles(files: ObjectFiles): string {
  const hash = createHash('sha256').update(layoutDigest);
  for (const name of objectNames) hash.update(name).update(createHash('sha256').update(files[name]).digest());
  return hash.digest('hex');
}

function closeAll(handles: Iterable<{ close(): void }>): void {
  for (const handle of handles) handle.close();
}
