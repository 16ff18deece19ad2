// The fleet's own certificate authority: one RSA key that says who is a device, who a service, who the server.
//
// What it signs is backdated a day, so that a device whose clock is a little behind does not refuse it.
// The organization of every certificate is the tenant, the unit is the part its holder plays.

import { createHash, type KeyObject } from 'node:crypto';
import { buildCertificate, type Certificate, derOf } from './certificate.ts';

export interface Authority {
  readonly tenant: string;
  /** PEM */
  readonly certificate: string;
  /** SHA-256 of its DER, hex: what a join string pins. */
  readonly digest: string;
  issueDevice(order: { readonly device: string; readonly publicKey: KeyObject }): Certificate;
  issueService(order: {
    readonly name: string;
    readonly unit: 'service' | 'controller';
    readonly publicKey: KeyObject;
  }): Certificate;
  issueServer(order: { readonly names: readonly string[]; readonly publicKey: KeyObject }): Certificate;
}

const deviceDays = 90;
/** A server's and a service's; both are renewed by `husk serve` when a third of it is left. */
export const serverDays = 825;
const authorityDays = 20 * 365;
const dayMs = 24 * 3600 * 1000;

/** A new authority's certificate, PEM. */
export function createAuthority(tenant: string, privateKey: KeyObject, now: number): string {
  return buildCertificate({
    subject: { organization: tenant, commonName: 'Husk authority' },
    publicKey: privateKey,
    privateKey,
    use: 'authority',
    ...validity(now, authorityDays),
    issuer: 'itself',
  }).pem;
}

export function openAuthority(options: {
  readonly tenant: string;
  readonly certificate: string;
  readonly privateKey: KeyObject;
  readonly now: () => number;
}): Authority {
  const { tenant, certificate, privateKey, now } = options;
  const issuer = { certificate, privateKey };
  return {
    tenant,
    certificate,
    digest: createHash('sha256').update(derOf(certificate)).digest('hex'),
    issueDevice: ({ device, publicKey }) =>
      buildCertificate({
        subject: { organization: tenant, unit: 'device', commonName: device },
        publicKey,
        use: 'client',
        ...validity(now(), deviceDays),
        issuer,
      }),
    issueService: ({ name, unit, publicKey }) =>
      buildCertificate({
        subject: { organization: tenant, unit, commonName: name },
        publicKey,
        use: 'client',
        ...validity(now(), serverDays),
        issuer,
      }),
    issueServer: ({ names, publicKey }) =>
      buildCertificate({
        subject: { organization: tenant, unit: 'server', commonName: names[0]?.slice(0, 64) ?? 'server' },
        publicKey,
        use: 'server',
        names,
        ...validity(now(), serverDays),
        issuer,
      }),
  };
}

/** Whole seconds, as the certificate has them. */
function validity(now: number, days: number): { readonly notBefore: Date; readonly notAfter: Date } {
  const start = Math.floor(now / 1000) * 1000;
  return { notBefore: new Date(start - dayMs), notAfter: new Date(start + days * dayMs) };
}
