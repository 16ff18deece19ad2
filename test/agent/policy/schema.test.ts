// Goal: the published JSON Schema is the one the reader goes by, and says enough for an editor.
// Method: generate it again and compare; look at a few things an editor lives on.

import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';

const folder = join(import.meta.dirname, '../../../agent/policy');
const published = readFileSync(join(folder, 'policy.schema.gen.json'), 'utf8');

t.test('is fresh', async (t) => {
  const made = join(t.testdir(), 'made.json');
  execFileSync(process.execPath, [join(folder, 'gen-schema.ts'), made]);
  t.equal(published, readFileSync(made, 'utf8'), 'else run ./build.sh build and commit it');
});

t.test('closes every map and describes the keys', async (t) => {
  let maps = 0;
  let open = 0;
  let described = 0;
  const visit = (value: unknown): void => {
    if (typeof value !== 'object' || value === null) return;
    const node = value as Record<string, unknown>;
    if (node.type === 'object') {
      maps++;
      if (node.additionalProperties === undefined) open++;
    }
    if (typeof node.description === 'string') described++;
    for (const inner of Object.values(node)) visit(inner);
  };
  visit(JSON.parse(published));
  t.ok(maps > 15, `${maps} maps`);
  t.equal(open, 0, 'none takes keys it does not know');
  t.ok(described > 30, `${described} descriptions`);
  t.match(JSON.parse(published), { $schema: 'https://json-schema.org/draft/2020-12/schema' });
});
