// Goal: the addon is found where it may be: beside the executable, inside it, or in the checkout; it can be
// loaded by several workers; and it leaves no file behind.
// Method: executables made here of node and a short script, as pkg makes ours; workers; folders made
// unusable on purpose.

import { execFileSync } from 'node:child_process';
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { Worker } from 'node:worker_threads';
import { buildSync } from 'esbuild';
import t, { type Test } from 'tap';
import { addon } from '../../native/index.ts';
import { loadTestObject, root } from './kernel.ts';

const addonPath = join(root, 'build/native/husk.node');

t.test('in the checkout', async (t) => {
  t.match(addon.libbpfVersion, /^v1\.\d+$/);
});

t.test('workers load it as well, each with classes of its own', async (t) => {
  const source = `
    import { parentPort } from 'node:worker_threads';
    import { addon } from ${JSON.stringify(pathToFileURL(join(root, 'native/index.ts')).href)};
    const map = addon.createMap({ name: 'worker', type: 1, keySize: 4, valueSize: 4, maxEntries: 1, flags: 0 });
    addon.update(map, new Uint8Array(4), new Uint8Array(4));
    parentPort.postMessage(addon.mapInfo(map).name);
  `;
  const answers = await Promise.all(
    Array.from({ length: 3 }, () => {
      const worker = new Worker(new URL(`data:text/javascript,${encodeURIComponent(source)}`));
      const exited = new Promise<number>((done) => worker.once('exit', done));
      return new Promise<string>((done, fail) => {
        worker.once('error', fail);
        worker.once('message', (name: string) => exited.then((code) => done(`${name} ${code}`)));
      });
    }),
  );
  t.strictSame(answers, ['worker 0', 'worker 0', 'worker 0']);
  t.ok(addon.possibleCpus() > 0, 'and goes on here');
});

t.test('a worker that ends with rings open and work under way ends in order', async (t) => {
  const ringMapId = addon.mapInfo(loadTestObject(t, 'hooks').map('first_ring')).id;
  const source = `
    import { parentPort } from 'node:worker_threads';
    import { addon } from ${JSON.stringify(pathToFileURL(join(root, 'native/index.ts')).href)};
    const ring = addon.openRing([addon.openMapById(${ringMapId})], { flushMs: 1 }, () => {});
    const map = addon.createMap({ name: 'worker', type: 1, keySize: 4, valueSize: 4, maxEntries: 100000, flags: 0 });
    addon.writeAll(map, new Uint8Array(new Uint32Array(Array(100000).keys()).buffer), new Uint8Array(400000));
    parentPort.postMessage('open');
  `;
  for (let i = 0; i < 10; i++) {
    const worker = new Worker(new URL(`data:text/javascript,${encodeURIComponent(source)}`));
    await new Promise((done, fail) => worker.once('message', done).once('error', fail));
    t.equal(await worker.terminate(), 1);
  }
});

interface Executable {
  readonly folder: string;
  run(env: Record<string, string>): { status: number; said: string };
}

/** An executable that loads the addon and says which libbpf it has and where its name was. */
function makeExecutable(t: Test): Executable {
  const folder = mkdtempSync(join(tmpdir(), 'husk-native-load-'));
  t.teardown(() => rmSync(folder, { recursive: true }));
  const at = (name: string): string => join(folder, name);
  buildSync({
    stdin: {
      contents: `import { addon } from './native/index.ts';
        import { readFileSync } from 'node:fs';
        const mapped = readFileSync('/proc/self/maps', 'utf8').match(/\\S*husk\\.node.*/)?.[0];
        console.log(addon.libbpfVersion + ' ' + mapped);`,
      resolveDir: root,
    },
    bundle: true,
    platform: 'node',
    format: 'cjs',
    outfile: at('main.cjs'),
    logOverride: { 'empty-import-meta': 'silent' },
  });
  const config = {
    main: at('main.cjs'),
    output: at('blob'),
    disableExperimentalSEAWarning: true,
    assets: { 'husk.node': addonPath },
  };
  writeFileSync(at('config.json'), JSON.stringify(config));
  execFileSync(process.execPath, ['--experimental-sea-config', at('config.json')], { stdio: 'ignore' });
  mkdirSync(at('bin'));
  copyFileSync(process.execPath, at('bin/program'));
  execFileSync(
    join(root, 'node_modules/.bin/postject'),
    [
      at('bin/program'),
      'NODE_SEA_BLOB',
      at('blob'),
      '--sentinel-fuse',
      'NODE_SEA_FUSE_fce680ab2cc467b6e072b8b5df1996b2',
    ],
    { stdio: 'ignore' },
  );
  return {
    folder,
    run(env) {
      try {
        return {
          status: 0,
          said: execFileSync(at('bin/program'), {
            encoding: 'utf8',
            env: { ...process.env, ...env },
            stdio: 'pipe',
          }).trim(),
        };
      } catch (error) {
        const failure = error as { status: number; stderr: string };
        return { status: failure.status, said: failure.stderr };
      }
    },
  };
}

t.test('inside an executable', async (t) => {
  const executable = makeExecutable(t);
  const leftovers = (folder: string): string[] =>
    readdirSync(folder).filter((name) => /^husk-.{6}$/.test(name));
  const before = [...leftovers('/run'), ...leftovers(tmpdir())];

  t.match(executable.run({}), { status: 0, said: /^v1\.\d+ \S*\/husk-\w+\/husk\.node \(deleted\)$/ });
  t.strictSame([...leftovers('/run'), ...leftovers(tmpdir())], before, 'the file is gone at once');

  copyFileSync(addonPath, join(executable.folder, 'bin/husk.node'));
  t.match(
    executable.run({}),
    { status: 0, said: new RegExp(`^v1\\.\\d+ ${executable.folder}/bin/husk\\.node$`) },
    'a file beside it goes first',
  );

  writeFileSync(join(executable.folder, 'bin/husk.node'), 'no library');
  t.match(
    executable.run({}),
    { status: 1, said: /invalid ELF header|file too short/ },
    'and is not passed over',
  );
  rmSync(join(executable.folder, 'bin/husk.node'));

  await t.test('where the first folder may not run programs, the next is taken', async (t) => {
    const script = `mount -t tmpfs -o noexec none /run && exec ${join(executable.folder, 'bin/program')}`;
    const said = execFileSync('unshare', ['--mount', 'sh', '-c', script], {
      encoding: 'utf8',
      env: { ...process.env, TMPDIR: executable.folder },
    });
    t.match(said, new RegExp(`${executable.folder}/husk-\\w+/husk\\.node`));
    t.notOk(existsSync(join(executable.folder, 'husk.node')));
  });

  await t.test('where no folder will do, each is named with its reason', async (t) => {
    const script = `
      mount -t tmpfs -o noexec none /run && mount -t tmpfs -o noexec none /mnt &&
      exec env TMPDIR=/mnt STATE_DIRECTORY=/nonexistent ${join(executable.folder, 'bin/program')}`;
    const failure = t.throws(() =>
      execFileSync('unshare', ['--mount', 'sh', '-c', script], { encoding: 'utf8', stdio: 'pipe' }),
    );
    t.match(
      String((failure as { stderr?: string }).stderr),
      /could not be opened from any of \/run, \/mnt, \/nonexistent/,
    );
    t.match(String((failure as { stderr?: string }).stderr), /failed to map segment/);
  });
});
