// Goal: the embedded broker holds to the rules, whatever a client does with its bytes.
// Method: the manners every broker must have, then what only this one does: retained topics, wills, client
// ids of their own for enrolling boxes, limits before the parser, admission, places and rate of boxes that enroll.

import { once } from 'node:events';
import { createConnection } from 'node:net';
import { connect } from 'node:tls';
import type { IClientOptions } from 'mqtt';
import { pino } from 'pino';
import t, { type Test } from 'tap';
import { type BrokerLimits, EmbeddedBroker } from '../../../fleet/link/broker.ts';
import { closed, connectOnce, eventually } from '../simulated-device.ts';
import { testAuthority } from '../test-authority.ts';
import { me, other, participant, testManners } from './broker-manners.ts';

const authority = testAuthority();
const unwanted = new Set<string>();
const broker = await EmbeddedBroker.start({
  tenant: 'acme',
  listen: '127.0.0.1',
  port: 0,
  enrollPort: 0,
  certificate: authority.server.certificate,
  key: authority.server.key,
  authority: authority.certificate,
  admits: (device) => !unwanted.has(device),
  log: pino({ level: 'silent' }),
  limits: { packetMsMax: 300, connectMsMax: 300, handshakeMsMax: 300, enrollConnectionsMax: 20 },
});
t.teardown(() => broker.close());
const port = broker.devicePort;
const ca = authority.certificate;
const certificate = authority.client('device', me);
const device = { ca, port, ...certificate, clientId: me };
const tls = { protocol: 'mqtts', host: '127.0.0.1' } as const;

t.test('manners', (t) =>
  testManners(t, { authority, port, enrollPort: broker.enrollPort, servicesPort: port }),
);

t.test('version 5 is answered so that clients fall back', async (t) => {
  await t.rejects(connectOnce({ ...tls, ...device, protocolVersion: 5 }), /protocol version/i);
});

t.test('what a device may not do ends its connection', async (t) => {
  const ends = async (what: string, topic: string, qos: 0 | 1 | 2, retain: boolean) => {
    const { client } = await participant(t, device);
    client.publish(topic, 'x', { qos, retain });
    await closed(client);
    t.pass(what);
  };
  await ends('another branch', `husk/acme/d/${other}/up/st`, 1, false);
  await ends('retained events', `husk/acme/d/${me}/up/ev`, 1, true);
  await ends('QoS 2', `husk/acme/d/${me}/up/ev`, 2, false);
  const will = (topic: string, retain = false) =>
    connectOnce({ ...tls, ...device, will: { topic, payload: Buffer.from('x'), qos: 1, retain } });
  await t.rejects(will(`husk/acme/d/${other}/up/st`), /authorized/i, 'a will elsewhere');
  await t.rejects(will('husk/acme/b/q'), /authorized/i);
  await t.rejects(connectOnce({ ...tls, ...device, clientId: other }), /authorized/i, 'the id of another');
});

t.test('a refused filter is answered with 128, the others are granted', async (t) => {
  const { client } = await participant(t, device);
  const granted = await new Promise<readonly number[]>((resolve) => {
    client.on('packetreceive', (packet) => {
      if (packet.cmd === 'suback') resolve(packet.granted as number[]);
    });
    client.subscribe([`husk/acme/d/${me}/dn/#`, 'husk/acme/#', 'husk/acme/b/#'], { qos: 1 }, () => {});
  });
  t.same(granted, [1, 128, 1]);
  const many = await participant(t, device);
  const results: number[] = [];
  many.client.on('packetreceive', (packet) => {
    if (packet.cmd === 'suback') results.push(...(packet.granted as number[]));
  });
  for (let index = 0; index < 80; index += 1)
    many.client.subscribe(`husk/acme/b/blob/${index}/+`, { qos: 1 }, () => {});
  await eventually(() => results.length === 80, 'all answers');
  t.equal(results.filter((code) => code === 128).length, 16, '64 are enough for anybody');
});

t.test('an enrolling box cannot end a connection by using its id', async (t) => {
  const victim = await participant(t, device);
  const thief = await participant(t, { ca, port: broker.enrollPort, username: 'tok', clientId: me });
  await new Promise((resolve) => setTimeout(resolve, 150));
  t.ok(victim.client.connected);
  t.ok(thief.client.connected);
  await t.rejects(
    participant(t, { ca, port: broker.enrollPort, clientId: 'box' }),
    /authorized/i,
    'without a claim',
  );
});

t.test('who is not admitted does not connect, and who is connected can be sent away', async (t) => {
  const { client } = await participant(t, device);
  unwanted.add(me);
  broker.disconnect(me);
  await closed(client);
  await t.rejects(connectOnce({ ...tls, ...device }), /authorized/i);
  unwanted.delete(me);
  const again = await connectOnce({ ...tls, ...device });
  again.end(true);
});

t.test('bytes that are no MQTT', async (t) => {
  const raw = async (bytes: Buffer, withCertificate = true) => {
    const socket = connect({ port, host: '127.0.0.1', ca, ...(withCertificate ? certificate : {}) });
    socket.on('error', () => {});
    await once(socket, 'secureConnect');
    socket.write(bytes);
    const start = Date.now();
    socket.resume();
    await once(socket, 'close');
    return Date.now() - start;
  };
  const header = Buffer.from([0x10, 0x20, 0x00, 0x04, 0x4d]);
  t.ok((await raw(Buffer.from('GET / HTTP/1.1\r\n\r\n'))) < 250, 'another protocol is ended at once');
  t.ok((await raw(Buffer.from([0x10, 0xff, 0xff, 0xff, 0x7f, 0x00]))) < 250, 'so is a packet of 256 MB');
  t.ok((await raw(header)) >= 250, 'half a CONNECT after its time');
  t.ok((await raw(Buffer.alloc(0))) >= 250, 'and silence as well');
  t.ok(
    (await raw(Buffer.from([0x10, 0x05, 0x00, 0x04, 0x4d, 0x51, 0x54]))) < 2000,
    'a CONNECT that lies about its length',
  );
  const { client } = await participant(t, device);
  t.ok(client.connected, 'others do not notice');
});

t.test('an oversized publish ends the connection, one at the limit passes', async (t) => {
  const listener = await participant(
    t,
    { ca, port, ...authority.client('service', 'operator'), clientId: 'w' },
    [`husk/acme/d/${me}/up/#`],
  );
  const { client } = await participant(t, device);
  await client.publishAsync(`husk/acme/d/${me}/up/ev`, Buffer.alloc(256 * 1024, 0x61), { qos: 1 });
  await eventually(() => listener.heard.length === 1, 'the large one');
  client.publish(`husk/acme/d/${me}/up/ev`, Buffer.alloc(258 * 1024), { qos: 1 });
  await closed(client);
  t.equal(listener.heard.length, 1);
});

t.test('sessions are not kept for whoever is away', async (t) => {
  const first = await connectOnce({ ...tls, ...device, clean: false });
  await first.subscribeAsync(`husk/acme/d/${me}/dn/#`, { qos: 1 });
  await first.endAsync();
  const fleet = await participant(t, {
    ca,
    port,
    ...authority.client('controller', 'controller'),
    clientId: 'c',
  });
  await fleet.client.publishAsync(`husk/acme/d/${me}/dn/rq`, 'while away', { qos: 1 });
  const second = await connectOnce({ ...tls, ...device, clean: false });
  const heard: string[] = [];
  second.on('message', (topic) => heard.push(topic));
  await new Promise((resolve) => setTimeout(resolve, 200));
  t.same(heard, []);
  second.end(true);
});

t.test('connections are bounded', async (t) => {
  const before = broker.status().counts['too many connections'] ?? 0;
  const boxes = await Promise.allSettled(
    Array.from({ length: 30 }, (_, index) =>
      connectOnce({ ...tls, ca, port: broker.enrollPort, username: 'tok', clientId: `box-${index}` }),
    ),
  );
  const connected = boxes.filter((one) => one.status === 'fulfilled');
  t.ok(connected.length <= 20 && connected.length >= 10, `${connected.length} connected`);
  t.ok((broker.status().counts['too many connections'] ?? 0) > before, 'and it is counted');
  for (const one of connected) one.value.end(true);
});

/** A broker of its own, with a box as anybody could be one. */
async function enrollmentListener(t: Test, limits: Partial<BrokerLimits>) {
  const broker = await EmbeddedBroker.start({
    ...{ tenant: 'acme', listen: '127.0.0.1', port: 0, enrollPort: 0, admits: () => true, limits },
    ...{ certificate: authority.server.certificate, key: authority.server.key, authority: ca },
    log: pino({ level: 'silent' }),
  });
  t.teardown(() => broker.close());
  const box = async (clientId: string, more: IClientOptions = {}) => {
    const options = { ...tls, ca, port: broker.enrollPort, username: 'tok', clientId, ...more };
    const client = await connectOnce(options);
    t.teardown(() => client.end(true));
    return client;
  };
  const count = (what: string) => broker.status().counts[what] ?? 0;
  return { broker, box, count };
}

t.test('one network cannot hold all places of boxes that enroll', async (t) => {
  const { broker, box, count } = await enrollmentListener(t, {});
  const boxes = await Promise.all(Array.from({ length: 32 }, (_, index) => box(`box-${index}`)));
  t.equal(count('too many connections of one network'), 0);
  await t.rejects(box('box-32'), 'one more');
  t.equal(count('too many connections of one network'), 1);
  t.ok(
    boxes.every((one) => one.connected),
    'those that were there stay',
  );
  const elsewhere = await box('elsewhere', { localAddress: '127.0.0.2' } as IClientOptions);
  t.ok(elsewhere.connected, 'another network has its own');
  const [first] = boxes;
  first?.end(true);
  await eventually(() => broker.status().connections === 32, 'its place to come free');
  t.ok((await box('box-33')).connected);
  await t.rejects(box('box-34'), 'and it was one place');
});

t.test('a handshake that is never made takes a place, for its time', async (t) => {
  const { broker, box, count } = await enrollmentListener(t, { enrollPerNetworkMax: 2, enrollMsMax: 400 });
  const silent = [1, 2].map(() => createConnection({ port: broker.enrollPort, host: '127.0.0.1' }));
  const ended = silent.map((socket) => once(socket.resume(), 'close'));
  await Promise.all(silent.map((socket) => once(socket, 'connect')));
  await t.rejects(box('box'), 'both places are held');
  await Promise.all(ended);
  t.equal(count('enrolling for too long'), 2);
  t.ok((await box('box')).connected, 'and come free again');
});

t.test('whoever enrolls for too long is ended, whatever it says meanwhile', async (t) => {
  const { box, count } = await enrollmentListener(t, { enrollMsMax: 500 });
  const start = Date.now();
  const client = await box('box', { keepalive: 0 });
  const pings = setInterval(() => client.sendPing(), 50);
  t.teardown(() => clearInterval(pings));
  await closed(client);
  const took = Date.now() - start;
  t.ok(took >= 400 && took < 5000, `after ${took} ms`);
  t.equal(count('enrolling for too long'), 1);
});

t.test('an enrolling connection that floods is ended, and others do not notice', async (t) => {
  const { broker, box, count } = await enrollmentListener(t, {});
  const up = (client: string) => `husk/acme/c/tok/${client}/up`;
  const fleet = await participant(
    t,
    { ca, port: broker.devicePort, ...authority.client('controller', 'controller'), clientId: 'c' },
    ['husk/acme/c/+/+/up'],
  );
  const flooding = await box('flooding');
  const end = closed(flooding);
  for (let index = 0; index < 500; index += 1) flooding.publish(up('flooding'), 'x', { qos: 0 });
  const honest = await box('honest');
  await honest.publishAsync(up('honest'), 'hello', { qos: 1 });
  await honest.publishAsync(up('honest'), 'request', { qos: 1 });
  await end;
  await eventually(() => fleet.heard.includes(`${up('honest')} request`), 'what the honest box said');
  t.ok(fleet.heard.includes(`${up('honest')} hello`));
  const heard = fleet.heard.filter((line) => line.startsWith(up('flooding'))).length;
  t.ok(heard >= 10 && heard < 20, `${heard} of 500 arrive`);
  t.equal(count('publish refused'), 1);
  t.ok(honest.connected);
});

t.test('a port that is taken is said, and the other is let go', async (t) => {
  await t.rejects(
    EmbeddedBroker.start({
      ...{ tenant: 'acme', listen: '127.0.0.1', port: 0, enrollPort: broker.devicePort },
      ...{ certificate: authority.server.certificate, key: authority.server.key, authority: ca },
      ...{ admits: () => true, log: pino({ level: 'silent' }) },
    }),
    /EADDRINUSE/,
  );
});
