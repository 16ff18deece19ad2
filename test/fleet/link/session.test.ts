// Goal: the controller's session finds the version a broker speaks, comes back by itself, and neither loses a
// publish silently nor sends one for ever.
// Method: the embedded broker (3.1.1) and Debian's mosquitto (5), stopped, started again on the same port, and
// asked for what they refuse.

import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pino } from 'pino';
import t, { type Test } from 'tap';
import { EmbeddedBroker } from '../../../fleet/link/broker.ts';
import { BrokerSession, type SessionOptions } from '../../../fleet/link/session.ts';
import { eventually } from '../simulated-device.ts';
import { testAuthority } from '../test-authority.ts';
import { me } from './broker-manners.ts';
import { brokerFolder, freePorts, MosquittoBroker, needsMosquitto } from './mosquitto-broker.ts';

const authority = testAuthority();
const tls = { ca: authority.certificate, ...authority.client('controller', 'controller') };
const log = pino({ level: 'silent' });
const des = `husk/acme/d/${me}/dn/des`;

function startBroker(port: number): Promise<EmbeddedBroker> {
  return EmbeddedBroker.start({
    ...{ tenant: 'acme', listen: '127.0.0.1', port, enrollPort: 0, admits: () => true, log },
    certificate: authority.server.certificate,
    key: authority.server.key,
    authority: authority.certificate,
  });
}

function open(t: Test, port: number, more: Partial<SessionOptions> = {}) {
  const heard: string[] = [];
  let ups = 0;
  const session = new BrokerSession({
    ...{ url: `mqtts://127.0.0.1:${port}`, clientId: 'controller', tls, log, filters: ['husk/acme/#'] },
    onMessage: (topic, payload) => heard.push(`${topic} ${Buffer.from(payload)}`),
    onUp: () => {
      ups += 1;
    },
    ...more,
  });
  session.start();
  t.teardown(() => session.close());
  return { session, heard, ups: () => ups };
}

t.test('falls back to 3.1.1, remembers it, and comes back after the broker was away', async (t) => {
  const [port = 0] = await freePorts(1);
  let broker = await startBroker(port);
  const { session, heard, ups } = open(t, port);
  await eventually(() => session.status().isUp, 'the session');
  t.equal(session.status().protocolVersion, 4);
  await session.publish(des, 'one', { retain: true });
  await eventually(() => heard.includes(`${des} one`), 'its own message');

  const refused = () => broker.status().counts['asked for another MQTT version'] ?? 0;
  await broker.close();
  await eventually(() => !session.status().isUp, 'the end');
  t.match(session.status().trouble, /./);
  await t.rejects(
    session.publish(des, 'lost'),
    /not connected/,
    'nothing waits for a connection that is not there',
  );
  broker = await startBroker(port);
  t.teardown(() => broker.close());
  await eventually(() => session.status().isUp, 'the session again');
  t.equal(ups(), 2);
  t.equal(refused(), 0, 'version 5 was not tried again');
  t.notOk(heard.some((line) => line.endsWith('lost')));
});

t.test('what is under way fails with the connection', async (t) => {
  const broker = await startBroker(0);
  const { session } = open(t, broker.devicePort);
  await eventually(() => session.status().isUp, 'the session');
  const all = Promise.allSettled(
    Array.from({ length: 2000 }, (_, index) =>
      session.publish(`husk/acme/b/blob/0/${index}`, Buffer.alloc(1000)),
    ),
  );
  await broker.close();
  const results = await all;
  t.ok(
    results.some((one) => one.status === 'rejected'),
    'some did not get there, and said so',
  );
});

t.test('a publish that the broker refuses is not sent for ever', async (t) => {
  const broker = await startBroker(0);
  t.teardown(() => broker.close());
  const { session, ups } = open(t, broker.devicePort);
  await eventually(() => session.status().isUp, 'the session');
  await t.rejects(session.publish('husk/other/b/x', 'poison'), /closed/);
  await eventually(() => session.status().isUp && ups() === 2, 'the session again');
  await new Promise((resolve) => setTimeout(resolve, 500));
  t.equal(ups(), 2, 'it stays');
  t.equal(broker.status().counts['publish refused'], 1);
});

t.test('filters that are refused keep it down, with the reason', async (t) => {
  const broker = await startBroker(0);
  t.teardown(() => broker.close());
  const { session } = open(t, broker.devicePort, { filters: ['husk/acme/#', 'husk/other/#'] });
  await eventually(
    () => /subscribe refused: husk\/other\/#$/.test(session.status().trouble ?? ''),
    'the reason',
  );
  t.notOk(session.status().isUp);
});

t.test('a broker that is not ours is not believed', async (t) => {
  const broker = await startBroker(0);
  t.teardown(() => broker.close());
  const { session } = open(t, broker.devicePort, { tls: { ...tls, ca: testAuthority().certificate } });
  await eventually(() => /certificate/.test(session.status().trouble ?? ''), 'the reason');
  t.notOk(session.status().isUp);
});

t.test('speaks version 5 where the broker does', { skip: needsMosquitto }, async (t) => {
  const folder = brokerFolder();
  const [port = 0] = await freePorts(1);
  const files = {
    'authority.pem': authority.certificate,
    'server.pem': authority.server.certificate,
    'server.key': authority.server.key,
  };
  for (const [name, content] of Object.entries(files)) writeFileSync(join(folder, name), content);
  const lines = [
    `listener ${port} 127.0.0.1`,
    `cafile ${folder}/authority.pem`,
    `certfile ${folder}/server.pem`,
    `keyfile ${folder}/server.key`,
    'require_certificate true',
    'allow_anonymous true',
  ];
  writeFileSync(join(folder, 'mosquitto.conf'), `${lines.join('\n')}\n`);
  const broker = await MosquittoBroker.start(folder, port);
  t.teardown(() => broker.stop());
  const { session } = open(t, port);
  await eventually(() => session.status().isUp, 'the session');
  t.equal(session.status().protocolVersion, 5);
  await broker.kill();
  await eventually(() => !session.status().isUp, 'the end');
  const again = await MosquittoBroker.start(folder, port);
  t.teardown(() => again.kill());
  await eventually(() => session.status().isUp, 'the session again');
  t.equal(session.status().protocolVersion, 5);
});
