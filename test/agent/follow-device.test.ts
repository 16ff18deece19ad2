// Goal: hooks, zones and subjects follow interfaces and cgroups that come and go, in few calls, never in
// the middle of a trial, and a failure of the world does not end it.
// Method: the follower with a kernel and an applier that write down what they were asked, and a world that
// the test changes.

import t from 'tap';
import type { ApplyState } from '../../agent/apply-bundle.ts';
import type { PolicyDocument } from '../../agent/contract/policy.ts';
import { DeviceFollower, wantedInterfaces } from '../../agent/follow-device.ts';
import { silentLog } from '../../agent/os/log.ts';
import { type DeviceInterface, usualNeverDrop } from '../../agent/policy/device-view.ts';
import { zonesOf } from '../../agent/policy/policy-zones.ts';
import { TestClock } from '../lab/test-clock.ts';

const packets: PolicyDocument = {
  apiVersion: 'husk/v1',
  kind: 'PacketPolicy',
  metadata: { name: 'p' },
  spec: {
    mode: 'enforce',
    zones: { wan: { interfaces: ['wan*', 'ppp*'], uncovered: 'drop' } },
    ingress: [],
    egress: [],
  },
};

const ethernet = (name: string, index: number, addresses: readonly string[] = []): DeviceInterface => ({
  name,
  index,
  link: 'ethernet',
  addresses,
});

function setUp() {
  const world = {
    interfaces: [ethernet('wan0', 3)],
    cgroup: null as bigint | null,
    result: null as string | null,
    failure: null as string | null,
    isKnown: true,
    isLaid: false,
    isIpsecByPolicy: false,
    mounts: '1 1 8:1 / /',
    pathLooks: 0,
    pathsLeadElsewhere: false,
    pathsFail: null as string | null,
  };
  const clock = new TestClock();
  const calls: string[] = [];
  let changes = 0;
  const follower = new DeviceFollower({
    kernel: {
      attach: ({ interfaces, others }) => {
        if (world.failure !== null) throw new Error(world.failure);
        const names = interfaces.map((one) => `${one.name}#${one.index}`).join(' ');
        calls.push(`attach ${names}${others === null ? ', others stay' : ''}`);
        return interfaces.flatMap(({ name, index }) =>
          (['ingress', 'egress'] as const).map((direction) => ({
            description: `${direction} ${name}`,
            action: 'made' as const,
            at: { index, direction },
          })),
        );
      },
      followAddresses: async (keys) => {
        calls.push(`addresses ${keys.length}`);
        return keys.length;
      },
    },
    applier: {
      followPaths: async () => {
        world.pathLooks += 1;
        if (world.pathsFail !== null) throw new Error(world.pathsFail);
        return world.result === null ? world.pathsLeadElsewhere : null;
      },
      enforceAgain: async () => null,
      state: () =>
        ({
          image: world.isKnown ? { zones: zonesOf([packets]), following: { cgroups: ['svc'] } } : null,
          assignment: world.result === null ? null : { serial: 1, digest: '', result: world.result },
        }) as unknown as ApplyState,
      follow: async () => {
        calls.push('follow');
        return 1;
      },
    },
    floor: {
      get isLaid() {
        return world.isLaid;
      },
      follow: async ({ globs, covered }) => {
        world.isLaid = globs.length > 0;
        calls.push(`floor ${globs.join(' ')} but ${covered.map((one) => one.name).join(' ')}`.trim());
        return { by: 'netfilter', why: '', stopped: null };
      },
    },
    device: () => ({
      all: world.interfaces,
      view: { interfaces: world.interfaces, neverDrop: usualNeverDrop },
    }),
    mounts: () => world.mounts,
    ipsecByPolicy: () => world.isIpsecByPolicy,
    cgroupId: () => world.cgroup,
    xdpMode: 'native',
    tc: 'tcx',
    onChange: () => {
      changes += 1;
    },
    clock,
    log: silentLog,
  });
  return { world, calls, follower, clock, changes: () => changes };
}

t.test('once at first, and then only when something has changed', async (t) => {
  const { calls, follower, changes } = setUp();
  for (let n = 0; n < 5; n += 1) await follower.look();
  t.strictSame(calls, [
    'addresses 0',
    'floor wan* ppp* but',
    'attach wan0#3',
    'follow',
    'floor wan* ppp* but wan0',
  ]);
  t.equal(changes(), 1);
});

t.test('a floor of the life before is left as it is until it is known who is covered', async (t) => {
  const { world, calls, follower } = setUp();
  world.isLaid = true;
  await follower.look();
  t.strictSame(calls, ['addresses 0', 'attach wan0#3', 'follow', 'floor wan* ppp* but wan0']);
});

t.test('before a policy is known nothing is taken away', async (t) => {
  const { world, calls, follower } = setUp();
  world.isKnown = false;
  await follower.look();
  t.strictSame(calls, ['addresses 0', 'attach , others stay', 'follow']);
  world.isKnown = true;
  calls.length = 0;
  await follower.look();
  t.ok(calls.includes('attach wan0#3'));
});

t.test('an interface that comes, goes, or comes again under its name is followed', async (t) => {
  const { world, calls, follower } = setUp();
  await follower.look();
  calls.length = 0;
  world.interfaces = [ethernet('wan0', 3), ethernet('ppp0', 4)];
  await follower.look();
  world.interfaces = [ethernet('wan0', 9)];
  await follower.look();
  t.strictSame(calls, [
    'attach wan0#3 ppp0#4',
    'follow',
    'floor wan* ppp* but wan0 ppp0',
    // The old one is not covered any more before the new one is.
    'floor wan* ppp* but',
    'attach wan0#9',
    'follow',
    'floor wan* ppp* but wan0',
  ]);
});

t.test('addresses are followed by themselves, and with the zones', async (t) => {
  const { world, calls, follower } = setUp();
  await follower.look();
  calls.length = 0;
  world.interfaces = [ethernet('wan0', 3, ['192.0.2.1/24'])];
  await follower.look();
  await follower.look();
  t.strictSame(calls, ['addresses 2', 'follow'], 'the address and the broadcast address');
});

t.test('a cgroup that appears is followed', async (t) => {
  const { world, calls, follower } = setUp();
  await follower.look();
  calls.length = 0;
  world.cgroup = 77n;
  await follower.look();
  t.strictSame(calls, ['follow'], 'without touching the hooks');
});

t.test('what changes in a trial is followed after it', async (t) => {
  const { world, calls, follower } = setUp();
  await follower.look();
  calls.length = 0;
  world.result = 'trial';
  world.interfaces = [ethernet('wan0', 5)];
  await follower.look();
  t.strictSame(calls, ['attach wan0#5, others stay'], 'hooks belong to no slot');
  world.result = 'confirmed';
  await follower.look();
  t.strictSame(calls, [
    'attach wan0#5, others stay',
    'floor wan* ppp* but',
    'attach wan0#5',
    'follow',
    'floor wan* ppp* but wan0',
  ]);
});

t.test('hooks stand before zones come into force, and are looked at again after', async (t) => {
  const { calls, follower } = setUp();
  await follower.look();
  calls.length = 0;
  follower.prepare(zonesOf([packets]));
  await follower.look();
  t.strictSame(calls, ['attach wan0#3, others stay', 'attach wan0#3']);
});

t.test('a driver that refuses is tried again', async (t) => {
  const { world, calls, follower } = setUp();
  world.failure = 'attach xdp wan0: EOPNOTSUPP';
  await follower.look();
  await follower.look();
  t.strictSame(calls, ['addresses 0', 'floor wan* ppp* but'], 'and nothing passes meanwhile');
  world.failure = null;
  calls.length = 0;
  await follower.look();
  t.strictSame(calls, ['attach wan0#3', 'follow', 'floor wan* ppp* but wan0']);
});

t.test('word of a change cuts the wait short', async (t) => {
  const { world, calls, follower } = setUp();
  const stop = new AbortController();
  const running = follower.run(stop.signal);
  await new Promise((done) => setImmediate(done));
  calls.length = 0;
  world.interfaces = [ethernet('wan0', 9)];
  await new Promise((done) => setImmediate(done));
  t.strictSame(calls, [], 'the clock stands');
  follower.wake();
  for (let n = 0; n < 5; n++) await new Promise((done) => setImmediate(done));
  t.ok(calls.includes('attach wan0#9'));
  stop.abort();
  await running;
});

t.test('interfaces are wanted by name or glob', async (t) => {
  const all = ['eth0', 'eth1', 'wwan0', 'br-lan'].map((name) => ({ name }));
  const names = (patterns: readonly string[]) => wantedInterfaces(all, patterns).map((one) => one.name);
  t.strictSame(names(['eth0', 'wwan*']), ['eth0', 'wwan0']);
  t.strictSame(names(['eth?']), ['eth0', 'eth1']);
  t.strictSame(names([]), []);
});

t.test('IPsec that comes to go by policy, or ceases to, is told', async (t) => {
  const { world, calls, follower, changes } = setUp();
  await follower.look();
  const before = { calls: calls.length, changes: changes() };
  for (const is of [true, true, false, false]) {
    world.isIpsecByPolicy = is;
    await follower.look();
  }
  t.equal(changes(), before.changes + 2);
  t.equal(calls.length, before.calls, 'nothing else follows from it');
});

t.test('paths are looked at when something is mounted, and every half minute', async (t) => {
  const { world, follower, clock } = setUp();
  await follower.look();
  await follower.look();
  t.equal(world.pathLooks, 1, 'at first');
  world.mounts += '\n2 1 0:30 / /tmp';
  await follower.look();
  await follower.look();
  t.equal(world.pathLooks, 2, 'something was mounted');
  await clock.advance(29_000);
  await follower.look();
  t.equal(world.pathLooks, 2);
  await clock.advance(1_000);
  await follower.look();
  t.equal(world.pathLooks, 3, 'a link may lead elsewhere');
});

t.test('what is mounted all the time makes no generation after another', async (t) => {
  const { world, follower, clock } = setUp();
  world.pathsLeadElsewhere = true;
  for (let n = 0; n < 10; n++) {
    world.mounts += '\n3 1 0:31 / /srv';
    await follower.look();
    await clock.advance(1_000);
  }
  t.equal(world.pathLooks, 2, 'within ten seconds');
});

t.test('a mount in a trial is followed after it; what fails is tried again when it is due', async (t) => {
  const { world, follower, clock } = setUp();
  world.result = 'trial';
  await follower.look();
  await follower.look();
  t.equal(world.pathLooks, 2, 'asked again');
  world.result = 'confirmed';
  world.pathsFail = 'stubd names /nowhere, which no file system of this device shows';
  await follower.look();
  await follower.look();
  t.equal(world.pathLooks, 3, 'and not at each look');
  await clock.advance(30_000);
  await follower.look();
  t.equal(world.pathLooks, 4);
});
