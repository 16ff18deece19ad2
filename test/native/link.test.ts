// Goal: programs are attached, told, replaced, pinned and detached at every kind of hook the agent uses, and
// a hook that cannot be says why.
// Method: two parts. What needs interfaces runs in a network namespace that ends with it, in a process of
// its own (link-in-namespace.ts); cgroups and pins here, in a cgroup and on a bpffs of this test's own.

import { execFileSync } from 'node:child_process';
import { mkdtempSync, readdirSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { addon } from '../../native/index.ts';
import {
  attachType,
  createMap,
  kernelErrorOf,
  linkType,
  loadTestObject,
  makeCgroup,
  mapType,
  u32,
  u64,
} from './kernel.ts';

function mountTestBpffs(t: Test): string {
  const path = mkdtempSync(join(tmpdir(), 'husk-native-link-'));
  addon.mountBpffs(path);
  t.teardown(() => {
    execFileSync('umount', [path]);
    rmSync(path, { recursive: true });
  });
  return path;
}

t.test('at interfaces, in a network namespace of its own', async (t) => {
  await t.spawn('unshare', ['--net', process.execPath, join(import.meta.dirname, 'link-in-namespace.ts')]);
});

t.test('a cgroup link is told, replaced and gone when closed', async (t) => {
  const cgroup = makeCgroup(t);
  const object = loadTestObject(t, 'hooks');
  const [deny, other] = [object.program('connect4_deny'), object.program('xdp_verdict')];
  const link = addon.attachCgroup(deny, cgroup, attachType.inet4Connect);
  t.equal(link.kind, 'link');
  t.match(addon.linkInfo(link), {
    type: linkType.cgroup,
    programId: addon.programInfo(deny).id,
    cgroupId: addon.cgroupId(cgroup),
    attachType: attachType.inet4Connect,
    ifindex: 0,
  });
  const second = loadTestObject(t, 'hooks').program('connect4_deny');
  addon.updateLink(link, second);
  t.equal(addon.linkInfo(link).programId, addon.programInfo(second).id);
  t.match(
    kernelErrorOf(() => addon.updateLink(link, other)),
    { name: 'KernelError', operation: 'update link', code: 'EINVAL' },
    'a program of another kind',
  );
  link.close();
  link.close();
  t.throws(() => addon.linkInfo(link), { message: 'link: the handle of this link is closed' });
  t.throws(() => addon.updateLink(link, deny), { message: /is closed/ });
});

t.test('a program does not attach where it does not belong', async (t) => {
  const cgroup = makeCgroup(t);
  const object = loadTestObject(t, 'hooks');
  t.match(
    kernelErrorOf(() => addon.attachCgroup(object.program('bind4_deny'), cgroup, attachType.inet4Connect)),
    { operation: 'attach cgroup', object: `${cgroup}, attach type 10`, code: 'EINVAL' },
  );
  t.match(
    kernelErrorOf(() =>
      addon.attachCgroup(object.program('bind4_deny'), `${cgroup}/absent`, attachType.inet4Bind),
    ),
    { operation: 'open cgroup', object: `${cgroup}/absent`, code: 'ENOENT' },
  );
  t.match(
    kernelErrorOf(() => addon.attachCgroup(object.program('bind4_deny'), tmpdir(), attachType.inet4Bind)),
    { operation: 'attach cgroup', code: 'EBADF' },
    'a folder that is no cgroup',
  );
});

t.test('map, program and link are pinned and found again', async (t) => {
  const bpffs = mountTestBpffs(t);
  t.equal(statSync(bpffs).mode & 0o777, 0o700, 'for root alone');
  const cgroup = makeCgroup(t);
  const object = loadTestObject(t, 'hooks');
  const program = object.program('connect4_deny');
  const link = addon.attachCgroup(program, cgroup, attachType.inet4Connect);
  const map = createMap(t, { type: mapType.hash });
  addon.update(map, u32(1), u64(2n));
  const linkId = addon.linkInfo(link).id;
  addon.pin(map, join(bpffs, 'map'));
  addon.pin(program, join(bpffs, 'program'));
  addon.pin(link, join(bpffs, 'link'));
  for (const handle of [map, program, link]) handle.close();
  object.close();

  t.strictSame(
    readdirSync(bpffs)
      .filter((name) => !name.endsWith('.debug'))
      .sort(),
    ['link', 'map', 'program'],
    'beside what some kernels put there themselves',
  );
  const [pinnedMap, pinnedProgram, pinnedLink] = [
    addon.openPinnedMap(join(bpffs, 'map')),
    addon.openPinnedProgram(join(bpffs, 'program')),
    addon.openPinnedLink(join(bpffs, 'link')),
  ];
  t.strictSame([pinnedMap.kind, pinnedProgram.kind, pinnedLink.kind], ['map', 'program', 'link']);
  t.strictSame(addon.lookup(pinnedMap, u32(1)), u64(2n));
  t.equal(addon.linkInfo(pinnedLink).id, linkId, 'the same link, in force all along');
  t.equal(addon.linkInfo(pinnedLink).programId, addon.programInfo(pinnedProgram).id);
  for (const handle of [pinnedMap, pinnedProgram, pinnedLink]) handle.close();
});

t.test('a pin of another kind, of another file, or of none is refused', async (t) => {
  const bpffs = mountTestBpffs(t);
  const map = createMap(t, { type: mapType.hash });
  const path = join(bpffs, 'map');
  addon.pin(map, path);
  t.match(
    kernelErrorOf(() => addon.pin(map, path)),
    { operation: 'pin', object: path, code: 'EEXIST' },
  );
  t.match(
    kernelErrorOf(() => addon.openPinnedProgram(path)),
    { operation: 'open pinned program', object: path, code: 'EINVAL' },
  );
  t.match(
    kernelErrorOf(() => addon.openPinnedLink(path)),
    { operation: 'open pinned link', code: 'EINVAL' },
  );
  t.match(
    kernelErrorOf(() => addon.openPinnedMap(join(bpffs, 'absent'))),
    {
      operation: 'open pinned map',
      code: 'ENOENT',
      message: `open pinned map ${join(bpffs, 'absent')}: ENOENT (No such file or directory)`,
    },
  );
  t.throws(() => addon.openPinnedMap('/etc/hostname'), { name: 'KernelError' });
  t.throws(() => addon.pin(map, join(tmpdir(), `husk-no-bpffs-${process.pid}`)), {
    name: 'KernelError',
    operation: 'pin',
  });
  t.throws(() => addon.openPinnedMap(`/${'x'.repeat(4096)}`), {
    message: 'path must not be longer than 4095 bytes',
  });
});

t.test('bpffs is not mounted where nothing is', async (t) => {
  t.match(
    kernelErrorOf(() => addon.mountBpffs('/nonexistent')),
    { operation: 'mount bpffs', object: '/nonexistent', code: 'ENOENT' },
  );
});
