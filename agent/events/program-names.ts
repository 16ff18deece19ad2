// Which path is behind a number of the kernel's, and which name.
//
// The kernel keeps programs as numbers (bpf/include/object_path.h), since a task has no room for paths. Who has the key
// can make the number of any path, and no path from a number: so paths are learnt, each where it is met (what runs
// now, what events tell of, programs where they are installed), and looked up. The table is bounded, and what is in it
// is for people: no verdict hangs on it. A number that nobody knows is told as one.

import { readdirSync } from 'node:fs';
import { basename, join } from 'node:path';
import { placeOf, readMounts, shownPath } from '../os/mounts.ts';
import { executableOf, readStat } from './processes.ts';
import { remember } from './remember.ts';

/** The kernel's numbers, made with the key that is in its maps. */
export interface ProgramNumbers {
  /** Of a file by its file system (major << 20 | minor) and its path within that. */
  placeNumber(place: { readonly device: number; readonly path: string }): bigint;
  /** Of the name by which a program is started. */
  nameNumber(name: string): bigint;
}

/** Paths and names that are kept; the oldest go. */
const pathsMax = 8192;
const namesMax = 8192;
const installedFolders = [
  ...['/bin', '/sbin', '/usr/bin', '/usr/sbin', '/usr/libexec'],
  ...['/usr/local/bin', '/usr/local/sbin', '/opt/bin', '/opt/sbin'],
];
/** Files that are looked at in one folder, and how many of them in one turn of the event loop. */
const filesMax = 2048;
const filesAtOnce = 16;
/** Processes above one that are looked at for a name. */
const parentsMax = 16;
/** What was mounted where is read again after this. */
const mountsFreshMs = 1000;

export class ProgramNames {
  readonly #numbers: ProgramNumbers;
  readonly #bootMs: () => number;
  readonly #paths = new Map<bigint, string>();
  readonly #names = new Map<bigint, string>();
  readonly #executables: () => readonly string[];
  #executablesLearnt: readonly string[] = [];
  #mounts: ReturnType<typeof readMounts> = [];
  #mountsReadMs = Number.NEGATIVE_INFINITY;

  constructor(options: {
    readonly numbers: ProgramNumbers;
    readonly bootMs: () => number;
    /** Paths that the policy in force names; the same array as long as it is the same policy. */
    readonly executables?: () => readonly string[];
  }) {
    this.#numbers = options.numbers;
    this.#executables = options.executables ?? (() => []);
    this.#bootMs = options.bootMs;
  }

  /** null: not known. */
  pathOf(number: bigint): string | null {
    return this.#paths.get(number) ?? null;
  }

  nameOf(number: bigint): string | null {
    return this.#names.get(number) ?? null;
  }

  /** A file where the kernel met it; returns a path that leads there now. */
  learnPlace(place: { readonly device: number; readonly path: string }): string {
    const path = shownPath(place, this.#mountsNow()) ?? place.path;
    remember(this.#paths, this.#numbers.placeNumber(place), path, pathsMax);
    this.learnName(basename(path));
    return path;
  }

  /** A path of this machine, links to it followed. */
  learnPath(path: string): void {
    const mounts = this.#mountsNow();
    const place = placeOf(path, mounts);
    this.learnName(basename(path));
    if (place === null) return;
    const shown = shownPath(place, mounts) ?? path;
    remember(this.#paths, this.#numbers.placeNumber(place), shown, pathsMax);
    this.learnName(basename(shown));
  }

  learnName(name: string): void {
    if (name !== '') remember(this.#names, this.#numbers.nameNumber(name), name, namesMax);
  }

  /** For a number that is not known yet: what the policy names, what a process and those above it run now. */
  learnAround(pid: number): void {
    const executables = this.#executables();
    if (executables !== this.#executablesLearnt) {
      this.#executablesLearnt = executables;
      for (const path of executables) this.learnPath(path);
    }
    for (let at = pid, looked = 0; at > 0 && looked < parentsMax; looked++) {
      this.#learnRunning(at);
      at = readStat(join('/proc', String(at)))?.parent ?? 0;
    }
  }

  /** What runs now and what is installed, a few files at a time. Ends early where the signal is aborted. */
  async learnMachine(signal: AbortSignal): Promise<void> {
    for (const pid of entriesOf('/proc').filter((name) => /^\d+$/.test(name))) {
      this.#learnRunning(Number(pid));
    }
    for (const folder of installedFolders) {
      const names = entriesOf(folder).slice(0, filesMax);
      for (let at = 0; at < names.length; at += filesAtOnce) {
        for (const name of names.slice(at, at + filesAtOnce)) this.learnPath(join(folder, name));
        await new Promise((resolve) => setImmediate(resolve));
        if (signal.aborted) return;
      }
    }
  }

  #learnRunning(pid: number): void {
    const path = executableOf(join('/proc', String(pid)));
    // Of a file that is gone no path leads to the number.
    if (path !== null && !path.endsWith(' (deleted)')) this.learnPath(path);
  }

  #mountsNow(): ReturnType<typeof readMounts> {
    const nowMs = this.#bootMs();
    if (nowMs - this.#mountsReadMs >= mountsFreshMs) {
      this.#mounts = mountsOrNone();
      this.#mountsReadMs = nowMs;
    }
    return this.#mounts;
  }
}

function entriesOf(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch {
    // Not every machine has every folder.
    return [];
  }
}

function mountsOrNone(): ReturnType<typeof readMounts> {
  try {
    return readMounts();
  } catch {
    // Without /proc a path is told as it is within its file system.
    return [];
  }
}
