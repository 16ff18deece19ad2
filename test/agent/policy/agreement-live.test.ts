// Goal: the live programs, with connections and limits kept in the kernel, do with each packet of a sequence what the
// evaluator says: every case that has a device, and sequences that nobody thought of, with swaps and returned trials.
// Method: live-in-namespace.ts, in a network namespace that ends with it (seed printed; HUSK_SEED replays one, HUSK_RUNS
// says how many). What a program did is read from its action and the counters. VLAN tags that a card took off cannot be
// put on a test run, and time passes by whole seconds (live-lab.ts).

import { join } from 'node:path';
import t from 'tap';
import { kernelMissing } from './kernel-lab.ts';

const missing = kernelMissing();
t.setTimeout(300_000);

t.test('evaluator and live programs', { skip: missing ?? false, timeout: 300_000 }, async (t) => {
  await t.spawn('unshare', ['--net', process.execPath, join(import.meta.dirname, 'live-in-namespace.ts')], {
    timeout: 300_000,
    env: { ...process.env, TAP_TIMEOUT: '300' },
  });
});
