// Operations of tasks, told once in a period and then as a count: the kernel's (repeats.ts), and ours of what the
// kernel had no room to count. What is alike is said by the kernel's key, the period is in it.
//
// When more different things arrive in a period than the table holds, the further ones are not told and the caller
// counts them, so that who tries every path there is cannot push the alerts of others out of the spool.

import type { CallEvent, OperationEvent } from '../contract/event.ts';
import type { Repeated } from './repeats.ts';

/** Different things of the periods that are kept: the one that runs, and those before it until they are counted. */
const differentMax = 2048;

export type TaskEvent = OperationEvent | CallEvent;

interface Told {
  /** null: its record never came. */
  readonly event: TaskEvent | null;
  readonly period: number;
  repeats: number;
  firstNs: bigint;
  lastNs: bigint;
}

export class OperationAggregator {
  readonly #entriesMax: number;
  readonly #told = new Map<string, Told>();

  constructor(options: { readonly entriesMax?: number } = {}) {
    this.#entriesMax = options.entriesMax ?? differentMax;
  }

  get size(): number {
    return this.#told.size;
  }

  /** The event to tell now, where this is the first of its kind in its period; `describe` is called only then. */
  add(
    first: { readonly key: string; readonly period: number; readonly bootNs: bigint },
    describe: () => TaskEvent,
  ): TaskEvent | 'repeat' | 'overflow' {
    const told = this.#told.get(first.key);
    if (told !== undefined) {
      told.repeats += 1;
      told.lastNs = first.bootNs;
      return 'repeat';
    }
    if (this.#told.size >= this.#entriesMax) return 'overflow';
    const event = describe();
    const { period, bootNs } = first;
    this.#told.set(first.key, { event, period, repeats: 0, firstNs: bootNs, lastNs: bootNs });
    return event;
  }

  /** What the kernel counted, of a period that is over. */
  count({ alike, key, count, firstNs, lastNs }: Repeated): void {
    const told = this.#told.get(key) ?? { event: null, period: alike.period, repeats: 0, firstNs, lastNs };
    told.repeats += count;
    if (lastNs > told.lastNs) told.lastNs = lastNs;
    // The kernel's map is bounded, and so is what comes of it.
    this.#told.set(key, told);
  }

  /** Gives out what was repeated in periods before `period`, and forgets those. */
  drain(
    period: number,
    visit: (repeated: {
      readonly key: string;
      readonly event: TaskEvent | null;
      readonly count: number;
      readonly duration: number;
      readonly lastNs: bigint;
    }) => void,
  ): void {
    for (const [key, told] of [...this.#told]) {
      if (told.period >= period) continue;
      this.#told.delete(key);
      const { event, repeats: count, firstNs, lastNs } = told;
      const duration = Number((lastNs - firstNs) / 1_000_000n);
      if (count > 0) visit({ key, event, count, duration, lastNs });
    }
  }
}
