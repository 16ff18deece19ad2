// Goal: from the real rings to the spool every event is there or counted, in a trickle as in a flood that no
// reader could keep up with.
// Method: the runs of the events bench, short: the real packet program and the real emit under
// BPF_PROG_TEST_RUN on a thread of their own, the real ring thread, decoder, aggregator and spool.

import t from 'tap';
import { benchMissing, measureEvents } from '../../bench/events.ts';

const skip = benchMissing() ?? false;

t.test('a thousand a second: nothing is lost', { skip }, async (t) => {
  const run = await measureEvents('trickle', { how: 'judge', sources: 10, perSecond: 1000, seconds: 2 });
  t.ok(run.accounted, JSON.stringify(run));
  t.ok(run.offered > 1000, `${run.offered} offered`);
  t.strictSame(run.lost, { ring: 0, suppressed: 0, thread: 0, table: 0 });
  t.ok(run.spooled.records < run.offered / 10, `${run.spooled.records} records for ${run.offered} events`);
});

t.test('a flood: what the ring or its thread had no room for is counted', { skip }, async (t) => {
  const run = await measureEvents('flood', { how: 'flood', sources: 1000, perSecond: 0, seconds: 1 });
  t.ok(run.accounted, JSON.stringify(run));
  t.ok(run.lost.ring + run.lost.thread > 0, 'a flood it was');
  t.ok(run.received > 0);
});

t.test('a flood of sources: what the table had no room for is counted', { skip }, async (t) => {
  const run = await measureEvents('sources', {
    how: 'flood',
    sources: 2 ** 24,
    perSecond: 200_000,
    seconds: 1,
  });
  t.ok(run.accounted, JSON.stringify(run));
  t.ok(run.lost.table > 10_000, `${run.lost.table} without room`);
});
