// Sets that are too large for the rules' own tables, or whose entries are kept one by one.
//
// The program looks each up by itself, once a packet and side, and the answers are bits of what rules are found by. A
// small set is folded into the rules' address tables instead, and costs a packet nothing.

import { HUSK_BIG_SETS_MAX, HUSK_SET_USES_MAX, type HuskSetUse } from '../../bpf/abi/layout.gen.ts';
import type { Direction } from './ids.ts';
import { rangeCount } from './ranges.ts';
import type { ResolvedSet, SingleEntries } from './sets.ts';
import { holdTo } from './tables.ts';

/** Ranges of one family up to which a set is folded. */
const foldedRangesMax = 256;

export interface BigSet {
  readonly name: string;
  readonly set: ResolvedSet;
  readonly single: SingleEntries | null;
}

/** The bit of a packet's key that says whether an address is in the set. */
export interface SetBit {
  readonly care: number;
  readonly value: number;
}

export class SetUses {
  readonly #sets: BigSet[] = [];
  readonly #numbers = new Map<string, number>();
  readonly #uses: Record<Direction, { readonly set: number; readonly side: number }[]> = {
    ingress: [],
    egress: [],
  };

  /** null: the set is small, and folded. Throws OverLimitError where there is no room. */
  bitOf(set: ResolvedSet, direction: Direction, side: 'source' | 'destination', rule: string): SetBit | null {
    if (!isBig(set)) return null;
    const number = this.#giveNumber(set, rule);
    const uses = this.#uses[direction];
    const wanted = side === 'source' ? 0 : 1;
    let bit = uses.findIndex((use) => use.set === number && use.side === wanted);
    if (bit < 0) {
      bit = uses.push({ set: number, side: wanted }) - 1;
      holdTo(HUSK_SET_USES_MAX, uses.length, `uses of large sets in ${direction} rules`, () => rule);
    }
    return { care: 1 << bit, value: set.not ? 0 : 1 << bit };
  }

  /** null: no rule has asked for it, or it is folded. */
  numberOf({ key }: Pick<ResolvedSet, 'key'>): number | null {
    return this.#numbers.get(key) ?? null;
  }

  get sets(): readonly BigSet[] {
    return this.#sets;
  }

  /** As the generation's record holds them: as many as there may be, those that are none at the end. */
  usesOf(direction: Direction): readonly HuskSetUse[] {
    return Array.from({ length: HUSK_SET_USES_MAX }, (_, index): HuskSetUse => {
      const use = this.#uses[direction][index];
      if (use === undefined) return { set: HUSK_BIG_SETS_MAX, side: 0, hasAdditions: 0 };
      const hasAdditions = this.#sets[use.set]?.single === null ? 0 : 1;
      return { set: use.set, side: use.side, hasAdditions };
    });
  }

  #giveNumber(set: ResolvedSet, rule: string): number {
    const known = this.#numbers.get(set.key);
    if (known !== undefined) return known;
    const number = this.#sets.push({ name: set.name ?? set.key, set, single: set.single }) - 1;
    this.#numbers.set(set.key, number);
    holdTo(HUSK_BIG_SETS_MAX, this.#sets.length, 'large sets', () => rule);
    return number;
  }
}

function isBig({ ranges, single }: ResolvedSet): boolean {
  return single !== null || Math.max(rangeCount(ranges.ipv4), rangeCount(ranges.ipv6)) > foldedRangesMax;
}
