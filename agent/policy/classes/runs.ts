// Sets of classes as runs: first, last, first, last, both ends meant, in order, and none touches the next.

export type Runs = Int32Array;

/** Runs of those marked 1. */
export function runsOf(inside: Uint8Array): Runs {
  const runs: number[] = [];
  for (let at = 0; at < inside.length; at++) {
    if (inside[at] !== 1) continue;
    if (runs.length > 0 && runs.at(-1) === at - 1) runs[runs.length - 1] = at;
    else runs.push(at, at);
  }
  return Int32Array.from(runs);
}

/** Whether one of the classes is between two, both ends meant; null: all of them are there. */
export function touches(runs: Runs | null, first: number, last: number): boolean {
  if (runs === null) return true;
  const at = runFrom(runs, first);
  return at < runs.length && (runs[at] ?? 0) <= last;
}

/** Where the first run stands that ends at a class or behind it. */
function runFrom(runs: Runs, first: number): number {
  let [low, high] = [0, runs.length >> 1];
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((runs[middle * 2 + 1] ?? 0) < first) low = middle + 1;
    else high = middle;
  }
  return low * 2;
}

/** Whether both have a class in common; null: all classes. */
export function meetsRuns(a: Runs | null, b: Runs | null): boolean {
  if (a === null || b === null) return true;
  let [i, j] = [0, 0];
  while (i < a.length && j < b.length) {
    if ((a[i + 1] ?? 0) < (b[j] ?? 0)) i += 2;
    else if ((b[j + 1] ?? 0) < (a[i] ?? 0)) j += 2;
    else return true;
  }
  return false;
}

/** By the shorter of the two: of a rule's few runs, each is looked for among the many of all rules. */
export function common(a: Runs, b: Runs): Runs {
  const [few, many] = a.length <= b.length ? [a, b] : [b, a];
  const runs: number[] = [];
  for (let at = 0; at < few.length; at += 2) {
    const [first, last] = [few[at] ?? 0, few[at + 1] ?? 0];
    for (let of = runFrom(many, first); of < many.length && (many[of] ?? 0) <= last; of += 2)
      runs.push(Math.max(first, many[of] ?? 0), Math.min(last, many[of + 1] ?? 0));
  }
  return Int32Array.from(runs);
}

/** All that is in any of them. */
export function joined(all: readonly Runs[]): Runs {
  const pairs: (readonly [first: number, last: number])[] = [];
  for (const runs of all)
    for (let at = 0; at < runs.length; at += 2) pairs.push([runs[at] ?? 0, runs[at + 1] ?? 0]);
  pairs.sort((a, b) => a[0] - b[0]);
  const out: number[] = [];
  for (const [first, last] of pairs) {
    const end = out.at(-1);
    if (end !== undefined && first <= end + 1) out[out.length - 1] = Math.max(end, last);
    else out.push(first, last);
  }
  return Int32Array.from(out);
}

/** All classes below `classes` but these. */
export function outside(runs: Runs, classes: number): Runs {
  const out: number[] = [];
  let first = 0;
  for (let at = 0; at < runs.length; at += 2) {
    const start = runs[at] ?? 0;
    if (first < start) out.push(first, start - 1);
    first = (runs[at + 1] ?? 0) + 1;
  }
  if (first < classes) out.push(first, classes - 1);
  return Int32Array.from(out);
}
