// Inside a guest: VLANs, a VLAN in a VLAN, and a bond, which not every machine's kernel can make. What is sent by each
// is counted by the rules of every zone, so that a packet that is judged twice, or by the wrong one, is seen.
//
//   hk0 ─ hk0p             parent      192.0.2.0/24
//   hk0.5 ─ hk0p.5         vlan        198.51.100.0/24
//   hk0.5.7 ─ hk0p.5.7     inner       203.0.113.0/24
//   agg0 over hb0 ─ hb0p  bond        198.18.0.0/24

import { execFileSync } from 'node:child_process';
import { planAttach } from '../../../agent/attach-plan.ts';
import { readDevice } from '../../../agent/device-now.ts';
import { Kernel } from '../../../agent/kernel/kernel.ts';
import { compile } from '../../../agent/policy/compile.ts';
import { usualNeverDrop } from '../../../agent/policy/device-view.ts';
import { usualSizes } from '../../../agent/policy/kernel-memory.ts';
import { parseDocuments } from '../../../agent/policy/parse.ts';
import { readObjects } from '../../../agent/prepare-device.ts';
import { addon } from '../../../native/index.ts';
import { tell } from './tell.ts';
import { Peer, Receiver, send } from './wire.ts';

const port = 7000;
const count = 20;
const zones = { parent: ['hk0'], vlan: ['hk0.5'], inner: ['hk0.5.7'], bond: ['agg0', 'hb0'] } as const;
const networks = { parent: '192.0.2', vlan: '198.51.100', inner: '203.0.113', bond: '198.18.0' } as const;
type Zone = keyof typeof zones;
const zoneNames = Object.keys(zones) as Zone[];

function ip(commands: readonly string[], ...options: readonly string[]): void {
  execFileSync('/usr/sbin/ip', [...options, '-batch', '-'], { input: `${commands.join('\n')}\n` });
}

function makeLinks(): void {
  const vlans = (name: string, last: number, has: (network: string) => string[]) => [
    `link add link ${name} name ${name}.5 type vlan id 5`,
    `link add link ${name}.5 name ${name}.5.7 type vlan id 7`,
    ...has(`${networks.vlan}.${last}/24 dev ${name}.5`),
    ...has(`${networks.inner}.${last}/24 dev ${name}.5.7`),
    `link set ${name}.5 up`,
    `link set ${name}.5.7 up`,
  ];
  const add = (address: string) => [`addr add ${address}`];
  ip([
    ...vlans('hk0', 1, add),
    'link add hb0 type veth peer name hb0p netns peer',
    'link add agg0 type bond mode active-backup miimon 100',
    'link set hb0 master agg0',
    ...add(`${networks.bond}.1/24 dev agg0`),
    'link set agg0 up',
  ]);
  ip(
    [...vlans('hk0p', 20, add), ...add(`${networks.bond}.20/24 dev hb0p`), 'link set hb0p up'],
    '-n',
    'peer',
  );
}

function policy() {
  const counted = { protocol: 'udp', ports: { to: port }, action: 'allow' };
  const lists = (suffix: string) =>
    zoneNames.map((zone) => ({ zone, default: 'allow', rules: [{ id: `${zone}-${suffix}`, ...counted }] }));
  const { documents, faults } = parseDocuments([
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
  if (faults.length > 0) throw new Error(JSON.stringify(faults));
  return documents;
}

async function main(): Promise<void> {
  const peer = await Peer.start([port]);
  const receiver = await Receiver.open([port]);
  makeLinks();
  const documents = policy();
  const { all, view } = readDevice({
    interfaces: () => addon.interfaces(),
    pppoe: () => '',
    patterns: ['*'],
    neverDrop: () => usualNeverDrop,
  });
  const kernel = await Kernel.open({
    addon,
    bpffs: '/sys/fs/bpf',
    files: readObjects(),
    cgroup: null,
    sizes: { ...usualSizes, cpus: addon.possibleCpus() },
    random: (bytes) => new Uint8Array(bytes).fill(7),
    onRecycled: () => {},
  });
  const image = compile(documents, {
    ...view,
    cgroupId: () => null,
    bootSeconds: () => null,
    ruleIndex: (id) => kernel.ruleIndex(id),
  });
  kernel.settle(await kernel.loadStandby({ serial: 1, bundleDigest: '1'.repeat(64), image }));
  const tc = addon.probe().tcx === 0 ? 'tcx' : 'clsact';
  const hooks = kernel.attach({
    interfaces: planAttach(documents, view, 'native').interfaces,
    others: all,
    tc,
  });
  tell({
    hooks: hooks.map(({ description, action, why }) => `${action} ${description} ${why ?? ''}`.trim()),
    leftOut: image.leftOut.map((one) => one.interface),
  });
  // A bond takes a moment to find its port up.
  for (const zone of zoneNames) {
    const [own, far] = [`${networks[zone]}.1`, `${networks[zone]}.20`];
    const [inwards, outwards] = [
      { from: far, to: own, port, count },
      { from: own, to: far, port, count },
    ];
    execFileSync('/bin/busybox', ['ping', '-c', '1', '-w', '20', far], { stdio: 'ignore' });
    const before = await hits(kernel);
    await peer.send([inwards]);
    const arrived = await receiver.take([inwards]);
    await send([outwards]);
    const left = await peer.take([outwards]);
    const after = await hits(kernel);
    tell({ zone, arrived: arrived[0], left: left[0], hits: difference(before, after) });
  }
  kernel.unload(addon.interfaces());
  peer.stop();
  receiver.close();
}

async function hits(kernel: Kernel): Promise<Readonly<Record<string, number>>> {
  const counters = await kernel.counters();
  return Object.fromEntries(counters.map((one) => [one.id, Number(one.hits)]));
}

/** Of rules that were hit. */
function difference(
  before: Readonly<Record<string, number>>,
  after: Readonly<Record<string, number>>,
): Record<string, number> {
  const grown = Object.entries(after).map(([id, now]) => [id, now - (before[id] ?? 0)] as const);
  return Object.fromEntries(grown.filter(([id, more]) => more !== 0 && !id.includes(':')));
}

void main();
