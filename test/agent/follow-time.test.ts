// Goal: a shield that may end by itself ends when its time has certainly passed, in the kernel and in what is reported;
// one that may not stays until a signed bundle drops it; and neither goes by a clock that anybody could have set. An
// exception ends by any clock.
// Method: the flow on a real kernel set (apply-bench.ts), and a program in the cgroup of the service that tries the call.

import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import t from 'tap';
import { followTime } from '../../agent/follow-time.ts';
import { TestClock } from '../lab/test-clock.ts';
import { ApplyBench, benchMissing } from './apply-bench.ts';

const options = { skip: benchMissing(), timeout: 120_000 };
t.setTimeout(300_000);

const shield = (name: string, address: string, retireAutomatically: boolean, appliesTo?: object) => ({
  apiVersion: 'husk/v1',
  kind: 'Shield',
  metadata: { name },
  spec: {
    cve: 'CVE-2023-1389',
    severity: 'high',
    ...(appliesTo === undefined ? {} : { appliesTo }),
    expires: '2040-06-01',
    retireAutomatically,
    mode: 'enforce',
    subject: { cgroup: 'stubd' },
    rules: [{ id: 'no-peer', connect: { to: [address] }, action: 'deny' }],
  },
});
const [proposing, retiring, other] = ['192.0.2.1', '192.0.2.2', '192.0.2.3'];

/** Whether the service may connect there: a datagram socket needs nobody on the other side. */
function mayConnect(device: ApplyBench, address: string): boolean {
  const script = 'echo $$ > "$0" && : > /dev/udp/$1/9';
  try {
    execFileSync('bash', ['-c', script, join(device.daemonCgroup, 'cgroup.procs'), address], {
      stdio: 'pipe',
    });
    return true;
  } catch (error) {
    const said = String((error as { stderr: unknown }).stderr);
    if (said.includes('Operation not permitted')) return false;
    if (said.includes('unreachable')) return true;
    throw error;
  }
}

t.test('what is over ends, and only that', options, async (t) => {
  const device = await ApplyBench.open();
  t.teardown(() => device.close());
  device.firmware = { vendor: 'acme', model: 'x1', version: '1.0', untrusted: null };
  await device.live();
  const published = device.fleet.publish(1, [
    shield('proposing', proposing, false),
    shield('retiring', retiring, true),
    shield('other', other, true, { model: 'y1' }),
  ]);
  t.equal(await device.apply(published), 'confirmed');
  const states = () =>
    Object.fromEntries(device.applier.state().documents.map(({ name, state }) => [name, state]));
  const allowed = () => [proposing, retiring, other].map((address) => mayConnect(device, address));
  t.same(states(), { proposing: 'applies', retiring: 'applies', other: 'not-applicable' });
  t.same(allowed(), [false, false, true]);
  t.equal(await device.applier.renewIfDue(), null, 'nothing is over');

  // A system clock in 2041 that nobody has signed.
  device.time = { bootMs: 0, wallMs: Date.UTC(2041, 0, 1) };
  t.equal(await device.applier.renewIfDue(), null);
  t.same(allowed(), [false, false, true]);

  device.clock.learn(Date.UTC(2040, 5, 2), 'controller');
  t.match(states(), { proposing: 'retire-proposed', retiring: 'retired' });
  const stop = new AbortController();
  const looking = new TestClock();
  let changes = 0;
  const parts = { applier: device.applier, onChange: () => changes++, clock: looking };
  const following = followTime(parts, stop.signal);
  while (looking.sleeping === 0) await new Promise((resolve) => setTimeout(resolve, 20));
  stop.abort();
  await looking.advance(1000);
  await following;
  t.same(allowed(), [false, true, true]);
  t.ok(changes > 0, 'and is reported');
  t.same(
    device.applier.state().rules.map(({ id }) => id),
    ['proposing/no-peer'],
  );
  t.equal(device.inForce(), 1, 'of the same bundle');
  const retired = device.audits.filter(({ what }) => what === 'shield.retired');
  t.match(retired, [{ detail: { name: 'retiring', why: 'expired' } }]);
  t.equal(await device.applier.renewIfDue(), null, 'once');

  // What is pinned is adopted, without what has ended.
  device.die();
  await device.live();
  t.same(allowed(), [false, true, true]);
});

t.test('an exception holds while somebody knows the time, and ends for good', options, async (t) => {
  const device = await ApplyBench.open();
  t.teardown(() => device.close());
  const at = (wallMs: number | null) => {
    device.time = wallMs === null ? null : { bootMs: 0, wallMs };
  };
  const [during, after] = [Date.UTC(2039, 0, 1), Date.UTC(2041, 0, 1)];
  at(during);
  await device.live();
  const exception = {
    apiVersion: 'husk/v1',
    kind: 'Exception',
    metadata: { name: 'peer' },
    spec: {
      owner: 'netops',
      reason: 'a time server',
      expires: '2040-06-01',
      of: { shield: 'calls', rule: 'no-peer' },
      connect: { to: [proposing], ports: '1-100' },
    },
  };
  const published = device.fleet.publish(1, [shield('calls', '192.0.2.0/24', false), exception]);
  t.equal(await device.apply(published), 'confirmed');
  const allowed = () => [proposing, retiring].map((address) => mayConnect(device, address));
  t.same(allowed(), [true, false], 'what is excepted, and nothing else');

  at(null);
  t.equal(await device.applier.renewIfDue(), true, 'nobody knows the time');
  t.same(allowed(), [false, false]);
  at(during);
  t.equal(await device.applier.renewIfDue(), true);
  t.same(allowed(), [true, false]);

  at(after);
  t.equal(await device.applier.renewIfDue(), true);
  t.same(allowed(), [false, false]);
  at(during);
  t.equal(await device.applier.renewIfDue(), null, 'a clock that is set back');
  t.same(allowed(), [false, false]);
  t.match(device.applier.state().documents, [{ state: 'applies' }, { kind: 'Exception', state: 'ended' }]);
});
