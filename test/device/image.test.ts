// Goal: the reference device image boots and joins a fleet.
// Method: the image in an emulator, a real controller beside it in a network of their own (fleet-guest.ts).

import t from 'tap';
import { FleetGuest, fleetGuestMissing } from './fleet-guest.ts';

/** An emulated CPU on a machine that others may be using. */
const timeout = 1_500_000;
t.setTimeout(timeout);

t.test('6.12', { skip: fleetGuestMissing('6.12'), timeout }, async (t) => {
  const device = await FleetGuest.boot(t, { kernel: '6.12' });
  t.same((await device.run('cat /run/image/slot /run/image/overlay')).lines, ['a', 'disk']);
  const inside = await device.inject('grep -o "/services/.*" /proc/self/cgroup; exit 3');
  t.same(inside, { status: 3, lines: ['/services/httpd'] }, 'what a page starts is of its service');
  const { reported } = await device.controller.device(device.id);
  t.equal(reported?.tier, 'A');
});
