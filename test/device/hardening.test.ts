// Goal: on kernels that devices have, what a policy denies to a service is denied, with EPERM and before it happens, and
// nothing else is, in tier A and in tier B.
// Method: Debian's kernels in an emulator, one of them booted without `bpf` among its LSMs. In each the agent's own code
// loads the guards, compiles a policy, proves it by canary and puts it in force; then a shell that is the service, and
// one that is not, try (guest/hardening.ts).

import t, { type Test } from 'tap';
import { z } from 'zod';
import { Guest, guestMissing } from './guest.ts';
import { guestPrograms, programMissing, told } from './guest-programs.ts';
import type { KernelName } from './kernels.ts';

t.setTimeout(900_000);

const opened = z.strictObject({
  openedMs: z.number(),
  tier: z.enum(['A', 'B']).nullable(),
  why: z.string(),
  missing: z.array(z.string()),
});
const proven = z.strictObject({ operations: z.number(), calls: z.number(), untried: z.array(z.string()) });
const tried = z.strictObject({ what: z.string(), said: z.string() });
const counted = z.strictObject({ hits: z.record(z.string(), z.number()) });
const again = z.strictObject({ again: z.string().nullable(), said: z.string() });
const lines = z.union([opened, proven, tried, counted, again]);

const refused = /Operation not permitted/;
/** What the service gets; what the policy does not name goes on. */
const expected: Readonly<Record<string, RegExp>> = {
  'exec under /tmp': refused,
  'exec elsewhere': /^0$/,
  'exec by a grandchild': refused,
  'exec of a listed applet': refused,
  'exec of another applet': /^0$/,
  'exec under a name that is none': refused,
  'exec under a false first argument': /^SIGKILL$/,
  'write what is protected': refused,
  'write elsewhere': /^0$/,
  'link what is protected': refused,
  'rename the folder of what is protected': refused,
  'create in it': refused,
  'read it': /^0 x$/,
  'load a module': refused,
  'connect to another host': refused,
  'connect to this host': /Connection refused|unreachable/,
  'mount something': /permission denied|not permitted/i,
  'make a raw socket': /permission denied/i,
  'make a packet socket': refused,
  'bind a port': refused,
  'be another, and listen': /^0 setgroups EPERM, setgid EPERM, setuid EPERM, listen EPERM$/,
  'what lockdown is about': refused,
  'remove in monitor mode': /^0$/,
  'not of the service: exec under /tmp': /^0$/,
  'not of the service: exec of a listed applet': /usage|missing|BusyBox/i,
  'not of the service: write what is protected': /^0$/,
  'not of the service: link what is protected': /^0$/,
  'not of the service: load a module': /File exists/,
  'not of the service: connect to another host': /Connection refused|unreachable/,
  'not of the service: mount something': /^0$/,
  'not of the service: make a raw socket': /1 packets transmitted/,
  'not of the service: make a packet socket': /^(?!.*not permitted)/,
  'not of the service: bind a port': /^(?!.*not permitted)/,
  'not of the service: be another, and listen': /^0 setgroups 0, setgid 0, setuid 0, listen 0$/,
  'not of the service: what lockdown is about': /^0 # tracer/,
  'without the agent': refused,
  'once unloaded': /^0$/,
};

interface Machine {
  readonly kernel: KernelName;
  readonly append: string;
  readonly tier: 'A' | 'B';
  readonly missing: readonly string[];
}

const machines: readonly Machine[] = [
  { kernel: '6.1', append: '', tier: 'A', missing: [] },
  { kernel: '6.12', append: '', tier: 'A', missing: [] },
  { kernel: '6.12', append: 'lsm=lockdown,capability,landlock', tier: 'B', missing: [] },
];

for (const machine of machines) {
  const name = `Debian's ${machine.kernel}${machine.append === '' ? '' : `, ${machine.append}`}`;
  t.test(name, { skip: programMissing() || guestMissing(machine.kernel) }, async (t) => {
    const guest = await Guest.boot(machine.kernel, await guestPrograms('hardening'), machine.append);
    t.teardown(async () => {
      await guest.close({ failed: !t.passing() });
    });
    const result = await guest.run('node /husk/build/hardening.cjs', 300_000);
    t.equal(result.status, 0, 'all is tried', { said: result.lines.slice(-20) });
    holds(t, machine, told(result, lines));
  });
}

type Told = z.infer<typeof lines>;

function holds(t: Test, { tier, missing }: Machine, lines: readonly Told[]): void {
  for (const line of lines) {
    if ('openedMs' in line) {
      t.comment(`loaded and attached in ${line.openedMs} ms`);
      t.match(line, { tier, why: '', missing });
    } else if ('operations' in line) {
      t.ok(line.operations > 0 && line.calls > 0);
      // No canary does what lockdown is about.
      t.same(line.untried, ['stubd/locked'], 'each rule is proven by the canary');
    } else if ('hits' in line) {
      t.match(line.hits, { 'stubd/no-mount': 1, 'stubd/seen': 1, 'stubd/no-loader': 3 }, 'counted');
    } else if ('again' in line) {
      t.equal(line.again, 'adopted');
      t.match(line.said, refused);
    }
  }
  const said = lines.filter((line) => 'what' in line);
  t.same(said.map(({ what }) => what).toSorted(), Object.keys(expected).toSorted());
  for (const one of said) t.match(one.said, expected[one.what] ?? /^$/, one.what);
}
