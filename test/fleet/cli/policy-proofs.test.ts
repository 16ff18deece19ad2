// Goal: what proofs say reaches the person who types: differences in words and as JSON, expectations with their line, the
// controller's way out as a warning, and none of it published.
// Method: commands run in this process on small files; examples are judged again by the evaluator from their frames.

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { plainDevice } from '../../../agent/policy/device-view.ts';
import { evaluatePacket } from '../../../agent/policy/evaluate.ts';
import { readDocuments } from '../../../agent/policy/read.ts';
import { husk, TestController } from '../test-controller.ts';

const folder = mkdtempSync(join(tmpdir(), 'husk-proofs-'));
t.teardown(() => rmSync(folder, { recursive: true }));

interface Parts {
  readonly rules?: string;
  readonly egress?: string;
  readonly more?: string;
}

const text = ({ rules = '', egress = '[]', more = '' }: Parts) => `apiVersion: husk/v1
kind: PacketPolicy
metadata: { name: branch }
spec:
  mode: enforce
  zones: { wan: { interfaces: [wan0] } }
  ingress:
    - zone: wan
      default: drop
      rules:
        - { id: dns, protocol: udp, ports: { from: 53 }, action: allow }
${rules}
  egress: ${egress}
${more}
`;

function file(name: string, parts: Parts): string {
  const path = join(folder, `${name}.yaml`);
  writeFileSync(path, text(parts));
  return path;
}

const ssh = '        - { id: ssh, from: 192.0.2.0/24, protocol: tcp, ports: { to: 22 }, action: allow }';
const web = '        - { id: web, protocol: tcp, ports: { to: 443 }, action: allow }';
const offline = '[{ zone: wan, default: drop, rules: [] }]';
const before = file('before', { rules: ssh });
const after = file('after', { rules: `${web}\n${ssh.replace('action: allow', 'action: drop')}` });

t.test('diff', async (t) => {
  const said = await husk(['policy', 'diff', before, after]);
  t.match(said, { code: 0, err: '' });
  t.strictSame(
    said.out.split('\n').filter((line) => !line.startsWith('    such as')),
    [
      'zone branch/wan, ingress: drop → allow',
      '  tcp to port 443',
      '    default branch/wan:default-ingress (drop) → rule branch/web (allow)',
      'zone branch/wan, ingress: allow → drop',
      '  tcp from 192.0.2.0/24 to port 22',
      '    rule branch/ssh (allow) → rule branch/ssh (drop)',
      '1 rule added (branch/web), 0 rules removed, 1 rule written otherwise (branch/ssh)',
    ],
  );
  t.match(said.out, /such as tcp 192\.0\.2\.7:49152 → 192\.0\.2\.1:22, syn, state new, in by wan0/);
  const same = await husk(['policy', 'diff', before, before, '--exit-code']);
  t.match(same, { code: 0, err: '' });
  t.match(same.out, /^no packet is decided otherwise/);
  t.match(await husk(['policy', 'diff', before, after, '--exit-code']), {
    code: 1,
    err: 'the policies differ',
  });
  t.match(await husk(['policy', 'diff', before, join(folder, 'none.yaml')]), {
    code: 1,
    err: /cannot be read/,
    out: '',
  });
  t.match(await husk(['policy', 'diff', before]), { code: 2, out: '' });
});

t.test('a difference speaks of what it does not compare', async (t) => {
  const expect = '  expect: [{ id: no-telnet, zone: wan, protocol: tcp, ports: { to: 23 }, verdict: drop }]';
  const calls = (action: string) => `---
apiVersion: husk/v1
kind: HardeningPolicy
metadata: { name: gateway }
spec: { mode: enforce, subject: { cgroup: d }, rules: [{ id: out, connect: { ports: 25 }, action: ${action} }] }`;
  const strict = file('strict', { more: `${expect}\n${calls('deny')}` });
  const weak = file('weak', { more: calls('allow') });
  const said = await husk(['policy', 'diff', strict, weak, '--exit-code']);
  t.equal(said.code, 1, said.err);
  t.match(said.out, /^no packet is decided otherwise$/m);
  t.match(said.out, /^branch: expectation "no-telnet" removed, not compared$/m);
  t.match(said.out, /^hardening policy gateway written otherwise, not compared$/m);
  t.match(await husk(['policy', 'diff', strict, strict, '--exit-code']), { code: 0, err: '' });
});

t.test('too many classes are said to be, with what may be done', async (t) => {
  // Ranges in four fields that all overlap.
  const rules = Array.from({ length: 400 }, (_, at) => {
    const first = (at * 7919) % 30_000;
    const host = (at * 104_729) % 200;
    const conditions = `protocol: tcp, from: 10.${host}.0.0-10.${host + 40}.9.9, to: 10.${host}.1.1-10.${host + 50}.3.3`;
    return `        - { id: r${at}, ${conditions}, ports: { from: ${first}-${first + 20_000}, to: ${30_000 - first}-${60_000 - first} }, action: ${at % 2 === 0 ? 'drop' : 'allow'} }`;
  });
  const one = file('many', { rules: rules.join('\n') });
  const said = await husk(['policy', 'diff', one, before]);
  t.equal(said.code, 1);
  t.match(said.err, /more classes than can be gone through .*; --thorough goes on for minutes/);
});

t.test('diff as JSON, with frames that are judged as it says', async (t) => {
  const said = await husk(['policy', 'diff', before, after, '--json']);
  const { differences, rules } = JSON.parse(said.out);
  t.match(rules, { added: ['branch/web'], removed: [], changed: ['branch/ssh'] });
  t.equal(differences.length, 2);
  const documents = [before, after].map(
    (path, at) =>
      readDocuments(
        text({ rules: at === 0 ? ssh : `${web}\n${ssh.replace('action: allow', 'action: drop')}` }),
        path,
      ).documents,
  );
  for (const one of differences) {
    const { frame, interface: name } = one.example;
    const at = {
      interface: name,
      direction: one.direction,
      frame: Uint8Array.from(Buffer.from(frame, 'hex')),
    };
    const [was, is] = documents.map((all) => evaluatePacket(all, at, plainDevice([name])));
    t.match(was, { verdict: one.before.stages[0].verdict, rule: one.before.stages[0].rule });
    t.match(is, { verdict: one.after.stages[0].verdict, rule: one.after.stages[0].rule });
  }
  t.strictSame(differences[1].packets[0].fields, {
    protocol: ['tcp'],
    from: ['192.0.2.0/24'],
    'ports.to': ['22'],
  });
});

t.test('an expectation that does not hold is an error at its line, with a packet', async (t) => {
  const more = [
    '  expect:',
    '    - { id: no-ssh-from-outside, zone: wan, protocol: tcp, ports: { to: 22 }, from: { not: 192.0.2.0/24 }, verdict: drop }',
    '    - { id: no-telnet, zone: wan, protocol: tcp, ports: { to: 23 }, verdict: drop }',
    '  admins:',
    '    - { zone: wan, from: 192.0.2.0/24, ports: 22 }',
  ].join('\n');
  const good = file('good', { rules: ssh, more });
  const held = await husk(['policy', 'check', good]);
  t.match(held, { code: 0, err: '' });
  t.match(held.out, /3 expectations proven over every packet/);
  const bad = file('bad', {
    rules: ssh.replace('from: 192.0.2.0/24, ', '').replace('to: 22', 'to: 20-22'),
    more,
  });
  const said = await husk(['policy', 'check', bad]);
  t.match(said, { code: 1, out: '' });
  t.match(
    said.err,
    /bad\.yaml:15:7: spec\.expect\[0\]: expectation "no-ssh-from-outside" does not hold: tcp \S+ → \S+:22, .* in by wan0 is allowed by rule branch\/ssh\n1 fault/,
  );
  const json = JSON.parse((await husk(['policy', 'check', bad, '--json'])).out);
  t.match(json, {
    isFaultless: false,
    proofs: [
      { id: 'no-ssh-from-outside', result: 'refuted', counterexample: { by: { rule: 'branch/ssh' } } },
      { result: 'proven' },
      { kind: 'admins', result: 'proven' },
      { kind: 'controller', result: 'proven' },
      { kind: 'dns' },
    ],
  });
  const limited = file('limited', {
    rules: ssh.replace('action: allow', 'action: allow, limit: { rate: 10/m }'),
    more,
  });
  t.match(
    (await husk(['policy', 'check', limited])).out,
    /admins of wan: within the limits of branch\/ssh \(10\/m, per rule\)/,
  );
});

t.test('what is proven to be dropped may still come in where headers cannot be read', async (t) => {
  const expect = '  expect: [{ id: no-telnet, zone: wan, protocol: tcp, ports: { to: 23 }, verdict: drop }]';
  const open = file('open', { more: `  unparseable: allow\n${expect}` });
  const said = await husk(['policy', 'check', open]);
  t.equal(said.code, 0, said.err);
  t.match(said.out + said.err, /no-telnet" holds for packets whose headers can be read; unparseable: allow/);
  const shut = await husk(['policy', 'check', file('shut', { more: expect })]);
  t.notMatch(shut.out + shut.err, /headers can be read/);
});

t.test('a controller that is cut off is warned of, with the rule', async (t) => {
  const cut = file('cut', { egress: offline });
  const said = await husk([
    'policy',
    'check',
    cut,
    '--data',
    folder,
    '--controller',
    '192.0.2.10:8883,[2001:db8::10]:8883',
  ]);
  t.equal(said.code, 0, 'no refusal');
  t.match(
    said.err,
    /warning: the device cannot reach its controller at 192\.0\.2\.10, tcp port 8883: tcp \S+ → 192\.0\.2\.10:8883, syn, .* is dropped by the default branch\/wan:default-egress/,
  );
  t.match(said.err, /controller at 2001:db8::10/);
  t.match(said.err, /cannot reach its resolver/);
  writeFileSync(
    join(folder, 'config.json'),
    JSON.stringify({ v: 1, tenant: 'acme', names: ['192.0.2.77', 'localhost'] }),
  );
  t.match(
    (await husk(['policy', 'check', cut], { HUSK_DATA: folder })).err,
    /controller at 192\.0\.2\.77/,
    'of the data folder',
  );
  const let1 = '[{ zone: wan, default: drop, rules: [{ id: up, origin: device, action: allow }] }]';
  const free = await husk(['policy', 'check', file('let', { egress: let1 })]);
  t.match(free, { code: 0, err: '' });
  t.notMatch(free.out, /within the limits/);
  const rare = let1.replace('action: allow', 'action: allow, limit: { rate: 1/d, burst: 1 }');
  const { out } = await husk(['policy', 'check', file('rare', { egress: rare })]);
  t.match(
    out,
    /^the device reaches its controller at any address, tcp port 8883 within the limits of branch\/up \(1\/d, .*\) alone$/m,
  );
  t.match(await husk(['policy', 'check', cut, '--controller', 'nowhere']), { code: 2, out: '' });
});

t.test('a controller to which a connection opens and does not go on is warned of', async (t) => {
  const asked = async (name: string, rules: string) => {
    const egress = `[{ zone: wan, default: drop, rules: [${rules}] }]`;
    return await husk(['policy', 'check', file(name, { egress }), '--controller', '192.0.2.10:8883']);
  };
  const opens = '{ id: up, protocol: tcp, state: new, action: allow }';
  const dns = '{ id: ask, protocol: udp, ports: { to: 53 }, action: allow }';
  t.match(
    (await asked('opens', `${opens}, ${dns}`)).err,
    /cannot reach its controller at 192\.0\.2\.10, tcp port 8883: .*, ack, state established, .* is dropped by the default/,
  );
  const data = '{ id: data, protocol: tcp, tcpFlags: { set: [psh] }, action: drop }';
  const all = '{ id: up, protocol: tcp, action: allow }';
  t.match(
    (await asked('silent', `${data}, ${all}, ${dns}`)).err,
    /may not reach its controller .* psh\+ack, .* is dropped by rule branch\/data/,
  );
  const onward = opens.replace('new', '[new, established]');
  t.match(await asked('onward', `${onward}, ${dns}`), { code: 0, err: '' });
});

t.test('a controller that is cut off when an addition ends is warned of', async (t) => {
  const asked = async (name: string, until: string) => {
    const set = `---
apiVersion: husk/v1
kind: AddressSet
metadata: { name: up }
spec: { addresses: [203.0.113.1], additions: [{ address: 192.0.2.10${until} }] }`;
    const egress = `
    - { zone: wan, default: drop, rules: [{ id: up, to: { set: up }, origin: device, action: allow }] }`;
    const more = `  sets: { up: { addressSet: up } }\n${set}`;
    const path = file(name, { egress, more });
    return await husk(['policy', 'check', path, '--controller', '192.0.2.10:8883']);
  };
  const said = await asked('ends', ', until: "2030-01-01T00:00:00Z"');
  t.equal(said.code, 0, said.err);
  t.match(
    said.err,
    /warning: once the additions that have an end have ended, the device cannot reach its controller at 192\.0\.2\.10/,
  );
  t.notMatch(await asked('stays', ''), { err: /controller/ });
});

t.test('rules that nothing comes to', async (t) => {
  const covered = file('covered', {
    rules: ['low: 0-1023', 'high: 1024-65535', 'both: 80-8080']
      .map(
        (one) =>
          `        - { id: ${one.split(':')[0]}, protocol: tcp, ports: { to: ${one.split(': ')[1]} }, action: drop }`,
      )
      .join('\n'),
  });
  const said = await husk(['policy', 'check', covered]);
  t.match(said, {
    code: 0,
    err: /rule "both" can never match: "low", "high" above together take every packet it is about/,
  });
  const part = file('part', {
    rules: `${web.replace('action: allow', 'action: drop')}\n        - { id: all, protocol: tcp, action: allow }`,
  });
  t.equal(
    (await husk(['policy', 'check', part])).err,
    '',
    'an exception before a rule is how rules are written',
  );
  t.match(
    (await husk(['policy', 'check', part, '--shadows'])).err,
    /rule "all" does not get all packets it is about: "web" above decides some of them otherwise/,
  );
});

t.test('what does not hold is not published', async (t) => {
  const fleet = new TestController(t);
  await fleet.start();
  const more = '  expect:\n    - { id: closed, zone: wan, verdict: drop }';
  const said = await fleet.cli('policy', 'publish', file('open', { rules: web, more }), '--all');
  t.match(said, { code: 1, err: /expectation "closed" does not hold: .*\nnot published: 1 fault/, out: '' });
});
