// What /proc knows of the process behind a call: its executable and its cgroup's path.
//
// The answer is about whoever has the number now. A process that started after the event is somebody else,
// and then nothing is said. A process may run another program between the event and the look; with the
// event told at once that is a race of microseconds, and `executable` is for people: no verdict hangs on it.

import { readdirSync, readFileSync, readlinkSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { remember } from './remember.ts';

/** Processes remembered, and for how long: an agent's attention to a burst, not a table of all that run. */
const processesMax = 256;
const processFreshMs = 1000;
/** Cgroup paths remembered, and folders looked at to find one whose processes are gone. */
const cgroupsMax = 256;
const cgroupFoldersMax = 4096;
/** At most one search in this time: an id that is nowhere must not make each event cost a walk. */
const searchPauseMs = 1000;
/** USER_HZ: what /proc counts start times in, on every architecture we build for. */
const ticksPerSecond = 100;
/** Characters of a path that travel; the rest is cut, with an ellipsis in its place. */
export const pathCharactersMax = 512;

export interface ProcessFacts {
  /** null: gone, replaced, or a kernel thread. */
  readonly executable: string | null;
  /** Below the cgroup2 mount; null as above. */
  readonly cgroup: string | null;
  /** Boot time at which it began; null as above. */
  readonly startMs: number | null;
  /** The process above it, which may be another than the one that started it; null as above. */
  readonly parent: { readonly pid: number; readonly name: string } | null;
}

/** A process above another, as it is now. */
export interface ParentProcess {
  readonly pid: number;
  readonly name: string;
  readonly executable: string | null;
}

interface Remembered extends ProcessFacts {
  readonly command: string;
  readonly startMs: number;
  readonly readMs: number;
}

const nothing: ProcessFacts = { executable: null, cgroup: null, startMs: null, parent: null };
/** Processes above one that are looked at. */
const parentsMax = 16;

export class Processes {
  readonly #proc: string;
  readonly #bootMs: () => number;
  readonly #known = new Map<number, Remembered>();
  readonly #cgroups = new Map<bigint, string>();
  readonly #cgroupMount: string | null;
  #searchedMs = Number.NEGATIVE_INFINITY;

  constructor(options: { readonly bootMs: () => number; readonly proc?: string }) {
    this.#proc = options.proc ?? '/proc';
    this.#bootMs = options.bootMs;
    this.#cgroupMount = findCgroupMount(this.#proc);
  }

  /** Of the process `tgid` as it was at `eventMs` of boot time; `command` is what it called itself then. */
  facts(tgid: number, command: string, eventMs: number): ProcessFacts {
    const known = this.#known.get(tgid);
    const nowMs = this.#bootMs();
    if (known?.command === command && nowMs - known.readMs < processFreshMs && !isLater(known, eventMs)) {
      return known;
    }
    const read = this.#read(tgid, command, nowMs);
    if (read === null || isLater(read, eventMs)) return nothing;
    remember(this.#known, tgid, read, processesMax);
    return read;
  }

  /** Processes above `pid`, nearest first, as they are now: one whose parent has ended was given to another. */
  parents(pid: number | undefined): readonly ParentProcess[] {
    const parents: ParentProcess[] = [];
    for (let at = pid ?? 0; at > 0 && parents.length < parentsMax; ) {
      const folder = join(this.#proc, String(at));
      const stat = readStat(folder);
      if (stat === null) break;
      parents.push({ pid: at, name: stat.name, executable: executableOf(folder) });
      at = stat.parent;
    }
    return parents;
  }

  /** The path of a cgroup by its id; `hint` is a path that is likely to be it. null: not found. */
  cgroupPath(id: bigint, hint: string | null): string | null {
    const known = this.#cgroups.get(id);
    if (known !== undefined) return known;
    if (this.#cgroupMount === null) return null;
    const found = this.#isCgroup(id, hint) ? hint : this.#search(id);
    if (found !== null) remember(this.#cgroups, id, found, cgroupsMax);
    return found;
  }

  #search(id: bigint): string | null {
    const nowMs = this.#bootMs();
    if (this.#cgroupMount === null || nowMs - this.#searchedMs < searchPauseMs) return null;
    this.#searchedMs = nowMs;
    return findFolder(this.#cgroupMount, id);
  }

  #isCgroup(id: bigint, path: string | null): boolean {
    if (path === null || this.#cgroupMount === null) return false;
    return inodeOf(join(this.#cgroupMount, path)) === id;
  }

  #read(tgid: number, command: string, readMs: number): Remembered | null {
    const folder = join(this.#proc, String(tgid));
    try {
      const stat = readStat(folder);
      if (stat === null) return null;
      const cgroup = /^0::(.*)$/m.exec(readFileSync(join(folder, 'cgroup'), 'utf8'))?.[1] ?? null;
      const above = readStat(join(this.#proc, String(stat.parent)));
      const parent = above === null ? null : { pid: stat.parent, name: above.name };
      return { command, startMs: stat.startMs, readMs, cgroup, executable: executableOf(folder), parent };
    } catch {
      // Gone between the event and now: nothing can be said of it.
      return null;
    }
  }
}

/** What /proc/PID/stat says. null: there is no such process. */
export function readStat(
  folder: string,
): { readonly name: string; readonly parent: number; readonly startMs: number } | null {
  let stat: string;
  try {
    stat = readFileSync(join(folder, 'stat'), 'utf8');
  } catch {
    // It has ended.
    return null;
  }
  // The name in parentheses may hold anything, parentheses too; behind it come state and parent, and field 22.
  const end = stat.lastIndexOf(')');
  const fields = stat.slice(end + 2).split(' ');
  const parent = Number(fields[1]);
  const startMs = (Number(fields[19]) * 1000) / ticksPerSecond;
  if (!Number.isFinite(startMs) || !Number.isInteger(parent)) return null;
  return { name: stat.slice(stat.indexOf('(') + 1, end), parent, startMs };
}

/** Cut to what may travel, never in the middle of a surrogate pair. */
export function shortPath(path: string): string {
  if (path.length <= pathCharactersMax) return path;
  return `${path.slice(0, pathCharactersMax).replace(/[\ud800-\udbff]$/, '')}…`;
}

/** Of a process by its folder in /proc; null: it has ended, or has none. */
export function executableOf(folder: string): string | null {
  try {
    return readlinkSync(join(folder, 'exe'));
  } catch {
    // A kernel thread, or a process that is ending, has none.
    return null;
  }
}

/** Start times are whole ticks, rounded down, so a process is never older than it says by more than one. */
function isLater(process: Remembered, eventMs: number): boolean {
  return process.startMs > eventMs;
}

function findCgroupMount(proc: string): string | null {
  try {
    for (const line of readFileSync(join(proc, 'self/mountinfo'), 'utf8').split('\n')) {
      const [mount, source] = line.split(' - ');
      if (source?.startsWith('cgroup2 ')) return unescapeMount(mount?.split(' ')[4] ?? '');
    }
  } catch {
    // Without a readable mountinfo there is nothing to look ids up in: paths are what /proc says.
  }
  return null;
}

/** Space, tab, newline and backslash are octal in mountinfo. */
function unescapeMount(path: string): string {
  return path.replace(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(Number.parseInt(octal, 8)));
}

/** On cgroup2 a folder's inode number is the cgroup's id. Breadth first, bounded. */
function findFolder(mount: string, id: bigint): string | null {
  const queue = [''];
  for (let looked = 0; queue.length > 0 && looked < cgroupFoldersMax; looked++) {
    const path = queue.shift() ?? '';
    if (inodeOf(join(mount, path)) === id) return path === '' ? '/' : path;
    try {
      for (const entry of readdirSync(join(mount, path), { withFileTypes: true })) {
        if (entry.isDirectory()) queue.push(`${path}/${entry.name}`);
      }
    } catch {
      // Removed while we looked.
    }
  }
  return null;
}

function inodeOf(path: string): bigint | null {
  try {
    return statSync(path, { bigint: true, throwIfNoEntry: false })?.ino ?? null;
  } catch {
    // Not a folder, or not for us to see: not the one we look for.
    return null;
  }
}
