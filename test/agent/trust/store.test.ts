// Goal: what the device knows of its bundles survives, only moves forward, and never believes its disk.
// Method: the store on real files in a temporary folder, opened again after each step; failing disks by files
// that refuse to be written.

import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { DiskFiles } from '../../../agent/os/files.ts';
import { BundleStore } from '../../../agent/trust/store.ts';
import { FailingFiles } from '../../lab/failing-files.ts';

function digestOf(letter: string): string {
  return letter.repeat(64);
}
const one = { serial: 1, digest: digestOf('a') };
const two = { serial: 2, digest: digestOf('b') };
const three = { serial: 3, digest: digestOf('c') };
const bytes = { assignment: Buffer.from('{}'), bundle: Buffer.from('{"v":1}') };

function setUp(t: Tap): { folder: string; reopen: () => BundleStore } {
  const folder = mkdtempSync(join(tmpdir(), 'husk-store-'));
  t.teardown(() => rmSync(folder, { recursive: true }));
  return { folder, reopen: () => BundleStore.open(new DiskFiles(), folder).store };
}
type Tap = { teardown(fn: () => void): void };

function refusedWith(t: { throws: typeof import('tap').throws }, code: string, action: () => unknown): void {
  t.throws(action, { name: 'RefusalError', code });
}

/** Confirms a bundle the way the flow does. */
function confirmIn(store: BundleStore, assignment: typeof one): void {
  store.accept(assignment);
  store.keep(assignment, bytes);
  store.beginTrial(assignment, 'boot');
  store.confirm(assignment);
}

t.test(
  'a confirmed bundle is there after a restart, its predecessor beside it, older ones are gone',
  async (t) => {
    const { folder, reopen } = setUp(t);
    for (const bundle of [one, two, three]) confirmIn(reopen(), bundle);
    const store = reopen();
    t.match(store.record, {
      highest: three,
      confirmed: three,
      previous: two,
      trial: null,
      last: { serial: 3, result: 'confirmed' },
    });
    t.same(Buffer.from(store.load(three)?.bundle ?? []), bytes.bundle);
    t.equal(store.load(one), null);
    t.same(readdirSync(folder).sort(), [
      '2.assignment',
      '3.assignment',
      `${two.digest}.bundle`,
      `${three.digest}.bundle`,
      'record.json',
    ]);
  },
);

t.test('refuses a lower serial, and the same serial with other content', async (t) => {
  const { reopen } = setUp(t);
  confirmIn(reopen(), two);
  refusedWith(t, 'bundle.serial-older', () => reopen().accept(one));
  refusedWith(t, 'bundle.serial-reused', () => reopen().accept({ ...two, digest: digestOf('f') }));
  t.equal(reopen().accept(two), false, 'the same again is in force already');
  t.equal(reopen().accept(three), true);
});

t.test('the floor is raised by what was accepted, though it was never confirmed', async (t) => {
  const { reopen } = setUp(t);
  reopen().accept(two);
  refusedWith(t, 'bundle.serial-older', () => reopen().accept(one));
  t.equal(reopen().accept(two), true, 'the accepted one may be tried');
});

t.test('a returned trial is not tried again, a higher serial is', async (t) => {
  const { reopen } = setUp(t);
  const store = reopen();
  store.accept(two);
  store.beginTrial(two, 'boot');
  store.endTrial(two, { result: 'returned', reason: 'no-confirmation' });
  refusedWith(t, 'bundle.returned-before', () => reopen().accept(two));
  t.equal(reopen().accept(three), true);
});

t.test('a superseded trial is lower than what superseded it', async (t) => {
  const { reopen } = setUp(t);
  const store = reopen();
  store.accept(two);
  store.beginTrial(two, 'boot');
  store.accept(three);
  store.endTrial(two, { result: 'superseded' });
  refusedWith(t, 'bundle.serial-older', () => reopen().accept(two));
});

t.test('the mark of a trial is found by the next start and blocks that serial', async (t) => {
  const { reopen } = setUp(t);
  const store = reopen();
  store.accept(two);
  store.beginTrial(two, 'boot-1');
  t.same(reopen().record.trial, { ...two, bootId: 'boot-1' });
  refusedWith(t, 'bundle.returned-before', () => reopen().accept(two));
});

t.test('returning by hand makes the previous bundle the confirmed one', async (t) => {
  const { reopen } = setUp(t);
  confirmIn(reopen(), one);
  confirmIn(reopen(), two);
  reopen().returnToPrevious();
  t.match(reopen().record, {
    highest: two,
    confirmed: one,
    previous: null,
    last: { serial: 2, result: 'returned', reason: 'local-command' },
  });
  refusedWith(t, 'bundle.returned-before', () => reopen().accept(two));
});

t.test('a damaged record is set aside, said, and never half believed', async (t) => {
  const { folder, reopen } = setUp(t);
  confirmIn(reopen(), two);
  const path = join(folder, 'record.json');
  const good = readFileSync(path, 'utf8');
  const bad = [
    '',
    '{',
    'null',
    '[]',
    good.slice(0, good.length / 2),
    good.replace('"v":1', '"v":2'),
    good.replace('"serial":2', '"serial":-2'),
    good.replace('"trial":null', '"trial":{}'),
    good.replace('{"v"', '{"x":1,"v"'),
  ];
  for (const text of bad) {
    writeFileSync(path, text);
    const { store, damage } = BundleStore.open(new DiskFiles(), folder);
    t.ok(damage?.includes('record.json'), JSON.stringify(text.slice(0, 30)));
    t.equal(store.record.confirmed, null);
    t.equal(readFileSync(join(folder, 'record.damaged'), 'utf8'), text);
  }
});

t.test('a lost record does not lower the floor below what the files beside it show', async (t) => {
  const { folder, reopen } = setUp(t);
  const nine = { serial: 9, digest: digestOf('9') };
  confirmIn(reopen(), nine);
  for (const lose of [
    () => writeFileSync(join(folder, 'record.json'), '{"v":1,'),
    () => rmSync(join(folder, 'record.json'), { force: true }),
  ]) {
    lose();
    refusedWith(t, 'bundle.serial-older', () => reopen().accept(three));
    t.equal(reopen().accept(nine), true, 'the very one may come again');
  }
});

t.test('a bundle confirmed once, tried again and returned is confirmed no more', async (t) => {
  const { reopen } = setUp(t);
  confirmIn(reopen(), one);
  confirmIn(reopen(), two);
  const store = reopen();
  store.beginTrial(two, 'boot-2');
  store.endTrial(two, { result: 'returned', reason: 'no-confirmation' });
  t.match(reopen().record, { confirmed: one, previous: null, trial: null });
  refusedWith(t, 'bundle.returned-before', () => reopen().accept(two));
});

t.test('damaged files of the confirmed bundle do not make it one that was returned', async (t) => {
  const { reopen } = setUp(t);
  confirmIn(reopen(), one);
  confirmIn(reopen(), two);
  reopen().forgetConfirmed();
  t.match(reopen().record, { confirmed: one, previous: null });
  t.equal(reopen().accept(two), true, 'it is taken again when it is offered whole');
});

t.test('a full disk refuses with bundle.storage and leaves the record as it was', async (t) => {
  const { folder, reopen } = setUp(t);
  confirmIn(reopen(), one);
  const files = new FailingFiles(new DiskFiles());
  const { store } = BundleStore.open(files, folder);
  files.fail({ operation: 'write', code: 'ENOSPC' });
  const before = store.record;
  refusedWith(t, 'bundle.storage', () => store.accept(two));
  refusedWith(t, 'bundle.storage', () => store.keep(two, bytes));
  refusedWith(t, 'bundle.storage', () => store.beginTrial(two, 'boot'));
  t.same(store.record, before);
  t.same(reopen().record, before);
  files.heal();
  t.equal(store.accept(two), true, 'and goes on when there is room');
});
