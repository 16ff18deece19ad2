// Goal: each shield of the library closes what it says it closes. Without it the exploit's behaviour goes through; in
// monitor mode it goes through and is counted and reported; enforced it gets EPERM, or its end where the rule says so,
// and is reported; and what the daemon does every day goes on in all three.
// Method: Debian's kernels in an emulator, tier A and B. In each, all shields are put in force by the agent's own code,
// and a stand-in for each daemon acts out the simulation that lies beside its shield (guest/shields.ts).

import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { z } from 'zod';
import { readAndCheck } from '../../agent/policy/read.ts';
import { tierNeed } from '../../agent/policy/rule-tier.ts';
import { parseSimulation } from '../lab/simulation.ts';
import { Guest, guestMissing } from './guest.ts';
import { guestPrograms, programMissing, told } from './guest-programs.ts';
import type { GuestFiles } from './initramfs.ts';
import { type KernelName, root } from './kernels.ts';

t.setTimeout(900_000);

const library = join(root, 'firmware-integration/shields');
const stubd = join(root, 'build/shields/stubd');

const opened = z.strictObject({
  openedMs: z.number(),
  tier: z.enum(['A', 'B']).nullable(),
  why: z.string(),
  missing: z.array(z.string()),
});
const proven = z.strictObject({
  serial: z.number(),
  proven: z.number(),
  untried: z.array(z.string()),
  provedMs: z.number(),
});
const mode = z.enum(['none', 'monitor', 'enforce']);
const counts = z.record(z.string(), z.number());
const acted = z.strictObject({
  mode,
  shield: z.string(),
  attack: z.array(z.string()),
  unseen: z.array(z.string()),
  ordinary: z.array(z.string()),
  hits: counts,
  events: counts,
});
const took = z.strictObject({ mode, actedMs: z.number() });
type Acted = z.infer<typeof acted>;

const names = readdirSync(library).filter((name) => name.endsWith('.yaml'));
const shields = names.map((name) => {
  const { documents } = readAndCheck([{ file: name, text: readFileSync(join(library, name), 'utf8') }]);
  const [shield] = documents;
  if (shield?.kind !== 'Shield') throw new Error(`${name} is no shield`);
  return { shield, simulation: parseSimulation(readFileSync(join(library, 'simulate', name), 'utf8')) };
});

/** Shields, simulations and the stand-in, where guest/shields.ts looks for them. */
function libraryFiles(): GuestFiles {
  const files: Record<string, Uint8Array> = { 'husk/stubd': readFileSync(stubd) };
  for (const name of names) {
    files[`husk/shields/${name}`] = readFileSync(join(library, name));
    files[`husk/shields/simulate/${name}`] = readFileSync(join(library, 'simulate', name));
  }
  return files;
}

const machines: readonly { kernel: KernelName; append: string; tier: 'A' | 'B' }[] = [
  { kernel: '6.12', append: '', tier: 'A' },
  { kernel: '6.1', append: '', tier: 'A' },
  { kernel: '6.12', append: 'lsm=lockdown,capability,landlock', tier: 'B' },
];

for (const { kernel, append, tier } of machines) {
  t.test(
    `tier ${tier} on Debian's ${kernel}`,
    { skip: programMissing() || guestMissing(kernel) },
    async (t) => {
      const files = { ...(await guestPrograms('shields')), ...libraryFiles() };
      const guest = await Guest.boot(kernel, files, append);
      t.teardown(async () => {
        await guest.close({ failed: !t.passing() });
      });
      const result = await guest.run('node /husk/build/shields.cjs', 300_000);
      t.equal(result.status, 0, 'all is tried', { said: result.lines.slice(-20) });
      const lines = told(result, z.union([opened, proven, acted, took]));
      for (const line of lines) {
        if ('openedMs' in line) t.match(line, { tier, why: '', missing: [] }, `guards ${line.openedMs} ms`);
        if ('proven' in line) t.comment(`${line.proven} operations proven in ${line.provedMs} ms`);
        if ('actedMs' in line) t.comment(`${line.mode}: acted out in ${line.actedMs} ms`);
      }
      for (const { shield, simulation } of shields) {
        const { name } = shield.metadata;
        t.test(name, async (t) => {
          const own = lines.filter((line) => 'shield' in line).filter((line) => line.shield === name);
          t.same(
            own.map((one) => one.mode),
            ['none', 'monitor', 'enforce'],
          );
          for (const one of own) holds(t, one, { shield, simulation }, tier);
        });
      }
    },
  );
}

function holds(t: Test, one: Acted, { shield, simulation }: (typeof shields)[number], tier: 'A' | 'B'): void {
  const { name } = shield.metadata;
  const passes = (steps: readonly unknown[]) => steps.map(() => 'ok');
  t.same(one.ordinary, passes(simulation.ordinary), `${one.mode}: ordinary work goes on`);
  t.same(one.unseen, passes(simulation.unseen), `${one.mode}: what it is said not to see goes through`);
  const claimed = simulation.attack.filter(({ rule }) => isClaimed(shield, rule, tier));
  const wanted = simulation.attack.map((step) =>
    one.mode === 'enforce' && claimed.includes(step) ? denialOf(shield, step.rule) : 'ok',
  );
  const shown = (outcomes: readonly string[]) =>
    simulation.attack.map(({ rule, step }, index) => `${rule}: ${step} => ${outcomes[index]}`);
  t.same(shown(one.attack), shown(wanted), one.mode);
  if (one.mode === 'none') return void t.same([one.hits, one.events], [{}, {}], 'nothing to report');
  for (const rule of new Set(claimed.map((step) => step.rule))) {
    const least = claimed.filter((step) => step.rule === rule).length;
    const id = `${name}/${rule}`;
    t.ok((one.hits[id] ?? 0) >= least, `${one.mode}: ${id} is counted`, { hits: one.hits, least });
    t.ok((one.events[`${id} ${one.mode}`] ?? 0) >= least, `${one.mode}: ${id} is reported`, {
      events: one.events,
      least,
    });
  }
}

type Shield = (typeof shields)[number]['shield'];

function ruleOf({ metadata, spec }: Shield, id: string) {
  const rule = spec.rules?.find((one) => one.id === id);
  if (rule === undefined) throw new Error(`${metadata.name} has no rule ${id}`);
  return rule;
}

/** Whether the rule is one that this tier enforces: what is said of it is then to be true. */
function isClaimed(shield: Shield, id: string, tier: 'A' | 'B'): boolean {
  const { subject } = shield.spec;
  if (subject === undefined) throw new Error(`${shield.metadata.name} has no subject`);
  const { least } = tierNeed({ spec: { mode: 'enforce', rules: [], subject } }, ruleOf(shield, id));
  return tier <= least;
}

const denialOf = (shield: Shield, id: string) => (ruleOf(shield, id).kill === true ? 'killed' : 'EPERM');
