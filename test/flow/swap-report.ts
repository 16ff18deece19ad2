// What swapper.ts tells swap.test.ts, and the one source address both mean.

export const swapSource = '203.0.113.7';

export interface SwapReport {
  readonly swaps: number;
  /** Judged by one whole generation. */
  readonly whole: number;
  /** Found its source in the set of the other generation's rules. */
  readonly torn: number;
  /** Matched no rule: a set was half written. */
  readonly neither: number;
  /** A slot or table was missing. */
  readonly noGeneration: number;
  readonly ingress: number;
  readonly neverDrop: number;
}
