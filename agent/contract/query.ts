// Questions to a device: a fixed catalogue of read-only views, no shell. An answer comes in parts.

import type { Refusal } from './refusal.ts';

export const views = {
  status: 'What is in force, the last assignment, tier, hooks, kernel memory, link and spool.',
  interfaces: 'Interfaces with their addresses, zone and attached hooks.',
  rules: 'Rules in force with state and counters.',
  sets: 'Address sets in force with their sizes, the hits of the rules that name them, and of entries that are counted one by one.',
  connections:
    'Connections that are followed; arguments `address`, `port`, `protocol`, `count` (default 50, at most 1000).',
  drops:
    'Why packets were stopped: rule, zone, since when, how often, and the first bytes of the last of them.',
  profile: 'What subjects do that learn (mode `learn`), each thing once with how often; argument `policy`.',
  shadow: 'The policy in shadow, and where it decides otherwise than the live one.',
  events: 'The newest events of the spool; argument `count` (default 50, at most 1000).',
} as const;
export type View = keyof typeof views;

/** body of `rq.query` */
export interface Query {
  /** Chosen by the asker; comes back with each part. */
  readonly id: string;
  readonly view: View;
  readonly args?: Readonly<Record<string, unknown>>;
  /** Who asks, and so where the answer goes: `up/rs/<who>`. */
  readonly who: string;
  /** Milliseconds the asker waits. */
  readonly withinMs: number;
}

/** body of `rs.part` */
export interface AnswerPart {
  readonly id: string;
  readonly part: number;
  readonly last: boolean;
  readonly rows?: readonly unknown[];
  readonly refusal?: Refusal;
}
