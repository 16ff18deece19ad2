// The part of interfaces.test.ts that needs interfaces: run by it under `unshare --net`, with a folder for captures
// and a bpffs for each test. What is counted is hits of rules: a packet that is judged twice counts twice.

import { execFileSync } from 'node:child_process';
import { createSocket } from 'node:dgram';
import { readdirSync, readFileSync, readlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import type { ApplyState } from '../../agent/apply-bundle.ts';
import type { PolicyDocument } from '../../agent/contract/policy.ts';
import { readDevice } from '../../agent/device-now.ts';
import { DeviceFollower, type DeviceNow } from '../../agent/follow-device.ts';
import { Floor, type FloorParts } from '../../agent/kernel/floor.ts';
import { findNft } from '../../agent/kernel/floor-table.ts';
import { Kernel } from '../../agent/kernel/kernel.ts';
import { silentLog } from '../../agent/os/log.ts';
import { compile, compileFollowing } from '../../agent/policy/compile.ts';
import { type DeviceInterface, usualNeverDrop } from '../../agent/policy/device-view.ts';
import { usualSizes } from '../../agent/policy/kernel-memory.ts';
import { parseDocuments } from '../../agent/policy/parse.ts';
import type { TableImage } from '../../agent/policy/table-image.ts';
import { addon } from '../../native/index.ts';
import { udpFrame } from '../lab/frame.ts';
import { writeCapture } from '../lab/pcap.ts';
import { TestClock } from '../lab/test-clock.ts';
import { objectFiles } from './apply-bench.ts';

if (readlinkSync('/proc/self/ns/net') === readlinkSync(`/proc/${process.ppid}/ns/net`)) {
  throw new Error('run this under `unshare --net`: it attaches programs to interfaces');
}
t.setTimeout(240_000);
const [folder = '', ...bpffsOfTests] = process.argv.slice(2);
const floorObject = readFileSync(join(import.meta.dirname, '../../build/bpf/floor.bpf.o'));

function ip(command: string): string {
  return execFileSync('ip', command.split(' '), { encoding: 'utf8' });
}
ip('link set lo up');
for (const who of ['all', 'default']) writeFileSync(`/proc/sys/net/ipv4/conf/${who}/rp_filter`, '0');
writeFileSync('/proc/sys/net/ipv6/conf/default/disable_ipv6', '1');

/** A veth pair, both ends up; what the peer `<name>p` sends arrives at `name`. */
function makePair(t: Test, name: string): void {
  ip(`link add ${name} type veth peer name ${name}p`);
  for (const end of [name, `${name}p`]) ip(`link set ${end} up`);
  t.teardown(() => {
    if (addon.interfaces().some((one) => one.name === name)) ip(`link del ${name}`);
  });
}

function macOf(name: string): Buffer {
  const mac = addon.interfaces().find((one) => one.name === name)?.mac ?? '';
  return Buffer.from(mac.replaceAll(':', ''), 'hex');
}
const indexOf = (name: string) => addon.interfaces().find((one) => one.name === name)?.index ?? 0;

let captures = 0;
function send(name: string, frame: Uint8Array, count = 20): void {
  const file = join(folder, `namespace-${captures++}.pcap`);
  writeFileSync(file, writeCapture([frame]));
  execFileSync('tcpreplay', ['--preload-pcap', `--intf1=${name}`, `--loop=${count}`, '--topspeed', file], {
    stdio: 'ignore',
  });
}

const packet = { from: '192.0.2.7', fromPort: 9, toPort: 7 } as const;

interface ZoneText {
  readonly interfaces: readonly string[];
  readonly uncovered?: 'allow' | 'drop';
  readonly ingress?: readonly object[];
  readonly ingressDefault?: 'allow' | 'drop';
}

/** What tests send, and nothing else: a kernel has things of its own to say on a link. */
const counted = { protocol: 'udp', ports: { to: 7 }, action: 'allow' };

/** One policy `p`, whose zones allow and count it as `<zone>-in` and `<zone>-out`. */
function policyOf(zones: Readonly<Record<string, ZoneText>>): readonly PolicyDocument[] {
  const { documents, faults } = parseDocuments([
    {
      apiVersion: 'husk/v1',
      kind: 'PacketPolicy',
      metadata: { name: 'p' },
      spec: {
        mode: 'enforce',
        zones: Object.fromEntries(
          Object.entries(zones).map(([name, { interfaces, uncovered }]) => [
            name,
            uncovered === undefined ? { interfaces } : { interfaces, uncovered },
          ]),
        ),
        ingress: Object.entries(zones).map(([zone, { ingress, ingressDefault }]) => ({
          zone,
          default: ingressDefault ?? 'allow',
          rules: [...(ingress ?? []), { id: `${zone}-in`, ...counted }],
        })),
        egress: Object.keys(zones).map((zone) => ({
          zone,
          default: 'allow',
          rules: [{ id: `${zone}-out`, ...counted }],
        })),
      },
    },
  ]);
  if (faults.length > 0) throw new Error(JSON.stringify(faults));
  return documents;
}

/** The kernel, a floor and a follower, with a policy in force; the applier is as much of one as following needs. */
class Ground {
  readonly kernel: Kernel;
  readonly floor: Floor;
  readonly follower: DeviceFollower;
  readonly #documents: readonly PolicyDocument[];
  #image: TableImage;
  /** Laid over what the device has. */
  more: readonly DeviceInterface[] = [];
  /** Names of interfaces whose hooks cannot be attached. */
  refused: readonly string[] = [];

  private constructor(t: Test, kernel: Kernel, documents: readonly PolicyDocument[], parts: GroundParts) {
    this.kernel = kernel;
    this.#documents = documents;
    this.#image = this.#compile();
    this.floor = new Floor({
      addon,
      bpffs: parts.bpffs,
      object: floorObject,
      nft: null,
      ...parts.floor,
    });
    this.follower = new DeviceFollower({
      kernel: {
        attach: (wanted) => {
          const isRefused = ({ name }: { readonly name: string }) => this.refused.includes(name);
          const hooks = kernel.attach({
            ...wanted,
            interfaces: wanted.interfaces.filter((one) => !isRefused(one)),
          });
          const failed = wanted.interfaces
            .filter(isRefused)
            .map(
              ({ name }) =>
                ({ description: `ingress ${name}`, action: 'failed', why: 'on purpose' }) as const,
            );
          return [...hooks, ...failed];
        },
        followAddresses: (keys) => kernel.followAddresses(keys),
      },
      applier: {
        state: () => ({ assignment: null, image: this.#image }) as unknown as ApplyState,
        follow: async () => {
          const { tables, leftOut } = compileFollowing(this.#image, this.#facts());
          this.#image = { ...this.#image, leftOut };
          return kernel.follow(tables);
        },
        followPaths: async () => false,
        enforceAgain: async () => null,
      },
      floor: this.floor,
      device: () => this.#device(),
      mounts: () => '',
      ipsecByPolicy: () => false,
      cgroupId: () => null,
      xdpMode: parts.xdpMode ?? 'native',
      tc: parts.tc ?? 'tcx',
      onChange: () => {},
      clock: new TestClock(),
      log: silentLog,
    });
    t.teardown(() => {
      this.floor.remove();
      kernel.unload(addon.interfaces());
    });
  }

  static async open(
    t: Test,
    zones: Readonly<Record<string, ZoneText>>,
    parts: Omit<GroundParts, 'bpffs'> = {},
  ) {
    const bpffs = bpffsOfTests.shift();
    if (bpffs === undefined) throw new Error(`no bpffs is left for ${t.name}`);
    return Ground.openAt(t, bpffs, zones, parts);
  }

  static async openAt(
    t: Test,
    bpffs: string,
    zones: Readonly<Record<string, ZoneText>>,
    parts: Omit<GroundParts, 'bpffs'> = {},
  ) {
    const kernel = await Kernel.open({
      addon,
      bpffs,
      files: objectFiles(),
      cgroup: null,
      sizes: { ...usualSizes, cpus: addon.possibleCpus() },
      random: (bytes) => new Uint8Array(bytes).fill(7),
      onRecycled: () => {},
    });
    const ground = new Ground(t, kernel, policyOf(zones), { ...parts, bpffs });
    kernel.settle(
      await kernel.loadStandby({ serial: 1, bundleDigest: '1'.repeat(64), image: ground.#image }),
    );
    await ground.follower.look();
    return ground;
  }

  get hooks(): readonly string[] {
    return this.kernel.status().hooks;
  }

  get leftOut(): readonly string[] {
    return this.#image.leftOut.map((one) => one.interface);
  }

  async hits(rule: string): Promise<number> {
    const all = await this.kernel.counters();
    return Number(all.find((one) => one.id === `p/${rule}`)?.hits ?? 0n);
  }

  /** What sending added to the hits of each of these rules. */
  async added(rules: readonly string[], act: () => void | Promise<void>): Promise<readonly number[]> {
    const before = await Promise.all(rules.map((rule) => this.hits(rule)));
    await act();
    await new Promise((done) => setTimeout(done, 100));
    const after = await Promise.all(rules.map((rule) => this.hits(rule)));
    return after.map((hits, at) => hits - (before[at] ?? 0));
  }

  #device(): DeviceNow {
    const { all, view } = readDevice({
      interfaces: () => addon.interfaces(),
      pppoe: () => '',
      patterns: ['*'],
      neverDrop: () => ({ ...usualNeverDrop, replies: [] }),
    });
    return { all, view: { ...view, interfaces: [...view.interfaces, ...this.more] } };
  }

  #facts() {
    return { ...this.#device().view, cgroupId: () => null };
  }

  #compile(): TableImage {
    return compile(this.#documents, {
      ...this.#facts(),
      bootSeconds: () => null,
      ruleIndex: (id) => this.kernel.ruleIndex(id),
    });
  }
}

interface GroundParts {
  readonly bpffs: string;
  readonly xdpMode?: 'native' | 'generic';
  readonly tc?: 'tcx' | 'clsact';
  readonly floor?: Partial<FloorParts>;
}

const lan = (...interfaces: string[]) => ({ lan: { interfaces } });
const counts = ['lan-in', 'lan-out'] as const;

t.test(
  'Ethernet: XDP where the driver has it; renamed and made again, it is judged all the same',
  async (t) => {
    makePair(t, 'eth0');
    const ground = await Ground.open(t, lan('eth*'));
    t.strictSame(
      ground.hooks.filter((hook) => hook.includes(' eth0 ')),
      ['xdp_ingress eth0 native', 'tc_egress eth0 tcx'],
    );
    const frame = () => udpFrame({ ...packet, to: '192.0.2.1', destinationMac: macOf('eth0') });
    // The peer is in the zone too: what it sends is judged as it goes out, and again as it comes in.
    t.strictSame(await ground.added(counts, () => send('eth0p', frame())), [20, 20]);

    ip('link set eth0 down');
    ip('link set eth0 name eth7');
    ip('link set eth7 up');
    await ground.follower.look();
    t.ok(ground.hooks.includes('xdp_ingress eth7 native'), 'under its new name, by the same link');
    const renamed = () => udpFrame({ ...packet, to: '192.0.2.1', destinationMac: macOf('eth7') });
    t.strictSame(await ground.added(counts, () => send('eth0p', renamed())), [20, 20]);

    const before = indexOf('eth7');
    ip('link del eth7');
    await ground.follower.look();
    t.notOk(
      ground.hooks.some((hook) => hook.includes('eth7')),
      'gone',
    );
    makePair(t, 'eth7');
    t.not(indexOf('eth7'), before);
    await ground.follower.look();
    t.strictSame(await ground.added(counts, () => send('eth7p', renamed())), [20, 20]);
  },
);

for (const [xdpMode, tc] of [
  ['generic', 'tcx'],
  ['native', 'clsact'],
] as const) {
  t.test(`the same with ${xdpMode} XDP and ${tc}`, async (t) => {
    makePair(t, 'eth0');
    const ground = await Ground.open(t, lan('eth0'), { xdpMode, tc });
    t.strictSame(
      ground.hooks.filter((hook) => hook.includes(' eth0 ')),
      [`xdp_ingress eth0 ${xdpMode}`, `tc_egress eth0 ${tc}`],
    );
    const frame = udpFrame({ ...packet, to: '192.0.2.1', destinationMac: macOf('eth0') });
    t.strictSame(await ground.added(counts, () => send('eth0p', frame)), [20, 0]);
    const back = udpFrame({ ...packet, to: '192.0.2.9', destinationMac: macOf('eth0p') });
    t.strictSame(await ground.added(counts, () => send('eth0', back)), [0, 20]);
  });
}

t.test('an interface where native XDP is taken: by tc, and it is said why', async (t) => {
  makePair(t, 'eth0');
  const other = addon.openObject(
    'hooks',
    readFileSync(join(import.meta.dirname, '../../build/test-bpf/hooks.bpf.o')),
  );
  other.load();
  const inTheWay = addon.attachXdp(other.program('xdp_verdict'), indexOf('eth0'), 'native');
  const ground = await Ground.open(t, lan('eth0'));
  t.match(
    ground.hooks.find((hook) => hook.startsWith('tc_ingress eth0')),
    /^tc_ingress eth0 tcx: native XDP failed: .*EBUSY/,
  );
  const frame = udpFrame({ ...packet, to: '192.0.2.1', destinationMac: macOf('eth0') });
  t.strictSame(await ground.added(counts, () => send('eth0p', frame)), [20, 0]);
  inTheWay.close();
  other.close();
});

t.test(
  'a bridge: its ports are the points, each packet judged once on its way in and once out',
  async (t) => {
    for (const name of ['pa', 'pb']) makePair(t, name);
    ip('link add br0 type bridge');
    t.teardown(() => ip('link del br0'));
    ip('link set br0 up');
    for (const name of ['pa', 'pb']) ip(`link set ${name} master br0`);
    const ground = await Ground.open(t, lan('pa', 'pb', 'br0'));
    t.strictSame(ground.leftOut, ['br0']);
    t.notOk(ground.hooks.some((hook) => hook.split(' ')[1] === 'br0'));
    // Through the bridge, from port to port.
    const through = udpFrame({ ...packet, to: '192.0.2.1', destinationMac: macOf('pbp') });
    send(
      'pbp',
      udpFrame({
        ...packet,
        to: '192.0.2.1',
        sourceMac: macOf('pbp'),
        destinationMac: Buffer.alloc(6, 0xff),
      }),
      1,
    );
    t.strictSame(await ground.added(counts, () => send('pap', through)), [20, 20]);
    // To the bridge itself.
    const toBridge = udpFrame({ ...packet, to: '192.0.2.1', destinationMac: macOf('br0') });
    t.strictSame(await ground.added(counts, () => send('pap', toBridge)), [20, 0]);
  },
);

t.test('a bridge whose ports are in no zone is the point', async (t) => {
  makePair(t, 'pa');
  ip('link add br0 type bridge');
  t.teardown(() => ip('link del br0'));
  ip('link set br0 up');
  ip('link set pa master br0');
  const ground = await Ground.open(t, lan('br0'));
  t.match(
    ground.hooks.find((hook) => hook.startsWith('tc_ingress br0')),
    /^tc_ingress br0 tcx: a bridge has no driver/,
  );
  const frame = udpFrame({ ...packet, to: '192.0.2.1', destinationMac: macOf('br0') });
  t.strictSame(await ground.added(counts, () => send('pap', frame)), [20, 0]);
});

t.test('a macvlan: the parent is the point where it has a zone, else itself', async (t) => {
  makePair(t, 'eth0');
  ip('link add link eth0 name mv0 type macvlan mode bridge');
  ip('link set mv0 up');
  const frame = udpFrame({ ...packet, to: '192.0.2.1', destinationMac: macOf('mv0') });
  const both = await Ground.open(t, lan('eth0', 'mv0'));
  t.strictSame(both.leftOut, ['mv0']);
  t.strictSame(await both.added(counts, () => send('eth0p', frame)), [20, 0]);
  both.kernel.attach({ interfaces: [], others: addon.interfaces(), tc: 'tcx' });
  const alone = await Ground.open(t, lan('mv0'));
  t.strictSame(await alone.added(counts, () => send('eth0p', frame)), [20, 0]);
});

t.test('tun: no Ethernet header, judged by tc', async (t) => {
  ip('tuntap add tun0 mode tun');
  t.teardown(() => ip('tuntap del tun0 mode tun'));
  ip('link set tun0 up');
  const ground = await Ground.open(t, {
    lan: {
      interfaces: ['tun0'],
      ingress: [{ id: 'seven', protocol: 'udp', ports: { to: 7 }, action: 'drop' }],
    },
  });
  t.ok(ground.hooks.includes('tc_ingress tun0 tcx: no Ethernet header'));
  const datagram = udpFrame({ ...packet, to: '192.0.2.1' })
    .subarray(14)
    .toString('hex');
  // TUNSETIFF with IFF_TUN | IFF_NO_PI (linux/if_tun.h).
  const script = `
import fcntl, struct, os
tun = os.open('/dev/net/tun', os.O_RDWR)
fcntl.ioctl(tun, 0x400454ca, struct.pack('16sH22x', b'tun0', 0x1001))
for n in range(20): os.write(tun, bytes.fromhex('${datagram}'))`;
  t.strictSame(
    await ground.added(['seven'], () => {
      execFileSync('python3', ['-c', script]);
    }),
    [20],
  );
});

t.test('VLAN tags that the driver takes off are seen where the policy asks for them', async (t) => {
  makePair(t, 'eth0');
  const zones = (rules: readonly object[]) => ({ lan: { interfaces: ['eth0'], ingress: rules } });
  const ground = await Ground.open(
    t,
    zones([
      { id: 'five', vlan: 5, action: 'drop' },
      { id: 'qinq', vlan: { outer: 7, inner: 8 }, action: 'drop' },
    ]),
  );
  t.match(
    ground.hooks.find((hook) => hook.startsWith('tc_ingress eth0')),
    /the card takes off the VLAN tags/,
  );
  const plain = udpFrame({ ...packet, to: '192.0.2.1', destinationMac: macOf('eth0') });
  const tagged = (type: number, id: number, frame: Uint8Array) =>
    Buffer.concat([
      frame.subarray(0, 12),
      Buffer.from([type >> 8, type & 255, id >> 8, id & 255]),
      frame.subarray(12),
    ]);
  const rules = ['five', 'qinq', 'lan-in'];
  t.strictSame(await ground.added(rules, () => send('eth0p', tagged(0x8100, 5, plain))), [20, 0, 0]);
  t.strictSame(await ground.added(rules, () => send('eth0p', tagged(0x8100, 6, plain))), [0, 0, 20]);
  t.strictSame(
    await ground.added(rules, () => send('eth0p', tagged(0x88a8, 7, tagged(0x8100, 8, plain)))),
    [0, 20, 0],
  );
  t.strictSame(await ground.added(rules, () => send('eth0p', plain)), [0, 0, 20]);
  // This kernel may have no VLAN interfaces; the parent's side of leaving frames to one needs only its number.
  ground.more = [
    {
      name: 'eth0.5',
      index: 4711,
      link: 'ethernet',
      addresses: [],
      over: { kind: 'vlan', parent: indexOf('eth0'), id: 5 },
    },
  ];
  await ground.follower.look();
  t.strictSame(
    await ground.added(rules, () => send('eth0p', tagged(0x8100, 5, plain))),
    [20, 0, 0],
    'in no zone: not left to it',
  );
});

t.test('what is left to a VLAN interface is not judged by its parent', async (t) => {
  makePair(t, 'eth0');
  const ground = await Ground.open(t, lan('eth0', 'eth0.5'));
  ground.more = [
    {
      name: 'eth0.5',
      index: 4711,
      link: 'ethernet',
      addresses: [],
      over: { kind: 'vlan', parent: indexOf('eth0'), id: 5 },
    },
  ];
  await ground.follower.look();
  t.match(
    ground.hooks.find((hook) => hook.startsWith('tc_ingress eth0 ')),
    /the card takes off the tags of VLANs/,
    'moved from XDP, which does not see the tag',
  );
  t.notOk(ground.hooks.some((hook) => hook.startsWith('xdp_ingress eth0 ')));
  const plain = udpFrame({ ...packet, to: '192.0.2.1', destinationMac: macOf('eth0') });
  const tagged = (id: number) =>
    Buffer.concat([plain.subarray(0, 12), Buffer.from([0x81, 0, 0, id]), plain.subarray(12)]);
  t.strictSame(await ground.added(counts, () => send('eth0p', tagged(5))), [0, 0]);
  t.strictSame(await ground.added(counts, () => send('eth0p', tagged(6))), [20, 0]);
});

t.test('to the device: its addresses as they come and go, broadcast included', async (t) => {
  makePair(t, 'eth0');
  const ground = await Ground.open(t, {
    lan: { interfaces: ['eth0'], ingress: [{ id: 'own', toDevice: true, protocol: 'udp', action: 'drop' }] },
  });
  const to = (address: string) => udpFrame({ ...packet, to: address, destinationMac: macOf('eth0') });
  const added = async () => {
    const all: number[] = [];
    for (const address of ['192.0.2.1', '192.0.2.255', '198.51.100.5'])
      all.push(...(await ground.added(['own'], () => send('eth0p', to(address), 5))));
    return all;
  };
  t.strictSame(await added(), [0, 0, 0]);
  ip('addr add 192.0.2.1/24 dev eth0');
  await ground.follower.look();
  t.strictSame(await added(), [5, 5, 0]);
  ip('addr add 198.51.100.5/32 dev lo');
  await ground.follower.look();
  t.strictSame(await added(), [5, 5, 5], 'of any interface');
  ip('addr del 192.0.2.1/24 dev eth0');
  ip('addr add 192.0.2.1/31 dev eth0');
  await ground.follower.look();
  t.strictSame(await added(), [5, 0, 5], 'a /31 has no broadcast address');
  ip('addr del 198.51.100.5/32 dev lo');
});

/** UDP datagrams that reached the device's own stack, by /proc/net/snmp. */
function datagrams(): number {
  const [names, numbers] = readFileSync('/proc/net/snmp', 'latin1')
    .split('\n')
    .filter((line) => line.startsWith('Udp:'))
    .map((line) => line.split(' '));
  const of = (name: string) => Number(numbers?.[names?.indexOf(name) ?? -1] ?? 0);
  return of('InDatagrams') + of('NoPorts');
}
const sentBy = (name: string): number => JSON.parse(ip(`-j -s link show dev ${name}`))[0].stats64.tx.packets;

async function sendDatagrams(count: number): Promise<void> {
  const socket = createSocket('udp4');
  for (let n = 0; n < count; n++)
    await new Promise<void>((done) => socket.send('x', 7, '192.0.2.7', () => done()));
  socket.close();
}

const floors: readonly (readonly [string, Partial<FloorParts>])[] = [
  ['netfilter', {}],
  ['nft', { object: null, nft: findNft() }],
];
for (const [by, parts] of floors) {
  t.test(`uncovered: drop, kept by ${by}`, async (t) => {
    if (parts.nft === null) return t.pass('there is no nft', { skip: true });
    const ground = await Ground.open(
      t,
      { lan: { interfaces: ['cov*'], uncovered: 'drop' }, wan: { interfaces: ['open0'] } },
      { floor: parts },
    );
    t.equal(ground.floor.state().by, by);
    ground.refused = ['cov0', 'open0'];
    // It appears, and nobody has looked yet.
    for (const name of ['cov0', 'open0', 'else0']) makePair(t, name);
    const passed = async (name: string) => {
      ip(`addr add 192.0.2.1/24 dev ${name}`);
      ip(
        `neigh replace 192.0.2.7 lladdr ${addon.interfaces().find((one) => one.name === `${name}p`)?.mac} dev ${name} nud permanent`,
      );
      const before = [datagrams(), sentBy(name)] as const;
      send(
        `${name}p`,
        udpFrame({ ...packet, from: '203.0.113.9', to: '192.0.2.1', destinationMac: macOf(name) }),
      );
      await sendDatagrams(20);
      await new Promise((done) => setTimeout(done, 100));
      const after = [datagrams() - before[0], sentBy(name) - before[1]];
      ip(`addr del 192.0.2.1/24 dev ${name}`);
      return after;
    };
    t.strictSame(await passed('cov0'), [0, 0], 'appeared');
    await ground.follower.look();
    t.strictSame(await passed('cov0'), [0, 0], 'its hooks cannot be attached');
    t.strictSame(await passed('open0'), [20, 20], 'a zone with allow, without hooks as well');
    t.strictSame(await passed('else0'), [20, 20], 'an interface in no zone');
    if (by === 'netfilter') t.match(ground.floor.state().stopped, { in: 40, out: 40 });
    ground.refused = [];
    await ground.follower.look();
    t.strictSame(await passed('cov0'), [20, 20], 'covered');
    ip('link del cov0');
    makePair(t, 'cov0');
    t.strictSame(await passed('cov0'), [0, 0], 'made again: another interface');
    await ground.follower.look();
    t.strictSame(await passed('cov0'), [20, 20]);
    ground.floor.close();
    t.strictSame(await passed('cov0'), [20, 20], 'it holds without the agent');
    makePair(t, 'cov1');
    t.strictSame(await passed('cov1'), [0, 0], 'both ways');
  });
}

t.test(
  'the next agent adopts the floor, also one with another object, and nothing is stopped meanwhile',
  async (t) => {
    const bpffs = bpffsOfTests.shift() ?? '';
    const zones = { lan: { interfaces: ['cov*'], uncovered: 'drop' } } as const;
    makePair(t, 'cov0');
    ip('addr add 192.0.2.1/24 dev cov0');
    const frame = udpFrame({
      ...packet,
      from: '203.0.113.9',
      to: '192.0.2.1',
      destinationMac: macOf('cov0'),
    });
    const arrived = async (act: () => Promise<void> | void) => {
      const before = datagrams();
      await act();
      await new Promise((done) => setTimeout(done, 100));
      return datagrams() - before;
    };
    const first = await Ground.openAt(t, bpffs, zones);
    t.equal(await arrived(() => send('cov0p', frame)), 20);
    first.floor.close();
    const folder = () => readdirSync(join(bpffs, 'husk', 'floor'));
    const before = folder();
    t.equal(before.length, 1);
    const linkId = () => {
      const link = addon.openPinnedLink(join(bpffs, 'husk', 'floor', folder()[0] ?? '', 'in4'));
      const { id } = addon.linkInfo(link);
      link.close();
      return id;
    };
    const id = linkId();
    const wait = {
      globs: ['cov*'],
      covered: [{ name: 'cov0', index: indexOf('cov0'), ingress: true, egress: true }],
    };

    const second = new Floor({ addon, bpffs, object: floorObject, nft: null });
    t.ok(second.isLaid);
    t.match(await second.follow(wait), { by: 'netfilter', why: '', stopped: { in: 0, out: 0 } });
    t.equal(linkId(), id, 'the very links');
    second.close();

    const newer = new Floor({
      addon,
      bpffs,
      object: Buffer.concat([floorObject, new Uint8Array(8)]),
      nft: null,
    });
    t.match(await newer.follow(wait), { by: 'netfilter', stopped: { in: 0, out: 0 } });
    t.equal(folder().length, 1, 'the old one went when the new one was whole');
    t.notSame(folder(), before);
    t.equal(await arrived(() => send('cov0p', frame)), 20);
    await newer.follow({ ...wait, covered: [] });
    t.equal(await arrived(() => send('cov0p', frame)), 0, 'and it is the new one that stops');
    t.ok((newer.state().stopped?.in ?? 0) >= 20);
    await newer.follow({ globs: [], covered: [] });
    t.equal(await arrived(() => send('cov0p', frame)), 20, 'no zone asks for it any more');
  },
);

t.test('where a floor cannot be kept it is said', async (t) => {
  const bpffs = bpffsOfTests.shift() ?? '';
  const floor = new Floor({ addon, bpffs, object: new Uint8Array([1, 2, 3]), nft: null });
  const said = await floor.follow({ globs: ['cov*'], covered: [] });
  t.match(said, { by: 'none', why: /^uncovered: drop cannot be kept: .*, no nft$/, stopped: null });
  t.notOk(floor.isLaid);
  const complaining = new Floor({ addon, bpffs, object: null, nft: () => 'no such thing' });
  t.match(await complaining.follow({ globs: ['cov*'], covered: [] }), {
    by: 'none',
    why: /nft: no such thing$/,
  });
  const part = new Floor({ addon, bpffs, object: floorObject, nft: null });
  t.match(await part.follow({ globs: ['c*v', 'cov*'], covered: [] }), {
    by: 'netfilter',
    why: /not kept for c\*v/,
  });
  part.remove();
  t.notOk(part.isLaid);
});
