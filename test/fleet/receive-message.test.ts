// Goal: whatever arrives, at the inbox itself: only enrolled devices of our tenant are heard, rates hold, a
// database that fails ends nothing, and a flood of rubbish does not become a flood of log lines.
// Method: the inbox with a store in memory and a publisher that keeps what it was given. The way through real
// brokers is in controller.test.ts.

import { pino } from 'pino';
import t from 'tap';
import type { Envelope } from '../../agent/contract/envelope.ts';
import { Questions } from '../../fleet/ask-device.ts';
import { PartDelivery } from '../../fleet/deliver-parts.ts';
import { Enrollment } from '../../fleet/enroll-device.ts';
import { Inbox } from '../../fleet/receive-message.ts';
import { generateSigningKey, keySigner } from '../../fleet/signer/key-signer.ts';
import { GroupCommit } from '../../fleet/store/group-commit.ts';
import { openStore } from '../../fleet/store/open.ts';
import { testAuthority } from './test-authority.ts';
import { testClock } from './test-clock.ts';

const authority = testAuthority();
const signer = keySigner(generateSigningKey());
const device = 'abcdefghijklmnopqrstuvwxyz';
const digest = 'd'.repeat(64);

function scene() {
  const store = openStore(':memory:');
  const clock = testClock();
  const logged: string[] = [];
  const log = pino({ level: 'warn' }, { write: (line: string) => void logged.push(line) });
  const published: {
    topic: string;
    message: { k?: string; step?: string; body?: object; refusal?: { code: string } };
  }[] = [];
  const state = { isDown: false };
  const publish = async (topic: string, payload: string | Uint8Array) => {
    if (state.isDown) throw new Error('no link');
    published.push({ topic, message: JSON.parse(payload.toString()) });
  };
  const envelope = (k: string, body: unknown): Envelope => ({
    v: 1,
    k,
    sid: 0,
    boot: '',
    seq: 1,
    mono: 1,
    ts: 1,
    tq: 'ntp',
    body,
  });
  const commits = new GroupCommit(store, log);
  const inbox = new Inbox({
    ...{ tenant: 'acme', who: 'controller', signer, store, commits, publish, envelope, clock, log },
    enrollment: new Enrollment({ tenant: 'acme', authority, signer, store, clock }),
    delivery: new PartDelivery({ tenant: 'acme', bundles: store.bundles, publish, clock, log }),
    questions: new Questions({ tenant: 'acme', who: 'controller', publish, envelope }),
    onNews: () => {},
  });
  store.devices.enroll({
    ...{
      id: device,
      hardwareId: 'hw',
      hostname: 'h',
      token: 't',
      at: 1,
      certificateSerial: '4',
      certificateExpires: 2,
    },
  });
  const bundle = store.bundles.add({
    digest,
    bytes: new Uint8Array(10),
    title: '',
    trialSeconds: 1,
    createdAt: 1,
  });
  store.assignments.add({ device, serial: bundle.serial, digest, envelope: new Uint8Array(1), issuedAt: 1 });
  const say = (topic: string, k: string, body: unknown) =>
    inbox.receive(topic, Buffer.from(JSON.stringify({ ...envelope(k, body), sid: 1, boot: 'b' })));
  return { store, clock, logged, published, state, commits, inbox, say };
}

const gone = ['st.gone', { state: 'gone' }] as const;
const confirm = ['ask.confirm', { serial: 1, digest, nonce: 'a'.repeat(64) }] as const;

t.test('only enrolled devices of our tenant are heard', async (t) => {
  const { store, inbox, say, commits } = scene();
  const presence = () => {
    commits.flush();
    return store.devices.find(device)?.presence;
  };
  say(`husk/other/d/${device}/up/st`, ...gone);
  say(`husk/acme/d/${device}/dn/st`, ...gone);
  say(`husk/acme/x/${device}/up/st`, ...gone);
  say('husk/acme/d/zyxwvutsrqponmlkjihgfedcba/up/st', ...gone);
  inbox.receive(`husk/acme/d/${device}/up/st`, new Uint8Array());
  inbox.receive('', new Uint8Array(3));
  inbox.receive('$SYS/x', Buffer.from('{}'));
  t.equal(presence(), 'never');
  say(`husk/acme/d/${device}/up/st`, ...gone);
  t.equal(presence(), 'gone');
  t.same(inbox.counts(), { 'of a device that is not enrolled': 1, gone: 1 });
});

t.test('rubbish is counted, and logged now and then', async (t) => {
  const { inbox, logged, clock } = scene();
  for (let index = 0; index < 1000; index += 1)
    inbox.receive(`husk/acme/d/${device}/up/ev`, Buffer.from('{'));
  t.equal(inbox.counts().malformed, 1000);
  t.equal(logged.length, 3);
  clock.advance(60_000);
  inbox.receive(`husk/acme/d/${device}/up/ev`, Buffer.from('{'));
  t.equal(logged.length, 4);
});

t.test('a device that takes another host name is told of, once a change', async (t) => {
  const { store, commits, inbox, logged, say } = scene();
  const birth = (hostname: string) => {
    const inForce = { inForce: null, time: 'ntp', nonce: digest };
    const about = { state: 'up', agent: '1', kernel: '6', architecture: 'x', hostname, ...inForce };
    say(`husk/acme/d/${device}/up/st`, 'st.birth', about);
    commits.flush();
  };
  birth('h');
  t.same(logged, [], 'the name it enrolled with');
  birth('gateway');
  birth('gateway');
  t.equal(store.devices.find(device)?.hostname, 'gateway');
  t.equal(inbox.counts()['changed its host name'], 1);
  t.match(logged, [/from h to gateway/]);
});

t.test('signatures cannot be had without end', async (t) => {
  const { inbox, published, say, clock } = scene();
  const topic = `husk/acme/d/${device}/up/ask`;
  for (let index = 0; index < 50; index += 1) say(topic, ...confirm);
  t.equal(published.length, 10);
  t.equal(inbox.counts()['confirmations over the rate'], 40);
  clock.advance(1000);
  say(topic, ...confirm);
  t.equal(published.length, 11);
});

t.test('enrollment messages of all unknown claims together have a rate', async (t) => {
  const { inbox, published } = scene();
  const hello = Buffer.from(JSON.stringify({ v: 1, step: 'hello', deviceNonce: '0'.repeat(64) }));
  for (let index = 0; index < 300; index += 1) inbox.receive(`husk/acme/c/tok-${index}/box/up`, hello);
  t.equal(published.length, 200);
  t.match(published[0], {
    topic: 'husk/acme/c/tok-0/box/dn',
    message: { step: 'refused', refusal: { code: 'enroll.token-unknown' } },
  });
  t.equal(inbox.counts()['enrollment messages over the rate'], 100);
  inbox.receive('husk/acme/c/tok/box/up/more', hello);
  inbox.receive('husk/other/c/tok/box/up', hello);
  inbox.receive('husk/acme/c/tok/box/dn', hello);
  t.equal(published.length, 200);
});

t.test('claims that there are not take nothing of those that there are', async (t) => {
  const { inbox, published, store, clock } = scene();
  store.tokens.add({
    ...{ id: 'real', secret: new Uint8Array(32), uses: 9, createdAt: 1, expiresAt: clock.now() + 60_000 },
  });
  const hello = Buffer.from(JSON.stringify({ v: 1, step: 'hello', deviceNonce: '0'.repeat(64) }));
  for (let index = 0; index < 5000; index += 1)
    inbox.receive(`husk/acme/c/tok-${index}/box/up`, Buffer.from('x'));
  t.equal(inbox.counts()['enrollment messages over the rate'], 4800, 'the flood is over its rate');
  inbox.receive('husk/acme/c/real/box/up', hello);
  t.match(published.at(-1), { topic: 'husk/acme/c/real/box/dn', message: { step: 'challenge' } });
});

t.test('one client of a real token cannot use up what all have', async (t) => {
  const { inbox, published, store, clock } = scene();
  store.tokens.add({
    ...{ id: 'real', secret: new Uint8Array(32), uses: 9, createdAt: 1, expiresAt: clock.now() + 60_000 },
  });
  const hello = Buffer.from(JSON.stringify({ v: 1, step: 'hello', deviceNonce: '0'.repeat(64) }));
  for (let index = 0; index < 1000; index += 1) inbox.receive('husk/acme/c/real/flood/up', hello);
  t.equal(published.length, 10);
  inbox.receive('husk/acme/c/real/box/up', hello);
  t.match(published.at(-1), { topic: 'husk/acme/c/real/box/dn', message: { step: 'challenge' } });
  clock.advance(1000);
  inbox.receive('husk/acme/c/real/flood/up', hello);
  t.equal(published.length, 12, 'it may go on, slowly');
  const before = published.length;
  inbox.receive(`husk/acme/c/real/${'x'.repeat(64)}/up`, hello);
  inbox.receive(`husk/acme/c/${'x'.repeat(100_000)}/box/up`, hello);
  t.equal(published.length, before, 'what is no name is not kept for anything');
});

const auditEvent = (seq: number, detail: object = {}) => ({
  ...{ seq, mono: 1, ts: null, tq: 'none', event: { kind: 'audit', what: 'x', detail } },
});
const batchFrom = (first: number, count: number, detail: object = {}) =>
  Array.from({ length: count }, (_, index) => auditEvent(first + index, detail));

t.test('one device cannot store without end; what is over its rate it keeps', async (t) => {
  const { store, commits, inbox, published, say, clock, logged } = scene();
  const topic = `husk/acme/d/${device}/up/ev`;
  const acknowledged = () => {
    commits.flush();
    const last = published.at(-1)?.message;
    return last?.k === 'ack.spool' ? (last.body as { stream: string; upTo: number }) : null;
  };
  let sent = 0;
  const send = () => say(topic, 'ev.batch', { stream: 'audit', events: batchFrom(sent + 1, 500) });
  for (; sent < 20_000; sent += 500) send();
  t.match(acknowledged(), { stream: 'audit', upTo: 20_000 });
  for (let index = 0; index < 20; index += 1) send();
  t.match(acknowledged(), { upTo: 20_000 }, 'the next is not acknowledged');
  t.equal(store.events.count(), 20_000);
  t.equal(inbox.counts()['events over the rate'], 20);
  t.equal(logged.length, 3, 'and told now and then');
  say(topic, 'ev.batch', { stream: 'alert', events: batchFrom(1, 1) });
  t.match(acknowledged(), { stream: 'alert', upTo: 1 }, 'another stream has its own');
  // As a device does: the same again after a while, and nothing is missing.
  clock.advance(15_000);
  send();
  t.match(acknowledged(), { stream: 'audit', upTo: 20_500 });
  t.same(store.events.gaps(), []);
});

t.test('long events weigh more', async (t) => {
  const { store, commits, inbox, say } = scene();
  const detail = Object.fromEntries(Array.from({ length: 30 }, (_, at) => [`k${at}`, 'x'.repeat(1000)]));
  for (let index = 0; index < 400; index += 1)
    say(`husk/acme/d/${device}/up/ev`, 'ev.batch', {
      stream: 'audit',
      events: batchFrom(1 + index * 4, 4, detail),
    });
  commits.flush();
  const bytes = store.events.count() * 30_000;
  t.ok(bytes > 8_000_000 && bytes < 12_000_000, `${bytes} bytes at once`);
  t.equal(inbox.counts()['events over the rate'], 400 - store.events.count() / 4);
});

t.test('a database that fails ends nothing and acknowledges nothing', async (t) => {
  const { inbox, store, published, logged, say, commits } = scene();
  const event = { seq: 1, mono: 1, ts: null, tq: 'none', event: { kind: 'audit', what: 'x', detail: {} } };
  say(`husk/acme/d/${device}/up/ev`, 'ev.batch', { stream: 'audit', events: [event] });
  store.close();
  commits.flush();
  say(`husk/acme/d/${device}/up/ev`, 'ev.batch', { stream: 'audit', events: [event] });
  say(`husk/acme/d/${device}/up/ask`, ...confirm);
  inbox.receive(
    'husk/acme/c/tok/box/up',
    Buffer.from(JSON.stringify({ v: 1, step: 'hello', deviceNonce: '0'.repeat(64) })),
  );
  t.same(published, []);
  t.equal(inbox.counts().failed, 3);
  t.ok(commits.failed > 0 || logged.some((line) => line.includes('commit failed')));
});

t.test('an answer that cannot be sent is counted', async (t) => {
  const { inbox, say, state } = scene();
  state.isDown = true;
  say(`husk/acme/d/${device}/up/ask`, ...confirm);
  await new Promise((resolve) => setImmediate(resolve));
  t.equal(inbox.counts()['answers not delivered'], 1);
});
