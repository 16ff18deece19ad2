// Goal: whether IPsec goes by policy alone is known, as it comes and goes, and nothing else is taken for it.
// Method: policies of every kind in a network namespace of their own, made by `ip xfrm`.

import { execFileSync, spawnSync } from 'node:child_process';
import t from 'tap';

const makesOne = [...'policy add src 10.1.0.0/16 dst 10.2.0.0/16 dir out'.split(' '), 'action', 'block'];
const skip =
  (process.getuid?.() !== 0 && 'needs root for a network namespace') ||
  (spawnSync('unshare', ['--net', 'ip', 'xfrm', ...makesOne]).status !== 0 &&
    'needs a kernel with IPsec policies');

const ask = `${process.execPath} -e "
  import('${new URL('../../native/index.ts', import.meta.url).pathname}')
    .then(({ addon }) => console.log(addon.ipsecByPolicy()))"`;

/** What is answered after each of these, all in one namespace. */
function answers(commands: readonly string[]): string[] {
  const script = commands.map((command) => `${command}\n${ask}`).join('\n');
  return execFileSync('unshare', ['--net', 'sh', '-ec', script], { encoding: 'utf8' }).trim().split('\n');
}

const policy = (direction: string, rest: string, number = 1) =>
  `ip xfrm policy add src 10.${number}.0.0/16 dst 10.250.0.0/16 dir ${direction} ${rest}`;
const template = 'tmpl src 192.0.2.1 dst 192.0.2.2 proto esp mode tunnel';

t.test('policies that transform, and have no interface', { skip }, async (t) => {
  t.strictSame(answers([':', policy('out', template), 'ip xfrm policy flush']), ['false', 'true', 'false']);
  t.strictSame(answers([policy('in', template)]), ['true']);
  t.strictSame(answers([policy('fwd', template)]), ['true']);
  t.strictSame(answers([policy('out', template.replaceAll('192.0.2.', '2001:db8::'))]), ['true']);
});

t.test('not those of an xfrm interface, and not those that block or only let pass', { skip }, async (t) => {
  const others = [
    policy('out', `${template} if_id 42`),
    policy('in', `${template} if_id 42`),
    policy('out', 'action block', 2),
    policy('out', '', 3),
  ];
  t.strictSame(answers([...others, policy('fwd', template, 4)]), [
    'false',
    'false',
    'false',
    'false',
    'true',
  ]);
});

t.test('one behind many', { skip }, async (t) => {
  const bound = `xfrm policy add src 10.1.$a.$b/32 dst 10.250.0.0/16 dir out ${template} if_id 42`;
  const many = `for a in $(seq 20); do for b in $(seq 100); do echo "${bound}"; done; done | ip -batch -`;
  t.strictSame(answers([many, policy('in', template)]), ['false', 'true']);
});
