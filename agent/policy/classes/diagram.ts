// Decision diagrams over the classes of a space: which outcome each packet has.
//
// A node stands at a level (a field) and sends each of its classes on to a node of a later level or to a leaf. Nodes
// are interned, so that the same function is the same node, and comparing is comparing numbers.
//
//   level protocol   [0: others] ──────────────▶ leaf "drop"
//                    [1: tcp] ─▶ level portTo  [0: others] ─▶ leaf "drop"
//                                              [1: 22] ─────▶ leaf "allow"
//
// The bound on nodes and on steps is what a policy can be refused for: it ends in an error and never in half an answer.

/** Node: at or above 0. Leaf `n`: `-1 - n`. */
export type NodeId = number;
export const leaf = (number: number): NodeId => -1 - number;
export const isLeaf = (node: NodeId) => node < 0;
export const leafNumber = (node: NodeId) => -1 - node;

export interface Bounds {
  /** Nodes of one space. */
  readonly nodesMax: number;
  /** Steps of building and walking, some millions a second. */
  readonly stepsMax: number;
  /** Called now and then. */
  readonly onSteps?: (steps: number, max: number) => void;
}

/** Some minutes at the most, and a gigabyte. */
export const usualBounds: Bounds = { nodesMax: 3_000_000, stepsMax: 320_000_000 };
/** Where somebody waits for something else: well below a minute. */
export const shortBounds: Bounds = { nodesMax: 1_000_000, stepsMax: 80_000_000 };

/** The rules have more classes of packets than there is room or time for. */
export class ClassesTooManyError extends Error {
  override readonly name = 'ClassesTooManyError';
  readonly code = 'classes.too-many';
}

interface Node {
  readonly level: number;
  /** Last class of each edge, in order. */
  readonly lasts: Int32Array;
  readonly kids: Int32Array;
}

/** Between two calls of `onSteps`: some tenths of a second. */
const stepsBetween = 500_000;

/** A node number is an exact part of a pair's key: 2^26 × 2^26 is below 2^53. */
const pairBase = 2 ** 26;

export class Diagrams {
  readonly #levels: readonly number[];
  readonly #bounds: Bounds;
  readonly #nodes: Node[] = [];
  readonly #interned = new Map<number, NodeId[]>();
  #steps = 0;
  #stepsTold = 0;

  /** `levels`: how many classes each level has. */
  constructor(levels: readonly number[], bounds: Bounds = usualBounds) {
    this.#levels = levels;
    this.#bounds = bounds;
  }

  get nodes(): number {
    return this.#nodes.length;
  }

  get steps(): number {
    return this.#steps;
  }

  /** Infinite for a leaf. */
  level(node: NodeId): number {
    return isLeaf(node) ? Number.POSITIVE_INFINITY : this.#at(node).level;
  }

  edges(node: NodeId): { readonly lasts: Int32Array; readonly kids: Int32Array } {
    return this.#at(node);
  }

  classes(level: number): number {
    return this.#levels[level] ?? 1;
  }

  /** Throws ClassesTooManyError where the bound on steps is passed. */
  step(count = 1): void {
    this.#steps += count;
    if (this.#steps - this.#stepsTold > stepsBetween) {
      this.#stepsTold = this.#steps;
      this.#bounds.onSteps?.(this.#steps, this.#bounds.stepsMax);
    }
    if (this.#steps > this.#bounds.stepsMax) throw tooMany(`after ${this.#bounds.stepsMax} steps`);
  }

  /** The node with these edges; what all edges agree on where they do. Equal neighbours are made one. */
  node(level: number, lasts: readonly number[], kids: readonly NodeId[]): NodeId {
    const keptLasts: number[] = [];
    const keptKids: number[] = [];
    kids.forEach((kid, at) => {
      if (keptKids.length > 0 && keptKids.at(-1) === kid) keptLasts[keptLasts.length - 1] = lasts[at] ?? 0;
      else {
        keptKids.push(kid);
        keptLasts.push(lasts[at] ?? 0);
      }
    });
    if (keptKids.length === 1) return keptKids[0] ?? leaf(0);
    return this.#intern(level, keptLasts, keptKids);
  }

  #intern(level: number, lasts: readonly number[], kids: readonly number[]): NodeId {
    let hash = level;
    for (let at = 0; at < kids.length; at++) {
      hash = (Math.imul(hash, 31) + (lasts[at] ?? 0)) | 0;
      hash = (Math.imul(hash, 0x01000193) ^ (kids[at] ?? 0)) | 0;
    }
    const same = this.#interned.get(hash) ?? [];
    for (const id of same) {
      const node = this.#at(id);
      if (node.level === level && equal(node.lasts, lasts) && equal(node.kids, kids)) return id;
    }
    const id = this.#nodes.length;
    if (id >= this.#bounds.nodesMax) throw tooMany(`with ${id} nodes`);
    this.#nodes.push({ level, lasts: Int32Array.from(lasts), kids: Int32Array.from(kids) });
    this.#interned.set(hash, [...same, id]);
    return id;
  }

  /** The diagram of `of(leaf of a, leaf of b)`. */
  combine(a: NodeId, b: NodeId, of: (a: number, b: number) => number): NodeId {
    const known = new Map<number, NodeId>();
    const walk = (one: NodeId, other: NodeId): NodeId => {
      if (isLeaf(one) && isLeaf(other)) return leaf(of(leafNumber(one), leafNumber(other)));
      const key = pairKey(one, other);
      const before = known.get(key);
      if (before !== undefined) return before;
      const lasts: number[] = [];
      const kids: NodeId[] = [];
      const level = this.eachEdge(one, other, (last, kidOne, kidOther) => {
        lasts.push(last);
        kids.push(walk(kidOne, kidOther));
      });
      const node = this.node(level, lasts, kids);
      known.set(key, node);
      return node;
    };
    return walk(a, b);
  }

  /** Edges of both at the upper one's level, cut where either changes; the level. */
  eachEdge(a: NodeId, b: NodeId, visit: (last: number, a: NodeId, b: NodeId, first: number) => void): number {
    const [levelA, levelB] = [this.level(a), this.level(b)];
    const level = Math.min(levelA, levelB);
    const one = levelA === level ? this.#at(a) : null;
    const other = levelB === level ? this.#at(b) : null;
    let [i, j, first] = [0, 0, 0];
    const end = this.classes(level) - 1;
    while (first <= end) {
      this.step();
      const last = Math.min(one?.lasts[i] ?? end, other?.lasts[j] ?? end);
      visit(last, one?.kids[i] ?? a, other?.kids[j] ?? b, first);
      if (one?.lasts[i] === last) i++;
      if (other?.lasts[j] === last) j++;
      first = last + 1;
    }
    return level;
  }

  #at(node: NodeId): Node {
    const found = this.#nodes[node];
    if (found === undefined) throw new RangeError(`no node ${node}`);
    return found;
  }
}

export const pairKey = (a: NodeId, b: NodeId) => (a + pairBase / 2) * pairBase + (b + pairBase / 2);

export const tooMany = (where: string) =>
  new ClassesTooManyError(
    `these rules part packets into more classes than can be gone through (given up ${where}); ` +
      'fewer rules with overlapping ranges in one list, or prefixes gathered in sets, make it less',
  );

function equal(a: Int32Array, b: readonly number[]): boolean {
  if (a.length !== b.length) return false;
  for (let at = 0; at < a.length; at++) if (a[at] !== b[at]) return false;
  return true;
}
