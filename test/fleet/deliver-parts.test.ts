// Goal: a bundle goes to everybody who asked with as few messages as can be, and nobody can ask without end.
// Method: a real store with a bundle of several parts; what is published is counted. The publisher can be held.

import { createHash, randomBytes } from 'node:crypto';
import { pino } from 'pino';
import t from 'tap';
import { partBytes } from '../../agent/contract/limits.ts';
import { PartDelivery } from '../../fleet/deliver-parts.ts';
import { openStore } from '../../fleet/store/open.ts';
import { eventually } from './simulated-device.ts';
import { testClock } from './test-clock.ts';

function scene(parts: number) {
  const store = openStore(':memory:');
  const bytes = randomBytes(Math.round((parts - 0.5) * partBytes));
  const digest = createHash('sha256').update(bytes).digest('hex');
  store.bundles.add({ digest, bytes, title: '', trialSeconds: 1, createdAt: 1 });
  const sent: { topic: string; payload: Uint8Array }[] = [];
  const held: (() => void)[] = [];
  const state = { isHeld: false, fails: false };
  const delivery = new PartDelivery({
    tenant: 'acme',
    bundles: store.bundles,
    publish: async (topic, payload) => {
      if (state.fails) throw new Error('no link');
      sent.push({ topic, payload });
      if (state.isHeld) await new Promise<void>((resolve) => held.push(resolve));
    },
    clock: testClock(),
    log: pino({ level: 'silent' }),
  });
  t.teardown(() => delivery.close());
  return { delivery, digest, bytes, sent, held, state };
}
const settle = () => new Promise((resolve) => setTimeout(resolve, 80));

t.test('parts are the bundle, in order, each to its topic', async (t) => {
  const { delivery, digest, bytes, sent } = scene(3);
  delivery.ask('dev', { digest, from: 0, count: 16 });
  await eventually(() => sent.length === 3, 'three parts');
  t.same(
    sent.map((one) => one.topic),
    [0, 1, 2].map((n) => `husk/acme/b/blob/${digest}/${n}`),
  );
  t.same(Buffer.concat(sent.map((one) => one.payload)), bytes);
  t.same(
    sent.map((one) => one.payload.length),
    [partBytes, partBytes, partBytes / 2],
  );
  sent.length = 0;
  delivery.ask('dev', { digest, from: 2, count: 1 });
  delivery.ask('dev', { digest, from: 3, count: 16 });
  delivery.ask('dev', { digest: 'f'.repeat(64), from: 0, count: 16 });
  await settle();
  t.same(
    sent.map((one) => one.topic),
    [`husk/acme/b/blob/${digest}/2`],
    'what is not there is not sent',
  );
});

t.test('a hundred devices that ask at once are served once', async (t) => {
  const { delivery, digest, sent } = scene(16);
  for (let index = 0; index < 100; index += 1) delivery.ask(`dev-${index}`, { digest, from: 0, count: 16 });
  await settle();
  t.equal(sent.length, 16);
  t.match(delivery.counts(), { sent: 16, shared: 99 * 16, dropped: 0 });
});

t.test('few are on the wire, and who asks meanwhile gets what still waits with the others', async (t) => {
  const { delivery, digest, sent, held, state } = scene(16);
  state.isHeld = true;
  delivery.ask('one', { digest, from: 0, count: 16 });
  await settle();
  t.equal(sent.length, 8);
  delivery.ask('two', { digest, from: 0, count: 16 });
  state.isHeld = false;
  for (const release of held.splice(0)) release();
  await eventually(() => sent.length === 24, 'the rest, and the first eight again');
  await settle();
  t.equal(sent.length, 24);
});

t.test('one device cannot ask without end', async (t) => {
  const { delivery, digest, sent } = scene(16);
  for (let index = 0; index < 200; index += 1) {
    delivery.ask('greedy', { digest, from: 0, count: 16 });
    await new Promise((resolve) => setImmediate(resolve));
  }
  await settle();
  const { sent: parts, shared, dropped } = delivery.counts();
  t.equal(parts + shared, 768, 'its allowance: a bundle of the largest size twice');
  t.equal(dropped, 200 * 16 - 768);
  const before = sent.length;
  delivery.ask('modest', { digest, from: 0, count: 1 });
  await settle();
  t.equal(sent.length, before + 1, 'others still have theirs');
});

t.test('what cannot be sent is dropped and counted', async (t) => {
  const { delivery, digest, sent, state } = scene(4);
  state.fails = true;
  delivery.ask('dev', { digest, from: 0, count: 4 });
  await settle();
  t.match(delivery.counts(), { sent: 0, dropped: 4 });
  state.fails = false;
  delivery.ask('dev', { digest, from: 0, count: 4 });
  await settle();
  t.equal(sent.length, 4, 'and can be asked for again');
});
