// Randomness, passed in so that a test can repeat a run.

import { randomBytes } from 'node:crypto';

export interface Random {
  bytes(count: number): Uint8Array;
  /** 0 inclusive to 1 exclusive; for jitter, never for secrets. */
  fraction(): number;
}

export const systemRandom: Random = {
  bytes: (count) => randomBytes(count),
  fraction: Math.random,
};

/** Lower-case hex of that many random bytes. */
export function hexNonce(random: Random, byteCount: number): string {
  return Buffer.from(random.bytes(byteCount)).toString('hex');
}
