// Goal: every question gets its rows or one refusal with the right code, and no number of questions makes
// the device do more than a few at a time.
// Method: the flow with a source of rows that answers, waits or fails as the test says, and a clock that
// stands still.

import t from 'tap';
import { QueryAnswerer } from '../../agent/answer-query.ts';
import { answerPartBytesMax, queriesMax } from '../../agent/contract/limits.ts';
import type { AnswerPart, Query } from '../../agent/contract/query.ts';
import { silentLog } from '../../agent/os/log.ts';
import { makeParts } from '../../agent/query/parts.ts';
import { type Row, shownCount, type ViewSource } from '../../agent/query/views.ts';
import { TestClock } from '../lab/test-clock.ts';

function setUp(change: Partial<ViewSource> = {}) {
  const sent: { readonly who: string; readonly part: AnswerPart }[] = [];
  const clock = new TestClock();
  const source: ViewSource = {
    status: async () => ({ a: 1 }),
    interfaces: async () => [{ name: 'x' }, { name: 'y' }],
    rules: async () => [],
    sets: async () => [],
    connections: async () => [],
    drops: async () => [],
    profile: async () => [],
    shadow: async () => [],
    events: async (count) => [{ count }],
    ...change,
  };
  let linkIsDown = false;
  const answerer = new QueryAnswerer({
    source,
    clock,
    log: silentLog,
    send: async (who, part) => {
      if (linkIsDown) throw new Error('the link is down');
      sent.push({ who, part });
    },
  });
  const cutLink = () => {
    linkIsDown = true;
  };
  return { answerer, clock, sent, cutLink };
}

function ask(view: Query['view'], change: Partial<Query> = {}): Query {
  return { id: 'q1', who: 'ops', view, withinMs: 1000, ...change };
}

t.test('every view answers whom it was asked by', async (t) => {
  const { answerer, sent } = setUp();
  for (const view of ['status', 'interfaces', 'rules', 'sets', 'events'] as const)
    await answerer.answer(ask(view));
  t.strictSame(
    sent.map((one) => [one.who, one.part.last, one.part.rows]),
    [
      ['ops', true, [{ a: 1 }]],
      ['ops', true, [{ name: 'x' }, { name: 'y' }]],
      ['ops', true, []],
      ['ops', true, []],
      ['ops', true, [{ count: 50 }]],
    ],
  );
  await answerer.answer(ask('events', { args: { count: 3 } }));
  t.strictSame(sent.at(-1)?.part.rows, [{ count: 3 }]);
});

t.test('arguments that do not fit are refused', async (t) => {
  const { answerer, sent } = setUp();
  const unfit: readonly Query[] = [
    ask('status', { args: { x: 1 } }),
    ask('events', { args: { count: 0 } }),
    ask('events', { args: { count: 1001 } }),
    ask('events', { args: { count: '5' } }),
    ask('events', { args: { count: 5, since: 1 } }),
  ];
  for (const query of unfit) await answerer.answer(query);
  t.strictSame(
    sent.map((one) => one.part.refusal?.code),
    unfit.map(() => 'query.arguments'),
  );
  t.strictSame(answerer.counts(), { answered: 0, refused: unfit.length });
});

t.test('more questions than places are refused at once, and the places come free again', async (t) => {
  let finish: (rows: Row[]) => void = () => {};
  const rows = new Promise<Row[]>((resolve) => {
    finish = resolve;
  });
  const { answerer, sent } = setUp({ rules: () => rows });
  const running = Array.from({ length: queriesMax }, (_, n) =>
    answerer.answer(ask('rules', { id: `q${n}` })),
  );
  await answerer.answer(ask('status', { id: 'late' }));
  t.match(sent, [{ part: { id: 'late', last: true, refusal: { code: 'query.busy' } } }]);
  finish([]);
  await Promise.all(running);
  await answerer.answer(ask('status', { id: 'later' }));
  t.match(sent.at(-1), { part: { id: 'later', rows: [{ a: 1 }] } });
  t.equal(sent.length, queriesMax + 2);
});

t.test('an answer that is not ready in time is refused, and does not come later', async (t) => {
  let finish: (rows: Row[]) => void = () => {};
  const { answerer, clock, sent } = setUp({
    rules: () =>
      new Promise((resolve) => {
        finish = resolve;
      }),
  });
  const asked = answerer.answer(ask('rules', { withinMs: 500 }));
  await clock.advance(499);
  t.equal(sent.length, 0);
  await clock.advance(1);
  await asked;
  finish([{ late: true }]);
  await clock.advance(1000);
  t.match(sent, [{ part: { refusal: { code: 'query.deadline' } } }]);
  t.equal(sent.length, 1);
});

t.test('a view that fails and a link that is down disturb nobody', async (t) => {
  const { answerer, sent, cutLink } = setUp({ sets: () => Promise.reject(new Error('kernel')) });
  await answerer.answer(ask('sets'));
  t.equal(sent.length, 0);
  cutLink();
  await answerer.answer(ask('status'));
  await answerer.answer(ask('events', { args: { count: 0 } }));
  for (let n = 0; n < queriesMax * 2; n += 1) await answerer.answer(ask('status'));
  t.equal(sent.length, 0, 'and no place is lost');
});

t.test('parts are numbered, bounded, and hold every row once', async (t) => {
  const rows = Array.from({ length: 3000 }, (_, n) => ({ n, text: 'ü'.repeat(n % 50) }));
  const parts = makeParts('id', rows, answerPartBytesMax);
  t.ok(parts.length > 3);
  t.strictSame(
    parts.map((part) => [part.part, part.last]),
    parts.map((_, n) => [n, n === parts.length - 1]),
  );
  t.ok(parts.every((part) => Buffer.byteLength(JSON.stringify(part)) <= answerPartBytesMax));
  t.strictSame(
    parts.flatMap((part) => part.rows),
    rows,
  );
  t.strictSame(makeParts('id', [], 1024), [{ id: 'id', part: 0, last: true, rows: [] }]);
  const [only] = makeParts('id', [{ big: 'x'.repeat(5000) }], 2048);
  t.match(only?.rows, [{ tooLarge: 5011 }], 'a row that fits no part is named');
});

t.test('counts beyond 2^53 are not rounded', async (t) => {
  t.equal(shownCount(2n ** 53n - 1n), 9007199254740991);
  t.equal(shownCount(2n ** 53n + 1n), '9007199254740993');
});
