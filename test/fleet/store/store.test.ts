// Goal: what the store promises to those above it: a serial is never given twice, an event is kept once and
// acknowledged only when nothing before it is missing, an older session never overwrites a newer one.
// Method: the tables on real SQLite, in memory and, where it is about the file, on disk.

import { mkdtempSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import t from 'tap';
import type { EventBatch, SpooledEvent, Stream } from '../../../agent/contract/event.ts';
import type { Birth, Reported } from '../../../agent/contract/state.ts';
import { openStore, type Store } from '../../../fleet/store/open.ts';

const device = 'abcdefghijklmnopqrstuvwxyz';
const folder = mkdtempSync(join(tmpdir(), 'husk-store-'));
t.teardown(() => rmSync(folder, { recursive: true }));

function enrolled(store: Store, id = device, hardwareId = `hw-${id}`): void {
  store.devices.enroll({
    ...{ id, hardwareId, hostname: 'box', token: 'tok', at: 1 },
    ...{ certificateSerial: '40', certificateExpires: 2 },
  });
}

function bundle(store: Store, title = 'x') {
  return store.bundles.add({
    ...{
      digest: 'd'.repeat(64),
      bytes: new TextEncoder().encode('0123456789'),
      title,
      trialSeconds: 60,
      createdAt: 1,
    },
  });
}

const birth: Birth = {
  ...{
    state: 'up',
    agent: '1',
    kernel: '6',
    architecture: 'x',
    hostname: 'name',
    inForce: null,
    time: 'ntp',
  },
  nonce: '0'.repeat(64),
};
const reported: Reported = {
  ...{ inForce: null, assignment: null, rules: [], proven: '', tier: 'D', hooks: [], kernelBytes: 0 },
};

t.test('the file', async (t) => {
  const path = join(folder, 'husk.db');
  const store = openStore(path);
  t.equal(statSync(path).mode & 0o777, 0o600, 'is for its owner alone');
  enrolled(store);
  store.close();
  store.close();
  const again = openStore(path);
  t.ok(again.devices.isEnrolled(device), 'keeps what was written');
  again.close();
  const raw = new DatabaseSync(path);
  t.equal(raw.prepare('PRAGMA journal_mode').get()?.journal_mode, 'wal');
  raw.exec('PRAGMA user_version = 99');
  raw.close();
  t.throws(() => openStore(path), /version 99/, 'of a newer program is left alone');
});

t.test('transactions', async (t) => {
  const store = openStore(':memory:');
  t.throws(() =>
    store.transaction(() => {
      enrolled(store);
      throw new Error('no');
    }),
  );
  t.notOk(store.devices.isEnrolled(device), 'all or nothing');
  t.throws(() => store.transaction(() => store.transaction(() => 1)), /in a transaction/);
  store.transaction(() => {
    enrolled(store);
    t.throws(() =>
      store.savepoint(() => {
        enrolled(store, 'b'.repeat(26));
        throw new Error('no');
      }),
    );
  });
  t.ok(store.devices.isEnrolled(device));
  t.notOk(store.devices.isEnrolled('b'.repeat(26)), 'a savepoint is undone alone');
});

t.test('serials only grow', async (t) => {
  const path = join(folder, 'serials.db');
  const store = openStore(path);
  t.same([bundle(store).serial, bundle(store).serial, bundle(store).serial], [1, 2, 3]);
  t.throws(() =>
    store.transaction(() => {
      bundle(store);
      throw new Error('no');
    }),
  );
  store.close();
  const raw = new DatabaseSync(path);
  raw.exec('DELETE FROM bundles');
  raw.close();
  const again = openStore(path);
  t.equal(bundle(again).serial, 4, 'also after all rows were deleted');
  again.close();
});

t.test('bundles are kept once and read in parts', async (t) => {
  const store = openStore(':memory:');
  const first = bundle(store, 'one');
  bundle(store, 'two');
  t.same(store.bundles.find(1), first);
  t.same(
    store.bundles.newest(1).map((one) => one.title),
    ['two'],
  );
  const { digest } = first;
  t.equal(store.bundles.lengthOf(digest), 10);
  const slice = (from: number, count: number) =>
    Buffer.from(store.bundles.slice(digest, from, count) ?? []).toString();
  t.same([slice(0, 4), slice(4, 4), slice(8, 4), slice(12, 4)], ['0123', '4567', '89', '']);
  t.equal(store.bundles.slice('none', 0, 1), null);
});

t.test('presence is taken in the order of sessions', async (t) => {
  const store = openStore(':memory:');
  const { devices } = store;
  t.equal(devices.takeBirth(device, { sid: 1, boot: 'a' }, birth, 10), 'unknown');
  enrolled(store);
  t.equal(devices.find(device)?.presence, 'never');
  t.equal(devices.takeBirth(device, { sid: 5, boot: 'a' }, birth, 10), 'taken');
  t.match(devices.find(device), { presence: 'up', presenceAt: 10, hostname: 'name', sid: 5, birth });
  t.equal(
    devices.takeGone(device, { sid: 4, boot: 'a' }, 'gone', 11),
    'older',
    'a will of the session before',
  );
  t.equal(devices.find(device)?.presence, 'up');
  t.equal(
    devices.takeGone(device, { sid: 5, boot: 'b' }, 'gone', 11),
    'older',
    'the same number in another boot',
  );
  t.equal(devices.takeGone(device, { sid: 5, boot: 'a' }, 'gone', 12), 'taken', 'its own will');
  t.equal(
    devices.takeBirth(device, { sid: 5, boot: 'a' }, birth, 13),
    'taken',
    'its own birth, delivered again',
  );
  t.equal(devices.takeBirth(device, { sid: 6, boot: 'b' }, birth, 14), 'taken', 'over a reboot');
  t.equal(devices.takeBirth(device, { sid: 5, boot: 'a' }, birth, 15), 'older');
  t.same(devices.countByPresence(), { up: 1 });
  devices.allGone(20);
  t.match(devices.find(device), { presence: 'gone', presenceAt: 20 });
});

t.test('reported state likewise, by session and number', async (t) => {
  const store = openStore(':memory:');
  enrolled(store);
  const take = (sid: number, seq: number, proven: string) =>
    store.devices.takeReported(device, { sid, boot: 'a' }, seq, { ...reported, proven }, 1);
  t.equal(take(2, 3, 'a'), 'taken');
  t.equal(take(2, 2, 'b'), 'older');
  t.equal(take(2, 3, 'c'), 'taken', 'the same once more');
  t.equal(take(1, 9, 'd'), 'older');
  t.equal(take(3, 0, 'e'), 'taken');
  t.equal(store.devices.find(device)?.reported?.proven, 'e');
});

t.test('forgotten devices', async (t) => {
  const store = openStore(':memory:');
  enrolled(store, device, 'hw');
  t.throws(() => enrolled(store, 'b'.repeat(26), 'hw'), /UNIQUE/, 'one box is one device, whoever asks');
  t.ok(store.devices.forget(device));
  t.notOk(store.devices.forget(device), 'once');
  t.equal(store.devices.ofHardware('hw'), null);
  t.equal(store.devices.takeBirth(device, { sid: 1, boot: 'a' }, birth, 1), 'unknown');
  enrolled(store, 'b'.repeat(26), 'hw');
  t.equal(store.devices.ofHardware('hw')?.id, 'b'.repeat(26));
});

t.test('assignments', async (t) => {
  const store = openStore(':memory:');
  enrolled(store);
  const digest = 'd'.repeat(64);
  for (let index = 0; index < 2; index += 1) {
    const { serial } = bundle(store);
    store.assignments.add({ device, serial, digest, envelope: new Uint8Array([serial]), issuedAt: 1 });
  }
  t.match(store.assignments.current(device), { serial: 2, result: null });
  const outcome = { serial: 1, digest, result: 'returned', reason: 'no-confirmation' } as const;
  t.ok(store.assignments.record(device, outcome, 5));
  t.notOk(store.assignments.record(device, outcome, 6), 'the same again is no news');
  t.notOk(store.assignments.record(device, { ...outcome, digest: 'e'.repeat(64) }, 6), 'of another digest');
  t.notOk(store.assignments.record(device, { ...outcome, serial: 9 }, 6), 'of an assignment nobody made');
  t.match(store.assignments.ofBundle(1), [{ result: 'returned', reason: 'no-confirmation', resultAt: 5 }]);
  const refusal = { code: 'policy.invalid', detail: 'x' } as const;
  t.ok(store.assignments.record(device, { serial: 2, digest, result: 'refused', refusal }, 7));
  t.same(store.assignments.current(device)?.refusal, refusal);
  t.equal(store.assignments.allCurrent().length, 1);
  store.devices.forget(device);
  t.equal(store.assignments.allCurrent().length, 0, 'of a forgotten device nothing is current');
});

t.test('tokens', async (t) => {
  const store = openStore(':memory:');
  store.tokens.add({ id: 'tok', secret: new Uint8Array([1, 2]), uses: 2, createdAt: 1, expiresAt: 2 });
  t.same([store.tokens.use('tok'), store.tokens.use('tok'), store.tokens.use('tok')], [true, true, false]);
  t.notOk(store.tokens.use('nope'));
  t.ok(store.tokens.revoke('tok', 7));
  t.ok(store.tokens.revoke('tok', 9));
  t.match(store.tokens.find('tok'), { usesLeft: 0, revokedAt: 7, secret: new Uint8Array([1, 2]) });
  t.notOk(store.tokens.revoke('nope', 7));
  t.equal(store.tokens.list().length, 1);
});

t.test('events', async (t) => {
  const audit = (seq: number, what = `e${seq}`): SpooledEvent => ({
    ...{ seq, mono: seq * 10, ts: null, tq: 'none', event: { kind: 'audit', what, detail: {} } },
  });
  const gap = (seq: number, lost: number): SpooledEvent => ({
    ...{ seq, mono: 1, ts: null, tq: 'none', event: { kind: 'gap', lost, where: 'ring' } },
  });
  const range = (from: number, to: number) =>
    Array.from({ length: to - from + 1 }, (_, i) => audit(from + i));
  const scene = () => {
    const store = openStore(':memory:');
    const append = (events: readonly SpooledEvent[], now = 1, stream: Stream = 'audit', from = device) =>
      store.transaction(() =>
        store.events.append(from, { stream, events } satisfies EventBatch, 'boot', now),
      );
    const stored = () => store.events.list({ after: 0, limit: 1000 }).map((event) => event.seq);
    return { store, append, stored };
  };

  t.test('are kept once', async (t) => {
    const { store, append, stored } = scene();
    t.same(append(range(1, 3)), { stored: 3, duplicates: 0, conflicting: 0, upTo: 3 });
    t.same(
      append(range(1, 3)),
      { stored: 0, duplicates: 3, conflicting: 0, upTo: 3 },
      'and acknowledged again',
    );
    t.same(append(range(2, 5)), { stored: 2, duplicates: 2, conflicting: 0, upTo: 5 });
    t.same(stored(), [1, 2, 3, 4, 5]);
    t.equal(append(range(1, 2), 1, 'alert').stored, 2, 'numbers are of a stream');
    t.equal(append(range(1, 2), 1, 'audit', 'b'.repeat(26)).stored, 2, 'and of a device');
    t.equal(store.events.count(), 9);
    t.same(append([]), { stored: 0, duplicates: 0, conflicting: 0, upTo: null });
  });

  t.test('of a stream that is new to us begin anywhere', async (t) => {
    const { append } = scene();
    t.equal(append(range(500, 502)).upTo, 502);
  });

  t.test('are not acknowledged over a hole, until the hole is filled', async (t) => {
    const { store, append, stored } = scene();
    append(range(1, 10));
    t.equal(append(range(21, 30)).upTo, null, '11 to 20 are missing');
    t.equal(append(range(31, 32)).upTo, null);
    t.equal(append(range(11, 20)).upTo, 32, 'now nothing is');
    t.same(
      stored().toSorted((a, b) => a - b),
      range(1, 32).map((event) => event.seq),
    );
    t.same(store.events.gaps(), []);
  });

  t.test('or until the device shows that it has no older ones', async (t) => {
    const { store, append } = scene();
    append(range(1, 10));
    append(range(21, 30));
    append(range(31, 40));
    t.equal(append(range(21, 30)).upTo, 40, 'sent again from there');
    t.same(store.events.gaps(), [{ device, stream: 'audit', lost: 10, place: 'unexplained' }]);
  });

  t.test('or until a minute has passed', async (t) => {
    const { store, append } = scene();
    append(range(1, 10), 0);
    t.equal(append(range(21, 30), 1000).upTo, null);
    t.equal(append(range(31, 40), 60_999).upTo, null);
    t.equal(append(range(41, 50), 61_000).upTo, 50);
    t.equal(
      store.events.gaps().reduce((sum, one) => sum + one.lost, 0),
      10,
      '11 to 20 alone',
    );
  });

  t.test('that were lost are counted where they were lost', async (t) => {
    const { store, append } = scene();
    append([audit(1), gap(2, 700), audit(3), gap(4, 50)]);
    append([gap(2, 700)]);
    t.same(store.events.gaps(device), [{ device, stream: 'audit', lost: 750, place: 'ring' }]);
    append([audit(5), audit(9)]);
    t.same(
      store.events.gaps().find((one) => one.place === 'unexplained')?.lost,
      3,
      'a hole inside of a batch',
    );
    t.same(store.events.gaps('nobody'), []);
  });

  t.test('that the device dropped or skipped are what its gaps say, and are not waited for', async (t) => {
    const spool = (seq: number, lost: number): SpooledEvent => ({
      ...{ seq, mono: 1, ts: null, tq: 'none', event: { kind: 'gap', lost, where: 'spool' } },
    });
    const { store, append } = scene();
    const counted = () => store.events.gaps().map(({ lost, place }) => `${lost} ${place}`);
    t.equal(append([spool(320, 320), audit(321)]).upTo, 321, 'a stream that begins with a gap');
    t.same(counted(), ['320 spool']);
    t.equal(append([spool(400, 79), audit(401)]).upTo, 401, 'no waiting for 322 to 400');
    t.same(counted(), ['399 spool']);
    t.equal(append([audit(402), spool(1_048_978, 0), audit(1_048_979)]).upTo, 1_048_979, 'a jump is no loss');
    t.same(counted(), ['399 spool']);
    append([audit(1_048_980)]);
    t.match(
      append([spool(1_048_980, 5)]),
      { duplicates: 1, conflicting: 0 },
      'what it took for lost, we have',
    );
    append([spool(1_048_985, 6), audit(1_048_986)]);
    t.same(counted(), ['404 spool'], 'five of the six, since one is here');
    append([audit(1_048_989)]);
    append([spool(1_048_988, 2), audit(1_048_989)]);
    t.same(counted(), ['406 spool'], 'nor what was held meanwhile');
    t.equal(append([gap(1_049_000, 5)]).upTo, null, 'a gap of another place stands for no numbers');
  });

  t.test('under a number that was used for another are counted, and the first stays', async (t) => {
    const { append, store } = scene();
    append(range(1, 3));
    t.same(append([audit(2, 'other')]), { stored: 0, duplicates: 0, conflicting: 1, upTo: 3 });
    t.match(store.events.list({ after: 1, limit: 1 }), [{ event: { what: 'e2' } }]);
  });

  t.test('are listed by device, stream and number', async (t) => {
    const { append, store } = scene();
    append(range(1, 3));
    append(range(1, 2), 1, 'alert');
    append(range(1, 1), 1, 'audit', 'b'.repeat(26));
    const ids = (rows: readonly { readonly id: number }[]) => rows.map((row) => row.id);
    t.same(ids(store.events.list({ after: 2, limit: 2 })), [3, 4]);
    t.same(ids(store.events.list({ after: 0, device, limit: 9 })), [1, 2, 3, 4, 5]);
    t.same(ids(store.events.list({ after: 0, stream: 'alert', limit: 9 })), [4, 5]);
    t.same(ids(store.events.tail({ count: 2 })), [5, 6]);
    t.same(ids(store.events.tail({ count: 2, device, stream: 'audit' })), [2, 3]);
    t.equal(store.events.newest(), 6);
  });

  t.test('are bounded by number and age, the oldest go', async (t) => {
    const { append, store, stored } = scene();
    append(range(1, 100), 1000);
    append(range(101, 150), 2000);
    t.equal(store.events.prune({ rowsMax: 120, ageMs: 10_000 }, 2000), 30);
    t.equal(store.events.prune({ rowsMax: 120, ageMs: 10_000 }, 2000), 0);
    t.equal(stored()[0], 31);
    t.equal(store.events.prune({ rowsMax: 120, ageMs: 10_000 }, 11_001), 70, 'those of the first thousand');
    t.equal(stored()[0], 101);
    t.equal(append(range(1, 3), 3000).duplicates, 3, 'what was removed is still known');
    t.equal(store.events.count(), 50);
  });
});
