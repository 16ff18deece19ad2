// Token buckets (PACKETS.md §7). A bucket is the time at which it will be full again.

import type { Limit } from '../../contract/policy.ts';
import { maskWord } from '../addresses.ts';
import type { Packet } from '../packet.ts';

/** A limit as read: what one token costs, and what a full bucket is worth. */
export interface Bucket {
  /** The same for a rule of the same id with the same limit, so that it survives swaps. */
  readonly key: string;
  readonly costNs: bigint;
  readonly depthNs: bigint;
  readonly per: 'rule' | 'source' | 'flow';
  readonly prefix: { readonly ipv4: number; readonly ipv6: number };
}

const unitSeconds: Readonly<Record<string, number>> = { s: 1, m: 60, h: 3600, d: 86_400 };
/** Default burst: one second's worth, and no fewer than these. */
const burstMin = 5;
/** Buckets kept here; a device has its own bound. */
const bucketsMax = 65_536;

export function bucketOf(id: string, limit: Limit): Bucket {
  const { per = 'rule' } = limit;
  const [count, unit] = limit.rate.split('/');
  const seconds = unitSeconds[unit ?? ''] ?? 1;
  const cost = (BigInt(seconds) * 1_000_000_000n) / BigInt(count ?? 1);
  const costNs = cost < 1n ? 1n : cost;
  const burst = limit.burst ?? Math.max(burstMin, Math.floor(Number(count) / seconds));
  const prefix = { ipv4: limit.prefix?.ipv4 ?? 32, ipv6: limit.prefix?.ipv6 ?? 64 };
  const cut = per === 'source' ? `${prefix.ipv4} ${prefix.ipv6}` : '';
  return {
    key: `${id} ${limit.rate} ${burst} ${per} ${cut}`,
    costNs,
    depthNs: costNs * BigInt(burst),
    per,
    prefix,
  };
}

export class Limiter {
  /** In the order of their last use, so that the first is the one that waited longest. */
  readonly #fullAtNs = new Map<string, bigint>();

  /** Takes a token; false where there is none. */
  take(bucket: Bucket, packet: Packet, nowNs: bigint): boolean {
    const key = `${bucket.key} ${partOf(bucket, packet)}`;
    const before = this.#fullAtNs.get(key) ?? nowNs;
    const next = (before > nowNs ? before : nowNs) + bucket.costNs;
    const passes = next - nowNs <= bucket.depthNs;
    this.#fullAtNs.delete(key);
    this.#fullAtNs.set(key, passes ? next : before);
    if (this.#fullAtNs.size > bucketsMax) {
      const [waiting] = this.#fullAtNs.keys();
      if (waiting !== undefined) this.#fullAtNs.delete(waiting);
    }
    return passes;
  }
}

/** Which of a rule's buckets a packet takes from. */
function partOf({ per, prefix }: Bucket, packet: Packet): string {
  const { family, source, destination, protocol, ports } = packet;
  if (per === 'rule') return '';
  if (family === 'other') return family;
  if (per === 'flow') {
    return [family, source, destination, protocol, ports?.from ?? 0, ports?.to ?? 0].join(' ');
  }
  const bits = family === 'ipv4' ? 96 + prefix.ipv4 : prefix.ipv6;
  return `${family} ${source.map((word, at) => word & maskWord(bits, at)).join(' ')}`;
}
