// The packet filter, side by side with what else there is: rows for test/bench/run.ts, with the budget of each where
// it has one. By BPF_PROG_TEST_RUN on one CPU, programs by turns, medians; over a veth pair
// beside nftables, iptables and xdp-filter (wire.ts); applying a policy in a process of its own (apply.ts).

import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { setDirectory } from '../../../agent/kernel/objects.ts';
import { addon } from '../../../native/index.ts';
import type { Row } from '../rows.ts';
import { liveProgram, openKernel } from '../subject.ts';
import { measureApply } from './apply.ts';
import { judgeOthers, judgeRules, judgeSets } from './judged.ts';
import { measureLeaks } from './leaks.ts';
import { measureRouterMemory } from './memory.ts';
import { loadTestObject, Player } from './play.ts';
import { measureSlots } from './slots.ts';
import { withBpffs } from './veth.ts';
import { measureWire } from './wire.ts';

const mebibyte = 2 ** 20;

export async function measureFilter(): Promise<Row[]> {
  const unpin = pin();
  let judged: Row[];
  try {
    judged = [...(await withBpffs(judge)), ...(await slots())];
  } finally {
    unpin();
  }
  return [...judged, ...leaks(), ...wire(), ...(await withBpffs(router)), ...apply()];
}

async function judge(bpffs: string): Promise<Row[]> {
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
    const rows = others.map(({ of, ns }): Row => {
      const row = { name: `judged: ${of}`, value: ns, unit: 'ns' };
      return of === 'no rule, default allow' ? row : { ...row, against };
    });
    const established = nsOf('an established connection among 10,000') - plain;
    rows.push({ name: 'added by an established connection', ...addedBudget(established, 100), against });
    let addedByTen = Number.NaN;
    for (const one of await judgeRules(bench, ['acl1', 'fw1'])) {
      const name = `${one.family} ${one.shape}, ${one.rules.toLocaleString('en-US')} rules`;
      rows.push({ name: `judged: ${name}, from the rules`, value: one.fromRules, unit: 'ns', against });
      rows.push({ name: `judged: ${name}, any packet`, value: one.matchesNothing, unit: 'ns', against });
      const added = one.fromRules - plain;
      if (one.rules === 10) addedByTen = added;
      if (one.rules === 10_000) {
        rows.push({ name: `added by ${name}`, ...addedBudget(added, 200), against });
        rows.push({
          ...{ name: `added by ${name}, as a multiple`, value: added, unit: 'ns' },
          against: { name: '10 rules', value: addedByTen },
          budget: { of: 'ratio', most: 3.5 },
        });
      }
    }
    for (const one of await judgeSets(bench)) {
      const name = `a set of ${one.prefixes.toLocaleString('en-US')} IPv${one.family} prefixes`;
      const without = { name: 'no set', value: one.without };
      rows.push({ name: `judged: ${name}, hits`, value: one.hits, unit: 'ns', against: without });
      rows.push({ name: `judged: ${name}, misses`, value: one.misses, unit: 'ns', against: without });
    }
    const verified = ['husk_xdp_ingress', 'husk_tc_ingress', 'husk_tc_egress'].map((name): Row => {
      const value = addon.programInfo(live(name)).verifiedInstructions;
      return {
        name: `verifier: ${name}`,
        value,
        unit: 'instructions',
        budget: { of: 'value', most: 250_000 },
      };
    });
    return [
      ...rows,
      { name: '(a call of a function and its return, nothing beside it)', value: callNs(player), unit: 'ns' },
      ...verified,
      { name: 'loading all programs and maps', value: loadMs, unit: 'ms' },
    ];
  } finally {
    player.close();
    kernel.unload([]);
  }
}

/** `CALLS` of xdp_calls.bpf.c. */
const callsMade = 32;

/** Tells a CPU that mispredicts returns on purpose, where all that is judged takes several times as long, from others. */
function callNs(player: Player): number {
  const [ns = Number.NaN] = player.measure([loadTestObject('xdp_calls').program('bench_calls')]);
  return ns / callsMade;
}

function addedBudget(value: number, most: number): Omit<Row, 'name'> {
  return { value, unit: 'ns', budget: { of: 'value', most } };
}

/** What asking which slot is in force costs a packet. */
async function slots(): Promise<Row[]> {
  const figures = await withBpffs((one) => withBpffs((other) => measureSlots([one, other])));
  return [
    { name: 'added by asking for the slot, no rule', ...addedBudget(figures.plain, 5) },
    { name: 'added by asking for the slot, 1,000 rules', ...addedBudget(figures.withRules, 5) },
    { name: 'added by asking for the slot, in a trial', value: figures.inTrial, unit: 'ns' },
    { name: '(the live word, nothing beside it)', value: figures.word, unit: 'ns' },
    { name: '(a table by its slot, nothing beside it)', value: figures.table, unit: 'ns' },
  ];
}

/** Policies swapped without pause while packets arrive: none may get past a denial that both have. */
function leaks(): Row[] {
  const figures = measureLeaks();
  const none = { unit: 'packets', budget: { of: 'value', most: 0 } } as const;
  return [
    { name: 'swaps under load', value: figures.swaps, unit: '' },
    { name: 'swaps under load: judged', value: figures.judged, unit: 'packets' },
    { name: 'swaps under load: past a denial', value: figures.leaked, ...none },
    { name: 'swaps under load: lost of what is allowed', value: figures.lost, ...none },
    { name: 'swaps under load: by no generation', value: figures.withoutGeneration, ...none },
  ];
}

/** Sending is in all of them: differences below a third mean nothing. */
function wire(): Row[] {
  return measureWire().map(({ name, ns, floorNs, why }) => ({
    ...{ name: `veth: ${name}`, value: ns, unit: 'ns' },
    against: { name: 'bare drop by XDP', value: floorNs },
    ...(why === '' ? {} : { note: why }),
  }));
}

async function router(bpffs: string): Promise<Row[]> {
  const { stated, byMaps } = await measureRouterMemory(bpffs);
  const against = { name: 'stated', value: stated / mebibyte };
  const unit = 'MiB';
  return [
    {
      ...{ name: "a router's policy, kernel memory stated", value: stated / mebibyte, unit },
      budget: { of: 'value', most: 16 },
    },
    { name: "a router's policy, by its maps", value: byMaps / mebibyte, unit, against },
  ];
}

const size = { rules: 10_000, prefixes: 1_000_000 };

function apply(): Row[] {
  const figures = measureApply(size);
  const name = `${size.rules.toLocaleString('en-US')} rules and ${size.prefixes.toLocaleString('en-US')} prefixes`;
  const end = figures.steps.findIndex(([step]) => step === 'swapped') + 1;
  return [
    {
      ...{ name: `${name}, to live`, value: figures.totalMs, unit: 'ms' },
      ...(figures.nftMs === null
        ? {}
        : { against: { name: 'nft, the prefixes alone', value: figures.nftMs } }),
      budget: { of: 'value', most: 3000 },
    },
    { name: `${name}, processor time`, value: figures.cpuMs, unit: 'ms' },
    ...figures.steps
      .slice(0, end)
      .map(([step, value]): Row => ({ name: `(… until ${step})`, value, unit: 'ms' })),
    {
      ...{ name: `${name}, rules proven by packets`, value: figures.provenRules, unit: 'rules' },
      note: figures.proven,
    },
    { name: `${name}, the bundle`, value: figures.bundleBytes / mebibyte, unit: 'MiB' },
    {
      ...{ name: `${name}, resident at most of the process that prepares it`, unit: 'MiB' },
      value: figures.preparePeak / mebibyte,
    },
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
