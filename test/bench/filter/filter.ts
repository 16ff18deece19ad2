// The packet filter, side by side with what else there is: rows for test/bench/run.ts, with the budget of each where
// it has one. By BPF_PROG_TEST_RUN on one CPU, programs by turns, medians; over a veth pair
// beside nftables (wire.ts); applying a policy in a process of its own (apply.ts).

import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { setDirectory } from '../../../agent/kernel/objects.ts';
import { addon } from '../../../native/index.ts';
import { liveProgram, openKernel } from '../subject.ts';
import { measureApply } from './apply.ts';
import { judgeOthers, judgeRules, judgeSets } from './judged.ts';
import { measureRouterMemory } from './memory.ts';
import { loadTestObject, Player } from './play.ts';
import { measureWire } from './wire.ts';

export interface FilterRow {
  readonly name: string;
  readonly value: number;
  readonly unit: string;
  readonly against?: { readonly name: string; readonly value: number };
  /** The most that was meant, of the value, or of the ratio to `against`. */
  readonly budget?: { readonly of: 'value' | 'ratio'; readonly most: number };
}

const mebibyte = 2 ** 20;

export async function measureFilter(
  withBpffs: <T>(work: (bpffs: string) => Promise<T>) => Promise<T>,
): Promise<FilterRow[]> {
  const unpin = pin();
  let judged: FilterRow[];
  try {
    judged = await withBpffs(judge);
  } finally {
    unpin();
  }
  return [...judged, ...wire(), ...(await withBpffs(router)), ...apply()];
}

async function judge(bpffs: string): Promise<FilterRow[]> {
  const begun = performance.now();
  const kernel = await openKernel(bpffs);
  const loadMs = performance.now() - begun;
  const player = new Player();
  try {
    // Events are measured by themselves.
    kernel.setPacketEventsPerSecond(0);
    const live = (name: string) => addon.openPinnedProgram(join(setDirectory(bpffs), 'programs', name));
    const parse = loadTestObject('xdp_parse').program('bench_parse');
    const bench = { kernel, player, judge: liveProgram(bpffs), parse };
    const others = await judgeOthers(bench, live('husk_tc_egress'));
    const nsOf = (of: string) => others.find((one) => one.of === of)?.ns ?? Number.NaN;
    const plain = nsOf('no rule, default allow');
    const against = { name: 'no rule', value: plain };
    const rows = others.map(({ of, ns }): FilterRow => {
      const row = { name: `judged: ${of}`, value: ns, unit: 'ns' };
      return of === 'no rule, default allow' ? row : { ...row, against };
    });
    const established = nsOf('an established connection among 10,000') - plain;
    rows.push({ name: 'added by an established connection', ...addedBudget(established, 100) });
    for (const one of await judgeRules(bench, ['acl1', 'fw1'])) {
      const name = `${one.family} ${one.shape}, ${one.rules.toLocaleString('en-US')} rules`;
      rows.push({ name: `judged: ${name}, from the rules`, value: one.fromRules, unit: 'ns', against });
      rows.push({ name: `judged: ${name}, any packet`, value: one.matchesNothing, unit: 'ns', against });
      if (one.rules === 10_000) {
        rows.push({ name: `added by ${name}`, ...addedBudget(one.fromRules - plain, 200) });
      }
    }
    for (const one of await judgeSets(bench)) {
      const name = `a set of ${one.prefixes.toLocaleString('en-US')} IPv${one.family} prefixes`;
      const without = { name: 'no set', value: one.without };
      rows.push({ name: `judged: ${name}, hits`, value: one.hits, unit: 'ns', against: without });
      rows.push({ name: `judged: ${name}, misses`, value: one.misses, unit: 'ns', against: without });
    }
    const verified = ['husk_xdp_ingress', 'husk_tc_ingress', 'husk_tc_egress'].map((name): FilterRow => {
      const value = addon.programInfo(live(name)).verifiedInstructions;
      return {
        name: `verifier: ${name}`,
        value,
        unit: 'instructions',
        budget: { of: 'value', most: 250_000 },
      };
    });
    return [...rows, ...verified, { name: 'loading all programs and maps', value: loadMs, unit: 'ms' }];
  } finally {
    player.close();
    kernel.unload([]);
  }
}

function addedBudget(value: number, most: number): Omit<FilterRow, 'name'> {
  return { value, unit: 'ns', budget: { of: 'value', most } };
}

/** Sending is in all of them: differences below a few hundred nanoseconds mean nothing. */
function wire(): FilterRow[] {
  const figures = measureWire();
  const floor = { name: 'bare drop by XDP', value: figures[0]?.ns ?? Number.NaN };
  return figures.map(({ name, ns }) => ({ name: `veth: ${name}`, value: ns, unit: 'ns', against: floor }));
}

async function router(bpffs: string): Promise<FilterRow[]> {
  const { stated, byMaps, seen } = await measureRouterMemory(bpffs);
  const against = { name: 'stated', value: stated / mebibyte };
  const unit = 'MiB';
  return [
    {
      ...{ name: "a router's policy, kernel memory stated", value: stated / mebibyte, unit },
      budget: { of: 'value', most: 16 },
    },
    { name: "a router's policy, by its maps", value: byMaps / mebibyte, unit, against },
    { name: "a router's policy, seen", value: seen / mebibyte, unit, against },
  ];
}

/** As many prefixes as a bundle has room for; see agent/contract/limits.ts. */
const size = { rules: 10_000, prefixes: 850_000 };

function apply(): FilterRow[] {
  const figures = measureApply(size);
  const name = '10,000 rules and 850,000 prefixes';
  const end = figures.steps.findIndex(([step]) => step === 'swapped');
  return [
    { name: `${name}, to live`, value: figures.totalMs, unit: 'ms', budget: { of: 'value', most: 3000 } },
    { name: `${name}, processor time`, value: figures.cpuMs, unit: 'ms' },
    ...figures.steps
      .slice(0, end + 1)
      .map(([step, value]): FilterRow => ({ name: `(… until ${step})`, value, unit: 'ms' })),
    { name: `${name}, resident at most`, value: figures.rssPeak / mebibyte, unit: 'MiB' },
  ];
}

/** Keeps this thread on one CPU; returns what lets it go. */
function pin(): () => void {
  const pid = `${process.pid}`;
  const before = /list: (\S+)/.exec(execFileSync('taskset', ['-cp', pid], { encoding: 'utf8' }))?.[1] ?? '0';
  const last = before.split(/[,-]/).at(-1) ?? '0';
  execFileSync('taskset', ['-cp', last, pid], { stdio: 'ignore' });
  return () => {
    execFileSync('taskset', ['-cp', before, pid], { stdio: 'ignore' });
  };
}
