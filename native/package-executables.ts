// Makes one of the two executables out of its bundle: node itself, stripped, with the script and its assets
// inside (a "single executable application").
//
//   node native/package-executables.ts husk-agent|husk
//
// pkg does it, by its own function, since its command line takes neither assets nor node's options. It wants
// a node from a cache below HOME, which it would fill from the network. So HOME is a folder of the
// project's, filled beforehand with the node that npm brought. pkg then skips its own check of that file,
// and so we check it here, against the hash below.

import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join, resolve } from 'node:path';

interface Executable {
  readonly bundle: string;
  readonly assets: Readonly<Record<string, string>>;
  /** node's own options, baked in: NODE_OPTIONS and the command line can't change them. */
  readonly execArgv: readonly string[];
}

/** pkg's function, unversioned and internal: the reason for pkg's exact version in package.json. */
interface Packager {
  default(entry: string, options: unknown): Promise<void>;
}

const root = resolve(import.meta.dirname, '..');
const require = createRequire(import.meta.url);

/** SHA-256 of `bin/node` in the npm packages `node-linux-*`; of the version in package.json. */
const nodeHashes: Readonly<Record<string, string>> = {
  'linux-x64 24.21.0': '7fde7b8afa198da66257f42ee2001d874c7355631e6d1579a5fb5ef1f246df4c',
};

function agentAssets(): Record<string, string> {
  const folder = join(root, 'build/bpf');
  // layout.bpf.o only tells the generator of layout.gen.ts the ABI.
  const objects = readdirSync(folder).filter((name) => name.endsWith('.bpf.o') && name !== 'layout.bpf.o');
  return {
    'husk.node': join(root, 'build/native/husk.node'),
    ...Object.fromEntries(objects.sort().map((name) => [name, join(folder, name)])),
  };
}

function executableNamed(name: string | undefined): Executable {
  switch (name) {
    case 'husk-agent':
      return {
        bundle: 'build/husk-agent.cjs',
        assets: agentAssets(),
        // A small young generation and no helper threads: less memory for a process that mostly waits.
        // Neither --lite-mode nor --jitless: they slow all JavaScript, and a bundle compiles in it.
        execArgv: ['--max-old-space-size=64', '--max-semi-space-size=1', '--v8-pool-size=0'],
      };
    case 'husk':
      // node:sqlite still calls itself experimental; its users need not read so at every start.
      return { bundle: 'build/husk.cjs', assets: {}, execArgv: ['--disable-warning=ExperimentalWarning'] };
    default:
      throw new Error('usage: node native/package-executables.ts husk-agent|husk');
  }
}

function checkedNode(platform: string, version: string): string {
  const path = require.resolve(`node-${platform}/bin/node`);
  const hash = createHash('sha256').update(readFileSync(path)).digest('hex');
  const expected = nodeHashes[`${platform} ${version}`];
  if (expected === undefined) throw new Error(`no hash is recorded for node ${version} of ${platform}`);
  if (hash !== expected) throw new Error(`${path} has SHA-256 ${hash}, not ${expected}`);
  return path;
}

/** Lays node out as pkg would after a download. Stripped before the script goes in: afterwards it breaks. */
function seedNode(home: string, platform: string, version: string): void {
  const node = checkedNode(platform, version);
  const cache = join(home, '.pkg-cache/sea');
  const name = `node-v${version}-${platform}`;
  const bin = join(cache, name, 'bin');
  mkdirSync(bin, { recursive: true });
  execFileSync('strip', ['-o', join(bin, 'node'), node]);
  for (const mark of [`${name}.tar.gz`, `${name}.tar.gz.ok`, `${name}/bin/node.ok`])
    writeFileSync(join(cache, mark), '');
}

async function packageExecutable(name: string | undefined): Promise<void> {
  const executable = executableNamed(name);
  const { version, platform, arch } = {
    version: process.versions.node,
    platform: 'linux',
    arch: process.arch,
  };
  const home = join(root, '.cache/pkg-home');
  const output = join(root, 'dist', `${name}.new`);
  seedNode(home, `${platform}-${arch}`, version);
  process.env.HOME = home;
  // The code cache is made by a node of its own, and holds only for the options it was made under.
  process.env.NODE_OPTIONS = executable.execArgv.join(' ');
  const packager: Packager = require('@yao-pkg/pkg/lib-es5/sea.js');
  try {
    await packager.default(join(root, executable.bundle), {
      targets: [{ nodeRange: `node${version}`, platform, arch, output }],
      seaConfig: {
        disableExperimentalSEAWarning: true,
        useCodeCache: true,
        execArgv: executable.execArgv,
        execArgvExtension: 'cli',
        assets: executable.assets,
      },
    });
    renameSync(output, join(root, 'dist', `${name}`));
  } finally {
    rmSync(output, { force: true });
  }
}

await packageExecutable(process.argv[2]);
