// The state of a device that enrolled and confirmed a policy, made without a controller: what is signed is signed with
// the test's own key. Its broker is not there, which an agent waits for and nothing else.

import { generateKeyPairSync } from 'node:crypto';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Assignment, payloadTypes } from '../../agent/contract/bundle.ts';
import { DiskFiles } from '../../agent/os/files.ts';
import { parseDocuments } from '../../agent/policy/parse.ts';
import { IdentityStore } from '../../agent/trust/identity.ts';
import { BundleStore } from '../../agent/trust/store.ts';
import { buildCertificate } from '../../fleet/identity/certificate.ts';
import { canonicalJson, writeBundle } from '../../fleet/policy/bundle.ts';
import { generateSigningKey, keySigner } from '../../fleet/signer/key-signer.ts';
import type { Signer } from '../../fleet/signer/signer.ts';
import type { GuestFiles } from './initramfs.ts';

export interface EnrolledDevice {
  readonly tenant: string;
  readonly device: string;
  readonly signer: Signer;
  /** Of its state folder, by their path in that. */
  readonly files: GuestFiles;
}

/** With this policy in force once its agent starts. */
export function enrolledDevice(policy: readonly unknown[]): EnrolledDevice {
  const we = { tenant: 'test', device: 'a'.repeat(26) };
  const signer = keySigner(generateSigningKey());
  const folder = mkdtempSync(join(tmpdir(), 'husk-enrolled-'));
  try {
    const files = new DiskFiles();
    new IdentityStore(files, join(folder, 'identity')).store({
      ...we,
      ...certified(we.device),
      broker: 'mqtts://127.0.0.1:1',
      signers: [Buffer.from(signer.publicKey).toString('base64')],
    });
    confirmBundle(folder, policy, we, signer);
    return { ...we, signer, files: readTree(folder) };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function certified(device: string): { key: string; certificate: string; authority: string } {
  const { privateKey, publicKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
  const { pem } = buildCertificate({
    subject: { organization: 'test', commonName: device },
    publicKey,
    use: 'client',
    notBefore: new Date(0),
    notAfter: new Date('2040-01-01'),
    issuer: 'itself',
    privateKey,
  });
  const key = privateKey.export({ type: 'pkcs8', format: 'pem' }) as string;
  return { key, certificate: pem, authority: pem };
}

function confirmBundle(
  folder: string,
  policy: readonly unknown[],
  we: Pick<EnrolledDevice, 'tenant' | 'device'>,
  signer: Signer,
): void {
  const { documents, faults } = parseDocuments(policy);
  if (faults.length > 0) throw new Error(JSON.stringify(faults));
  const { bytes, digest } = writeBundle(we.tenant, 'test', documents);
  const assignment: Assignment = {
    v: 1,
    ...we,
    serial: 1,
    digest,
    bytes: bytes.length,
    trialSeconds: 60,
    issuedAt: 0,
  };
  const envelope = signer.sign(payloadTypes.assignment, Buffer.from(canonicalJson(assignment)));
  const { store } = BundleStore.open(new DiskFiles(), join(folder, 'bundles'));
  store.accept(assignment);
  store.keep(assignment, { bundle: bytes, assignment: Buffer.from(JSON.stringify(envelope)) });
  store.confirm(assignment);
}

function readTree(folder: string): GuestFiles {
  const paths = readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name));
  return Object.fromEntries(paths.map((path) => [path.slice(folder.length + 1), readFileSync(path)]));
}
