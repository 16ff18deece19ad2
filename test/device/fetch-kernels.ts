// Fetches the kernels that guests boot, from Debian, into the cache: `node test/device/fetch-kernels.ts`.
//
// Which package it is, a metapackage says, since versions move. All goes through a private apt root: the
// machine's sources and /etc stay as they are, and nothing is installed. Addresses are the machine's own, as
// `apt-get indextargets` names them. What is cached is looked at again after a week, or a day where
// that failed; what could not be fetched is told and fails nothing: tests that need it are skipped.

import { execFile } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { isLeftOver, runName } from '../lab/run-name.ts';
import { findKernel, fullKernel, type KernelName, kernelCache, kernelNames } from './kernels.ts';

const run = promisify(execFile);

/** Where each comes from. bullseye gets no more updates, so its index outlives the date it was made for. */
const sources: Readonly<Record<KernelName, { readonly metapackage: string; readonly release: string }>> = {
  '5.10': { metapackage: 'linux-image-cloud-amd64', release: 'bullseye-security' },
  '6.1': { metapackage: 'linux-image-cloud-amd64', release: 'bookworm-security' },
  '6.12': { metapackage: 'linux-image-6.12-cloud-amd64', release: 'bookworm-security' },
  [fullKernel]: { metapackage: 'linux-image-6.12-amd64', release: 'bookworm-security' },
};
const allNames = [...kernelNames, fullKernel] as const;
const day = 24 * 3600 * 1000;
const lookAgainMs = { done: 7 * day, failed: day } as const;
/** Its time is when we look again. */
const checked = join(kernelCache, 'checked');
const keyring = '/usr/share/keyrings/debian-archive-keyring.gpg';

interface Package {
  readonly name: string;
  readonly version: string;
}

async function main(): Promise<void> {
  mkdirSync(kernelCache, { recursive: true });
  if (isFresh()) return;
  for (const name of readdirSync(kernelCache).filter(isLeftOver))
    rmSync(join(kernelCache, name), { recursive: true, force: true });
  const work = mkdtempSync(join(kernelCache, `${runName}-`));
  const apts = new Map<string, Promise<Apt>>();
  let failed = false;
  try {
    for (const name of allNames) {
      const { release } = sources[name];
      const folder = join(work, release);
      const apt = apts.get(release) ?? openApt(folder, release);
      apts.set(release, apt);
      try {
        await fetchKernel(name, await apt, folder);
      } catch (error) {
        failed = true;
        tell(name, error);
      }
    }
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
  writeFileSync(checked, '');
  const lookAgain = new Date(Date.now() + (failed ? lookAgainMs.failed : lookAgainMs.done));
  utimesSync(checked, lookAgain, lookAgain);
}

/** All are there, and it is not yet time to look for newer ones. */
function isFresh(): boolean {
  return (
    existsSync(checked) &&
    Date.now() < statSync(checked).mtimeMs &&
    allNames.every((name) => findKernel(name) !== null)
  );
}

function tell(name: KernelName, error: unknown): void {
  const cached = findKernel(name);
  const instead = cached === null ? 'guests with it are left out' : `${cached.version} of the cache stays`;
  const said = error instanceof Error ? error.message.trim().split('\n') : [String(error)];
  const why = said
    .filter((line) => !line.startsWith('Command failed'))
    .slice(0, 2)
    .join(' | ');
  console.error(`fetch-kernels: ${name}: ${instead}: ${why}`);
}

/** Runs one of apt's programs on the private root. */
type Apt = (program: 'apt-get' | 'apt-cache', ...args: string[]) => Promise<string>;

/** A root of its own for each release, so that one that cannot be reached takes no other with it. */
async function openApt(work: string, release: string): Promise<Apt> {
  for (const folder of ['state', 'lists/partial', 'cache/archives/partial'])
    mkdirSync(join(work, folder), { recursive: true });
  const list = join(work, 'sources.list');
  const late = release.startsWith('bullseye') ? ' check-valid-until=no' : '';
  const source = `arch=amd64 signed-by=${keyring}${late}`;
  writeFileSync(list, `deb [${source}] ${await securityAddress()} ${release} main\n`);
  const options = [
    `Dir::Etc::sourcelist=${list}`,
    'Dir::Etc::sourceparts=-',
    `Dir::State=${work}/state`,
    'Dir::State::status=/var/lib/dpkg/status',
    `Dir::State::lists=${work}/lists`,
    `Dir::Cache=${work}/cache`,
    'APT::Sandbox::User=root',
    'Acquire::Retries=2',
  ].flatMap((option) => ['-o', option]);
  const apt: Apt = async (program, ...args) => {
    const { stdout } = await run(program, ['-q', ...options, ...args], { cwd: work, maxBuffer: 1 << 26 });
    return stdout;
  };
  await apt('apt-get', 'update', '--error-on=any');
  return apt;
}

async function securityAddress(): Promise<string> {
  const { stdout } = await run('apt-get', [
    'indextargets',
    '--format',
    '$(REPO_URI) $(RELEASE) $(COMPONENT)',
  ]);
  const line = stdout.split('\n').find((one) => one.endsWith(' bookworm-security main'));
  if (line === undefined) throw new Error('apt knows no bookworm-security: run apt-get update on Debian 12');
  return line.split(' ')[0] ?? '';
}

/** `work` is where `apt` downloads to. */
async function fetchKernel(name: KernelName, apt: Apt, work: string): Promise<void> {
  const wanted = await resolvePackage(name, apt);
  const version = `${wanted.name} ${wanted.version}`;
  if (findKernel(name)?.version === version) return;
  console.log(`  ${version}`);
  await apt('apt-get', 'download', `${wanted.name}=${wanted.version}`);
  const archive = readdirSync(work).find((file) => file.startsWith(`${wanted.name}_`));
  if (archive === undefined) throw new Error(`apt-get download left no ${wanted.name}`);
  const tree = join(work, name);
  await run('dpkg-deb', ['-x', join(work, archive), tree]);
  const image = readdirSync(join(tree, 'boot')).find((file) => file.startsWith('vmlinuz-'));
  if (image === undefined) throw new Error(`${wanted.name} has no vmlinuz`);
  renameSync(join(tree, 'boot', image), join(tree, 'vmlinuz'));
  for (const folder of ['boot', 'usr/share']) rmSync(join(tree, folder), { recursive: true, force: true });
  writeFileSync(join(tree, 'VERSION'), `${version}\n`);
  takeIn(name, tree, `${name}-${wanted.version}`);
}

/** The package that the metapackage stands for at present. */
async function resolvePackage(name: KernelName, apt: Apt): Promise<Package> {
  const { metapackage } = sources[name];
  const records = (await apt('apt-cache', 'show', metapackage)).split('\n\n');
  const record = records.find((text) =>
    text.match(/^Version: (\S+)/m)?.[1]?.startsWith(`${seriesOf(name)}.`),
  );
  const depends = record?.match(/^Depends: .*?(linux-image-[^ ,]+) \(= ([^)]+)\)/m);
  const [, packageName, version] = depends ?? [];
  if (packageName === undefined || version === undefined)
    throw new Error(`${metapackage} of Debian names no ${name} kernel`);
  return { name: packageName, version };
}

const seriesOf = (name: KernelName): string => name.replace('full-', '');

/** Moves a tree into the cache and makes it the one in use; older ones go. */
function takeIn(name: KernelName, tree: string, folder: string): void {
  const target = join(kernelCache, folder);
  rmSync(target, { recursive: true, force: true });
  renameSync(tree, target);
  const link = join(kernelCache, `${name}.new`);
  rmSync(link, { force: true });
  symlinkSync(folder, link);
  renameSync(link, join(kernelCache, name));
  for (const old of readdirSync(kernelCache)) {
    if (old.startsWith(`${name}-`) && old !== folder)
      rmSync(join(kernelCache, old), { recursive: true, force: true });
  }
}

await main();
