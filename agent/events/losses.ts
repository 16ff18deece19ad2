// Losses that the kernel counted, as differences that become gap events.
//
// The totals only grow while the programs stay pinned, over restarts of the agent too: what the ring lost
// while nobody read it is a difference like any other. So the last totals told are kept with the spool,
// under the boot they belong to. A total that has become smaller was counted by new maps, from zero.

import type { GapEvent, Stream } from '../contract/event.ts';

/** By the names that the kernel stage gives `enum husk_total`. */
const watched = [
  { total: 'PACKET_EVENTS_LOST', stream: 'packet', where: 'ring' },
  { total: 'PACKET_EVENTS_SUPPRESSED', stream: 'packet', where: 'suppressed' },
  { total: 'CALL_EVENTS_LOST', stream: 'alert', where: 'ring' },
  { total: 'OBSERVED_SUPPRESSED', stream: 'alert', where: 'suppressed' },
] as const satisfies readonly { total: string; stream: Stream; where: GapEvent['where'] }[];

export interface Loss {
  readonly stream: Stream;
  readonly where: GapEvent['where'];
  readonly lost: number;
}

/** Totals as text, so that they can be kept as JSON. */
export type ToldTotals = Readonly<Record<string, string>>;

/** What `totals` has more than `told`, and what is told after it. */
export function newLosses(
  told: ToldTotals,
  totals: Readonly<Record<string, bigint>>,
): { readonly losses: readonly Loss[]; readonly told: ToldTotals } {
  const losses: Loss[] = [];
  const now: Record<string, string> = {};
  for (const { total, stream, where } of watched) {
    const value = totals[total] ?? 0n;
    const before = readTotal(told[total]);
    const lost = Number(value >= before ? value - before : value);
    if (lost > 0) losses.push({ stream, where, lost });
    now[total] = String(value);
  }
  return { losses, told: now };
}

/** From disk, so it may be anything. */
function readTotal(text: unknown): bigint {
  return typeof text === 'string' && /^\d{1,20}$/.test(text) ? BigInt(text) : 0n;
}
