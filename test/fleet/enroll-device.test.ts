// Goal: a box with a token becomes a device, and nobody else does.
// Method: the flow is driven directly with real keys and a store in memory; each thing a liar could change is
// changed alone, and after each refusal it is seen that nothing was kept: no device, no use of the token.

import { createHash, createPublicKey, generateKeyPairSync, randomBytes, X509Certificate } from 'node:crypto';
import t from 'tap';
import {
  answerItems,
  type EnrollmentDown,
  type EnrollmentFacts,
  enrollmentItems,
} from '../../agent/contract/enrollment.ts';
import { Enrollment } from '../../fleet/enroll-device.ts';
import { deviceIdOf } from '../../fleet/identity/device-id.ts';
import { generateSigningKey, keySigner } from '../../fleet/signer/key-signer.ts';
import { openStore } from '../../fleet/store/open.ts';
import { certificateRequest, derOfPem, proofOf } from './simulated-device.ts';
import { rsaKey, testAuthority } from './test-authority.ts';
import { testClock } from './test-clock.ts';

const authority = testAuthority();
const signer = keySigner(generateSigningKey());
const keys = [rsaKey(), rsaKey(), rsaKey()] as const;
const csrs = keys.map((key) => certificateRequest(key));
const csrOf = (index: number): string => csrs[index] ?? '';
const secret = randomBytes(32);
const hourMs = 3_600_000;

function scene(uses = 1) {
  const store = openStore(':memory:');
  const clock = testClock(Date.now());
  store.tokens.add({ id: 'tok', secret, uses, createdAt: clock.now(), expiresAt: clock.now() + hourMs });
  const enrollment = new Enrollment({ tenant: 'acme', authority, signer, store, clock });
  const say = (message: unknown, claim = 'tok', client = 'box') =>
    enrollment.answer(
      claim,
      client,
      Buffer.from(typeof message === 'string' ? message : JSON.stringify(message)),
    );
  return { store, clock, enrollment, say };
}
type Scene = ReturnType<typeof scene>;

interface Attempt {
  readonly csr?: string;
  readonly hardwareId?: string;
  readonly secret?: Uint8Array;
  readonly claim?: string;
  readonly client?: string;
  /** Changes what the proof is made over. */
  readonly lie?: Partial<EnrollmentFacts>;
  /** Changes the request after the proof was made. */
  readonly change?: object;
}

function attempt(
  { say }: Scene,
  options: Attempt = {},
): { answer: EnrollmentDown | null; facts: EnrollmentFacts } {
  const { claim = 'tok', client = 'box', csr = csrOf(0), hardwareId = 'hw-1' } = options;
  const deviceNonce = randomBytes(32).toString('hex');
  const challenge = say({ v: 1, step: 'hello', deviceNonce }, claim, client);
  const facts: EnrollmentFacts = {
    tenant: 'acme',
    claim,
    client,
    deviceNonce,
    serverNonce: challenge?.step === 'challenge' ? challenge.serverNonce : '',
    csrDigest: createHash('sha256').update(derOfPem(csr)).digest('hex'),
    hardwareId,
  };
  if (challenge?.step !== 'challenge') return { answer: challenge, facts };
  const proof = proofOf('device', options.secret ?? secret, enrollmentItems({ ...facts, ...options.lie }));
  const request = { v: 1, step: 'request', csr, hardwareId, hostname: 'box', proof, ...options.change };
  return { answer: say(request, claim, client), facts };
}

function refusal(answer: EnrollmentDown | null): string {
  return answer?.step === 'refused' ? `${answer.refusal.code}: ${answer.refusal.detail}` : `${answer?.step}`;
}

function assertNothingKept(t: Tap, { store }: Scene, usesLeft = 1): void {
  t.equal(store.devices.listEnrolled().length, 0, 'no device');
  t.equal(store.tokens.find('tok')?.usesLeft, usesLeft, 'no use of the token');
}
type Tap = { equal(a: unknown, b: unknown, what: string): boolean };

t.test('a box with a token gets a certificate for its key', async (t) => {
  const s = scene();
  const { answer, facts } = attempt(s);
  if (answer?.step !== 'granted') return t.fail(refusal(answer));
  const read = new X509Certificate(answer.certificate);
  t.ok(read.publicKey.equals(createPublicKey(keys[0])));
  t.equal(answer.device, deviceIdOf(createPublicKey(keys[0])));
  t.equal(read.subject, `O=acme\nOU=device\nCN=${answer.device}`);
  t.same(answer.signers, [Buffer.from(signer.publicKey).toString('base64')]);
  t.equal(answer.authority, authority.certificate);
  t.equal(answer.proof, proofOf('server', secret, [...enrollmentItems(facts), ...answerItems(answer)]));
  t.not(answer.proof, proofOf('device', secret, enrollmentItems(facts)));
  t.equal(s.store.tokens.find('tok')?.usesLeft, 0);
  const row = s.store.devices.find(answer.device);
  t.match(row, {
    hardwareId: 'hw-1',
    hostname: 'box',
    state: 'enrolled',
    certificateSerial: read.serialNumber.toLowerCase(),
  });
  t.match(s.store.audit.tail(1), [{ what: 'device.enroll', object: answer.device }]);
});

t.test('a token serves as many as it says', async (t) => {
  const s = scene(2);
  t.equal(attempt(s, { csr: csrOf(0), hardwareId: 'hw-1' }).answer?.step, 'granted');
  t.equal(attempt(s, { csr: csrOf(1), hardwareId: 'hw-2' }).answer?.step, 'granted');
  t.match(refusal(attempt(s, { csr: csrOf(2), hardwareId: 'hw-3' }).answer), /token-unknown: it is used up/);
  t.equal(s.store.devices.listEnrolled().length, 2);
});

t.test('the same key may ask again and costs no use', async (t) => {
  const s = scene();
  const first = attempt(s).answer;
  const again = attempt(s).answer;
  t.equal(again?.step, 'granted', refusal(again));
  if (first?.step === 'granted' && again?.step === 'granted') t.equal(first.device, again.device);
  t.equal(s.store.devices.listEnrolled().length, 1);
  s.clock.advance(hourMs);
  t.match(refusal(attempt(s).answer), /expired/, 'but not after the token ended');
});

t.test('hardware and key belong together', async (t) => {
  const s = scene(5);
  t.equal(attempt(s).answer?.step, 'granted');
  t.match(refusal(attempt(s, { csr: csrOf(1) }).answer), /enroll.conflict: hardware id hw-1 belongs to/);
  t.match(refusal(attempt(s, { hardwareId: 'hw-2' }).answer), /enroll.conflict: this key is enrolled/);
  t.equal(s.store.tokens.find('tok')?.usesLeft, 4, 'a conflict costs no use');
  const first = deviceIdOf(createPublicKey(keys[0]));
  t.equal(s.store.devices.find(first)?.hardwareId, 'hw-1', 'and does not disturb the first');
  s.store.devices.forget(first);
  t.equal(attempt(s, { csr: csrOf(1) }).answer?.step, 'granted', 'once it is forgotten its hardware is free');
});

t.test('a wrong proof', async (t) => {
  const wrong: Readonly<Record<string, Attempt>> = {
    'another secret': { secret: randomBytes(32) },
    'for another tenant': { lie: { tenant: 'other' } },
    'for another claim': { lie: { claim: 'tok2' } },
    'for another client': { lie: { client: 'box2' } },
    'over another device nonce': { lie: { deviceNonce: '11'.repeat(32) } },
    'over another server nonce': { lie: { serverNonce: '11'.repeat(32) } },
    'over another request': { lie: { csrDigest: '11'.repeat(32) } },
    'over another hardware id': { lie: { hardwareId: 'hw-2' } },
    'with the request exchanged afterwards': { change: { csr: csrOf(1) } },
    'with the hardware id exchanged afterwards': { change: { hardwareId: 'hw-9' } },
  };
  for (const [name, options] of Object.entries(wrong)) {
    const s = scene();
    t.match(refusal(attempt(s, options).answer), /^enroll.proof/, name);
    assertNothingKept(t, s);
  }
});

t.test('a token that is not good', async (t) => {
  const unknown = scene();
  t.match(refusal(attempt(unknown, { claim: 'nope' }).answer), /token-unknown: there is no such token/);
  const expired = scene();
  expired.clock.advance(hourMs);
  t.match(refusal(attempt(expired).answer), /token-unknown: it has expired/);
  const revoked = scene();
  revoked.store.tokens.revoke('tok', 1);
  t.match(refusal(attempt(revoked).answer), /token-unknown: it was revoked/);
  for (const s of [unknown, expired, revoked]) {
    assertNothingKept(t, s);
    t.equal(s.enrollment.pending, 0, 'and no challenge waits');
  }
});

t.test('a request that is not acceptable', async (t) => {
  const ec = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const spki = ec.publicKey.export({ format: 'der', type: 'spki' });
  t.ok(spki.length > 0);
  const damaged = derOfPem(csrOf(0));
  damaged[damaged.length - 5] = (damaged[damaged.length - 5] ?? 0) ^ 1;
  const pem = (der: Uint8Array) =>
    `-----BEGIN CERTIFICATE REQUEST-----\n${Buffer.from(der).toString('base64')}\n-----END CERTIFICATE REQUEST-----\n`;
  const wrong: readonly (readonly [name: string, csr: string, what: RegExp])[] = [
    ['RSA of 1024 bits', certificateRequest(rsaKey(1024)), /1024 bits/],
    ['RSA of 4104 bits', certificateRequest(rsaKey(4104)), /4104 bits/],
    ['signed with another key', certificateRequest(keys[0], keys[1]), /not by its own key/],
    ['a bit turned in the signature', pem(damaged), /not by its own key|cannot be checked/],
    ['cut short', pem(derOfPem(csrOf(0)).subarray(0, 300)), /cannot be read/],
    [
      'with something behind it',
      pem(Buffer.concat([derOfPem(csrOf(0)), Buffer.from([0])])),
      /cannot be read/,
    ],
    ['nothing', pem(new Uint8Array()), /cannot be read/],
    ['deep', pem(Buffer.alloc(4000, Buffer.from([0x30, 0x80]))), /cannot be read/],
    ['not PEM', 'hello', /PEM/],
    ['two blocks', csrOf(0) + csrOf(1), /PEM/],
    ['a certificate', authority.certificate, /PEM/],
  ];
  for (const [name, csr, what] of wrong) {
    const s = scene();
    const answer = refusal(attempt(s, { csr }).answer);
    t.match(answer, /^enroll.csr/, name);
    t.match(answer, what, name);
    assertNothingKept(t, s);
  }
  const s = scene();
  t.equal(
    attempt(s, { csr: certificateRequest(rsaKey(3072)) }).answer?.step,
    'granted',
    'RSA of 3072 bits is fine',
  );
});

t.test('malformed messages', async (t) => {
  const s = scene();
  const nonce = '00'.repeat(32);
  const wrong: readonly unknown[] = [
    '',
    '{',
    '[]',
    'null',
    '{"v":1}',
    { v: 1, step: 'x' },
    { v: 2, step: 'hello', deviceNonce: nonce },
    { v: 1, step: 'hello' },
    { v: 1, step: 'hello', deviceNonce: 'zz' },
    { v: 1, step: 'hello', deviceNonce: nonce.toUpperCase().replace(/0/g, 'A') },
    { v: 1, step: 'hello', deviceNonce: nonce, more: 1 },
    `{"v":1,"v":1,"step":"hello","deviceNonce":"${nonce}"}`,
    { v: 1, step: 'granted' },
    { v: 1, step: 'hello', deviceNonce: { a: [] } },
    'x'.repeat(20_000),
    { v: 1, step: 'request', csr: csrOf(0), hardwareId: 'a b', hostname: 'h', proof: nonce },
    { v: 1, step: 'request', csr: csrOf(0), hardwareId: '\u001b[31m', hostname: 'h', proof: nonce },
    { v: 1, step: 'request', csr: csrOf(0), hardwareId: 'h'.repeat(129), hostname: 'h', proof: nonce },
    { v: 1, step: 'request', csr: 'x'.repeat(9000), hardwareId: 'h', hostname: 'h', proof: nonce },
    { v: 1, step: 'request', csr: csrOf(0), hardwareId: 'h', hostname: 'h', proof: nonce.slice(2) },
  ];
  for (const message of wrong) {
    t.match(refusal(s.say(message)), /^enroll.malformed/, JSON.stringify(message).slice(0, 60));
  }
  t.equal(
    s.say({ v: 1, step: 'hello', deviceNonce: nonce }, 'UPPER'),
    null,
    'a claim that is no name gets no answer',
  );
  t.equal(s.say({ v: 1, step: 'hello', deviceNonce: nonce }, 'tok', 'a/b'), null);
  assertNothingKept(t, s);
});

t.test('a challenge serves one request, for a minute', async (t) => {
  const s = scene();
  const { facts } = attempt(s, { secret: randomBytes(32) });
  const proof = proofOf('device', secret, enrollmentItems(facts));
  const late = { v: 1, step: 'request', csr: csrOf(0), hardwareId: 'hw-1', hostname: 'box', proof };
  t.match(refusal(s.say(late)), /enroll.malformed: a request without a challenge/, 'the challenge was spent');

  const deviceNonce = '22'.repeat(32);
  const challenge = s.say({ v: 1, step: 'hello', deviceNonce });
  s.clock.advance(61_000);
  const serverNonce = challenge?.step === 'challenge' ? challenge.serverNonce : '';
  const fresh = proofOf('device', secret, enrollmentItems({ ...facts, deviceNonce, serverNonce }));
  t.match(refusal(s.say({ ...late, proof: fresh })), /without a challenge that is still open/);
  assertNothingKept(t, s);
});

t.test('wrong proofs are answered slower than they can be tried', async (t) => {
  const s = scene();
  for (let index = 0; index < 10; index += 1) {
    t.match(refusal(attempt(s, { secret: randomBytes(32) }).answer), /was not made with the secret/);
  }
  t.match(refusal(attempt(s, { secret: randomBytes(32) }).answer), /too many wrong proofs/);
  t.match(refusal(attempt(s).answer), /too many wrong proofs/, 'the right one has to wait as well');
  s.clock.advance(60_000);
  t.equal(attempt(s).answer?.step, 'granted');
});

t.test('challenges that wait are bounded', async (t) => {
  const s = scene();
  for (let index = 0; index < 3000; index += 1) {
    s.say({ v: 1, step: 'hello', deviceNonce: '00'.repeat(32) }, 'tok', `box-${index}`);
  }
  t.equal(s.enrollment.pending, 1024);
});
