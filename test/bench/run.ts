// The benchmark: what a packet costs, what a new policy costs, what rules cost, how many events a
// second, and how much memory.
//
//   node test/bench/run.ts [filter|packets|sets|rules|connections|reject|swaps|events|memory …] [--keep-as-baseline]
//
// Figures go to build/bench.json and, as a table with ratios, to stdout. The one kept as test/bench/baseline.json
// is what a run is compared with; machines differ, so ratios to the floor of the same run say more than
// nanoseconds. All of it runs in places of its own: no interface is attached to.

import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { cpus, release, tmpdir, totalmem } from 'node:os';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { addon } from '../../native/index.ts';
import { executablesMissing } from '../lab/executables.ts';
import { labMissing } from '../lab/lab.ts';
import { measureClassifier } from './classifier.ts';
import { measureConnections } from './connections.ts';
import { bench as measureEvents } from './events.ts';
import { type FilterRow, measureFilter } from './filter/filter.ts';
import { measureMemory } from './memory.ts';
import { measurePackets } from './packets.ts';
import { measureRejects } from './reject.ts';
import { measureSets } from './sets.ts';
import { measureSwaps } from './swaps.ts';

const usage = `usage: ./build.sh bench [filter] [packets] [sets] [rules] [connections] [reject] [swaps] [events] [memory] [--keep-as-baseline]

Measures what is named, or all of it: what a packet costs, what asking a set costs, what a list of rules adds, what following its connection
adds, what answering a rejected one costs, what a new policy costs, events a second, the agent's memory. Needs root and about five minutes. Figures in build/bench.json; with --keep-as-baseline in
test/bench/baseline.json as well, which later runs are compared with.
`;

interface Row {
  readonly name: string;
  readonly value: number;
  readonly unit: string;
  /** Value of the same run that it is to be seen against. */
  readonly against?: { readonly name: string; readonly value: number };
  readonly budget?: FilterRow['budget'];
}
interface Results {
  readonly machine: {
    readonly cpu: string;
    readonly cpus: number;
    readonly kernel: string;
    readonly memoryMib: number;
  };
  readonly at: string;
  readonly rows: readonly Row[];
}

const parts: Readonly<Record<string, () => Promise<Row[]>>> = {
  filter: () => measureFilter(withBpffs),
  packets,
  sets,
  rules,
  connections,
  reject,
  swaps,
  events,
  memory,
};
const root = resolve(import.meta.dirname, '../..');
const baselinePath = join(root, 'test/bench/baseline.json');
const resultsPath = join(root, 'build/bench.json');

async function main(): Promise<number> {
  const options = readArguments();
  if (options === null) {
    process.stderr.write(usage);
    return 2;
  }
  if (options.help) {
    process.stdout.write(usage);
    return 0;
  }
  const missing = labMissing() || executablesMissing();
  if (missing !== false) {
    process.stderr.write(`bench: ${missing}\n`);
    return 1;
  }
  const rows: Row[] = [];
  for (const name of options.parts) {
    process.stderr.write(`measuring ${name} …\n`);
    rows.push(...((await parts[name]?.()) ?? []));
  }
  const results: Results = { machine: machine(), at: new Date().toISOString(), rows };
  mkdirSync(join(root, 'build'), { recursive: true });
  writeFileSync(resultsPath, toJson(results));
  if (options.keep) writeFileSync(baselinePath, toJson(joined(results)));
  print(
    results,
    existsSync(baselinePath) ? (JSON.parse(readFileSync(baselinePath, 'utf8')) as Results) : null,
  );
  return 0;
}

/** With the rows that were kept before and are of parts that were not measured now. */
function joined(results: Results): Results {
  if (!existsSync(baselinePath)) return results;
  const before = JSON.parse(readFileSync(baselinePath, 'utf8')) as Results;
  const names = new Set(results.rows.map(({ name }) => name));
  return { ...results, rows: [...before.rows.filter(({ name }) => !names.has(name)), ...results.rows] };
}

async function packets(): Promise<Row[]> {
  const figures = await withBpffs(measurePackets);
  const floor = { name: 'bare drop', value: figures.drop };
  const unit = 'ns';
  return [
    { name: 'floor: bare drop', value: figures.drop, unit },
    { name: 'floor: parse and drop', value: figures.parseAndDrop, unit, against: floor },
    { name: 'list, 65,536 listed sources', value: figures.hits, unit, against: floor },
    { name: 'list, 65,536 other sources', value: figures.misses, unit, against: floor },
    { name: 'list, one listed source', value: figures.oneHit, unit, against: floor },
    { name: 'list, one other source', value: figures.oneMiss, unit, against: floor },
    { name: 'parse and drop, 65,536 sources', value: figures.parseRotating, unit, against: floor },
    { name: '(another source each time: taken off)', value: figures.rotation, unit },
  ];
}

async function sets(): Promise<Row[]> {
  const figures = await measureSets();
  return figures.flatMap((set) => {
    const mib = (bytes: number): number => bytes / 2 ** 20;
    const trieMemory = { name: 'trie, seen', value: mib(set.trieSeenBytes) };
    return [
      ...set.times.flatMap(({ of, table, trie, hash }): Row[] => [
        { name: `${set.name}, ${of}`, value: table, unit: 'ns', against: { name: 'trie', value: trie } },
        ...(hash === null
          ? []
          : [{ name: `(${of}, hash)`, value: hash, unit: 'ns', against: { name: 'trie', value: trie } }]),
      ]),
      { name: `${set.name}, memory`, value: mib(set.bytes), unit: 'MiB', against: trieMemory },
      { name: `${set.name}, memory seen`, value: mib(set.seenBytes), unit: 'MiB' },
      { name: `${set.name}, build`, value: set.buildMs, unit: 'ms' },
      { name: `${set.name}, upload`, value: set.uploadMs, unit: 'ms' },
    ];
  });
}

async function connections(): Promise<Row[]> {
  return measureConnections().flatMap((figures) => {
    const among = `among ${figures.connections.toLocaleString('en')}`;
    const established = { name: `established, ${among}`, value: figures.established };
    const against = { name: 'established', value: figures.established };
    const unit = 'ns';
    return [
      { ...established, unit },
      { name: `of none, ${among}`, value: figures.miss, unit, against },
      { name: `opens, ${among}`, value: figures.open, unit, against },
      { name: `(a lock that reading does without, ${among})`, value: figures.lock, unit, against },
      { name: `(the second of boot time, ${among})`, value: figures.clock, unit, against },
      { name: `a token by source, ${among}`, value: figures.limit, unit, against },
      { name: `table, ${among}`, value: figures.bytes / 2 ** 20, unit: 'MiB' },
    ];
  });
}

async function reject(): Promise<Row[]> {
  return (await measureRejects()).flatMap(({ name, drop, reject }) => [
    { name: `dropped, ${name}`, value: drop, unit: 'ns' },
    { name: `rejected, ${name}`, value: reject, unit: 'ns', against: { name: 'dropped', value: drop } },
  ]);
}

async function rules(): Promise<Row[]> {
  const { lists, verifiedInstructions } = await measureClassifier();
  const rows = lists.flatMap((list): Row[] => {
    const name = `${list.family} ${list.shape}, ${list.rules.toLocaleString('en-US')} rules`;
    const ten = lists.find((one) => one.family === list.family && one.shape === list.shape)?.added;
    const added = list.added.map(([traffic, value]): Row => {
      const few = ten?.find(([one]) => one === traffic)?.[1];
      const row = { name: `${name}: ${traffic}`, value, unit: 'ns added' };
      return few === undefined || list.rules === 10
        ? row
        : { ...row, against: { name: '10 rules', value: few } };
    });
    const table = { name: 'table', value: list.bytes / 1024 };
    return [
      ...added,
      { name: `${name}: bytes used`, value: list.bytesUsed / 1024, unit: 'KiB', against: table },
      { name: `${name}: most words compared`, value: list.wordsMax, unit: '' },
      { name: `${name}: build`, value: list.buildMs, unit: 'ms' },
      { name: `${name}: upload`, value: list.uploadMs, unit: 'ms' },
    ];
  });
  return [
    ...rows,
    { name: 'verifier, the whole classifier', value: verifiedInstructions, unit: 'instructions' },
  ];
}

async function swaps(): Promise<Row[]> {
  const figures = await withBpffs(measureSwaps);
  const load = { name: 'load all', value: figures.load };
  return [
    { name: 'compile the list', value: figures.compile, unit: 'ms' },
    { name: 'load a generation with the list', value: figures.load, unit: 'ms' },
    { name: 'load one that shares the list', value: figures.loadShared, unit: 'ms', against: load },
    { name: 'swap: store the live word', value: figures.swap, unit: 'µs' },
    { name: 'confirm a trial', value: figures.confirm, unit: 'µs' },
    { name: 'tables in the kernel, estimated', value: figures.kernelBytes / 2 ** 20, unit: 'MiB' },
  ];
}

async function events(): Promise<Row[]> {
  const figures = await measureEvents();
  const rows = figures.runs.flatMap((run): Row[] => {
    if (!run.accounted) throw new Error(`${run.name}: events are not accounted for`);
    const offered = { name: 'offered', value: run.offeredPerSecond };
    return [{ name: `${run.name}, received`, value: run.receivedPerSecond, unit: '/s', against: offered }];
  });
  return [...rows, { name: 'all different, behind the ring', value: figures.distinctPerSecond, unit: '/s' }];
}

async function memory(): Promise<Row[]> {
  const { connected, enforcing, executableBytes } = await measureMemory();
  const mib = (bytes: number): number => bytes / 2 ** 20;
  const before = { name: 'without', value: mib(connected.anonymous) };
  return [
    { name: 'agent connected, anonymous', value: mib(connected.anonymous), unit: 'MiB' },
    { name: 'agent connected, resident', value: mib(connected.rss), unit: 'MiB' },
    { name: 'with the list, anonymous', value: mib(enforcing.anonymous), unit: 'MiB', against: before },
    { name: 'with the list, resident', value: mib(enforcing.rss), unit: 'MiB' },
    { name: 'executable', value: mib(executableBytes), unit: 'MiB' },
  ];
}

async function withBpffs<T>(work: (bpffs: string) => Promise<T>): Promise<T> {
  const bpffs = mkdtempSync(join(tmpdir(), 'husk-bench-'));
  addon.mountBpffs(bpffs);
  try {
    return await work(bpffs);
  } finally {
    execFileSync('umount', [bpffs]);
    rmSync(bpffs, { recursive: true });
  }
}

function machine(): Results['machine'] {
  const all = cpus();
  return {
    cpu: all[0]?.model.trim() ?? 'unknown',
    cpus: all.length,
    kernel: release(),
    memoryMib: Math.round(totalmem() / 2 ** 20),
  };
}

function print({ machine, rows }: Results, baseline: Results | null): void {
  const { cpu, cpus: count, kernel, memoryMib } = machine;
  const lines = rows.map((row) => {
    const kept = baseline?.rows.find((one) => one.name === row.name)?.value;
    const against =
      row.against === undefined ? '' : `${ratio(row.value, row.against.value)} ${row.against.name}`;
    return [
      ...[row.name, shown(row.value), row.unit, against, budgetText(row)],
      kept === undefined ? '' : ratio(row.value, kept),
    ];
  });
  const table = [['', 'value', '', 'against', 'budget', 'baseline'], ...lines];
  const widths =
    table[0]?.map((_, column) => Math.max(...table.map((line) => line[column]?.length ?? 0))) ?? [];
  process.stdout.write(`\n${cpu}, ${count} CPUs, ${memoryMib} MiB, Linux ${kernel}\n\n`);
  for (const line of table) {
    const cells = line.map((cell, column) =>
      column === 1 ? cell.padStart(widths[column] ?? 0) : cell.padEnd(widths[column] ?? 0),
    );
    process.stdout.write(`${cells.join('  ').trimEnd()}\n`);
  }
  process.stdout.write(`\nfigures: ${resultsPath}\n`);
}

/** As in `<= 200, missed`. */
function budgetText({ value, against, budget }: Row): string {
  if (budget === undefined) return '';
  const compared = budget.of === 'value' ? value : value / (against?.value ?? Number.NaN);
  return `<= ${shown(budget.most)}, ${compared <= budget.most ? 'kept' : 'missed'}`;
}

function ratio(value: number, to: number): string {
  return `×${(value / to).toFixed(2)}`;
}

function shown(value: number): string {
  return value.toLocaleString('en-US', { maximumFractionDigits: value < 10 ? 2 : value < 100 ? 1 : 0 });
}

function toJson(results: Results): string {
  const rounded = (_key: string, value: unknown): unknown =>
    typeof value === 'number' ? Number(value.toPrecision(4)) : value;
  return `${JSON.stringify(results, rounded, 2)}\n`;
}

function readArguments(): { help: boolean; keep: boolean; parts: string[] } | null {
  try {
    const flag = { type: 'boolean', default: false } as const;
    const { values, positionals } = parseArgs({
      allowPositionals: true,
      options: { 'keep-as-baseline': flag, help: { ...flag, short: 'h' } },
    });
    if (positionals.some((name) => !Object.hasOwn(parts, name))) return null;
    const named = positionals.length > 0 ? positionals : Object.keys(parts);
    return { help: values.help, keep: values['keep-as-baseline'], parts: named };
  } catch {
    return null;
  }
}

process.exitCode = await main();
