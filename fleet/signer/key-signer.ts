// A signer over an Ed25519 key that this process holds.

import { createHash, createPublicKey, generateKeyPairSync, type KeyObject, sign } from 'node:crypto';
import { preAuthenticationEncoding } from '../../agent/contract/bundle.ts';
import type { Signer } from './signer.ts';

/** Bytes of a SubjectPublicKeyInfo before the raw key (RFC 8410 §4). */
const spkiHeadBytes = 12;

export function generateSigningKey(): KeyObject {
  return generateKeyPairSync('ed25519').privateKey;
}

export function keySigner(privateKey: KeyObject): Signer {
  if (privateKey.asymmetricKeyType !== 'ed25519') {
    throw new TypeError(`the signing key is ${privateKey.asymmetricKeyType}, not ed25519`);
  }
  const spki = createPublicKey(privateKey).export({ format: 'der', type: 'spki' });
  const publicKey = new Uint8Array(spki.subarray(spkiHeadBytes));
  const keyid = createHash('sha256').update(publicKey).digest('hex');
  return {
    keyid,
    publicKey,
    sign(payloadType, payload) {
      const sig = sign(null, preAuthenticationEncoding(payloadType, payload), privateKey);
      return {
        payloadType,
        payload: Buffer.from(payload).toString('base64'),
        signatures: [{ keyid, sig: sig.toString('base64') }],
      };
    },
  };
}
