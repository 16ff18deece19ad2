// The classes of a few lists of rules: on each axis the points that no rule tells apart become one small number.
//
// Points are cut at every bound of every set; pieces that lie in the very same sets are one class. With that an IPv6
// address, a port or a name of an interface is a number below the count of conditions, and everything after this
// works on those.

import { axisEnd, type Cube, type Field, fields, type Point, type Values } from './fields.ts';
import { type Runs, runsOf } from './runs.ts';

/** A rule by level; null: every class. */
export type ClassCube = readonly (Runs | null)[];

interface Axis {
  /** Starts of the pieces, in order; the last one is the end of the axis. */
  readonly cuts: readonly Point[];
  readonly classOf: Int32Array;
  readonly classes: number;
  readonly runs: ReadonlyMap<string, Runs>;
}

export interface Names {
  /** How many values of `interface` and `origin` there are. */
  readonly interface: number;
  readonly origin: number;
}

export class Space {
  readonly #axes: readonly Axis[];

  constructor(cubes: readonly Cube[], names: Names) {
    this.#axes = fields.map((field, level) => {
      const sets = new Map<string, Values>();
      for (const cube of cubes) {
        const asked = cube[level];
        if (asked !== undefined && asked !== null) sets.set(asked.key, asked);
      }
      const end = axisEnd(field, field === 'interface' || field === 'origin' ? names[field] : 0);
      return axisOf([...sets.values()], end);
    });
  }

  classes(level: number): number {
    return this.#axis(level).classes;
  }

  /** The classes of a rule that was among those the space was made of; null where it holds for none. */
  cube(cube: Cube): ClassCube | null {
    const read = cube.map((asked, level) => {
      if (asked === null) return null;
      const runs = this.runs(level, asked);
      const isAll = runs.length === 2 && runs[0] === 0 && runs[1] === this.classes(level) - 1;
      return isAll ? null : runs;
    });
    return read.some((runs) => runs?.length === 0) ? null : read;
  }

  /** The classes of a set that the space was made of. */
  runs(level: number, { key }: Values): Runs {
    const runs = this.#axis(level).runs.get(key);
    if (runs === undefined) throw new RangeError(`a set of ${fields[level]} that the space was not made of`);
    return runs;
  }

  /** The class of a point. */
  classAt(level: number, point: Point): number {
    const { cuts, classOf } = this.#axis(level);
    return classOf[pieceAt(cuts, point)] ?? 0;
  }

  /** The points of some classes, as half-open ranges in order. */
  points(level: number, runs: Runs): readonly Point[] {
    const { cuts, classOf, classes } = this.#axis(level);
    const wanted = new Uint8Array(classes);
    for (let at = 0; at < runs.length; at += 2) wanted.fill(1, runs[at] ?? 0, (runs[at + 1] ?? -1) + 1);
    const bounds: Point[] = [];
    classOf.forEach((one, piece) => {
      if (wanted[one] !== 1) return;
      const [start, end] = [cuts[piece] ?? 0, cuts[piece + 1] ?? 0];
      if (bounds.length > 0 && bounds.at(-1) === start) bounds[bounds.length - 1] = end;
      else bounds.push(start, end);
    });
    return bounds;
  }

  /** Every class of a level. */
  all(field: Field | number): Runs {
    const level = typeof field === 'number' ? field : fields.indexOf(field);
    return Int32Array.of(0, this.classes(level) - 1);
  }

  #axis(level: number): Axis {
    const axis = this.#axes[level];
    if (axis === undefined) throw new RangeError(`level ${level}`);
    return axis;
  }
}

function axisOf(sets: readonly Values[], end: Point): Axis {
  const zero = typeof end === 'bigint' ? 0n : 0;
  const all: Point[] = [zero, end];
  for (const { bounds } of sets) for (const bound of bounds) if (bound > zero && bound < end) all.push(bound);
  // Sets are in order already: what sorts runs of sorted numbers has little to do.
  all.sort((a, b) => (a < b ? -1 : a > b ? 1 : 0));
  const cuts = all.filter((cut, at) => at === 0 || cut !== all[at - 1]);
  const pieces = cuts.length - 1;
  const pieceRuns = sets.map(({ bounds }) => indexesIn(cuts, bounds));
  const classOf = refine(pieces, pieceRuns);
  const classes = renumber(classOf);
  const runs = new Map(sets.map(({ key }, at) => [key, classRuns(pieceRuns[at] ?? [], classOf, classes)]));
  return { cuts, classOf, classes, runs };
}

/** Where each bound stands among the cuts. Both are in order; a long set is walked along, a short one looked up. */
function indexesIn(cuts: readonly Point[], bounds: readonly Point[]): readonly number[] {
  const isLong = bounds.length * 16 > cuts.length;
  let at = 0;
  return bounds.map((bound) => {
    if (!isLong) return pieceAt(cuts, bound);
    while (at < cuts.length - 1 && (cuts[at] ?? 0) < bound) at++;
    return at;
  });
}

/** Splits the classes of pieces by each set in turn; of a set or what is outside it, whichever is less work. */
function refine(pieces: number, sets: readonly (readonly number[])[]): Int32Array {
  const classOf = new Int32Array(pieces);
  let given = 1;
  for (const bounds of sets) {
    let inside = 0;
    for (let at = 0; at < bounds.length; at += 2) inside += (bounds[at + 1] ?? 0) - (bounds[at] ?? 0);
    const chosen = inside * 2 > pieces ? [0, ...bounds, pieces] : bounds;
    const renamed = new Map<number, number>();
    for (let at = 0; at < chosen.length; at += 2) {
      for (let piece = chosen[at] ?? 0; piece < (chosen[at + 1] ?? 0); piece++) {
        const old = classOf[piece] ?? 0;
        const fresh = renamed.get(old) ?? given++;
        renamed.set(old, fresh);
        classOf[piece] = fresh;
      }
    }
  }
  return classOf;
}

/** Small numbers in the order in which they first appear; how many there are. */
function renumber(classOf: Int32Array): number {
  const numbers = new Map<number, number>();
  classOf.forEach((one, piece) => {
    const number = numbers.get(one) ?? numbers.size;
    numbers.set(one, number);
    classOf[piece] = number;
  });
  return numbers.size;
}

function classRuns(bounds: readonly number[], classOf: Int32Array, classes: number): Runs {
  const inside = new Uint8Array(classes);
  for (let at = 0; at < bounds.length; at += 2) {
    for (let piece = bounds[at] ?? 0; piece < (bounds[at + 1] ?? 0); piece++) inside[classOf[piece] ?? 0] = 1;
  }
  return runsOf(inside);
}

/** Index of the last cut that is not behind a point: of the piece that holds it, for a point of the axis. */
function pieceAt(cuts: readonly Point[], point: Point): number {
  let low = 0;
  let high = cuts.length;
  while (low + 1 < high) {
    const middle = (low + high) >>> 1;
    if ((cuts[middle] ?? 0) <= point) low = middle;
    else high = middle;
  }
  return low;
}
