// The packet programs of this machine's kernel, by way of `husk-agent judge`: only the agent may talk to a kernel.
//
// The agent is looked for where HUSK_AGENT says, then beside this program, then in PATH. It is a child of ours that
// takes lines and gives lines (agent/cli/judge.ts has their form), attaches nothing, and ends with its input.

import { type ChildProcessByStdio, spawn } from 'node:child_process';
import { accessSync, constants, realpathSync, statSync } from 'node:fs';
import { basename, delimiter, dirname, join } from 'node:path';
import { createInterface } from 'node:readline';
import type { Readable, Writable } from 'node:stream';
import type { PolicyDocument } from '../../agent/contract/policy.ts';
import type { PacketAt } from '../../agent/policy/evaluate.ts';
import type { Judgement } from '../../agent/policy/judgement.ts';
import { Failure, type Io } from './io.ts';

export interface AskedFrame {
  readonly at: Pick<PacketAt, 'direction' | 'interface' | 'frame' | 'link'>;
  /** Of its connection, as the evaluator found it. */
  readonly state: Judgement['state'];
}

/** A judgement, or why the kernel gave none. */
export type KernelAnswer = Judgement | { readonly error: string };

/** Of what it says on its standard error, kept for the reason of a failure. */
const complaintLengthMax = 8 * 1024;

export class KernelJudge {
  readonly #child: ChildProcessByStdio<Writable, Readable, Readable>;
  readonly #lines: AsyncIterator<string>;
  readonly #ended: Promise<string>;
  #complaint = '';

  private constructor(program: string) {
    this.#child = spawn(program, ['judge'], { stdio: ['pipe', 'pipe', 'pipe'] });
    this.#lines = createInterface({ input: this.#child.stdout })[Symbol.asyncIterator]();
    this.#child.stderr.setEncoding('utf8').on('data', (text: string) => {
      this.#complaint = (this.#complaint + text).slice(-complaintLengthMax);
    });
    // It ended before it had read all: what it said of it is the reason, and the broken pipe is not.
    this.#child.stdin.on('error', () => {});
    this.#ended = new Promise((resolve) => {
      this.#child.once('error', (error) => resolve(`${program}: ${error.message}`));
      this.#child.once('close', (code, signal) => resolve(`${program} ended (${signal ?? code})`));
    });
  }

  /** Resolves once the programs are loaded. `own`: addresses of the device. Throws Failure where there is no agent, or the kernel refuses. */
  static async start(
    io: Pick<Io, 'env'>,
    documents: readonly PolicyDocument[],
    own: readonly string[] = [],
  ): Promise<KernelJudge> {
    const judge = new KernelJudge(findAgent(io));
    try {
      judge.#write({ documents, own });
      await judge.#next();
      return judge;
    } catch (error) {
      await judge.close();
      throw error;
    }
  }

  /** One answer for each frame, in their order. Programs that are only tried follow no connections: `state` is given. */
  async judge(frames: readonly AskedFrame[]): Promise<readonly KernelAnswer[]> {
    for (const { at, state } of frames) {
      const { direction, interface: name, frame, link = 'ethernet' } = at;
      this.#write({ direction, interface: name, link, state, frame: Buffer.from(frame).toString('base64') });
    }
    const answers: KernelAnswer[] = [];
    while (answers.length < frames.length) answers.push((await this.#next()) as KernelAnswer);
    return answers;
  }

  async close(): Promise<void> {
    this.#child.stdin.end();
    await this.#ended;
  }

  #write(value: unknown): void {
    this.#child.stdin.write(`${JSON.stringify(value)}\n`);
  }

  async #next(): Promise<unknown> {
    const line = await this.#lines.next();
    if (line.done !== true) return JSON.parse(line.value);
    const how = await this.#ended;
    throw new Failure(`--kernel: ${this.#complaint.trimEnd() || how}`);
  }
}

function findAgent({ env }: Pick<Io, 'env'>): string {
  if (env.HUSK_AGENT !== undefined) {
    if (isExecutable(env.HUSK_AGENT)) return env.HUSK_AGENT;
    throw new Failure(`--kernel: HUSK_AGENT is ${env.HUSK_AGENT}, which is no program that can be started`);
  }
  // Run by node, this program is a script, and what lies beside node is not ours.
  const self = basename(process.execPath).startsWith('node') ? process.argv[1] : process.execPath;
  const beside = self === undefined ? [] : [dirname(realPath(self))];
  const folders = [...beside, ...(env.PATH ?? '').split(delimiter).filter((folder) => folder !== '')];
  const found = folders.map((folder) => join(folder, 'husk-agent')).find(isExecutable);
  if (found !== undefined) return found;
  throw new Failure(
    '--kernel: husk-agent is needed, and is neither beside husk nor in PATH; say where it is: HUSK_AGENT=/path/to/husk-agent husk policy …',
  );
}

/** Where a link leads: husk may be linked into a folder that is in PATH. */
function realPath(path: string): string {
  try {
    return realpathSync(path);
  } catch {
    // Moved while it runs: then it is looked for where it was.
    return path;
  }
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return statSync(path).isFile();
  } catch {
    // Not there, or not for us: the next place is looked at.
    return false;
  }
}
