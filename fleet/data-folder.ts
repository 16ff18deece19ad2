// The controller's data folder: everything it is, in one place that its owner alone can read.
//
//   config.json       tenant, names under which devices reach it
//   signer.key        Ed25519: signs what devices enforce
//   authority.{pem,key}   RSA: who is a device, a service, the server
//   server.{pem,key}      of the broker; the chain shows the authority, which join strings pin
//   controller.{pem,key}  the controller's own, for its connection to the broker
//   operator.{pem,key}    for a person with mosquitto_sub and mosquitto_pub
//   husk.db, husk.sock    the database, and where the command line asks
//
// Made whole or not at all: everything is written into a folder beside it, which then takes its name.

import { createPrivateKey, generateKeyPairSync, type KeyObject, X509Certificate } from 'node:crypto';
import { mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { z } from 'zod';
import { parseJson } from '../agent/contract/json.ts';
import { namePattern } from '../agent/contract/topics.ts';
import { type Authority, createAuthority, openAuthority, serverDays } from './identity/authority.ts';
import { generateSigningKey, keySigner } from './signer/key-signer.ts';
import type { Signer } from './signer/signer.ts';

export interface Config {
  readonly v: 1;
  readonly tenant: string;
  /** DNS names and addresses of this controller; the first goes into join strings. */
  readonly names: readonly string[];
}

export interface DataPaths {
  readonly folder: string;
  readonly config: string;
  readonly database: string;
  readonly socket: string;
  /** Certificate and key of each holder. */
  pem(holder: Holder): string;
  key(holder: Holder | 'signer'): string;
}

type Holder = 'authority' | 'server' | 'controller' | 'operator';

export interface KeyPair {
  /** PEM, for the server with the authority behind it. */
  readonly certificate: string;
  readonly key: string;
}

export interface DataFolder {
  readonly paths: DataPaths;
  readonly config: Config;
  readonly authority: Authority;
  readonly signer: Signer;
  readonly server: KeyPair;
  readonly controller: KeyPair;
  /** Which certificates were near their end and have been issued again. */
  readonly renewed: readonly string[];
}

const authorityBits = 3072;
const otherBits = 2048;
/** Every server is reached over these by those on the same machine. */
const localNames = ['localhost', '127.0.0.1', '::1'];
const configBytesMax = 64 * 1024;
const dayMs = 24 * 3600 * 1000;

const configSchema = z.strictObject({
  v: z.literal(1),
  tenant: z.string().regex(namePattern),
  names: z.array(z.string().min(1).max(253)).min(1),
});

export function dataPaths(folder: string): DataPaths {
  const at = (name: string) => join(folder, name);
  return {
    folder,
    config: at('config.json'),
    database: at('husk.db'),
    socket: at('husk.sock'),
    pem: (holder) => at(`${holder}.pem`),
    key: (holder) => at(`${holder}.key`),
  };
}

/** A new folder. Throws where there is one already that is not empty. */
export function createDataFolder(
  folder: string,
  options: { readonly tenant: string; readonly names: readonly string[]; readonly now: number },
): DataFolder {
  const target = resolve(folder);
  mkdirSync(dirname(target), { recursive: true });
  const beside = `${target}.new-${process.pid}`;
  mkdirSync(beside, { mode: 0o700 });
  try {
    const paths = dataPaths(beside);
    const { tenant, now } = options;
    const names = [...new Set([...options.names, ...localNames])];
    const config: Config = { v: 1, tenant, names };
    writeFileSync(paths.config, `${JSON.stringify(config, null, 2)}\n`, { mode: 0o600 });
    writeKey(paths.key('signer'), generateSigningKey());

    const authorityKey = newRsaKey(authorityBits);
    const certificate = createAuthority(tenant, authorityKey, now);
    writeKey(paths.key('authority'), authorityKey);
    writeFileSync(paths.pem('authority'), certificate, { mode: 0o600 });
    const authority = openAuthority({ tenant, certificate, privateKey: authorityKey, now: () => now });
    for (const holder of ['server', 'controller', 'operator'] as const) {
      const key = newRsaKey(otherBits);
      writeKey(paths.key(holder), key);
      writeFileSync(paths.pem(holder), issue(authority, holder, key, names), { mode: 0o600 });
    }
    // Fails where there is something: rename replaces an empty folder only.
    renameSync(beside, target);
  } catch (error) {
    rmSync(beside, { recursive: true, force: true });
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOTEMPTY' || code === 'EEXIST' || code === 'ENOTDIR') {
      throw new Error(`${target} is there already and is left as it is`);
    }
    throw error;
  }
  return openDataFolder(target, () => options.now);
}

/** Reads it all; issues again what is near its end. */
export function openDataFolder(folder: string, now: () => number): DataFolder {
  const paths = dataPaths(resolve(folder));
  const config = readConfig(paths.config);
  const authority = openAuthority({
    tenant: config.tenant,
    certificate: read(paths.pem('authority')),
    privateKey: createPrivateKey(read(paths.key('authority'))),
    now,
  });
  const renewed = (['server', 'controller', 'operator'] as const).filter((holder) => {
    const left = new X509Certificate(read(paths.pem(holder))).validToDate.getTime() - now();
    if (left > (serverDays * dayMs) / 3) return false;
    const key = createPrivateKey(read(paths.key(holder)));
    replaceFile(paths.pem(holder), issue(authority, holder, key, config.names));
    return true;
  });
  return {
    paths,
    config,
    authority,
    signer: keySigner(createPrivateKey(read(paths.key('signer')))),
    server: { certificate: read(paths.pem('server')), key: read(paths.key('server')) },
    controller: { certificate: read(paths.pem('controller')), key: read(paths.key('controller')) },
    renewed,
  };
}

function issue(
  authority: Authority,
  holder: Exclude<Holder, 'authority'>,
  publicKey: KeyObject,
  names: readonly string[],
): string {
  switch (holder) {
    case 'server':
      // The authority goes with it, so that a box that knows only its digest can find it in the chain.
      return authority.issueServer({ names, publicKey }).pem + authority.certificate;
    case 'controller':
      return authority.issueService({ name: 'controller', unit: 'controller', publicKey }).pem;
    case 'operator':
      return authority.issueService({ name: 'operator', unit: 'service', publicKey }).pem;
  }
}

function readConfig(path: string): Config {
  const parsed = configSchema.safeParse(parseJson(readFileSync(path), { bytesMax: configBytesMax }));
  if (parsed.success) return parsed.data;
  const faults = parsed.error.issues.map((issue) => `${issue.path.join('.')}: ${issue.message}`);
  throw new Error(`${path}: ${faults.join('; ')}`);
}

function read(path: string): string {
  return readFileSync(path, 'utf8');
}

function newRsaKey(modulusLength: number): KeyObject {
  return generateKeyPairSync('rsa', { modulusLength }).privateKey;
}

function writeKey(path: string, key: KeyObject): void {
  writeFileSync(path, key.export({ format: 'pem', type: 'pkcs8' }), { mode: 0o600, flag: 'wx' });
}

function replaceFile(path: string, content: string): void {
  const beside = `${path}.new`;
  writeFileSync(beside, content, { mode: 0o600, flush: true });
  renameSync(beside, path);
}
