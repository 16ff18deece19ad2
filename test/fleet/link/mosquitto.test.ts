// Goal: a Mosquitto with our configuration holds to the same rules as the embedded broker, as far as it can.
// Method: Debian's mosquitto on ports of its own, the manners every broker must have, and what it is known
// not to do, so that the page in its configuration stays true.

import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { mosquittoFiles } from '../../../fleet/link/mosquitto.ts';
import { connectOnce } from '../simulated-device.ts';
import { testAuthority } from '../test-authority.ts';
import { me, participant, testManners } from './broker-manners.ts';
import { brokerFolder, freePorts, MosquittoBroker, needsMosquitto } from './mosquitto-broker.ts';

t.test('mosquitto', { skip: needsMosquitto }, async (t) => {
  const authority = testAuthority();
  const folder = brokerFolder();
  const [port = 0, enrollPort = 0, servicesPort = 0] = await freePorts(3);
  const files = mosquittoFiles({
    ...{ tenant: 'acme', folder, listen: '127.0.0.1', port, enrollPort, servicesPort },
    ...{ servicesListen: '127.0.0.1', services: ['operator'] },
  });
  for (const { name, content } of files) writeFileSync(join(folder, name), content, { mode: 0o600 });
  writeFileSync(join(folder, 'authority.pem'), authority.certificate);
  writeFileSync(join(folder, 'server.pem'), authority.server.certificate);
  writeFileSync(join(folder, 'server.key'), authority.server.key, { mode: 0o600 });
  const broker = await MosquittoBroker.start(folder, port);
  t.teardown(() => broker.stop());
  const ca = authority.certificate;
  const tls = { protocol: 'mqtts', host: '127.0.0.1', ca } as const;

  await t.test('manners', (t) => testManners(t, { authority, port, enrollPort, servicesPort }));

  await t.test('it speaks version 5', async (t) => {
    const client = await connectOnce({
      ...tls,
      port,
      ...authority.client('device', me),
      clientId: me,
      protocolVersion: 5,
    });
    t.ok(client.connected);
    client.end(true);
  });

  await t.test('a device certificate gets nothing on the listener for services', async (t) => {
    const { heard } = await participant(
      t,
      { ...tls, port: servicesPort, ...authority.client('device', me), clientId: 'x' },
      ['husk/acme/#'],
    );
    const fleet = await participant(t, {
      ...tls,
      port,
      ...authority.client('controller', 'controller'),
      clientId: 'c',
    });
    await fleet.client.publishAsync(`husk/acme/d/${me}/dn/rq`, 'x', { qos: 1 });
    await new Promise((resolve) => setTimeout(resolve, 150));
    t.same(heard, []);
  });

  await t.test(
    'known limit: who knows an id can end its connection from the enrollment listener',
    async (t) => {
      const victim = await participant(t, { ...tls, port, ...authority.client('device', me), clientId: me });
      const thief = await participant(t, { ...tls, port: enrollPort, username: 'tok', clientId: me }, [
        `husk/acme/d/${me}/dn/#`,
      ]);
      await new Promise((resolve) => setTimeout(resolve, 150));
      t.notOk(victim.client.connected, 'when this fails the page in mosquitto.ts can be shortened');
      const fleet = await participant(t, {
        ...tls,
        port,
        ...authority.client('controller', 'controller'),
        clientId: 'c',
      });
      await fleet.client.publishAsync(`husk/acme/d/${me}/dn/rq`, 'x', { qos: 1 });
      await new Promise((resolve) => setTimeout(resolve, 150));
      t.same(thief.heard, [], 'and it hears nothing by it');
    },
  );
});
