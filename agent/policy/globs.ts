// Interface names with `*` (any characters, also none) and `?` (one character).

/** Whether a name fits the pattern. Linear in practice: interface names have at most 15 characters. */
export function matchesGlob(pattern: string, name: string): boolean {
  return globsMeet(pattern, name, false);
}

/** Whether some name fits both patterns. */
export function globsOverlap(a: string, b: string): boolean {
  return globsMeet(a, b, true);
}

/**
 * Row by row over all pairs of what is left of both: `reachable[j]` says whether `a` up to here and `b` up
 * to j can be the same name. No backtracking, so that a hostile pattern costs length × length at the most.
 */
function globsMeet(a: string, b: string, bIsPattern: boolean): boolean {
  const anyIn = (text: string, at: number, isPattern: boolean) => isPattern && text[at] === '*';
  const oneFits = (i: number, j: number) => a[i] === '?' || (bIsPattern && b[j] === '?') || a[i] === b[j];
  let reachable = Array.from({ length: b.length + 1 }, () => false);
  reachable[0] = true;
  for (let i = 0; i <= a.length; i++) {
    const next = reachable.map(() => false);
    for (let j = 0; j <= b.length; j++) {
      if (!reachable[j]) continue;
      const starA = i < a.length && anyIn(a, i, true);
      const starB = j < b.length && anyIn(b, j, bIsPattern);
      // A star stands for nothing, or swallows one character (or star) of the other side.
      if (starB) reachable[j + 1] = true;
      if (starA) {
        next[j] = true;
        if (j < b.length) reachable[j + 1] = true;
      } else if (starB && i < a.length) {
        next[j] = true;
      } else if (i < a.length && j < b.length && oneFits(i, j)) {
        next[j + 1] = true;
      }
    }
    if (i === a.length) return reachable[b.length] === true;
    reachable = next;
  }
  return false;
}
