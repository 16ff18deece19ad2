// Dense counter indexes for stable rule ids: which one a rule has, or gets.
//
// A rule keeps its index over policy changes, so its counter goes on. One is taken away from a rule only when there is
// no free one and no generation names it. Plain bookkeeping, so that a policy can be compiled in a process that has no
// kernel at hand: that of the agent gives the indexes out again, in the same order and with the same outcome.

import { RefusalError } from '../contract/refusal.ts';

/** What has been given out, as plain data. */
export interface CounterIndexesNow {
  /** How many there are. */
  readonly max: number;
  readonly given: readonly (readonly [id: string, index: number])[];
  /** That a generation in the kernel names, or is about to. */
  readonly inUse: readonly number[];
}

export interface GivenIndex {
  readonly index: number;
  /** Whether the rule did not have it before. */
  readonly isNew: boolean;
  /** The rule it was taken from; null: it was free. */
  readonly from: string | null;
}

export class CounterIndexes {
  readonly #max: number;
  readonly #indexes = new Map<string, number>();
  readonly #ids = new Map<number, string>();

  constructor(max: number, given: Iterable<readonly [id: string, index: number]> = []) {
    this.#max = max;
    for (const [id, index] of given) this.#remember(id, index);
  }

  /** The index of a rule, given out at its first use. Throws RefusalError policy.over-limit where all are in use. */
  give(id: string, inUse: ReadonlySet<number>): GivenIndex {
    const known = this.#indexes.get(id);
    if (known !== undefined) return { index: known, isNew: false, from: null };
    const free = this.#freeIndex();
    const { index, from } = free === null ? this.#takeFromUnused(inUse) : { index: free, from: null };
    this.#remember(id, index);
    return { index, isNew: true, from };
  }

  /** The rule of an index; null where no rule has had it. */
  idOf(index: number): string | null {
    return this.#ids.get(index) ?? null;
  }

  now(inUse: ReadonlySet<number>): CounterIndexesNow {
    return { max: this.#max, given: [...this.#indexes], inUse: [...inUse] };
  }

  #remember(id: string, index: number): void {
    this.#indexes.set(id, index);
    this.#ids.set(index, id);
  }

  #freeIndex(): number | null {
    if (this.#ids.size >= this.#max) return null;
    // Nearly always those given out are without a hole, so that the next is their number.
    for (let index = this.#ids.size; index < this.#max; index++) if (!this.#ids.has(index)) return index;
    for (let index = 0; index < this.#ids.size; index++) if (!this.#ids.has(index)) return index;
    return null;
  }

  #takeFromUnused(inUse: ReadonlySet<number>): { readonly index: number; readonly from: string } {
    for (const [from, index] of this.#indexes) {
      if (inUse.has(index)) continue;
      this.#indexes.delete(from);
      this.#ids.delete(index);
      return { index, from };
    }
    throw new RefusalError(
      'policy.over-limit',
      `all ${this.#max} rule counters of this device are in use (limits.counters of its configuration)`,
    );
  }
}

/** Gives out from what there is now; for the compiler's `DeviceFacts.ruleIndex`. */
export function indexesFrom({ max, given, inUse }: CounterIndexesNow): (id: string) => number {
  const indexes = new CounterIndexes(max, given);
  const used = new Set(inUse);
  return (id) => {
    const { index } = indexes.give(id, used);
    // Until its generation is loaded, nothing in the kernel names it.
    used.add(index);
    return index;
  };
}
