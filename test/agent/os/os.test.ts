// Goal: the small interfaces to the world keep what they promise: files whole or unchanged, clocks that only
// go forward, pauses that spread, a hardware id that is one.
// Method: real files in a temporary folder, with modes and leftovers looked at; clocks from given sources.

import {
  chmodSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { Backoff } from '../../../agent/os/backoff.ts';
import { version } from '../../../agent/os/build-info.ts';
import { SystemClock } from '../../../agent/os/clock.ts';
import { DiskFiles, FileError } from '../../../agent/os/files.ts';
import { findHardwareId, hardwareIdOfMac, readMachine } from '../../../agent/os/machine.ts';
import { FailingFiles } from '../../lab/failing-files.ts';
import { TestClock } from '../../lab/test-clock.ts';

const files = new DiskFiles();
type Test = Pick<typeof t, 'teardown'>;

function folder(t: Test): string {
  const path = mkdtempSync(join(tmpdir(), 'husk-os-'));
  t.teardown(() => rmSync(path, { recursive: true }));
  return path;
}

t.test('files are replaced whole, for their owner alone', async (t) => {
  const path = join(folder(t), 'a', 'b', 'file');
  files.makeFolder(join(path, '..'));
  t.equal(statSync(join(path, '..')).mode & 0o777, 0o700);
  files.writeAtomic(path, 'one');
  files.writeAtomic(path, new Uint8Array([0x74, 0x77, 0x6f]));
  t.equal(readFileSync(path, 'utf8'), 'two');
  t.equal(statSync(path).mode & 0o777, 0o600);
  t.strictSame(readdirSync(join(path, '..')), ['file'], 'nothing is left beside it');
  chmodSync(path, 0o644);
  files.writeAtomic(path, 'three');
  t.equal(statSync(path).mode & 0o777, 0o600, 'a looser mode does not survive');
});

t.test('nobody can make us write through a link', async (t) => {
  const where = folder(t);
  const victim = join(where, 'victim');
  writeFileSync(victim, 'untouched');
  symlinkSync(victim, join(where, '.tmp-file'));
  files.writeAtomic(join(where, 'file'), 'ours');
  t.equal(readFileSync(victim, 'utf8'), 'untouched');
  t.equal(readFileSync(join(where, 'file'), 'utf8'), 'ours');
});

t.test('a write that fails leaves the old content and no leftovers', async (t) => {
  const where = folder(t);
  const path = join(where, 'file');
  files.writeAtomic(path, 'old');
  t.throws(() => files.writeAtomic(join(where, 'missing', 'file'), 'x'), { code: 'ENOENT' });
  const failing = new FailingFiles(files);
  failing.fail({ operation: 'write', path: 'file', code: 'ENOSPC', after: 1 });
  failing.writeAtomic(path, 'newer');
  t.throws(() => failing.writeAtomic(path, 'newest'), FileError);
  t.throws(() => failing.writeAtomic(path, 'newest'), /write .*file: ENOSPC/);
  t.equal(readFileSync(path, 'utf8'), 'newer');
});

t.test('reading is bounded', async (t) => {
  const path = join(folder(t), 'file');
  t.equal(files.readBounded(path, 10), null);
  writeFileSync(path, 'x'.repeat(10));
  t.equal(files.readBounded(path, 10)?.length, 10);
  t.throws(() => files.readBounded(path, 9), { code: 'EFBIG' });
  t.throws(() => files.readBounded('/dev/zero', 1000), { code: 'EFBIG' }, 'also where no size is stated');
  t.ok((files.readBounded('/proc/version', 4096)?.length ?? 0) > 10, 'and a file of size 0 that has content');
  files.remove(path);
  files.remove(path);
  t.strictSame(files.list(join(path, '..')), []);
  t.strictSame(files.list('/nonexistent'), []);
});

t.test('wall-clock time comes with how it was come by', async (t) => {
  let bootMs = 1000;
  let systemMs = 0;
  const clock = new SystemClock({ bootMs: () => bootMs, systemMs: () => systemMs });
  t.strictSame(clock.wall(), { ms: null, quality: 'none' }, 'nothing is known');
  clock.learn(1_000_000, 'floor');
  bootMs += 500;
  t.strictSame(clock.wall(), { ms: 1_000_500, quality: 'floor' }, 'a clock in 1970 is not believed');
  clock.learn(2_000_000, 'controller');
  t.strictSame(clock.wall(), { ms: 2_000_000, quality: 'controller' });
  clock.learn(1_500_000, 'controller');
  t.strictSame(clock.wall(), { ms: 2_000_000, quality: 'controller' }, 'an earlier time teaches nothing');
  systemMs = 2_000_100;
  t.strictSame(clock.wall(), { ms: 2_000_100, quality: 'ntp' }, 'a clock past the floor was set by somebody');
});

t.test('a sleep can be ended', async (t) => {
  const clock = new SystemClock({ bootMs: () => 0, systemMs: () => 0 });
  const end = new AbortController();
  const sleep = clock.sleep(60_000, end.signal);
  end.abort(new Error('enough'));
  await t.rejects(sleep, /enough/);
  await t.rejects(clock.sleep(60_000, AbortSignal.abort(new Error('already'))), /already/);
  await clock.sleep(1);
});

t.test('the test clock wakes in order', async (t) => {
  const clock = new TestClock({ bootMs: 0 });
  const woken: number[] = [];
  for (const ms of [30, 10, 20]) void clock.sleep(ms).then(() => woken.push(clock.bootMs()));
  await clock.advance(25);
  t.strictSame(woken, [10, 20]);
  t.equal(clock.sleeping, 1);
  await clock.advance(25);
  t.strictSame(woken, [10, 20, 30]);
});

t.test('pauses grow to their ceiling, spread over the whole of it, and start over', async (t) => {
  const limits = { baseMs: 100, maxMs: 1000 };
  const ceiling = (fraction: number) => {
    const backoff = new Backoff(limits, { bytes: (n) => new Uint8Array(n), fraction: () => fraction });
    return Array.from({ length: 6 }, () => backoff.nextMs());
  };
  t.strictSame(ceiling(0.999_999), [100, 200, 400, 800, 1000, 1000]);
  t.strictSame(ceiling(0), [10, 10, 10, 10, 10, 10], 'never at once');
  const backoff = new Backoff(limits, { bytes: (n) => new Uint8Array(n), fraction: () => 0.999_999 });
  for (let n = 0; n < 2000; n += 1) backoff.nextMs();
  t.equal(backoff.nextMs(), 1000, 'nor is it ever more, after weeks');
  backoff.succeeded();
  t.equal(backoff.nextMs(), 100);
});

t.test(
  'a hardware id is taken from where it survives most, and never from what makers leave in',
  async (t) => {
    const from = (texts: Record<string, string>) => (path: string) =>
      Object.entries(texts).find(([name]) => path.includes(name))?.[1] ?? null;
    t.equal(findHardwareId('mine', from({})), 'mine');
    t.equal(
      findHardwareId(undefined, from({ product_uuid: 'ABCD-1234\n', 'machine-id': 'ffee' })),
      'abcd-1234',
    );
    t.equal(findHardwareId(undefined, from({ 'serial-number': 'SN0042\0', 'machine-id': 'ffee' })), 'sn0042');
    for (const empty of [
      '00000000-0000-0000-0000-000000000000',
      'To be filled by O.E.M.',
      'None',
      'x y z w',
      '\u001b[2J',
    ]) {
      t.equal(findHardwareId(undefined, from({ product_uuid: empty, 'machine-id': 'ffee' })), 'ffee', empty);
    }
    t.equal(findHardwareId(undefined, from({})), null);
  },
);

t.test('an Ethernet address serves where the firmware says nothing, if it is burnt in', async (t) => {
  const one = (index: number, mac: string, hardwareType = 1) => ({ index, mac, hardwareType });
  t.equal(
    hardwareIdOfMac([
      one(1, '00:00:00:00:00:00', 772),
      one(5, '00:11:22:33:44:55'),
      one(2, '02:aa:aa:aa:aa:aa'),
      one(4, '00:11:22:33:44:44'),
      one(3, '', 65534),
    ]),
    'mac-001122334444',
  );
  t.equal(hardwareIdOfMac([one(1, '02:aa:aa:aa:aa:aa'), one(2, '00:00:00:00:00:00')]), null);
});

t.test('this machine', async (t) => {
  t.match(readMachine().bootId, /^[0-9a-f-]{36}$/);
  const { version: stated } = JSON.parse(readFileSync('package.json', 'utf8')) as { version: string };
  t.equal(version, stated, 'the agent says the version of the package');
});
