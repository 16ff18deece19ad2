// Goal: killed at any moment whatever, not only at the named steps, the agent leaves one whole generation in
// force and finds its way again.
// Method: bundles are published one after another; each time the agent is killed after a random while, its
// kernel looked at by packets and calls, and started again. The seed is printed; HUSK_SEED replays it.

import { setTimeout as sleep } from 'node:timers/promises';
import t from 'tap';
import { executablesMissing } from '../lab/executables.ts';
import { Lab, labMissing } from '../lab/lab.ts';
import { openSite, publishAndSettle, serialKnown, settled } from '../lab/site.ts';
import { type Parity, ParityProbe } from './parity.ts';

// One file is one process; `node FILE` would give it half a minute.
t.setTimeout(300_000);
const skip = labMissing() || executablesMissing();
const rounds = 16;
/** From the start to the end of a bundle takes about half a second here. */
const killWithinMs = 700;

t.test('killed at any moment', { skip, timeout: 280_000 }, async (t) => {
  const seed = Number(process.env.HUSK_SEED ?? Date.now() % 1_000_000);
  t.comment(`HUSK_SEED=${seed}`);
  const random = generator(seed);
  const lab = await Lab.open();
  t.teardown(() => lab.close());
  const site = await openSite(lab);
  const probe = await ParityProbe.open(site);
  const first = await publishAndSettle(site, { files: [probe.files.odd], trialSeconds: 40 });
  t.equal(first.assignment?.result, 'confirmed');

  let inForce: Parity = 'odd';
  for (let round = 0; round < rounds; round++) {
    const next: Parity = inForce === 'odd' ? 'even' : 'odd';
    const serial = (await serialKnown(site)) + 1;
    await site.device.kill('SIGTERM');
    const said = await site.controller.publish({ files: [probe.files[next]], trialSeconds: 40 });
    t.equal(said.code, 0, said.complaint);
    site.device.start();
    const ms = Math.floor(random() * killWithinMs);
    await sleep(ms);
    await site.device.kill('SIGKILL');
    const seen = await probe.see();
    t.ok(seen === 'odd' || seen === 'even', `round ${round}, killed after ${ms} ms: ${seen}`);

    site.device.start();
    const after = await settled(site, serial, 60_000);
    const result = after.assignment?.result;
    t.ok(result === 'confirmed' || result === 'returned', `then ${result}`);
    if (result === 'confirmed') inForce = next;
    t.equal(await probe.see(), inForce, `in force: ${inForce}`);
    t.equal(after.inForce?.serial === serial, result === 'confirmed', 'the report agrees');
  }
});

/** mulberry32: 32 bits of state, good enough to choose moments. */
function generator(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let value = Math.imul(state ^ (state >>> 15), state | 1);
    value ^= value + Math.imul(value ^ (value >>> 7), value | 61);
    return ((value ^ (value >>> 14)) >>> 0) / 2 ** 32;
  };
}
