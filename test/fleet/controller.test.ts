// Goal: the controller's side of the spine, end to end: a box enrolls, is told what to enforce, gets the bundle
// in parts, is confirmed, its events are stored and acknowledged, and it can be asked.
// Method: a simulated device over real TLS at a real broker, once the embedded one and once Debian's mosquitto
// with our configuration; the operator's side is the command line.

import { createHash, createPublicKey, verify } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import {
  type Assignment,
  type Confirmation,
  preAuthenticationEncoding,
  type SignedEnvelope,
} from '../../agent/contract/bundle.ts';
import { blobFilter } from '../../agent/contract/topics.ts';
import type { DeviceView } from '../../fleet/api/views.ts';
import { brokerFolder, freePorts, MosquittoBroker, needsMosquitto } from './link/mosquitto-broker.ts';
import { eventually, SimulatedDevice } from './simulated-device.ts';
import { husk, somePolicy, TestController } from './test-controller.ts';

const folder = mkdtempSync(join(tmpdir(), 'husk-policies-'));
t.teardown(() => rmSync(folder, { recursive: true }));
const policy = join(folder, 'branch.yaml');
writeFileSync(policy, somePolicy);
// Long enough for several parts.
const list = Array.from({ length: 9000 }, (_, i) => `10.${(i >> 8) & 255}.${i & 255}.0/30`);
const longPolicy = join(folder, 'long.yaml');
writeFileSync(longPolicy, somePolicy.replace('192.0.2.0/24, "2001:db8::/32"', list.join(', ')));

const spki = Buffer.from('302a300506032b6570032100', 'hex');

/** The payload, where the one signature is by the key that enrollment handed out. */
function opened<T>(device: SimulatedDevice, envelope: SignedEnvelope): T {
  const raw = Buffer.from(device.device.granted.signers[0] ?? '', 'base64');
  const key = createPublicKey({ key: Buffer.concat([spki, raw]), format: 'der', type: 'spki' });
  const payload = Buffer.from(envelope.payload, 'base64');
  const [signature] = envelope.signatures;
  if (signature === undefined) throw new Error('no signature');
  if (signature.keyid !== createHash('sha256').update(raw).digest('hex')) throw new Error('another key id');
  const signed = preAuthenticationEncoding(envelope.payloadType, payload);
  if (!verify(null, signed, key, Buffer.from(signature.sig, 'base64')))
    throw new Error('the signature is wrong');
  return JSON.parse(payload.toString()) as T;
}

function assignmentOf(device: SimulatedDevice): Assignment | null {
  const desired = device.last(device.topics.desired);
  if (desired === undefined || desired.payload.length === 0) return null;
  return opened<Assignment>(device, JSON.parse(desired.payload.toString()) as SignedEnvelope);
}

async function fetchBundle(device: SimulatedDevice, { digest, bytes }: Assignment): Promise<Buffer> {
  await device.client.subscribeAsync(blobFilter('acme', digest), { qos: 1 });
  const count = Math.ceil(bytes / 65_536);
  await device.say(device.topics.ask, 'ask.parts', { digest, from: 0, count });
  const parts = () =>
    new Map(
      device.received
        .filter((one) => one.topic.includes(digest))
        .map((one) => [Number(one.topic.split('/').at(-1)), one.payload]),
    );
  await eventually(() => parts().size === count, 'all parts');
  return Buffer.concat([...parts()].toSorted(([a], [b]) => a - b).map(([, payload]) => payload));
}

function acknowledgements(
  device: SimulatedDevice,
  kind: string,
): { stream?: string; upTo?: number; confirmation?: SignedEnvelope }[] {
  return device.received
    .filter((one) => one.topic === device.topics.acknowledge)
    .map((one) => JSON.parse(one.payload.toString()) as { k: string; body: object })
    .filter((one) => one.k === kind)
    .map((one) => one.body);
}

/** Asks until the answer is as wanted; fails the test after a while. */
async function shownSoon(ask: () => Promise<string>, wanted: RegExp): Promise<void> {
  const until = Date.now() + 5000;
  for (;;) {
    const said = await ask();
    if (wanted.test(said)) return;
    if (Date.now() > until) throw new Error(`waited for ${wanted}, had: ${said}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

async function theSpine(t: Test, fleet: TestController): Promise<void> {
  const device = await fleet.device({ hardwareId: 'hw-1' });
  t.teardown(() => device.vanish());
  const { id } = device.device;
  const row = () => fleet.json<DeviceView>('device', 'show', id.slice(0, 8));

  await t.test('it enrolls, and is seen up', async (t) => {
    let seen = await row();
    for (let turn = 0; turn < 50 && seen.state !== 'up'; turn += 1) seen = await row();
    t.match(seen, {
      device: id,
      state: 'up',
      hardwareId: 'hw-1',
      agent: '0.1.0',
      inForce: null,
      desired: null,
    });
    t.match((await fleet.cli('device', 'list')).out, new RegExp(`^${id}  .* up `, 'm'));
    await t.rejects(
      fleet.enroll({ hardwareId: 'hw-1' }),
      /enroll.conflict/,
      'another key for the same hardware',
    );
  });

  await t.test('it is told what to enforce, signed for it', async (t) => {
    const published = await fleet.json<{ serial: number; digest: string; devices: string[] }>(
      'policy',
      'publish',
      longPolicy,
      '--all',
      '--trial',
      '45',
      '--title',
      'long one',
    );
    const assignment = await eventually(() => assignmentOf(device), 'desired state');
    t.match(assignment, {
      v: 1,
      tenant: 'acme',
      device: id,
      serial: published.serial,
      digest: published.digest,
      trialSeconds: 45,
    });
    const bytes = await fetchBundle(device, assignment);
    t.ok(bytes.length > 65_536, `${bytes.length} bytes`);
    t.equal(createHash('sha256').update(bytes).digest('hex'), assignment.digest);
    t.equal(bytes.length, assignment.bytes);
    t.match(JSON.parse(bytes.toString()), {
      v: 1,
      tenant: 'acme',
      title: 'long one',
      documents: [{ kind: 'PacketPolicy' }, { kind: 'AddressSet' }],
    });
  });

  await t.test('its trial is confirmed for exactly what it is to enforce', async (t) => {
    const { serial, digest } = assignmentOf(device) ?? { serial: 0, digest: '' };
    const nonce = 'ab'.repeat(32);
    for (const wrong of [
      { serial: serial + 1, digest, nonce },
      { serial, digest: 'e'.repeat(64), nonce },
    ]) {
      await device.say(device.topics.ask, 'ask.confirm', wrong);
    }
    await device.say(device.topics.ask, 'ask.confirm', { serial, digest, nonce });
    const [answer] = await eventually(() => {
      const all = acknowledgements(device, 'ack.trial');
      return all.length > 0 && all;
    }, 'the confirmation');
    await new Promise((resolve) => setTimeout(resolve, 100));
    t.equal(acknowledgements(device, 'ack.trial').length, 1, 'and nothing for the others');
    if (answer?.confirmation === undefined) return t.fail('no confirmation');
    t.match(opened<Confirmation>(device, answer.confirmation), {
      tenant: 'acme',
      device: id,
      serial,
      digest,
      nonce,
    });
  });

  await t.test('publish --wait follows it to its end', async (t) => {
    const before = assignmentOf(device)?.serial ?? 0;
    const waiting = fleet.running('policy', 'publish', policy, '--device', id, '--wait');
    const { serial, digest } = await eventually(() => {
      const one = assignmentOf(device);
      return one !== null && one.serial > before && one;
    }, 'the next one');
    const told = (result: string) =>
      eventually(() => waiting.err.some((line) => line.includes(result)), `a line with ${result}`);
    await told('offered');
    for (const result of ['fetching', 'trial', 'confirmed']) {
      await device.report(serial, digest, result);
      await told(result);
    }
    const said = await waiting.ended;
    t.equal(said.code, 0, said.err);
    t.match(said.err, /offered[\s\S]*fetching[\s\S]*trial[\s\S]*confirmed/);
    t.match(said.out, /confirmed by 1 of 1/);
    t.match(await row(), { inForce: { serial }, desired: { serial, result: 'confirmed' } });

    const refused = fleet.cli('policy', 'publish', policy, '--device', id, '--wait', '--json');
    const next = await eventually(() => {
      const one = assignmentOf(device);
      return one !== null && one.serial > serial && one;
    }, 'one more');
    const refusal = { code: 'policy.unsupported', detail: 'no XDP' };
    await device.report(next.serial, next.digest, 'refused', { refusal });
    const answer = await refused;
    t.equal(answer.code, 1);
    t.match(answer.err, /refused, policy.unsupported: no XDP/);
    t.match(JSON.parse(answer.out), {
      serial: next.serial,
      devices: [{ device: id, result: 'refused', refusal }],
    });
  });

  await t.test('publish --wait says which rules a confirmed bundle falls short of', async (t) => {
    const why = 'xdp_ingress is not attached to wan0';
    const rules = [
      { id: 'branch/a', state: 'enforced' },
      { id: 'branch/b', state: 'monitor' },
      { id: 'branch/c', state: 'degraded', why },
      { id: 'branch/d', state: 'degraded', why: 'another' },
    ] as const;
    const publish = async (...more: readonly string[]) => {
      const before = assignmentOf(device)?.serial ?? 0;
      const waiting = fleet.cli('policy', 'publish', policy, '--device', id, '--wait', ...more);
      const { serial, digest } = await eventually(() => {
        const one = assignmentOf(device);
        return one !== null && one.serial > before && one;
      }, 'the next one');
      return { serial, digest, waiting };
    };
    const first = await publish();
    await device.report(first.serial, first.digest, 'confirmed', {}, rules);
    const said = await first.waiting;
    t.equal(said.code, 0, 'confirmed is confirmed');
    t.match(
      said.err,
      new RegExp(`: 2 of 4 rules degraded: ${why} \\(husk device show ${id.slice(0, 8)}\\)$`),
    );

    const second = await publish('--json');
    await device.report(second.serial, second.digest, 'confirmed', {}, rules);
    const enforcement = { rules: 4, degraded: 2, unsupported: 0, why };
    t.match(JSON.parse((await second.waiting).out), { devices: [{ device: id, enforcement }] });

    const third = await publish();
    await device.report(third.serial, third.digest, 'confirmed', {}, rules.slice(0, 2));
    t.notMatch((await third.waiting).err, /rules/, 'monitor is what was asked for');
  });

  await t.test('a report of the baseline counts against an older birth and report', async (t) => {
    const { serial, digest } = assignmentOf(device) ?? { serial: 0, digest: '' };
    const inForce = { serial, digest };
    const listed = async () => (await fleet.cli('device', 'list')).out;
    await device.birth({ inForce });
    await device.report(serial, digest, 'confirmed');
    await shownSoon(listed, new RegExp(`^${id} .*  ${serial}  +${serial} `, 'm'));
    await device.report(serial, digest, 'returned', { reason: 'local-command' });
    await shownSoon(listed, new RegExp(`^${id} .*  -  +${serial} `, 'm'));
    t.match((await fleet.cli('device', 'show', id)).out, /^in force +the baseline$/m);
  });

  await t.test('its events are stored once and acknowledged', async (t) => {
    const events = [1, 2, 3].map((seq) => ({
      seq,
      mono: seq,
      ts: Date.now(),
      tq: 'ntp',
      event: { kind: 'audit', what: `did.${seq}`, detail: { n: seq } },
    }));
    await device.say(device.topics.events, 'ev.batch', { stream: 'audit', events });
    await device.say(device.topics.events, 'ev.batch', { stream: 'audit', events });
    await eventually(() => acknowledgements(device, 'ack.spool').length === 2, 'two acknowledgements');
    t.same(acknowledgements(device, 'ack.spool'), [
      { stream: 'audit', upTo: 3 },
      { stream: 'audit', upTo: 3 },
    ]);
    const stored = await fleet.json<{ seq: number; event: { what: string } }[]>('events', '--device', id);
    t.same(
      stored.map((one) => one.event.what),
      ['did.1', 'did.2', 'did.3'],
    );
    t.match((await fleet.cli('events', '--count', '1')).out, new RegExp(`${id.slice(0, 8)} did.3 {"n":3}`));
    t.equal((await fleet.cli('events', '--stream', 'alert')).out, '');
  });

  await t.test('it can be asked', async (t) => {
    const answering = eventually(() => device.last(device.topics.request), 'the question').then(
      async ({ payload }) => {
        const { k, body } = JSON.parse(payload.toString()) as {
          k: string;
          body: { id: string; who: string; view: string; args: object };
        };
        t.match(
          { k, body },
          { k: 'rq.query', body: { view: 'events', args: { count: 5, all: true }, who: 'controller' } },
        );
        // Parts may overtake each other.
        await device.say(device.topics.answer(body.who), 'rs.part', {
          id: body.id,
          part: 1,
          last: true,
          rows: [{ n: 2 }],
        });
        await device.say(device.topics.answer(body.who), 'rs.part', {
          id: body.id,
          part: 0,
          last: false,
          rows: [{ n: 1 }],
        });
      },
    );
    t.same(await fleet.json('query', id, 'events', 'count=5', 'all=true'), [{ n: 1 }, { n: 2 }]);
    await answering;

    const event = { kind: 'audit', what: 'x\u001b[31m', detail: { a: 1 } };
    const rows = [{ stream: 'audit', seq: 1, mono: 1, ts: Date.now(), tq: 'ntp', event }, { odd: '\u001b' }];
    const answeringEvents = eventually(
      () => device.received.filter((one) => one.topic === device.topics.request)[1],
      'the question',
    ).then(async ({ payload }) => {
      const { body } = JSON.parse(payload.toString()) as { body: { id: string } };
      const part = { id: body.id, part: 0, last: true, rows };
      await device.say(device.topics.answer('controller'), 'rs.part', part);
    });
    const lines = (await fleet.cli('query', id, 'events')).out.split('\n');
    await answeringEvents;
    t.match(lines[0], /^\d{4}-\S+ \S+ audit x\\u\{1b\}\[31m \{"a":1\}$/, 'as husk events shows it');
    t.same(lines.slice(1), ['{"odd":"\\u001b"}'], 'what is no event is shown as it came');

    const refusing = eventually(
      () => device.received.filter((one) => one.topic === device.topics.request)[2],
      'the question',
    ).then(async ({ payload }) => {
      const { body } = JSON.parse(payload.toString()) as { body: { id: string } };
      await device.say(device.topics.answer('controller'), 'rs.part', {
        id: body.id,
        part: 0,
        last: true,
        refusal: { code: 'query.busy', detail: 'four already' },
      });
    });
    const said = await fleet.cli('query', id, 'status');
    await refusing;
    t.match(said, { code: 1, err: 'query.busy: four already' });
    t.match(await fleet.cli('query', id, 'status', '--within', '1'), { code: 1, err: /query.deadline/ });
  });

  await t.test('hostile messages are counted and change nothing', async (t) => {
    const before = await row();
    const send = (topic: string, payload: string | Buffer) =>
      device.client.publishAsync(topic, payload, { qos: 1 });
    await send(device.topics.presence, '{"v":1');
    await send(device.topics.presence, Buffer.from([0xff, 0xfe]));
    await send(device.topics.reported, '['.repeat(10_000));
    await send(device.topics.reported, `{"v":1,"v":1}`);
    await send(device.topics.events, 'x'.repeat(200_000));
    await send(`husk/acme/d/${id}/up/unknown`, '{}');
    await device.say(device.topics.ask, 'ask.parts', { digest: 'f'.repeat(64), from: 0, count: 16 });
    await device.say(device.topics.ask, 'ask.parts', { digest: '../../etc/passwd', from: 0, count: 1 });
    await device.say(device.topics.answer('controller'), 'rs.part', {
      id: 'nobody-asked',
      part: 0,
      last: true,
    });
    const events = [
      { seq: 4, mono: 1, ts: null, tq: 'none', event: { kind: 'audit', what: 'after', detail: {} } },
    ];
    await device.say(device.topics.events, 'ev.batch', { stream: 'audit', events });
    await eventually(
      () => acknowledgements(device, 'ack.spool').some((one) => one.upTo === 4),
      'it to go on',
    );
    const { inbox } = await fleet.json<{ inbox: Record<string, number> }>('status');
    t.equal(inbox.malformed, 6);
    t.equal(inbox['parts of a bundle that is not its own'], 1);
    t.same({ ...(await row()), gaps: null }, { ...before, gaps: null });
  });

  await t.test('going without a word, and coming back with an older will on the way', async (t) => {
    device.vanish();
    await eventually(() => fleet.controller.store.devices.find(id)?.presence === 'gone', 'it to be gone');
    const again = await SimulatedDevice.connect(device.device, fleet.ports.device, 2);
    t.teardown(() => again.vanish());
    await again.birth();
    await eventually(() => fleet.controller.store.devices.find(id)?.presence === 'up', 'it to be up');
    t.ok(
      (await eventually(() => again.last(again.topics.desired), 'desired state')).retained,
      'desired state is retained',
    );
    await again.client.publishAsync(
      again.topics.presence,
      JSON.stringify({
        v: 1,
        k: 'st.gone',
        sid: 1,
        boot: 'boot-a',
        seq: 0,
        mono: 1,
        ts: null,
        tq: 'none',
        body: { state: 'gone' },
      }),
      { qos: 1, retain: true },
    );
    await again.say(again.topics.events, 'ev.batch', {
      stream: 'alert',
      events: [{ seq: 1, mono: 1, ts: null, tq: 'none', event: { kind: 'audit', what: 'x', detail: {} } }],
    });
    await eventually(() => acknowledgements(again, 'ack.spool').length > 0, 'what was sent after it');
    t.equal(
      fleet.controller.store.devices.find(id)?.presence,
      'up',
      'a will of the session before is dropped',
    );
    await again.say(again.topics.presence, 'st.bye', { state: 'bye' }, true);
    await eventually(() => fleet.controller.store.devices.find(id)?.presence === 'bye', 'its goodbye');
    t.match(await fleet.cli('query', id, 'status'), { code: 1, err: /not connected \(bye\)/ });
    await again.close();
  });
}

t.test('with the embedded broker', async (t) => {
  const fleet = new TestController(t);
  await fleet.start();
  await theSpine(t, fleet);

  await t.test('a forgotten device is sent away and its hardware is free', async (t) => {
    const device = await fleet.device({ hardwareId: 'hw-2' });
    const gone = new Promise((resolve) => device.client.once('close', () => resolve(true)));
    t.match(await fleet.cli('device', 'forget', device.device.id), { code: 0 });
    t.ok(await gone);
    await t.rejects(SimulatedDevice.connect(device.device, fleet.ports.device, 2), /authorized/i);
    const successor = await fleet.device({ hardwareId: 'hw-2' });
    t.not(successor.device.id, device.device.id);
    successor.vanish();
  });

  await t.test('desired state is there again after the controller was started again', async (t) => {
    const device = await fleet.device({ hardwareId: 'hw-3' });
    await fleet.cli('policy', 'publish', policy, '--device', device.device.id);
    const before = await eventually(() => device.last(device.topics.desired), 'desired state');
    await fleet.stop();
    await fleet.start();
    t.equal(
      fleet.controller.store.devices.find(device.device.id)?.presence,
      'gone',
      'nobody is connected to a new broker',
    );
    const again = await SimulatedDevice.connect(device.device, fleet.ports.device, 2);
    t.teardown(() => again.vanish());
    const after = await eventually(() => again.last(again.topics.desired), 'desired state');
    t.same(after.payload, before.payload, 'the very same bytes');
    device.vanish();
  });

  await t.test('one data folder is served once', async (t) => {
    const said = await husk(['serve', '--data', fleet.folder, '--port', '0', '--enroll-port', '0']);
    t.match(said, { code: 1, err: /another controller serves this folder/ });
  });
});

t.test('with a Mosquitto of the site', { skip: needsMosquitto }, async (t) => {
  const fleet = new TestController(t);
  const folder = brokerFolder();
  const [port = 0, enrollPort = 0, servicesPort = 0] = await freePorts(3);
  const said = await husk([
    ...['broker-config', 'mosquitto', '--data', fleet.folder, '--out', folder, '--listen', '127.0.0.1'],
    ...[
      '--port',
      `${port}`,
      '--enroll-port',
      `${enrollPort}`,
      '--services-port',
      `${servicesPort}`,
      '--json',
    ],
  ]);
  t.equal(said.code, 0, said.err);
  t.same(JSON.parse(said.out).files, [
    'mosquitto.conf',
    'devices.acl',
    'services.acl',
    'enroll.acl',
    'authority.pem',
    'server.pem',
    'server.key',
  ]);
  const broker = await MosquittoBroker.start(folder, port);
  t.teardown(() => broker.stop());
  await fleet.start({ broker: { port, enrollPort } });
  t.match(await fleet.json('status'), { session: { protocolVersion: 5 }, broker: null });
  await theSpine(t, fleet);

  await t.test('desired state is published again to a broker that lost it', async (t) => {
    const device = await fleet.device({ hardwareId: 'hw-3' });
    await fleet.cli('policy', 'publish', policy, '--all');
    const before = await eventually(() => device.last(device.topics.desired), 'desired state');
    device.vanish();
    await broker.kill();
    await eventually(() => !fleet.controller.isConnected, 'the end');
    t.match(await fleet.cli('status'), { code: 0, out: /not connected/ });
    t.match(
      await fleet.cli('policy', 'publish', policy, '--all'),
      { code: 0 },
      'publishing works without a broker',
    );
    const again = await MosquittoBroker.start(folder, port);
    t.teardown(() => again.kill());
    await eventually(() => fleet.controller.isConnected, 'the broker', 40_000);
    const back = await SimulatedDevice.connect(device.device, port, 2);
    t.teardown(() => back.vanish());
    const after = await eventually(() => back.last(back.topics.desired), 'desired state');
    t.not(after.payload.toString(), before.payload.toString(), 'and it is the newest');
  });
});
