// Goal: what is kept as the baseline is exactly what was measured, and what a row says of its budget is so.
// Method: runs of some parts over a baseline that has those, others, parts that are gone, and rows of no part.

import t from 'tap';
import { againstText, budgetText, keptOf, type PartRow, type Results, type Row, sameRow } from './rows.ts';

const machine = { cpu: 'one', cpus: 2, kernel: '6.18', memoryMib: 1024 };
const row = (part: string, name: string, value: number): PartRow => ({ part, name, value, unit: 'ns' });
const results = (at: string, ...rows: readonly PartRow[]): Results => ({ machine, at, rows });
const parts = ['filter', 'sets', 'events'];
const { part: _, ...ofNoPart } = row('', 'from before rows had parts', 1);

const before = results(
  'before',
  row('events', 'rate', 10),
  row('filter', 'stays', 20),
  row('filter', 'renamed since', 30),
  row('gone', 'of a part that is gone', 40),
  ofNoPart as PartRow,
  row('sets', 'hits', 50),
);

t.test('a run of one part replaces its rows, keeps those of others, and drops the rest', async (t) => {
  const run = results('now', row('filter', 'stays', 21), row('filter', 'new', 31));
  t.strictSame(
    keptOf(run, ['filter'], { before, parts }),
    results(
      'now',
      row('filter', 'stays', 21),
      row('filter', 'new', 31),
      row('sets', 'hits', 50),
      row('events', 'rate', 10),
    ),
  );
});

t.test('a run of all parts is kept as it is, whatever was kept before', async (t) => {
  const run = results('now', row('filter', 'stays', 21), row('sets', 'hits', 51), row('events', 'rate', 11));
  t.strictSame(keptOf(run, parts, { before, parts }), run);
  t.strictSame(keptOf(run, parts, { before: null, parts }), run);
});

t.test('a part that ran and gave no row has none', async (t) => {
  const kept = keptOf(results('now'), ['filter'], { before, parts });
  t.strictSame(
    kept.rows.map(({ part }) => part),
    ['sets', 'events'],
  );
});

t.test('rows of two parts may have one name', async (t) => {
  const kept = results('before', row('sets', 'hits', 50), row('events', 'hits', 60));
  t.equal(sameRow(kept, row('events', 'hits', 1))?.value, 60);
  t.equal(sameRow(kept, row('filter', 'hits', 1)), undefined);
  t.equal(sameRow(null, row('sets', 'hits', 1)), undefined);
});

t.test(
  'a budget is of the value or of the ratio, and one that was not measured is neither kept nor missed',
  async (t) => {
    const of = (value: number | null, of: 'value' | 'ratio', most: number): Row => ({
      ...{ name: 'x', value, unit: 'ns', against: { name: 'floor', value: 10 } },
      budget: { of, most },
    });
    t.equal(budgetText(of(5, 'value', 5)), '<= 5, kept');
    t.equal(budgetText(of(5.01, 'value', 5)), '<= 5, missed');
    t.equal(budgetText(of(0, 'value', 0)), '<= 0, kept');
    t.equal(budgetText(of(1, 'value', 0)), '<= 0, missed');
    t.equal(budgetText(of(34, 'ratio', 3.5)), '<= 3.5 ×, kept');
    t.equal(budgetText(of(36, 'ratio', 3.5)), '<= 3.5 ×, missed');
    t.equal(budgetText(of(null, 'value', 5)), '<= 5');
    t.equal(budgetText({ name: 'x', value: 5, unit: 'ns' }), '');
    t.equal(againstText(of(149, 'value', 5)), '×14.90 floor');
    t.equal(againstText(of(null, 'value', 5)), '');
  },
);
