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
const errnos = z.record(z.string(), z.number());
const each = z.strictObject({ each: errnos });
const others = z.strictObject({ others: errnos });
const mounted = z.strictObject({
  mounted: z.strictObject({ isStill: z.boolean(), isAnew: z.boolean() }),
  said: z.string(),
});
const again = z.strictObject({ again: z.string().nullable(), through: z.number(), tried: z.number() });
const lines = z.union([opened, proven, tried, counted, each, others, mounted, again]);

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
  'write code, and run it': /^(?!0 1$)/,
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
  'not of the service: write code, and run it': /^0 1$/,
  'without the agent': refused,
  'once unloaded': /^0$/,
};

const EPERM = 1;
const ENOTSUP = 95;
const withoutCanary: ReadonlySet<string> = new Set(['lockdown']);
/** What the kernel does where nothing is in the way; of the others it has complaints of its own, as of an empty module. */
const done = Object.fromEntries(
  [
    ...['load', 'read', 'write', 'create', 'delete', 'rename', 'link', 'chmod', 'mount'],
    ...['setuid', 'capability', 'ptrace', 'userns', 'perf', 'writeExecute'],
  ].map((name) => [name, 0]),
);

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
    } else if ('each' in line) {
      for (const [name, errno] of Object.entries(line.each))
        t.equal(errno, withoutCanary.has(name) ? ENOTSUP : EPERM, `${name} is denied`);
    } else if ('others' in line) {
      for (const [name, errno] of Object.entries(line.others))
        t.not(errno, EPERM, `${name} is not denied to others`);
      t.match(line.others, done, 'and done');
    } else if ('mounted' in line) {
      t.same(line.mounted, { isStill: false, isAnew: true }, 'a mount below a folder of the policy is seen');
      t.match(line.said, refused, 'and what is in it is denied once tables are made anew');
    } else if ('again' in line) {
      t.ok(line.tried >= 6, `${line.again}: tried ${line.tried} times`);
      if (line.again === 'unloaded') t.ok(line.through > 0, 'a gap would be seen');
      else t.equal(line.through, 0, `${line.again}: no gap`);
    }
  }
  t.same(
    lines.flatMap((line) => ('again' in line ? [line.again] : [])),
    ['adopted', 'renewed', 'unloaded'],
  );
  const said = lines.filter((line) => 'what' in line);
  t.same(said.map(({ what }) => what).toSorted(), Object.keys(expected).toSorted());
  for (const one of said) t.match(one.said, expected[one.what] ?? /^$/, one.what);
}
