// Limits as numbers: what one packet costs, how deep the bucket is, and by what its buckets are kept (PACKETS.md §7).

import type { Limit, PacketRule, SynCookies } from '../contract/policy.ts';

export interface Rate {
  /** Nanoseconds: how long one packet's token takes to come back. At least 1. */
  readonly costNs: bigint;
  /** Nanoseconds: the cost of a full bucket. */
  readonly depthNs: bigint;
  readonly per: 'rule' | 'source' | 'flow';
  readonly prefix4: number;
  readonly prefix6: number;
  readonly overDrops: boolean;
}

const secondNs = 1_000_000_000n;
const secondsPer: Readonly<Record<string, bigint>> = { s: 1n, m: 60n, h: 3600n, d: 86_400n };
/** What a bucket holds at the least, where nothing is said. */
const burstLeast = 5;

/** The rate is one that the schema let through. */
export function rateOf(limit: Limit, action: PacketRule['action']): Rate {
  const [count = '1', unit = 's'] = limit.rate.split('/');
  const periodNs = secondNs * (secondsPer[unit] ?? 1n);
  const cost = periodNs / BigInt(count);
  const costNs = cost > 0n ? cost : 1n;
  const burst = limit.burst ?? Math.max(burstLeast, Math.floor(Number(secondNs / costNs)));
  return {
    costNs,
    depthNs: costNs * BigInt(burst),
    per: limit.per ?? 'rule',
    prefix4: limit.prefix?.ipv4 ?? 32,
    prefix6: limit.prefix?.ipv6 ?? 64,
    overDrops: (limit.over ?? (action === 'allow' ? 'drop' : 'next')) === 'drop',
  };
}

/** SYNs of one source that are let in where no cookie can be given. */
const synsPerSource = '10/s';

/** The two limits of a zone with SYN cookies (PACKETS.md §9). */
export function synRates({ above, perSource = synsPerSource }: SynCookies): {
  readonly above: Rate;
  readonly perSource: Rate;
} {
  return {
    above: rateOf({ rate: above }, 'allow'),
    perSource: rateOf({ rate: perSource, per: 'source' }, 'allow'),
  };
}

/** What the buckets of a rule are kept by: the same for the same id and limit, whatever else of the policy changes. */
export function rateDigest(id: string, { costNs, depthNs, per, prefix4, prefix6 }: Rate): bigint {
  return fnv1a64(`${id} ${costNs} ${depthNs} ${per} ${prefix4} ${prefix6}`);
}

/** FNV-1a, 64 bits: names are signed, so that nobody chooses them to collide. */
function fnv1a64(text: string): bigint {
  let hash = 0xcbf29ce484222325n;
  for (const byte of new TextEncoder().encode(text)) {
    hash = BigInt.asUintN(64, (hash ^ BigInt(byte)) * 0x100000001b3n);
  }
  return hash;
}
