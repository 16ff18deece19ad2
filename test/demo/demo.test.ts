// Goal: somebody who stops the demo half way, or asks it wrongly, is left with a machine as it was and a shell
// that knows.
// Method: the demo is started as its own process, stopped by SIGINT in the middle of its scenes, and what is
// left of namespaces, mounts, cgroups and programs is looked for by the name of that run.

import { spawn } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { executablesMissing } from '../lab/executables.ts';
import { labMissing } from '../lab/lab.ts';
import { ask } from '../lab/system.ts';
import { Account } from './account.ts';

const skip = labMissing() || executablesMissing();
const demo = join(import.meta.dirname, 'demo.ts');

t.test('an account holds when all of its claims do', async (t) => {
  let text = '';
  const account = new Account((part) => {
    text += part;
  }, false);
  t.notOk(account.holds, 'nothing claimed is nothing shown');
  account.scene('one');
  account.claim(true, 'yes');
  account.count('number', { is: 3, wanted: 3 }, 'three');
  t.ok(account.holds);
  account.count('other', { is: 2, wanted: 3 }, 'three again');
  t.notOk(account.holds);
  account.end(1);
  t.match(text, /NOT SO: three again \(it was 2, wanted 3\)/);
  t.match(text, /2 of 3 claims held/);
  t.notMatch(text, '\u001b', 'without colour where there is no terminal');
  t.match(account.json(), { holds: false, numbers: { number: 3, other: 2 } });
});

t.test('asked wrongly, it says how', async (t) => {
  const help = await ask(process.execPath, [demo, '--help']);
  t.equal(help.code, 0);
  t.match(help.out, /usage: .*--keep/);
  const wrong = await ask(process.execPath, [demo, '--colour']);
  t.equal(wrong.code, 2);
  t.match(wrong.complaint, /--colour.*usage/s);
});

t.test('stopped half way, it leaves nothing behind', { skip, timeout: 100_000 }, async (t) => {
  const child = spawn(process.execPath, [demo], { stdio: ['ignore', 'pipe', 'inherit'] });
  const own = () => leftBy(child.pid ?? 0);
  t.teardown(() => child.kill('SIGKILL'));
  const ended = new Promise<number | null>((resolve) => child.once('exit', resolve));
  let text = '';
  await new Promise<void>((resolve) => {
    child.stdout.on('data', (part) => {
      text += String(part);
      if (/^3 {2}A policy/m.test(text)) resolve();
    });
    child.once('exit', () => resolve());
  });
  t.ok(own().length >= 5, 'three namespaces, a folder and a cgroup are there');
  child.kill('SIGINT');
  t.equal(await ended, 130);
  t.same(own(), [], 'and gone');
  t.notMatch(readFileSync('/proc/self/mountinfo', 'utf8'), `husk-lab-${child.pid}-`, 'mounts too');
});

function leftBy(pid: number): string[] {
  const mounts = readFileSync('/proc/self/mountinfo', 'utf8').trimEnd().split('\n');
  const cgroups = mounts.filter((row) => row.includes(' - cgroup2 ')).map((row) => row.split(' ')[4] ?? '');
  return ['/run/netns', tmpdir(), ...cgroups].filter(existsSync).flatMap((folder) =>
    readdirSync(folder)
      .filter((name) => name.startsWith(`husk-lab-${pid}-`))
      .map((name) => join(folder, name)),
  );
}
