// The catalogue of views: what each takes and what rows it gives. Read-only, no shell, bounded.
//
// Where the rows come from is handed in as a source, so that the running agent, the command line without an
// agent and a test answer with the same code.

import * as z from 'zod';
import type { Query, View } from '../contract/query.ts';
import { RefusalError } from '../contract/refusal.ts';

export type Row = Readonly<Record<string, unknown>>;

/** What the device can say of itself. Every method may take its time. */
export interface ViewSource {
  status(): Promise<Row>;
  interfaces(): Promise<readonly Row[]>;
  rules(): Promise<readonly Row[]>;
  sets(): Promise<readonly Row[]>;
  connections(ask: ConnectionsAsk): Promise<readonly Row[]>;
  drops(): Promise<readonly Row[]>;
  profile(ask: ProfileAsk): Promise<readonly Row[]>;
  shadow(): Promise<readonly Row[]>;
  events(count: number): Promise<readonly Row[]>;
}

const eventsDefault = 50;
export const eventsMax = 1000;

/** Which connections are meant: all of it must hold, of either end. */
export interface ConnectionsAsk {
  readonly address?: string | undefined;
  readonly port?: number | undefined;
  /** IANA's number. */
  readonly protocol?: number | undefined;
  readonly count: number;
}

/** Of one policy, or of all that learn. */
export interface ProfileAsk {
  readonly policy?: string | undefined;
}

const profileArguments = z.strictObject({ policy: z.string().max(63).optional() });
const connectionsArguments = z.strictObject({
  address: z.string().max(45).optional(),
  port: z.int().min(0).max(65535).optional(),
  protocol: z.int().min(0).max(255).optional(),
  count: z.int().min(1).max(1000).default(50),
});
const noArguments = z.strictObject({});
const eventsArguments = z.strictObject({ count: z.int().min(1).max(eventsMax).default(eventsDefault) });

/** The rows of a view. Throws RefusalError query.arguments. */
export async function runView(view: View, args: Query['args'], source: ViewSource): Promise<readonly Row[]> {
  switch (view) {
    case 'status':
      readArguments(noArguments, view, args);
      return [await source.status()];
    case 'interfaces':
      readArguments(noArguments, view, args);
      return source.interfaces();
    case 'rules':
      readArguments(noArguments, view, args);
      return source.rules();
    case 'sets':
      readArguments(noArguments, view, args);
      return source.sets();
    case 'connections':
      return source.connections(readArguments(connectionsArguments, view, args));
    case 'drops':
      readArguments(noArguments, view, args);
      return source.drops();
    case 'profile':
      return source.profile(readArguments(profileArguments, view, args));
    case 'shadow':
      readArguments(noArguments, view, args);
      return source.shadow();
    case 'events':
      return source.events(readArguments(eventsArguments, view, args).count);
  }
}

function readArguments<T>(schema: z.ZodType<T>, view: View, args: Query['args']): T {
  const result = schema.safeParse(args ?? {});
  if (result.success) return result.data;
  const faults = result.error.issues.map((issue) => `${[view, ...issue.path].join('.')}: ${issue.message}`);
  throw new RefusalError('query.arguments', faults.join('; '));
}

/** Numbers of the kernel as JSON has them; beyond 2⁵³ as decimal text, never rounded. */
export function shownCount(count: bigint): number | string {
  return count <= BigInt(Number.MAX_SAFE_INTEGER) ? Number(count) : count.toString();
}
