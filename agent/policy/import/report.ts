// What an import comes to: documents, and every line that is not in them.

import type { PolicyDocument } from '../../contract/policy.ts';

/** One file as it was given. */
export interface ImportFile {
  /** As it is said in the report. */
  readonly file: string;
  readonly text: string;
}

/** Where something stood: a line of a text, or a rule of a JSON listing by its handle. */
export interface Origin {
  readonly file: string;
  /** From 1; 0 where the whole file is meant. */
  readonly line: number;
  readonly text: string;
  /** Words that make an id of the rules made from it, as in `input-l12`. */
  readonly name: string;
}

/**
 * What leaving it out does to packets.
 *
 * - `none`: no packet is judged otherwise
 * - `stricter`: packets may be dropped that passed
 * - `wider`: packets may pass that were dropped; `mayPass` says which
 * - `differs`: what is judged is not quite what was, either way
 */
export type Effect = 'none' | 'stricter' | 'wider' | 'differs';

export interface NotCarriedOver {
  readonly file: string;
  readonly line: number;
  readonly text: string;
  readonly reason: string;
  readonly effect: Effect;
  /** With effect `wider`: what now decides about such packets and lets some pass. */
  readonly mayPass?: readonly string[];
}

export interface Imported {
  /** The PacketPolicy first, then its AddressSets. */
  readonly documents: readonly PolicyDocument[];
  /** In the order of files and lines. */
  readonly notCarriedOver: readonly NotCarriedOver[];
}

/** The text is none of the kind asked for, or too large: there is no policy. The message says where. */
export class ImportError extends Error {
  override readonly name = 'ImportError';
}

/** Longest text of a line that is repeated in the report. */
const shownMax = 300;

/** Gathers what is not carried over; an origin and reason are said once, however often chains are walked. */
export class Report {
  readonly #items = new Map<string, NotCarriedOver>();

  add(origin: Origin, reason: string, effect: Effect, mayPass: readonly string[] = []): void {
    const key = `${origin.file}\0${origin.line}\0${origin.name}\0${reason}`;
    const before = this.#items.get(key);
    const worst = before === undefined ? effect : worse(before.effect, effect);
    const passes = [...new Set([...(before?.mayPass ?? []), ...mayPass])].slice(0, mayPassMax);
    this.#items.set(key, {
      file: origin.file,
      line: origin.line,
      text: origin.text.length > shownMax ? `${origin.text.slice(0, shownMax)}…` : origin.text,
      reason,
      effect: worst,
      ...(passes.length > 0 ? { mayPass: passes } : {}),
    });
  }

  all(): readonly NotCarriedOver[] {
    const items = [...this.#items.values()];
    const files = [...new Set(items.map(({ file }) => file))];
    return items.toSorted((a, b) => files.indexOf(a.file) - files.indexOf(b.file) || a.line - b.line);
  }
}

const mayPassMax = 20;
const badness: Record<Effect, number> = { none: 0, stricter: 1, differs: 2, wider: 3 };
const worse = (a: Effect, b: Effect): Effect => (badness[a] >= badness[b] ? a : b);

/** Whether some packet may be judged otherwise than before. */
export const changesVerdicts = (items: readonly NotCarriedOver[]): boolean =>
  items.some(({ effect }) => effect !== 'none');
