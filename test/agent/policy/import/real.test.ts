// Goal: an imported policy judges as the ruleset did that it came from.
// Method: each ruleset of rulesets/real is loaded into the kernel of a router of its own (namespaces), by
// iptables-restore, ip6tables-restore, ipset and nft; hundreds of packets that are drawn from what it speaks of go
// through it, in, out and by; what got through is compared with the evaluator's verdict on the policy. Nothing of
// these rulesets may be left out. Seed printed; HUSK_SEED replays one.

import { spawnSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { checkDocuments } from '../../../../agent/policy/check.ts';
import { importIptables } from '../../../../agent/policy/import/iptables.ts';
import { importNft } from '../../../../agent/policy/import/nft.ts';
import { changesVerdicts, type Imported } from '../../../../agent/policy/import/report.ts';
import { Lab, labMissing } from '../../../lab/lab.ts';
import { compare } from './compare.ts';
import { poolsOf, randomWays } from './generate.ts';
import { randomIptables } from './generate-ruleset.ts';
import { interfaceOf, Router, sides } from './router.ts';

const seed = Number(process.env.HUSK_SEED ?? Math.floor(Math.random() * 0x7fffffff));
t.comment(`seed ${seed}`);
t.setTimeout(300_000);
const packetsPerRuleset = Number(process.env.HUSK_PACKETS ?? 500);

const generatedRulesets = Number(process.env.HUSK_RULESETS ?? 8);

const folder = join(import.meta.dirname, 'rulesets/real');
const missing =
  labMissing() ||
  ['iptables-restore', 'nft', 'ipset', 'python3']
    .map((name) => (spawnSync(name, ['--version']).error === undefined ? false : `needs the program ${name}`))
    .find((one) => one !== false) ||
  false;

if (missing !== false) {
  t.plan(0, missing);
} else {
  const lab = await Lab.open();
  t.teardown(() => lab.close());
  const names = [...new Set(readdirSync(folder).map((file) => file.replace(/\.[a-z0-9]+$/, '')))].filter(
    (name) => (process.env.HUSK_RULESET ?? name) === name,
  );
  for (const name of names) {
    t.test(`${name}: judged as the kernel judges`, async (t) => {
      const router = Router.open(lab, name);
      try {
        const { imported, families, text } = load(router, name);
        // To a broadcast address of a network of the router nothing is sent here.
        const others = imported.notCarriedOver.filter(
          ({ reason }) => !/^the broadcast addresses/.test(reason),
        );
        t.notOk(changesVerdicts(others), JSON.stringify(others.filter(({ effect }) => effect !== 'none')));
        t.strictSame(
          checkDocuments(imported.documents).filter(({ severity }) => severity === 'error'),
          [],
        );
        router.watch();
        const ways = randomWays(seed, packetsPerRuleset, families, poolsOf(text));
        const { passed, dropped } = await compare(t, router, imported.documents, ways);
        t.comment(`${passed} passed, ${dropped} dropped`);
        t.ok(passed > packetsPerRuleset / 50 && dropped > packetsPerRuleset / 50, 'both happened');
      } finally {
        router.close();
      }
    });
  }

  for (let count = 0; count < generatedRulesets; count++) {
    const own = (seed + count * 7919) >>> 0;
    t.test(`ruleset made from ${own}: judged as the kernel judges`, async (t) => {
      const router = Router.open(lab, `made-${count}`);
      const text = randomIptables(own);
      try {
        router.load('iptables-restore', [], text);
        const saved = router.run('iptables-save', []);
        const imported = importIptables([{ file: 'made', text: saved }], {
          interfaces: sides.map(interfaceOf),
        });
        const isExact = !changesVerdicts(imported.notCarriedOver);
        t.comment(
          isExact
            ? 'carried over whole'
            : JSON.stringify(imported.notCarriedOver.filter(({ effect }) => effect !== 'none')),
        );
        if (imported.notCarriedOver.some(({ effect }) => effect === 'wider' || effect === 'differs')) return;
        router.watch();
        const ways = randomWays(own, packetsPerRuleset, [4], { ...poolsOf(text), fragments: 'first' });
        await compare(t, router, imported.documents, ways, isExact ? 'same' : 'never wider');
      } catch (error) {
        t.comment(text);
        throw error;
      } finally {
        router.close();
      }
      if (!t.passing()) t.comment(text);
    });
  }
}

interface Loaded {
  readonly imported: Imported;
  readonly families: readonly (4 | 6)[];
  readonly text: string;
}

/** Into the kernel, and what the tools list of it into a policy. */
function load(router: Router, name: string): Loaded {
  const read = (end: string): string | null => {
    try {
      return readFileSync(join(folder, `${name}.${end}`), 'utf8');
    } catch {
      return null; // not every ruleset has all of them
    }
  };
  const [four, six, nft, sets] = [read('v4'), read('v6'), read('nft'), read('ipset')];
  const interfaces = sides.map(interfaceOf);
  if (nft !== null) {
    router.load('nft', ['-f'], nft);
    const listing = router.run('nft', ['-j', 'list', 'ruleset']);
    return {
      imported: importNft({ file: name, text: listing }, { interfaces }),
      families: [4, 6],
      text: nft,
    };
  }
  if (sets !== null) router.load('ipset', ['restore', '-file'], sets);
  if (four !== null) router.load('iptables-restore', [], four);
  if (six !== null) router.load('ip6tables-restore', [], six);
  const files = [
    ...(four === null ? [] : [{ file: `${name}.v4`, text: router.run('iptables-save', []) }]),
    ...(six === null ? [] : [{ file: `${name}.v6`, text: router.run('ip6tables-save', []) }]),
  ];
  const ipsets =
    sets === null ? {} : { ipsets: { file: `${name}.ipset`, text: router.run('ipset', ['save']) } };
  const families = [...(four === null ? [] : [4 as const]), ...(six === null ? [] : [6 as const])];
  return {
    imported: importIptables(files, { interfaces, ...ipsets }),
    families,
    text: `${four ?? ''}\n${six ?? ''}\n${sets ?? ''}`,
  };
}
