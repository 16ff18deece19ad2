// Goal: the fleet is told the newest state after each change and at each new session, in few messages, and
// a link that is down costs nothing but time.
// Method: the flow with a clock that stands still and a link that goes up and down.

import t from 'tap';
import type { Reported } from '../../agent/contract/state.ts';
import { silentLog } from '../../agent/os/log.ts';
import { StateReporter } from '../../agent/report-state.ts';
import { TestClock } from '../lab/test-clock.ts';

type Test = Pick<typeof t, 'teardown'>;

function setUp(t: Test) {
  const clock = new TestClock();
  const sent: number[] = [];
  const world = { kernelBytes: 1, isUp: true };
  const state = (): Reported => ({
    ...{ inForce: null, assignment: null, rules: [], proven: '', tier: 'C', hooks: [] },
    kernelBytes: world.kernelBytes,
  });
  const reporter = new StateReporter({
    state,
    send: async (reported) => {
      if (!world.isUp) throw new Error('down');
      sent.push(reported.kernelBytes);
    },
    clock,
    log: silentLog,
  });
  const end = new AbortController();
  const done = reporter.run(end.signal);
  t.teardown(async () => {
    end.abort();
    await done;
  });
  return { clock, sent, world, reporter };
}

t.test('nothing is sent before there is a session', async (t) => {
  const { clock, sent, reporter } = setUp(t);
  reporter.changed();
  await clock.advance(60_000);
  t.strictSame(sent, []);
  reporter.connected();
  await clock.advance(0);
  t.strictSame(sent, [1]);
});

t.test('changes in a pause become one report, of the newest', async (t) => {
  const { clock, sent, world, reporter } = setUp(t);
  reporter.connected();
  await clock.advance(0);
  for (world.kernelBytes = 2; world.kernelBytes < 100; world.kernelBytes += 1) reporter.changed();
  await clock.advance(1000);
  t.strictSame(sent, [1, 100]);
});

t.test('what has not changed is not sent again, but each session is told', async (t) => {
  const { clock, sent, reporter } = setUp(t);
  reporter.connected();
  await clock.advance(1000);
  for (let n = 0; n < 5; n += 1) {
    reporter.changed();
    await clock.advance(1000);
  }
  t.strictSame(sent, [1]);
  reporter.connected();
  await clock.advance(1000);
  t.strictSame(sent, [1, 1]);
});

t.test('what could not be sent is sent at the next session, or after a while', async (t) => {
  const { clock, sent, world, reporter } = setUp(t);
  reporter.connected();
  await clock.advance(1000);
  world.isUp = false;
  world.kernelBytes = 2;
  reporter.changed();
  await clock.advance(1000);
  t.strictSame(sent, [1]);
  world.isUp = true;
  await clock.advance(10_000);
  t.strictSame(sent, [1, 2], 'after a while');
  world.isUp = false;
  world.kernelBytes = 3;
  reporter.changed();
  await clock.advance(500);
  world.isUp = true;
  reporter.connected();
  await clock.advance(500);
  t.strictSame(sent, [1, 2, 3], 'at the next session');
});
