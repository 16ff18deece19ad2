// What calls cost a service under hardening: open, connect, fork, exec, by numbers of rules.
//
// In a guest whose clock counts instructions (QEMU's -icount), since a wall clock under emulation is noise. So these
// are ratios of instructions, without what caches and branches cost.

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import { Guest, guestMissing } from '../../device/guest.ts';
import { guestPrograms, told } from '../../device/guest-programs.ts';
import { compileC } from '../../lab/compile-c.ts';
import type { Row } from '../rows.ts';

const kernel = '6.12';
/** One instruction is one nanosecond; the clock does not wait for anybody. */
const counting = { qemu: ['-icount', 'shift=0,sleep=off'], lifeMs: 1_200_000 };

const costs = z.record(z.string(), z.number());
const opened = z.strictObject({ openedMs: z.number() });
const measured = z.strictObject({
  of: z.string(),
  calls: costs,
  rules: z.number().optional(),
  compileMs: z.number().optional(),
  loadMs: z.number().optional(),
});

/** The most that was meant, with a thousand rules, against none of Husk (DESIGN, budgets). */
const budgets: Readonly<Record<string, number>> = { open: 1.12, connect: 1.25, exec: 1.02 };

export async function measureCalls(): Promise<Row[]> {
  const missing = guestMissing(kernel);
  if (missing !== false)
    return [{ name: 'calls in a guest', value: null, unit: 'instructions', note: missing }];
  const files = {
    ...(await guestPrograms('call-costs')),
    'husk/calls': readFileSync(compileC(join(import.meta.dirname, 'calls.c'))),
  };
  const guest = await Guest.boot(kernel, files, '', counting);
  let isDone = false;
  try {
    const result = await guest.run('node /husk/build/call-costs.cjs', 1_100_000);
    isDone = result.status === 0;
    if (!isDone) throw new Error(`the guest's measurement failed: ${result.lines.slice(-16).join(' | ')}`);
    return rowsOf(told(result, z.union([opened, measured])));
  } finally {
    await guest.close({ failed: !isDone });
  }
}

function rowsOf(lines: readonly (z.infer<typeof opened> | z.infer<typeof measured>)[]): Row[] {
  const all = lines.filter((line) => 'of' in line);
  const floor = all.find((line) => line.of === 'no guards')?.calls ?? {};
  const rows = all.flatMap((line) =>
    Object.entries(line.calls).map(([call, value]): Row => {
      const name = `${call}, ${line.of}`;
      const unit = 'instructions';
      if (line.of === 'no guards') return { name, value, unit };
      const most = line.rules === 1000 ? budgets[call] : undefined;
      return {
        name,
        value,
        unit,
        against: { name: 'no guards', value: floor[call] ?? Number.NaN },
        ...(most === undefined ? {} : { budget: { of: 'ratio', most } }),
      };
    }),
  );
  const load = lines.find((line) => 'openedMs' in line);
  const million = (ms: number | undefined): number => ms ?? Number.NaN;
  return [
    ...rows,
    { name: 'all programs loaded and attached', value: million(load?.openedMs), unit: 'M instructions' },
    ...all
      .filter((line) => line.rules !== undefined)
      .flatMap((line): Row[] => [
        { name: `compiled, ${line.of}`, value: million(line.compileMs), unit: 'M instructions' },
        { name: `loaded, ${line.of}`, value: million(line.loadMs), unit: 'M instructions' },
      ]),
  ];
}
