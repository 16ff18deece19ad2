// The running agent's end of the control socket; and by holding it, the proof that it is the only one.
//
// Two agents on one set of pins would undo each other's work. A name in the abstract namespace is the lock:
// the kernel gives it to one process and takes it back when that process ends, however it ends. Only its
// holder touches the socket in the run folder, so a stale one can be removed without a race.

import { createHash } from 'node:crypto';
import { chmodSync, rmSync } from 'node:fs';
import { createServer, type Server, type Socket } from 'node:net';
import type * as z from 'zod';
import { RefusalError } from '../contract/refusal.ts';
import { messageOf } from '../contract/thrown.ts';
import type { Files } from '../os/files.ts';
import type { Log } from '../os/log.ts';
import {
  askLineBytesMax,
  askSchema,
  type ControlAsk,
  type ControlReply,
  controlPath,
  type PermitEnvelope,
  permitPath,
  permittedAskSchema,
  type Row,
} from './control.ts';

/** Gives rows until it returns. `gone` fires when the asker has left; `by` says which socket he came by. */
export type ControlHandler = (
  ask: ControlAsk,
  gone: AbortSignal,
  by: 'login' | { readonly permit: PermitEnvelope },
) => AsyncIterable<Row>;

/** Somebody who opens connections and says nothing must not use up our descriptors. */
const connectionsMax = 8;
const askWithinMs = 10_000;

/** A socket and who comes by it. */
interface Door {
  readonly by: 'login' | 'permit';
  readonly path: string;
  readonly server: Server;
}

/** Another agent holds the run folder. */
export class AlreadyRunning extends Error {
  override readonly name = 'AlreadyRunning';
}

export class ControlServer {
  readonly #lock: Server;
  readonly #doors: readonly Door[];
  readonly #log: Log;
  readonly #sockets = new Set<Socket>();
  #handler: ControlHandler | null = null;

  /** Throws AlreadyRunning. Questions are refused until `serve`. */
  static async open(files: Files, runDirectory: string, log: Log): Promise<ControlServer> {
    files.makeFolder(runDirectory);
    const name = createHash('sha256').update(runDirectory).digest('hex').slice(0, 32);
    const lock = createServer((socket) => socket.destroy());
    await listen(lock, `\0husk-agent-${name}`).catch((error: NodeJS.ErrnoException) => {
      if (error.code !== 'EADDRINUSE') throw error;
      throw new AlreadyRunning(`another agent uses ${runDirectory}`);
    });
    const paths = { login: controlPath(runDirectory), permit: permitPath(runDirectory) };
    const doors: Door[] = [];
    for (const [by, path] of Object.entries(paths) as [Door['by'], string][]) {
      rmSync(path, { force: true });
      const server = createServer();
      // The mask closes the moment between making the socket and setting its mode.
      const mask = process.umask(0o177);
      try {
        await listen(server, path);
      } finally {
        process.umask(mask);
      }
      chmodSync(path, 0o600);
      doors.push({ by, path, server });
    }
    return new ControlServer(lock, doors, log);
  }

  private constructor(lock: Server, doors: readonly Door[], log: Log) {
    this.#lock = lock;
    this.#doors = doors;
    this.#log = log;
    for (const { server, by } of doors) {
      server.maxConnections = connectionsMax;
      server.on('connection', (socket) => void this.#serve(socket, by));
    }
  }

  serve(handler: ControlHandler): void {
    this.#handler = handler;
  }

  async close(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    for (const { server, path } of this.#doors) {
      await new Promise<void>((resolve) => server.close(() => resolve()));
      rmSync(path, { force: true });
    }
    await new Promise<void>((resolve) => this.#lock.close(() => resolve()));
  }

  async #serve(socket: Socket, by: Door['by']): Promise<void> {
    this.#sockets.add(socket);
    const gone = new AbortController();
    socket.once('close', () => {
      this.#sockets.delete(socket);
      gone.abort();
    });
    // An asker who breaks off is no event.
    socket.on('error', () => {});
    try {
      const line = await firstLine(socket, gone.signal);
      if (line === null) return;
      for await (const row of this.#answer(line, gone.signal, by)) {
        if (!(await write(socket, { row }))) return;
      }
      await write(socket, { end: true });
    } catch (error) {
      await write(socket, toReply(error));
      if (!(error instanceof RefusalError))
        this.#log.warn({ error: messageOf(error) }, 'control: not answered');
    } finally {
      socket.end();
    }
  }

  #answer(line: string, gone: AbortSignal, by: Door['by']): AsyncIterable<Row> {
    if (this.#handler === null) throw new Error('the agent is starting, ask again in a moment');
    let value: unknown;
    try {
      value = JSON.parse(line);
    } catch {
      throw new RefusalError('query.malformed', 'not a line of JSON');
    }
    if (by === 'login') return this.#handler(readAs(askSchema, value), gone, by);
    const { permit, ask } = readAs(permittedAskSchema, value);
    return this.#handler(ask, gone, { permit });
  }
}

function readAs<T>(schema: z.ZodType<T>, value: unknown): T {
  const read = schema.safeParse(value);
  if (read.success) return read.data;
  throw new RefusalError('query.malformed', read.error.issues.map((one) => one.message).join('; '));
}

/** null: none came in time, or none that we take. What comes behind it is read and forgotten. */
function firstLine(socket: Socket, gone: AbortSignal): Promise<string | null> {
  return new Promise((resolve) => {
    let held: Buffer | null = Buffer.alloc(0);
    const settle = (line: string | null) => {
      held = null;
      clearTimeout(slow);
      resolve(line);
    };
    const slow = setTimeout(() => settle(null), askWithinMs);
    gone.addEventListener('abort', () => settle(null), { once: true });
    socket.on('data', (chunk: Buffer) => {
      if (held === null) return;
      held = Buffer.concat([held, chunk]);
      const end = held.indexOf('\n');
      if (end >= 0) settle(held.subarray(0, end).toString('utf8'));
      else if (held.length > askLineBytesMax) settle(null);
    });
  });
}

/** False: the asker has left. Waits where he reads slowly. */
function write(socket: Socket, reply: ControlReply): Promise<boolean> {
  if (socket.destroyed || !socket.writable) return Promise.resolve(false);
  return new Promise((resolve) => {
    socket.write(`${JSON.stringify(reply)}\n`, (error) => resolve(error == null));
  });
}

function toReply(error: unknown): ControlReply {
  if (error instanceof RefusalError) return { refusal: { code: error.code, detail: error.detail } };
  return { error: messageOf(error) };
}

function listen(server: Server, path: string): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(path, () => {
      server.off('error', reject);
      resolve();
    });
  });
}
