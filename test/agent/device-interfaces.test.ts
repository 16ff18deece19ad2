// Goal: what the kernel says of interfaces becomes what judging goes by, and what is not sure is not said.
// Method: lists as the addon gives them, one for each kind of interface, those among them that a test machine
// seldom has (ppp, wwan, bond, VLAN in VLAN).

import t from 'tap';
import { deviceInterfaces } from '../../agent/device-interfaces.ts';
import type { NetworkInterface } from '../../native/index.ts';

const one = (name: string, index: number, more: Partial<NetworkInterface> = {}): NetworkInterface => ({
  name,
  index,
  up: true,
  hardwareType: 1,
  mac: '',
  addresses: [],
  kind: '',
  parent: 0,
  master: 0,
  vlan: 0,
  stripsTags: false,
  ...more,
});
const plain = (name: string, index: number) => ({ name, index, link: 'ethernet', addresses: [] });

t.test('what a frame begins with', async (t) => {
  const links = (hardwareType: number) =>
    deviceInterfaces([one('x0', 2, { hardwareType })]).map(({ link }) => link);
  t.strictSame(links(1), ['ethernet']);
  t.strictSame(links(772), ['loopback']);
  // PPP, raw IP (wwan), tunnels, none (tun, WireGuard).
  for (const type of [512, 519, 768, 769, 776, 778, 823, 0xfffe]) t.strictSame(links(type), ['ip']);
  // InfiniBand, 802.11 with radiotap: nothing of ours reads them.
  for (const type of [32, 803]) t.strictSame(links(type), []);
  t.strictSame(deviceInterfaces([one('gone', 0)]), []);
});

t.test('VLANs lie on their direct parent, unless that is in another namespace', async (t) => {
  const found = deviceInterfaces([
    one('eth0', 2, { stripsTags: true, addresses: ['192.0.2.1/24'] }),
    one('eth0.5', 3, { kind: 'vlan', parent: 2, vlan: 5 }),
    one('eth0.5.7', 4, { kind: 'vlan', parent: 3, vlan: 7 }),
    one('moved', 5, { kind: 'vlan', parent: 0, vlan: 9 }),
  ]);
  t.strictSame(found, [
    { ...plain('eth0', 2), addresses: ['192.0.2.1/24'], stripsTags: true },
    { ...plain('eth0.5', 3), over: { kind: 'vlan', parent: 2, id: 5 } },
    { ...plain('eth0.5.7', 4), over: { kind: 'vlan', parent: 3, id: 7 } },
    plain('moved', 5),
  ]);
});

t.test('bridges and bonds have ports; a veth has no parent', async (t) => {
  const found = deviceInterfaces([
    one('br0', 2, { kind: 'bridge' }),
    one('p1', 3, { kind: 'veth', parent: 9, master: 2 }),
    one('p2', 4, { master: 2 }),
    one('bond0', 5, { kind: 'bond' }),
    one('s1', 6, { master: 5 }),
    one('vrf0', 7, { kind: 'vrf', hardwareType: 1 }),
    one('v1', 8, { master: 7 }),
  ]);
  t.strictSame(
    found.map(({ over }) => over),
    [
      { kind: 'bridge', ports: [3, 4] },
      undefined,
      undefined,
      { kind: 'bond', ports: [6] },
      undefined,
      undefined,
      undefined,
    ],
  );
});

t.test('what shares a card lies on it', async (t) => {
  for (const kind of ['macvlan', 'macvtap', 'ipvlan', 'ipvtap']) {
    t.strictSame(deviceInterfaces([one('eth0', 2), one('m0', 3, { kind, parent: 2 })])[1]?.over, {
      kind: 'macvlan',
      parent: 2,
    });
  }
});

t.test('a PPPoE session lies on its device where that is sure', async (t) => {
  const head = 'Id       Address              Device\n';
  const session = (id: string, device: string) => `${id}     02:00:00:00:00:01     ${device}\n`;
  const ppp = (count: number) =>
    Array.from({ length: count }, (_, n) => one(`ppp${n}`, 10 + n, { hardwareType: 512 }));
  const over = (count: number, text: string) =>
    deviceInterfaces([one('eth0', 2), one('eth1', 3), ...ppp(count)], text)
      .slice(2)
      .map((found) => found.over);
  const onEth1 = { kind: 'pppoe', parent: 3 };
  t.strictSame(over(1, head + session('0001', 'eth1')), [onEth1]);
  t.strictSame(over(2, head + session('0001', 'eth1') + session('000A', 'eth1')), [onEth1, onEth1]);
  t.strictSame(over(2, head + session('0001', 'eth1')), [undefined, undefined], 'one may be a modem');
  t.strictSame(over(1, head + session('0001', 'eth0') + session('0002', 'eth1')), [undefined], 'either');
  t.strictSame(over(1, head + session('0001', 'gone0')), [undefined]);
  t.strictSame(over(1, head), [undefined]);
  t.strictSame(over(1, ''), [undefined]);
});
