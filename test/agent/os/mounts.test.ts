// Goal: a path is found on the file system that shows it, and a folder is also what is mounted below it.
// Method: a table of mounts as /proc/self/mountinfo has it, over folders and links of this test's own.

import { mkdirSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { placeOf, placesMountedBelow, readMounts } from '../../../agent/os/mounts.ts';

t.test('places', async (t) => {
  const top = t.testdir({ var: { log: {} }, data: {} });
  mkdirSync(join(top, 'var/my log'));
  symlinkSync('var', join(top, 'link'));
  const line = (device: string, root: string, at: string) => `1 2 ${device} ${root} ${at} rw - ext4 x rw`;
  const mounts = readMounts(
    [
      line('8:1', '/', '/'),
      line('8:2', '/', `${top}/var/log`),
      line('0:30', '/sub', `${top}/var/my\\040log`),
      line('8:3', '/', `${top}/data`),
      line('8:4', '/', `${top}/data`),
      '',
    ].join('\n'),
  );
  const device = (major: number, minor: number) => (major << 20) | minor;
  t.strictSame(placeOf(`${top}/link/x/new`, mounts), { device: device(8, 1), path: `${top}/var/x/new` });
  t.strictSame(placeOf(`${top}/link/log/a`, mounts), { device: device(8, 2), path: '/a' });
  t.strictSame(placeOf(`${top}/var/my log/a`, mounts), { device: device(0, 30), path: '/sub/a' });
  t.strictSame(
    placeOf(`${top}/data`, mounts),
    { device: device(8, 4), path: '/' },
    'the later hides the earlier',
  );
  t.equal(placeOf('/x', []), null);
  const below = [
    { device: device(8, 2), path: '/' },
    { device: device(0, 30), path: '/sub' },
  ];
  t.strictSame(placesMountedBelow(`${top}/link`, mounts), below);
  t.strictSame(placesMountedBelow(`${top}/var/log`, mounts), [], 'itself is its own place');
  t.equal(placesMountedBelow('/', mounts).length, 4);
  t.strictSame(placesMountedBelow(`${top}/va`, mounts), []);
});
