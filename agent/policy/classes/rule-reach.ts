// Which packets of a rule are left by the rules before it, asked for one rule after another.
//
// The whole list is never parted: of the rules before one, only those that meet it count, and one packet that they all leave
// is an answer. Packets that there are not, or that come to no rule, are taken first of all.

import { type Diagrams, isLeaf, leafNumber } from './diagram.ts';
import { levelOf } from './fields.ts';
import { type Line, listDiagram, Reach } from './list-diagram.ts';
import { meetsRuns } from './runs.ts';
import type { ClassCube } from './space.ts';

export class RuleReach {
  readonly #diagrams: Diagrams;
  readonly #lines: readonly Line[];
  /** How many of the lines stand for packets that come to no rule. */
  readonly #apart: number;
  readonly #reach: Reach;
  readonly #hulls: readonly [source: Hull, destination: Hull];

  /** `apart`: packets that come to no rule. `lines`: of the list, those left out that hold for no packet. */
  constructor(diagrams: Diagrams, apart: readonly Line[], lines: readonly Line[]) {
    this.#diagrams = diagrams;
    this.#apart = apart.length;
    this.#lines = [...apart, ...lines];
    this.#reach = new Reach(diagrams, this.#lines);
    this.#hulls = [hullOf(this.#lines, levelOf.source), hullOf(this.#lines, levelOf.destination)];
  }

  /** Whether some packet comes to a line of the list. null: it takes too long to find out. */
  isReached(at: number): boolean | null {
    return this.#reach.isReached(this.#apart + at, this.#before(this.#apart + at));
  }

  /** Lines before one that end the way of some packet of it, in order. */
  takers(at: number): readonly number[] {
    const line = this.#lines[this.#apart + at];
    if (line === undefined) return [];
    const before = this.#before(this.#apart + at);
    const asked: Line = { cube: line.cube, ends: false, group: null, asks: true };
    const lines = [asked, ...before.flatMap((one) => this.#lines[one] ?? []), { ...line, ends: true }];
    const root = listDiagram(this.#diagrams, lines, (held) => held[1] ?? 0, { of: 'asked' });
    const found = new Set<number>();
    const seen = new Set([root]);
    for (const node of seen) {
      if (isLeaf(node)) {
        const taker = before[leafNumber(node) - 1];
        if (taker !== undefined && taker >= this.#apart) found.add(taker - this.#apart);
      } else for (const kid of this.#diagrams.edges(node).kids) seen.add(kid);
    }
    return [...found].sort((a, b) => a - b);
  }

  /** Lines before one that end and meet it. */
  #before(line: number): readonly number[] {
    const cube = this.#lines[line]?.cube;
    const found: number[] = [];
    if (cube === undefined) return found;
    const [source, destination] = this.#hulls;
    for (let one = 0; one < line; one++) {
      // Nearly all of them end here.
      if (!meet(source, one, line) || !meet(destination, one, line)) continue;
      const other = this.#lines[one];
      if (other?.ends === true && meets(other.cube, cube)) found.push(one);
    }
    this.#diagrams.step(found.length + 1);
    return found;
  }
}

/** The least and the greatest class of each line. */
interface Hull {
  readonly firsts: Int32Array;
  readonly lasts: Int32Array;
}

const hullOf = (lines: readonly Line[], level: number): Hull => ({
  firsts: Int32Array.from(lines, ({ cube }) => cube[level]?.[0] ?? 0),
  lasts: Int32Array.from(lines, ({ cube }) => cube[level]?.at(-1) ?? 0x7fffffff),
});

const meet = ({ firsts, lasts }: Hull, one: number, other: number) =>
  (firsts[one] ?? 0) <= (lasts[other] ?? 0) && (firsts[other] ?? 0) <= (lasts[one] ?? 0);

const meets = (one: ClassCube, other: ClassCube) =>
  one.every((runs, level) => meetsRuns(runs, other[level] ?? null));
