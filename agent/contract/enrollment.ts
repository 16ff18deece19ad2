// How a device without a certificate gets one. Two round trips over the enrollment listener, on a branch
// of the client's own; the token's secret never travels, it only keys the proofs.
//
//   device                                          controller
//     │ hello {v, deviceNonce}                            │
//     │ ────────────────────────────────────────────────▶ │
//     │                          challenge {serverNonce}  │
//     │ ◀──────────────────────────────────────────────── │
//     │ request {csr, hardwareId, proof}                  │   proof  = HMAC(secret, "device" ‖ transcript)
//     │ ────────────────────────────────────────────────▶ │   answer = HMAC(secret, "server" ‖ transcript ‖ answerItems)
//     │              granted {certificate, keys, proof}   │
//     │ ◀──────────────────────────────────────────────── │
//
// The transcript is the list [tenant, claim, client, deviceNonce, serverNonce, hex SHA-256 of the CSR's DER,
// hardwareId], each item with its length in front, so that no two lists read alike.

import type { Refusal } from './refusal.ts';

/**
 * What an operator hands to a device, as one line: `husk-join:` and base64url of this as JSON.
 * It pins whom the device believes: the authority by its certificate's digest, the signer by its key's.
 */
export interface Join {
  readonly v: 1;
  /** `mqtts://host:port` of the enrollment listener. */
  readonly enroll: string;
  /** `mqtts://host:port` of the device listener. */
  readonly broker: string;
  readonly tenant: string;
  readonly token: string;
  /** base64url, 32 bytes. */
  readonly secret: string;
  /** SHA-256 of the authority's certificate (DER), hex. */
  readonly authority: string;
  /** Key id (SHA-256 of the raw public key, hex) that bundles are signed with. */
  readonly signer: string;
}

export const joinPrefix = 'husk-join:';

export interface Hello {
  readonly v: 1;
  readonly step: 'hello';
  /** 32 bytes, hex. */
  readonly deviceNonce: string;
}
export interface Challenge {
  readonly v: 1;
  readonly step: 'challenge';
  readonly serverNonce: string;
}
export interface EnrollmentRequest {
  readonly v: 1;
  readonly step: 'request';
  /** PEM, PKCS #10. Only the public key is taken from it. */
  readonly csr: string;
  /** What tells this box from another: machine id, serial number. */
  readonly hardwareId: string;
  readonly hostname: string;
  /** HMAC-SHA-256, hex. */
  readonly proof: string;
}
export interface Granted {
  readonly v: 1;
  readonly step: 'granted';
  readonly device: string;
  /** PEM: the device's certificate. */
  readonly certificate: string;
  /** PEM: the authority. */
  readonly authority: string;
  /** Ed25519 public keys that sign bundles, base64 of 32 bytes. */
  readonly signers: readonly string[];
  /** Unix seconds, for a device without a clock. */
  readonly time: number;
  readonly proof: string;
}
export interface EnrollmentRefused {
  readonly v: 1;
  readonly step: 'refused';
  readonly refusal: Refusal;
}
export type EnrollmentDown = Challenge | Granted | EnrollmentRefused;
export type EnrollmentUp = Hello | EnrollmentRequest;

/** The names and nonces that one enrollment is about; both sides hold them before a proof is made. */
export interface EnrollmentFacts {
  readonly tenant: string;
  readonly claim: string;
  readonly client: string;
  readonly deviceNonce: string;
  readonly serverNonce: string;
  /** Hex SHA-256 of the CSR's DER. */
  readonly csrDigest: string;
  readonly hardwareId: string;
}

/** The items of the transcript, in their order: what the device's proof covers. */
export function enrollmentItems(facts: EnrollmentFacts): readonly string[] {
  const { tenant, claim, client, deviceNonce, serverNonce, csrDigest, hardwareId } = facts;
  return [tenant, claim, client, deviceNonce, serverNonce, csrDigest, hardwareId];
}

/** What a proof is made over: `enrollmentItems`, and for the server's `answerItems` behind them. Items as UTF-8, each after its length in bytes as four octets, big endian. */
export function enrollmentTranscript(side: 'device' | 'server', items: readonly string[]): Uint8Array {
  const text = new TextEncoder();
  const parts = [`husk-enroll-v1 ${side}`, ...items].map((item) => text.encode(item));
  const out = new Uint8Array(parts.reduce((sum, part) => sum + 4 + part.length, 0));
  const view = new DataView(out.buffer);
  let at = 0;
  for (const part of parts) {
    view.setUint32(at, part.length);
    out.set(part, at + 4);
    at += 4 + part.length;
  }
  return out;
}

/** What the server's proof covers beyond the transcript's own items, after them. */
export function answerItems(granted: Omit<Granted, 'v' | 'step' | 'proof'>): readonly string[] {
  return [granted.device, granted.certificate, granted.authority, String(granted.time), ...granted.signers];
}
