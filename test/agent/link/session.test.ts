// Goal: the link says who is there, loses nothing silently, keeps nothing without bound, comes back by
// itself, and opens a really new connection when a trial asks for one.
// Method: sessions of real devices against a real broker over mutual TLS, embedded (3.1.1) and Mosquitto
// (5); connections cut, brokers stopped, publications refused.

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import type { Envelope } from '../../../agent/contract/envelope.ts';
import type { Birth, Gone } from '../../../agent/contract/state.ts';
import type { Credentials, Endpoint } from '../../../agent/link/connection.ts';
import type { Incoming } from '../../../agent/link/inbox.ts';
import { Session } from '../../../agent/link/session.ts';
import { SessionMemory } from '../../../agent/link/session-memory.ts';
import { SystemClock } from '../../../agent/os/clock.ts';
import { DiskFiles } from '../../../agent/os/files.ts';
import { silentLog } from '../../../agent/os/log.ts';
import { systemRandom } from '../../../agent/os/random.ts';
import { FailingFiles } from '../../lab/failing-files.ts';
import { freePort, makeAuthority, mosquittoMissing, startMosquitto, TestBroker, until } from './broker.ts';

const certificates = makeAuthority();
const device = 'abcdefghijklmnopqrstuvwxyz';
const credentials = certificates.device(device);
type Presence = Envelope<Birth | Gone>;
type Test = Pick<typeof t, 'teardown'>;

interface Running {
  readonly session: Session;
  readonly incoming: Incoming[];
  stop(): Promise<void>;
}

function run(
  t: Test,
  endpoint: Endpoint,
  change: {
    readonly files?: FailingFiles;
    readonly statePath?: string;
    readonly keepaliveSeconds?: number;
    readonly credentials?: Credentials;
  } = {},
): Running {
  const folder = mkdtempSync(join(tmpdir(), 'husk-link-'));
  const files = change.files ?? new DiskFiles();
  const session = new Session({
    endpoint,
    credentials: change.credentials ?? credentials,
    tenant: 'acme',
    device,
    keepaliveSeconds: change.keepaliveSeconds ?? 30,
    reconnect: { baseMs: 50, maxMs: 300 },
    bootId: 'boot-1',
    memory: new SessionMemory(files, change.statePath ?? join(folder, 'link.json'), silentLog),
    clock: new SystemClock(),
    random: systemRandom,
    log: silentLog,
    birth: () => ({ agent: 'test', kernel: '6', architecture: 'x64', hostname: 'h', inForce: null }),
  });
  const incoming: Incoming[] = [];
  session.listen((message) => incoming.push(message));
  const end = new AbortController();
  const done = session.run(end.signal);
  const stop = async () => {
    end.abort();
    await done;
  };
  t.teardown(async () => {
    await stop();
    rmSync(folder, { recursive: true });
  });
  return { session, incoming, stop };
}

async function broker(t: Test, port?: number): Promise<TestBroker> {
  const started = await TestBroker.start(certificates, port === undefined ? {} : { port });
  t.teardown(() => started.close());
  return started;
}

t.test('falls back to MQTT 3.1.1, is born, and says goodbye', async (t) => {
  const at = await broker(t);
  const { session, stop } = run(t, at.endpoint);
  await session.whenUp(AbortSignal.timeout(10_000));
  t.equal(session.status().protocol, 4, 'the embedded broker speaks 3.1.1');
  const [birth] = at.on<Presence>(session.topics.presence);
  t.match(birth, { v: 1, k: 'st.birth', boot: 'boot-1', body: { state: 'up', nonce: /^[0-9a-f]{64}$/ } });
  t.equal(at.seen[0]?.retain, true, 'retained');
  await stop();
  t.match(at.on<Presence>(session.topics.presence).at(-1), { k: 'st.bye', body: { state: 'bye' } });
  await until(() => at.clients === 0, 'the client to leave');
  t.notOk(
    at.on<Presence>(session.topics.presence).some((one) => one.k === 'st.gone'),
    'no will after a goodbye',
  );
});

t.test('a cut connection leaves the will, and a birth with a higher number follows', async (t) => {
  const at = await broker(t);
  const { session } = run(t, at.endpoint);
  await session.whenUp(AbortSignal.timeout(10_000));
  at.cut();
  await until(() => at.on<Presence>(session.topics.presence).length === 3, 'birth, will and birth');
  const [birth, will, again] = at.on<Presence>(session.topics.presence);
  t.equal(will?.k, 'st.gone');
  t.equal(will?.sid, birth?.sid, 'the will is of the first session');
  t.ok((again?.sid ?? 0) > (birth?.sid ?? 0), 'the number has grown');
  t.equal(again?.seq, 1, 'and numbers within the session begin anew behind the will');
});

t.test('the session number grows over restarts, also when the disk is full', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'husk-memory-'));
  t.teardown(() => rmSync(folder, { recursive: true }));
  const path = join(folder, 'link.json');
  const files = new FailingFiles(new DiskFiles());
  const first = new SessionMemory(files, path, silentLog);
  const given = [first.nextSid(), first.nextSid()];
  const second = new SessionMemory(files, path, silentLog);
  t.ok(second.nextSid() > Math.max(...given), 'after a crash');
  files.fail({ operation: 'write', code: 'ENOSPC' });
  const third = new SessionMemory(files, path, silentLog);
  const a = third.nextSid();
  t.ok(third.nextSid() > a, 'without the disk it still grows in memory');
  t.equal(third.version('a:1'), 5);
  files.heal();
  third.rememberOldBroker('a:1');
  t.equal(new SessionMemory(files, path, silentLog).version('a:1'), 4, 'the broker is remembered');
  t.equal(new SessionMemory(files, path, silentLog).version('b:1'), 5, 'another broker is not');
});

t.test('messages arrive as types, and what cannot be read is counted', async (t) => {
  const at = await broker(t);
  const { session, incoming } = run(t, at.endpoint);
  await session.whenUp(AbortSignal.timeout(10_000));
  await at.publish(session.topics.desired, '{"payloadType":"x"}', true);
  const body = { id: 'q1', who: 'ops', view: 'status', withinMs: 1000 };
  await at.publish(session.topics.request, JSON.stringify({ v: 1, k: 'rq.query', body }));
  await at.publish(session.topics.request, '{"v":1,"k":"rq.query","body":{},"body":{}}');
  await until(() => incoming.length === 2 && session.status().unreadable === 1, 'three messages');
  t.equal(incoming[0]?.kind, 'desired');
  t.strictSame(incoming[1], { kind: 'query', query: body });
});

t.test('nothing is kept while the link is down', async (t) => {
  const at = await broker(t);
  const { session } = run(t, at.endpoint);
  await session.whenUp(AbortSignal.timeout(10_000));
  await at.close();
  await until(() => !session.isUp, 'the link to go down');
  await t.rejects(session.send({ topic: session.topics.reported, kind: 'rep', body: {} }), /down/);
});

t.test('publications on their way are bounded, and the rest is refused and counted', async (t) => {
  const at = await broker(t);
  const { session } = run(t, at.endpoint);
  await session.whenUp(AbortSignal.timeout(10_000));
  let answer = () => {};
  const held = new Promise<void>((resolve) => {
    answer = resolve;
  });
  // A broker that holds its acknowledgements back.
  at.aedes.authorizePublish = (_client, _packet, done) => void held.then(() => done(null));
  const sends = Array.from({ length: 300 }, (_, n) =>
    session.send({ topic: session.topics.events, kind: 'ev.batch', body: { n } }).then(
      () => 'sent',
      () => 'refused',
    ),
  );
  await until(() => session.status().dropped === 300 - 16 - 128, 'what is over the bound to be refused');
  answer();
  const results = await Promise.all(sends);
  t.equal(results.filter((one) => one === 'sent').length, 16 + 128, 'the others go out in their turn');
});

t.test('a publication that makes the broker close is given up, and others are not', async (t) => {
  const at = await broker(t);
  at.refuse = (topic, payload) => topic.endsWith('/up/ev') && payload.includes('poison');
  const { session } = run(t, at.endpoint);
  const offer = async (body: string): Promise<string> => {
    await session.whenUp(AbortSignal.timeout(10_000));
    return session.send({ topic: session.topics.events, kind: 'ev.batch', body, key: body }).then(
      () => 'sent',
      (error: { kind: string }) => error.kind,
    );
  };
  const results: string[] = [];
  for (let n = 0; n < 8; n += 1) {
    const [bad, good] = await Promise.all([offer('poison'), offer('good')]);
    results.push(bad ?? '', good ?? '');
  }
  t.ok(results.includes('refused'), 'the one is refused at last');
  t.ok(results.includes('sent'), 'the other is sent');
  const { connects, poisoned } = session.status();
  t.ok(poisoned > 0, `${poisoned} counted`);
  t.ok(connects < 8, `${connects} connections`);
  t.equal(await offer('good'), 'sent', 'and goes on being sent');
});

t.test('a denied birth is tried again at the pace of the pauses', async (t) => {
  const at = await broker(t);
  let denied = 0;
  at.refuse = (topic) => topic.endsWith('/up/st') && denied++ < 3;
  const { session } = run(t, at.endpoint);
  await session.whenUp(AbortSignal.timeout(10_000));
  t.ok(session.status().connects >= 2);
});

t.test('reconnect opens a new connection and resolves when it is up', async (t) => {
  const at = await broker(t);
  const { session } = run(t, at.endpoint);
  await session.whenUp(AbortSignal.timeout(10_000));
  const before = session.status();
  let connections = 0;
  at.aedes.on('client', () => {
    connections += 1;
  });
  await session.reconnect(AbortSignal.timeout(10_000));
  t.ok(session.isUp);
  t.equal(connections, 1, 'one new client at the broker');
  t.ok(session.status().sid > before.sid, 'with a number of its own');
  await session.send({ topic: session.topics.ask, kind: 'ask.confirm', body: {} });
  t.equal(at.on<Envelope>(session.topics.ask)[0]?.sid, session.status().sid, 'and what is sent goes over it');
  t.notOk(
    at.on<Presence>(session.topics.presence).some((one) => one.k === 'st.gone'),
    'the old one was closed in good form',
  );
});

t.test('reconnect fails at its deadline when nothing new can be opened', async (t) => {
  const port = await freePort();
  const at = await TestBroker.start(certificates, { port });
  const { session } = run(t, at.endpoint);
  await session.whenUp(AbortSignal.timeout(10_000));
  await at.close();
  // That it ends with its deadline and not later is tap's timeout: nothing else ends the tries.
  await t.rejects(session.reconnect(AbortSignal.timeout(1500)), { name: 'TimeoutError' });
  const again = await broker(t, port);
  await session.whenUp(AbortSignal.timeout(10_000));
  t.equal(again.clients, 1, 'the link itself goes on trying');
});

t.test('a broker of another authority, or for another name, is not believed', async (t) => {
  const stranger = makeAuthority();
  const imposter = await TestBroker.start(stranger);
  t.teardown(() => imposter.close());
  const first = run(t, imposter.endpoint);
  await until(() => first.session.status().lastError !== null, 'a refusal');
  t.match(first.session.status().lastError, /authority/);
  t.equal(imposter.seen.length, 0, 'nothing was sent');

  const misnamed = makeAuthority(['elsewhere.example']);
  const other = await TestBroker.start({ ...certificates, server: misnamed.server });
  t.teardown(() => other.close());
  const second = run(t, other.endpoint);
  await until(() => second.session.status().lastError !== null, 'a refusal');
  t.equal(second.session.isUp, false);
});

t.test('a device whose clock is behind is told that its clock may be', async (t) => {
  // To a device in 1970 every certificate is of the future; here the certificates are.
  const monthMs = 30 * 24 * 3600 * 1000;
  const future = makeAuthority(undefined, Date.now() + monthMs);
  const at = await TestBroker.start(future);
  t.teardown(() => at.close());
  const { session } = run(t, at.endpoint, { credentials: future.device(device) });
  await until(() => session.status().lastError !== null, 'a refusal');
  t.match(session.status().lastError, /not yet valid.*clock/);
  t.equal(at.seen.length, 0);
});

t.test('a device whose certificate the broker does not take is told so', async (t) => {
  const stranger = makeAuthority();
  const strict = await TestBroker.start({ ...stranger, server: certificates.server });
  t.teardown(() => strict.close());
  const { session } = run(t, strict.endpoint);
  await until(() => session.status().lastError !== null, 'a refusal');
  t.match(session.status().lastError, /certificate/);
});

t.test(
  'with Mosquitto: MQTT 5, retained desired state, will and goodbye',
  { skip: mosquittoMissing() },
  async (t) => {
    const at = await startMosquitto(certificates);
    t.teardown(() => at.close());
    const { session, incoming, stop } = run(t, at.endpoint);
    await session.whenUp(AbortSignal.timeout(10_000));
    t.equal(session.status().protocol, 5);
    await session.send({ topic: session.topics.desired, kind: 'x', body: {}, retain: true });
    await until(() => incoming.some((one) => one.kind === 'desired'), 'the desired state');
    await session.reconnect(AbortSignal.timeout(10_000));
    await until(
      () => incoming.filter((one) => one.kind === 'desired').length >= 2,
      'it again after reconnecting',
    );
    await stop();
    t.equal(session.status().state, 'stopped');
  },
);
