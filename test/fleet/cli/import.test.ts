// Goal: husk import keeps the contracts of the command line: what goes to which stream, exit codes, JSON, files; and
// what it writes passes husk policy check.
// Method: commands run in this process on files of a folder of the test.

import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { husk } from '../test-controller.ts';

const folder = mkdtempSync(join(tmpdir(), 'husk-import-'));
t.teardown(() => rmSync(folder, { recursive: true }));
const file = (name: string, text: string) => {
  const path = join(folder, name);
  writeFileSync(path, text);
  return path;
};
const whole = file(
  'whole.v4',
  '*filter\n:INPUT DROP [0:0]\n-A INPUT -p tcp -m tcp --dport 22 -j ACCEPT\nCOMMIT\n',
);
const partly = file(
  'partly.v4',
  '*filter\n:INPUT DROP [0:0]\n-A INPUT -m ttl --ttl-lt 5 -j DROP\n-A INPUT -p tcp -m tcp --dport 22 -j ACCEPT\nCOMMIT\n',
);

t.test('the policy on stdout, what is not in it on stderr', async (t) => {
  const said = await husk(['import', 'iptables', partly, '--name', 'edge']);
  t.match(said, { code: 0, out: /^apiVersion: husk\/v1\nkind: PacketPolicy\nmetadata: \{ name: edge \}/ });
  t.match(said.err, /WIDER: .*partly\.v4:3: match -m ttl --ttl-lt 5 cannot be carried over/);
  t.match(said.err, /may pass: line 4: -A INPUT -p tcp/);
  const policy = file('stdout.yaml', said.out);
  t.match(await husk(['policy', 'check', policy]), { code: 0, out: '1 document without faults' });
});

t.test('--strict refuses what judges otherwise, and nothing else', async (t) => {
  const refused = await husk(['import', 'iptables', partly, '--strict']);
  t.match(refused, { code: 1, out: '' });
  t.match(refused.err, /--strict: no policy/);
  const out = join(folder, 'never.yaml');
  t.match(await husk(['import', 'iptables', partly, '--strict', '-o', out]), { code: 1 });
  t.notOk(existsSync(out), 'nothing is written');
  t.match(await husk(['import', 'iptables', whole, '--strict']), { code: 0, out: /input-l3/ });
});

t.test('--json has both', async (t) => {
  const { policy, notCarriedOver, judgesOtherwise } = JSON.parse(
    (await husk(['import', 'iptables', partly, '--json'])).out,
  );
  t.equal(policy[0].kind, 'PacketPolicy');
  t.equal(judgesOtherwise, true);
  t.match(
    notCarriedOver.find(({ line }: { line: number }) => line === 3),
    { effect: 'wider', text: '-A INPUT -m ttl --ttl-lt 5 -j DROP', mayPass: [/^line 4/] },
  );
  const strict = await husk(['import', 'iptables', partly, '--json', '--strict']);
  t.equal(strict.code, 1);
  t.equal(JSON.parse(strict.out).policy, null);
});

t.test('what is no ruleset is refused, and wrong usage is 2', async (t) => {
  t.match(await husk(['import', 'iptables', file('no.v4', 'hello\n')]), {
    code: 1,
    out: '',
    err: /no\.v4:1/,
  });
  t.match(await husk(['import', 'nft', file('no.json', '{}')]), { code: 1, out: '', err: /nftables/ });
  t.match(await husk(['import', 'nft', file('cut.json', '{"nftables":\n [{]}\n')]), {
    code: 1,
    err: /cut\.json:2:4: is not the JSON of "nft -j list ruleset"/,
  });
  t.match(await husk(['import', 'nft', join(folder, 'nowhere')]), {
    code: 1,
    out: '',
    err: /cannot be read/,
  });
  t.match(await husk(['import', 'list', file('no.list', '# nothing\n')]), { code: 1, out: '' });
  t.match(await husk(['import', 'iptables', whole, '--interfaces', 'a b']), { code: 2, out: '' });
  t.match(await husk(['import', 'iptables', whole, '--name', 'A B']), { code: 2, out: '' });
  t.match(await husk(['import', 'iptables']), { code: 2, out: '' });
});

t.test('a file that has nothing in it, or not all, is refused', async (t) => {
  const nothing = { code: 1, out: '', err: /there is no rule and no chain in it/ };
  t.match(await husk(['import', 'nft', file('nothing.json', '{"nftables": []}')]), nothing);
  const head = '{"nftables": [{"metainfo": {"version": "1.0.6", "json_schema_version": 1}}]}';
  t.match(await husk(['import', 'nft', file('head.json', head)]), nothing);
  t.match(await husk(['import', 'iptables', file('nothing.v4', '# Generated\n')]), nothing);
  const cut = file('cut.v4', '*filter\n:INPUT DROP [0:0]\n-A INPUT -p tcp -j ACCEPT\n');
  t.match(await husk(['import', 'iptables', cut]), { code: 1, out: '', err: /cut\.v4:3: .*COMMIT/ });
  const next = file('next.v4', '*filter\n:INPUT DROP [0:0]\n*nat\nCOMMIT\n');
  t.match(await husk(['import', 'iptables', next]), { code: 1, out: '', err: /next\.v4:3: .*COMMIT/ });
});

t.test('a file that no rule comes of is said to be one', async (t) => {
  const open = file('open.v4', '*filter\n:INPUT ACCEPT [0:0]\n:FORWARD ACCEPT [0:0]\nCOMMIT\n');
  t.match(await husk(['import', 'iptables', open]), { code: 0, err: /no rule comes of it: .* all pass/ });
  t.notMatch((await husk(['import', 'iptables', whole])).err, /no rule comes of it/);
});

t.test('rules of nft without handles are told by their place, and those of no chain are told', async (t) => {
  const head = { family: 'inet', table: 'f' };
  const listing = [
    { chain: { ...head, name: 'in', type: 'filter', hook: 'input', prio: 0, policy: 'drop' } },
    { rule: { ...head, chain: 'in', expr: [{ unheard: 1 }, { drop: null }] } },
    { rule: { ...head, chain: 'lost', expr: [{ drop: null }] } },
    { rule: { ...head, chain: 'in', expr: [{ accept: null }] } },
  ];
  const said = await husk(['import', 'nft', file('bare.json', JSON.stringify({ nftables: listing }))]);
  t.match(said, { code: 0, out: /in-r2/ });
  t.match(said.err, /inet f in rule 1: /);
  t.match(said.err, /WIDER: .*does not have the chain of it\n.*inet f lost rule 1: /);
  t.notMatch(`${said.out}${said.err}`, /undefined/);
});

t.test('what is read is not written over', async (t) => {
  const text = `# ours\n${Array.from({ length: 10_001 }, (_, at) => `10.0.${at >> 8}.${at & 255}`).join('\n')}\n`;
  const list = file('ours.txt', text);
  const out = join(folder, 'ours.yaml');
  t.match(await husk(['import', 'list', list, '--name', 'ours', '-o', out]), { code: 0 });
  t.equal(readFileSync(list, 'utf8'), text);
  t.match(readFileSync(out, 'utf8'), /file: ours\.addresses\.txt/);
  t.match(await husk(['policy', 'check', out]), { code: 0 });
  t.match(await husk(['import', 'list', list, '-o', list]), { code: 2, err: /is not written over/ });
  t.equal(readFileSync(list, 'utf8'), text);
});

t.test('a list may be as long as a set', async (t) => {
  const text = Array.from({ length: 300_000 }, (_, at) => `10.${at >> 16}.${(at >> 8) & 255}.${at & 255}\n`);
  const out = join(folder, 'longest.yaml');
  const said = await husk(['import', 'list', file('longest.txt', text.join('')), '-o', out]);
  t.match(said, { code: 0, err: /^0 not carried over/ });
  t.equal(readFileSync(join(folder, 'imported.txt'), 'utf8').split('\n').length, 300_001);
});

t.test('long lists stay in files of their own', async (t) => {
  const entries = Array.from(
    { length: 20_000 },
    (_, at) => `198.${18 + (at >> 16)}.${(at >> 8) & 255}.${at & 255}`,
  );
  const list = file('long.txt', `# long\n${entries.join('\n')}\n`);
  const out = join(folder, 'long.yaml');
  t.match(await husk(['import', 'list', list, '--name', 'long', '--drop', 'wan0', '-o', out]), {
    code: 0,
    out: '',
  });
  t.ok(readFileSync(out, 'utf8').length < 1000);
  t.match(await husk(['policy', 'check', out]), { code: 0, out: '2 documents without faults' });
  const named = await husk(['import', 'list', list, '--name', 'named']);
  t.match(named, { code: 0, out: new RegExp(`file: ${list}`) });
  t.match(await husk(['policy', 'check', file('named.yaml', named.out)]), { code: 0 });
});
