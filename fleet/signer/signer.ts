// Whoever signs for the fleet: what devices believe is only what came from here.
//
// One interface, so that a key in a file, in a token or on another machine look the same to those who ask.

import type { SignedEnvelope } from '../../agent/contract/bundle.ts';

export interface Signer {
  /** SHA-256 of the raw public key, hex. */
  readonly keyid: string;
  /** Raw Ed25519 public key, 32 bytes. */
  readonly publicKey: Uint8Array;
  /** DSSE: the signature covers the type and exactly these bytes. */
  sign(payloadType: string, payload: Uint8Array): SignedEnvelope;
}
