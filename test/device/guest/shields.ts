// Inside a guest: every shield of the library against the simulation of its exploit: without the shield, with it in
// monitor mode, and enforced. The agent's own code compiles, proves and loads them, all in one generation a mode.

import { spawnSync } from 'node:child_process';
import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import type { PolicyDocument } from '../../../agent/contract/policy.ts';
import { devicePaths } from '../../../agent/device-paths.ts';
import { walkCalls } from '../../../agent/events/decode.ts';
import type { Kernel } from '../../../agent/kernel/kernel.ts';
import { compile } from '../../../agent/policy/compile.ts';
import { formatFaults } from '../../../agent/policy/faults.ts';
import { readAndCheck } from '../../../agent/policy/read.ts';
import { makeTries } from '../../../agent/policy/tries.ts';
import { HuskMode, HuskVerdict } from '../../../bpf/abi/layout.gen.ts';
import { addon } from '../../../native/index.ts';
import { plainFacts } from '../../lab/plain-kernel.ts';
import { parseSimulation, type Simulation } from '../../lab/simulation.ts';
import { guardsHere, hardeningRoot, openKernel } from './guarded-kernel.ts';
import { tell } from './tell.ts';

const library = '/husk/shields';
const stubd = '/husk/stubd';
/** The peer of every simulation: an address of this machine that is not 127.0.0.0/8. */
const peer = '192.0.2.66/32';
/** A denial is in the ring at once, and handed over within this. */
const flushMs = 20;

type Shield = Extract<PolicyDocument, { kind: 'Shield' }>;

interface Tried {
  readonly shield: Shield;
  readonly simulation: Simulation;
}

function readLibrary(): Tried[] {
  const names = readdirSync(library).filter((name) => name.endsWith('.yaml'));
  return names.map((name) => {
    const { documents, faults } = readAndCheck([
      { file: name, text: readFileSync(join(library, name), 'utf8') },
    ]);
    const [shield] = documents;
    if (shield?.kind !== 'Shield') throw new Error(`${name}: ${formatFaults(faults)}`);
    return { shield, simulation: parseSimulation(readFileSync(join(library, 'simulate', name), 'utf8')) };
  });
}

/** All that a simulation needs, as it was at first: a step that was let through may have removed it. */
function prepare({ daemon, prepare: wanted }: Simulation): void {
  for (const line of [`program ${daemon}`, ...wanted]) {
    const [kind = '', path = ''] = line.split(' ');
    mkdirSync(kind === 'folder' || kind === 'tmpfs' ? path : dirname(path), { recursive: true });
    if (kind === 'file') writeFileSync(path, 'husk\n', { mode: 0o666 });
    if (kind === 'tmpfs') mountReadOnly(path);
    if (kind !== 'program' && kind !== 'setuid-program') continue;
    if (!existsSync(path)) copyFileSync(stubd, path);
    chmodSync(path, kind === 'program' ? 0o755 : 0o4755);
  }
}

function mountReadOnly(path: string): void {
  const isMounted = readFileSync('/proc/self/mounts', 'utf8').includes(` ${path} `);
  run('mount', isMounted ? ['-o', 'remount,ro', path] : ['-t', 'tmpfs', '-o', 'ro', 'none', path]);
}

function run(program: string, words: readonly string[]): void {
  const { status, stderr } = spawnSync(program, words, { encoding: 'utf8' });
  if (status !== 0) throw new Error(`${program} ${words.join(' ')}: ${stderr}`);
}

/** What came of each step, in their order. */
function act({ daemon, user }: Simulation, steps: readonly string[]): string[] {
  const input = steps.map((step) => `${step}\n`).join('');
  const { status, stdout, stderr } = spawnSync(daemon, [], {
    encoding: 'utf8',
    input,
    uid: user,
    gid: user,
    cwd: '/',
  });
  if (status !== 0) throw new Error(`${daemon}: exit ${status} ${stderr}`);
  return stdout.trimEnd().split('\n');
}

/** Denials that were reported since the last time, by rule and its mode: `cve-2023-1389/peers enforce`. */
class Events {
  readonly #counts = new Map<string, number>();

  constructor(kernel: Kernel) {
    const note = ({ head }: { readonly head: { rule: number; verdict: number; mode: number } }) => {
      if (head.verdict !== HuskVerdict.DENY) return;
      const key = `${kernel.ruleName(head.rule)} ${head.mode === HuskMode.MONITOR ? 'monitor' : 'enforce'}`;
      this.#counts.set(key, (this.#counts.get(key) ?? 0) + 1);
    };
    addon.openRing([kernel.callRing], { flushMs }, (batch) => walkCalls(batch, note, note));
  }

  async take(): Promise<ReadonlyMap<string, number>> {
    await setTimeout(10 * flushMs);
    const taken = new Map(this.#counts);
    this.#counts.clear();
    return taken;
  }
}

const modes = ['none', 'monitor', 'enforce'] as const;
type Mode = (typeof modes)[number];

/** All simulations once, and what was counted and reported of each rule meanwhile. */
async function actAll(mode: Mode, library: readonly Tried[], kernel: Kernel, events: Events): Promise<void> {
  for (const { simulation } of library) prepare(simulation);
  await events.take();
  const before = await hitsOf(kernel);
  const started = performance.now();
  const outcomes = library.map(({ shield, simulation }) => ({
    shield: shield.metadata.name,
    attack: act(
      simulation,
      simulation.attack.map(({ step }) => step),
    ),
    unseen: simulation.unseen.length === 0 ? [] : act(simulation, simulation.unseen),
    ordinary: act(simulation, simulation.ordinary),
  }));
  const actedMs = Math.round(performance.now() - started);
  const hits = await hitsOf(kernel);
  for (const [rule, count] of before) hits.set(rule, (hits.get(rule) ?? 0) - count);
  const told = await events.take();
  for (const one of outcomes) {
    const own = (counts: ReadonlyMap<string, number>) =>
      Object.fromEntries([...counts].filter(([id, n]) => id.startsWith(`${one.shield}/`) && n > 0));
    tell({ mode, ...one, hits: own(hits), events: own(told) });
  }
  tell({ mode, actedMs });
}

const hitsOf = async (kernel: Kernel) =>
  new Map((await kernel.counters()).map(({ id, hits }) => [id, Number(hits)]));

const inMode = (shield: Shield, mode: 'monitor' | 'enforce'): Shield => ({
  ...shield,
  spec: { ...shield.spec, mode },
});

async function putInForce(
  kernel: Kernel,
  documents: readonly PolicyDocument[],
  serial: number,
): Promise<void> {
  if (kernel.guards === null) throw new Error('no guards');
  const facts = {
    ...plainFacts([], (id) => kernel.ruleIndex(id)),
    paths: devicePaths(kernel.guards.pathKey),
  };
  const source = { serial, bundleDigest: String(serial).repeat(64), image: compile(documents, facts) };
  const generation = await kernel.loadStandby(source);
  const started = performance.now();
  const proof = await kernel.prove(generation, makeTries(documents, facts), facts.paths);
  tell({
    serial,
    proven: proof.operations,
    untried: proof.untried,
    provedMs: Math.round(performance.now() - started),
  });
  kernel.settle(generation);
}

async function main(): Promise<void> {
  mkdirSync(hardeningRoot, { recursive: true });
  run('ip', ['link', 'set', 'lo', 'up']);
  run('ip', ['addr', 'add', peer, 'dev', 'lo']);
  const guards = await guardsHere();
  const started = performance.now();
  const kernel = await openKernel(guards);
  tell({
    openedMs: Math.round(performance.now() - started),
    tier: kernel.guards?.tier ?? null,
    why: kernel.guardsWhy,
    missing: kernel.guards?.missing ?? [],
  });
  if (kernel.guards === null) return;
  const tried = readLibrary();
  const events = new Events(kernel);
  await actAll('none', tried, kernel, events);
  for (const [index, mode] of (['monitor', 'enforce'] as const).entries()) {
    const shields = tried.map(({ shield }) => inMode(shield, mode));
    await putInForce(kernel, shields, index + 1);
    await actAll(mode, tried, kernel, events);
  }
  kernel.unload([]);
  process.exit(0);
}

main().catch((error: unknown) => {
  console.error(error, (error as { log?: string }).log ?? '');
  process.exit(1);
});
