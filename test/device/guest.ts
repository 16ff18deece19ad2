// An emulated machine: booted, given commands one at a time, powered off.
//
//   boot ──▶ ready ──▶ run, run, … ──▶ close
//
// Commands and what comes of them go over a serial line, in the lines of guest/init.sh. Whatever a guest says is taken as lines of text; who asked for more reads it as hostile.

import { existsSync } from 'node:fs';
import { type GuestFiles, guestToolsMissing } from './initramfs.ts';
import { findKernel, type GuestKernel, type KernelName } from './kernels.ts';
import { dyingWithUs, Machine, qemu } from './machine.ts';

/** A boot takes 4 s on an idle machine; others may be working on this one. */
const bootMsMax = 90_000;
/** The terminal of the guest holds so much that its shell has not read yet. */
const commandBytesMax = 2048;

export interface CommandResult {
  readonly status: number;
  /** What it wrote, both streams. */
  readonly lines: readonly string[];
}

/** Why no guest can be booted with this kernel here, or false. */
export function guestMissing(name: KernelName): string | false {
  if (process.arch !== 'x64') return 'needs an x86-64 machine, whose node the guest runs';
  for (const program of [qemu, dyingWithUs[0]])
    if (!existsSync(program)) return `needs ${program} (./build.sh deps)`;
  if (findKernel(name) === null) return `needs Debian's ${name} kernel (./build.sh deps fetches it)`;
  return guestToolsMissing();
}

export class Guest {
  readonly kernel: GuestKernel;
  /** Milliseconds from the start of QEMU until the guest took commands. */
  readonly bootMs: number;
  readonly #machine: Machine;
  #commands = 0;

  private constructor(kernel: GuestKernel, bootMs: number, machine: Machine) {
    this.kernel = kernel;
    this.bootMs = bootMs;
    this.#machine = machine;
  }

  /**
   * Boots a guest that has these files. Throws where it does not come up within a minute and a half; what its
   * kernel said is in `build/device/<kernel>.console` then. `append` goes to the kernel's command line.
   */
  static async boot(name: KernelName, files: GuestFiles, append = ''): Promise<Guest> {
    const kernel = findKernel(name);
    if (kernel === null) throw new Error(`no ${name} kernel in the cache`);
    const started = Date.now();
    const machine = new Machine(kernel, files, append);
    try {
      await machine.line((line) => (line === 'husk-ready' ? true : undefined), bootMsMax, 'boot');
      return new Guest(kernel, Date.now() - started, machine);
    } catch (error) {
      const kept = await machine.close({ keepConsole: true });
      throw new Error(`${error instanceof Error ? error.message : error}; all of it: ${kept}`, {
        cause: error,
      });
    }
  }

  /** Runs a shell command in the guest. One at a time. Throws where it does not end in time. */
  async run(command: string, withinMs = 60_000): Promise<CommandResult> {
    if (/[\n\r]/.test(command) || Buffer.byteLength(command) > commandBytesMax)
      throw new Error(`a command is one line of at most ${commandBytesMax} bytes`);
    const id = String(++this.#commands);
    const lines: string[] = [];
    this.#machine.send(`${id} ${command}\n`);
    const status = await this.#machine.line(
      (line) => {
        const [, kind, of, text] = line.match(/^husk-(out|end) (\d+) (.*)$/) ?? [];
        if (of !== id || text === undefined) return undefined;
        if (kind === 'out') lines.push(text);
        return kind === 'end' ? Number(text) : undefined;
      },
      withinMs,
      command,
    );
    return { status, lines };
  }

  /** Powers off; at once, whatever runs. `failed` keeps the console's log and tells its path. */
  async close({ failed = false } = {}): Promise<string | null> {
    return await this.#machine.close({ keepConsole: failed });
  }
}
