// Why packets were stopped, as it can be asked: for each rule or reason at each interface since when, how often, and what
// the last of them looked like. Kept in memory, from the events; what lasts is in the spool and the counters.

import type { PacketEvent } from '../contract/event.ts';

export interface Drop {
  readonly rule: string | null;
  readonly reason: string;
  readonly verdict: PacketEvent['verdict'];
  readonly mode: PacketEvent['mode'];
  readonly interface: string;
  readonly zone: string | null;
  readonly hook: string;
  /** Of those that became events: beyond the budget of events, and of the rule's `log.sample`, counters alone tell. */
  readonly packets: number;
  /** Milliseconds of boot time, of the first and of the last. */
  readonly sinceMs: number;
  readonly lastMs: number;
  /** The last of them, with its first bytes in hex. */
  readonly last: PacketEvent;
}

/** Rules and reasons at interfaces that are kept; beyond, the one that waited longest goes. */
const dropsMax = 1024;

export class Drops {
  /** In the order of their last packets. */
  readonly #drops = new Map<string, Drop>();

  add(event: PacketEvent, bootMs: number): void {
    if (event.verdict === 'allow' || event.verdict === 'log') return;
    const key = [event.rule ?? event.reason, event.mode, event.interface, event.hook].join(' ');
    const known = this.#drops.get(key);
    this.#drops.delete(key);
    this.#drops.set(key, {
      rule: event.rule,
      reason: event.reason,
      verdict: event.verdict,
      mode: event.mode,
      interface: event.interface,
      zone: event.zone ?? null,
      hook: event.hook,
      packets: (known?.packets ?? 0) + event.count,
      sinceMs: known?.sinceMs ?? bootMs,
      lastMs: bootMs,
      last: event,
    });
    if (this.#drops.size <= dropsMax) return;
    const [oldest] = this.#drops.keys();
    if (oldest !== undefined) this.#drops.delete(oldest);
  }

  /** The newest first. */
  list(): readonly Drop[] {
    return [...this.#drops.values()].reverse();
  }
}
