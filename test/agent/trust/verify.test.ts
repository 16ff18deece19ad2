// Goal: only what a trusted key signed for this device is ever read, and nothing can be changed on the way
// without being refused.
// Method: real Ed25519 keys; envelopes valid, invalid and valid turning invalid; every byte of an envelope
// changed in several ways, after which it must be refused or mean exactly the same.

import { createHash, generateKeyPairSync, type KeyObject, sign } from 'node:crypto';
import fc from 'fast-check';
import t from 'tap';
import {
  type Assignment,
  type Confirmation,
  payloadTypes,
  preAuthenticationEncoding,
  type SignedEnvelope,
} from '../../../agent/contract/bundle.ts';
import { bundleBytesMax, envelopeBytesMax } from '../../../agent/contract/limits.ts';
import { RefusalError } from '../../../agent/contract/refusal.ts';
import { decodeBase64, decodeBase64Url } from '../../../agent/trust/base64.ts';
import { keyId, type Trusted, trustKeys } from '../../../agent/trust/keys.ts';
import {
  readBundle,
  verifyAssignment,
  verifyBundle,
  verifyConfirmation,
} from '../../../agent/trust/verify.ts';

interface Key {
  readonly raw: Uint8Array;
  readonly id: string;
  readonly privateKey: KeyObject;
}

const we = { tenant: 'acme', device: 'abcdefghijklmnopqrstuvwxyz' };
const key = makeKey();
const other = makeKey();
const stranger = makeKey();
const trusted = trustKeys([key.raw]);

const bundleBytes = Buffer.from(
  JSON.stringify({ v: 1, tenant: 'acme', title: 'wan', documents: [{ kind: 'x' }] }),
);
const assignment: Assignment = {
  v: 1,
  ...we,
  serial: 7,
  digest: sha256(bundleBytes),
  bytes: bundleBytes.length,
  trialSeconds: 60,
  issuedAt: 1_795_447_525,
};

function makeKey(): Key {
  const { publicKey, privateKey } = generateKeyPairSync('ed25519');
  const raw = new Uint8Array(publicKey.export({ format: 'der', type: 'spki' }).subarray(-32));
  return { raw, id: keyId(raw), privateKey };
}

function sha256(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}

function seal(
  payload: unknown,
  keys: readonly Key[],
  payloadType: string = payloadTypes.assignment,
): SignedEnvelope {
  const bytes = typeof payload === 'string' ? Buffer.from(payload) : Buffer.from(JSON.stringify(payload));
  return {
    payloadType,
    payload: bytes.toString('base64'),
    signatures: keys.map((one) => ({
      keyid: one.id,
      sig: sign(null, preAuthenticationEncoding(payloadType, bytes), one.privateKey).toString('base64'),
    })),
  };
}

function toBytes(value: unknown): Uint8Array {
  return new Uint8Array(Buffer.from(JSON.stringify(value)));
}

/** The refusal's code, or what came out instead. */
function outcome(action: () => unknown): string {
  try {
    return `accepted ${JSON.stringify(action())}`;
  } catch (error) {
    if (error instanceof RefusalError) return error.code;
    throw error;
  }
}

function assign(envelope: unknown, by: Trusted = trusted): string {
  return outcome(() =>
    verifyAssignment(envelope instanceof Uint8Array ? envelope : toBytes(envelope), by, we),
  );
}

const accepted = `accepted ${JSON.stringify(assignment)}`;

t.test('an assignment', async (t) => {
  t.equal(assign(seal(assignment, [key])), accepted, 'signed by a trusted key is accepted');
  t.equal(assign(seal(assignment, [stranger])), 'bundle.signature', 'signed by a stranger is refused');
  t.equal(assign(seal(assignment, [])), 'bundle.malformed', 'without a signature is refused');
  t.equal(
    assign(seal(assignment, [stranger, key])),
    accepted,
    'with a stranger beside a trusted key is accepted',
  );
  const posing = seal(assignment, [stranger]);
  t.equal(
    assign({ ...posing, signatures: posing.signatures.map((one) => ({ ...one, keyid: key.id })) }),
    'bundle.signature',
    'of a stranger under a trusted key id is refused',
  );
  t.equal(
    assign(seal({ ...assignment, device: 'bbbbbbbbbbbbbbbbbbbbbbbbbb' }, [key])),
    'bundle.not-for-us',
    'for another device is refused',
  );
  t.equal(assign(seal({ ...assignment, tenant: 'else' }, [key])), 'bundle.not-for-us', 'for another tenant');
  t.equal(
    assign(seal({ ...assignment, bytes: bundleBytesMax + 1 }, [key])),
    'bundle.too-large',
    'of a bundle that is too large is refused before it is fetched',
  );
  t.equal(
    assign(seal(assignment, [key], payloadTypes.confirmation)),
    'bundle.malformed',
    'signed as something else is refused',
  );
  t.equal(
    assign({ ...seal(assignment, [key], payloadTypes.confirmation), payloadType: payloadTypes.assignment }),
    'bundle.signature',
    'relabelled as an assignment is refused',
  );
});

t.test('fields are read strictly, though signed', async (t) => {
  const faults: readonly (readonly [string, unknown])[] = [
    ['a field more', { ...assignment, onlyIf: 'x' }],
    ['a field less', { ...assignment, serial: undefined }],
    ['serial 0', { ...assignment, serial: 0 }],
    ['a fractional serial', { ...assignment, serial: 1.5 }],
    ['a serial in text', { ...assignment, serial: '7' }],
    ['an upper-case digest', { ...assignment, digest: assignment.digest.toUpperCase() }],
    ['a device with a wildcard', { ...assignment, device: '+'.repeat(26) }],
    ['version 2', { ...assignment, v: 2 }],
    ['a key twice', JSON.stringify(assignment).replace('{', '{"serial":9,')],
    ['an integer above 2^53', JSON.stringify(assignment).replace('"serial":7', '"serial":9007199254740993')],
    ['text behind it', `${JSON.stringify(assignment)} x`],
    ['not JSON', 'x'],
    ['null', null],
  ];
  for (const [name, payload] of faults) t.equal(assign(seal(payload, [key])), 'bundle.malformed', name);
});

t.test('the size is looked at before anything else', async (t) => {
  t.equal(assign(new Uint8Array(envelopeBytesMax + 1)), 'bundle.too-large');
  t.equal(assign(new Uint8Array(0)), 'bundle.malformed');
  t.equal(assign(Buffer.from('{')), 'bundle.malformed');
});

t.test('a threshold counts different keys', async (t) => {
  const two = trustKeys([key.raw, other.raw], 2);
  t.equal(assign(seal(assignment, [key, other]), two), accepted, 'two keys make two');
  t.equal(assign(seal(assignment, [key]), two), 'bundle.signature', 'one key does not');
  t.equal(assign(seal(assignment, [key, key]), two), 'bundle.signature', 'one key twice does not');
  t.throws(() => trustKeys([key.raw, key.raw], 2), TypeError, 'nor does one key listed twice');
  t.throws(() => trustKeys([], 1), TypeError, 'no keys at all');
  t.throws(() => trustKeys([key.raw], 0), TypeError, 'a threshold of nothing');
});

t.test('keys of small order and odd forms are refused', async (t) => {
  const bad = [
    '0000000000000000000000000000000000000000000000000000000000000000',
    '0100000000000000000000000000000000000000000000000000000000000080',
    'ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f',
    'eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff',
    '26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85',
    'f0ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f',
  ];
  for (const hex of bad) t.throws(() => trustKeys([Buffer.from(hex, 'hex')]), TypeError, hex);
  t.throws(() => trustKeys([key.raw.subarray(1)]), TypeError, 'a short one');
});

t.test('base64 has one spelling', async (t) => {
  t.same(decodeBase64('AAE='), new Uint8Array([0, 1]));
  for (const text of ['AAE', 'AAF=', 'AA E=', 'AAE=\n', 'AAE==', 'A-E='])
    t.equal(decodeBase64(text), null, text);
  t.same(decodeBase64Url('_-8'), new Uint8Array([255, 239]));
  for (const text of ['_-8=', '/+8', '_-9']) t.equal(decodeBase64Url(text), null, text);
});

t.test('no change to an envelope is accepted as something else', async (t) => {
  const bytes = toBytes(seal(assignment, [key]));
  let refused = 0;
  for (let at = 0; at < bytes.length; at += 1) {
    for (const flip of [0x01, 0x20, 0x80, 0xff]) {
      const changed = bytes.slice();
      changed[at] = (changed[at] ?? 0) ^ flip;
      const came = assign(changed);
      if (came === accepted) t.fail(`byte ${at} ^ ${flip} was accepted`);
      else if (came.startsWith('accepted')) t.fail(`byte ${at} ^ ${flip} gave ${came}`);
      else refused += 1;
    }
    if (!assign(bytes.slice(0, at)).startsWith('bundle.')) t.fail(`cut at ${at} was accepted`);
  }
  t.equal(refused, bytes.length * 4, 'every change was refused');
});

t.test('what is accepted is always what was signed', async (t) => {
  const text = JSON.stringify(seal(assignment, [key]));
  t.doesNotThrow(() =>
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.nat(text.length - 1), fc.nat(3), fc.string({ minLength: 1, maxLength: 8 })), {
          minLength: 1,
          maxLength: 4,
        }),
        (edits) => {
          let changed = text;
          for (const [at, cut, put] of edits) changed = changed.slice(0, at) + put + changed.slice(at + cut);
          const came = assign(Buffer.from(changed));
          return came === accepted || !came.startsWith('accepted');
        },
      ),
      { numRuns: 2000 },
    ),
  );
});

t.test('a bundle', async (t) => {
  const { bytes } = verifyBundle(assignment, bundleBytes);
  t.same(
    readBundle(bytes, assignment.tenant).documents,
    [{ kind: 'x' }],
    'with the signed length and digest is accepted',
  );
  t.equal(
    outcome(() => verifyBundle(assignment, Buffer.concat([bundleBytes, Buffer.from(' ')]))),
    'bundle.digest',
    'with another length is refused',
  );
  const changed = Buffer.from(bundleBytes);
  changed[10] = (changed[10] ?? 0) ^ 1;
  t.equal(
    outcome(() => verifyBundle(assignment, changed)),
    'bundle.digest',
    'with other bytes is refused',
  );
  const refusedAs = (value: unknown): string => {
    const bytes = toBytes(value);
    const said = { ...assignment, digest: sha256(bytes), bytes: bytes.length };
    return outcome(() => readBundle(verifyBundle(said, bytes).bytes, assignment.tenant));
  };
  t.equal(
    refusedAs({ v: 1, tenant: 'else', title: '', documents: [] }),
    'bundle.not-for-us',
    'of another tenant',
  );
  t.equal(refusedAs({ v: 1, tenant: 'acme', title: '' }), 'bundle.malformed', 'without documents');
  t.equal(
    refusedAs({ v: 1, tenant: 'acme', title: '', documents: [], more: 1 }),
    'bundle.malformed',
    'with more',
  );
  t.equal(refusedAs([]), 'bundle.malformed', 'that is a list');
});

t.test('a confirmation', async (t) => {
  const nonce = 'ab'.repeat(32);
  const { serial, digest } = assignment;
  const confirmation: Confirmation = { v: 1, ...we, serial, digest, nonce, issuedAt: 1 };
  const expected = { ...we, serial, digest, nonce };
  const confirm = (value: unknown, by = key): string =>
    outcome(() => verifyConfirmation(seal(value, [by], payloadTypes.confirmation), trusted, expected));
  t.match(confirm(confirmation), /^accepted/, 'of this very trial is accepted');
  t.equal(confirm(confirmation, stranger), 'bundle.signature', 'of a stranger is refused');
  t.equal(confirm({ ...confirmation, nonce: 'cd'.repeat(32) }), 'bundle.not-for-us', 'of an earlier trial');
  t.equal(confirm({ ...confirmation, serial: 6 }), 'bundle.not-for-us', 'of another serial');
  t.equal(confirm({ ...confirmation, digest: 'ef'.repeat(32) }), 'bundle.not-for-us', 'of another bundle');
  t.equal(confirm({ ...confirmation, device: 'b'.repeat(26) }), 'bundle.not-for-us', 'of another device');
  t.equal(
    outcome(() => verifyConfirmation(seal(assignment, [key]), trusted, expected)),
    'bundle.malformed',
    'an assignment is not one',
  );
  t.equal(
    outcome(() => verifyConfirmation({ payload: 'x' }, trusted, expected)),
    'bundle.malformed',
    'nor is anything else',
  );
});
