// Goal: a permit lets through what it says, on the device and in the boot it says, once, and nothing else does.
// Method: permits signed by the fleet's own code, given to the device's; each right one is made wrong in one way.

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { payloadTypes } from '../../agent/contract/bundle.ts';
import type { Permit } from '../../agent/contract/permit.ts';
import { DiskFiles } from '../../agent/os/files.ts';
import { type PermitParts, takePermit } from '../../agent/take-permit.ts';
import { trustKeys } from '../../agent/trust/keys.ts';
import { canonicalJson } from '../../fleet/policy/bundle.ts';
import { generateSigningKey, keySigner } from '../../fleet/signer/key-signer.ts';

const signer = keySigner(generateSigningKey());
const we = { tenant: 'test', device: 'a'.repeat(26) };
const boot = '4f1c7d1e-2b1f-4a53-9d0e-0a8c4a5d3b9a';
const now = 1_800_000_000;

const right: Permit = {
  v: 1,
  ...we,
  purpose: 'unprotect',
  id: '0'.repeat(32),
  boot,
  notAfter: now + 60,
};

function sign(permit: object, by = signer, type: string = payloadTypes.permit): object {
  return by.sign(type, Buffer.from(canonicalJson(permit)));
}

function device(t: Pick<typeof import('tap').t, 'teardown'>, ms: number | null = now * 1000): PermitParts {
  const runDirectory = mkdtempSync(join(tmpdir(), 'husk-permit-'));
  t.teardown(() => rmSync(runDirectory, { recursive: true }));
  return {
    files: new DiskFiles(),
    runDirectory,
    trusted: trustKeys([signer.publicKey]),
    we,
    bootId: boot,
    clock: { wall: () => ({ ms, quality: ms === null ? 'none' : 'ntp' }) },
  };
}

t.test('a permit is taken once', async (t) => {
  const parts = device(t);
  t.equal(takePermit(parts, sign(right), 'unprotect'), right.id);
  t.throws(() => takePermit(parts, sign(right), 'unprotect'), { code: 'permit.used' });
  const again = { ...parts, files: new DiskFiles() };
  t.throws(() => takePermit(again, sign(right), 'unprotect'), { code: 'permit.used' }, 'nor after a restart');
  t.equal(takePermit(parts, sign({ ...right, id: '1'.repeat(32) }), 'unprotect'), '1'.repeat(32));
});

t.test('without a time it is good for its boot', async (t) => {
  t.equal(takePermit(device(t, null), sign(right), 'unprotect'), right.id);
});

t.test('what is not right is refused, and does not use it up', async (t) => {
  const parts = device(t);
  const stranger = keySigner(generateSigningKey());
  const wrong: readonly (readonly [string, object, string])[] = [
    ['another key', sign(right, stranger), 'bundle.signature'],
    ['another type', sign(right, signer, payloadTypes.assignment), 'bundle.malformed'],
    ['another device', sign({ ...right, device: 'b'.repeat(26) }), 'bundle.not-for-us'],
    ['another tenant', sign({ ...right, tenant: 'other' }), 'bundle.not-for-us'],
    ['another purpose', sign({ ...right, purpose: 'return' }), 'permit.purpose'],
    ['a purpose there is not', sign({ ...right, purpose: 'all' }), 'bundle.malformed'],
    ['another boot', sign({ ...right, boot: boot.replace('4', '5') }), 'permit.boot'],
    ['an earlier time', sign({ ...right, notAfter: now - 1 }), 'permit.expired'],
    ['more than is known', sign({ ...right, more: 1 }), 'bundle.malformed'],
    ['no signature', { ...sign(right), signatures: [] }, 'bundle.malformed'],
  ];
  for (const [what, envelope, code] of wrong)
    t.throws(() => takePermit(parts, envelope, 'unprotect'), { code }, what);
  t.equal(takePermit(parts, sign(right), 'unprotect'), right.id);
});

t.test('there are so many to a boot', async (t) => {
  const parts = device(t);
  const used = Array.from({ length: 256 }, (_, at) => String(at));
  writeFileSync(join(parts.runDirectory, 'permits-used.json'), JSON.stringify(used));
  t.throws(() => takePermit(parts, sign(right), 'unprotect'), { code: 'permit.used' });
  writeFileSync(join(parts.runDirectory, 'permits-used.json'), '[');
  t.throws(() => takePermit(parts, sign(right), 'unprotect'), 'nor where it is not known which were used');
});
