// The diagram of a list of rules, or of two laid over one another, built from the root down.
//
// What is left of a list behind each class of a field is again a list, and equal lists at the same level are one node. A
// list ends at the first rule that has nothing left to ask, so that lists stay short; nothing is built that is not part
// of the answer.
//
// Where only some packets are asked about, nothing else is looked at: of two lists, those that some line of one list
// alone holds for (the rest meets the same lines on both sides); or those that a line which `asks` holds for. A list
// in which no such line is left is leaf 0 there and then, which is what keeps lists of thousands of rules within reach.

import { type Diagrams, leaf, type NodeId, tooMany } from './diagram.ts';
import { fields } from './fields.ts';
import { common, joined, type Runs, touches } from './runs.ts';
import type { ClassCube } from './space.ts';

/** A line of a list: where it holds, and what it is good for (`kinds` of the caller). */
export interface Line {
  readonly cube: ClassCube;
  /** Lines behind one that ends and asks nothing more are never looked at. */
  readonly ends: boolean;
  /** Of the lines of one group the first that holds is enough; null: every one counts. */
  readonly group: number | null;
  /** Of two lists, those it is a line of, as bits: 1 the one, 2 the other. Default: both. */
  readonly sides?: 1 | 2 | 3;
  /** Only packets that it holds for are asked about. */
  readonly asks?: boolean;
  /** Lines that end alike: which of them it was is not told apart. Default: each its own. */
  readonly kind?: number;
}

export interface Found {
  /** Which packets are asked about: all, or those that a line of one side alone, or one that `asks`, holds for. */
  readonly of: 'all' | 'asked';
}

/** Numbers in lists that are kept to be found again; some 8 bytes each. */
const keptMax = 40_000_000;

/** `leafOf` says what the lines that hold, in order, come to; of two lists those of the one, then of the other. */
export function listDiagram(
  diagrams: Diagrams,
  lines: readonly Line[],
  leafOf: (lines: readonly number[], other: readonly number[]) => number,
  { of }: Found = { of: 'all' },
): NodeId {
  return new Builder(diagrams, new Lines(lines, of), leafOf).build();
}

/** Whether packets of line `line` are left by the lines before it that end, where `lines` is one list. */
export class Reach {
  readonly #diagrams: Diagrams;
  readonly #lines: Lines;

  constructor(diagrams: Diagrams, lines: readonly Line[]) {
    this.#diagrams = diagrams;
    this.#lines = new Lines(lines, 'asked');
  }

  /** `before`: those of the lines before it that end and meet it, in order. null: not found out in the steps there are for it. */
  isReached(line: number, before: readonly number[]): boolean | null {
    return new Search(this.#diagrams, this.#lines, line).isReached(before);
  }
}

/** Of one search, some tenths of a second: a list has thousands of rules. */
const searchStepsMax = 400_000;

const bothSides = 3;
/** A line in a list: its number, and of which sides it still counts. */
const coded = (line: number, sides: number) => line * 4 + sides;
const lineIn = (code: number) => code >> 2;
const sidesIn = (code: number) => code & 3;

/** What is known of all lines at once. */
class Lines {
  readonly all: readonly Line[];
  readonly of: Found['of'];
  /** Levels that a line asks about, as bits. */
  readonly asks: Int32Array;
  readonly hasKinds: boolean;
  readonly #alike: readonly Int32Array[] | null;

  constructor(all: readonly Line[], of: Found['of']) {
    this.all = all;
    this.of = of;
    this.asks = Int32Array.from(all, ({ cube }) =>
      cube.reduce((bits, runs, level) => (runs === null ? bits : bits | (1 << level)), 0),
    );
    this.hasKinds = all.some(({ kind }) => kind !== undefined);
    this.#alike = of === 'all' ? null : alikeFrom(all);
  }

  /** The first line that asks the same from a level on. */
  alike(line: number, from: number): number {
    return this.#alike?.[from]?.[line] ?? line;
  }

  runs(line: number, level: number): Runs | null {
    return this.all[line]?.cube[level] ?? null;
  }
}

/** Whether a line may stand for another that asks the same: both end, on both sides, and are not asked about. */
const isPlain = ({ ends, sides = bothSides, asks = false }: Line) => ends && sides === bothSides && !asks;

/** For each level, the first line that asks the same as each from there on; by the last level first. */
function alikeFrom(all: readonly Line[]): readonly Int32Array[] {
  const numbers = new Map<Runs, number>();
  const kinds = new Map<number | undefined, number>();
  const ends = all.map((one, line) => {
    if (!isPlain(one)) return line;
    const first = kinds.get(one.kind) ?? line;
    kinds.set(one.kind, first);
    return first;
  });
  const tables = [Int32Array.from(ends)];
  for (let level = fields.length - 1; level >= 0; level--) {
    const behind = tables[0] ?? new Int32Array(0);
    const firsts = new Map<number, number>();
    tables.unshift(
      Int32Array.from(all, ({ cube }, line) => {
        const runs = cube[level] ?? null;
        if (runs !== null && !numbers.has(runs)) numbers.set(runs, numbers.size + 1);
        const key = (runs === null ? 0 : (numbers.get(runs) ?? 0)) * all.length + (behind[line] ?? 0);
        const first = firsts.get(key) ?? line;
        firsts.set(key, first);
        return first;
      }),
    );
  }
  return tables;
}

class Builder {
  readonly #diagrams: Diagrams;
  readonly #lines: Lines;
  readonly #leafOf: (lines: readonly number[], other: readonly number[]) => number;
  #kept = 0;
  readonly #known = new Map<
    number,
    { readonly level: number; readonly list: readonly number[]; node: NodeId }[]
  >();

  constructor(
    diagrams: Diagrams,
    lines: Lines,
    leafOf: (lines: readonly number[], other: readonly number[]) => number,
  ) {
    this.#diagrams = diagrams;
    this.#lines = lines;
    this.#leafOf = leafOf;
  }

  build(): NodeId {
    const pruner = new ListPruner(this.#lines, 0);
    this.#lines.all.forEach(({ sides = bothSides }, line) => {
      pruner.push(coded(line, sides));
    });
    const list = pruner.list();
    return list === null ? leaf(0) : this.#node(list, 0);
  }

  /** What a list comes to for packets of which the levels above `from` are settled. */
  #node(list: readonly number[], from: number): NodeId {
    const level = levelAsked(this.#lines, list, from);
    if (level === null) return leaf(this.#leafOf(onSide(list, 1), onSide(list, 2)));
    const hash = hashOf(list, level);
    const same = this.#known.get(hash);
    const before = same?.find((one) => one.level === level && equalLists(one.list, list));
    if (before !== undefined) return before.node;
    this.#kept += list.length;
    if (this.#kept > keptMax) throw tooMany(`with ${keptMax} rules in lists`);
    const { lasts, lists } = split(this.#diagrams, this.#lines, list, level);
    const kids = lists.map((one) => (one === null ? leaf(0) : this.#node(one, level + 1)));
    const node = this.#diagrams.node(level, lasts, kids);
    const entry = { level, list, node };
    if (same === undefined) this.#known.set(hash, [entry]);
    else same.push(entry);
    return node;
  }
}

/** Looks for one packet of a line that no line before it takes, the shortest lists first. */
class Search {
  readonly #diagrams: Diagrams;
  readonly #lines: Lines;
  readonly #line: number;
  /** Lists behind which all was taken. */
  readonly #taken = new Map<number, { readonly level: number; readonly list: readonly number[] }[]>();
  readonly #stepsEnd: number;

  constructor(diagrams: Diagrams, lines: Lines, line: number) {
    this.#stepsEnd = diagrams.steps + searchStepsMax;
    this.#diagrams = diagrams;
    this.#lines = lines;
    this.#line = line;
  }

  isReached(before: readonly number[]): boolean | null {
    const pruner = new ListPruner(this.#lines, 0, this.#line);
    for (const line of [...before, this.#line]) pruner.push(coded(line, bothSides));
    return this.#reaches(pruner.list(), 0);
  }

  #reaches(list: readonly number[] | null, from: number): boolean | null {
    if (list === null) return false;
    if (list.length === 1) return true;
    const level = levelAsked(this.#lines, list, from);
    // What asks nothing more and stands before the line would have closed the list.
    if (level === null) return true;
    const hash = hashOf(list, level);
    const same = this.#taken.get(hash) ?? [];
    if (same.some((one) => one.level === level && equalLists(one.list, list))) return false;
    if (this.#diagrams.steps > this.#stepsEnd) return null;
    const { lists } = split(this.#diagrams, this.#lines, list, level, this.#line);
    for (const one of lists.filter((kid) => kid !== null).sort((a, b) => a.length - b.length)) {
      const isReached = this.#reaches(one, level + 1);
      if (isReached !== false) return isReached;
    }
    this.#taken.set(hash, [...same, { level, list }]);
    return false;
  }
}

const onSide = (list: readonly number[], side: 1 | 2) =>
  list.filter((code) => (sidesIn(code) & side) !== 0).map(lineIn);

/** The first level from `from` on that a line of the list asks about. */
function levelAsked({ asks }: Lines, list: readonly number[], from: number): number | null {
  let asked = 0;
  for (const code of list) asked |= (asks[lineIn(code)] ?? 0) >>> from;
  return asked === 0 ? null : from + 31 - Math.clz32(asked & -asked);
}

const hashOf = (list: readonly number[], level: number) =>
  list.reduce((sum, code) => (Math.imul(sum, 0x01000193) ^ code) | 0, level + 1);

/** The list parted by the classes of a level: last class of each part, and what is left of the list there; null: leaf 0. */
function split(
  diagrams: Diagrams,
  lines: Lines,
  list: readonly number[],
  level: number,
  asking: number | null = null,
): { readonly lasts: readonly number[]; readonly lists: readonly (readonly number[] | null)[] } {
  const wanted = askedRuns(lines, list, level, asking);
  const parts = list.map((code) => {
    const runs = lines.runs(lineIn(code), level);
    return runs === null || wanted === null ? runs : common(runs, wanted);
  });
  const lasts = segments(diagrams, parts, level, wanted);
  const segmentOf = new Map(lasts.map((last, at) => [last, at]));
  const left = lasts.map((last, at) => {
    const isAsked = wanted === null || touches(wanted, at === 0 ? 0 : (lasts[at - 1] ?? 0) + 1, last);
    return isAsked ? new ListPruner(lines, level + 1, asking) : null;
  });
  const open = left.filter((one) => one !== null);
  list.forEach((code, of) => {
    const runs = parts[of] ?? null;
    if (runs === null) {
      for (const one of open) one.push(code);
      diagrams.step(open.length);
      return;
    }
    for (let at = 0; at < runs.length; at += 2) {
      const first = runs[at] ?? 0;
      let segment = first === 0 ? 0 : (segmentOf.get(first - 1) ?? 0) + 1;
      const end = segmentOf.get(runs[at + 1] ?? 0) ?? 0;
      diagrams.step(end - segment + 1);
      for (; segment <= end; segment++) left[segment]?.push(code);
    }
  });
  return { lasts, lists: left.map((one) => one?.list() ?? null) };
}

/** Classes of a level that some line which is asked about holds for; null: all. */
function askedRuns(lines: Lines, list: readonly number[], level: number, asking: number | null): Runs | null {
  if (lines.of === 'all') return null;
  const asked: Runs[] = [];
  for (const code of list) {
    if (!isAsked(lines, code, asking)) continue;
    const runs = lines.runs(lineIn(code), level);
    if (runs === null) return null;
    asked.push(runs);
  }
  return asked.length === 1 ? (asked[0] ?? null) : joined(asked);
}

/** A line that makes the packets it holds for worth looking at. */
const isAsked = (lines: Lines, code: number, asking: number | null) =>
  asking === null
    ? sidesIn(code) !== bothSides || lines.all[lineIn(code)]?.asks === true
    : lineIn(code) === asking;

/** Last class of each stretch in which the same lines of the list hold, as far as `wanted` goes. */
function segments(
  diagrams: Diagrams,
  parts: readonly (Runs | null)[],
  level: number,
  wanted: Runs | null,
): readonly number[] {
  const lasts = new Set<number>([diagrams.classes(level) - 1]);
  for (const runs of [wanted, ...parts]) {
    if (runs === null) continue;
    for (let at = 0; at < runs.length; at += 2) {
      const first = runs[at] ?? 0;
      if (first > 0) lasts.add(first - 1);
      lasts.add(runs[at + 1] ?? 0);
    }
  }
  return [...lasts].sort((a, b) => a - b);
}

/**
 * Gathers lines of a list in order and leaves out those that cannot matter any more. Lines that end before any that is
 * asked about take their packets on both sides alike: whichever it is, and in whatever order they stand.
 */
class ListPruner {
  readonly #lines: Lines;
  /** The first level that is not settled. */
  readonly #from: number;
  readonly #asking: number | null;
  readonly #takers: number[] = [];
  readonly #codes: number[] = [];
  #isOpen: boolean;
  /** Sides on which nothing that comes is looked at, as bits. */
  #closed = 0;
  /** By side, groups of which a line holds whatever comes, as bits. */
  readonly #settled: [one: number, other: number] = [0, 0];

  constructor(lines: Lines, from: number, asking: number | null = null) {
    this.#lines = lines;
    this.#from = from;
    this.#asking = asking;
    this.#isOpen = lines.of === 'all';
  }

  push(code: number): void {
    const number = lineIn(code);
    const line = this.#lines.all[number];
    if (line === undefined || this.#closed === bothSides) return;
    const sides = sidesIn(code) & ~this.#closed & ~this.#settledSides(line.group);
    if (sides === 0) return;
    const fresh = coded(number, sides);
    const isSettled = (this.#lines.asks[number] ?? 0) >>> this.#from === 0;
    if (!this.#isOpen) {
      this.#isOpen = isAsked(this.#lines, fresh, this.#asking);
      if (!this.#isOpen && line.ends) {
        if (isSettled) this.#closed = bothSides;
        else this.#takers.push(coded(this.#lines.alike(number, this.#from), sides));
        return;
      }
    }
    this.#codes.push(fresh);
    if (!isSettled) return;
    if (line.group !== null) {
      if ((sides & 1) !== 0) this.#settled[0] |= 1 << line.group;
      if ((sides & 2) !== 0) this.#settled[1] |= 1 << line.group;
    }
    if (line.ends) this.#closed |= sides;
  }

  /** null: nothing that is asked about is left. */
  list(): readonly number[] | null {
    if (!this.#isOpen) return null;
    const codes = this.#lines.hasKinds ? this.#gathered() : this.#codes;
    return this.#takers.length === 0 ? codes : [...inOrder(this.#takers), ...codes];
  }

  #settledSides(group: number | null): number {
    if (group === null) return 0;
    return ((this.#settled[0] >> group) & 1) | (((this.#settled[1] >> group) & 1) << 1);
  }

  /** Lines of one kind that follow one another, in one order; of those at the end the one that closes is enough. */
  #gathered(): readonly number[] {
    const stretches: { readonly kind: number | undefined; codes: number[] }[] = [];
    for (const code of this.#codes) {
      const line = this.#lines.all[lineIn(code)];
      const kind = line !== undefined && isPlain(line) && sidesIn(code) === bothSides ? line.kind : undefined;
      const last = stretches.at(-1);
      if (kind !== undefined && last?.kind === kind) last.codes.push(code);
      else stretches.push({ kind, codes: [code] });
    }
    return stretches.flatMap(({ kind, codes }, at) => {
      const last = codes.at(-1);
      if (kind === undefined || last === undefined) return codes;
      if (at === stretches.length - 1 && this.#closed === bothSides) return [last];
      return inOrder(codes.map((code) => coded(this.#lines.alike(lineIn(code), this.#from), bothSides)));
    });
  }
}

/** Each once. */
function inOrder(codes: number[]): readonly number[] {
  codes.sort((a, b) => a - b);
  return codes.filter((code, at) => at === 0 || code !== codes[at - 1]);
}

function equalLists(a: readonly number[], b: readonly number[]): boolean {
  if (a.length !== b.length) return false;
  for (let at = 0; at < a.length; at++) if (a[at] !== b[at]) return false;
  return true;
}
