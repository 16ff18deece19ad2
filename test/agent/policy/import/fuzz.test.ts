// Goal: no text makes a reader do anything but return or throw an ImportError, and that in bounded time; what is
// returned passes the check of policies.
// Method: right texts with pieces taken out, put in and doubled; any text; JSON values one step away from a right
// listing; texts made to be expensive. Seed printed; HUSK_SEED replays one.

import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import t from 'tap';
import { checkDocuments } from '../../../../agent/policy/check.ts';
import { importIptables } from '../../../../agent/policy/import/iptables.ts';
import { importList } from '../../../../agent/policy/import/list.ts';
import { importNft } from '../../../../agent/policy/import/nft.ts';
import { ImportError, type Imported } from '../../../../agent/policy/import/report.ts';
import { parseDocuments } from '../../../../agent/policy/parse.ts';

const seed = Number(process.env.HUSK_SEED ?? Math.floor(Math.random() * 0x7fffffff));
t.comment(`seed ${seed}`);
t.setTimeout(300_000);
const runs = (numRuns: number) => ({ seed, numRuns, endOnFailure: true });
const folder = join(import.meta.dirname, 'rulesets');
const textsOf = (end: string) =>
  readdirSync(folder)
    .filter((file) => file.endsWith(end))
    .map((file) => readFileSync(join(folder, file), 'utf8'));

/** Whether there were documents; they have to be right. */
function tried(read: () => Imported): boolean {
  try {
    const { documents } = read();
    const { faults } = parseDocuments(structuredClone(documents) as unknown as unknown[]);
    const wrong = [...faults, ...checkDocuments(documents)].filter(({ severity }) => severity === 'error');
    if (wrong.length > 0) throw new Error(`not faultless: ${JSON.stringify(wrong[0])}`);
    return true;
  } catch (error) {
    if (error instanceof ImportError) return false;
    throw error;
  }
}

/** Cuts, puts and doubles, at places that scale with the text. */
const edits = (pieces: readonly string[]) =>
  fc.array(
    fc.record({
      at: fc.nat(100_000),
      cut: fc.constantFrom(0, 0, 1, 3, 12),
      put: fc.oneof(fc.constantFrom(...pieces), fc.string({ maxLength: 3 })),
    }),
    { minLength: 1, maxLength: 4 },
  );
const edited = (text: string, list: readonly { at: number; cut: number; put: string }[]) =>
  list.reduce((all, { at, cut, put }) => {
    const from = at % (all.length + 1);
    return all.slice(0, from) + put + all.slice(from + cut);
  }, text);

const words =
  ' ! |-|"|\'|\\|\n|,|:|/|*|+|lo|0|65536|-1|-j ACCEPT|-g |-m set --match-set x src |-p tcp |! -p udp |--dport |-i eth+ |--ctstate NEW |-m limit --limit 1/s |[0:0]|*nat\n|COMMIT\n|:X - [0:0]\n|-j X|RETURN|255.0.255.0|::|10.0.0.1'.split(
    '|',
  );

t.test('rulesets of iptables, changed here and there', async (t) => {
  const texts = textsOf('.v4');
  let carried = 0;
  fc.assert(
    fc.property(fc.constantFrom(...texts), edits(words), (text, list) => {
      if (tried(() => importIptables([{ file: 'f', text: edited(text, list) }]))) carried++;
    }),
    runs(700),
  );
  t.comment(`${carried} of 700 imported`);
  t.ok(carried > 50 && carried < 700);
});

t.test('listings of nft, changed here and there', async (t) => {
  const texts = textsOf('.json');
  const pieces = [
    '{',
    '}',
    '[',
    ']',
    '"',
    ',',
    ':',
    'null',
    '0',
    '-1',
    '1e99',
    '"@x"',
    '{"set":[]}',
    '"__proto__"',
    '\\u0000',
    'true',
  ];
  const odd: fc.Arbitrary<unknown> = fc.oneof(
    fc.anything({ maxDepth: 2 }),
    fc.constantFrom<unknown>(
      ...[
        null,
        [],
        {},
        '',
        '@x',
        '*',
        'lo',
        -1,
        70000,
        'accept',
        { set: [] },
        { range: [1] },
        { range: [9, 1] },
        { prefix: {} },
      ],
      ...[
        { concat: [] },
        { '&': [] },
        { '|': ['x'] },
        { elem: {} },
        { accept: null },
        { jump: { target: 'input' } },
        { jump: {} },
      ],
      { payload: { protocol: '__proto__', field: 'x' } },
    ),
  );
  let carried = 0;
  fc.assert(
    fc.property(fc.constantFrom(...texts), edits(pieces), (text, list) => {
      if (tried(() => importNft({ file: 'f', text: edited(text, list) }))) carried++;
    }),
    runs(300),
  );
  fc.assert(
    fc.property(fc.constantFrom(...texts), fc.nat(1e6), odd, (text, place, value) => {
      const listing = JSON.parse(text);
      const places: [Record<string, unknown>, string][] = [];
      const collect = (at: unknown): void => {
        if (typeof at !== 'object' || at === null) return;
        for (const key of Object.keys(at)) {
          places.push([at as Record<string, unknown>, key]);
          collect((at as Record<string, unknown>)[key]);
        }
      };
      collect(listing);
      const [holder, key] = places[place % places.length] ?? [listing, 'nftables'];
      holder[key] = value;
      const changed = JSON.stringify(listing);
      if (tried(() => importNft({ file: 'f', text: changed }))) carried++;
    }),
    runs(700),
  );
  t.comment(`${carried} of 1000 imported`);
  t.ok(carried > 200);
});

t.test('any text', async () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary', maxLength: 200 }), (text) => {
      const file = { file: 'f', text };
      tried(() => importIptables([file]));
      tried(() =>
        importIptables([{ file: 'f', text: '*filter\n:INPUT DROP [0:0]\nCOMMIT\n' }], { ipsets: file }),
      );
      tried(() => importNft(file));
      tried(() => importList([file], { name: 'n', drop: ['eth0'] }));
    }),
    runs(700),
  );
});

t.test('chains that would take for ever are refused, or left out, in time', async (t) => {
  const chains = Array.from({ length: 40 }, (_, index) => index);
  const texts: Readonly<Record<string, string>> = {
    'a chain that calls itself': '*filter\n:INPUT DROP [0:0]\n:x - [0:0]\n-A INPUT -j x\n-A x -j x\nCOMMIT\n',
    'two calls of the next chain, forty times': `*filter\n:INPUT DROP [0:0]\n-A INPUT -j c0\n${chains
      .map(
        (at) =>
          `:c${at} - [0:0]\n-A c${at} -p tcp -j c${at + 1}\n-A c${at} -p udp -j c${at + 1}\n-A c${at} -s 10.0.0.${at} -j c${at + 1}\n`,
      )
      .join('')}:c40 - [0:0]\n-A c40 -j ACCEPT\nCOMMIT\n`,
    'returns that cut the rest to pieces': `*filter\n:INPUT DROP [0:0]\n:x - [0:0]\n-A INPUT -j x\n${chains
      .map(
        (at) =>
          `-A x -s 10.${at}.0.0/16 -d 10.0.${at}.0/24 -p tcp -m tcp --sport ${at} --dport ${at} -j RETURN\n`,
      )
      .join('')}-A x -j ACCEPT\nCOMMIT\n`,
    'many rules': `*filter\n:INPUT DROP [0:0]\n${Array.from({ length: 20_000 }, (_, at) => `-A INPUT -s 10.${at >> 8}.${at & 255}.1/32 -j ACCEPT\n`).join('')}COMMIT\n`,
    'one long line': `*filter\n:INPUT DROP [0:0]\n-A INPUT ${'-m comment --comment x '.repeat(100_000)}-j ACCEPT\nCOMMIT\n`,
    'spaces and quotes': `*filter\n-A INPUT ${'"\\'.repeat(500_000)}`,
  };
  for (const [what, text] of Object.entries(texts)) {
    const start = performance.now();
    tried(() => importIptables([{ file: 'f', text }]));
    const ms = performance.now() - start;
    t.comment(`${what}: ${Math.round(ms)} ms`);
    t.ok(ms < 20_000, what);
  }
});
