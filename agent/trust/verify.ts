// From bytes that anybody may have sent to an assignment, a bundle, a confirmation that can be acted on.
//
// The order is fixed: size, then form of the envelope, then signatures, and only then is the payload read;
// for a bundle the signed length and the signed digest, and then, apart from it, the JSON. What is signed is read strictly:
// a field this version does not know is a refusal, since a later version may have put a condition into it
// that we would be ignoring. New fields come with a new `v` and a new payload type.
//
// Pure but for node:crypto: no clock, no disk. Serials and what was returned before are the store's to say.

import { createHash, verify as verifySignature } from 'node:crypto';
import * as z from 'zod';
import {
  type Assignment,
  type Confirmation,
  payloadTypes,
  preAuthenticationEncoding,
} from '../contract/bundle.ts';
import { parseJson } from '../contract/json.ts';
import { bundleBytesMax, envelopeBytesMax } from '../contract/limits.ts';
import { type Permit, permitPurposes } from '../contract/permit.ts';
import { RefusalError } from '../contract/refusal.ts';
import { messageOf } from '../contract/thrown.ts';
import { devicePattern, digestPattern, namePattern } from '../contract/topics.ts';
import { decodeBase64 } from './base64.ts';
import type { Trusted } from './keys.ts';

declare const verified: unique symbol;

/** A bundle whose every byte is covered by a trusted signature. Made by `verifyBundle` alone. */
export interface SignedBundle {
  readonly [verified]: true;
  readonly bytes: Uint8Array;
}

/** What a bundle says, its documents not looked at yet: the policy's own parser does that. */
export interface BundleText {
  /** For people. */
  readonly title: string;
  readonly documents: readonly unknown[];
}

/** Signatures of one envelope; more is somebody trying to keep us busy. */
const signaturesMax = 16;
const signatureBytes = 64;
/** Documents of one bundle. */
const documentsMax = 1024;
/** 2 weeks: what a device clamps to is its own business, but a number of this size is a mistake. */
const trialSecondsMax = 14 * 24 * 3600;

const envelopeSchema = z.strictObject({
  payloadType: z.string().max(128),
  payload: z.string(),
  signatures: z
    .array(z.strictObject({ keyid: z.string().regex(digestPattern), sig: z.string().max(128) }))
    .min(1)
    .max(signaturesMax),
});

const counter = z.int().min(1).max(Number.MAX_SAFE_INTEGER);
const unixSeconds = z.int().min(0).max(253_402_300_799);
const digest = z.string().regex(digestPattern);

const assignmentSchema = z.strictObject({
  v: z.literal(1),
  tenant: z.string().regex(namePattern),
  device: z.string().regex(devicePattern),
  serial: counter,
  digest,
  bytes: z.int().min(2),
  trialSeconds: z.int().min(1).max(trialSecondsMax),
  issuedAt: unixSeconds,
});

const confirmationSchema = z.strictObject({
  v: z.literal(1),
  tenant: z.string().regex(namePattern),
  device: z.string().regex(devicePattern),
  serial: counter,
  digest,
  nonce: digest,
  issuedAt: unixSeconds,
});

const permitSchema = z.strictObject({
  v: z.literal(1),
  tenant: z.string().regex(namePattern),
  device: z.string().regex(devicePattern),
  purpose: z.enum(permitPurposes),
  id: z.string().regex(/^[0-9a-f]{32}$/),
  boot: z.string().min(1).max(64),
  notAfter: unixSeconds,
});

const bundleSchema = z.strictObject({
  v: z.literal(1),
  tenant: z.string().regex(namePattern),
  title: z.string().max(256),
  documents: z.array(z.unknown()).max(documentsMax),
});

/** Desired state as it arrived. */
export function verifyAssignment(
  bytes: Uint8Array,
  trusted: Trusted,
  we: { readonly tenant: string; readonly device: string },
): Assignment {
  const payload = verifyEnvelope(bytes, payloadTypes.assignment, trusted);
  const assignment = read(assignmentSchema, payload, 'assignment');
  checkAddressee(assignment, we);
  if (assignment.bytes > bundleBytesMax) {
    throw new RefusalError('bundle.too-large', `${assignment.bytes} bytes, at most ${bundleBytesMax}`);
  }
  return assignment;
}

/** The bundle that the assignment speaks of, by its length and digest. What is in it is `readBundle`'s to say. */
export function verifyBundle(assignment: Assignment, bytes: Uint8Array): SignedBundle {
  if (bytes.length !== assignment.bytes) {
    throw new RefusalError('bundle.digest', `${bytes.length} bytes, ${assignment.bytes} are signed`);
  }
  const arrived = createHash('sha256').update(bytes).digest('hex');
  if (arrived !== assignment.digest) {
    throw new RefusalError('bundle.digest', `SHA-256 ${arrived}, ${assignment.digest} is signed`);
  }
  // The one place where the brand is given.
  return { bytes } as unknown as SignedBundle;
}

/** The text of a bundle that was verified: strict JSON, for this tenant. Throws RefusalError. */
export function readBundle(bytes: Uint8Array, tenant: string): BundleText {
  const { tenant: of, title, documents } = read(bundleSchema, bytes, 'bundle');
  if (of !== tenant) throw new RefusalError('bundle.not-for-us', `bundle of tenant ${of}`);
  return { title, documents };
}

/** The controller's answer that ends a trial. */
export function verifyConfirmation(
  envelope: Uint8Array | object,
  trusted: Trusted,
  expected: Pick<Confirmation, 'tenant' | 'device' | 'serial' | 'digest' | 'nonce'>,
): Confirmation {
  const payload = verifyEnvelope(envelope, payloadTypes.confirmation, trusted);
  const confirmation = read(confirmationSchema, payload, 'confirmation');
  checkAddressee(confirmation, expected);
  for (const field of ['serial', 'digest', 'nonce'] as const) {
    if (confirmation[field] !== expected[field]) {
      throw new RefusalError(
        'bundle.not-for-us',
        `${field} ${confirmation[field]}, expected ${expected[field]}`,
      );
    }
  }
  return confirmation;
}

/** A permit for this device. Purpose, boot, time and whether it was used are for who takes it to look at. */
export function verifyPermit(
  envelope: Uint8Array | object,
  trusted: Trusted,
  we: { readonly tenant: string; readonly device: string },
): Permit {
  const permit = read(permitSchema, verifyEnvelope(envelope, payloadTypes.permit, trusted), 'permit');
  checkAddressee(permit, we);
  return permit;
}

/**
 * The payload's bytes, once enough different trusted keys have signed exactly them as exactly that type.
 * An envelope may come as bytes or as a value taken out of a larger message that was parsed strictly.
 */
function verifyEnvelope(source: Uint8Array | object, payloadType: string, trusted: Trusted): Uint8Array {
  const value = source instanceof Uint8Array ? parseEnvelopeBytes(source) : source;
  const form = envelopeSchema.safeParse(value);
  if (!form.success) throw malformed('envelope', form.error);
  const envelope = form.data;
  if (envelope.payloadType !== payloadType) {
    throw new RefusalError(
      'bundle.malformed',
      `payload type ${quote(envelope.payloadType)}, not ${payloadType}`,
    );
  }
  if (envelope.payload.length > envelopeBytesMax) {
    throw new RefusalError('bundle.too-large', `payload of ${envelope.payload.length} characters`);
  }
  const payload = decodeBase64(envelope.payload);
  if (payload === null) throw new RefusalError('bundle.malformed', 'payload is not strict base64');

  const signed = preAuthenticationEncoding(payloadType, payload);
  const signers = new Set<string>();
  for (const { keyid, sig } of envelope.signatures) {
    // A key is found by its id and then recomputed from its bytes in trustKeys: the id here is only a hint.
    const key = trusted.keys.get(keyid);
    if (key === undefined) continue;
    const signature = decodeBase64(sig);
    if (signature === null || signature.length !== signatureBytes) continue;
    if (verifySignature(null, signed, key, signature)) signers.add(keyid);
  }
  if (signers.size < trusted.threshold) {
    const ids = envelope.signatures.map((one) => one.keyid.slice(0, 16)).join(', ');
    throw new RefusalError(
      'bundle.signature',
      `${signers.size} of ${trusted.threshold} trusted signatures; signed by ${ids}`,
    );
  }
  return payload;
}

function parseEnvelopeBytes(bytes: Uint8Array): unknown {
  if (bytes.length > envelopeBytesMax) {
    throw new RefusalError(
      'bundle.too-large',
      `envelope of ${bytes.length} bytes, at most ${envelopeBytesMax}`,
    );
  }
  return parse(bytes, 'envelope', envelopeBytesMax);
}

function read<T>(schema: z.ZodType<T>, bytes: Uint8Array, what: string): T {
  const result = schema.safeParse(parse(bytes, what, bundleBytesMax));
  if (!result.success) throw malformed(what, result.error);
  return result.data;
}

function parse(bytes: Uint8Array, what: string, bytesMax: number): unknown {
  try {
    return parseJson(bytes, { bytesMax });
  } catch (error) {
    throw new RefusalError('bundle.malformed', `${what}: ${messageOf(error)}`, { cause: error });
  }
}

function checkAddressee(
  signed: { readonly tenant: string; readonly device: string },
  we: { readonly tenant: string; readonly device: string },
): void {
  if (signed.tenant !== we.tenant || signed.device !== we.device) {
    throw new RefusalError('bundle.not-for-us', `it is for ${signed.tenant}/${signed.device}`);
  }
}

function malformed(what: string, error: z.ZodError): RefusalError {
  const faults = error.issues.map((issue) => `${what}.${issue.path.join('.')}: ${issue.message}`);
  return new RefusalError('bundle.malformed', faults.slice(0, 8).join('; '));
}

/** What an operator may see of a text that anybody may have sent. */
function quote(text: string): string {
  return JSON.stringify(text.slice(0, 64));
}
