// The benchmark: what a packet costs, what a new policy costs, what rules cost, how many events a
// second, and how much memory. `node test/bench/run.ts --help` says how it is called.
//
// Figures go to build/bench.json and, as a table with ratios, to stdout. The one kept as test/bench/baseline.json
// is what a run is compared with; machines differ, so ratios to the floor of the same run say more than
// nanoseconds. All of it runs in places of its own: no interface is attached to.

import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { cpus, release, totalmem } from 'node:os';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { executablesMissing } from '../lab/executables.ts';
import { labMissing } from '../lab/lab.ts';
import { measureCalls } from './calls/calls.ts';
import { measureClassifier } from './classifier.ts';
import { measureConnections } from './connections.ts';
import { bench as measureEvents } from './events.ts';
import { measureFilter } from './filter/filter.ts';
import { withBpffs } from './filter/veth.ts';
import { measureMemory } from './memory.ts';
import { measurePackets } from './packets.ts';
import { measureRejects } from './reject.ts';
import {
  againstText,
  budgetText,
  keptOf,
  type PartRow,
  type Results,
  type Row,
  ratio,
  sameRow,
  shown,
  toJson,
} from './rows.ts';
import { measureSets } from './sets.ts';
import { measureSwaps } from './swaps.ts';

const usage = `usage: ./build.sh bench [PART ...] [--json] [--keep-as-baseline]

Measures the parts that are named, or all of them:

  filter       a packet under rules, sets, connections, limits; slots and swaps under load; beside nftables, iptables and
               xdp-filter over a veth pair; kernel memory; a large policy from verified to live
  packets      a packet under a list of addresses, above a bare drop
  sets         asking a set, beside the kernel's trie and hash
  rules        what a list of rules adds, by the classifier alone
  connections  what following its connection adds to a packet
  reject       what answering a rejected packet costs
  swaps        what a new policy costs: compiling, loading, swapping
  events       events a second
  memory       the agent's memory
  calls        open, connect, fork, exec of a hardened service, in instructions, in a guest

Needs root, and for all of it a quarter of an hour of a machine that has nothing else to do. A table goes to stdout: value,
ratio to what it is seen against in the same run, the budget where there is one, ratio to the baseline. The same figures are
in build/bench.json.

  --json              the figures as JSON on stdout, in the place of the table; what is said meanwhile is on stderr
  --keep-as-baseline  as test/bench/baseline.json too: exactly the rows of this run for the parts that ran
`;

const parts: Readonly<Record<string, () => Promise<Row[]>>> = {
  filter: measureFilter,
  packets,
  sets,
  rules,
  connections,
  reject,
  swaps,
  events,
  memory,
  calls: measureCalls,
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
  const rows: PartRow[] = [];
  for (const part of options.parts) {
    process.stderr.write(`measuring ${part} …\n`);
    rows.push(...((await parts[part]?.()) ?? []).map((row) => ({ part, ...row })));
  }
  const results: Results = { machine: machine(), at: new Date().toISOString(), rows };
  const before = existsSync(baselinePath)
    ? (JSON.parse(readFileSync(baselinePath, 'utf8')) as Results)
    : null;
  mkdirSync(join(root, 'build'), { recursive: true });
  writeFileSync(resultsPath, toJson(results));
  if (options.json) process.stdout.write(toJson(results));
  else print(results, before);
  if (options.keep) {
    const kept = keptOf(results, options.parts, { before, parts: Object.keys(parts) });
    writeFileSync(baselinePath, toJson(kept));
  }
  return 0;
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

/** Rows of sets with what was meant: parts of the trie's time, and MiB. */
const setBudgets: Readonly<Record<string, Row['budget']>> = {
  '1,000,000 mixed IPv4 prefixes, hits': { of: 'ratio', most: 1 / 15 },
  '1,000,000 mixed IPv4 prefixes, misses': { of: 'ratio', most: 1 / 35 },
  '1,000,000 mixed IPv4 prefixes, memory': { of: 'value', most: 6e6 / 2 ** 20 },
  '1,000,000 IPv4 addresses, hits': { of: 'ratio', most: 1 / 20 },
  '500,000 IPv6 prefixes /32-/64, hits': { of: 'ratio', most: 1 / 12 },
  '500,000 IPv6 prefixes /32-/64, misses': { of: 'ratio', most: 1 / 12 },
  '500,000 IPv6 prefixes /32-/64, memory': { of: 'value', most: 5e6 / 2 ** 20 },
};

async function sets(): Promise<Row[]> {
  const figures = await measureSets();
  const rows = figures.flatMap((set): Row[] => {
    const mib = (bytes: number): number => bytes / 2 ** 20;
    const trieMemory = { name: 'trie, seen', value: mib(set.trieSeenBytes) };
    return [
      ...set.times.flatMap(({ of, table, trie, hash }): Row[] => [
        { name: `${set.name}, ${of}`, value: table, unit: 'ns', against: { name: 'trie', value: trie } },
        ...(hash === null
          ? []
          : [
              {
                name: `(${set.name}, ${of}, hash)`,
                value: hash,
                unit: 'ns',
                against: { name: 'trie', value: trie },
              },
            ]),
      ]),
      { name: `${set.name}, memory`, value: mib(set.bytes), unit: 'MiB', against: trieMemory },
      { name: `${set.name}, memory seen`, value: mib(set.seenBytes), unit: 'MiB' },
      { name: `${set.name}, build`, value: set.buildMs, unit: 'ms' },
      { name: `${set.name}, upload`, value: set.uploadMs, unit: 'ms' },
    ];
  });
  const missing = Object.keys(setBudgets).filter((name) => rows.every((row) => row.name !== name));
  if (missing.length > 0) throw new Error(`nothing was measured of ${missing.join('; ')}`);
  return rows.map((row) => {
    const budget = setBudgets[row.name];
    return budget === undefined ? row : { ...row, budget };
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
    const kept = sameRow(baseline, row)?.value ?? null;
    const { value } = row;
    return [
      ...[row.name, value === null ? '–' : shown(value), row.unit, againstText(row), budgetText(row)],
      value === null || kept === null ? '' : ratio(value, kept),
      row.note ?? '',
    ];
  });
  const table = [['', 'value', '', 'against', 'budget', 'baseline', ''], ...lines];
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

function readArguments(): { help: boolean; json: boolean; keep: boolean; parts: string[] } | null {
  try {
    const flag = { type: 'boolean', default: false } as const;
    const { values, positionals } = parseArgs({
      allowPositionals: true,
      options: { 'keep-as-baseline': flag, json: flag, help: { ...flag, short: 'h' } },
    });
    if (positionals.some((name) => !Object.hasOwn(parts, name))) return null;
    const named = positionals.length > 0 ? [...new Set(positionals)] : Object.keys(parts);
    return { help: values.help, json: values.json, keep: values['keep-as-baseline'], parts: named };
  } catch {
    return null;
  }
}

process.exitCode = await main();
