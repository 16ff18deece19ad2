// What every broker of a fleet must hold to, tried from outside with real certificates: the same for the
// embedded broker and for a Mosquitto with our configuration.

import { randomBytes } from 'node:crypto';
import type { IClientOptions, MqttClient } from 'mqtt';
import type { Test } from 'tap';
import { closed, connectOnce, eventually } from '../simulated-device.ts';
import { type TestAuthority, testAuthority } from '../test-authority.ts';

export interface BrokerUnderTest {
  readonly authority: TestAuthority;
  readonly port: number;
  readonly enrollPort: number;
  /** Where service certificates connect. */
  readonly servicesPort: number;
}

export const me = 'abcdefghijklmnopqrstuvwxyz';
export const other = 'zyxwvutsrqponmlkjihgfedcba';

/** Connects and collects what arrives as `topic payload`. */
export async function participant(
  t: Test,
  options: IClientOptions,
  filters: readonly string[] = [],
): Promise<{ readonly client: MqttClient; readonly heard: string[] }> {
  const client = await connectOnce({ protocol: 'mqtts', host: '127.0.0.1', ...options });
  const heard: string[] = [];
  client.on('message', (topic, payload) => heard.push(`${topic} ${payload}`));
  // Some brokers answer a refused filter with 128, some with silence later: both are looked at below.
  for (const filter of filters) await client.subscribeAsync(filter, { qos: 1 }).catch(() => {});
  t.teardown(() => client.end(true));
  return { client, heard };
}

/** Publishes once, over a connection that may be ended for it. */
async function publishOnce(
  options: IClientOptions,
  topic: string,
  payload: string,
  retain = false,
): Promise<void> {
  const client = await connectOnce({ protocol: 'mqtts', host: '127.0.0.1', ...options });
  const acknowledged = client.publishAsync(topic, payload, { qos: 1, retain }).catch(() => {});
  await Promise.race([acknowledged, closed(client)]);
  client.end(true);
}

export async function testManners(t: Test, broker: BrokerUnderTest): Promise<void> {
  const { authority, port, enrollPort, servicesPort } = broker;
  const ca = authority.certificate;
  const device = { ca, port, ...authority.client('device', me), clientId: me };
  const neighbour = { ca, port, ...authority.client('device', other), clientId: other };
  const operatorCertificate = authority.client('service', 'operator');
  const operator = () => ({
    ...{ ca, port: servicesPort, ...operatorCertificate },
    clientId: `watch-${randomBytes(4).toString('hex')}`,
  });
  const controller = { ca, port, ...authority.client('controller', 'controller'), clientId: 'controller' };
  const mine = (leaf: string) => `husk/acme/d/${me}/${leaf}`;
  const theirs = (leaf: string) => `husk/acme/d/${other}/${leaf}`;

  /** Everything that is published while the work runs, as a service that may read it all sees it. */
  const watch = async (t: Test, work: () => Promise<void>): Promise<readonly string[]> => {
    const { client, heard } = await participant(t, operator(), ['husk/acme/#']);
    heard.length = 0;
    await work();
    const mark = `husk/acme/b/q mark-${randomBytes(4).toString('hex')}`;
    await publishOnce(operator(), 'husk/acme/b/q', mark.split(' ')[1] ?? '');
    await eventually(() => heard.includes(mark), 'the mark');
    client.end(true);
    return heard.filter((line) => line !== mark);
  };

  await t.test('only certificates of our authority connect', async (t) => {
    const stranger = testAuthority();
    await t.rejects(
      connectOnce({ protocol: 'mqtts', host: '127.0.0.1', port, ca, clientId: me }),
      'none at all',
    );
    await t.rejects(
      connectOnce({
        protocol: 'mqtts',
        host: '127.0.0.1',
        port,
        ca,
        clientId: me,
        ...stranger.client('device', me),
      }),
      'of another authority',
    );
    const { server } = authority;
    await t.rejects(
      connectOnce({
        protocol: 'mqtts',
        host: '127.0.0.1',
        port,
        ca,
        clientId: me,
        cert: server.certificate,
        key: server.key,
      }),
      "the server's own",
    );
    await t.rejects(
      connectOnce({ protocol: 'mqtt', host: '127.0.0.1', port, clientId: me, connectTimeout: 2000 }),
      'without TLS',
    );
  });

  await t.test('a device publishes to its own branch and nowhere else', async (t) => {
    const heard = await watch(t, async () => {
      await publishOnce(device, mine('up/ev'), 'own');
      for (const topic of [
        theirs('up/ev'),
        theirs('dn/des'),
        mine('dn/des'),
        mine('dn/ack'),
        'husk/acme/b/q',
        'husk/acme/c/a/b/dn',
        'husk/other/d/x',
      ]) {
        await publishOnce(device, topic, 'foreign');
      }
    });
    t.same(heard, [`${mine('up/ev')} own`]);
  });

  await t.test('a device hears its own branch and broadcasts, and nothing else', async (t) => {
    const { heard } = await participant(t, device, [
      ...[
        mine('dn/#'),
        'husk/acme/b/#',
        theirs('dn/#'),
        'husk/acme/d/+/dn/#',
        'husk/acme/#',
        '#',
        'husk/+/b/#',
      ],
    ]);
    const fleet = await participant(t, controller);
    for (const topic of [
      theirs('dn/rq'),
      theirs('dn/des'),
      'husk/acme/c/a/b/dn',
      mine('dn/rq'),
      'husk/acme/b/blob/0/0',
    ]) {
      await fleet.client.publishAsync(topic, 'x', { qos: 1 });
    }
    const nextdoor = await participant(t, neighbour);
    await nextdoor.client.publishAsync(theirs('up/ev'), 'x', { qos: 1 });
    await eventually(() => heard.includes('husk/acme/b/blob/0/0 x'), 'the broadcast');
    // Two filters may cover a topic, and some brokers then deliver it twice (MQTT 3.1.1 §3.3.5).
    t.same([...new Set(heard)].toSorted(), ['husk/acme/b/blob/0/0 x', `${mine('dn/rq')} x`]);
  });

  await t.test('what was retained for one device is not delivered to another', async (t) => {
    const fleet = await participant(t, controller);
    await fleet.client.publishAsync(theirs('dn/des'), 'secret', { qos: 1, retain: true });
    await fleet.client.publishAsync(mine('dn/des'), 'mine', { qos: 1, retain: true });
    const { heard } = await participant(t, device, [
      theirs('dn/des'),
      'husk/acme/d/+/dn/des',
      mine('dn/des'),
    ]);
    await eventually(() => heard.length > 0, 'its own');
    await new Promise((resolve) => setTimeout(resolve, 100));
    t.same([...new Set(heard)], [`${mine('dn/des')} mine`]);
    for (const topic of [theirs('dn/des'), mine('dn/des')])
      await fleet.client.publishAsync(topic, '', { qos: 1, retain: true });
  });

  await t.test('a device cannot be somebody else', async (t) => {
    const victim = await participant(t, neighbour, [theirs('dn/#')]);
    // Refused, or given its own name: in no case does it take the other's place.
    const thief = await participant(t, { ...device, clientId: other }, [theirs('dn/#')]).catch(() => null);
    const fleet = await participant(t, controller);
    await fleet.client.publishAsync(theirs('dn/rq'), 'for the victim', { qos: 1 });
    await eventually(() => victim.heard.length > 0, 'the victim to hear it');
    t.ok(victim.client.connected, 'the victim stays connected');
    t.same(thief?.heard ?? [], []);
  });

  await t.test('a service watches and asks, and changes nothing', async (t) => {
    const heard = await watch(t, async () => {
      await publishOnce(operator(), mine('dn/rq'), 'question');
      for (const topic of [
        mine('dn/des'),
        mine('dn/ack'),
        mine('up/st'),
        'husk/acme/b/blob/0/0',
        'husk/acme/c/a/b/dn',
      ]) {
        await publishOnce(operator(), topic, 'foreign');
      }
    });
    t.same(heard, [`${mine('dn/rq')} question`]);
    const two = await Promise.all([participant(t, operator()), participant(t, operator())]);
    await new Promise((resolve) => setTimeout(resolve, 100));
    t.ok(
      two.every((one) => one.client.connected),
      'and may be connected twice with one certificate',
    );
  });

  await t.test('two that give no client id are two, as mosquitto_sub and mosquitto_pub are', async (t) => {
    const nameless = { ...operator(), clientId: '' };
    const watcher = await participant(t, nameless, ['husk/acme/b/q']);
    await publishOnce(nameless, 'husk/acme/b/q', 'anybody?');
    await eventually(() => watcher.heard.includes('husk/acme/b/q anybody?'), 'the one to hear the other');
    t.ok(watcher.client.connected, 'and to stay connected');
  });

  await t.test('a box that enrolls has two topics', async (t) => {
    const box = (username: string, clientId: string) => ({ ca, port: enrollPort, username, clientId });
    const own = await participant(t, box('tok', 'box-1'), [
      'husk/acme/c/tok/box-1/dn',
      'husk/acme/c/tok/box-2/dn',
      'husk/acme/#',
      'husk/acme/c/#',
    ]);
    const fleet = await participant(t, controller);
    const heard = await watch(t, async () => {
      await publishOnce(box('tok', 'box-3'), 'husk/acme/c/tok/box-3/up', 'hello');
      for (const topic of [
        'husk/acme/c/tok/box-1/up',
        'husk/acme/c/tok/box-3/dn',
        'husk/acme/c/tok2/box-3/up',
        mine('up/st'),
        mine('dn/des'),
        'husk/acme/b/q',
      ]) {
        await publishOnce(box('tok', 'box-3'), topic, 'foreign');
      }
      await publishOnce(box('controller', 'box-3'), mine('dn/des'), 'foreign').catch(() => {});
      await publishOnce(box(me, me), mine('up/st'), 'foreign').catch(() => {});
      await fleet.client.publishAsync('husk/acme/c/tok/box-2/dn', 'for two', { qos: 1 });
      await fleet.client.publishAsync('husk/acme/c/tok/box-1/dn', 'for one', { qos: 1 });
    });
    t.same(heard.toSorted(), [
      'husk/acme/c/tok/box-1/dn for one',
      'husk/acme/c/tok/box-2/dn for two',
      'husk/acme/c/tok/box-3/up hello',
    ]);
    await eventually(() => own.heard.length > 0, 'its answer');
    t.same([...new Set(own.heard)], ['husk/acme/c/tok/box-1/dn for one']);
  });

  await t.test('a last will says that a device is gone', async (t) => {
    const heard = await watch(t, async () => {
      const lost = await connectOnce({
        ...{ protocol: 'mqtts', host: '127.0.0.1', ...device },
        will: { topic: mine('up/st'), payload: Buffer.from('gone'), qos: 1, retain: true },
      });
      lost.stream.destroy();
      lost.end(true);
      await new Promise((resolve) => setTimeout(resolve, 200));
    });
    t.same(heard, [`${mine('up/st')} gone`]);
    await publishOnce(device, mine('up/st'), '', true);
  });
}
