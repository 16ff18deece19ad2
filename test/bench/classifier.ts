// What a list of rules costs: nanoseconds that the classifier adds to a packet, by length and shape of the list
// and kind of traffic; building the table, loading it, its bytes, and what the verifier processes.
//
// BPF_PROG_TEST_RUN over 16,384 keys by turns. Each figure is the median of differences between a run with the
// classifier and the run without that comes right before it: the machine's own changes are in both.

import { buildClassifier } from '../../agent/policy/classifier/build.ts';
import type { ClassifierEntry, ClassifierKey } from '../../agent/policy/classifier/entry.ts';
import { ClassifierWalker } from '../../agent/policy/classifier/walk.ts';
import { addon } from '../../native/index.ts';
import { ClassifierLab, keysMax } from '../lab/classifier.ts';
import {
  type ListFamily,
  mixedPacket,
  packetOf,
  Random,
  ruleList,
  type Shape,
  shapes,
} from './rule-lists.ts';

export type Traffic = 'from the rules' | 'mixed' | 'matches nothing' | 'worst sampled';

export interface ListFigures {
  readonly shape: Shape;
  readonly family: ListFamily;
  readonly rules: number;
  /** Nanoseconds a packet, added. A list that leaves nothing unmatched has none of that kind. */
  readonly added: readonly (readonly [Traffic, number])[];
  readonly buildMs: number;
  readonly uploadMs: number;
  /** Of the table in the kernel, and what is used of it. */
  readonly bytes: number;
  readonly bytesUsed: number;
  /** Most words that a sampled packet has compared. */
  readonly wordsMax: number;
}

export interface ClassifierFigures {
  readonly lists: readonly ListFigures[];
  readonly verifiedInstructions: number;
}

const counts = [10, 100, 1000, 10_000];
const rounds = 9;
const repeat = 4 * keysMax;
/** The worst packets are repeated by turns, so that no single one is learned by heart. */
const worstCount = 64;

export async function measureClassifier(): Promise<ClassifierFigures> {
  const lists: ListFigures[] = [];
  for (const family of ['ipv4', 'ipv6'] as const) {
    for (const rules of counts) {
      for (const shape of shapes) lists.push(await measureList(shape, rules, family));
    }
  }
  const lab = new ClassifierLab(addon);
  const verifiedInstructions = lab.verifiedInstructions('classify_one');
  lab.close();
  return { lists, verifiedInstructions };
}

async function measureList(shape: Shape, rules: number, family: ListFamily): Promise<ListFigures> {
  const entries = ruleList(shape, rules, { family });
  const times = Array.from({ length: 3 }, () => {
    const started = performance.now();
    buildClassifier(entries);
    return performance.now() - started;
  });
  const image = buildClassifier(entries);
  const { keysOf, wordsMax } = traffic(entries, new ClassifierWalker(image.bytes));
  const lab = new ClassifierLab(addon);
  try {
    const uploadMs = await lab.load(image);
    const added: (readonly [Traffic, number])[] = [];
    for (const [name, keys] of keysOf) {
      if (keys.length === 0) continue;
      await lab.setKeys(keys);
      added.push([name, addedNs(lab)]);
    }
    return {
      ...{ shape, family, rules, added, uploadMs, wordsMax },
      buildMs: median(times),
      bytes: image.bytes.length,
      bytesUsed: image.statistics.bytesUsed,
    };
  } finally {
    lab.close();
  }
}

function traffic(
  entries: readonly ClassifierEntry[],
  walker: ClassifierWalker,
): { readonly keysOf: readonly (readonly [Traffic, ClassifierKey[]])[]; readonly wordsMax: number } {
  const random = new Random(7);
  const fromRules = Array.from({ length: keysMax }, () => packetOf(random.pick(entries), random));
  const mixed = Array.from({ length: keysMax }, () => mixedPacket(entries, random));
  const walked = [...fromRules, ...mixed].map((key) => ({ key, ...walker.first(key) }));
  const unmatched = walked.filter((one) => one.entry < 0).map((one) => one.key);
  const worst = walked.toSorted((a, b) => b.words - a.words || b.nodes - a.nodes).slice(0, worstCount);
  return {
    keysOf: [
      ['from the rules', fromRules],
      ['mixed', mixed],
      ['matches nothing', unmatched],
      ['worst sampled', worst.map((one) => one.key)],
    ],
    wordsMax: worst[0]?.words ?? 0,
  };
}

function addedNs(lab: ClassifierLab): number {
  lab.time('classify_one', repeat);
  return median(
    Array.from({ length: rounds }, () => {
      const without = lab.time('classify_nothing', repeat);
      return lab.time('classify_one', repeat) - without;
    }),
  );
}

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[values.length >> 1] ?? 0;
}
