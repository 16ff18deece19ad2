// Goal: what counts as one network, so that the bound on places holds for IPv6 and not twice for IPv4.
// Method: addresses as sockets give them. Places themselves are taken over real sockets in broker.test.ts.

import t from 'tap';
import { networkOf } from '../../../fleet/link/places.ts';

t.test('an IPv4 address is one, mapped or not', async (t) => {
  t.equal(networkOf('192.0.2.1'), '192.0.2.1');
  t.equal(networkOf('::ffff:192.0.2.1'), '192.0.2.1');
  t.not(networkOf('192.0.2.2'), networkOf('192.0.2.1'));
});

t.test('IPv6 addresses of a /64 are one', async (t) => {
  for (const address of ['2001:db8::1', '2001:db8::a:b:c:d', '2001:db8:0:0:1:2:3:4', '2001:db8::1:2:3:4'])
    t.equal(networkOf(address), '2001:db8:0:0::/64', address);
  t.equal(networkOf('2001:db8:0:1::1'), '2001:db8:0:1::/64');
  t.equal(networkOf('2001:db8::5:1:2:3:4'), '2001:db8:0:5::/64', '`::` that ends within the /64');
  t.equal(networkOf('::1'), '0:0:0:0::/64');
  t.equal(networkOf('fe80::1%eth0'), 'fe80:0:0:0::/64');
  t.equal(networkOf('1:2:3:4:5:6:7::'), '1:2:3:4::/64');
});
