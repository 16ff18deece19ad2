// The diagram of a list of rules, built from the root down.
//
// What is left of a list behind each class of a field is again a list, and equal lists at the same level are one node. A
// list ends at the first rule that has nothing left to ask, so that lists stay short; nothing is built that is not part
// of the answer.

import { type Diagrams, leaf, type NodeId, tooMany } from './diagram.ts';
import type { ClassCube } from './space.ts';

/** A line of a list: where it holds, and what it is good for (`kinds` of the caller). */
export interface Line {
  readonly cube: ClassCube;
  /** Lines behind one that ends and asks nothing more are never looked at. */
  readonly ends: boolean;
  /** Of the lines of one group the first that holds is enough; null: every one counts. */
  readonly group: number | null;
}

/** Numbers in lists that are kept to be found again; some 8 bytes each. */
const keptMax = 40_000_000;

/** `leafOf` says what the lines that hold, in order, come to. */
export function listDiagram(
  diagrams: Diagrams,
  lines: readonly Line[],
  leafOf: (lines: readonly number[]) => number,
): NodeId {
  return new Builder(diagrams, lines, leafOf).build();
}

class Builder {
  readonly #diagrams: Diagrams;
  readonly #lines: readonly Line[];
  readonly #leafOf: (lines: readonly number[]) => number;
  /** Levels that a line asks about, as bits. */
  readonly #asks: Int32Array;
  #kept = 0;
  readonly #known = new Map<
    number,
    { readonly level: number; readonly list: readonly number[]; node: NodeId }[]
  >();

  constructor(diagrams: Diagrams, lines: readonly Line[], leafOf: (lines: readonly number[]) => number) {
    this.#diagrams = diagrams;
    this.#lines = lines;
    this.#leafOf = leafOf;
    this.#asks = Int32Array.from(lines, ({ cube }) =>
      cube.reduce((bits, runs, level) => (runs === null ? bits : bits | (1 << level)), 0),
    );
  }

  build(): NodeId {
    const list = new ListPruner(this.#lines, this.#asks);
    for (let line = 0; line < this.#lines.length; line++) list.push(line, 0);
    return this.#node(list.lines, 0);
  }

  /** What a list comes to for packets of which the levels above `from` are settled. */
  #node(list: readonly number[], from: number): NodeId {
    let asked = 0;
    for (const line of list) asked |= (this.#asks[line] ?? 0) >>> from;
    if (asked === 0) return leaf(this.#leafOf(list));
    const level = from + 31 - Math.clz32(asked & -asked);
    const hash = list.reduce((sum, line) => (Math.imul(sum, 0x01000193) ^ line) | 0, level + 1);
    const same = this.#known.get(hash);
    const before = same?.find((one) => one.level === level && equalLists(one.list, list));
    if (before !== undefined) return before.node;
    this.#kept += list.length;
    if (this.#kept > keptMax) throw tooMany(`with ${keptMax} rules in lists`);
    const node = this.#split(list, level);
    const entry = { level, list, node };
    if (same === undefined) this.#known.set(hash, [entry]);
    else same.push(entry);
    return node;
  }

  #split(list: readonly number[], level: number): NodeId {
    const lasts = this.#segments(list, level);
    const segmentOf = new Map(lasts.map((last, at) => [last, at]));
    const left = lasts.map(() => new ListPruner(this.#lines, this.#asks));
    for (const line of list) {
      const runs = this.#lines[line]?.cube[level] ?? null;
      if (runs === null) {
        for (const one of left) one.push(line, level + 1);
        this.#diagrams.step(left.length);
        continue;
      }
      for (let at = 0; at < runs.length; at += 2) {
        const first = runs[at] ?? 0;
        let segment = first === 0 ? 0 : (segmentOf.get(first - 1) ?? 0) + 1;
        const end = segmentOf.get(runs[at + 1] ?? 0) ?? 0;
        this.#diagrams.step(end - segment + 1);
        for (; segment <= end; segment++) left[segment]?.push(line, level + 1);
      }
    }
    const kids = left.map((one) => this.#node(one.lines, level + 1));
    return this.#diagrams.node(level, lasts, kids);
  }

  /** Last class of each stretch in which the same lines of the list hold. */
  #segments(list: readonly number[], level: number): readonly number[] {
    const end = this.#diagrams.classes(level) - 1;
    const lasts = new Set<number>([end]);
    for (const line of list) {
      const runs = this.#lines[line]?.cube[level] ?? null;
      if (runs === null) continue;
      for (let at = 0; at < runs.length; at += 2) {
        const first = runs[at] ?? 0;
        if (first > 0) lasts.add(first - 1);
        lasts.add(runs[at + 1] ?? 0);
      }
    }
    return [...lasts].sort((a, b) => a - b);
  }
}

/** Gathers lines of a list in order and leaves out those that cannot matter any more. */
class ListPruner {
  readonly lines: number[] = [];
  readonly #all: readonly Line[];
  readonly #asks: Int32Array;
  #isClosed = false;
  /** Groups of which a line holds whatever comes, as bits. */
  #settled = 0;

  constructor(all: readonly Line[], asks: Int32Array) {
    this.#all = all;
    this.#asks = asks;
  }

  /** `from`: the first level that is not settled. */
  push(number: number, from: number): void {
    const line = this.#all[number];
    if (this.#isClosed || line === undefined) return;
    if (line.group !== null && (this.#settled & (1 << line.group)) !== 0) return;
    this.lines.push(number);
    if ((this.#asks[number] ?? 0) >>> from !== 0) return;
    if (line.group !== null) this.#settled |= 1 << line.group;
    if (line.ends) this.#isClosed = true;
  }
}

function equalLists(a: readonly number[], b: readonly number[]): boolean {
  if (a.length !== b.length) return false;
  for (let at = 0; at < a.length; at++) if (a[at] !== b[at]) return false;
  return true;
}
