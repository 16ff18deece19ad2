// Goal: what is written of hooks is so: the table of HARDENING.md, the list that the agent loads by, and the programs.
// Method: all three are read and compared.

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { guardFile, guardHooks } from '../../../agent/kernel/guards.ts';
import { callHooks, operationHooks } from '../../../agent/kernel/operation-hooks.ts';
import { addon } from '../../../native/index.ts';
import { root } from '../../device/kernels.ts';

t.test('every object has the programs of its hooks, in both tiers', async (t) => {
  for (const [object, hooks] of Object.entries(guardHooks)) {
    for (const tier of ['A', 'B'] as const) {
      const file = guardFile(object as keyof typeof guardHooks, tier);
      const opened = addon.openObject(file, readFileSync(join(root, `build/bpf/${file}.bpf.o`)));
      t.teardown(() => opened.close());
      t.same(
        opened.programNames().toSorted(),
        hooks.map((hook) => `husk_${hook}`).toSorted(),
        `${file}, tier ${tier}`,
      );
    }
  }
});

t.test('HARDENING.md has each operation with its hooks, and no other', async (t) => {
  const text = readFileSync(join(root, 'agent/policy/HARDENING.md'), 'utf8');
  const section = text.slice(text.indexOf('## 6. Hooks'), text.indexOf('## 7.'));
  const rows = [...section.matchAll(/^\| (?!operation|---)([^|]+) \| ([^|]+) \|/gm)].map(
    ([, operation = '', hooks = '']) =>
      [operation, [...hooks.matchAll(/`([a-z_]+)`/g)].map(([, name = '']) => name)] as const,
  );
  const hooks: readonly string[] = Object.values(guardHooks).flat();
  // The one place that is no guard: it ends, and does not refuse.
  const elsewhere = ['sched_process_exec'];
  const inCode = {
    ...operationHooks,
    ...Object.fromEntries(Object.entries(callHooks).map(([name, of]) => [`${name} of tasks`, of])),
  };
  t.same(
    Object.fromEntries(
      rows.map(([operation, named]) => [operation, named.filter((name) => !elsewhere.includes(name))]),
    ),
    inCode,
  );
  const needed = new Set(Object.values(inCode).flat());
  t.same(
    hooks.filter((hook) => !needed.has(hook)),
    [],
    'every hook is of an operation',
  );
  t.same(
    [...needed].filter((hook) => !hooks.includes(hook)),
    [],
    'and every operation has its hooks',
  );
});
