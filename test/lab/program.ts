// A program that runs in the background of a lab: started in a cgroup and a network namespace, its output in
// a file, ended on close.
//
// It is a session of its own, so that Ctrl-C reaches the lab alone and the lab takes it down in order.

import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, openSync, readFileSync } from 'node:fs';
import { waitFor } from './wait-for.ts';

export interface Ended {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

export interface ProgramOptions {
  readonly argv: readonly string[];
  /** cgroup v2 directory it is put into before it runs. */
  readonly cgroup: string;
  /** Path of a network namespace; the lab's own where it is absent. */
  readonly netns?: string;
  /** What it writes, both streams. Appended to. */
  readonly log: string;
  readonly env?: Readonly<Record<string, string>>;
}

export class Program {
  readonly pid: number;
  readonly log: string;
  readonly ended: Promise<Ended>;
  readonly #child: ChildProcess;
  readonly #from: number;
  #end: Ended | null = null;

  constructor({ argv, cgroup, netns, log, env }: ProgramOptions) {
    this.log = log;
    const out = openSync(log, 'a', 0o600);
    this.#from = readFileSync(log).length;
    const enter = netns === undefined ? [] : ['nsenter', `--net=${netns}`, '--'];
    const script = 'echo 0 >"$1/cgroup.procs" || exit 126; shift; exec "$@"';
    this.#child = spawn('/bin/sh', ['-c', script, 'sh', cgroup, ...enter, ...argv], {
      stdio: ['ignore', out, out],
      detached: true,
      env: { ...process.env, ...env },
    });
    closeSync(out);
    this.ended = new Promise((resolve) => {
      const end = (ended: Ended): void => {
        this.#end = ended;
        resolve(ended);
      };
      this.#child.once('exit', (code, signal) => end({ code, signal }));
      this.#child.once('error', () => end({ code: 127, signal: null }));
    });
    // -1 is kill(2)'s "everyone": never let an unset pid become one.
    this.pid = this.#child.pid ?? 0;
    if (this.pid === 0) throw new Error(`could not start ${argv[0]}`);
  }

  get running(): boolean {
    return this.#end === null;
  }

  /** What it has written since it was started. */
  output(): string {
    return readFileSync(this.log).subarray(this.#from).toString('utf8');
  }

  /** The first line that it writes, or has written, that matches. */
  async line(pattern: RegExp, withinMs: number): Promise<string> {
    return await waitFor(
      () => {
        const found = this.output()
          .split('\n')
          .find((line) => pattern.test(line));
        if (found === undefined && !this.running) throw new Error(`it ended: ${this.#why()}`);
        return found;
      },
      { what: `${pattern} in ${this.log}`, withinMs },
    );
  }

  kill(signal: NodeJS.Signals): void {
    if (this.running) process.kill(this.pid, signal);
  }

  /** Asks it to end, then makes it. */
  async stop(signal: NodeJS.Signals = 'SIGTERM', withinMs = 5000): Promise<Ended> {
    if (this.running) {
      this.kill(signal);
      // A stopped process takes no other signal until it goes on.
      this.kill('SIGCONT');
      const late = setTimeout(() => this.kill('SIGKILL'), withinMs);
      await this.ended;
      clearTimeout(late);
    }
    return await this.ended;
  }

  #why(): string {
    const tail = this.output().trimEnd().split('\n').slice(-5).join(' | ');
    return `code ${this.#end?.code}, signal ${this.#end?.signal}, ${tail}`;
  }
}
