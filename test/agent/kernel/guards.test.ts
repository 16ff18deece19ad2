// Goal: what is written of hooks is so: the table of HARDENING.md, the list that the agent loads by, and the programs.
// Method: all three are read and compared.

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { guardFile, guardHooks } from '../../../agent/kernel/guards.ts';
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

t.test('HARDENING.md names every hook, and no other', async (t) => {
  const text = readFileSync(join(root, 'agent/policy/HARDENING.md'), 'utf8');
  const [table = ''] = text.slice(text.indexOf('## 6. Hooks')).split('\n## 7');
  const named = [...table.matchAll(/`([a-z_]+)`/g)].map(([, name]) => name);
  const hooks = Object.values(guardHooks).flat();
  t.same(
    hooks.filter((hook) => !named.includes(hook)),
    [],
    'not named',
  );
  const words = ['security_', 'sched_process_exec', 'read', 'mprotect', 'memory'];
  t.same(
    named.filter((name) => name !== undefined && !hooks.includes(name) && !words.includes(name)),
    [],
    'named, and not there',
  );
});
