// Goal: what `husk-agent probe` says of a kernel is so on kernels that devices have: A, B where the boot line left bpf out,
// and C where tasks can't be given records.
// Method: Debian's kernels in an emulator. In each the agent's own probe has canaries refused or ended (guest/probe.ts), and
// what it says is compared with what these kernels are known to do.

import t, { type Test } from 'tap';
import { z } from 'zod';
import { Guest, guestMissing } from './guest.ts';
import { guestPrograms, programMissing, told } from './guest-programs.ts';
import type { KernelName } from './kernels.ts';

t.setTimeout(900_000);

const trial = z.strictObject({ works: z.boolean(), why: z.string() });
const report = z.strictObject({
  tier: z.enum(['A', 'B', 'C', 'D']),
  execs: z.string(),
  preemption: z.string(),
  degraded: z.string().nullable(),
  launcher: z.strictObject({ landlockAbi: z.number(), seccomp: z.boolean() }),
  trials: z.strictObject({ lsm: trial, fmodRet: trial, end: trial, connect: trial }),
  missing: z.array(z.strictObject({ for: z.string(), why: z.string(), options: z.array(z.string()) })),
  left: z.array(z.string()),
  runsAfter: z.boolean(),
});
type Report = z.infer<typeof report>;

interface Machine {
  readonly kernel: KernelName;
  readonly append: string;
  readonly says: unknown;
}

const machines: readonly Machine[] = [
  {
    kernel: '6.12',
    append: 'preempt=voluntary',
    says: { tier: 'A', execs: 'refused', preemption: 'voluntary', degraded: null },
  },
  {
    kernel: '6.12',
    append: 'preempt=full lsm=lockdown,capability,landlock',
    says: {
      tier: 'B',
      execs: 'refused',
      preemption: 'full',
      degraded: /passed over/,
      trials: { lsm: { works: false, why: /never runs: bpf is not among the LSMs/ } },
    },
  },
  {
    kernel: '5.10',
    append: '',
    says: { tier: 'C', execs: 'none', trials: { end: { works: false }, connect: { works: true } } },
  },
];

for (const { kernel, append, says } of machines) {
  const name = `Debian's ${kernel}${append === '' ? '' : `, ${append}`}`;
  t.test(name, { skip: programMissing() || guestMissing(kernel) }, async (t) => {
    const guest = await Guest.boot(kernel, await guestPrograms('probe'), append);
    t.teardown(async () => {
      await guest.close({ failed: !t.passing() });
    });
    const result = await guest.run('node /husk/build/probe.cjs', 120_000);
    t.equal(result.status, 0, 'it tells', { said: result.lines.slice(-20) });
    const [found] = told(result, report);
    if (found === undefined) return t.fail('it told nothing');
    t.comment(JSON.stringify(found));
    t.match(found, says);
    t.match(found, { left: [], runsAfter: true }, 'and leaves nothing behind');
    namesWhatIsMissing(t, found);
  });
}

/** Each better tier that is not there is named, with what would give it. */
function namesWhatIsMissing(t: Test, { tier, missing }: Report): void {
  const named = missing.map((one) => one.for);
  if (tier !== 'A') t.ok(named.includes('tier A'), 'what is missing for A');
  if (tier === 'C')
    t.ok(
      named.some((one) => one.startsWith('tiers A, B')),
      'and for B',
    );
  for (const one of missing) {
    t.not(one.why, '');
    t.ok(one.options.length > 0, `${one.for}: ${one.options.join(', ')}`);
  }
}
