// Whose signatures a device believes.
//
// A key is its 32 raw bytes and its id is their SHA-256, computed here and never taken from a message.
// Points of small order are refused: under such a "key" one signature fits many messages (RFC 8032 §8.9
// leaves the check to us), so a file with one in it would make a forger of everybody.

import { createHash, createPublicKey, type KeyObject } from 'node:crypto';

export interface Trusted {
  /** How many different keys must have signed. */
  readonly threshold: number;
  /** By key id: lower-case hex SHA-256 of the raw key. */
  readonly keys: ReadonlyMap<string, KeyObject>;
}

const keyBytes = 32;
/** SubjectPublicKeyInfo of an Ed25519 key up to the key itself (RFC 8410 §4). */
const spkiHead = Buffer.from('302a300506032b6570032100', 'hex');

/** y coordinates, sign bit cleared, of every encoding of a point of order 1, 2, 4 or 8. */
const smallOrder = new Set([
  '0000000000000000000000000000000000000000000000000000000000000000',
  '0100000000000000000000000000000000000000000000000000000000000000',
  '26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05',
  'c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a',
  'ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f',
  'edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f',
  'eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f',
]);

export function keyId(raw: Uint8Array): string {
  return createHash('sha256').update(raw).digest('hex');
}

/** Throws a TypeError that says which key is unfit and why. The same key twice counts once. */
export function trustKeys(rawKeys: readonly Uint8Array[], threshold = 1): Trusted {
  const keys = new Map<string, KeyObject>();
  for (const raw of rawKeys) keys.set(keyId(raw), importKey(raw));
  if (!Number.isInteger(threshold) || threshold < 1 || threshold > keys.size) {
    throw new TypeError(`a threshold of ${threshold} over ${keys.size} different keys`);
  }
  return { threshold, keys };
}

function importKey(raw: Uint8Array): KeyObject {
  const id = keyId(raw).slice(0, 16);
  if (raw.length !== keyBytes) throw new TypeError(`key ${id}: ${raw.length} bytes, not ${keyBytes}`);
  const y = Buffer.from(raw);
  y[keyBytes - 1] = (y[keyBytes - 1] ?? 0) & 0x7f;
  if (smallOrder.has(y.toString('hex'))) throw new TypeError(`key ${id}: a point of small order`);
  if (!isCanonical(y)) throw new TypeError(`key ${id}: not the canonical form of a point`);
  return createPublicKey({ key: Buffer.concat([spkiHead, raw]), format: 'der', type: 'spki' });
}

/** y < 2²⁵⁵ − 19, little endian. */
function isCanonical(y: Uint8Array): boolean {
  const full = y.subarray(1, keyBytes - 1).every((byte) => byte === 0xff) && y[keyBytes - 1] === 0x7f;
  return !full || (y[0] ?? 0) < 0xed;
}
