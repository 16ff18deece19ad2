// What husk-launch goes by, and what it leaves behind (native/launch/).
//
//   <state>/launch/<program>.rules   written here, whenever a policy is in force for good
//   <run>/launched/<pid>             written by the launcher, once the program is held
//
// A service is held by what was written when it was started. So a file keeps the serial of the policy that its lines came with, and a record
// counts as long as its process lives and its serial is the file's: everything else is a service that has to be started again.

import { readFileSync, realpathSync } from 'node:fs';
import { join } from 'node:path';
import { messageOf } from './contract/thrown.ts';
import type { Files } from './os/files.ts';
import type { Log } from './os/log.ts';
import type { LaunchPlan } from './policy/launch-rules.ts';

/** LAUNCH_FILE_BYTES_MAX */
const fileBytesMax = 256 * 1024;
const recordBytesMax = 1024;
/** Records looked at; services of a device are few. */
const recordsMax = 1024;
/** NAME_MAX */
const nameMax = 255;
const recordPattern = /^husk-launched 1 (\d{1,19}) (\d{1,16}) ([\w%.-]{1,255})\n$/;

export interface LaunchFolders {
  /** The agent's own for what stays. */
  readonly state: string;
  /** And for what goes with a reboot. */
  readonly run: string;
}

export class LaunchFiles {
  readonly #files: Files;
  readonly #rules: string;
  readonly #records: string;
  readonly #log: Log;
  /** Of the plans that were written: what each file says. */
  #written = new Map<string, { readonly serial: number; readonly plan: LaunchPlan }>();
  #done: readonly LaunchPlan[] | null = null;

  constructor(files: Files, { state, run }: LaunchFolders, log: Log) {
    this.#files = files;
    this.#rules = join(state, 'launch');
    this.#records = join(run, 'launched');
    this.#log = log;
  }

  /** Makes the files what a policy that is in force for good wants them to be. A disk that refuses is said, and tried again with the next call. */
  settle(serial: number, plans: readonly LaunchPlan[]): void {
    if (this.#done === plans) return;
    try {
      this.#files.makeFolder(this.#rules);
      this.#files.makeFolder(this.#records);
      const written = new Map<string, { readonly serial: number; readonly plan: LaunchPlan }>();
      for (const plan of plans) {
        const name = rulesName(plan.executable);
        if (name !== null && !written.has(name))
          written.set(name, { serial: this.#write(name, serial, plan), plan });
      }
      for (const name of this.#files.list(this.#rules))
        if (!written.has(name)) this.#files.remove(join(this.#rules, name));
      this.#written = written;
      this.#done = plans;
    } catch (error) {
      this.#log.error({ error: messageOf(error) }, 'launcher: its rules could not be written');
    }
  }

  /** Returns the serial that the file says. */
  #write(name: string, serial: number, { lines }: LaunchPlan): number {
    const path = join(this.#rules, name);
    const text = (of: number) => ['husk-launch 1', `serial ${of}`, ...lines, 'end', ''].join('\n');
    const there = this.#files.readBounded(path, fileBytesMax);
    const before = there === null ? '' : Buffer.from(there).toString('utf8');
    const kept = Number(before.match(/^husk-launch 1\nserial (\d{1,15})\n/)?.[1] ?? -1);
    if (kept >= 0 && before === text(kept)) return kept;
    this.#files.writeAtomic(path, text(serial), 0o600);
    return serial;
  }

  /** How rules are held by it, by their ids, as in `held by husk-launch for pid 212`. Rules of services that are not are there with null. */
  held(): ReadonlyMap<string, string | null> {
    const running = this.#running();
    const found = new Map<string, string | null>();
    for (const [name, { plan }] of this.#written) {
      const pids = running.get(name) ?? [];
      for (const { id, passes } of plan.rules) {
        const before = found.get(id);
        // Of more programs than one: each has to be there.
        found.set(id, before === null || pids.length === 0 ? null : describe(pids, passes, before ?? ''));
      }
    }
    return found;
  }

  /** Pids of processes that are held by what the files say, by their names. Records of others are swept. */
  #running(): ReadonlyMap<string, number[]> {
    const running = new Map<string, number[]>();
    for (const entry of this.#files.list(this.#records).slice(0, recordsMax)) {
      const pid = /^[1-9]\d{0,9}$/.test(entry) ? Number(entry) : null;
      const bytes = pid === null ? null : this.#read(entry);
      if (pid === null || bytes === null) continue;
      const [, start, serial, name] = Buffer.from(bytes).toString('latin1').match(recordPattern) ?? [];
      // Not written yet, as long as its process is on its way.
      if (startTime(pid) === null || (start !== undefined && startTime(pid) !== start)) {
        this.#files.remove(join(this.#records, entry));
        continue;
      }
      if (name === undefined || Number(serial) !== this.#written.get(name)?.serial) continue;
      running.set(name, [...(running.get(name) ?? []), pid]);
    }
    return running;
  }

  #read(entry: string): Uint8Array | null {
    try {
      return this.#files.readBounded(join(this.#records, entry), recordBytesMax);
    } catch {
      // Longer than any of the launcher's: none of his.
      return null;
    }
  }
}

function describe(pids: readonly number[], passes: string, before: string): string {
  const held = `held by husk-launch since its start: pid ${pids.join(', ')}`;
  const text = passes === '' ? held : `${held}; what passes: ${passes}`;
  return before === '' ? text : `${before}; ${text}`;
}

/** As the launcher makes it; null: too long for a file. */
export function rulesName(executable: string): string | null {
  const bytes = Buffer.from(realOr(executable), 'utf8');
  const name = [...bytes]
    .map((byte) => {
      const letter = String.fromCharCode(byte);
      return /[A-Za-z0-9_-]/.test(letter) ? letter : `%${byte.toString(16).toUpperCase().padStart(2, '0')}`;
    })
    .join('');
  return name.length + '.rules'.length > nameMax ? null : `${name}.rules`;
}

function realOr(path: string): string {
  try {
    return realpathSync(path);
  } catch {
    // Not there yet: by the name that it will have.
    return path;
  }
}

/** Ticks after boot at which a process began, as in /proc/PID/stat; null: there is none. */
function startTime(pid: number): string | null {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
    // The second field is a name in brackets, with whatever in it.
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19] ?? null;
  } catch {
    return null;
  }
}
