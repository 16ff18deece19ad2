// Goal: hooks, zones and subjects follow interfaces and cgroups that come and go, in few calls, never in
// the middle of a trial, and a failure of the world does not end it.
// Method: the follower with a kernel and an applier that write down what they were asked, and a world that
// the test changes.

import t from 'tap';
import type { ApplyState, BundleApplier } from '../../agent/apply-bundle.ts';
import type { PolicyDocument } from '../../agent/contract/policy.ts';
import { DeviceFollower, wantedInterfaces } from '../../agent/follow-device.ts';
import type { Kernel } from '../../agent/kernel/kernel.ts';
import { silentLog } from '../../agent/os/log.ts';
import { TestClock } from '../lab/test-clock.ts';

const hardening: PolicyDocument = {
  apiVersion: 'husk/v1',
  kind: 'HardeningPolicy',
  metadata: { name: 'h' },
  spec: { mode: 'enforce', subject: { cgroup: 'svc' }, rules: [] },
};

function setUp() {
  const world = {
    interfaces: [{ name: 'wan0', index: 3 }],
    cgroup: null as bigint | null,
    result: null as string | null,
    failure: null as string | null,
  };
  const calls: string[] = [];
  const kernel = {
    attach: ({ interfaces }: { interfaces: readonly { name: string; index: number }[] }) => {
      if (world.failure !== null) throw new Error(world.failure);
      calls.push(`attach ${interfaces.map((one) => `${one.name}#${one.index}`).join(' ')}`);
      return interfaces.map((one) => ({ description: `xdp ${one.name}`, action: 'made' }));
    },
  } as unknown as Kernel;
  const applier = {
    enforceAgain: async () => null,
    state: () =>
      ({
        documents: [hardening],
        assignment: world.result === null ? null : { serial: 1, digest: '', result: world.result },
      }) as unknown as ApplyState,
    follow: async () => {
      calls.push('follow');
      return 1;
    },
  } as unknown as BundleApplier;
  let changes = 0;
  const follower = new DeviceFollower({
    kernel,
    applier,
    interfaces: () => world.interfaces,
    cgroupId: () => world.cgroup,
    attach: { xdpMode: 'native', egress: 'tcx' },
    onChange: () => {
      changes += 1;
    },
    clock: new TestClock(),
    log: silentLog,
  });
  return { world, calls, follower, changes: () => changes };
}

t.test('once at first, and then only when something has changed', async (t) => {
  const { calls, follower, changes } = setUp();
  for (let n = 0; n < 5; n += 1) await follower.look();
  t.strictSame(calls, ['attach wan0#3', 'follow']);
  t.equal(changes(), 1);
});

t.test('an interface that comes, goes, or comes again under its name is followed', async (t) => {
  const { world, calls, follower } = setUp();
  await follower.look();
  calls.length = 0;
  world.interfaces = [
    { name: 'wan0', index: 3 },
    { name: 'ppp0', index: 4 },
  ];
  await follower.look();
  world.interfaces = [{ name: 'wan0', index: 9 }];
  await follower.look();
  t.strictSame(calls, ['attach wan0#3 ppp0#4', 'follow', 'attach wan0#9', 'follow']);
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
  world.interfaces = [{ name: 'wan0', index: 5 }];
  await follower.look();
  t.strictSame(calls, ['attach wan0#5'], 'hooks belong to no slot');
  world.result = 'confirmed';
  await follower.look();
  t.strictSame(calls, ['attach wan0#5', 'follow']);
});

t.test('a driver that refuses is tried again', async (t) => {
  const { world, calls, follower } = setUp();
  world.failure = 'attach xdp wan0: EOPNOTSUPP';
  await follower.look();
  await follower.look();
  t.strictSame(calls, []);
  world.failure = null;
  await follower.look();
  t.strictSame(calls, ['attach wan0#3', 'follow']);
});

t.test('interfaces are wanted by name or glob', async (t) => {
  const all = ['eth0', 'eth1', 'wwan0', 'br-lan'].map((name, n) => ({ name, index: n + 1, hardwareType: 1 }));
  const names = (patterns: readonly string[]) => wantedInterfaces(all, patterns).map((one) => one.name);
  t.strictSame(names(['eth0', 'wwan*']), ['eth0', 'wwan0']);
  t.strictSame(names(['eth?']), ['eth0', 'eth1']);
  t.strictSame(names([]), []);
  t.strictSame(
    wantedInterfaces([{ name: 'gone', index: 0, hardwareType: 1 }], ['*']),
    [],
    'one that went while we looked is not',
  );
  // ARPHRD_LOOPBACK and _ETHER have an Ethernet header; _PPP, _NONE (tun, WireGuard) and _RAWIP (wwan) have none.
  const kinds = [772, 1, 512, 0xfffe, 519].map((hardwareType, n) => ({
    name: `if${n}`,
    index: n + 1,
    hardwareType,
  }));
  t.strictSame(
    wantedInterfaces(kinds, ['*']).map((one) => one.hardwareType),
    [772, 1],
  );
});
