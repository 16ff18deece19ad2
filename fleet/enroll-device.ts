// The flow by which a box becomes a device: hello → challenge → request → token and proof → key → certificate.
//
// Order matters. Nothing is kept for a claim that does not exist; the proof is checked before the
// certificate request is looked into, so that only holders of a token reach forge's parser; one transaction
// holds conflict, use of the token and the new row. A challenge serves one request.
//
// The same key may ask again: its answer may have been lost on the way. It gets a new certificate and
// costs no further use, also where the token was used up by that very device.

import { createHash, type KeyObject, randomBytes } from 'node:crypto';
import type { EnrollmentDown, EnrollmentFacts, EnrollmentRequest } from '../agent/contract/enrollment.ts';
import { type Refusal, RefusalError } from '../agent/contract/refusal.ts';
import { namePattern } from '../agent/contract/topics.ts';
import { Allowance } from './allowance.ts';
import { type Clock, unixSeconds } from './clock.ts';
import type { Authority } from './identity/authority.ts';
import { publicKeyOfRequest, requestDer } from './identity/certificate-request.ts';
import { deviceIdOf } from './identity/device-id.ts';
import { parseEnrollmentUp } from './identity/message.ts';
import { isDeviceProof, serverProof } from './identity/proof.ts';
import type { Signer } from './signer/signer.ts';
import type { Store } from './store/open.ts';
import type { Token } from './store/tokens.ts';

export interface EnrollmentParts {
  readonly tenant: string;
  readonly authority: Authority;
  readonly signer: Signer;
  readonly store: Pick<Store, 'devices' | 'tokens' | 'audit' | 'transaction'>;
  readonly clock: Clock;
}

/** Challenges that wait for their request, over all claims. The oldest goes first. */
const pendingMax = 1024;
/** How long a challenge may wait. */
const pendingMs = 60_000;
/** Failed proofs of one token: enough for typing errors, too few to keep us busy. */
const failures = { burst: 10, perSecond: 1 / 30 };

interface Pending {
  readonly deviceNonce: string;
  readonly serverNonce: string;
  readonly at: number;
}

export class Enrollment {
  readonly #parts: EnrollmentParts;
  readonly #pending = new Map<string, Pending>();
  readonly #failures: Allowance;

  constructor(parts: EnrollmentParts) {
    this.#parts = parts;
    this.#failures = new Allowance({ rate: failures, keysMax: 4096, now: () => parts.clock.now() });
  }

  get pending(): number {
    return this.#pending.size;
  }

  /** Whether there is such a token. Costs one look into the database. */
  knows(claim: string): boolean {
    return this.#parts.store.tokens.find(claim) !== null;
  }

  /** What to answer on the client's own branch; null where not even a refusal is due. */
  answer(claim: string, client: string, bytes: Uint8Array): EnrollmentDown | null {
    if (!namePattern.test(claim) || !namePattern.test(client)) return null;
    try {
      const message = parseEnrollmentUp(bytes);
      return message.step === 'hello'
        ? this.#challenge(claim, client, message.deviceNonce)
        : this.#grant(claim, client, message);
    } catch (error) {
      if (!(error instanceof RefusalError)) throw error;
      const refusal: Refusal = { code: error.code, detail: error.detail };
      return { v: 1, step: 'refused', refusal };
    }
  }

  #challenge(claim: string, client: string, deviceNonce: string): EnrollmentDown {
    this.#liveToken(claim);
    const serverNonce = randomBytes(32).toString('hex');
    const key = `${claim}/${client}`;
    this.#pending.delete(key);
    this.#pending.set(key, { deviceNonce, serverNonce, at: this.#parts.clock.now() });
    if (this.#pending.size > pendingMax) {
      const oldest = this.#pending.keys().next().value;
      if (oldest !== undefined) this.#pending.delete(oldest);
    }
    return { v: 1, step: 'challenge', serverNonce };
  }

  #grant(claim: string, client: string, request: EnrollmentRequest): EnrollmentDown {
    const { deviceNonce, serverNonce } = this.#takePending(claim, client);
    const token = this.#liveToken(claim);
    if (this.#failures.left(claim) < 1) {
      throw new RefusalError('enroll.proof', 'too many wrong proofs of this token; try again in a minute');
    }
    const der = requestDer(request.csr);
    const facts: EnrollmentFacts = {
      tenant: this.#parts.tenant,
      claim,
      client,
      deviceNonce,
      serverNonce,
      csrDigest: createHash('sha256').update(der).digest('hex'),
      hardwareId: request.hardwareId,
    };
    if (!isDeviceProof(token.secret, facts, request.proof)) {
      this.#failures.take(claim);
      throw new RefusalError('enroll.proof', 'it was not made with the secret of this token');
    }
    const publicKey = publicKeyOfRequest(der);
    return this.#admit(token, facts, publicKey, request.hostname);
  }

  #admit(token: Token, facts: EnrollmentFacts, publicKey: KeyObject, hostname: string): EnrollmentDown {
    const { store, authority, signer, clock } = this.#parts;
    const device = deviceIdOf(publicKey);
    const { hardwareId } = facts;
    const certificate = store.transaction(() => {
      const again = this.#enrolledBefore(device, hardwareId);
      const isRepeat = again !== null && again.token === token.id;
      if (!isRepeat && !store.tokens.use(token.id)) {
        throw new RefusalError('enroll.token-unknown', 'it is used up');
      }
      const issued = authority.issueDevice({ device, publicKey });
      store.devices.enroll({
        id: device,
        hardwareId,
        hostname,
        token: token.id,
        at: clock.now(),
        certificateSerial: issued.serial,
        certificateExpires: issued.notAfter.getTime(),
      });
      store.audit.append(
        {
          who: `token ${token.id}`,
          what: again === null ? 'device.enroll' : 'device.enroll-again',
          object: device,
          detail: { hardwareId, hostname, certificate: issued.serial },
        },
        clock.now(),
      );
      return issued.pem;
    });
    const granted = {
      device,
      certificate,
      authority: authority.certificate,
      signers: [Buffer.from(signer.publicKey).toString('base64')],
      time: unixSeconds(clock),
    };
    return { v: 1, step: 'granted', ...granted, proof: serverProof(token.secret, facts, granted) };
  }

  /** The device as it is enrolled now; a conflict where key and hardware do not belong together. */
  #enrolledBefore(device: string, hardwareId: string): { readonly token: string } | null {
    const { devices } = this.#parts.store;
    const ofHardware = devices.ofHardware(hardwareId);
    if (ofHardware !== null && ofHardware.id !== device) {
      throw new RefusalError(
        'enroll.conflict',
        `hardware id ${hardwareId} belongs to ${ofHardware.id}; \`husk device forget\` it if the box was set up anew`,
      );
    }
    const ofKey = devices.find(device);
    if (ofKey === null || ofKey.state !== 'enrolled') return null;
    if (ofKey.hardwareId !== hardwareId) {
      throw new RefusalError('enroll.conflict', `this key is enrolled with hardware id ${ofKey.hardwareId}`);
    }
    return ofKey;
  }

  #takePending(claim: string, client: string): Pending {
    const key = `${claim}/${client}`;
    const pending = this.#pending.get(key);
    this.#pending.delete(key);
    if (pending === undefined || this.#parts.clock.now() - pending.at > pendingMs) {
      throw new RefusalError('enroll.malformed', 'a request without a challenge that is still open');
    }
    return pending;
  }

  /** A token that may enroll; whether a use is left is looked at later, under the transaction. */
  #liveToken(claim: string): Token {
    const token = this.#parts.store.tokens.find(claim);
    if (token === null) throw new RefusalError('enroll.token-unknown', 'there is no such token');
    if (token.revokedAt !== null) throw new RefusalError('enroll.token-unknown', 'it was revoked');
    if (token.expiresAt <= this.#parts.clock.now()) {
      throw new RefusalError('enroll.token-unknown', 'it has expired');
    }
    return token;
  }
}
