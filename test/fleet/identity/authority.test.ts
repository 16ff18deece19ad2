// Goal: the certificates are what others (OpenSSL, node's TLS) take them for: who, for what, by whom, until when.
// Method: they are read back by node:crypto and verified by the openssl program, not by what built them.

import { execFileSync } from 'node:child_process';
import { createHash, createPublicKey, X509Certificate } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { createAuthority, openAuthority } from '../../../fleet/identity/authority.ts';
import { base32, deviceIdOf } from '../../../fleet/identity/device-id.ts';
import { rsaKey } from '../test-authority.ts';

const folder = mkdtempSync(join(tmpdir(), 'husk-authority-'));
t.teardown(() => rmSync(folder, { recursive: true }));

const now = Date.now();
const dayMs = 24 * 3600 * 1000;
const authorityKey = rsaKey(3072);
const certificate = createAuthority('acme', authorityKey, now);
const authority = openAuthority({ tenant: 'acme', certificate, privateKey: authorityKey, now: () => now });
const key = rsaKey();
const publicKey = createPublicKey(key);
const device = deviceIdOf(publicKey);

function opensslVerify(pem: string, purpose: string): string {
  writeFileSync(join(folder, 'ca.pem'), certificate);
  writeFileSync(join(folder, 'cert.pem'), pem);
  const args = ['verify', '-x509_strict', '-purpose', purpose, '-CAfile', join(folder, 'ca.pem')];
  try {
    return execFileSync('openssl', [...args, join(folder, 'cert.pem')], { encoding: 'utf8', stdio: 'pipe' });
  } catch (error) {
    return (error as { stderr: string }).stderr;
  }
}

t.test('the authority is one, and nothing else', async (t) => {
  const read = new X509Certificate(certificate);
  t.ok(read.ca);
  t.ok(read.verify(createPublicKey(authorityKey)));
  t.equal(read.subject, 'O=acme\nCN=Husk authority');
  t.equal(authority.digest, createHash('sha256').update(read.raw).digest('hex'));
  t.ok(read.validToDate.getTime() > now + 15 * 365 * dayMs);
});

t.test('a device', async (t) => {
  const issued = authority.issueDevice({ device, publicKey });
  const read = new X509Certificate(issued.pem);
  t.equal(read.subject, `O=acme\nOU=device\nCN=${device}`);
  t.notOk(read.ca);
  t.ok(read.checkIssued(new X509Certificate(certificate)) && read.verify(createPublicKey(authorityKey)));
  t.ok(read.publicKey.equals(publicKey));
  t.equal(read.serialNumber.toLowerCase(), issued.serial);
  t.equal(read.validToDate.getTime(), issued.notAfter.getTime());
  const days = (read.validToDate.getTime() - now) / dayMs;
  t.ok(days > 89 && days <= 90, `${days} days`);
  t.ok(read.validFromDate.getTime() <= now - dayMs, 'backdated a day');
  t.match(opensslVerify(issued.pem, 'sslclient'), /OK/);
  t.match(opensslVerify(issued.pem, 'sslserver'), /unsupported|unsuitable/i, 'it is no server');
});

t.test('a server', async (t) => {
  const issued = authority.issueServer({ names: ['gw.example', '192.0.2.1', '2001:db8::1'], publicKey });
  const read = new X509Certificate(issued.pem);
  t.equal(read.checkHost('gw.example'), 'gw.example');
  t.equal(read.checkHost('other.example'), undefined);
  t.equal(read.checkIP('192.0.2.1'), '192.0.2.1');
  t.equal(read.checkIP('2001:db8::1'), '2001:db8::1');
  t.match(opensslVerify(issued.pem, 'sslserver'), /OK/);
  t.match(opensslVerify(issued.pem, 'sslclient'), /unsupported|unsuitable/i, 'it is no client');
});

t.test('a service', async (t) => {
  const read = new X509Certificate(
    authority.issueService({ name: 'operator', unit: 'service', publicKey }).pem,
  );
  t.equal(read.subject, 'O=acme\nOU=service\nCN=operator');
});

t.test('serial numbers are positive and differ', async (t) => {
  const serials = Array.from({ length: 20 }, () => authority.issueDevice({ device, publicKey }).serial);
  t.equal(new Set(serials).size, 20);
  for (const serial of serials) t.match(serial, /^[4-7][0-9a-f]{31}$/);
});

t.test('the name of a device comes from its key', async (t) => {
  t.match(device, /^[a-z2-7]{26}$/);
  t.equal(deviceIdOf(createPublicKey(key)), device, 'the same key, the same name');
  t.not(deviceIdOf(createPublicKey(rsaKey())), device);
  // RFC 4648 §10.
  t.same(
    ['', 'f', 'fo', 'foo', 'foob', 'fooba', 'foobar'].map((text) => base32(Buffer.from(text))),
    ['', 'my', 'mzxq', 'mzxw6', 'mzxw6yq', 'mzxw6ytb', 'mzxw6ytboi'],
  );
});
