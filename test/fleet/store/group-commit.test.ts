// Goal: many changes cost one commit, nobody is told before it, and one that fails takes no other with it.
// Method: a real store in memory, and one whose commits fail.

import { pino } from 'pino';
import t from 'tap';
import { GroupCommit } from '../../../fleet/store/group-commit.ts';
import { openStore } from '../../../fleet/store/open.ts';

const log = pino({ level: 'silent' });

function scene() {
  const store = openStore(':memory:');
  let transactions = 0;
  const counting = {
    savepoint: store.savepoint,
    transaction: <T>(work: () => T): T => {
      transactions += 1;
      return store.transaction(work);
    },
  };
  const token = (id: string) => () =>
    store.tokens.add({ id, secret: new Uint8Array(1), uses: 1, createdAt: 1, expiresAt: 2 });
  return { store, commits: new GroupCommit(counting, log), token, transactions: () => transactions };
}

t.test('changes are committed together, and only then told', async (t) => {
  const { store, commits, token, transactions } = scene();
  const told: string[] = [];
  for (const id of ['a', 'b', 'c']) commits.add(token(id), () => told.push(id));
  t.equal(store.tokens.list().length, 0);
  t.same(told, []);
  await new Promise((resolve) => setTimeout(resolve, 100));
  t.equal(store.tokens.list().length, 3);
  t.same(told, ['a', 'b', 'c']);
  t.equal(transactions(), 1);
});

t.test('a heavy queue does not wait', async (t) => {
  const { store, commits, token } = scene();
  commits.add(token('a'), () => {}, 1999);
  t.equal(store.tokens.list().length, 0);
  commits.add(token('b'));
  t.equal(store.tokens.list().length, 2);
});

t.test('a change that fails is left out alone', async (t) => {
  const { store, commits, token } = scene();
  const told: string[] = [];
  commits.add(token('a'), () => told.push('a'));
  commits.add(
    () => {
      token('half')();
      token('a')();
    },
    () => told.push('failed'),
  );
  commits.add(token('b'), () => told.push('b'));
  commits.flush();
  t.same(
    store.tokens.list().map((one) => one.id),
    ['a', 'b'],
  );
  t.same(told, ['a', 'b']);
  t.equal(commits.failed, 1);
});

t.test('a commit that fails tells nobody, and the next one works', async (t) => {
  const { store, token } = scene();
  let isFull = true;
  const commits = new GroupCommit(
    {
      savepoint: store.savepoint,
      transaction: (work) =>
        store.transaction(() => {
          const result = work();
          if (isFull) throw new Error('database or disk is full');
          return result;
        }),
    },
    log,
  );
  const told: string[] = [];
  commits.add(token('a'), () => told.push('a'));
  commits.flush();
  t.same([store.tokens.list().length, told.length, commits.failed], [0, 0, 1]);
  isFull = false;
  commits.add(token('a'), () => told.push('a'));
  commits.close();
  t.same([store.tokens.list().length, told], [1, ['a']]);
});
