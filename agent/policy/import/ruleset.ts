// What the readers of iptables and nft make of a text: chains of steps, and the hooks they hang on.

import type { RejectWith } from '../../contract/policy.ts';
import type { Box } from './box.ts';
import type { Origin } from './report.ts';

export type Hook = 'input' | 'forward' | 'output';
export const hooks = ['input', 'forward', 'output'] as const satisfies readonly Hook[];

export interface Ruleset {
  /** By a name that is unique over families and tables. */
  readonly chains: ReadonlyMap<string, readonly Step[]>;
  /** In the order in which packets come to them. */
  readonly bases: readonly Base[];
}

/** A chain that hangs on a hook. What one accepts goes on to the next; what one drops is gone. */
export interface Base {
  readonly hook: Hook;
  /** null: both. */
  readonly family: 4 | 6 | null;
  readonly chain: string;
  readonly policy: 'accept' | 'drop';
  readonly origin: Origin;
}

/** One rule. */
export interface Step {
  readonly origin: Origin;
  /** One of them has to hold; no packet is in two. */
  readonly boxes: readonly Box[];
  readonly limit: LimitTerm | null;
  /** Conditions that cannot be carried over, each with its reason: what matches is then somewhere inside the boxes. */
  readonly unknown: readonly string[];
  readonly does: Does;
  /** Packets that it decides are logged. */
  readonly log?: boolean;
}

export type Does =
  | { readonly kind: 'accept' | 'drop' | 'return' | 'log' }
  /** Nothing that decides about packets. */
  | { readonly kind: 'none' }
  | { readonly kind: 'reject'; readonly with: RejectWith | null }
  | { readonly kind: 'jump' | 'goto'; readonly chain: string }
  /** Decides, and cannot be carried over. */
  | { readonly kind: 'undecided'; readonly reason: string };

export interface LimitTerm {
  /** As a policy writes it. */
  readonly rate: string;
  readonly burst: number;
  readonly per: 'rule' | 'source' | 'flow';
  readonly prefix?: { readonly ipv4?: number; readonly ipv6?: number };
  /** Holds for packets above the rate instead of those within. */
  readonly isAbove: boolean;
}
