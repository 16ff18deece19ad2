// Guards: the programs that deny operations in tiers A and B, or end what is run in C, and those that keep every task's lineage.
//
//   <set>/guards/maps/<name>        `tasks` and `path_key`
//   <set>/guards/programs/<name>
//   <set>/guards/links/<name>       links of LSM and tracing programs can't be updated: a newer agent attaches
//                                   its own beside the old ones and then lets those go, so that there is no gap
//   <set>/guards/about              digest of the object files and the tier; last, so its absence marks a half
//
// They judge by the same slots and the same live word as all programs; what they add to the set is pinned apart, since
// a kernel that has none of it has the rest.

import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, rmdirSync, unlinkSync } from 'node:fs';
import { join } from 'node:path';
import { decodeHuskPathKey, HuskPathKey, layoutDigest } from '../../bpf/abi/layout.gen.ts';
import type { Addon, MapHandle, ProgramHandle } from '../../native/index.ts';
import { checkObjectLayout } from './object-layout.ts';
import { readAbout, repin, writeAbout } from './pins.ts';

/**
 * A: LSM programs. B: programs on the functions that call the LSM hooks (fmod_ret). C: none of these; what is run is judged
 * at a tracepoint, and ended.
 */
export type GuardTier = 'A' | 'B' | 'C';

const refusing = ['lineage', 'guard_exec', 'guard_file', 'guard_privilege', 'guard_socket'] as const;
/** Object files by the name without tier, in the order in which they are loaded. */
export const guardObjects = {
  A: refusing,
  B: refusing,
  C: ['lineage', 'end_exec'],
} as const satisfies Record<GuardTier, readonly string[]>;
export type GuardObject = (typeof guardObjects)[GuardTier][number];
/** Those of one tier. */
export type GuardFiles = ReadonlyMap<GuardObject, Uint8Array>;

const ownMaps = ['tasks', 'path_key', 'canary_object', 'repeats', 'observed_budget'] as const;
/** Every hook there is, by object. */
export const guardHooks: Readonly<Record<Exclude<GuardObject, 'lineage' | 'end_exec'>, readonly string[]>> = {
  guard_exec: ['bprm_check_security', 'mmap_file', 'file_mprotect'],
  guard_file: [
    'file_open',
    'path_truncate',
    'inode_create',
    'inode_mkdir',
    'inode_mknod',
    'inode_symlink',
    'inode_link',
    'inode_unlink',
    'inode_rmdir',
    'inode_rename',
    'path_chmod',
    'path_chown',
    'sb_mount',
    'move_mount',
    'sb_umount',
  ],
  guard_privilege: [
    'task_fix_setuid',
    'task_fix_setgid',
    'task_fix_setgroups',
    'capable',
    'ptrace_access_check',
    'ptrace_traceme',
    'userns_create',
    'kernel_read_file',
    'kernel_load_data',
    'kernel_module_request',
    'bpf',
    'perf_event_open',
    'locked_down',
  ],
  guard_socket: ['socket_create', 'socket_bind', 'socket_listen', 'socket_connect', 'socket_sendmsg'],
};
const allHooks = Object.values(guardHooks).flat();
/** Read over by user space; attached to nothing. */
const finder = 'husk_find_tasks';
/** Of lineage.bpf.c: on tracepoints in all tiers. */
const tracers = ['husk_task_newtask', 'husk_process_exec'];
/** Of end_exec.bpf.c. */
const ender = 'husk_end_exec';
/** Passes over tasks that were there before; each finds at least one generation of children. */
const passesMax = 64;

/** Functions that call an LSM hook, where their name is not the hook's. */
const callers: Readonly<Record<string, string>> = {
  bprm_check_security: 'bprm_check',
  userns_create: 'create_user_ns',
};

/** The object file's name; lineage is the same in all tiers. */
export const guardFile = (name: GuardObject, tier: GuardTier) =>
  tier === 'B' && name !== 'lineage' ? `${name}_b` : name;

export interface GuardsOptions {
  readonly addon: Addon;
  /** The set's pin folder, and the maps all programs share. */
  readonly directory: string;
  readonly maps: ReadonlyMap<string, MapHandle>;
  readonly files: GuardFiles;
  readonly tier: GuardTier;
  readonly random: (bytes: number) => Uint8Array;
}

/** What is attached, and what this kernel lacks. */
export class Guards {
  readonly tier: GuardTier;
  readonly how: 'made' | 'adopted' | 'renewed';
  /** Hooks, as in `file_open`. */
  readonly hooks: readonly string[];
  /** Hooks that this kernel does not have. */
  readonly missing: readonly string[];
  readonly pathKey: HuskPathKey;
  /** What the canary's label names as its object. */
  readonly canaryObject: MapHandle;
  /** What is alike is counted here (bpf/include/tell.h). */
  readonly repeats: MapHandle;
  readonly #addon: Addon;
  readonly #folder: string;

  private constructor(addon: Addon, folder: string, found: Pick<Guards, 'tier' | 'how' | 'hooks'>) {
    this.#addon = addon;
    this.#folder = folder;
    this.tier = found.tier;
    this.how = found.how;
    this.hooks = found.hooks;
    this.missing = allHooks.filter((hook) => !found.hooks.includes(hook));
    this.pathKey = readPathKey(addon, folder);
    this.canaryObject = addon.openPinnedMap(join(folder, 'maps/canary_object'));
    this.repeats = addon.openPinnedMap(join(folder, 'maps/repeats'));
  }

  /** How often one of them was passed over, since it was at work on that CPU already. */
  recursionMisses(): bigint {
    let sum = 0n;
    for (const hook of this.hooks) {
      const program = this.#addon.openPinnedProgram(join(this.#folder, 'programs', `husk_${hook}`));
      sum += this.#addon.programInfo(program).recursionMisses;
      program.close();
    }
    return sum;
  }

  close(): void {
    this.canaryObject.close();
    this.repeats.close();
  }

  /** Attached when it returns. Throws KernelError; what was pinned before then stays as it was. */
  static open(options: GuardsOptions): Guards {
    const { addon, tier } = options;
    const folder = join(options.directory, 'guards');
    const digest = digestOf(options);
    const isThere = existsSync(join(folder, 'about'));
    if (isThere && readAbout(addon, folder) === digest) {
      const hooks = hooksOf(readdirSync(join(folder, 'links')));
      return new Guards(addon, folder, { tier, how: 'adopted', hooks });
    }
    if (!isThere) removeGuards(options.directory);
    for (const name of ['maps', 'programs', 'links'])
      mkdirSync(join(folder, name), { recursive: true, mode: 0o700 });
    const loaded = loadGuards(options, folder);
    try {
      attachGuards(addon, folder, loaded.programs);
      writeAbout(addon, folder, digest);
      const hooks = hooksOf([...loaded.programs.keys()]);
      return new Guards(addon, folder, { tier, how: isThere ? 'renewed' : 'made', hooks });
    } finally {
      for (const handle of [...loaded.programs.values(), ...loaded.maps.values()]) handle.close();
    }
  }
}

/** Links first: what denies goes before what it judges by. */
export function removeGuards(directory: string): void {
  const folder = join(directory, 'guards');
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

interface Loaded {
  readonly programs: ReadonlyMap<string, ProgramHandle>;
  readonly maps: ReadonlyMap<string, MapHandle>;
}

function loadGuards({ addon, files, maps: shared, tier, random }: GuardsOptions, folder: string): Loaded {
  const programs = new Map<string, ProgramHandle>();
  const maps = new Map<string, MapHandle>();
  for (const name of ownMaps) {
    const path = join(folder, 'maps', name);
    if (existsSync(path)) maps.set(name, addon.openPinnedMap(path));
  }
  try {
    for (const [name, file] of files) {
      const object = addon.openObject(name, file);
      try {
        checkObjectLayout(name, object.btf());
        const lacking = lackingHooks(addon, object.programNames(), tier);
        for (const program of lacking) object.setAutoload(program, false);
        for (const map of object.mapNames()) {
          const found = shared.get(map) ?? maps.get(map);
          if (found === undefined) continue;
          object.setMaxEntries(map, addon.mapInfo(found).maxEntries);
          object.reuseMap(map, found);
        }
        object.load();
        for (const map of ownMaps) {
          if (maps.has(map)) continue;
          const made = object.map(map);
          maps.set(map, made);
          if (map === 'path_key') addon.update(made, new Uint8Array(4), random(HuskPathKey.size));
          addon.pin(made, join(folder, 'maps', map));
        }
        for (const program of object.programNames())
          if (!lacking.includes(program)) programs.set(program, object.program(program));
      } finally {
        object.close();
      }
    }
    return { programs, maps };
  } catch (error) {
    for (const handle of [...programs.values(), ...maps.values()]) handle.close();
    throw error;
  }
}

/** Programs whose hook the kernel lacks. */
function lackingHooks(addon: Addon, programs: readonly string[], tier: GuardTier): string[] {
  const guards = programs.filter((name) => ![...tracers, finder, ender].includes(name));
  const functionOf = (program: string): string => {
    const hook = program.replace('husk_', '');
    return tier === 'A' ? `bpf_lsm_${hook}` : `security_${callers[hook] ?? hook}`;
  };
  const there = new Set(addon.kernelFunctions(guards.map(functionOf)));
  return guards.filter((name) => !there.has(functionOf(name)));
}

/**
 * Lineage before guards: a guard that finds no record of a task takes its lineage for unknown. But what judges by what a
 * task was comes before what notes what it is from then on: on a tracepoint programs run in the order in which they came.
 */
function attachGuards(addon: Addon, folder: string, programs: ReadonlyMap<string, ProgramHandle>): void {
  const order = [...programs.keys()].filter((name) => name !== finder);
  const first = [ender, ...tracers];
  for (const name of [...first, ...order.filter((name) => !first.includes(name))]) {
    const program = programs.get(name);
    if (program === undefined) continue;
    const link = addon.attachTracing(program);
    try {
      repin(addon, program, join(folder, 'programs', name));
      repin(addon, link, join(folder, 'links', name));
    } finally {
      link.close();
    }
    if (name === tracers.at(-1)) findTasks(addon, programs);
  }
}

/** Until a pass finds no task that has no lineage yet. */
function findTasks(addon: Addon, programs: ReadonlyMap<string, ProgramHandle>): void {
  const program = programs.get(finder);
  if (program === undefined) return;
  for (let pass = 0; pass < passesMax; pass++) addon.iterate(program);
}

const hooksOf = (programs: readonly string[]): string[] =>
  programs
    .filter((name) => !tracers.includes(name) && name !== finder)
    .map((name) => name.replace('husk_', ''));

function digestOf({ files, tier }: GuardsOptions): string {
  const hash = createHash('sha256').update(layoutDigest).update(tier);
  for (const [, file] of files) hash.update(createHash('sha256').update(file).digest());
  return hash.digest('hex');
}

function readPathKey(addon: Addon, folder: string): HuskPathKey {
  const map = addon.openPinnedMap(join(folder, 'maps/path_key'));
  try {
    const value = addon.lookup(map, new Uint8Array(4));
    if (value === null) throw new Error('the map `path_key` has no entry');
    return decodeHuskPathKey(new DataView(value.buffer, value.byteOffset, value.byteLength), 0);
  } finally {
    map.close();
  }
}
