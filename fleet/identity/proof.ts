// Both proofs of an enrollment: HMAC-SHA-256 under the token's secret over the transcript.

import { createHmac, timingSafeEqual } from 'node:crypto';
import {
  answerItems,
  type EnrollmentFacts,
  enrollmentItems,
  enrollmentTranscript,
  type Granted,
} from '../../agent/contract/enrollment.ts';

/** In constant time. `proof` is 64 hex digits, as the parser has seen to. */
export function isDeviceProof(secret: Uint8Array, facts: EnrollmentFacts, proof: string): boolean {
  const expected = hmac(secret, enrollmentTranscript('device', enrollmentItems(facts)));
  const given = Buffer.from(proof, 'hex');
  return given.length === expected.length && timingSafeEqual(given, expected);
}

export function serverProof(
  secret: Uint8Array,
  facts: EnrollmentFacts,
  granted: Omit<Granted, 'v' | 'step' | 'proof'>,
): string {
  const items = [...enrollmentItems(facts), ...answerItems(granted)];
  return hmac(secret, enrollmentTranscript('server', items)).toString('hex');
}

function hmac(secret: Uint8Array, message: Uint8Array): Buffer {
  return createHmac('sha256', secret).update(message).digest();
}
