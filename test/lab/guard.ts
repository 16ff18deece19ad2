// Packet programs on the interfaces of a lab's namespace, by a process in it (guard-process.ts): policies are
// put in force and hooks attached by command, without an agent.

import { type ChildProcessByStdio, spawn } from 'node:child_process';
import { join } from 'node:path';
import { createInterface, type Interface } from 'node:readline';
import type { Readable, Writable } from 'node:stream';
import type { Lab } from './lab.ts';
import type { Counts, PacketHook } from './live-packets.ts';
import type { Namespace } from './namespace.ts';

export interface GuardHook {
  readonly interface: string;
  readonly at: PacketHook;
  /** XDP only; default native. */
  readonly mode?: 'native' | 'generic';
}
export type GuardCommand =
  | { readonly do: 'load'; readonly policy: unknown }
  | { readonly do: 'attach'; readonly hooks: readonly GuardHook[] }
  | { readonly do: 'totals' }
  | { readonly do: 'counts' }
  | { readonly do: 'run'; readonly at: PacketHook; readonly frames: readonly string[] };

export class Guard {
  readonly #child: ChildProcessByStdio<Writable, Readable, null>;
  readonly #lines: Interface;
  readonly #waiting: ((line: string) => void)[] = [];
  readonly #ended: Promise<void>;

  private constructor(namespace: Namespace) {
    const argv = [
      `--net=${namespace.path}`,
      '--',
      process.execPath,
      join(import.meta.dirname, 'guard-process.ts'),
    ];
    this.#child = spawn('nsenter', argv, { stdio: ['pipe', 'pipe', 'inherit'] });
    this.#lines = createInterface({ input: this.#child.stdout });
    this.#lines.on('line', (line) => this.#waiting.shift()?.(line));
    this.#ended = new Promise((resolve) => this.#child.once('exit', () => resolve()));
    this.#child.once('exit', () => {
      for (const one of this.#waiting.splice(0)) one('{"error":"the guard ended"}');
    });
  }

  /** Loads the programs in the namespace; they go with the lab. */
  static async open(lab: Lab, namespace: Namespace): Promise<Guard> {
    const guard = new Guard(namespace);
    lab.onClose(`guard of ${namespace.name}`, () => guard.#close());
    await guard.#line();
    return guard;
  }

  /** Puts a policy in force. */
  async load(policy: unknown): Promise<void> {
    await this.#ask({ do: 'load', policy });
  }

  /** In place of the hooks before. */
  async attach(hooks: readonly GuardHook[]): Promise<void> {
    await this.#ask({ do: 'attach', hooks });
  }

  /** By name of `HuskTotal`, over all CPUs. */
  async totals(): Promise<Readonly<Record<string, number>>> {
    return (await this.#ask({ do: 'totals' })) as Record<string, number>;
  }

  /** Of rules by id, and of connections by name of `HuskConnectionCount`, over all CPUs. */
  async counts(): Promise<Counts> {
    return (await this.#ask({ do: 'counts' })) as Counts;
  }

  /** Each frame through the live program under BPF_PROG_TEST_RUN, as if it came in or left by `lo`. */
  async run(
    at: PacketHook,
    frames: readonly Uint8Array[],
  ): Promise<readonly { verdict: number; frame: Buffer }[]> {
    const hex = frames.map((frame) => Buffer.from(frame).toString('hex'));
    const ran = (await this.#ask({ do: 'run', at, frames: hex })) as { verdict: number; frame: string }[];
    return ran.map(({ verdict, frame }) => ({ verdict, frame: Buffer.from(frame, 'hex') }));
  }

  async #ask(command: GuardCommand): Promise<unknown> {
    this.#child.stdin.write(`${JSON.stringify(command)}\n`);
    return this.#line();
  }

  async #line(): Promise<unknown> {
    const line = await new Promise<string>((resolve) => this.#waiting.push(resolve));
    const { ok, error } = JSON.parse(line);
    if (error !== undefined) throw new Error(error);
    return ok;
  }

  async #close(): Promise<void> {
    this.#child.stdin.end();
    const late = setTimeout(() => this.#child.kill('SIGKILL'), 3000);
    await this.#ended;
    clearTimeout(late);
  }
}
