// Goal: each interface gets the hooks at which its packets are seen as they are, once, and it is known why.
// Method: devices written down, those among them that cannot be made on every machine.

import t from 'tap';
import { placeZones, planAttach } from '../../agent/attach-plan.ts';
import type { PacketPolicy, PacketRule } from '../../agent/contract/policy.ts';
import { coveredInterfaces } from '../../agent/covered-interfaces.ts';
import { type DeviceInterface, usualNeverDrop } from '../../agent/policy/device-view.ts';
import { zonesOf } from '../../agent/policy/policy-zones.ts';

function policy(
  interfaces: readonly string[],
  rules: readonly PacketRule[] = [],
  mode: 'enforce' | 'off' = 'enforce',
) {
  const document: PacketPolicy = {
    apiVersion: 'husk/v1',
    kind: 'PacketPolicy',
    metadata: { name: 'p' },
    spec: {
      mode,
      zones: { lan: { interfaces } },
      ingress: [{ zone: 'lan', default: 'allow', rules }],
      egress: [],
    },
  };
  return document;
}
const one = (name: string, index: number, more: Partial<DeviceInterface> = {}): DeviceInterface => ({
  name,
  index,
  link: 'ethernet',
  addresses: [],
  ...more,
});
const device = (...interfaces: readonly DeviceInterface[]) => ({ interfaces, neverDrop: usualNeverDrop });

/** As in `eth0: native, tc` or `tun0: tc (no Ethernet header)`. */
function ways(document: PacketPolicy, ...interfaces: readonly DeviceInterface[]): readonly string[] {
  return planAttach(zonesOf([document]), device(...interfaces), 'native').interfaces.map(
    ({ name, ingress }) =>
      `${name}: ${ingress.map(({ way, why }) => (why === '' ? way : `${way} (${why})`)).join(', ')}`,
  );
}

t.test('XDP on Ethernet, tc where it is refused', async (t) => {
  t.strictSame(ways(policy(['eth*']), one('lo', 1, { link: 'loopback' }), one('eth0', 2), one('wlan0', 3)), [
    'eth0: native, tc',
  ]);
  const generic = planAttach(zonesOf([policy(['eth0'])]), device(one('eth0', 2)), 'generic');
  t.strictSame(
    generic.interfaces[0]?.ingress.map(({ way }) => way),
    ['generic', 'tc'],
  );
});

t.test('loopback is in no zone, and a policy that is off names nothing', async (t) => {
  t.strictSame(ways(policy(['*']), one('lo', 1, { link: 'loopback' })), []);
  t.strictSame(ways(policy(['*'], [], 'off'), one('eth0', 2)), []);
});

t.test('tc where XDP does not see frames as they are', async (t) => {
  t.strictSame(
    ways(
      policy(['*']),
      one('tun0', 2, { link: 'ip' }),
      one('ppp0', 3, { link: 'ip', over: { kind: 'pppoe', parent: 9 } }),
      one('eth1.5', 4, { over: { kind: 'vlan', parent: 9, id: 5 } }),
      one('bond0', 5, { over: { kind: 'bond', ports: [] } }),
      one('br0', 6, { over: { kind: 'bridge', ports: [9] } }),
      one('mv0', 7, { over: { kind: 'macvlan', parent: 9 } }),
    ),
    [
      'tun0: tc (no Ethernet header)',
      'ppp0: tc (no Ethernet header)',
      'eth1.5: tc (a vlan has no driver to run XDP)',
      'bond0: tc (XDP of a bond runs on its ports)',
      'br0: tc (a bridge has no driver to run XDP)',
      'mv0: tc (a macvlan has no driver to run XDP)',
    ],
  );
});

t.test('VLAN tags that a card takes off ask for tc, where anybody asks for tags', async (t) => {
  const tagged: PacketRule = { id: 'a', vlan: 5, action: 'drop' };
  const strips = one('eth0', 2, { stripsTags: true });
  t.strictSame(ways(policy(['eth0']), strips), ['eth0: native, tc']);
  t.strictSame(
    ways(policy(['eth0'], [tagged]), one('eth0', 2)),
    ['eth0: native, tc'],
    'they are in the frame',
  );
  t.strictSame(ways(policy(['eth0'], [tagged]), strips), [
    'eth0: tc (the card takes off the VLAN tags that the policy asks for)',
  ]);
  t.strictSame(ways(policy(['eth0'], [{ ...tagged, mode: 'off' }]), strips), ['eth0: native, tc']);
  const vlan = one('eth0.5', 3, { over: { kind: 'vlan', parent: 2, id: 5 } });
  t.strictSame(
    ways(policy(['eth0', 'eth0.5']), strips, vlan)[0],
    'eth0: tc (the card takes off the tags of VLANs with zones of their own)',
  );
  t.strictSame(ways(policy(['eth0']), strips, vlan), ['eth0: native, tc'], 'the VLAN is in no zone');
});

t.test('what is judged elsewhere gets no program, and is covered when that is', async (t) => {
  const interfaces = [
    one('br0', 2, { over: { kind: 'bridge', ports: [3, 4, 5] } }),
    one('p1', 3),
    one('p2', 4),
    one('far', 5),
    one('bond0', 6, { over: { kind: 'bond', ports: [7] } }),
    one('s1', 7),
    one('mv0', 8, { over: { kind: 'macvlan', parent: 3 } }),
  ];
  const document = policy(['br0', 'p?', 'bond0', 's1', 'mv0']);
  const plan = planAttach(zonesOf([document]), device(...interfaces), 'native');
  t.strictSame(
    plan.interfaces.map(({ name }) => name),
    ['p1', 'p2', 'bond0'],
  );
  t.strictSame(
    plan.leftOut.map((left) => left.interface),
    ['br0', 's1', 'mv0'],
  );

  const { placed } = placeZones(zonesOf([document]), device(...interfaces));
  const hook = (index: number, direction: 'ingress' | 'egress', action: 'made' | 'failed' = 'made') => ({
    description: '',
    action,
    at: { index, direction },
  });
  const covered = (...hooks: readonly ReturnType<typeof hook>[]) =>
    coveredInterfaces(placed, hooks).map(
      ({ name, ingress, egress }) => `${name}${ingress ? ' in' : ''}${egress ? ' out' : ''}`,
    );
  t.strictSame(covered(), ['s1 in out'], 'of a bond, only the bond reaches the stack');
  t.strictSame(covered(hook(3, 'ingress')), ['p1 in', 's1 in out', 'mv0 in']);
  t.strictSame(covered(hook(3, 'ingress'), hook(4, 'ingress')), [
    'br0 in',
    'p1 in',
    'p2 in',
    's1 in out',
    'mv0 in',
  ]);
  t.strictSame(covered(hook(3, 'ingress'), hook(4, 'ingress', 'failed')), ['p1 in', 's1 in out', 'mv0 in']);
});
