// Policies are prepared in a process of their own, this same executable started once more for each:
//
//   agent ── stdin: PolicyRequest ──▶ husk-agent prepare ── stdout: Answer ──▶ agent
//
// So a large one neither keeps the agent from its link and its rings nor takes the agent along when the memory does not
// suffice; and what it took goes back to the system. Both ends are one program: the bytes between them are V8's own.

import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { setPriority } from 'node:os';
import { isSea } from 'node:sea';
import { deserialize, serialize } from 'node:v8';
import { type Refusal, RefusalError } from './contract/refusal.ts';
import type { Prepare } from './make-policy.ts';
import { mebibytes } from './policy/kernel-memory.ts';
import { type PolicyRequest, type PreparedPolicy, preparePolicy } from './prepare-policy.ts';

/** The command, which is for the agent alone and in no list. */
export const prepareCommand = 'prepare';

type Answer = { readonly prepared: PreparedPolicy } | { readonly refusal: Refusal };

/** The least part of a device's memory that preparing may take where its configuration says nothing. */
export const preparePart = 4;
export const prepareLeast = 64 * 1024 * 1024;
/** More than the tables and packets of the largest policy; of an answer that is longer, nothing is believed. */
const answerBytesMax = 512 * 1024 * 1024;
/** Of what it complains about. */
const complaintMax = 4096;
/** Packets, the link and the agent come first. */
const niceness = 5;

/** `heapBytes`: what its JavaScript may take. `script`: what node is started with outside of the executable. */
export function prepareElsewhere(heapBytes: number, script = process.argv[1] ?? ''): Prepare {
  const [program = '', ...argv] = commandLine(heapBytes, script);
  return async (request, { signal, meanwhile }) => {
    signal?.throwIfAborted();
    const abort = new AbortController();
    const stop = () => abort.abort();
    signal?.addEventListener('abort', stop);
    try {
      const child = spawn(program, argv, { stdio: 'pipe', signal: abort.signal, killSignal: 'SIGKILL' });
      return readAnswer(await ask(child, request, meanwhile));
    } catch (error) {
      signal?.throwIfAborted();
      if (!(error instanceof OutOfMemory)) throw error;
      throw new RefusalError(
        'policy.over-limit',
        `compiling it takes more memory than this device gives: ${mebibytes(heapBytes)} (limits.prepareBytesMax of its configuration)`,
      );
    } finally {
      signal?.removeEventListener('abort', stop);
      // Also where what was done meanwhile has failed.
      abort.abort();
    }
  };
}

async function ask(
  child: ChildProcessWithoutNullStreams,
  request: PolicyRequest,
  meanwhile: (() => void) | undefined,
): Promise<Buffer> {
  const ended = once(child, 'close') as Promise<[code: number | null, signal: NodeJS.Signals | null]>;
  // One that does not start, or is ended, is met where its end is waited for.
  ended.catch(() => {});
  const answer = collect(child.stdout, answerBytesMax);
  const complaint = beginningOf(child.stderr, complaintMax);
  for (const part of [answer, complaint]) part.catch(() => {});
  // It may end before it has read all: that is seen by how it ended.
  child.stdin.on('error', () => {});
  await new Promise<void>((resolve) => child.stdin.end(serialize(request), () => resolve()));
  meanwhile?.();
  const [code, killedBy] = await ended;
  if (code === 0) return await answer;
  if (killedBy === 'SIGABRT' || killedBy === 'SIGKILL' || code === abortCode) throw new OutOfMemory();
  throw new Error(`preparing the policy ended with ${code ?? killedBy}: ${await complaint}`);
}

class OutOfMemory extends Error {}

/** MiB of each half of V8's young generation, and the part of the heap that it is at most. */
const youngMax = 64;
const youngPart = 16;

/** As a shell tells of SIGABRT; V8 aborts where its heap is full. */
const abortCode = 134;

function commandLine(heapBytes: number, script: string): readonly string[] {
  const mebibytes = Math.ceil(heapBytes / 2 ** 20);
  // What is read lives until the end: a young generation that is too small copies it again and again.
  const young = Math.min(youngMax, Math.ceil(mebibytes / youngPart));
  const flags = [
    `--max-old-space-size=${mebibytes}`,
    `--min-semi-space-size=${young}`,
    `--max-semi-space-size=${young}`,
  ];
  if (isSea())
    return [process.execPath, `--node-options=${flags.join(' ')} --v8-pool-size=2`, prepareCommand];
  return [process.execPath, ...flags, script, prepareCommand];
}

/** All that comes, to its end; what is beyond `bytesMax` is an error. */
async function collect(from: AsyncIterable<Uint8Array>, bytesMax: number): Promise<Buffer> {
  const parts: Uint8Array[] = [];
  let length = 0;
  for await (const part of from) {
    length += part.length;
    if (length > bytesMax) throw new Error(`more than ${bytesMax} bytes came`);
    parts.push(part);
  }
  return Buffer.concat(parts);
}

/** What it says first; the rest is read and forgotten, so that it never waits for a reader. */
async function beginningOf(from: AsyncIterable<Uint8Array>, bytesMax: number): Promise<string> {
  let text = '';
  for await (const part of from) {
    if (text.length < bytesMax)
      text += Buffer.from(part)
        .toString()
        .slice(0, bytesMax - text.length);
  }
  return text.trim();
}

function readAnswer(bytes: Buffer): PreparedPolicy {
  const answer = deserialize(bytes) as Answer;
  if ('refusal' in answer) throw new RefusalError(answer.refusal.code, answer.refusal.detail);
  const { image, ...rest } = answer.prepared;
  // What is read is views on all that came, which would live as long as a table does.
  const tables = image.tables.map((table) => ({
    ...table,
    keys: table.keys.slice(),
    values: table.values.slice(),
  }));
  return { ...rest, image: { ...image, tables } };
}

/** The other end. Resolves with the exit status. */
export async function servePrepare(
  input: AsyncIterable<Uint8Array>,
  output: NodeJS.WritableStream,
): Promise<number> {
  yieldToOthers();
  const answer = serialize(answerTo(deserialize(await collect(input, answerBytesMax)) as PolicyRequest));
  await new Promise<void>((resolve, reject) => {
    output.once('error', reject);
    output.write(answer, () => resolve());
  });
  return 0;
}

function answerTo(request: PolicyRequest): Answer {
  try {
    return { prepared: preparePolicy(request) };
  } catch (error) {
    if (!(error instanceof RefusalError)) throw error;
    return { refusal: { code: error.code, detail: error.detail } };
  }
}

/** Where memory runs out, this process goes before any other. */
function yieldToOthers(): void {
  try {
    setPriority(niceness);
    writeFileSync('/proc/self/oom_score_adj', '1000');
  } catch {
    // A sandbox may forbid either: a policy is prepared all the same.
  }
}
