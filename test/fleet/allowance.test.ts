// Goal: so much at once, so much per second, for each key alone, in bounded memory.
// Method: a clock that is moved by hand.

import t from 'tap';
import { Allowance } from '../../fleet/allowance.ts';
import { testClock } from './test-clock.ts';

t.test('burst and rate', async (t) => {
  const clock = testClock();
  const allowance = new Allowance({ rate: { burst: 3, perSecond: 2 }, keysMax: 10, now: clock.now });
  t.same(
    [1, 2, 3, 4].map(() => allowance.take('a')),
    [true, true, true, false],
  );
  t.ok(allowance.take('b'), 'another key has its own');
  clock.advance(499);
  t.notOk(allowance.take('a'));
  clock.advance(1);
  t.ok(allowance.take('a'));
  clock.advance(1_000_000);
  t.equal(allowance.left('a'), 3, 'never more than the burst');
  t.notOk(allowance.take('a', 4));
  t.ok(allowance.take('a', 3));
  clock.advance(-10_000);
  t.notOk(allowance.take('a'), 'a clock that is set back gives nothing');
  clock.advance(1000);
  t.ok(allowance.take('a'), 'and stops nothing');
});

t.test('the least recently used key is forgotten', async (t) => {
  const allowance = new Allowance({ rate: { burst: 1, perSecond: 0 }, keysMax: 2, now: () => 0 });
  t.ok(allowance.take('a'));
  t.ok(allowance.take('b'));
  t.notOk(allowance.take('a'));
  t.ok(allowance.take('c'));
  t.notOk(allowance.take('a'), 'a was used after b');
  t.ok(allowance.take('b'), 'b begins anew');
});
