// Goal: whatever file a command is given, it ends soon, with 1, nothing on stdout, and on stderr the file's name and what is
// wrong with it as people say it; never with a stack or a code of the system's.
// Method: the command line in this process, over files that are missing, folders, endless, cut, deep, and of other kinds.

import { execFileSync, spawn } from 'node:child_process';
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { husk } from '../test-controller.ts';

const folder = mkdtempSync(join(tmpdir(), 'husk-file-faults-'));
t.teardown(() => rmSync(folder, { recursive: true }));
const file = (name: string, content: string | Uint8Array) => {
  writeFileSync(join(folder, name), content);
  return join(folder, name);
};
const policy = file(
  'policy.yaml',
  'apiVersion: husk/v1\nkind: PacketPolicy\nmetadata: { name: p }\nspec: { mode: enforce, zones: { wan: { interfaces: [wan0] } }, ingress: [], egress: [] }\n',
);
const commands = {
  check: (path: string) => ['policy', 'check', path],
  diff: (path: string) => ['policy', 'diff', policy, path],
  test: (path: string) => ['policy', 'test', path],
  simulate: (path: string) => ['policy', 'simulate', policy, '--pcap', path],
  iptables: (path: string) => ['import', 'iptables', path],
  nft: (path: string) => ['import', 'nft', path],
  list: (path: string) => ['import', 'list', path],
} as const;
mkdirSync(join(folder, 'a-folder'));
const files: Readonly<Record<string, readonly [path: string, says: RegExp]>> = {
  missing: [join(folder, 'missing'), /there is no such file/],
  'a folder': [join(folder, 'a-folder'), /is a folder, not a file/],
  'below a file': [join(policy, 'x'), /a part of its path is no folder/],
  'a device that never ends': ['/dev/zero', /is longer than \d+ bytes|not a capture file/],
  'not text': [file('binary', Uint8Array.of(0, 255, 254, 1)), /not text in UTF-8|not a capture file/],
  nested: [
    file('deep', '['.repeat(100_000)),
    /nested deeper|has no policy|is no line of|no address|not a capture/,
  ],
  'a packed file cut short': [
    file('cut.gz', Uint8Array.of(31, 139, 8, 0, 0)),
    /cannot be read|not a capture file|at byte 0/,
  ],
};

for (const [what, [path, says]] of Object.entries(files)) {
  t.test(what, async (t) => {
    for (const [name, words] of Object.entries(commands)) {
      const said = await husk(words(path));
      t.equal(said.code, 1, name);
      t.equal(said.out, '', `${name}: nothing on stdout`);
      t.match(said.err, says, name);
      t.ok(said.err.includes(path), `${name} names the file`);
      t.notMatch(said.err, /\b(ENOENT|EISDIR|ENOTDIR|EACCES)\b|\n {4}at /, `${name}: no code and no stack`);
    }
  });
}

t.test('a file that may not be read, and one that may not be written', async (t) => {
  if (process.getuid?.() !== 0) {
    const secret = file('secret', 'x');
    chmodSync(secret, 0);
    t.match((await husk(commands.check(secret))).err, /permission denied/);
  }
  const list = file('list.txt', '192.0.2.1\n');
  const said = await husk(['import', 'list', list, '-o', join(folder, 'missing', 'out.yaml')]);
  t.match(said, { code: 1, err: /out\.yaml: cannot be written: there is no such file or folder/ });
});

t.test('a pipe is read to its end', async (t) => {
  const pipe = join(folder, 'pipe');
  execFileSync('mkfifo', [pipe]);
  const writer = spawn('sh', ['-c', 'cat "$0" > "$1"', policy, pipe], { stdio: 'ignore' });
  t.teardown(() => writer.kill());
  t.match(await husk(commands.check(pipe)), { code: 0, out: /1 document without faults/ });
});

t.test('what is wrong with all of an import names its files', async (t) => {
  const one = file('empty-list.txt', '# nothing\n');
  t.match(await husk(commands.list(one)), { code: 1, err: /empty-list\.txt: there is no address in it/ });
});

t.test('an agent that is none', async (t) => {
  const words = ['policy', 'simulate', policy, '--pcap', file('frame.pcap', 'none'), '--kernel'];
  const named = await husk(words, { HUSK_AGENT: join(folder, 'a-folder') });
  t.match(named, { code: 1, err: /HUSK_AGENT is .*a-folder, which is no program/ });
  const none = await husk(words, { PATH: folder });
  t.match(none, { code: 1, err: /neither beside husk nor in PATH; say where it is: HUSK_AGENT=/ });
});
