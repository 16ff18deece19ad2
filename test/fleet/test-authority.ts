// An authority for tests with a server and any client certificates. Keys of 2048 bits, since smaller ones
// are refused by TLS; made once for a test file.

import { generateKeyPairSync, type KeyObject } from 'node:crypto';
import { type Authority, createAuthority, openAuthority } from '../../fleet/identity/authority.ts';

export interface TestAuthority extends Authority {
  readonly server: { readonly certificate: string; readonly key: string };
  client(
    unit: 'device' | 'service' | 'controller',
    name: string,
  ): { readonly cert: string; readonly key: string };
}

export function rsaKey(modulusLength = 2048): KeyObject {
  return generateKeyPairSync('rsa', { modulusLength }).privateKey;
}

export function pemOf(key: KeyObject): string {
  return key.export({ format: 'pem', type: 'pkcs8' }).toString();
}

export function testAuthority(tenant = 'acme'): TestAuthority {
  const privateKey = rsaKey();
  const certificate = createAuthority(tenant, privateKey, Date.now());
  const authority = openAuthority({ tenant, certificate, privateKey, now: Date.now });
  const serverKey = rsaKey();
  const server = authority.issueServer({ names: ['localhost', '127.0.0.1', '::1'], publicKey: serverKey });
  return {
    ...authority,
    server: { certificate: server.pem + certificate, key: pemOf(serverKey) },
    client(unit, name) {
      const key = rsaKey();
      const made =
        unit === 'device'
          ? authority.issueDevice({ device: name, publicKey: key })
          : authority.issueService({ name, unit, publicKey: key });
      return { cert: made.pem, key: pemOf(key) };
    },
  };
}
