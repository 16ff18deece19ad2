// Inside a guest: links of every kind, which not every machine's kernel can make. What is sent by each is allowed,
// dropped or rejected by the rules of its zone, and counted by the rules of every zone, so that a packet that is judged
// twice, or by the wrong one, is seen. links.ts draws the links.
//
//   node link-kinds.cjs          what every guest can
//   node link-kinds.cjs bare     and PPP, PPPoE, tun and raw IP

import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { planAttach } from '../../../agent/attach-plan.ts';
import { readDevice } from '../../../agent/device-now.ts';
import { compile } from '../../../agent/policy/compile.ts';
import { usualNeverDrop } from '../../../agent/policy/device-view.ts';
import { zonesOf } from '../../../agent/policy/policy-zones.ts';
import { addon } from '../../../native/index.ts';
import type { Attempt } from '../../lab/attempt.ts';
import {
  endsOf,
  HeldLink,
  insertModules,
  makeEthernet,
  makePppoeDevice,
  makeTunnels,
  type Network,
} from './links.ts';
import { documentsOf, openKernel, play, Stage, tcHere } from './stage.ts';
import { tell } from './tell.ts';
import { attemptAll, type Datagrams, Peer, Receiver, send } from './wire.ts';

const ports = { pass: 7000, deny: 7001, reject: 7002, notOutside: 7004, notInside: 7005 } as const;
const count = 20;

const zones = {
  parent: ['hk0'],
  vlan: ['hk0.5'],
  inner: ['hk0.5.7'],
  bond: ['agg0', 'hb0'],
  macvlan: ['mv0'],
  outer: ['un0'],
  wireguard: ['wg0'],
  xfrm: ['ipsec0'],
  ipip: ['ipip0'],
  dsl: ['pe0'],
  ppp: ['ppp*'],
  tun: ['tun0'],
  rawip: ['wwan0'],
} as const;
type Zone = keyof typeof zones;
const zoneNames = Object.keys(zones) as Zone[];

/** The same for every zone, each way: one port passes, one is dropped, one is rejected; tunnels are counted. */
function rulesOf(zone: Zone, way: 'in' | 'out'): object[] {
  const rule = (name: string, rest: object) => ({ id: `${zone}-${name}-${way}`, ...rest });
  return [
    rule('pass', { protocol: 'udp', ports: { to: ports.pass }, action: 'allow' }),
    rule('deny', { protocol: 'udp', ports: { to: ports.deny }, action: 'drop' }),
    rule('reset', { protocol: 'tcp', ports: { to: ports.reject }, action: 'reject' }),
    rule('unreachable', { protocol: 'udp', ports: { to: ports.reject }, action: 'reject' }),
    rule('wireguard', { protocol: 'udp', ports: { to: 51820 }, action: 'allow' }),
    rule('esp', { protocol: 50, action: 'allow' }),
    rule('ipip', { protocol: 4, action: 'allow' }),
    rule('pppoe', { etherType: 0x8864, action: 'allow' }),
    ...(zone === 'outer'
      ? [rule('not', { protocol: 'tcp', ports: { to: ports.notOutside }, action: 'drop' })]
      : []),
    ...(zone === 'wireguard' || zone === 'xfrm'
      ? [rule('not', { protocol: 'tcp', ports: { to: ports.notInside }, action: 'drop' })]
      : []),
  ];
}

function policy() {
  const lists = (way: 'in' | 'out') =>
    zoneNames.map((zone) => ({ zone, default: 'allow', rules: rulesOf(zone, way) }));
  return documentsOf([
    {
      apiVersion: 'husk/v1',
      kind: 'PacketPolicy',
      metadata: { name: 'p' },
      spec: {
        mode: 'enforce',
        zones: Object.fromEntries(zoneNames.map((zone) => [zone, { interfaces: zones[zone] }])),
        ingress: lists('in'),
        egress: lists('out'),
      },
    },
  ]);
}

class Scenes extends Stage {
  /** The interfaces that are there now are judged, as the agent does it. */
  async settle(stage: string): Promise<void> {
    const documents = policy();
    const { all, view } = readDevice({
      interfaces: () => addon.interfaces(),
      pppoe: () => readIfThere('/proc/net/pppoe'),
      patterns: ['*'],
      neverDrop: () => usualNeverDrop,
    });
    const image = compile(documents, {
      ...view,
      cgroupId: () => null,
      bootSeconds: () => null,
      ruleIndex: (id) => this.kernel.ruleIndex(id),
    });
    this.kernel.settle(await this.loadImage(image));
    const hooks = this.kernel.attach({
      interfaces: planAttach(zonesOf(documents), view, 'native').interfaces,
      others: all,
      tc: tcHere(),
    });
    tell({
      stage,
      hooks: hooks.map(({ description, action, why }) => `${action} ${description} ${why ?? ''}`.trim()),
      leftOut: image.leftOut.map((one) => one.interface),
    });
  }

  /** Packets of every fate, both ways, and what the rules of all zones counted. */
  async play(
    network: Network,
    what: { readonly six?: boolean; readonly rejects?: boolean } = {},
  ): Promise<void> {
    const { six = true, rejects = true } = what;
    const ends = endsOf(network).slice(0, six ? 2 : 1);
    // A bond takes a moment to find its port up, a tunnel to agree on keys.
    for (const { far } of ends) execFileSync('/bin/busybox', ['ping', '-c', '1', '-w', '20', far]);
    const lots = (from: 'own' | 'far', to: 'own' | 'far'): Datagrams[] =>
      ends.flatMap((one) =>
        // What passes comes last: when it is there, all has been.
        [ports.deny, ports.pass].map((port) => ({ from: one[from], to: one[to], port, count })),
      );
    const refused = (to: 'own' | 'far'): Attempt[] =>
      rejects
        ? ends.flatMap((one) =>
            (['tcp', 'udp'] as const).map((protocol) => ({ protocol, address: one[to], port: ports.reject })),
          )
        : [];
    const before = await this.hits();
    await this.peer.send(lots('far', 'own'));
    const arrived = await this.receiver.take(lots('far', 'own'));
    await send(lots('own', 'far'));
    const left = await this.peer.take(lots('own', 'far'));
    const refusedIn = await this.peer.attempt(refused('own'));
    const refusedOut = await attemptAll(refused('far'));
    const hits = difference(before, await this.hits());
    tell({ network, arrived, left, refused: [...refusedIn, ...refusedOut], hits });
  }

  /** What one zone drops passes in the other: connections from the peer. */
  async apart(networks: readonly Network[]): Promise<void> {
    const connections = networks.flatMap((network) =>
      [ports.notOutside, ports.notInside].map(
        (port): Attempt => ({ protocol: 'tcp', address: endsOf(network)[0].own, port }),
      ),
    );
    tell({ apart: networks, ends: await this.peer.attempt(connections) });
  }
}

/** Of rules that were hit. */
function difference(
  before: Readonly<Record<string, number>>,
  after: Readonly<Record<string, number>>,
): Record<string, number> {
  const grown = Object.entries(after).map(
    ([id, now]) => [id.replace(/^p\//, ''), now - (before[id] ?? 0)] as const,
  );
  return Object.fromEntries(grown.filter(([id, more]) => more !== 0 && !id.includes(':')));
}

function readIfThere(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}

async function main(isBare: boolean): Promise<void> {
  insertModules();
  const [datagrams, connections] = [
    [ports.pass, ports.deny],
    [ports.reject, ports.notOutside, ports.notInside],
  ];
  const peer = await Peer.start(datagrams, connections);
  const receiver = await Receiver.open(datagrams, connections);
  makeEthernet();
  makeTunnels();
  const scenes = new Scenes(await openKernel(null), peer, receiver);
  await scenes.settle('ethernet and tunnels');
  for (const network of ['parent', 'vlan', 'inner', 'bond', 'macvlan', 'wireguard', 'xfrm'] as const)
    await scenes.play(network);
  await scenes.play('ipip', { six: false });
  // The peer's end of this wire takes no answers of XDP: no program is on it.
  await scenes.play('outer', { rejects: false });
  await scenes.apart(['outer', 'wireguard', 'xfrm']);
  // Nobody judges what is inside: nothing is rejected.
  for (const network of ['policyTunnel', 'policyTransport'] as const)
    await scenes.play(network, { six: false, rejects: false });
  if (isBare) await playBare(scenes);
  scenes.close(addon.interfaces());
}

/** ppp0 is a PPPoE session first, and then comes back as another interface on a serial line. */
async function playBare(scenes: Scenes): Promise<void> {
  makePppoeDevice();
  const session = await HeldLink.open('pppoe', 'pppoe', 'pe0');
  const tun = await HeldLink.open('tun', 'tun', 'tun0');
  const modem = await HeldLink.open('rawip', 'rawip', 'wwan0');
  await scenes.settle('bare');
  for (const network of ['pppoe', 'tun', 'rawip'] as const) await scenes.play(network);
  await session.close();
  const serial = await HeldLink.open('ppp', 'ppp');
  await scenes.settle('ppp again');
  await scenes.play('ppp');
  for (const one of [serial, tun, modem]) await one.close();
}

play(main(process.argv[2] === 'bare'));
