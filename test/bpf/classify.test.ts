// Goal: the classifier in the kernel finds what the list says, for every packet and in order, in all three sizes.
// Method: test/bench/bpf/classify_keys.bpf.c under BPF_PROG_TEST_RUN, over more than 100,000 keys, every match of
// each up to eight, against the walk over the same table in TypeScript, and that against the reference that goes
// through the entries one by one (for a part of the keys: it is slow).

import t from 'tap';
import { buildClassifier } from '../../agent/policy/classifier/build.ts';
import type { ClassifierEntry, ClassifierKey } from '../../agent/policy/classifier/entry.ts';
import { firstMatch } from '../../agent/policy/classifier/reference.ts';
import { ClassifierWalker } from '../../agent/policy/classifier/walk.ts';
import { worldEntries, worldKey } from '../agent/policy/classifier/worlds.ts';
import { mixedPacket, packetOf, Random, randomPacket, ruleList } from '../bench/rule-lists.ts';
import { ClassifierLab, classifierMissing, keysMax, type Match, matchesMax } from '../lab/classifier.ts';

/** Of the keys, this share is compared with the reference as well. */
const referenceEvery = 8;

/** What the classifier may cost the verifier, in a program that parses as well. */
const instructionsMax = 40_000;

const skip = classifierMissing();

// Walks in TypeScript take their time; tap run by hand gives a file half a minute.
t.setTimeout(280_000);

interface List {
  readonly name: string;
  readonly entries: readonly ClassifierEntry[];
  readonly key: (random: Random) => ClassifierKey;
}

function classBench(shape: 'acl1' | 'acl2' | 'fw1' | 'ipc1', count: number, family: 'ipv4' | 'ipv6'): List {
  const entries = ruleList(shape, count, { seed: 5, family });
  return {
    name: `${shape} ${count} ${family}`,
    entries,
    key: (random) =>
      random.weigh([
        [4, () => packetOf(random.pick(entries), random)],
        [4, () => mixedPacket(entries, random)],
        [1, () => randomPacket(family, random)],
      ])(),
  };
}

const world = (count: number): List => ({
  name: `world of ${count}`,
  entries: worldEntries(new Random(count), count),
  key: worldKey,
});

t.test('the kernel agrees with the list', { skip }, async (t) => {
  const { addon } = await import('../../native/index.ts');
  const lists = [
    ...[world(1), world(64), world(65), world(700)],
    ...[
      classBench('acl1', 1000, 'ipv4'),
      classBench('fw1', 10_000, 'ipv4'),
      classBench('acl2', 10_000, 'ipv6'),
    ],
    ...[classBench('ipc1', 10_000, 'ipv4')],
  ];
  let compared = 0;
  let several = 0;
  for (const { name, entries, key } of lists) {
    const random = new Random(entries.length + 1);
    const keys = Array.from({ length: keysMax }, () => key(random));
    const image = buildClassifier(entries);
    const walker = new ClassifierWalker(image.bytes);
    const lab = new ClassifierLab(addon);
    await lab.load(image);
    const found = await lab.matches(keys);
    lab.close();
    let wrong = 0;
    keys.forEach((one, index) => {
      const all = found[index] ?? [];
      const isReference = index % referenceEvery === 0 || entries.length < 100;
      const next = isReference
        ? (from: number) => firstMatch(entries, one, from)
        : (from: number) => walker.first(one, from).entry;
      if (JSON.stringify(matchesOf(entries, next)) !== JSON.stringify(all)) wrong++;
      if (all.length > 1) several++;
      compared++;
    });
    t.equal(wrong, 0, `${name}: ${keys.length} keys`);
  }
  t.ok(compared > 100_000, `${compared} keys`);
  t.ok(several > 10_000, `${several} of them match several entries`);
});

function matchesOf(entries: readonly ClassifierEntry[], next: (from: number) => number): Match[] {
  const all: Match[] = [];
  for (let from = 0; all.length < matchesMax; ) {
    const entry = next(from);
    if (entry < 0) break;
    all.push({ entry, row: entries[entry]?.row ?? -1 });
    from = entry + 1;
  }
  return all;
}

t.test('it costs the verifier little', { skip }, async (t) => {
  const { addon } = await import('../../native/index.ts');
  const lab = new ClassifierLab(addon);
  t.teardown(() => lab.close());
  const count = lab.verifiedInstructions('classify_one');
  t.ok(count < instructionsMax, `${count} instructions`);
});
