// Commands for an emulated machine and what comes of them, over its second serial line, in the lines of guest/commands.sh.
//
// Whatever a guest says is taken as lines of text; who asked for more reads it as hostile.

import type { Machine } from './machine.ts';

/** The terminal of the guest holds so much that its shell has not read yet. */
const commandBytesMax = 2048;
const readyLine = 'husk-ready';

export interface CommandResult {
  readonly status: number;
  /** What it wrote, both streams. */
  readonly lines: readonly string[];
}

export class CommandLine {
  readonly #machine: Machine;
  #commands = 0;

  constructor(machine: Machine) {
    this.#machine = machine;
  }

  /** Until the guest takes commands, after a boot. */
  async ready(withinMs: number): Promise<void> {
    await this.#machine.line((line) => (line === readyLine ? true : undefined), withinMs, 'boot');
  }

  /** Runs a shell command in the guest. One at a time. Throws where it does not end in time. */
  async run(command: string, withinMs = 60_000): Promise<CommandResult> {
    const id = this.send(command);
    const lines: string[] = [];
    const status = await this.#machine.line(
      (line) => {
        if (line === readyLine) throw new Error('the guest booted anew by itself');
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

  /** Gives a command whose end nobody waits for, as that of a reboot. Returns its id. */
  send(command: string): string {
    if (/[\n\r]/.test(command) || Buffer.byteLength(command) > commandBytesMax)
      throw new Error(`a command is one line of at most ${commandBytesMax} bytes`);
    const id = String(++this.#commands);
    this.#machine.send(`${id} ${command}\n`);
    return id;
  }
}
