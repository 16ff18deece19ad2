// Goal: what the controller signs is what a device believes, and nothing can be published that no device takes.
// Method: assignments, bundles and confirmations made here are read by the agent's own verifier; then each is
// refused once something in it is changed.

import { pino } from 'pino';
import t from 'tap';
import type { SignedEnvelope } from '../../agent/contract/bundle.ts';
import { trustKeys } from '../../agent/trust/keys.ts';
import { readBundle, verifyAssignment, verifyBundle, verifyConfirmation } from '../../agent/trust/verify.ts';
import { confirmTrial } from '../../fleet/confirm-trial.ts';
import { publishDesired, publishPolicy } from '../../fleet/publish-policy.ts';
import { generateSigningKey, keySigner } from '../../fleet/signer/key-signer.ts';
import { openStore } from '../../fleet/store/open.ts';
import { eventually } from './simulated-device.ts';
import { testClock } from './test-clock.ts';

const [a, b, c] = ['a', 'b', 'c'].map((letter) => letter.repeat(26)) as [string, string, string];
const documents = [
  { apiVersion: 'husk/v1', kind: 'AddressSet', metadata: { name: 's' }, spec: { addresses: ['192.0.2.1'] } },
];

function scene() {
  const store = openStore(':memory:');
  const clock = testClock();
  const signer = keySigner(generateSigningKey());
  for (const id of [a, b, c]) {
    store.devices.enroll({
      id,
      hardwareId: id,
      hostname: id,
      token: 't',
      at: 1,
      certificateSerial: '4',
      certificateExpires: 2,
    });
  }
  const published = new Map<string, Uint8Array>();
  const state = { isDown: false };
  const publish = async (topic: string, payload: Uint8Array) => {
    if (state.isDown) throw new Error('no link');
    published.set(topic, payload);
  };
  const parts = { tenant: 'acme', signer, store, publish, clock, log: pino({ level: 'silent' }) };
  const order = { documents, title: 'x', devices: [a, b], trialSeconds: 60, who: 'test' };
  const trusted = trustKeys([signer.publicKey]);
  return { store, clock, signer, published, state, parts, order, trusted };
}
const desired = (device: string) => `husk/acme/d/${device}/dn/des`;

t.test('a device verifies what was signed for it, and for nobody else', async (t) => {
  const { store, published, parts, order, trusted, signer, clock } = scene();
  const bundle = publishPolicy(parts, order);
  await eventually(() => published.size === 2, 'both');
  t.notOk(published.has(desired(c)), 'who was not meant gets nothing');
  const bytes = published.get(desired(a)) ?? new Uint8Array();
  const assignment = verifyAssignment(bytes, trusted, { tenant: 'acme', device: a });
  t.match(assignment, {
    serial: 1,
    digest: bundle.digest,
    bytes: bundle.length,
    trialSeconds: 60,
    issuedAt: Math.floor(clock.now() / 1000),
  });
  t.throws(() => verifyAssignment(bytes, trusted, { tenant: 'acme', device: b }), {
    code: 'bundle.not-for-us',
  });
  t.throws(() => verifyAssignment(bytes, trusted, { tenant: 'other', device: a }), {
    code: 'bundle.not-for-us',
  });
  const others = trustKeys([keySigner(generateSigningKey()).publicKey]);
  t.throws(() => verifyAssignment(bytes, others, { tenant: 'acme', device: a }), {
    code: 'bundle.signature',
  });

  const blob = store.bundles.slice(bundle.digest, 0, bundle.length) ?? new Uint8Array();
  t.same(readBundle(verifyBundle(assignment, blob).bytes, 'acme').documents, documents);
  const changed = Uint8Array.from(blob);
  changed[20] = (changed[20] ?? 0) ^ 1;
  t.throws(() => verifyBundle(assignment, changed), { code: 'bundle.digest' });

  const nonce = 'ab'.repeat(32);
  const asked = { serial: 1, digest: bundle.digest, nonce };
  const confirming = { tenant: 'acme', signer, assignments: store.assignments, clock };
  const confirmation = confirmTrial(confirming, a, asked) as SignedEnvelope;
  const expected = { tenant: 'acme', device: a, ...asked };
  t.match(verifyConfirmation(confirmation, trusted, expected), asked);
  t.throws(() => verifyConfirmation(confirmation, trusted, { ...expected, nonce: 'cd'.repeat(32) }));
  t.throws(() => verifyConfirmation(confirmation, trusted, { ...expected, device: b }));
  t.equal(confirmTrial(confirming, c, asked), null, 'nothing is confirmed that was not assigned');
  publishPolicy(parts, order);
  t.equal(confirmTrial(confirming, a, asked), null, 'nor what has been replaced');
});

t.test('the same documents again are a new serial with the same digest', async (t) => {
  const { parts, order, store } = scene();
  const [first, second] = [publishPolicy(parts, order), publishPolicy(parts, order)];
  t.equal(second.serial, first.serial + 1);
  t.equal(second.digest, first.digest);
  t.equal(store.assignments.current(a)?.serial, second.serial);
  t.match(store.audit.tail(1), [
    { who: 'test', what: 'policy.publish', object: 'serial 2', detail: { devices: 2 } },
  ]);
});

t.test('what cannot be published leaves nothing behind', async (t) => {
  const { parts, order, store, published } = scene();
  const wide = (i: number) =>
    `2001:db8:aaaa:bbbb:cccc:dddd:${(i >> 16).toString(16)}:${(i & 65535).toString(16)}`;
  const long = { ...documents[0], spec: { addresses: Array.from({ length: 690_000 }, (_, i) => wide(i)) } };
  t.throws(() => publishPolicy(parts, { ...order, documents: [] }), { code: 'policy.invalid' });
  t.throws(() => publishPolicy(parts, { ...order, documents: [{ kind: 'x' }] }), { code: 'policy.invalid' });
  t.throws(() => publishPolicy(parts, { ...order, documents: [...documents, ...documents] }), {
    code: 'policy.invalid',
  });
  t.throws(() => publishPolicy(parts, { ...order, documents: [long] }), { code: 'bundle.too-large' });
  const unseen = {
    apiVersion: 'husk/v1',
    kind: 'HardeningPolicy',
    metadata: { name: 'h' },
    spec: { mode: 'enforce', subject: { cgroup: 'd' }, default: { socket: 'deny' }, rules: [] },
  };
  t.throws(() => publishPolicy(parts, { ...order, documents: [unseen] }), {
    code: 'policy.invalid',
    detail: /spec\.default\.socket: would deny sockets of every family/,
  });
  t.throws(() => publishPolicy(parts, { ...order, devices: [a, 'nobody'] }), /nobody/);
  t.same(store.bundles.newest(10), []);
  t.equal(store.assignments.current(a), null);
  t.equal(published.size, 0);
  t.equal(publishPolicy(parts, order).serial, 1);
});

t.test('desired state is published again, the newest, to those that are enrolled', async (t) => {
  const { parts, order, published, state, store } = scene();
  state.isDown = true;
  publishPolicy(parts, { ...order, devices: [a, b, c] });
  publishPolicy(parts, order);
  await new Promise((resolve) => setImmediate(resolve));
  t.equal(published.size, 0, 'without a broker nothing gets there');
  store.devices.forget(c);
  state.isDown = false;
  publishDesired(parts, 'all');
  await eventually(() => published.size === 2, 'both');
  await new Promise((resolve) => setTimeout(resolve, 20));
  t.same([...published.keys()].toSorted(), [desired(a), desired(b)]);
  t.same(published.get(desired(a)), store.assignments.current(a)?.envelope);
});
