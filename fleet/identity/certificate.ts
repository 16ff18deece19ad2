// X.509 certificates, RSA: put together by node-forge, signed by node:crypto.
//
// forge knows the structures but would sign in JavaScript with the key in its own hands. So it only builds:
// the part to be signed goes as DER to node:crypto, and the private key never leaves it.

import { createPublicKey, type KeyObject, randomBytes, sign } from 'node:crypto';
import forge from 'node-forge';

const { asn1, md } = forge;
/** Two functions that forge has and its types leave out. */
const pki = forge.pki as typeof forge.pki & {
  getTBSCertificate(certificate: forge.pki.Certificate): forge.asn1.Asn1;
};
const util = forge.util as typeof forge.util & { bytesFromIP(ip: string): string | null };

export interface Name {
  readonly organization: string;
  /** What it is for, as in `device`; the broker's rules read it. */
  readonly unit?: string;
  readonly commonName: string;
}

export interface CertificateOrder {
  readonly subject: Name;
  readonly publicKey: KeyObject;
  readonly use: 'authority' | 'server' | 'client';
  /** DNS names and addresses, for a server. */
  readonly names?: readonly string[];
  readonly notBefore: Date;
  readonly notAfter: Date;
  readonly issuer: { readonly certificate: string; readonly privateKey: KeyObject } | 'itself';
  /** The key to sign with, where the issuer is the certificate itself. */
  readonly privateKey?: KeyObject;
}

export interface Certificate {
  readonly pem: string;
  readonly der: Uint8Array;
  /** Serial number, hex. */
  readonly serial: string;
  readonly notAfter: Date;
}

export function buildCertificate(order: CertificateOrder): Certificate {
  const certificate = pki.createCertificate();
  certificate.publicKey = forgeKey(order.publicKey);
  certificate.serialNumber = randomSerial();
  certificate.validity.notBefore = order.notBefore;
  certificate.validity.notAfter = order.notAfter;
  const subject = attributes(order.subject);
  certificate.setSubject(subject);

  const issuer = order.issuer === 'itself' ? null : pki.certificateFromPem(order.issuer.certificate);
  certificate.setIssuer(issuer === null ? subject : issuer.subject.attributes);
  const signingKey = order.issuer === 'itself' ? order.privateKey : order.issuer.privateKey;
  if (signingKey === undefined) throw new TypeError('a certificate of its own issuer needs its private key');

  certificate.setExtensions([
    ...usage[order.use],
    ...(order.names === undefined ? [] : [{ name: 'subjectAltName', altNames: order.names.map(altName) }]),
    { name: 'subjectKeyIdentifier' },
    {
      name: 'authorityKeyIdentifier',
      keyIdentifier: (issuer ?? certificate).generateSubjectKeyIdentifier().getBytes(),
    },
  ]);
  signNatively(certificate, signingKey);

  const pem = pki.certificateToPem(certificate).replaceAll('\r\n', '\n');
  return {
    pem,
    der: derOf(pem),
    serial: certificate.serialNumber,
    notAfter: order.notAfter,
  };
}

/** The DER inside the first PEM block. */
export function derOf(pem: string): Uint8Array {
  const body = /-----BEGIN [A-Z0-9 ]+-----([A-Za-z0-9+/=\s]+)-----END /.exec(pem)?.[1];
  if (body === undefined) throw new TypeError('no PEM block');
  return new Uint8Array(Buffer.from(body, 'base64'));
}

const usage = {
  authority: [
    { name: 'basicConstraints', cA: true, pathLenConstraint: 0, critical: true },
    { name: 'keyUsage', keyCertSign: true, cRLSign: true, critical: true },
  ],
  server: [
    { name: 'basicConstraints', cA: false, critical: true },
    { name: 'keyUsage', digitalSignature: true, keyEncipherment: true, critical: true },
    { name: 'extKeyUsage', serverAuth: true },
  ],
  client: [
    { name: 'basicConstraints', cA: false, critical: true },
    { name: 'keyUsage', digitalSignature: true, critical: true },
    { name: 'extKeyUsage', clientAuth: true },
  ],
} as const;

function attributes(name: Name): forge.pki.CertificateField[] {
  return [
    { name: 'organizationName', value: name.organization },
    ...(name.unit === undefined ? [] : [{ name: 'organizationalUnitName', value: name.unit }]),
    { name: 'commonName', value: name.commonName },
  ];
}

function altName(name: string): { type: number; value?: string; ip?: string } {
  const address = util.bytesFromIP(name);
  return address === null ? { type: 2, value: name } : { type: 7, ip: name };
}

function forgeKey(key: KeyObject): forge.pki.rsa.PublicKey {
  const publicKey = key.type === 'private' ? createPublicKey(key) : key;
  return pki.publicKeyFromPem(publicKey.export({ format: 'pem', type: 'spki' }).toString());
}

/** 16 random bytes, positive and never with a leading zero (RFC 5280 §4.1.2.2). */
function randomSerial(): string {
  const bytes = randomBytes(16);
  bytes[0] = ((bytes[0] ?? 0) & 0x3f) | 0x40;
  return bytes.toString('hex');
}

function signNatively(certificate: forge.pki.Certificate, key: KeyObject): void {
  const raw = certificate as forge.pki.Certificate & { tbsCertificate: unknown };
  const oid = pki.oids.sha256WithRSAEncryption;
  if (oid === undefined) throw new Error('forge does not know sha256WithRSAEncryption');
  raw.md = md.sha256.create();
  raw.signatureOid = oid;
  raw.siginfo.algorithmOid = oid;
  const tbs = pki.getTBSCertificate(certificate);
  raw.tbsCertificate = tbs;
  const signed = Buffer.from(asn1.toDer(tbs).getBytes(), 'binary');
  raw.signature = sign('sha256', signed, key).toString('binary');
}
