// Goal: wherever in applying a bundle the agent is killed, the kernel holds exactly the old or exactly the new
// generation, goes back by itself where a trial was running, and a restarted agent recovers.
// Method: the agent stops itself at each step in turn (HUSK_STOP_AT) and is killed there with SIGKILL. What is
// in force is seen by packets and calls while it is dead, again after the deadline, and after its restart by
// what it reports. Then a fresh serial must still go through.

import t from 'tap';
import { type Step, steps } from '../../agent/apply-bundle.ts';
import { executablesMissing } from '../lab/executables.ts';
import { Lab, labMissing } from '../lab/lab.ts';
import { openSite, publishAndSettle, serialKnown, settled } from '../lab/site.ts';
import { waitFor } from '../lab/wait-for.ts';
import { type Parity, ParityProbe } from './parity.ts';

// One file is one process; `node FILE` would give it half a minute.
t.setTimeout(300_000);
const skip = labMissing() || executablesMissing();
const trialSeconds = 4;

/** What must hold of a kill at each step: in force at once, and what becomes of the assignment after a restart. */
interface Expected {
  readonly inForce: 'old' | 'new';
  readonly afterRestart: 'confirmed' | 'returned';
}
const atStep: Readonly<Record<Step, Expected>> = {
  // Nothing of it is on disk but, from `verified` on, its serial: the restarted agent does it all again.
  received: { inForce: 'old', afterRestart: 'confirmed' },
  verified: { inForce: 'old', afterRestart: 'confirmed' },
  fetched: { inForce: 'old', afterRestart: 'confirmed' },
  compiled: { inForce: 'old', afterRestart: 'confirmed' },
  loaded: { inForce: 'old', afterRestart: 'confirmed' },
  proven: { inForce: 'old', afterRestart: 'confirmed' },
  // The mark of the trial is on disk: it counts as returned, and is not tried again.
  'trial-stored': { inForce: 'old', afterRestart: 'returned' },
  swapped: { inForce: 'new', afterRestart: 'returned' },
  reconnected: { inForce: 'new', afterRestart: 'returned' },
  answered: { inForce: 'new', afterRestart: 'returned' },
  // The kernel was told: it stays, whether the disk knows it yet or not.
  confirmed: { inForce: 'new', afterRestart: 'confirmed' },
  stored: { inForce: 'new', afterRestart: 'confirmed' },
};

t.test('the agent is killed in the middle of applying a bundle', { skip, timeout: 290_000 }, async (t) => {
  const lab = await Lab.open();
  t.teardown(() => lab.close());
  const site = await openSite(lab);
  const probe = await ParityProbe.open(site);
  t.equal(await probe.see(), 'open', 'at first nothing is dropped or denied');
  const first = await publishAndSettle(site, { files: [probe.files.odd], trialSeconds });
  t.equal(first.assignment?.result, 'confirmed');
  let inForce: Parity = 'odd';

  for (const step of steps) {
    await t.test(`at the step ${step}`, async (t) => {
      const { inForce: expected, afterRestart } = atStep[step];
      t.equal(await probe.see(), inForce, `before: ${inForce}`);
      const next: Parity = inForce === 'odd' ? 'even' : 'odd';
      const serial = (await serialKnown(site)) + 1;
      // Published while it is away, so that the assignment it stops at is surely this one.
      await site.device.kill('SIGTERM');
      const said = await site.controller.publish({ files: [probe.files[next]], trialSeconds });
      t.equal(said.code, 0, 'published');
      site.device.start({ HUSK_STOP_AT: step });
      await site.device.stopped();
      t.same(await site.device.kill('SIGKILL'), { code: null, signal: 'SIGKILL' });

      t.equal(
        await probe.see(),
        expected === 'old' ? inForce : next,
        `killed: exactly the ${expected} generation`,
      );
      if (expected === 'new' && afterRestart === 'returned') {
        const seen = waitFor(async () => (await probe.packets()) === inForce, {
          what: 'the kernel to return at the deadline',
          withinMs: (trialSeconds + 3) * 1000,
        });
        await t.resolves(seen, 'the deadline takes it back with the agent dead');
        t.equal(await probe.see(), inForce, 'packets and calls alike');
      }

      site.device.start();
      const after = await settled(site, serial, 30_000);
      t.equal(after.assignment?.serial, serial);
      t.equal(after.assignment?.result, afterRestart, `restarted: ${afterRestart}`);
      if (afterRestart === 'returned') t.equal(after.assignment?.reason, 'agent-restarted');
      inForce = afterRestart === 'confirmed' ? next : inForce;
      t.equal(await probe.see(), inForce, `in force: ${inForce}`);
    });
  }

  t.test('and the way is free for the next', async (t) => {
    const next: Parity = inForce === 'odd' ? 'even' : 'odd';
    const result = await publishAndSettle(site, { files: [probe.files[next]], trialSeconds });
    t.equal(result.assignment?.result, 'confirmed');
    t.equal(await probe.see(), next);
  });
});
