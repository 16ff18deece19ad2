// Goal: an answer is put together from its parts, comes from the device that was asked, and never keeps anybody
// waiting beyond the deadline.
// Method: the questions alone, with a publisher that only keeps what it was given.

import t from 'tap';
import type { Envelope } from '../../agent/contract/envelope.ts';
import type { Query } from '../../agent/contract/query.ts';
import { Questions } from '../../fleet/ask-device.ts';

const device = 'abcdefghijklmnopqrstuvwxyz';

function scene() {
  const asked: { topic: string; query: Query }[] = [];
  const state = { fails: false };
  const questions = new Questions({
    tenant: 'acme',
    who: 'controller',
    publish: async (topic, payload) => {
      if (state.fails) throw new Error('no link');
      asked.push({ topic, query: (JSON.parse(payload) as Envelope<Query>).body });
    },
    envelope: (k, body) => ({ v: 1, k, sid: 0, boot: '', seq: 1, mono: 1, ts: 1, tq: 'ntp', body }),
  });
  const ask = (withinMs = 1000) => {
    const rows = questions.ask(device, 'rules', { a: 1 }, withinMs);
    rows.catch(() => {});
    return { rows, id: asked.at(-1)?.query.id ?? '' };
  };
  return { questions, asked, ask, state };
}

t.test('parts in any order become rows in order', async (t) => {
  const { questions, asked, ask } = scene();
  const { rows, id } = ask();
  t.match(asked, [
    {
      topic: `husk/acme/d/${device}/dn/rq`,
      query: { view: 'rules', args: { a: 1 }, who: 'controller', withinMs: 1000 },
    },
  ]);
  questions.answer(device, { id, part: 2, last: true, rows: [5] });
  questions.answer(device, { id, part: 0, last: false, rows: [1, 2] });
  questions.answer(device, { id, part: 0, last: false, rows: [1, 2] });
  questions.answer(device, { id, part: 1, last: false, rows: [3, 4] });
  t.same(await rows, [1, 2, 3, 4, 5]);
  questions.answer(device, { id, part: 0, last: true, rows: ['late'] });
  t.equal(questions.unasked, 1);
});

t.test('an answer of another device is not one', async (t) => {
  const { questions, ask } = scene();
  const { rows, id } = ask();
  questions.answer('zyxwvutsrqponmlkjihgfedcba', { id, part: 0, last: true, rows: ['forged'] });
  questions.answer(device, { id, part: 0, last: true });
  t.same(await rows, []);
  t.equal(questions.unasked, 1);
});

t.test('refusals, deadlines, endless answers and a lost link end it', async (t) => {
  const { questions, ask, state } = scene();
  const refused = ask();
  questions.answer(device, {
    id: refused.id,
    part: 0,
    last: true,
    refusal: { code: 'query.busy', detail: 'four' },
  });
  await t.rejects(refused.rows, { code: 'query.busy', detail: 'four' });
  const late = ask(20);
  questions.answer(device, { id: late.id, part: 1, last: true, rows: [] });
  await t.rejects(late.rows, { code: 'query.deadline' }, 'a part is missing');
  const endless = ask();
  questions.answer(device, { id: endless.id, part: 256, last: false });
  await t.rejects(endless.rows, { code: 'query.malformed' });
  state.fails = true;
  await t.rejects(ask().rows, /no link/);
});

t.test('questions that wait are bounded', async (t) => {
  const { ask } = scene();
  const all = Array.from({ length: 257 }, () => ask(50));
  await t.rejects(async () => all[256]?.rows, { code: 'query.busy' });
  const results = await Promise.allSettled(all.map((one) => one.rows));
  t.equal(
    results.filter((one) => one.status === 'rejected' && one.reason.code === 'query.deadline').length,
    256,
  );
  await t.rejects(ask(10).rows, { code: 'query.deadline' }, 'and there is room again');
});
