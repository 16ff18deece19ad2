// The emulator behind a guest: its arguments, its files, its process, the lines that come out of it.
//
// Always by QEMU's own translator (TCG): /dev/kvm may be there and of no use. Two serial lines: the kernel's console
// goes to a file, commands and what comes of them over the other. Nothing outlives us: the process is killed by the
// kernel when ours goes, however it goes, and folders of runs that were killed are swept by the next.

import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { qemu } from '../../firmware-integration/image/qemu.ts';
import { isLeftOver, runName } from '../lab/run-name.ts';
import { Undo } from '../lab/undo.ts';
import { type GuestFiles, writeInitramfs } from './initramfs.ts';
import { type GuestKernel, root } from './kernels.ts';

/** Starts QEMU so that it dies with us. */
export const dyingWithUs = ['/usr/bin/setpriv', '--pdeathsig', 'KILL', '--'] as const;
/** Holds node and its files twice while the kernel unpacks them. */
const memoryMib = 512;
const usualLifeMs = 420_000;
/** What a line of a guest may be long; more ends it. */
const lineBytesMax = 1 << 16;

const folder = join(root, 'build/device');

/** Arguments of QEMU that every guest has. `append` goes to the kernel's command line. */
export function machineArguments(kernel: GuestKernel, initramfs: string, append: string): string[] {
  const commandLine = `console=ttyS0 panic=-1 mitigations=off random.trust_cpu=on ${append}`.trim();
  return [
    ...['-M', 'q35', '-accel', 'tcg', '-m', String(memoryMib), '-smp', '1'],
    // A fifth level of page tables costs an emulated machine a lot.
    ...['-cpu', 'max,la57=off'],
    ...['-nodefaults', '-no-user-config', '-display', 'none', '-no-reboot'],
    ...['-kernel', kernel.vmlinuz, '-initrd', initramfs, '-append', commandLine],
  ];
}

/** Makes a folder of this run. */
function makeFolder(undo: Undo): string {
  mkdirSync(folder, { recursive: true });
  for (const name of readdirSync(folder).filter(isLeftOver))
    rmSync(join(folder, name), { recursive: true, force: true });
  const work = mkdtempSync(join(folder, `${runName}-`));
  undo.add(`folder ${work}`, () => rmSync(work, { recursive: true, force: true }));
  return work;
}

/** Makes a folder of this run with the initramfs in it. */
export function prepareFolder(kernel: GuestKernel, files: GuestFiles, undo: Undo): { initramfs: string } {
  const initramfs = join(makeFolder(undo), 'initramfs');
  writeInitramfs(initramfs, kernel, files);
  return { initramfs };
}

/** A guest of plain parts: a kernel, and an initramfs with these files. */
export function plainMachine(
  kernel: GuestKernel,
  files: GuestFiles,
  append: string,
  { qemu = [], ...others }: EmulatorOptions = {},
): Emulated {
  return {
    ...others,
    name: kernel.name,
    prepare: (work) => {
      const initramfs = join(work, 'initramfs');
      writeInitramfs(initramfs, kernel, files);
      return [...machineArguments(kernel, initramfs, append), ...qemu];
    },
  };
}

/** For guests that are not as all others. */
export interface EmulatorOptions extends Pick<Emulated, 'lifeMs'> {
  /** Further arguments of QEMU. */
  readonly qemu?: readonly string[];
}

export interface Emulated {
  /** In errors, and of the file that its console is kept in. */
  readonly name: string;
  /** QEMU's arguments but for serial lines; files of the machine go into the folder, which goes with it. */
  readonly prepare: (work: string) => readonly string[];
  /** What QEMU is started by, as in `nsenter --net=PATH --`. */
  readonly enter?: readonly string[];
  /** After which it is ended, whatever it does. */
  readonly lifeMs?: number;
}

/** The QEMU process with its files. Ends by itself, after seven minutes where nothing else is said. */
export class Machine {
  readonly #name: string;
  readonly #undo = new Undo();
  readonly #console: string;
  readonly #child: ChildProcess;
  readonly #late: NodeJS.Timeout;
  #listener: ((line: string | null) => void) | null = null;
  #waiting: string[] = [];
  #ended = false;
  #errors = '';

  constructor({ name, prepare, enter = [], lifeMs = usualLifeMs }: Emulated) {
    this.#name = name;
    const work = makeFolder(this.#undo);
    this.#console = join(work, 'console');
    const serial = ['-serial', `file:${this.#console}`, '-serial', 'stdio'];
    const [program, ...before] = dyingWithUs;
    this.#child = spawn(program, [...before, ...enter, qemu, ...prepare(work), ...serial], {
      stdio: ['pipe', 'pipe', 'pipe'],
      // Ctrl-C reaches the test alone, which then takes the guest down.
      detached: true,
    });
    this.#undo.add('the guest', () => this.#kill());
    this.#late = setTimeout(() => this.#child.kill('SIGKILL'), lifeMs);
    this.#listen();
  }

  #listen(): void {
    const { stdin, stdout, stderr } = this.#child;
    // A guest that is gone closes its end: the line that is waited for tells of it.
    stdin?.on('error', () => {});
    stderr?.on('data', (data: Buffer) => {
      this.#errors = (this.#errors + data.toString('utf8')).slice(-4096);
    });
    if (stdout === null) throw new Error('QEMU was started without a pipe');
    const tooLong = (data: Buffer): void => {
      pending = data.includes(10) ? data.length - data.lastIndexOf(10) : pending + data.length;
      if (pending > lineBytesMax) this.#child.kill('SIGKILL');
    };
    let pending = 0;
    stdout.on('data', tooLong);
    createInterface({ input: stdout }).on('line', (line) => this.#take(line.trimEnd()));
    const end = (): void => {
      this.#ended = true;
      this.#listener?.(null);
    };
    this.#child.once('close', end);
    this.#child.once('error', end);
  }

  #take(line: string): void {
    if (this.#listener === null) this.#waiting.push(line);
    else this.#listener(line);
  }

  send(text: string): void {
    this.#child.stdin?.write(text);
  }

  /** Hands lines to `read` until it gives something back, or throws. */
  line<T>(read: (line: string) => T | undefined, withinMs: number, what: string): Promise<T> {
    if (this.#listener !== null) throw new Error('a guest does one thing at a time');
    return new Promise((resolve, reject) => {
      const finish = (act: () => void): void => {
        clearTimeout(late);
        this.#listener = null;
        act();
      };
      const fail = (why: string): void =>
        finish(() => reject(new Error(`guest ${this.#name}, ${what}: ${why}`)));
      const late = setTimeout(() => fail(`nothing within ${withinMs} ms${this.#said()}`), withinMs);
      this.#listener = (line) => {
        if (line === null) return fail(`the guest ended${this.#said()}`);
        try {
          const value = read(line);
          if (value !== undefined) finish(() => resolve(value));
        } catch (error) {
          finish(() => reject(error));
        }
      };
      for (const line of this.#waiting.splice(0)) this.#listener?.(line);
      if (this.#ended) this.#listener?.(null);
    });
  }

  #said(): string {
    const console = existsSync(this.#console) ? readFileSync(this.#console, 'utf8') : '';
    const last = console.trimEnd().split('\n').slice(-3).join(' | ');
    return `; ${this.#errors.trim()} console: ${last}`;
  }

  async #kill(): Promise<void> {
    clearTimeout(this.#late);
    if (this.#ended) return;
    const gone = new Promise((resolve) => this.#child.once('close', resolve));
    this.#child.kill('SIGKILL');
    await gone;
  }

  async close({ keepConsole }: { readonly keepConsole: boolean }): Promise<string | null> {
    const kept = join(folder, `${this.#name}.console`);
    const keeps = keepConsole && !this.#undo.closing && existsSync(this.#console);
    // One of an earlier failure would be taken for this run's.
    if (keeps) renameSync(this.#console, kept);
    else rmSync(kept, { force: true });
    await this.#undo.close();
    return keeps ? kept : null;
  }
}
