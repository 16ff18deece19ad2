// Goal: what the addon says of the machine is what other sources say of it.
// Method: compare with /proc, /sys and with what the kernel then really does.

import { existsSync, readFileSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import t from 'tap';
import { addon } from '../../native/index.ts';
import { createMap, kernelErrorOf, makeCgroup, mapFlag, mapType } from './kernel.ts';

t.test('libbpf is new enough for the calls we make', async (t) => {
  const [major, minor] = addon.libbpfVersion.replace('v', '').split('.').map(Number);
  t.ok((major ?? 0) > 1 || (major === 1 && (minor ?? 0) >= 5), addon.libbpfVersion);
});

t.test('boot time runs, and agrees with /proc/uptime', async (t) => {
  const before = addon.bootNs();
  const uptime = Number(readFileSync('/proc/uptime', 'utf8').split(' ')[0]);
  const after = addon.bootNs();
  t.ok(after >= before);
  t.ok(Math.abs(Number(before) / 1e9 - uptime) < 1, `${before} ns, ${uptime} s`);
});

t.test('CPUs are those the kernel has a place for', async (t) => {
  const ranges = readFileSync('/sys/devices/system/cpu/possible', 'utf8').trim().split(',');
  const count = ranges
    .map((range) => range.split('-').map(Number))
    .reduce((sum, [first = 0, last = first]) => sum + last - first + 1, 0);
  t.equal(addon.possibleCpus(), count);
});

t.test('a cgroup’s id is that of its directory', async (t) => {
  const cgroup = makeCgroup(t);
  t.equal(addon.cgroupId(cgroup), BigInt(statSync(cgroup).ino));
  t.not(addon.cgroupId(cgroup), addon.cgroupId(`${cgroup}/..`));
});

t.test('what is no cgroup has no id', async (t) => {
  t.match(
    kernelErrorOf(() => addon.cgroupId(tmpdir())),
    {
      name: 'KernelError',
      operation: 'find cgroup',
      object: `${tmpdir()} is not on cgroup v2`,
      code: 'EINVAL',
    },
  );
  t.match(
    kernelErrorOf(() => addon.cgroupId('/nonexistent')),
    { operation: 'find cgroup', object: '/nonexistent', code: 'ENOENT' },
  );
});

t.test('features say what the kernel then does', async (t) => {
  const features = addon.probe();
  t.equal(features.kernelBtf, existsSync('/sys/kernel/btf/vmlinux'));
  const kinds = [
    [features.lpmTrie, { type: mapType.lpmTrie, keySize: 8, flags: mapFlag.noPrealloc }],
    [features.mmapableArray, { type: mapType.array, flags: mapFlag.mmapable }],
    [features.ringbuf, { type: mapType.ringbuf, keySize: 0, valueSize: 0, maxEntries: 4096 }],
  ] as const;
  for (const [errno, shape] of kinds) {
    if (errno === 0) t.doesNotThrow(() => createMap(t, shape));
    else t.equal(kernelErrorOf(() => createMap(t, shape)).errno, errno);
  }
  // Everything this project calls its floor for packets and system calls.
  for (const name of ['xdp', 'schedCls', 'cgroupSockAddr', 'cgroupSock', 'mapOfMaps', 'ringbuf'] as const)
    t.equal(features[name], 0, name);
  for (const [name, value] of Object.entries(features)) {
    if (typeof value === 'number') t.ok(value >= 0 && value < 1024, `${name}: ${value}`);
  }
});

t.test('probing leaves nothing behind', async (t) => {
  const ids = (): number => {
    const map = createMap(t, { type: mapType.array });
    return addon.mapInfo(map).id;
  };
  const first = ids();
  addon.probe();
  const last = ids();
  for (let id = first + 1; id < last; id++) {
    try {
      const map = addon.openMapById(id);
      t.not(addon.mapInfo(map).name, 'husk_probe');
      map.close();
    } catch (error) {
      t.equal((error as { code?: string }).code, 'ENOENT');
    }
  }
});
