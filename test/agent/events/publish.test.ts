// Goal: everything spooled reaches the controller in order, again and again until it is acknowledged, with
// little under way at a time, however the broker and the controller behave.
// Method: a real spool, a clock that is moved by hand, and a broker played here: it takes batches, refuses
// them, swallows them, and acknowledges late, twice, wrongly or not at all.

import { readdirSync, statSync, truncateSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import type { EventBatch, Stream } from '../../../agent/contract/event.ts';
import { batchEventsMax } from '../../../agent/contract/limits.ts';
import { Publisher } from '../../../agent/events/publish.ts';
import type { Spool } from '../../../agent/events/spool.ts';
import { silentLog } from '../../../agent/os/log.ts';
import { parseDeviceMessage } from '../../../fleet/inbox/message.ts';
import { openStore } from '../../../fleet/store/open.ts';
import type { TestClock } from '../../lab/test-clock.ts';
import { audit, bootA, inEnvelope, lostIn, numbers, openSpool, readAll, spoolFolder } from './lab.ts';

interface Line {
  readonly spool: Spool;
  readonly clock: TestClock;
  readonly publisher: Publisher;
  readonly sent: EventBatch[];
  /** What the broker does with the next batches. */
  broker: (batch: EventBatch) => Promise<void>;
  append(stream: Stream, first: number, last: number): void;
}

function openLine(t: Test, before: (spool: Spool) => void = () => {}): Line {
  const { spool, clock } = openSpool(spoolFolder(t));
  before(spool);
  const sent: EventBatch[] = [];
  const line: Line = {
    spool,
    clock,
    sent,
    broker: async () => {},
    publisher: new Publisher({
      spool,
      clock,
      log: silentLog,
      random: { bytes: (count) => new Uint8Array(count), fraction: () => 0.5 },
      publish: (batch) => {
        sent.push(batch);
        return line.broker(batch);
      },
    }),
    append: (stream, first, last) => {
      for (let n = first; n <= last; n++) spool.append(stream, audit(n));
      line.publisher.wake(stream);
    },
  };
  t.teardown(async () => {
    line.publisher.close();
    await spool.close();
  });
  return line;
}

const down = () => Promise.reject(new Error('no link'));
const numbersOf = (batches: readonly EventBatch[]) => batches.flatMap((batch) => numbers(batch.events));
const range = (first: number, last: number) => Array.from({ length: last - first + 1 }, (_, i) => first + i);

t.test('sends what is spooled soon after, gathered into one batch, and nothing twice', async (t) => {
  const { append, clock, publisher, sent, spool } = openLine(t);
  append('alert', 1, 1);
  t.equal(sent.length, 0, 'not in the same moment');
  append('alert', 2, 3);
  await clock.advance(50);
  t.match(sent, [{ stream: 'alert', events: [{ seq: 1 }, { seq: 2 }, { seq: 3 }] }]);
  t.ok(publisher.acknowledge({ stream: 'alert', upTo: 3 }));
  append('alert', 4, 4);
  await clock.advance(50);
  t.strictSame(numbersOf(sent), [1, 2, 3, 4]);
  t.ok(publisher.acknowledge({ stream: 'alert', upTo: 4 }));
  t.strictSame(readAll(spool, 'alert'), []);
  await clock.advance(3_600_000);
  t.strictSame(numbersOf(sent), [1, 2, 3, 4]);
});

t.test('sends what an earlier run left behind', async (t) => {
  const { clock, sent, publisher } = openLine(t, (spool) => {
    for (let n = 1; n <= 5; n++) spool.append('audit', audit(n));
    spool.acknowledge('audit', 2);
  });
  // The earlier run had sent them: an acknowledgement may still be on its way.
  t.ok(publisher.acknowledge({ stream: 'audit', upTo: 3 }));
  await clock.advance(1000);
  t.strictSame(numbersOf(sent), [4, 5]);
});

t.test('has one batch under way, and goes on with its acknowledgement', async (t) => {
  const { append, clock, publisher, sent } = openLine(t);
  const count = batchEventsMax * 10;
  append('alert', 1, count);
  await clock.advance(100);
  for (let batches = 1; batches <= 10; batches++) {
    t.equal(sent.length, batches);
    publisher.acknowledge({ stream: 'alert', upTo: sent.at(-1)?.events.at(-1)?.seq });
  }
  t.strictSame(numbersOf(sent), range(1, count));
});

t.test('an acknowledgement of a part leaves the rest under way', async (t) => {
  const { append, clock, publisher, sent } = openLine(t);
  append('alert', 1, 10);
  await clock.advance(100);
  publisher.acknowledge({ stream: 'alert', upTo: 4 });
  append('alert', 11, 12);
  await clock.advance(100);
  t.equal(sent.length, 1);
  await clock.advance(15_000);
  t.strictSame(numbersOf(sent.slice(1)), range(5, 12), 'and sends it again in its time');
});

t.test('one stream under way does not hold up another', async (t) => {
  const { append, clock, sent } = openLine(t);
  append('packet', 1, batchEventsMax * 10);
  await clock.advance(1000);
  append('alert', 1, 1);
  await clock.advance(100);
  t.equal(sent.at(-1)?.stream, 'alert');
});

t.test('without an acknowledgement: again, with what came since, ever more rarely', async (t) => {
  const { append, clock, publisher, sent } = openLine(t);
  append('alert', 1, 2);
  await clock.advance(100);
  append('alert', 3, 3);
  await clock.advance(14_000);
  t.equal(sent.length, 1);
  await clock.advance(1_000);
  t.strictSame(numbersOf(sent), [1, 2, 1, 2, 3]);
  await clock.advance(3_600_000);
  t.ok(sent.length <= 14, `${sent.length} in an hour`);
  t.ok(sent.length >= 9, 'but it does not give up');

  append('alert', 4, 4);
  publisher.acknowledge({ stream: 'alert', upTo: 3 });
  t.strictSame(numbersOf(sent.slice(-1)), [4], 'then what is next at once');
  const before = sent.length;
  await clock.advance(15_000);
  t.equal(sent.length, before + 1, 'and waits as at first');
});

t.test('the broker away: nothing is lost, and all of it comes when it is back', async (t) => {
  const line = openLine(t);
  const { append, clock, sent } = line;
  line.broker = down;
  append('alert', 1, 10);
  await clock.advance(600_000);
  append('alert', 11, 20);
  await clock.advance(600_000);
  const tries = sent.length;
  t.ok(tries > 10 && tries < 200, `${tries} tries in twenty minutes`);
  line.broker = async () => {};
  await clock.advance(60_000);
  t.strictSame(numbersOf(sent.slice(tries)), range(1, 20));
});

t.test('a new session sends again at once what the old one took with it', async (t) => {
  const line = openLine(t);
  const { append, clock, publisher, sent } = line;
  append('alert', 1, 3);
  await clock.advance(100);
  publisher.acknowledge({ stream: 'alert', upTo: 2 });
  line.broker = down;
  append('alert', 4, 5);
  append('audit', 1, 1);
  await clock.advance(100);
  line.broker = async () => {};
  sent.length = 0;
  publisher.connected();
  t.strictSame(numbersOf(sent), [1, ...range(3, 5)]);
  await clock.advance(14_000);
  t.strictSame(numbersOf(sent), [1, ...range(3, 5)], 'the retry that was waiting does not send once more');
});

t.test('an answer to what an old session sent does not stop the new one', async (t) => {
  const line = openLine(t);
  const { append, clock, publisher, sent } = line;
  let fail: () => void = () => {};
  line.broker = () => new Promise((_, reject) => (fail = () => reject(new Error('closed'))));
  append('alert', 1, 3);
  await clock.advance(100);
  line.broker = async () => {};
  publisher.connected();
  fail();
  await clock.advance(10);
  publisher.acknowledge({ stream: 'alert', upTo: 3 });
  append('alert', 4, 4);
  await clock.advance(100);
  t.strictSame(numbersOf(sent), [1, 2, 3, 1, 2, 3, 4]);
});

t.test(
  'away for longer than the spool is large: the newest come, and a gap tells how many do not',
  async (t) => {
    const line = openLine(t);
    const { clock, publisher, sent, spool } = line;
    line.broker = down;
    const count = 40_000;
    for (let n = 1; n <= count; n++) {
      spool.append('alert', audit(n, 100));
      publisher.wake('alert');
      if (n % 1000 === 0) await clock.advance(30_000);
    }
    line.broker = async (batch) => {
      const upTo = batch.events.at(-1)?.seq;
      // The controller acknowledges what it has stored.
      setImmediate(() => publisher.acknowledge({ stream: batch.stream, upTo }));
    };
    sent.length = 0;
    for (let turn = 0; turn < 200 && spool.acknowledged('alert') < count; turn++) await clock.advance(1000);
    t.equal(spool.acknowledged('alert'), count);
    const events = sent.flatMap((batch) => batch.events);
    const kept = events.filter(({ event }) => event.kind === 'audit');
    t.ok(lostIn(events) > 0);
    t.equal(kept.length + lostIn(events), count, 'every event came or was counted, once');
    t.equal(spool.status().streams.alert.lost, lostIn(events));
  },
);

t.test(
  'one event that the broker will not have is found, given up and counted; all others come',
  async (t) => {
    const line = openLine(t);
    const { append, clock, publisher, sent, spool } = line;
    const poison = new Set([137, 900]);
    const arrived: number[] = [];
    line.broker = async (batch) => {
      const inside = numbers(batch.events);
      if (inside.some((n) => poison.has(n))) throw Object.assign(new Error('no'), { kind: 'refused' });
      arrived.push(...inside);
      const upTo = batch.events.at(-1)?.seq;
      setImmediate(() => publisher.acknowledge({ stream: batch.stream, upTo }));
    };
    append('alert', 1, 1500);
    for (let turn = 0; turn < 200 && spool.acknowledged('alert') < 1502; turn++) await clock.advance(100);
    t.equal(spool.acknowledged('alert'), 1502);
    const there = new Set(arrived);
    t.strictSame(
      range(1, 1500).filter((n) => !there.has(n)),
      [...poison],
    );
    t.equal(arrived.filter((n) => n === -1).length, 2, 'each is a gap');
    t.ok(sent.length < 80, `${sent.length} batches`);
  },
);

t.test(
  'with the controller’s own store: crashes, jumps and losses are what the device says they are',
  async (t) => {
    const folder = spoolFolder(t);
    const store = openStore(':memory:');
    const device = 'a'.repeat(26);
    const bytesMax = 512 * 1024;
    const deliver = async (spool: Spool, publisher: Publisher, clock: TestClock, batches: EventBatch[]) => {
      for (let turn = 0; turn < 400 && spool.acknowledged('alert') < spool.lastSeq('alert'); turn++) {
        await clock.advance(100);
        for (const batch of batches.splice(0)) {
          const bytes = Buffer.from(JSON.stringify(inEnvelope(batch)));
          const message = parseDeviceMessage('ev', bytes);
          if (message.kind !== 'events') throw new Error(message.kind);
          const { body } = message.envelope;
          const { upTo, conflicting } = store.transaction(() => store.events.append(device, body, bootA, 1));
          if (conflicting > 0) t.fail(`${conflicting} numbers used twice`);
          if (upTo !== null) publisher.acknowledge({ stream: batch.stream, upTo });
        }
      }
    };
    let n = 0;
    for (let round = 0; round < 4; round++) {
      const { spool, clock } = openSpool(folder, { bytesMax });
      const batches: EventBatch[] = [];
      const publisher = new Publisher({
        spool,
        clock,
        log: silentLog,
        random: { bytes: (count) => new Uint8Array(count), fraction: () => 0.5 },
        publish: async (batch) => void batches.push(batch),
      });
      // The last round loses most of it to the limit.
      for (let i = 0; i < (round === 3 ? 3000 : 700); i++) spool.append('alert', audit(++n, 60));
      // The second round is not delivered before the crash, and the spool of the third is cut.
      if (round !== 1) await deliver(spool, publisher, clock, batches);
      publisher.close();
      // No close: the next round finds what a crash leaves.
      if (round === 1) {
        const newest =
          readdirSync(folder)
            .filter((name) => name.startsWith('alert'))
            .sort()
            .at(-1) ?? '';
        truncateSync(join(folder, newest), statSync(join(folder, newest)).size - 5);
      }
    }
    const stored = store.events
      .list({ after: 0, limit: 100_000 })
      .filter(({ event }) => event.kind === 'audit');
    const gaps = store.events.gaps();
    t.equal(new Set(numbers(stored)).size, stored.length);
    t.ok(stored.length > 2000 && stored.length < n - 1000, `${stored.length} of ${n} stored`);
    t.strictSame(
      gaps.filter(({ lost }) => lost > 0),
      [{ device, stream: 'alert', lost: n - stored.length, place: 'spool' }],
      'nothing unexplained',
    );
  },
);

t.test('an acknowledgement from outside is not believed', async (t) => {
  const { append, clock, publisher, sent, spool } = openLine(t);
  append('alert', 1, 3);
  await clock.advance(100);
  append('alert', 4, 6);
  for (const body of [
    null,
    undefined,
    7,
    'alert',
    [],
    {},
    { stream: 'alert' },
    { stream: 'alert', upTo: '3' },
    { stream: 'alert', upTo: -1 },
    { stream: 'alert', upTo: 1.5 },
    { stream: 'alert', upTo: Number.NaN },
    { stream: 'alert', upTo: 2 ** 53 },
    { stream: '__proto__', upTo: 3 },
    { stream: 'toString', upTo: 3 },
  ]) {
    t.notOk(publisher.acknowledge(body), JSON.stringify(body));
  }
  t.equal(spool.acknowledged('alert'), 0);
  t.ok(publisher.acknowledge({ stream: 'alert', upTo: 1_000_000 }));
  t.equal(spool.acknowledged('alert'), 3, 'never more than was sent');
  await clock.advance(100);
  t.strictSame(numbersOf(sent), range(1, 6));
  t.ok(publisher.acknowledge({ stream: 'alert', upTo: 2 }), 'an old one is no news');
  t.equal(spool.acknowledged('alert'), 3);
});
