// What a device says while it enrolls, from bytes to types.

import { z } from 'zod';
import type { EnrollmentUp } from '../../agent/contract/enrollment.ts';
import { parseJson } from '../../agent/contract/json.ts';
import { enrollmentBytesMax } from '../../agent/contract/limits.ts';
import { RefusalError } from '../../agent/contract/refusal.ts';
import { messageOf } from '../../agent/contract/thrown.ts';
import { digestPattern } from '../../agent/contract/topics.ts';

/** 32 bytes in hex: nonces and proofs have the form of a digest. */
const hex32 = z.string().regex(digestPattern);
/** Printable ASCII: what goes into tables and logs as it is. */
const printable = (max: number) =>
  z
    .string()
    .min(1)
    .max(max)
    .regex(/^[\x21-\x7e]+$/);

const up = z.discriminatedUnion('step', [
  z.strictObject({ v: z.literal(1), step: z.literal('hello'), deviceNonce: hex32 }),
  z.strictObject({
    v: z.literal(1),
    step: z.literal('request'),
    csr: z.string().max(8192),
    hardwareId: printable(128),
    hostname: printable(253),
    proof: hex32,
  }),
]);

export function parseEnrollmentUp(bytes: Uint8Array): EnrollmentUp {
  let value: unknown;
  try {
    value = parseJson(bytes, { bytesMax: enrollmentBytesMax, depthMax: 2 });
  } catch (cause) {
    throw new RefusalError('enroll.malformed', messageOf(cause), { cause });
  }
  const parsed = up.safeParse(value);
  if (!parsed.success) {
    const faults = parsed.error.issues.map(
      (issue) => `${issue.path.join('.') || 'message'}: ${issue.message}`,
    );
    throw new RefusalError('enroll.malformed', faults.slice(0, 8).join('; '));
  }
  return parsed.data;
}
