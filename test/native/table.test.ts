// Goal: maps of every kind the agent uses are made, described, written and read whole, with or without the
// kernel's batch calls, and no buffer of the wrong length reaches the kernel.
// Method: the real kernel; what one call writes another reads. A program array has no batch calls even in
// new kernels, and so stands for old ones.

import t from 'tap';
import { addon, type MapHandle } from '../../native/index.ts';
import { createMap, kernelErrorOf, loadTestObject, mapFlag, mapType, u32, u64 } from './kernel.ts';

/** The entries of a map as hex, ordered, for comparing. */
async function entriesOf(map: MapHandle): Promise<string[]> {
  const { keySize } = addon.mapInfo(map);
  const { keys, values, count } = await addon.readAll(map);
  t.equal(keys.length, count * keySize);
  const row = count === 0 ? 0 : values.length / count;
  return Array.from(
    { length: count },
    (_, i) =>
      `${Buffer.from(keys.subarray(i * keySize, (i + 1) * keySize)).toString('hex')}=${Buffer.from(values.subarray(i * row, (i + 1) * row)).toString('hex')}`,
  ).sort();
}

function expected(keys: Uint8Array, values: Uint8Array, count: number): string[] {
  const key = keys.length / count;
  const row = values.length / count;
  return Array.from(
    { length: count },
    (_, i) =>
      `${Buffer.from(keys.subarray(i * key, (i + 1) * key)).toString('hex')}=${Buffer.from(values.subarray(i * row, (i + 1) * row)).toString('hex')}`,
  ).sort();
}

/** `count` distinct IPv4 prefixes of all lengths from 8 on, as LPM keys. */
function prefixes(count: number): Uint8Array {
  const keys = new Uint8Array(count * 8);
  const view = new DataView(keys.buffer);
  for (let i = 0; i < count; i++) {
    view.setUint32(i * 8, 32, true);
    view.setUint32(i * 8 + 4, 0x0a000000 + i * 3);
  }
  view.setUint32(0, 8, true);
  return keys;
}

t.test('a map is described as it was made', async (t) => {
  const map = addon.createMap({
    name: 'fifteen_letters',
    type: mapType.hash,
    keySize: 4,
    valueSize: 16,
    maxEntries: 7,
    flags: mapFlag.noPrealloc,
  });
  t.equal(map.kind, 'map');
  t.match(addon.mapInfo(map), {
    name: 'fifteen_letters',
    type: mapType.hash,
    keySize: 4,
    valueSize: 16,
    maxEntries: 7,
    flags: mapFlag.noPrealloc,
    frozen: false,
  });
  t.ok(addon.mapInfo(map).memlock > 0);
  const again = addon.openMapById(addon.mapInfo(map).id);
  t.equal(addon.mapInfo(again).name, 'fifteen_letters');
  again.close();
  map.close();
  t.equal(map.fd, -1);
});

t.test('a map the kernel will not make is refused with its reason', async (t) => {
  t.match(
    kernelErrorOf(() => createMap(t, { type: mapType.array, keySize: 5 })),
    {
      operation: 'create map',
      object: 'husk_test',
      code: 'EINVAL',
      message: 'create map husk_test: EINVAL (Invalid argument)',
    },
  );
  t.match(
    kernelErrorOf(() => addon.openMapById(0xfffffff0)),
    { operation: 'open map', code: 'ENOENT' },
  );
  const wrong = (value: unknown): never => value as never;
  t.throws(() => addon.createMap(wrong(undefined)), { name: 'TypeError' });
  t.throws(() => createMap(t, { type: -1 }), { message: 'type must be a whole number from 0 to 4294967295' });
  t.throws(() => createMap(t, { type: 1.5 }), { message: /whole number/ });
  t.throws(() => createMap(t, { type: Number.NaN }), { message: /whole number/ });
  t.throws(
    () =>
      addon.createMap({
        name: 'sixteen__letters',
        type: 1,
        keySize: 4,
        valueSize: 4,
        maxEntries: 1,
        flags: 0,
      }),
    {
      message: 'name must not be longer than 15 bytes',
    },
  );
});

t.test('one entry is written, read, replaced and removed', async (t) => {
  const map = createMap(t, { type: mapType.hash });
  t.equal(addon.lookup(map, u32(1)), null);
  addon.update(map, u32(1), u64(5n));
  t.strictSame(addon.lookup(map, u32(1)), u64(5n));
  addon.update(map, u32(1), u64(6n));
  t.strictSame(addon.lookup(map, u32(1)), u64(6n));
  t.match(
    kernelErrorOf(() => addon.update(map, u32(1), u64(7n), 1)),
    { operation: 'update', code: 'EEXIST' },
    'BPF_NOEXIST',
  );
  t.equal(addon.remove(map, u32(1)), true);
  t.equal(addon.remove(map, u32(1)), false);
});

t.test('keys and values of another length never reach the kernel', async (t) => {
  const map = createMap(t, { type: mapType.hash });
  t.throws(() => addon.lookup(map, new Uint8Array(3)), {
    message: 'key must be 4 bytes long, as map husk_test has it, not 3',
  });
  t.throws(() => addon.remove(map, new Uint8Array(8)), { message: /^key must be 4 bytes long/ });
  t.throws(() => addon.update(map, u32(1), u32(1)), {
    message: 'value must be 8 bytes long, as map husk_test has it, not 4',
  });
  t.throws(() => addon.writeAll(map, new Uint8Array(6), new Uint8Array(8)), {
    message: /^keys must be a multiple of 4 bytes/,
  });
  t.throws(() => addon.writeAll(map, u32(1, 2), new Uint8Array(15)), {
    message: /^values for 2 keys of map husk_test must be 16 bytes, not 15/,
  });
  const perCpu = createMap(t, { type: mapType.perCpuHash, valueSize: 4 });
  t.throws(
    () => addon.update(perCpu, u32(1), u32(1)),
    { message: /^value must be \d+ bytes long/ },
    'a value for one CPU only',
  );
});

t.test('an empty map reads as empty', async (t) => {
  for (const type of [mapType.hash, mapType.perCpuHash])
    t.match(await addon.readAll(createMap(t, { type })), { count: 0 });
  const trie = createMap(t, { type: mapType.lpmTrie, keySize: 8, flags: mapFlag.noPrealloc });
  const { keys, values, count } = await addon.readAll(trie);
  t.strictSame([keys.length, values.length, count], [0, 0, 0]);
});

for (const count of [1, 1000, 100_000]) {
  t.test(`${count} entries are read as they were written`, async (t) => {
    const values = u64(...Array.from({ length: count }, (_, i) => BigInt(i) * 7n));

    const hash = createMap(t, { type: mapType.hash, maxEntries: count, flags: mapFlag.noPrealloc });
    const numbers = u32(...Array.from({ length: count }, (_, i) => i * 3));
    await addon.writeAll(hash, numbers, values);
    t.strictSame(await entriesOf(hash), expected(numbers, values, count), 'hash');

    const trie = createMap(t, {
      type: mapType.lpmTrie,
      keySize: 8,
      maxEntries: count,
      flags: mapFlag.noPrealloc,
    });
    const keys = prefixes(count);
    await addon.writeAll(trie, keys, values);
    t.strictSame(await entriesOf(trie), expected(keys, values, count), 'LPM trie');

    const array = createMap(t, { type: mapType.array, maxEntries: count });
    const indexes = u32(...Array.from({ length: count }, (_, i) => i));
    await addon.writeAll(array, indexes, values);
    t.strictSame(await entriesOf(array), expected(indexes, values, count), 'array');
  });
}

t.test('per-CPU maps are written and read with a value for each CPU, padded to 8 bytes', async (t) => {
  const cpus = addon.possibleCpus();
  for (const type of [mapType.perCpuHash, mapType.perCpuArray]) {
    const map = createMap(t, { type, valueSize: 4, maxEntries: 3 });
    const keys = u32(0, 1, 2);
    const values = u64(...Array.from({ length: 3 * cpus }, (_, i) => BigInt(i) + 1n));
    await addon.writeAll(map, keys, values);
    t.strictSame(await entriesOf(map), expected(keys, values, 3));
    t.strictSame(addon.lookup(map, u32(1)), values.subarray(cpus * 8, 2 * cpus * 8));
  }
});

t.test('values larger than a page are written and read whole', async (t) => {
  const map = createMap(t, { type: mapType.array, valueSize: 13_320, maxEntries: 1 });
  const value = new Uint8Array(13_320).map((_, i) => i % 251);
  await addon.writeAll(map, u32(0), value);
  t.strictSame((await addon.readAll(map)).values, value);
});

t.test('a map without batch calls is written and read one by one', async (t) => {
  const map = createMap(t, { type: mapType.progArray, valueSize: 4, maxEntries: 8 });
  const program = loadTestObject(t, 'small').program('xdp_pass');
  await addon.writeAll(map, u32(1, 5), u32(program.fd, program.fd));
  const { id } = addon.programInfo(program);
  t.strictSame(await entriesOf(map), expected(u32(1, 5), u32(id, id), 2));
});

t.test('a bad entry is named; those before it are written', async (t) => {
  const trie = createMap(t, { type: mapType.lpmTrie, keySize: 8, flags: mapFlag.noPrealloc });
  const keys = prefixes(5);
  new DataView(keys.buffer).setUint32(3 * 8, 33, true);
  const error = await addon.writeAll(trie, keys, new Uint8Array(5 * 8)).then(
    () => t.fail('a prefix of 33 bits was taken'),
    (reason) => reason,
  );
  t.match(error, {
    name: 'KernelError',
    operation: 'write entry',
    object: 'husk_test, 3 of 5',
    code: 'EINVAL',
  });
  t.equal((await addon.readAll(trie)).count, 3);
});

t.test('a full map says so', async (t) => {
  const map = createMap(t, { type: mapType.hash, maxEntries: 4 });
  await t.rejects(addon.writeAll(map, u32(1, 2, 3, 4, 5), new Uint8Array(40)), {
    code: 'E2BIG',
    operation: 'write entry',
  });
});

t.test('a handle may be closed while its map is being read or written', async (t) => {
  const map = addon.createMap({
    name: 'brief',
    type: mapType.hash,
    keySize: 4,
    valueSize: 8,
    maxEntries: 50_000,
    flags: 0,
  });
  const keep = addon.openMapById(addon.mapInfo(map).id);
  t.teardown(() => keep.close());
  const writing = addon.writeAll(map, u32(...Array(50_000).keys()), new Uint8Array(400_000));
  map.close();
  await writing;
  const reading = addon.readAll(keep);
  t.equal((await reading).count, 50_000);
  t.throws(() => addon.readAll(map), { message: 'map: the handle of this map is closed' });
});

t.test('a frozen map is closed to user space, for good', async (t) => {
  const map = createMap(t, { type: mapType.array, maxEntries: 1 });
  addon.update(map, u32(0), u64(3n));
  addon.freeze(map);
  t.equal(addon.mapInfo(map).frozen, true);
  t.match(
    kernelErrorOf(() => addon.update(map, u32(0), u64(4n))),
    { code: 'EPERM' },
  );
  t.strictSame(addon.lookup(map, u32(0)), u64(3n));
  t.match(
    kernelErrorOf(() => addon.freeze(map)),
    { operation: 'freeze', code: 'EPERM' },
  );
});

t.test('entries of a map of maps are set, told and replaced', async (t) => {
  const inner = createMap(t, { type: mapType.hash });
  const other = createMap(t, { type: mapType.hash });
  const outer = addon.createMapOfMaps(
    { name: 'outer', type: mapType.arrayOfMaps, keySize: 4, valueSize: 4, maxEntries: 2, flags: 0 },
    inner,
  );
  t.teardown(() => outer.close());
  t.equal(addon.innerId(outer, 0), 0);
  await addon.setInner(outer, 0, inner);
  t.equal(addon.innerId(outer, 0), addon.mapInfo(inner).id);
  t.equal(addon.innerId(outer, 1), 0);
  await addon.setInner(outer, 0, other);
  t.equal(addon.innerId(outer, 0), addon.mapInfo(other).id);
  t.strictSame(
    await entriesOf(outer),
    expected(u32(0), u32(addon.mapInfo(other).id), 1),
    'the empty entry is skipped',
  );
  const odd = createMap(t, { type: mapType.hash, valueSize: 4 });
  await t.rejects(addon.setInner(outer, 1, odd), {
    operation: 'set inner map',
    object: 'entry 1',
    code: 'EINVAL',
  });
  await t.rejects(addon.setInner(outer, 2, inner), { code: 'E2BIG' });
  t.throws(() => addon.setInner(inner, 0, other), { message: /must be a map of maps/ });
  t.throws(() => addon.update(outer, u32(0), u32(inner.fd)), { message: /setInner is its way in/ });
  t.throws(() => addon.writeAll(outer, u32(0), u32(inner.fd)), { message: /setInner is its way in/ });
});

t.test('an inner map may be larger than the first where its kind allows', async (t) => {
  const inner = createMap(t, { type: mapType.lpmTrie, keySize: 8, flags: mapFlag.noPrealloc });
  const larger = createMap(t, {
    type: mapType.lpmTrie,
    keySize: 8,
    flags: mapFlag.noPrealloc,
    maxEntries: 1000,
  });
  const outer = addon.createMapOfMaps(
    { name: 'outer', type: mapType.arrayOfMaps, keySize: 4, valueSize: 4, maxEntries: 2, flags: 0 },
    inner,
  );
  await addon.setInner(outer, 1, larger);
  t.equal(addon.innerId(outer, 1), addon.mapInfo(larger).id);
  outer.close();
});

t.test('words are shared with the kernel', async (t) => {
  const map = createMap(t, { type: mapType.array, valueSize: 16, maxEntries: 1, flags: mapFlag.mmapable });
  const words = addon.mapWords(map);
  words.store(4, 0xfffffffe);
  t.equal(words.load(4), 0xfffffffe);
  t.strictSame(addon.lookup(map, u32(0)), u32(0, 0xfffffffe, 0, 0), 'the system call sees the store');
  addon.update(map, u32(0), u32(1, 2, 3, 4));
  t.strictSame(
    [0, 4, 8, 12].map((offset) => words.load(offset)),
    [1, 2, 3, 4],
    'the mapping sees the system call',
  );
  t.equal(words.compareExchange(8, 3, 30), 3);
  t.equal(words.load(8), 30);
  t.equal(words.compareExchange(8, 3, 31), 30, 'what was seen, not what was expected');
  t.equal(words.load(8), 30);
  for (const offset of [16, 13, -4, 1, 2.5, 2 ** 32])
    t.throws(() => words.load(offset), { name: 'TypeError' }, `offset ${offset}`);
  t.throws(() => words.store(0, 2 ** 32), { name: 'TypeError' });
  map.close();
  t.equal(words.load(0), 1, 'the mapping outlives the handle');
  words.close();
  words.close();
  t.throws(() => words.load(0), { message: 'these words are closed' });
});

t.test('a map that cannot be mapped is refused', async (t) => {
  t.match(
    kernelErrorOf(() => addon.mapWords(createMap(t, { type: mapType.array }))),
    { name: 'KernelError', operation: 'mmap', object: 'husk_test' },
  );
});
