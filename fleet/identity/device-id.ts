// A device's name comes from its key, so that nobody can choose one or take another's.

import { createHash, type KeyObject } from 'node:crypto';

const alphabet = 'abcdefghijklmnopqrstuvwxyz234567';
const idLetters = 26;

/** The first 26 letters (130 bits) of base32 of SHA-256 of the key's SubjectPublicKeyInfo. */
export function deviceIdOf(publicKey: KeyObject): string {
  const spki = publicKey.export({ format: 'der', type: 'spki' });
  return base32(createHash('sha256').update(spki).digest()).slice(0, idLetters);
}

/** RFC 4648 §6, lower case, without padding. */
export function base32(bytes: Uint8Array): string {
  let out = '';
  let bits = 0;
  let held = 0;
  for (const byte of bytes) {
    held = (held << 8) | byte;
    bits += 8;
    while (bits >= 5) {
      bits -= 5;
      out += alphabet[(held >> bits) & 31];
    }
    held &= (1 << bits) - 1;
  }
  return bits > 0 ? out + alphabet[(held << (5 - bits)) & 31] : out;
}
