// The device's side of enrollment (contract/enrollment.ts): a join line becomes an identity, once.
//
//   pinned authority ─▶ channel ─▶ hello ─▶ challenge ─▶ request ─▶ granted ─▶ checked ─▶ identity
//                                                            └────▶ refused: shown, tried again much later
//
// What the answer says is believed only as far as it agrees with the join line: the proof shows that the
// server holds the token's secret and speaks of this very exchange; the authority must be the pinned one;
// of the signers only the pinned one is kept; the certificate must be for our key, from that authority.

import { createHash, createHmac, createPublicKey, timingSafeEqual, X509Certificate } from 'node:crypto';
import * as z from 'zod';
import {
  answerItems,
  type EnrollmentDown,
  type EnrollmentFacts,
  type EnrollmentUp,
  enrollmentItems,
  enrollmentTranscript,
  type Granted,
  type Join,
} from '../contract/enrollment.ts';
import { parseJson } from '../contract/json.ts';
import { enrollmentBytesMax } from '../contract/limits.ts';
import { type Refusal, type RefusalCode, refusals } from '../contract/refusal.ts';
import { messageOf } from '../contract/thrown.ts';
import { devicePattern, digestPattern } from '../contract/topics.ts';
import { hexNonce, type Random } from '../os/random.ts';
import { decodeBase64, decodeBase64Url } from './base64.ts';
import type { CertificateRequest, Identity } from './identity.ts';
import { keyId, trustKeys } from './keys.ts';

/** A way to the enrollment listener and back, on the branch of one client. */
export interface EnrollmentChannel {
  send(message: string): Promise<void>;
  /** The next message; rejects when the channel closes or the signal fires. */
  receive(signal: AbortSignal): Promise<Uint8Array>;
  close(): Promise<void>;
}

export interface EnrollmentParts {
  readonly join: Join;
  /** PEM. */
  readonly key: string;
  readonly request: CertificateRequest;
  readonly hardwareId: string;
  readonly hostname: string;
  readonly random: Random;
  /** Connects to `join.enroll` with this authority alone, as this client. */
  readonly open: (authority: string, client: string, signal: AbortSignal) => Promise<EnrollmentChannel>;
  /** PEM of the certificate with the pinned digest. */
  readonly authority: (signal: AbortSignal) => Promise<string>;
}

export interface Enrolled {
  readonly identity: Identity;
  /** The controller's time, Unix seconds; as believable as the rest of the answer. */
  readonly time: number;
}

/** The controller said no. */
export class EnrollmentRefusal extends Error {
  override readonly name = 'EnrollmentRefusal';
  readonly refusal: Refusal;
  constructor(refusal: Refusal) {
    const advice = whatToDo[refusal.code];
    super(`${refusal.code}: ${refusal.detail}${advice === undefined ? '' : `. ${advice}`}`);
    this.refusal = refusal;
  }
}

/** The answer does not hold what the join line pins: whoever sent it is not the controller it names. */
export class UntrustedAnswer extends Error {
  override readonly name = 'UntrustedAnswer';
}

const whatToDo: Partial<Readonly<Record<RefusalCode, string>>> = {
  'enroll.token-unknown': 'Make a new token (husk token create) and give this device its join line',
  'enroll.proof': 'The join line is damaged or its token was replaced; give this device a new one',
  'enroll.csr': 'The controller and this agent do not fit together; compare their versions',
  'enroll.conflict':
    'Another device has this hardware id: remove that device (husk device) if it is this one, or set hardwareId in the configuration',
};

/** For each answer of the controller. */
const answerMsMax = 30_000;
/** Certificates and keys are short lists; see contract/enrollment.ts. */
const signersMax = 16;

const nonce = z.string().regex(digestPattern);
const downSchema: z.ZodType<EnrollmentDown> = z.discriminatedUnion('step', [
  z.strictObject({ v: z.literal(1), step: z.literal('challenge'), serverNonce: nonce }),
  z.strictObject({
    v: z.literal(1),
    step: z.literal('granted'),
    device: z.string().regex(devicePattern),
    certificate: z.string(),
    authority: z.string(),
    signers: z.array(z.string()).min(1).max(signersMax),
    time: z.int().min(0),
    proof: nonce,
  }),
  z.strictObject({
    v: z.literal(1),
    step: z.literal('refused'),
    refusal: z.strictObject({
      code: z.enum(Object.keys(refusals) as [RefusalCode, ...RefusalCode[]]),
      detail: z.string().max(1024),
    }),
  }),
]);

/** One attempt. Throws EnrollmentRefusal, UntrustedAnswer, or what the network says. */
export async function enroll(parts: EnrollmentParts, signal: AbortSignal): Promise<Enrolled> {
  const { join, random } = parts;
  const authority = await parts.authority(signal);
  const client = hexNonce(random, 16);
  const deviceNonce = hexNonce(random, 32);
  const channel = await parts.open(authority, client, signal);
  try {
    const challenge = await ask(channel, { v: 1, step: 'hello', deviceNonce }, 'challenge', signal);
    const facts: EnrollmentFacts = {
      tenant: join.tenant,
      claim: join.token,
      client,
      deviceNonce,
      serverNonce: challenge.serverNonce,
      csrDigest: createHash('sha256').update(parts.request.der).digest('hex'),
      hardwareId: parts.hardwareId,
    };
    const request: EnrollmentUp = {
      v: 1,
      step: 'request',
      csr: parts.request.pem,
      hardwareId: parts.hardwareId,
      hostname: parts.hostname,
      proof: proofOf(join, enrollmentTranscript('device', enrollmentItems(facts))).toString('hex'),
    };
    const granted = await ask(channel, request, 'granted', signal);
    return { identity: believe(parts, facts, granted), time: granted.time };
  } finally {
    await channel.close();
  }
}

async function ask<Step extends 'challenge' | 'granted'>(
  channel: EnrollmentChannel,
  message: EnrollmentUp,
  step: Step,
  signal: AbortSignal,
): Promise<Extract<EnrollmentDown, { step: Step }>> {
  const within = AbortSignal.any([signal, AbortSignal.timeout(answerMsMax)]);
  const answer = channel.receive(within);
  // Should sending fail, the answer is nobody's to wait for.
  answer.catch(() => {});
  await channel.send(JSON.stringify(message));
  const down = readDown(await answer);
  if (down.step === 'refused') throw new EnrollmentRefusal(down.refusal);
  if (down.step !== step)
    throw new UntrustedAnswer(`the controller answered ${down.step} to ${message.step}`);
  return down as Extract<EnrollmentDown, { step: Step }>;
}

function readDown(bytes: Uint8Array): EnrollmentDown {
  let value: unknown;
  try {
    value = parseJson(bytes, { bytesMax: enrollmentBytesMax });
  } catch (error) {
    throw new UntrustedAnswer(`the answer cannot be read: ${messageOf(error)}`);
  }
  const result = downSchema.safeParse(value);
  if (result.success) return result.data;
  throw new UntrustedAnswer(
    `the answer is malformed: ${result.error.issues.map((issue) => `${issue.path.join('.')}: ${issue.message}`).join('; ')}`,
  );
}

/** Every reason to believe the answer, one after the other. */
function believe(parts: EnrollmentParts, facts: EnrollmentFacts, granted: Granted): Identity {
  const { join } = parts;
  const transcript = enrollmentTranscript('server', [...enrollmentItems(facts), ...answerItems(granted)]);
  if (!timingSafeEqual(proofOf(join, transcript), Buffer.from(granted.proof, 'hex'))) {
    throw new UntrustedAnswer('its proof is wrong: it does not hold the secret of the token');
  }

  const authority = readCertificate(granted.authority, 'the authority');
  const digest = createHash('sha256').update(authority.raw).digest('hex');
  if (digest !== join.authority)
    throw new UntrustedAnswer(`the authority ${digest.slice(0, 16)}… is not the pinned one`);

  const certificate = readCertificate(granted.certificate, 'the certificate');
  if (!certificate.publicKey.equals(createPublicKey(parts.key))) {
    throw new UntrustedAnswer('the certificate is for another key');
  }
  if (!certificate.checkIssued(authority) || !certificate.verify(authority.publicKey)) {
    throw new UntrustedAnswer('the certificate is not from the pinned authority');
  }
  if (certificate.ca) throw new UntrustedAnswer('the certificate is an authority of its own');
  const name = /^CN=(.*)$/m.exec(certificate.subject)?.[1];
  if (name !== granted.device)
    throw new UntrustedAnswer(`the certificate names ${name}, the answer ${granted.device}`);

  // Others may be in the list; the join line vouches for one.
  const signer = granted.signers.find((text) => {
    const raw = decodeBase64(text);
    return raw !== null && keyId(raw) === join.signer;
  });
  if (signer === undefined) throw new UntrustedAnswer('the pinned signer is not among its signers');
  try {
    trustKeys([decodeBase64(signer) ?? new Uint8Array()]);
  } catch (error) {
    throw new UntrustedAnswer(messageOf(error));
  }
  return {
    tenant: join.tenant,
    device: granted.device,
    broker: join.broker,
    key: parts.key,
    certificate: certificate.toString(),
    authority: authority.toString(),
    signers: [signer],
  };
}

function proofOf(join: Join, transcript: Uint8Array): Buffer {
  const secret = decodeBase64Url(join.secret);
  if (secret === null) throw new TypeError('the secret of the join line is not base64url');
  return createHmac('sha256', secret).update(transcript).digest();
}

function readCertificate(pem: string, what: string): X509Certificate {
  try {
    return new X509Certificate(pem);
  } catch (error) {
    throw new UntrustedAnswer(`${what} cannot be read: ${messageOf(error)}`);
  }
}
