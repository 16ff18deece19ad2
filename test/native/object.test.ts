// Goal: object files are opened, changed, loaded and taken apart as index.ts says, and what cannot be is
// refused with the kernel's reason.
// Method: small objects made for these tests, in the real kernel.

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { addon } from '../../native/index.ts';
import {
  createMap,
  kernelErrorOf,
  loadTestObject,
  mapType,
  openTestObject,
  root,
  u32,
  u64,
  xdp,
} from './kernel.ts';

const packet = new Uint8Array(64);

t.test('an object tells what it declares', async (t) => {
  const object = openTestObject(t, 'hooks');
  t.strictSame([...object.mapNames()].sort(), ['.rodata', 'first_ring', 'runs', 'second_ring']);
  t.ok(object.programNames().includes('xdp_verdict'));
  t.ok(object.programNames().includes('connect4_deny'));
});

t.test('a loaded program runs, and its map counts', async (t) => {
  const object = loadTestObject(t, 'hooks');
  const program = object.program('xdp_verdict');
  const runs = object.map('runs');
  const run = addon.testRun(program, packet, { repeat: 5 });
  t.equal(run.verdict, xdp.pass);
  t.strictSame(run.data, packet, 'the packet comes back as it was');
  const counts = addon.lookup(runs, u32(0));
  t.ok(counts);
  const perCpu = new BigUint64Array(counts?.slice().buffer ?? new ArrayBuffer(0));
  t.equal(perCpu.length, addon.possibleCpus());
  t.equal(
    perCpu.reduce((sum, one) => sum + one, 0n),
    5n,
  );
});

t.test('settings written before the load are what the program reads', async (t) => {
  const object = openTestObject(t, 'hooks');
  object.setRodata(u32(xdp.drop, 0));
  object.load();
  t.equal(addon.testRun(object.program('xdp_verdict'), packet).verdict, xdp.drop);
});

t.test('settings of another size are refused', async (t) => {
  const error = kernelErrorOf(() => openTestObject(t, 'hooks').setRodata(u32(1)));
  t.equal(error.operation, 'set rodata');
  t.equal(error.code, 'EINVAL');
});

t.test('a map taken from elsewhere is used in place of its own', async (t) => {
  const shared = createMap(t, { type: mapType.perCpuArray, maxEntries: 4 });
  const object = openTestObject(t, 'hooks');
  object.reuseMap('runs', shared);
  object.load();
  t.equal(addon.mapInfo(object.map('runs')).id, addon.mapInfo(shared).id);
  t.ok(addon.programInfo(object.program('xdp_verdict')).mapIds.includes(addon.mapInfo(shared).id));
});

t.test('a map of another shape is not taken in place of one', async (t) => {
  const declared = { type: mapType.perCpuArray, maxEntries: 4 } as const;
  const others = [
    { ...declared, type: mapType.array },
    { ...declared, valueSize: 16 },
    { ...declared, maxEntries: 3 },
    { ...declared, type: mapType.perCpuHash, keySize: 8 },
  ];
  for (const other of others) {
    const object = openTestObject(t, 'hooks');
    t.match(
      kernelErrorOf(() => object.reuseMap('runs', createMap(t, other))),
      { name: 'KernelError', operation: 'reuse', object: /^runs, which is not of the shape/, code: 'EINVAL' },
    );
  }
  const loaded = loadTestObject(t, 'hooks');
  t.match(
    kernelErrorOf(() => loaded.reuseMap('runs', createMap(t, declared))),
    { operation: 'reuse', code: 'EBUSY' },
  );
});

t.test('a map can be made larger before the load, not after', async (t) => {
  const object = openTestObject(t, 'hooks');
  object.setMaxEntries('runs', 9);
  object.load();
  t.equal(addon.mapInfo(object.map('runs')).maxEntries, 9);
  t.match(
    kernelErrorOf(() => object.setMaxEntries('runs', 10)),
    { operation: 'set size', object: 'runs', code: 'EBUSY' },
  );
});

t.test('a program left out is not loaded', async (t) => {
  const object = openTestObject(t, 'hooks');
  object.setAutoload('tc_drop', false);
  object.load();
  t.throws(() => object.program('tc_drop'));
  t.ok(object.program('xdp_verdict').fd >= 0);
});

t.test('a program the verifier refuses is named, with the end of its log', async (t) => {
  const error = kernelErrorOf(() => loadTestObject(t, 'refused'));
  t.match(error.message, /^load xdp_unchecked: EACCES \(Permission denied\)$/);
  t.match(error, {
    name: 'KernelError',
    operation: 'load',
    object: 'xdp_unchecked',
    errno: 13,
    code: 'EACCES',
  });
  t.match(error.log, /invalid access to packet/);
  t.ok((error.log?.length ?? 0) <= 16 * 1024);
});

t.test('bytes that are no object are refused', async (t) => {
  for (const bytes of [new Uint8Array(0), new Uint8Array(100), packet]) {
    const error = kernelErrorOf(() => addon.openObject('garbage', bytes));
    t.match(error, { name: 'KernelError', operation: 'open', object: 'garbage' });
    t.ok(error.errno > 0);
  }
  const whole = readFileSync(join(root, 'build/test-bpf/hooks.bpf.o'));
  for (const size of [63, 64, 200, 1000, whole.length - 100])
    t.throws(() => addon.openObject('cut', whole.subarray(0, size)), `cut after ${size} bytes`);
});

t.test('what the object does not have is not found', async (t) => {
  const object = loadTestObject(t, 'small');
  t.match(
    kernelErrorOf(() => object.map('absent')),
    { operation: 'take map', code: 'ENOENT' },
  );
  t.match(
    kernelErrorOf(() => object.program('absent')),
    { operation: 'take program', code: 'ENOENT' },
  );
  t.match(
    kernelErrorOf(() => object.setRodata(u32(1))),
    { operation: 'set rodata', code: 'ENOENT' },
  );
  t.match(
    kernelErrorOf(() => object.setAutoload('absent', false)),
    { code: 'ENOENT' },
  );
});

t.test('a map or program is not there before the load', async (t) => {
  const object = openTestObject(t, 'small');
  t.throws(() => object.map('number'));
  t.throws(() => object.program('xdp_pass'));
});

t.test('handles outlive the object they came from', async (t) => {
  const object = loadTestObject(t, 'small');
  const map = object.map('number');
  const program = object.program('xdp_pass');
  object.close();
  addon.update(map, u32(0), u64(7n));
  t.strictSame(addon.lookup(map, u32(0)), u64(7n));
  t.equal(addon.testRun(program, packet).verdict, xdp.pass);
  map.close();
  program.close();
});

t.test('closing twice is harmless; use after close is a clear error', async (t) => {
  const object = loadTestObject(t, 'small');
  const program = object.program('xdp_pass');
  object.close();
  object.close();
  t.throws(() => object.load(), { name: 'TypeError', message: 'this BPF object is closed' });
  t.throws(() => object.mapNames(), { message: 'this BPF object is closed' });
  program.close();
  program.close();
  t.equal(program.fd, -1);
  t.throws(() => addon.programInfo(program), { message: 'program: the handle of this program is closed' });
});

t.test('program info says what bpftool would', async (t) => {
  const object = loadTestObject(t, 'small');
  const info = addon.programInfo(object.program('xdp_pass'));
  t.match(info, { name: 'xdp_pass', type: 6, tag: /^[0-9a-f]{16}$/ });
  t.ok(info.id > 0);
  t.ok(info.verifiedInstructions > 0);
  t.strictSame(info.mapIds, [addon.mapInfo(object.map('number')).id]);
});

t.test('the BTF is the object’s own', async (t) => {
  const btf = openTestObject(t, 'small').btf();
  t.equal(new DataView(btf.buffer, btf.byteOffset).getUint16(0, true), 0xeb9f, 'its magic number');
  t.ok(Buffer.from(btf).includes('number\0'), 'names the map');
});

t.test('a packet the kernel cannot run is refused', async (t) => {
  const program = loadTestObject(t, 'small').program('xdp_pass');
  t.match(
    kernelErrorOf(() => addon.testRun(program, new Uint8Array(13))),
    { operation: 'test run', code: 'EINVAL' },
  );
  t.throws(() => addon.testRun(program, new Uint8Array(70_000)), { name: 'TypeError' });
});

t.test('arguments of the wrong kind are refused before anything happens', async (t) => {
  const object = loadTestObject(t, 'small');
  const map = object.map('number');
  const wrong = (value: unknown): never => value as never;
  t.throws(() => addon.openObject(wrong(1), packet), { message: 'name must be a string' });
  t.throws(() => addon.openObject('a\0b', packet), { message: 'name must not hold a NUL byte' });
  t.throws(() => addon.openObject('x'.repeat(5000), packet), {
    message: 'name must not be longer than 511 bytes',
  });
  t.throws(() => addon.openObject('a', wrong([1, 2])), { message: 'bytes must be a Uint8Array' });
  t.throws(() => addon.openObject('a', wrong(new Uint16Array(4))), { message: 'bytes must be a Uint8Array' });
  t.throws(() => addon.testRun(wrong(map), packet), {
    message: 'program must be the handle of a program, not of a map',
  });
  t.throws(() => addon.testRun(wrong({}), packet), { message: 'program must be a handle of this addon' });
  t.throws(() => addon.testRun(wrong(object), packet), { message: 'program must be a handle of this addon' });
  t.throws(() => Reflect.construct(map.constructor, [5]), {
    message: 'only the addon makes objects of this class',
  });
  t.throws(() => Reflect.get(Object.getPrototypeOf(map), 'fd', {}), {
    message: 'this must be a handle of this addon',
  });
});
