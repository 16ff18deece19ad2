// Goal: the live word's transitions hold against programs that read and write it at any moment.
// Method: the two words in plain memory, with a program's part played between the agent's own steps, and a
// clock that is set by hand. test/bpf and test/flow do the same with the real map and real programs.

import t from 'tap';
import {
  decodeLiveWord,
  encodeLiveWord,
  LiveControl,
  type LiveWord,
} from '../../../agent/kernel/live-word.ts';
import { HuskControl } from '../../../bpf/abi/layout.gen.ts';
import type { Words } from '../../../native/index.ts';

const { live, expired } = HuskControl.offset;

class Memory implements Words {
  readonly words = new Map<number, number>();
  /** Played after the next compare-and-swap on the live word. */
  afterSwap: (() => void) | null = null;

  load(offset: number): number {
    return this.words.get(offset) ?? 0;
  }
  store(offset: number, value: number): void {
    this.words.set(offset, value);
  }
  compareExchange(offset: number, expectedValue: number, value: number): number {
    const seen = this.load(offset);
    if (seen === expectedValue) this.store(offset, value);
    this.afterSwap?.();
    this.afterSwap = null;
    return seen;
  }
  close(): void {}
}

function setUp(): { memory: Memory; control: LiveControl; clock: { now: number } } {
  const memory = new Memory();
  const clock = { now: 1000 };
  return { memory, control: new LiveControl(memory, () => clock.now), clock };
}

t.test('encodes and decodes every field', async (t) => {
  for (const word of [
    { trial: false, slot: 0, deadline: 0 },
    { trial: true, slot: 1, deadline: 1 },
    { trial: true, slot: 0, deadline: 2 ** 30 - 1 },
  ] satisfies LiveWord[]) {
    t.same(decodeLiveWord(encodeLiveWord(word)), word);
    t.ok(encodeLiveWord(word) >= 0, 'is unsigned');
  }
  t.throws(() => encodeLiveWord({ trial: true, slot: 0, deadline: 2 ** 30 }), RangeError);
});

t.test('a trial puts the other slot in force until its deadline', async (t) => {
  const { control, clock } = setUp();
  control.settle(0);
  const trial = control.beginTrial(30);
  t.same(trial, { trial: true, slot: 1, deadline: 1030 });
  t.equal(control.inForce, 1);
  clock.now = 1029;
  t.equal(control.inForce, 1);
  clock.now = 1030;
  t.equal(control.inForce, 0, 'the previous slot, without anybody acting');
  t.equal(control.inTrial, false);
});

t.test('a confirmed trial stays in force after its deadline', async (t) => {
  const { control, clock } = setUp();
  control.settle(0);
  const trial = control.beginTrial(30);
  t.equal(control.confirm(trial), 'confirmed');
  clock.now = 5000;
  t.equal(control.inForce, 1);
  t.same(control.word, { trial: false, slot: 1, deadline: 0 });
});

t.test('confirming after the deadline returns, though no program has met it', async (t) => {
  const { control, clock } = setUp();
  control.settle(0);
  const trial = control.beginTrial(30);
  clock.now = 1030;
  t.equal(control.confirm(trial), 'returned');
  t.same(control.word, { trial: false, slot: 0, deadline: 0 });
});

t.test('confirming after a program has fallen back returns', async (t) => {
  const { memory, control } = setUp();
  control.settle(0);
  const trial = control.beginTrial(30);
  memory.store(expired, encodeLiveWord(trial));
  t.equal(control.confirm(trial), 'returned');
  t.equal(control.inForce, 0);
});

t.test('a program that falls back between the first look and the swap wins', async (t) => {
  const { memory, control } = setUp();
  control.settle(0);
  const trial = control.beginTrial(30);
  memory.afterSwap = () => memory.store(expired, encodeLiveWord(trial));
  t.equal(control.confirm(trial), 'returned');
  t.equal(control.inForce, 0);
  t.equal(control.word.trial, false);
});

t.test('a store of `expired` that comes after the confirmation undoes nothing', async (t) => {
  const { memory, control } = setUp();
  control.settle(0);
  const trial = control.beginTrial(30);
  t.equal(control.confirm(trial), 'confirmed');
  memory.store(expired, encodeLiveWord(trial));
  t.equal(control.inForce, 1);
});

t.test('no later trial gets the word that a program stored in `expired`', async (t) => {
  const { memory, control, clock } = setUp();
  control.settle(0);
  const first = control.beginTrial(30);
  memory.store(expired, encodeLiveWord(first));
  control.returnNow(first);
  const second = control.beginTrial(30);
  t.not(encodeLiveWord(second), encodeLiveWord(first), 'even within the same second');
  t.equal(control.inForce, 1);
  t.equal(clock.now, 1000);
});

t.test('a trial cannot begin in a trial, nor return what it did not begin', async (t) => {
  const { memory, control } = setUp();
  control.settle(0);
  const trial = control.beginTrial(30);
  t.throws(() => control.beginTrial(30));
  t.equal(control.confirm(trial), 'confirmed');
  control.returnNow(trial);
  t.equal(control.inForce, 1, 'the word is no longer that trial’s');
  t.equal(memory.load(live), encodeLiveWord({ trial: false, slot: 1, deadline: 0 }));
});
