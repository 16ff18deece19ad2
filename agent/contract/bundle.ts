// A bundle as it travels, and what is signed about it.
//
//   desired state (retained, ≤ 16 KiB)     bundle (parts of 64 KiB, on demand)
//   ┌ SignedEnvelope ────────────────┐     ┌ bytes ─────────────────────────────┐
//   │ payload: Assignment            │     │ JSON of Bundle: the documents of   │
//   │   device, serial, trial length │ ──▶ │ the policy; found by digest, taken │
//   │   digest and length of bundle  │     │ only with the signed length        │
//   │ signatures: Ed25519            │     └────────────────────────────────────┘
//   └────────────────────────────────┘
//
// The envelope is DSSE (github.com/secure-systems-lab/dsse, protocol.md v1.0): a signature covers the
// payload's type and exact bytes, and only bytes that were verified are parsed.

import type { PolicyDocument } from './policy.ts';

/** DSSE envelope. `payload` and `sig` are base64 (RFC 4648 §4, padded). */
export interface SignedEnvelope {
  readonly payloadType: string;
  readonly payload: string;
  readonly signatures: readonly { readonly keyid: string; readonly sig: string }[];
}

export const payloadTypes = {
  assignment: 'application/vnd.husk.assignment.v1+json',
  confirmation: 'application/vnd.husk.confirmation.v1+json',
  permit: 'application/vnd.husk.permit.v1+json',
} as const;

/** What one device is to enforce. */
export interface Assignment {
  readonly v: 1;
  readonly tenant: string;
  readonly device: string;
  /** Only grows. The same serial with the same digest is the same assignment. */
  readonly serial: number;
  /** SHA-256 of the bundle, hex. */
  readonly digest: string;
  /** Its length in bytes. */
  readonly bytes: number;
  /** How long the trial may take; the device clamps it to its own configuration. */
  readonly trialSeconds: number;
  /** Unix seconds. */
  readonly issuedAt: number;
}

/** The controller's answer that ends a trial well: it saw this device, this bundle and this nonce. */
export interface Confirmation {
  readonly v: 1;
  readonly tenant: string;
  readonly device: string;
  readonly serial: number;
  readonly digest: string;
  /** The trial's nonce, hex, 32 bytes: made by the device for this trial alone. */
  readonly nonce: string;
  readonly issuedAt: number;
}

/** What the digest is of. */
export interface Bundle {
  readonly v: 1;
  readonly tenant: string;
  /** For people, as in `branch-wan 2026-11-23`. */
  readonly title: string;
  readonly documents: readonly PolicyDocument[];
}

/** body of `ask.parts` */
export interface PartsAsked {
  readonly digest: string;
  /** First part wanted and how many; the controller may send fewer. */
  readonly from: number;
  readonly count: number;
}

/** body of `ask.confirm`, sent only over a connection opened after the swap */
export interface ConfirmationAsked {
  readonly serial: number;
  readonly digest: string;
  readonly nonce: string;
}

/** DSSE pre-authentication encoding (PAE): what is signed. Lengths in bytes, ASCII decimal. */
export function preAuthenticationEncoding(payloadType: string, payload: Uint8Array): Uint8Array {
  const text = new TextEncoder();
  const type = text.encode(payloadType);
  const head = text.encode(`DSSEv1 ${type.length} ${payloadType} ${payload.length} `);
  const out = new Uint8Array(head.length + payload.length);
  out.set(head);
  out.set(payload, head.length);
  return out;
}
