// Goal: what the firmware says counts only where nobody on the device can have written it.
// Method: real files, with tables of mounts that say the same device in different ways.

import { createHash } from 'node:crypto';
import { mkdirSync, realpathSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { digestFile } from '../../../agent/os/file-digest.ts';
import { DiskFiles } from '../../../agent/os/files.ts';
import { isInImage, readFirmware } from '../../../agent/os/firmware.ts';

const files = new DiskFiles();

t.test('reads vendor, model and version', async (t) => {
  const path = join(t.testdir(), 'firmware.json');
  writeFileSync(path, JSON.stringify({ vendor: 'acme', model: 'x1', version: '1.2', built: 'today' }));
  t.match(readFirmware(files, path), { vendor: 'acme', model: 'x1', version: '1.2' });
  t.match(readFirmware(files, path).untrusted, /writable mount/, 'this machine has no image');
});

t.test('what can not be read is unknown, and says why', async (t) => {
  const folder = t.testdir();
  const bad = ['', '{', '[]', '{"vendor":1}', `{"vendor":"${'x'.repeat(200)}"}`, 'x'.repeat(20_000)];
  for (const [index, text] of bad.entries()) {
    const path = join(folder, `${index}`);
    writeFileSync(path, text);
    const facts = readFirmware(files, path);
    t.match(facts, { vendor: null, model: null, version: null });
    t.type(facts.untrusted, 'string');
  }
  t.match(readFirmware(files, join(folder, 'none')).untrusted, /there is no/);
});

t.test('trusts a file system that is read-only as a whole', async (t) => {
  const folder = realpathSync(t.testdir());
  const path = join(folder, 'a b', 'file');
  mkdirSync(join(folder, 'a b'));
  writeFileSync(path, 'x');
  const { dev } = statSync(path);
  // The kernel's own words for the number of a device.
  const [major, minor] = [(dev >> 8) & 0xfff, (dev & 0xff) | ((dev >> 12) & 0xfff00)];
  const mount = (
    at: string,
    options: string,
    type: string,
    superOptions: string,
    device = `${major}:${minor}`,
  ) =>
    `40 20 ${device} / ${at.replaceAll(' ', '\\040')} ${options} shared:1 master:2 - ${type} /dev/root ${superOptions}`;
  const of = (...lines: string[]) => isInImage(path, () => lines.join('\n'));
  t.equal(of(mount('/', 'ro', 'squashfs', 'ro')), true);
  t.equal(of(mount(join(folder, 'a b'), 'ro,noatime', 'ext4', 'ro,errors=continue')), true);
  t.equal(of(mount('/', 'rw', 'ext4', 'rw')), false, 'writable');
  t.equal(of(mount('/', 'ro', 'ext4', 'rw')), false, 'a read-only mount of what can be written elsewhere');
  t.equal(of(mount('/', 'ro', 'tmpfs', 'ro')), false, 'memory');
  t.equal(of(mount('/', 'ro', 'fuse.x', 'ro')), false, 'a program');
  t.equal(of(mount('/', 'rw', 'overlay', 'rw,lowerdir=/a,upperdir=/b,workdir=/c')), false);
  t.equal(of(mount('/', 'ro', 'squashfs', 'ro', '7:7')), false, 'another device');
  t.equal(
    of(mount('/', 'ro', 'squashfs', 'ro'), mount(folder, 'rw', 'ext4', 'rw')),
    false,
    'what was mounted over it',
  );
  t.equal(of(mount(`${folder}/a`, 'ro', 'squashfs', 'ro')), false, 'elsewhere');
  t.equal(of('', 'nonsense', '1 2 3'), false);
  t.equal(isInImage(join(folder, 'none')), false);
});

t.test('digests an executable', async (t) => {
  const folder = t.testdir();
  const path = join(folder, 'x');
  writeFileSync(path, 'y'.repeat(3_000_000));
  symlinkSync(path, join(folder, 'link'));
  const sha256 = createHash('sha256').update('y'.repeat(3_000_000)).digest('hex');
  t.same(digestFile(path), { sha256, isInImage: false });
  t.same(digestFile(join(folder, 'link')), { sha256, isInImage: false });
  for (const none of [folder, join(folder, 'none'), '/dev/zero'])
    t.same(digestFile(none), { sha256: null, isInImage: false });
});
