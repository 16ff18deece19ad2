// Goal: chapter by chapter, what becomes of a ruleset: the policy, and the list of what was not carried over.
// Method: texts of rulesets/, each with the documents (NAME.yaml) and the list (NAME.txt) that are expected of it.
// HUSK_WRITE=1 writes what comes out now; read the difference before it is committed.

import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { checkDocuments } from '../../../../agent/policy/check.ts';
import { importIptables } from '../../../../agent/policy/import/iptables.ts';
import { importList } from '../../../../agent/policy/import/list.ts';
import { importNft } from '../../../../agent/policy/import/nft.ts';
import type { Imported } from '../../../../agent/policy/import/report.ts';
import { policyText } from '../../../../fleet/policy/document-text.ts';

const folder = join(import.meta.dirname, 'rulesets');
const isWriting = process.env.HUSK_WRITE === '1';

for (const file of readdirSync(folder).filter((name) => /\.(v4|v6|json|list)$/.test(name))) {
  t.test(file, async (t) => {
    const { documents, notCarriedOver } = imported(file);
    t.strictSame(
      checkDocuments(documents).filter(({ severity }) => severity === 'error'),
      [],
      'passes the check',
    );
    const list = notCarriedOver.map(({ file, line, text, reason, effect, mayPass = [] }) =>
      [
        `${effect}: ${file}:${line}: ${reason}`,
        ...(text === '' ? [] : [`    ${text}`]),
        ...mayPass.map((one) => `    may pass: ${one}`),
        '',
      ].join('\n'),
    );
    same(
      t,
      `${file}.yaml`,
      policyText(documents, 1000, (name) => `${name}.txt`),
    );
    same(t, `${file}.txt`, list.join(''));
  });
}

function imported(name: string): Imported {
  const text = readFileSync(join(folder, name), 'utf8');
  // The first line says with which options, as in `# --interfaces eth0,wan`.
  const interfaces = /^# --interfaces (\S+)$/m.exec(text)?.[1]?.split(',');
  const options = interfaces === undefined ? {} : { interfaces };
  const ipset = join(folder, `${name}.ipset`);
  const ipsets = existsSync(ipset)
    ? { ipsets: { file: `${name}.ipset`, text: readFileSync(ipset, 'utf8') } }
    : {};
  if (name.endsWith('.json')) return importNft({ file: name, text }, options);
  if (name.endsWith('.list')) return importList([{ file: name, text }], { name: 'listed', drop: ['wan0'] });
  return importIptables([{ file: name, text }], {
    ...options,
    ...ipsets,
    family: name.endsWith('.v6') ? 6 : 4,
  });
}

function same(t: Tap, name: string, found: string): void {
  const path = join(folder, name);
  if (isWriting) writeFileSync(path, found);
  t.equal(found, readFileSync(path, 'utf8'), name);
}
type Tap = Pick<typeof t, 'equal'>;
