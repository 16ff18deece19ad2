// Ways through two diagrams laid over one another: which pairs of leaves there are, and a packet's classes for each.

import { type Diagrams, isLeaf, leaf, leafNumber, type NodeId, pairKey } from './diagram.ts';
import { fields, isIpv4, isIpv6, levelOf } from './fields.ts';
import { common, joined, outside, type Runs, runsOf, touches } from './runs.ts';
import type { Space } from './space.ts';

/** One class for each level; null: any. */
export type Path = readonly (number | null)[];
/** Classes for each level; null: all. */
export type Cube = readonly (Runs | null)[];

export interface Wanted {
  /** `rank(level, class)`: lower first. */
  readonly rank?: (level: number, of: number) => number;
  /** A leaf that is not asked for. */
  readonly not?: number;
}

/** Every leaf of `of` that is reached where `within` comes to 1, with the first way there is to it in the order of preference. */
export function leavesWithin(
  diagrams: Diagrams,
  of: NodeId,
  within: NodeId,
  { rank = (_, one) => one, not }: Wanted = {},
): ReadonlyMap<number, Path> {
  const found = new Map<number, Path>();
  const seen = new Set<number>();
  const path: (number | null)[] = fields.map(() => null);
  const walk = (a: NodeId, b: NodeId): void => {
    if (isLeaf(b) && leafNumber(b) === 0) return;
    if (isLeaf(a) && leafNumber(a) === not) return;
    if (isLeaf(a) && isLeaf(b)) {
      if (!found.has(leafNumber(a))) found.set(leafNumber(a), [...path]);
      return;
    }
    const key = pairKey(a, b);
    if (seen.has(key)) return;
    seen.add(key);
    const edges: { readonly a: NodeId; readonly b: NodeId; readonly one: number; readonly order: number }[] =
      [];
    const level = Math.min(diagrams.level(a), diagrams.level(b));
    diagrams.eachEdge(a, b, (last, kidA, kidB, first) => {
      let one = first;
      for (let other = first + 1; other <= last; other++)
        if (rank(level, other) < rank(level, one)) one = other;
      edges.push({ a: kidA, b: kidB, one, order: rank(level, one) });
    });
    for (const edge of edges.sort((x, y) => x.order - y.order)) {
      path[level] = edge.one;
      walk(edge.a, edge.b);
    }
    path[level] = null;
  };
  walk(of, within);
  return found;
}

/**
 * The packets of a leaf as boxes, at most `max`, those that hold no packet of `within` left out.
 * `isAll: false` where there are more.
 */
export function boxesOf(
  diagrams: Diagrams,
  space: Space,
  of: {
    readonly root: NodeId;
    readonly leaf: number;
    readonly within: NodeId;
    readonly ancestry: Ancestry;
  },
  max: number,
): { readonly boxes: readonly Cube[]; readonly isAll: boolean } {
  const leading = of.ancestry.above(of.leaf);
  const boxes: Cube[] = [];
  const box: (Runs | null)[] = fields.map(() => null);
  let isAll = true;
  const walk = (node: NodeId): void => {
    if (!isAll || !leading.has(node)) return;
    if (isLeaf(node)) {
      if (!meets(diagrams, of.within, box)) return;
      if (boxes.length === max) isAll = false;
      else boxes.push(widened(diagrams, space, of.within, box));
      return;
    }
    const level = diagrams.level(node);
    const { lasts, kids } = diagrams.edges(node);
    const classesOf = new Map<NodeId, Uint8Array>();
    kids.forEach((kid, at) => {
      if (!leading.has(kid)) return;
      const marks = classesOf.get(kid) ?? new Uint8Array(space.classes(level));
      marks.fill(1, at === 0 ? 0 : (lasts[at - 1] ?? 0) + 1, (lasts[at] ?? 0) + 1);
      classesOf.set(kid, marks);
    });
    for (const [kid, marks] of classesOf) {
      box[level] = whole(runsOf(marks), space.classes(level));
      walk(kid);
    }
    box[level] = null;
  };
  walk(of.root);
  return { boxes: merged(boxes, space).map((one) => widened(diagrams, space, of.within, one)), isAll };
}

/**
 * The box with what makes no packet more: `to` of the other family, ports of a protocol that has none. The same packets, in
 * fewer words, and boxes that can be made one.
 */
function widened(diagrams: Diagrams, space: Space, within: NodeId, box: Cube): Cube {
  const wide = [...box];
  const isEmpty = (level: number, runs: Runs) => {
    const narrow = [...wide];
    narrow[level] = runs;
    return !meets(diagrams, within, narrow);
  };
  // One side of the two that hang together is widened first, always the same.
  const order = [levelOf.destination, ...box.keys()];
  for (const level of order) {
    const runs = wide[level] ?? null;
    // The protocol is said, though ports or flags would say it.
    if (runs === null || level === levelOf.protocol) continue;
    const missing = outside(runs, space.classes(level));
    if (isEmpty(level, missing)) {
      wide[level] = null;
    } else if (level === levelOf.destination) {
      for (const family of [isIpv4, isIpv6]) {
        const ofFamily = common(missing, space.runs(level, family));
        if (ofFamily.length > 0 && isEmpty(level, ofFamily))
          wide[level] = union(wide[level] ?? null, ofFamily);
      }
    }
  }
  return wide;
}

/** From which nodes below a root a leaf can be reached: upwards from the leaf, since few nodes lead to most of them. */
export class Ancestry {
  readonly #parents = new Map<NodeId, NodeId[]>();

  constructor(diagrams: Diagrams, root: NodeId) {
    const seen = new Set<NodeId>([root]);
    for (const node of seen) {
      if (isLeaf(node)) continue;
      const { kids } = diagrams.edges(node);
      diagrams.step(kids.length);
      for (const kid of kids) {
        seen.add(kid);
        const parents = this.#parents.get(kid);
        if (parents === undefined) this.#parents.set(kid, [node]);
        else if (parents.at(-1) !== node) parents.push(node);
      }
    }
  }

  /** Nodes that lead to a leaf, and the leaf. */
  above(number: number): ReadonlySet<NodeId> {
    const found = new Set<NodeId>([leaf(number)]);
    for (const node of found) for (const parent of this.#parents.get(node) ?? []) found.add(parent);
    return found;
  }
}

/** Whether a box holds a packet for which `within` comes to 1. */
export function meets(diagrams: Diagrams, within: NodeId, box: Cube): boolean {
  const known = new Map<NodeId, boolean>();
  const walk = (node: NodeId): boolean => {
    if (isLeaf(node)) return leafNumber(node) === 1;
    const before = known.get(node);
    if (before !== undefined) return before;
    const { lasts, kids } = diagrams.edges(node);
    diagrams.step(kids.length);
    const runs = box[diagrams.level(node)] ?? null;
    const answer = kids.some(
      (kid, at) => touches(runs, at === 0 ? 0 : (lasts[at - 1] ?? 0) + 1, lasts[at] ?? 0) && walk(kid),
    );
    known.set(node, answer);
    return answer;
  };
  return walk(within);
}

/** Leaves that packets of a box come to. */
export function leavesIn(diagrams: Diagrams, root: NodeId, box: Cube): ReadonlySet<number> {
  const found = new Set<number>();
  const seen = new Set<NodeId>();
  const walk = (node: NodeId): void => {
    if (isLeaf(node)) {
      found.add(leafNumber(node));
      return;
    }
    if (seen.has(node)) return;
    seen.add(node);
    const { lasts, kids } = diagrams.edges(node);
    diagrams.step(kids.length);
    const runs = box[diagrams.level(node)] ?? null;
    kids.forEach((kid, at) => {
      if (touches(runs, at === 0 ? 0 : (lasts[at - 1] ?? 0) + 1, lasts[at] ?? 0)) walk(kid);
    });
  };
  walk(root);
  return found;
}

/** Boxes that differ in one field alone are one box, until there are no such two. */
function merged(boxes: readonly Cube[], space: Space): readonly Cube[] {
  let left = [...boxes];
  for (
    let level = 0, quiet = 0;
    quiet < fields.length && left.length > 1;
    level = (level + 1) % fields.length
  ) {
    const byRest = new Map<string, Cube>();
    for (const box of left) {
      const key = box.map((runs, at) => (at === level ? '' : (runs?.join() ?? '*'))).join('|');
      const same = byRest.get(key);
      byRest.set(
        key,
        same === undefined
          ? box
          : same.map((runs, at) =>
              at === level ? whole(union(runs, box[at] ?? null), space.classes(level)) : runs,
            ),
      );
    }
    quiet = byRest.size === left.length ? quiet + 1 : 0;
    left = [...byRest.values()];
  }
  return left;
}

/** null where it is every class. */
const whole = (runs: Runs | null, classes: number) =>
  runs !== null && runs.length === 2 && runs[0] === 0 && runs[1] === classes - 1 ? null : runs;

const union = (a: Runs | null, b: Runs | null): Runs | null =>
  a === null || b === null ? null : joined([a, b]);
