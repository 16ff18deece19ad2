// Goal: nothing stays behind, however often objects are loaded and closed: no descriptor, no memory, nothing
// in the kernel.
// Method: load and close many times, in rounds. A leak grows with every round; a heap that has found its
// size does not. Then ask the kernel for every map that was made.

import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { addon } from '../../native/index.ts';
import {
  createMap,
  eventually,
  mapExists,
  mapType,
  openDescriptors,
  root,
  sleep,
  staysLevel,
  u32,
} from './kernel.ts';

t.test('a small object ten thousand times', async (t) => {
  const bytes = readFileSync(join(root, 'build/test-bpf/small.bpf.o'));
  const ids: number[] = [];
  const cycle = (): void => {
    const object = addon.openObject('small', bytes);
    object.load();
    const map = object.map('number');
    const program = object.program('xdp_pass');
    ids.push(addon.mapInfo(map).id);
    addon.lookup(map, u32(0));
    map.close();
    program.close();
    object.close();
  };
  await staysLevel(t, cycle, { rounds: 20, times: 500 });
  t.ok(new Set(ids).size >= 10_000, 'each was a map of its own');
  await eventually('the last of the maps is gone', () => !ids.some(mapExists));
});

t.test('what is only forgotten is closed when it is collected', async (t) => {
  const bytes = readFileSync(join(root, 'build/test-bpf/small.bpf.o'));
  const descriptors = await openDescriptors();
  const forget = (): number[] =>
    Array.from({ length: 200 }, () => {
      const object = addon.openObject('small', bytes);
      object.load();
      object.program('xdp_pass');
      return addon.mapInfo(object.map('number')).id;
    });
  const ids = forget();
  t.ok(readdirSync('/proc/self/fd').length > descriptors, 'they were open');
  await sleep(1);
  t.ok((await openDescriptors()) <= descriptors + 4);
  await eventually('nearly all are gone', () => ids.filter(mapExists).length <= 2);
});

t.test('failures leave nothing behind either', async (t) => {
  const refused = readFileSync(join(root, 'build/test-bpf/refused.bpf.o'));
  const map = createMap(t, { type: mapType.hash });
  const fail = (): void => {
    const object = addon.openObject('refused', refused);
    try {
      object.load();
      throw new Error('it was loaded');
    } catch (error) {
      if ((error as { code?: string }).code !== 'EACCES') throw error;
    }
    object.close();
    for (const call of [
      () => addon.openObject('cut', refused.subarray(0, 300)),
      () => addon.openPinnedMap('/nonexistent'),
      () => addon.mapWords(map),
      () => addon.openMapById(0xfffffff0),
    ]) {
      try {
        call();
      } catch {
        continue;
      }
      throw new Error('a call did not fail');
    }
  };
  await staysLevel(t, fail, { rounds: 10, times: 300 });
});

t.test('work on the pool a thousand times', async (t) => {
  const map = createMap(t, { type: mapType.hash, maxEntries: 1000 });
  const keys = u32(...Array(1000).keys());
  const values = new Uint8Array(8000);
  const cycle = async (): Promise<void> => {
    await addon.writeAll(map, keys, values);
    if ((await addon.readAll(map)).count !== 1000) throw new Error('not all were read');
  };
  await staysLevel(t, cycle, { rounds: 10, times: 200 });
});
