// A permit for one device: signed, on record, and handed to whoever asked for it. It is carried to the device by hand.

import { randomBytes } from 'node:crypto';
import { payloadTypes, type SignedEnvelope } from '../agent/contract/bundle.ts';
import type { Permit, PermitPurpose } from '../agent/contract/permit.ts';
import { unixSeconds } from './clock.ts';
import { canonicalJson } from './policy/bundle.ts';
import type { PublishParts } from './publish-policy.ts';

export interface PermitOrder {
  /** Id of an enrolled device. */
  readonly device: string;
  readonly purpose: PermitPurpose;
  /** Its boot id, as the device tells it. */
  readonly boot: string;
  readonly validSeconds: number;
  readonly who: string;
}

export interface SignedPermit {
  readonly permit: Permit;
  readonly envelope: SignedEnvelope;
}

const idBytes = 16;

export function signPermit(
  { tenant, signer, store, clock }: Pick<PublishParts, 'tenant' | 'signer' | 'store' | 'clock'>,
  { device, purpose, boot, validSeconds, who }: PermitOrder,
): SignedPermit {
  const permit: Permit = {
    v: 1,
    tenant,
    device,
    purpose,
    id: randomBytes(idBytes).toString('hex'),
    boot,
    notAfter: unixSeconds(clock) + validSeconds,
  };
  const { id, notAfter } = permit;
  store.transaction(() =>
    store.audit.append(
      { who, what: 'device.permit', object: device, detail: { permit: id, purpose, boot, notAfter } },
      clock.now(),
    ),
  );
  const envelope = signer.sign(payloadTypes.permit, Buffer.from(canonicalJson(permit)));
  return { permit, envelope };
}
