// Goal: a device enrolls once, keeps trying at a bearable pace, and takes a new join line as soon as there
// is one.
// Method: the flow with a listener that answers as the test says and a clock that stands still; the
// identity lies in a temporary folder.

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join as joinPath } from 'node:path';
import t from 'tap';
import type { Join } from '../../agent/contract/enrollment.ts';
import { joinFleet } from '../../agent/join-fleet.ts';
import { DiskFiles } from '../../agent/os/files.ts';
import { silentLog } from '../../agent/os/log.ts';
import { EnrollmentRefusal } from '../../agent/trust/enroll.ts';
import { IdentityStore } from '../../agent/trust/identity.ts';
import { TestClock } from '../lab/test-clock.ts';

type Test = Pick<typeof t, 'teardown'>;

const join: Join = {
  ...{ v: 1, enroll: 'mqtts://h:1', broker: 'mqtts://h:2', tenant: 'acme', token: 'a' },
  ...{ secret: 'A'.repeat(43), authority: 'ab'.repeat(32), signer: 'cd'.repeat(32) },
};

function setUp(t: Test) {
  const folder = mkdtempSync(joinPath(tmpdir(), 'husk-join-'));
  const clock = new TestClock();
  const world = { join: join as Join | null, error: new Error('unreachable') as Error };
  const attempts: string[] = [];
  const end = new AbortController();
  const joined = joinFleet(
    {
      store: new IdentityStore(new DiskFiles(), joinPath(folder, 'identity')),
      join: () => {
        if (world.error.message === 'damaged') throw world.error;
        return world.join;
      },
      hardwareId: 'box',
      hostname: 'host',
      reach: (line) => ({
        authority: async () => {
          attempts.push(line.token);
          throw world.error;
        },
        open: () => Promise.reject(new Error('not reached')),
      }),
      pause: { baseMs: 1000, maxMs: 300_000 },
      clock,
      random: { bytes: (n) => new Uint8Array(n), fraction: () => 0.999_999 },
      log: silentLog,
    },
    end.signal,
  );
  joined.catch(() => {});
  t.teardown(async () => {
    end.abort();
    await joined.catch(() => {});
    rmSync(folder, { recursive: true });
  });
  /** The key takes real time; the clock must not be moved before the flow has come to its pause. */
  const settled = async () => {
    for (let n = 0; n < 2000 && clock.sleeping === 0; n += 1)
      await new Promise((resolve) => setTimeout(resolve, 5));
  };
  const pass = async (ms: number) => {
    await settled();
    await clock.advance(ms);
    await settled();
  };
  return { clock, world, attempts, end, joined, pass };
}

t.test('an unreachable listener is tried at growing pauses, five minutes at most', async (t) => {
  const { attempts, pass } = setUp(t);
  await pass(0);
  t.equal(attempts.length, 1, 'at once');
  await pass(60_000);
  t.equal(attempts.length, 6, 'after 1, 2, 4, 8, 16 and 32 s');
  for (let hour = 0; hour < 3600; hour += 60) await pass(60_000);
  t.ok(attempts.length <= 22, `${attempts.length} in the first hour`);
});

t.test('after a refusal it waits for a person, but takes another join line at once', async (t) => {
  const { world, attempts, pass } = setUp(t);
  world.error = new EnrollmentRefusal({ code: 'enroll.token-unknown', detail: 'used up' });
  await pass(0);
  await pass(30_000);
  t.strictSame(attempts, ['a'], 'one question in half a minute');
  world.join = { ...join, token: 'b' };
  await pass(3000);
  t.strictSame(attempts, ['a', 'b']);
});

t.test('without a join line, or with a damaged one, it looks again', async (t) => {
  const { world, attempts, pass } = setUp(t);
  world.join = null;
  await pass(60_000);
  t.strictSame(attempts, []);
  world.error = new Error('damaged');
  world.join = join;
  await pass(60_000);
  t.strictSame(attempts, []);
  world.error = new Error('unreachable');
  await pass(3000);
  t.ok(attempts.length >= 1);
});

t.test('it ends when it is told to', async (t) => {
  const { end, joined, pass } = setUp(t);
  await pass(0);
  end.abort(new Error('stop'));
  await t.rejects(joined, /stop/);
});
