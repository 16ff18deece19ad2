// Goal: the parts that the table stands on hold by themselves: entries that overlap keep their order, and every
// class finds the words it needs on the lines it was given.
// Method: lists and vectors from seeds, against the definition.

import t from 'tap';
import { addressField } from '../../../../agent/policy/classifier/address-classes.ts';
import { plainFields } from '../../../../agent/policy/classifier/cross-classes.ts';
import type { ClassifierEntry } from '../../../../agent/policy/classifier/entry.ts';
import { LinePacker } from '../../../../agent/policy/classifier/line-packer.ts';
import { orderOf } from '../../../../agent/policy/classifier/order.ts';
import { portsOverlap } from '../../../../agent/policy/ports.ts';
import { firstOverlap, type Ranges } from '../../../../agent/policy/ranges.ts';
import { Random, ruleList, shapes } from '../../../bench/rule-lists.ts';

const none: Ranges = new Uint32Array();

/** Whether a packet can match both; for entries that ask for addresses, protocol and ports of IPv4. */
function overlap(a: ClassifierEntry, b: ClassifierEntry): boolean {
  const both = (one: Ranges | undefined, other: Ranges | undefined) =>
    firstOverlap(one ?? none, other ?? none) !== null;
  if (!both(a.ipv4?.from, b.ipv4?.from) || !both(a.ipv4?.to, b.ipv4?.to)) return false;
  if (a.protocols && b.protocols && !a.protocols.some((one) => b.protocols?.includes(one))) return false;
  if (a.ports === null || b.ports === null) return true;
  return portsOverlap(a.ports.from, b.ports.from) && portsOverlap(a.ports.to, b.ports.to);
}

t.test('in a section, entries that overlap keep their order', async (t) => {
  for (const shape of shapes) {
    const entries = ruleList(shape, 700, { seed: 9 });
    const order = orderOf(entries, {
      source4: addressField(
        'ipv4',
        entries.map((entry) => entry.ipv4?.from ?? null),
      ),
      destination4: addressField(
        'ipv4',
        entries.map((entry) => entry.ipv4?.to ?? null),
      ),
      source6: addressField(
        'ipv6',
        entries.map(() => null),
      ),
      destination6: addressField(
        'ipv6',
        entries.map(() => null),
      ),
      ...plainFields(entries),
    });
    const sectionAt = (entry: number) => order.sectionOf[(order.position[entry] as number) >> 6];
    let kept = 0;
    let turned = 0;
    for (let later = 0; later < entries.length; later++) {
      for (let earlier = 0; earlier < later; earlier++) {
        if (sectionAt(earlier) !== sectionAt(later)) continue;
        if (!overlap(entries[earlier] as ClassifierEntry, entries[later] as ClassifierEntry)) continue;
        if ((order.position[earlier] as number) < (order.position[later] as number)) kept++;
        else turned++;
      }
    }
    t.equal(turned, 0, `${shape}: ${kept} pairs that overlap`);
    t.ok(kept > 0);
    t.strictSame(
      [...order.entryAt].filter((entry) => entry >= 0).sort((a, b) => a - b),
      entries.map((_, index) => index),
      'every entry has one place',
    );
    t.not(order.entryAt.join(), entries.map((_, index) => index).join(), 'something was moved');
  }
});

t.test('a need finds its words on its line', async (t) => {
  for (let seed = 1; seed <= 20; seed++) {
    const random = new Random(seed);
    const vectors = Array.from({ length: 400 }, () => {
      const vector = new Uint32Array(16);
      for (let word = 0; word < 8; word++)
        if (random.below(3) === 0) vector[word * 2 + random.below(2)] = 1 + random.below(3);
      return vector;
    });
    const packer = new LinePacker();
    const needs = vectors.map((vector) => packer.need(vector, 0));
    const { words, lines, lineOf } = packer.pack();
    vectors.forEach((vector, index) => {
      const need = needs[index] as number;
      if (need < 0) {
        t.ok(
          vector.every((word) => word === 0),
          `seed ${seed}`,
        );
        return;
      }
      const line = (lineOf[need] as number) * 16;
      for (let word = 0; word < 8; word++) {
        const low = vector[word * 2] as number;
        const high = vector[word * 2 + 1] as number;
        if ((low | high) === 0) continue;
        if (words[line + word * 2] !== low || words[line + word * 2 + 1] !== high)
          t.fail(`seed ${seed}: need ${index}`);
      }
    });
    t.ok(lines < 300, `seed ${seed}: ${lines} lines are shared by 400`);
  }
});
