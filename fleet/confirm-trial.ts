// The controller's word that ends a trial well: signed for this device, bundle and nonce, and for nothing
// that is not its current assignment.

import {
  type Confirmation,
  type ConfirmationAsked,
  payloadTypes,
  type SignedEnvelope,
} from '../agent/contract/bundle.ts';
import { type Clock, unixSeconds } from './clock.ts';
import { canonicalJson } from './policy/bundle.ts';
import type { Signer } from './signer/signer.ts';
import type { AssignmentStore } from './store/assignments.ts';

/** Null where the device is to enforce something else. */
export function confirmTrial(
  parts: {
    readonly tenant: string;
    readonly signer: Signer;
    readonly assignments: Pick<AssignmentStore, 'current'>;
    readonly clock: Clock;
  },
  device: string,
  { serial, digest, nonce }: ConfirmationAsked,
): SignedEnvelope | null {
  const current = parts.assignments.current(device);
  if (current === null || current.serial !== serial || current.digest !== digest) return null;
  const { tenant, signer, clock } = parts;
  const confirmation: Confirmation = {
    v: 1,
    tenant,
    device,
    serial,
    digest,
    nonce,
    issuedAt: unixSeconds(clock),
  };
  return signer.sign(payloadTypes.confirmation, new TextEncoder().encode(canonicalJson(confirmation)));
}
