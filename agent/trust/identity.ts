// Who this device is: its key, which never leaves it, and what enrollment gave it.
//
//   no identity ── makePendingKey ──▶ pending key ── enrolled, store ──▶ identity
//
// The pending key is on the disk before the request is sent, so that a device that loses power in the middle
// asks again with the same key and is the same device. The identity is one file, replaced as a whole: a
// certificate without its key, or a signer of another fleet, cannot come about.

import {
  createPrivateKey,
  createPublicKey,
  generateKeyPair,
  type KeyObject,
  X509Certificate,
} from 'node:crypto';
import { promisify } from 'node:util';
import forge from 'node-forge';
import * as z from 'zod';
import { messageOf } from '../contract/thrown.ts';
import { devicePattern, namePattern } from '../contract/topics.ts';
import type { Files } from '../os/files.ts';
import { decodeBase64 } from './base64.ts';
import { type Trusted, trustKeys } from './keys.ts';

export interface Identity {
  readonly tenant: string;
  readonly device: string;
  /** `mqtts://host:port` of the device listener. */
  readonly broker: string;
  /** PEM. */
  readonly key: string;
  readonly certificate: string;
  readonly authority: string;
  /** Ed25519 public keys that sign bundles, base64 of 32 bytes. */
  readonly signers: readonly string[];
}

/** RSA, since the certificate is built with forge, which knows no other; 2048 bits for small devices' handshakes. */
const keyBits = 2048;
const fileBytesMax = 64 * 1024;

const schema = z.strictObject({
  v: z.literal(1),
  tenant: z.string().regex(namePattern),
  device: z.string().regex(devicePattern),
  broker: z.string(),
  key: z.string(),
  certificate: z.string(),
  authority: z.string(),
  signers: z.array(z.string()).min(1).max(16),
});

export class IdentityStore {
  readonly #files: Files;
  readonly #folder: string;

  constructor(files: Files, folder: string) {
    this.#files = files;
    this.#folder = folder;
  }

  /** null before enrollment. Throws where the file is there and no use: that is for a person to look at. */
  load(): Identity | null {
    const bytes = this.#files.readBounded(this.#path, fileBytesMax);
    if (bytes === null) return null;
    try {
      const { v: _, ...identity } = schema.parse(JSON.parse(new TextDecoder().decode(bytes)));
      const certificate = new X509Certificate(identity.certificate);
      if (!certificate.checkPrivateKey(createPrivateKey(identity.key)))
        throw new Error('key and certificate differ');
      trustSigners(identity);
      return identity;
    } catch (error) {
      const why = messageOf(error);
      throw new Error(`${this.#path}: ${why}; remove it to enroll again`, { cause: error });
    }
  }

  store(identity: Identity): void {
    this.#files.makeFolder(this.#folder);
    this.#files.writeAtomic(this.#path, `${JSON.stringify({ v: 1, ...identity }, null, 2)}\n`);
    this.#files.remove(this.#pendingPath);
  }

  /** The key that an enrollment was begun with, or a new one that is on the disk when this resolves. PEM. */
  async pendingKey(): Promise<string> {
    const bytes = this.#files.readBounded(this.#pendingPath, fileBytesMax);
    if (bytes !== null) {
      const pem = new TextDecoder().decode(bytes);
      if (isKey(pem)) return pem;
    }
    const { privateKey } = await promisify(generateKeyPair)('rsa', { modulusLength: keyBits });
    const pem = privateKey.export({ type: 'pkcs8', format: 'pem' }) as string;
    this.#files.makeFolder(this.#folder);
    this.#files.writeAtomic(this.#pendingPath, pem);
    return pem;
  }

  get #path(): string {
    return `${this.#folder}/identity.json`;
  }

  get #pendingPath(): string {
    return `${this.#folder}/pending-key.pem`;
  }
}

/** The keys whose signatures this device believes. */
export function trustSigners(identity: Pick<Identity, 'signers'>): Trusted {
  return trustKeys(
    identity.signers.map((text) => {
      const raw = decodeBase64(text);
      if (raw === null) throw new TypeError('a signer is not strict base64');
      return raw;
    }),
  );
}

export interface CertificateRequest {
  readonly pem: string;
  readonly der: Uint8Array;
}

/** PKCS #10 for the key. Only the public key counts: the controller chooses the name. */
export function makeCertificateRequest(keyPem: string): CertificateRequest {
  const request = forge.pki.createCertificationRequest();
  const { n, e } = jwkNumbers(createPublicKey(keyPem));
  request.publicKey = forge.pki.setRsaPublicKey(n, e);
  request.setSubject([{ name: 'commonName', value: 'husk-device' }]);
  // forge reads PKCS #1 and PKCS #8 alike.
  request.sign(forge.pki.privateKeyFromPem(keyPem), forge.md.sha256.create());
  const der = Buffer.from(
    forge.asn1.toDer(forge.pki.certificationRequestToAsn1(request)).getBytes(),
    'binary',
  );
  return { pem: forge.pki.certificationRequestToPem(request), der: new Uint8Array(der) };
}

function jwkNumbers(key: KeyObject): {
  readonly n: forge.jsbn.BigInteger;
  readonly e: forge.jsbn.BigInteger;
} {
  const jwk = key.export({ format: 'jwk' });
  const number = (text: string | undefined) =>
    new forge.jsbn.BigInteger(Buffer.from(text ?? '', 'base64url').toString('hex'), 16);
  return { n: number(jwk.n), e: number(jwk.e) };
}

function isKey(pem: string): boolean {
  try {
    return createPrivateKey(pem).asymmetricKeyType === 'rsa';
  } catch {
    // Cut short by a power loss before this file was written atomically, or somebody's hand: make another.
    return false;
  }
}
