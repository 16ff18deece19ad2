// Goal: a data folder is made whole or not at all, is its owner's alone, and keeps its certificates fresh.
// Method: folders in a temporary place; the clock is moved by years.

import { createPrivateKey, X509Certificate } from 'node:crypto';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { createDataFolder, dataPaths, openDataFolder } from '../../fleet/data-folder.ts';

const above = mkdtempSync(join(tmpdir(), 'husk-data-'));
t.teardown(() => rmSync(above, { recursive: true }));
const now = Date.now();
const dayMs = 24 * 3600 * 1000;
const folder = join(above, 'deep', 'data');
const made = createDataFolder(folder, {
  tenant: 'acme',
  names: ['gw.example', '192.0.2.1', 'localhost'],
  now,
});

t.test('it is whole, and its owner alone can read it', async (t) => {
  t.equal(statSync(folder).mode & 0o777, 0o700);
  for (const name of readdirSync(folder)) t.equal(statSync(join(folder, name)).mode & 0o777, 0o600, name);
  t.same(readdirSync(join(above, 'deep')), ['data'], 'nothing is left beside it');
  t.same(made.config, {
    v: 1,
    tenant: 'acme',
    names: ['gw.example', '192.0.2.1', 'localhost', '127.0.0.1', '::1'],
  });
  const again = openDataFolder(folder, () => now);
  t.equal(again.signer.keyid, made.signer.keyid);
  t.equal(again.authority.digest, made.authority.digest);
  t.same(again.renewed, []);
});

t.test('certificates fit their keys and say their part', async (t) => {
  const paths = dataPaths(folder);
  const subjects = {
    server: 'OU=server\nCN=gw.example',
    controller: 'OU=controller\nCN=controller',
    operator: 'OU=service\nCN=operator',
  } as const;
  for (const holder of ['server', 'controller', 'operator'] as const) {
    const certificate = new X509Certificate(readFileSync(paths.pem(holder)));
    t.ok(certificate.checkPrivateKey(createPrivateKey(readFileSync(paths.key(holder)))), holder);
    t.equal(certificate.subject, `O=acme\n${subjects[holder]}`);
  }
  const chain = readFileSync(paths.pem('server'), 'utf8').match(/BEGIN CERTIFICATE/g);
  t.equal(chain?.length, 2, 'the server shows the authority that join lines pin');
});

t.test('an existing folder is left as it is', async (t) => {
  const before = readFileSync(join(folder, 'signer.key'), 'utf8');
  t.throws(() => createDataFolder(folder, { tenant: 'other', names: [], now }), /left as it is/);
  t.equal(readFileSync(join(folder, 'signer.key'), 'utf8'), before);
  t.same(readdirSync(join(above, 'deep')), ['data']);
  const file = join(above, 'file');
  writeFileSync(file, 'x');
  t.throws(() => createDataFolder(file, { tenant: 'acme', names: [], now }), /left as it is/);
  const empty = join(above, 'empty');
  mkdirSync(empty);
  t.equal(
    createDataFolder(empty, { tenant: 'acme', names: [], now }).config.tenant,
    'acme',
    'an empty one is taken',
  );
  t.equal(statSync(empty).mode & 0o777, 0o700);
});

t.test('certificates near their end are issued again for the same keys', async (t) => {
  const paths = dataPaths(folder);
  const key = readFileSync(paths.key('server'), 'utf8');
  const later = now + 600 * dayMs;
  const opened = openDataFolder(folder, () => later);
  t.same(opened.renewed, ['server', 'controller', 'operator']);
  const server = new X509Certificate(opened.server.certificate);
  t.ok(server.validToDate.getTime() > later + 800 * dayMs);
  t.ok(server.checkPrivateKey(createPrivateKey(key)));
  t.equal(server.checkHost('gw.example'), 'gw.example');
  t.same(openDataFolder(folder, () => later).renewed, [], 'once');
});

t.test('a damaged configuration is said', async (t) => {
  const path = join(above, 'empty', 'config.json');
  writeFileSync(path, '{"v":1,"tenant":"A C","names":[],"more":1}');
  t.throws(() => openDataFolder(join(above, 'empty'), () => now), /config.json: .*tenant/);
  writeFileSync(path, '{"v":1');
  t.throws(() => openDataFolder(join(above, 'empty'), () => now), /text ends/);
  t.throws(() => openDataFolder(join(above, 'none'), () => now), /ENOENT/);
});
