// The control socket: how commands on the device speak to the running agent.
//
// A Unix socket in the run folder, mode 0600. One line of JSON asks, lines of JSON answer, the last with
// `end`, `refusal` or `error`. Whoever may open the socket is root on the device; still every line is bounded.
//
// Where Husk protects itself, the kernel lets nobody to this socket who comes from a shielded service. Beside it is one
// for those who have a permit of the fleet's, `permit.sock`: a line there is `{"permit": …, "ask": …}`.

import { connect, type Socket } from 'node:net';
import { join } from 'node:path';
import * as z from 'zod';
import { unprotectSecondsMax } from '../contract/permit.ts';
import { type View, views } from '../contract/query.ts';
import { type Refusal, type RefusalCode, refusals } from '../contract/refusal.ts';

export type ControlAsk =
  | {
      readonly ask: 'query';
      readonly view: View;
      readonly args?: Readonly<Record<string, unknown>> | undefined;
    }
  /** Back to the previous policy. */
  | { readonly ask: 'return' }
  /** Events as they come, until the asker leaves. */
  | { readonly ask: 'follow' }
  /** A bundle from a folder instead of from the controller. */
  | { readonly ask: 'apply'; readonly folder: string }
  /** Husk's protection is let go of for so many seconds; 0: no longer. */
  | { readonly ask: 'unprotect'; readonly seconds: number };
/** A DSSE envelope, not looked at yet. */
export type PermitEnvelope = Readonly<Record<string, unknown>>;

export type Row = Readonly<Record<string, unknown>>;
export type ControlReply =
  | { readonly row: Row }
  | { readonly refusal: Refusal }
  | { readonly error: string }
  | { readonly end: true };

export const askLineBytesMax = 32 * 1024;
/** One row of a view; the largest is the status. */
const replyLineBytesMax = 1024 * 1024;

export function controlPath(runDirectory: string): string {
  return join(runDirectory, 'control.sock');
}

export function permitPath(runDirectory: string): string {
  return join(runDirectory, 'permit.sock');
}

export const askSchema: z.ZodType<ControlAsk> = z.discriminatedUnion('ask', [
  z.strictObject({
    ask: z.literal('query'),
    view: z.enum(Object.keys(views) as [View, ...View[]]),
    args: z.record(z.string().max(64), z.unknown()).optional(),
  }),
  z.strictObject({ ask: z.literal('return') }),
  z.strictObject({ ask: z.literal('follow') }),
  z.strictObject({ ask: z.literal('apply'), folder: z.string().max(4096).regex(/^\//) }),
  z.strictObject({ ask: z.literal('unprotect'), seconds: z.int().min(0).max(unprotectSecondsMax) }),
]);
export const permittedAskSchema: z.ZodType<{ readonly permit: PermitEnvelope; readonly ask: ControlAsk }> =
  z.strictObject({ permit: z.record(z.string(), z.unknown()), ask: askSchema });

const replySchema = z.union([
  z.strictObject({ row: z.record(z.string(), z.unknown()) }),
  z.strictObject({
    refusal: z.strictObject({
      code: z.enum(Object.keys(refusals) as [RefusalCode, ...RefusalCode[]]),
      detail: z.string(),
    }),
  }),
  z.strictObject({ error: z.string() }),
  z.strictObject({ end: z.literal(true) }),
]);

/** No agent listens there. */
export class NoAgent extends Error {
  override readonly name = 'NoAgent';
}

/** Whom Husk does not believe on its own device. */
export class NotBelieved extends Error {
  override readonly name = 'NotBelieved';
  constructor(options?: ErrorOptions) {
    super(
      'refused: what comes from a service that policy shields, or from where is not known, does not command Husk. ' +
        'Log in another way, or bring a permit of the fleet: `husk device permit`, then --permit FILE',
      options,
    );
  }
}

/** Asks the running agent, by a permit where there is one. Throws NoAgent where there is none, NotBelieved. */
export async function* askAgent(
  runDirectory: string,
  ask: ControlAsk,
  permit: PermitEnvelope | null = null,
): AsyncGenerator<ControlReply> {
  const socket = await dial((permit === null ? controlPath : permitPath)(runDirectory));
  try {
    socket.write(`${JSON.stringify(permit === null ? ask : { permit, ask })}\n`);
    for await (const line of linesOf(socket)) {
      const reply = replySchema.parse(JSON.parse(line));
      yield reply;
      if (!('row' in reply)) return;
    }
    throw new Error('the agent ended before its answer did');
  } finally {
    socket.destroy();
  }
}

/** Whether an agent answers there. */
export async function isAgentRunning(runDirectory: string): Promise<boolean> {
  try {
    (await dial(controlPath(runDirectory))).destroy();
    return true;
  } catch (error) {
    if (error instanceof NoAgent) return false;
    // Somebody is there, and does not speak with us.
    if (error instanceof NotBelieved) return true;
    throw error;
  }
}

function dial(path: string): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connect(path, () => {
      socket.removeAllListeners('error');
      // A broken pipe shows as the end of the answer.
      socket.on('error', () => {});
      resolve(socket);
    });
    socket.once('error', (error: NodeJS.ErrnoException) => {
      const none = error.code === 'ENOENT' || error.code === 'ECONNREFUSED';
      if (error.code === 'EPERM') reject(new NotBelieved({ cause: error }));
      reject(none ? new NoAgent(`no agent at ${path}`, { cause: error }) : error);
    });
  });
}

async function* linesOf(socket: Socket): AsyncGenerator<string> {
  let held = '';
  socket.setEncoding('utf8');
  for await (const chunk of socket as AsyncIterable<string>) {
    held += chunk;
    for (let end = held.indexOf('\n'); end >= 0; end = held.indexOf('\n')) {
      yield held.slice(0, end);
      held = held.slice(end + 1);
    }
    if (held.length > replyLineBytesMax) throw new Error(`a line of more than ${replyLineBytesMax} bytes`);
  }
}
