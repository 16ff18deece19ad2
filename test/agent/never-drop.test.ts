// Goal: the way to the controller is never cut, whatever its configuration says or leaves out.
// Method: configurations and endpoints written down.

import t from 'tap';
import { parseConfig } from '../../agent/config.ts';
import { withControllers } from '../../agent/never-drop.ts';
import { usualNeverDrop } from '../../agent/policy/device-view.ts';

t.test('the usual ones where the configuration says nothing', async (t) => {
  t.strictSame(parseConfig({}, 'x').neverDrop, usualNeverDrop);
});

t.test('each item by itself', async (t) => {
  const { neverDrop } = parseConfig(
    { neverDrop: { dhcpServer: ['br-lan'], arp: [], services: [{ protocol: 'tcp', port: 443 }] } },
    'x',
  );
  t.strictSame(neverDrop, {
    ...usualNeverDrop,
    arp: [],
    dhcpServer: ['br-lan'],
    services: [{ protocol: 'tcp', port: 443, address: null }],
  });
});

t.test('what cannot be is refused', async (t) => {
  const faults = (neverDrop: unknown) => {
    try {
      parseConfig({ neverDrop }, 'x');
      return [];
    } catch (error) {
      return (error as { faults: readonly string[] }).faults.map((fault) => fault.split(':')[0]);
    }
  };
  t.strictSame(faults({ arp: ['a name too long for any'] }), ['neverDrop.arp.0']);
  t.strictSame(faults({ ndp: ['*'] }), ['neverDrop.ndp']);
  const services = (...more: readonly object[]) => ({
    services: more.map((one) => ({ protocol: 'tcp', port: 1, ...one })),
  });
  t.strictSame(faults(services({ port: 0 }, { protocol: 'sctp' })), [
    'neverDrop.services.0.port',
    'neverDrop.services.1.protocol',
  ]);
  for (const address of ['192.0.2.0/24', 'controller.example', '192.0.2.1-192.0.2.9'])
    t.strictSame(faults(services({ address })), ['neverDrop.services.0.address'], address);
  t.strictSame(faults(services({ address: '192.0.2.1' }, { address: '2001:db8::1' })), []);
  t.strictSame(faults({ services: Array.from({ length: 15 }, () => ({ protocol: 'tcp', port: 1 })) }), [
    'neverDrop.services',
  ]);
});

t.test('the controller by its address, or its port where it has a name', async (t) => {
  const services = (...endpoints: readonly string[]) =>
    withControllers({ ...usualNeverDrop, services: [] }, endpoints).services;
  t.strictSame(services('mqtts://192.0.2.1:8883'), [{ protocol: 'tcp', port: 8883, address: '192.0.2.1' }]);
  t.strictSame(services('mqtts://[2001:db8::1]:443'), [
    { protocol: 'tcp', port: 443, address: '2001:db8::1' },
  ]);
  t.strictSame(services('mqtts://controller.example'), [{ protocol: 'tcp', port: 8883, address: null }]);
  t.strictSame(services('mqtts://a.example', 'mqtts://b.example').length, 1, 'each once');
  t.equal(withControllers(usualNeverDrop, []).services.length, usualNeverDrop.services.length);
});
