// An emulated machine: booted, given commands one at a time, powered off.
//
//   boot ──▶ ready ──▶ run, run, … ──▶ close
//
// Commands and what comes of them go over a serial line (command-line.ts).

import { existsSync } from 'node:fs';
import { qemu } from '../../firmware-integration/image/qemu.ts';
import { CommandLine, type CommandResult } from './command-line.ts';
import { type GuestFiles, guestToolsMissing } from './initramfs.ts';
import { findKernel, type GuestKernel, type KernelName } from './kernels.ts';
import { dyingWithUs, type EmulatorOptions, Machine, plainMachine } from './machine.ts';

/** A boot takes 4 s on an idle machine; others may be working on this one. */
const bootMsMax = 90_000;

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
  readonly #commands: CommandLine;

  private constructor(kernel: GuestKernel, bootMs: number, machine: Machine, commands: CommandLine) {
    this.kernel = kernel;
    this.bootMs = bootMs;
    this.#machine = machine;
    this.#commands = commands;
  }

  /**
   * Boots a guest that has these files. Throws where it does not come up within a minute and a half; what its
   * kernel said is in `build/device/<kernel>.console` then. `append` goes to the kernel's command line, `emulator` is
   * for guests that are slower.
   */
  static async boot(
    name: KernelName,
    files: GuestFiles,
    append = '',
    emulator: EmulatorOptions = {},
  ): Promise<Guest> {
    const kernel = findKernel(name);
    if (kernel === null) throw new Error(`no ${name} kernel in the cache`);
    const started = Date.now();
    const machine = new Machine(plainMachine(kernel, files, append, emulator));
    try {
      const commands = new CommandLine(machine);
      await commands.ready(bootMsMax);
      return new Guest(kernel, Date.now() - started, machine, commands);
    } catch (error) {
      const kept = await machine.close({ keepConsole: true });
      throw new Error(`${error instanceof Error ? error.message : error}; all of it: ${kept}`, {
        cause: error,
      });
    }
  }

  /** Runs a shell command in the guest. One at a time. Throws where it does not end in time. */
  async run(command: string, withinMs = 60_000): Promise<CommandResult> {
    return await this.#commands.run(command, withinMs);
  }

  /** Powers off; at once, whatever runs. `failed` keeps the console's log and tells its path. */
  async close({ failed = false } = {}): Promise<string | null> {
    return await this.#machine.close({ keepConsole: failed });
  }
}
