// Goal: a bundle arrives whole or not at all, whatever the controller sends and however often the link goes
// down; and a confirmation is asked for until it comes or the deadline does.
// Method: a session against a real broker; a controller of a few lines serves parts, and loses, repeats,
// reorders, shortens or invents them.

import { createHash, randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import type { ConfirmationAsked, PartsAsked } from '../../../agent/contract/bundle.ts';
import type { Envelope } from '../../../agent/contract/envelope.ts';
import { bundleBytesMax, partBytes, partsWindow } from '../../../agent/contract/limits.ts';
import { blobTopic } from '../../../agent/contract/topics.ts';
import { askConfirmation } from '../../../agent/link/confirm-trial.ts';
import { fetchBundle } from '../../../agent/link/fetch-bundle.ts';
import { Session } from '../../../agent/link/session.ts';
import { SessionMemory } from '../../../agent/link/session-memory.ts';
import { SystemClock } from '../../../agent/os/clock.ts';
import { DiskFiles } from '../../../agent/os/files.ts';
import { silentLog } from '../../../agent/os/log.ts';
import { systemRandom } from '../../../agent/os/random.ts';
import { makeAuthority, TestBroker } from './broker.ts';

const certificates = makeAuthority();
const device = 'abcdefghijklmnopqrstuvwxyz';
const credentials = certificates.device(device);
type Test = Pick<typeof t, 'teardown'>;

/** Sleeps a thirtieth of what it is asked to. */
class HurriedClock extends SystemClock {
  override sleep(ms: number, signal?: AbortSignal): Promise<void> {
    return super.sleep(ms / 30, signal);
  }
}

async function connected(t: Test): Promise<{ broker: TestBroker; session: Session }> {
  const broker = await TestBroker.start(certificates);
  const folder = mkdtempSync(join(tmpdir(), 'husk-fetch-'));
  const session = new Session({
    ...{ endpoint: broker.endpoint, credentials, tenant: 'acme', device, keepaliveSeconds: 30 },
    ...{ reconnect: { baseMs: 50, maxMs: 200 }, bootId: 'boot', random: systemRandom, log: silentLog },
    memory: new SessionMemory(new DiskFiles(), join(folder, 'link.json'), silentLog),
    clock: new SystemClock(),
    birth: () => ({ agent: 't', kernel: '6', architecture: 'x64', hostname: 'h', inForce: null }),
  });
  const end = new AbortController();
  const done = session.run(end.signal);
  t.teardown(async () => {
    end.abort();
    await done;
    await broker.close();
    rmSync(folder, { recursive: true });
  });
  await session.whenUp(AbortSignal.timeout(10_000));
  return { broker, session };
}

/** Calls back for each window that is asked for. */
function serve(
  broker: TestBroker,
  session: Session,
  give: (ask: PartsAsked, nth: number) => Promise<void> | void,
): { readonly asks: PartsAsked[] } {
  const asks: PartsAsked[] = [];
  broker.aedes.on('publish', (packet, client) => {
    if (client === null || packet.topic !== session.topics.ask) return;
    const envelope = JSON.parse(packet.payload.toString()) as Envelope<PartsAsked>;
    if (envelope.k !== 'ask.parts') return;
    asks.push(envelope.body);
    void give(envelope.body, asks.length);
  });
  return { asks };
}

function partOf(bytes: Buffer, n: number): Buffer {
  return bytes.subarray(n * partBytes, (n + 1) * partBytes);
}

function makeBundle(length: number): { bytes: Buffer; digest: string } {
  const bytes = randomBytes(length);
  return { bytes, digest: createHash('sha256').update(bytes).digest('hex') };
}

function fetch(session: Session, digest: string, bytes: number, withinMs = 60_000): Promise<Uint8Array> {
  const tools = { session, tenant: 'acme', clock: new SystemClock(), random: systemRandom };
  return fetchBundle(tools, digest, bytes, AbortSignal.timeout(withinMs));
}

t.test('a bundle of several windows arrives', async (t) => {
  const { broker, session } = await connected(t);
  const { bytes, digest } = makeBundle(partBytes * 20 + 17);
  const { asks } = serve(broker, session, async ({ from, count }) => {
    for (let n = from; n < from + count; n += 1) {
      await broker.publish(blobTopic('acme', digest, n), partOf(bytes, n));
    }
  });
  t.ok(bytes.equals(await fetch(session, digest, bytes.length)));
  t.strictSame(asks, [
    { digest, from: 0, count: partsWindow },
    { digest, from: 16, count: 5 },
  ]);
});

t.test('parts lost, repeated, out of order, short, too many and of other bundles do no harm', async (t) => {
  const { broker, session } = await connected(t);
  const { bytes, digest } = makeBundle(partBytes * 3 + 5);
  serve(broker, session, async ({ from, count }, nth) => {
    const put = (n: number, payload: Buffer) => broker.publish(blobTopic('acme', digest, n), payload);
    await broker.publish(blobTopic('acme', 'ab'.repeat(32), from), randomBytes(partBytes));
    await put(from, randomBytes(10));
    await put(99, randomBytes(partBytes));
    await put(3, randomBytes(partBytes));
    if (nth === 1) return put(2, partOf(bytes, 2));
    for (let n = from + count - 1; n >= from; n -= 1) {
      await put(n, partOf(bytes, n));
      await put(n, randomBytes(partBytes));
    }
  });
  t.ok(bytes.equals(await fetch(session, digest, bytes.length)));
});

t.test('what has come stays over a cut link', async (t) => {
  const { broker, session } = await connected(t);
  const { bytes, digest } = makeBundle(partBytes * 6);
  const { asks } = serve(broker, session, async ({ from, count }, nth) => {
    const until = nth === 1 ? from + 2 : from + count;
    for (let n = from; n < until; n += 1)
      await broker.publish(blobTopic('acme', digest, n), partOf(bytes, n));
    if (nth === 1) setTimeout(() => broker.cut(), 100);
  });
  t.ok(bytes.equals(await fetch(session, digest, bytes.length)));
  t.equal(asks.at(-1)?.from, 2, 'asked on from where it was');
});

t.test('a controller that delivers nothing is given up', async (t) => {
  const { broker, session } = await connected(t);
  const { asks } = serve(broker, session, () => {});
  const { bytes, digest } = makeBundle(100);
  // Its waits add up to more than a minute.
  const clock = new HurriedClock();
  const tools = { session, tenant: 'acme', clock, random: systemRandom };
  await t.rejects(fetchBundle(tools, digest, bytes.length, AbortSignal.timeout(30_000)), {
    code: 'bundle.unavailable',
  });
  t.ok(asks.length >= 5, `after ${asks.length} questions`);
});

t.test('the caller may end it', async (t) => {
  const { session } = await connected(t);
  await t.rejects(fetch(session, 'ab'.repeat(32), 100, 300), { name: 'TimeoutError' });
});

t.test('a length that is not acceptable is refused before anything is asked', async (t) => {
  const { broker, session } = await connected(t);
  const { asks } = serve(broker, session, () => {});
  await t.rejects(fetch(session, 'ab'.repeat(32), bundleBytesMax + 1), { code: 'bundle.too-large' });
  await t.rejects(fetch(session, 'ab'.repeat(32), 0), { code: 'bundle.too-large' });
  t.equal(asks.length, 0);
});

t.test('a confirmation is asked for again until it comes', async (t) => {
  const { broker, session } = await connected(t);
  const ask: ConfirmationAsked = { serial: 3, digest: 'ab'.repeat(32), nonce: 'cd'.repeat(32) };
  const confirmation = { payloadType: 'x', payload: 'e30=', signatures: [{ keyid: 'k', sig: 's' }] };
  let asked = 0;
  broker.aedes.on('publish', (packet, client) => {
    if (client === null || packet.topic !== session.topics.ask) return;
    asked += 1;
    const envelope = JSON.parse(packet.payload.toString()) as Envelope<ConfirmationAsked>;
    if (envelope.body.serial !== ask.serial) return;
    t.strictSame(envelope.body, ask);
    // The first question is lost with its connection, the second is not answered.
    if (asked === 1) broker.cut();
    if (asked === 3) {
      void broker.publish(
        session.topics.acknowledge,
        JSON.stringify({ v: 1, k: 'ack.trial', body: { confirmation } }),
      );
    }
  });
  const tools = { session, clock: new SystemClock(), random: systemRandom };
  t.strictSame(await askConfirmation(tools, ask, AbortSignal.timeout(20_000)), confirmation);
  t.equal(asked, 3);
  await t.rejects(askConfirmation(tools, { ...ask, serial: 4 }, AbortSignal.timeout(200)), {
    name: 'TimeoutError',
  });
});
