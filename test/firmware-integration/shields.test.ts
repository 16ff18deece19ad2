// Goal: the shield library is whole: each shield passes every check and the test it carries, is built on the templates,
// names what it is against, has a simulation that tries each of its rules, and stands in the library's page.
// Method: run `husk policy check` and `test`, and read what lies in firmware-integration/shields.

import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { formatFaults } from '../../agent/policy/faults.ts';
import { readAndCheck } from '../../agent/policy/read.ts';
import { templates } from '../../fleet/policy/templates.ts';
import { husk } from '../fleet/test-controller.ts';
import { parseSimulation } from '../lab/simulation.ts';

const library = join(import.meta.dirname, '../../firmware-integration/shields');
const read = (name: string) => readFileSync(join(library, name), 'utf8');
const files = readdirSync(library).filter((name) => name.endsWith('.yaml'));
const { documents, faults } = readAndCheck(files.map((file) => ({ file, text: read(file) })));
const shields = documents.filter((one) => one.kind === 'Shield');

/** Ids of the rules that a template has: those of a shield begin with one of them. */
const ruleIds = new Map(
  templates.map(({ name, text }) => [name, [...text.matchAll(/\bid: ([a-z-]+)/g)].map(([, id = '']) => id)]),
);
/** Of rules in shields that a template says by a default. */
const besides: Readonly<Record<string, readonly string[]>> = { 'raw-sockets': ['raw-sockets'] };

t.test('all of them together are without a fault, and hold to the tests they carry', async (t) => {
  t.equal(formatFaults(faults), '');
  const paths = files.map((file) => join(library, file));
  const checked = await husk(['policy', 'check', ...paths]);
  t.match(checked, { code: 0, err: '' });
  const tested = await husk(['policy', 'test', ...paths]);
  t.equal(tested.code, 0, tested.out);
  t.ok(shields.length >= 15, `${shields.length} shields`);
  t.equal(documents.length, files.length, 'one in each file');
});

for (const { metadata, spec } of shields) {
  t.test(metadata.name, async (t) => {
    const { name, labels = {} } = metadata;
    const cves = typeof spec.cve === 'string' ? [spec.cve] : spec.cve;
    t.ok(files.includes(`${name}.yaml`), 'its file has its name');
    t.ok(
      cves.some((cve) => cve.toLowerCase() === name),
      'named by what it is against',
    );
    for (const cve of cves)
      t.ok(spec.references?.includes(`https://nvd.nist.gov/vuln/detail/${cve}`), `refers to ${cve}`);

    const rules = spec.rules ?? [];
    const named = (labels.templates ?? '').split(' ');
    for (const template of named) {
      const ids = [...(ruleIds.get(template) ?? []), ...(besides[template] ?? [])];
      t.ok(
        rules.some(({ id }) => ids.some((one) => id === one || id.startsWith(`${one}-`))),
        `has a rule of ${template}`,
      );
    }

    const simulation = parseSimulation(read(`simulate/${name}.yaml`));
    const subjects = [spec.subject?.executable ?? []].flat();
    if (subjects.length > 0) t.ok(subjects.includes(simulation.daemon), 'the stand-in is of the subject');
    const tried = new Set(simulation.attack.map(({ rule }) => rule));
    t.same(
      [...tried].filter((id) => !rules.some((rule) => rule.id === id)),
      [],
      'tries rules that there are',
    );
    t.same(
      rules.map(({ id }) => id).filter((id) => !tried.has(id)),
      [],
      'and all of them',
    );
    t.match(read('README.md'), `| [${name}](${name}.yaml) |`, 'stands in the page');
  });
}

t.test('no simulation is without its shield', async (t) => {
  const names = readdirSync(join(library, 'simulate')).filter((name) => name.endsWith('.yaml'));
  t.same(names.toSorted(), files.toSorted());
});
