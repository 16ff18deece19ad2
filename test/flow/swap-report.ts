// What swapper.ts tells swap.test.ts, and the addresses both mean.

/** Where what arrives comes from, and where what is sent and called goes to. */
export const swapPeer = '203.0.113.7';

/** What the invocations of one hook met, by the counters of the rules. */
export interface HookReport {
  /** Judged by one whole generation. */
  readonly whole: number;
  /** Found its address in the set of the other generation's rules. */
  readonly torn: number;
  /** Matched no rule: a set was half written. */
  readonly neither: number;
}

export interface SwapReport {
  readonly swaps: number;
  readonly ingress: HookReport;
  readonly egress: HookReport;
  readonly connect: HookReport;
  /** A slot or table was missing. */
  readonly noGeneration: number;
  /** Packets that came by, of both directions. */
  readonly packets: number;
  readonly neverDrop: number;
  /** What the caller's connect() got: EPERM, which a whole generation gives, or anything else. */
  readonly refused: number;
  readonly notRefused: number;
}
