// What it costs that a policy can be switched: asking the live word which slot is in force, and finding the tables
// through maps of maps.
//
// In the program that judges, against the same one that does not ask (test/bench/bpf/xdp_one_slot.bpf.c), with and
// without rules, outside a trial and in one; and by itself (xdp_slots.bpf.c), where none of it hides behind other work.

import { readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import type { Kernel } from '../../../agent/kernel/kernel.ts';
import { compile } from '../../../agent/policy/compile.ts';
import { addon, type ProgramHandle } from '../../../native/index.ts';
import { plainFacts } from '../../lab/plain-kernel.ts';
import { packetOf, Random, ruleList } from '../rule-lists.ts';
import { liveProgram, noDigest, objectFiles, openKernel } from '../subject.ts';
import { enforce } from './judged.ts';
import { loadTestObject, Player } from './play.ts';
import { packetPolicy, rulesOf } from './policies.ts';

export interface SlotFigures {
  /** Nanoseconds that asking adds to the judgement of a packet: outside a trial, with rules, and in a trial. */
  readonly plain: number;
  readonly withRules: number;
  readonly inTrial: number;
  /** By themselves, one after another: reading the word, and one table by its slot instead of by its name. */
  readonly word: number;
  readonly table: number;
}

const rounds = 7;
const testObjects = resolve(import.meta.dirname, '../../../build/test-bpf');
/** As in xdp_slots.bpf.c. */
const slotRounds = 16;
const slotTables = 4;

export async function measureSlots(bpffs: readonly [string, string]): Promise<SlotFigures> {
  const alone = measureAlone();
  const real = await openKernel(bpffs[0]);
  try {
    const oneSlot = new Uint8Array(readFileSync(join(testObjects, 'xdp_one_slot.bpf.o')));
    const other = await openKernel(bpffs[1], undefined, { ...objectFiles(), xdp_ingress: oneSlot });
    try {
      const programs = [liveProgram(bpffs[0]), liveProgram(bpffs[1])] as const;
      return { ...(await measureJudged([real, other], programs)), ...alone };
    } finally {
      other.unload([]);
    }
  } finally {
    real.unload([]);
  }
}

async function measureJudged(
  kernels: readonly [Kernel, Kernel],
  programs: readonly [ProgramHandle, ProgramHandle],
): Promise<Pick<SlotFigures, 'plain' | 'withRules' | 'inTrial'>> {
  const player = new Player();
  try {
    for (const kernel of kernels) kernel.setPacketEventsPerSecond(0);
    const random = new Random(7);
    const entries = ruleList('acl1', 1000, { family: 'ipv4' });
    player.setPackets(
      4,
      Array.from({ length: 4096 }, () => packetOf(random.pick(entries), random)),
    );
    const added = () => {
      const differences = Array.from({ length: rounds }, () => {
        const [asking = Number.NaN, not = Number.NaN] = player.measure(programs);
        return asking - not;
      });
      return differences.toSorted((a, b) => a - b)[rounds >> 1] ?? Number.NaN;
    };
    const inBoth = async (documents: ReturnType<typeof packetPolicy>) => {
      for (const kernel of kernels) {
        kernel.setPacketEventsPerSecond(0);
        // The one that does not ask judges by slot 0: both slots are given the same.
        for (const _ of [0, 1]) await enforce(kernel, documents);
      }
    };
    await inBoth(packetPolicy({ rules: [], default: 'drop' }));
    const plain = added();
    await inBoth(packetPolicy({ rules: rulesOf(entries, 'drop') }));
    const withRules = added();
    const [real] = kernels;
    const image = compile(
      packetPolicy({ rules: rulesOf(entries, 'drop') }),
      plainFacts([{ name: 'lo', index: 1 }], (id) => real.ruleIndex(id)),
    );
    const generation = await real.loadStandby({ serial: 1_000_000, bundleDigest: noDigest, image });
    const trial = real.beginTrial(generation, 600);
    const inTrial = added();
    real.returnNow(trial);
    return { plain, withRules, inTrial };
  } finally {
    player.close();
  }
}

function measureAlone(): Pick<SlotFigures, 'word' | 'table'> {
  const object = loadTestObject('xdp_slots');
  try {
    const frame = new Uint8Array(64);
    const names = ['bench_without_slots', 'bench_live_word', 'bench_by_slot'] as const;
    const times = names.map((): number[] => []);
    for (let round = 0; round < rounds * 3; round++) {
      names.forEach((name, index) => {
        const { durationNs, verdict } = addon.testRun(object.program(name), frame, { repeat: 200_000 });
        if (verdict !== xdpDrop) throw new Error(`${name} returned ${verdict}`);
        times[index]?.push(durationNs);
      });
    }
    const [without = 0, word = 0, bySlot = 0] = times.map((all) => Math.min(...all));
    return { word: (word - without) / slotRounds, table: (bySlot - word) / slotRounds / slotTables };
  } finally {
    object.close();
  }
}

const xdpDrop = 1;
