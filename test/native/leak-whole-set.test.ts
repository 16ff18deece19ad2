// Goal: as in leak.test.ts, for the whole set of the project's own objects, sharing their maps.
// Method: as there, two hundred times. A file of its own, since the verifier takes its time with each load.

import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { addon, type BpfObject, type MapHandle } from '../../native/index.ts';
import { eventually, mapExists, root, staysLevel } from './kernel.ts';

/** All objects of the project, sharing the maps they declare by the same name, as the agent loads them. */
function loadWholeSet(files: readonly (readonly [name: string, bytes: Uint8Array])[]): {
  ids: number[];
  close(): void;
} {
  const objects: BpfObject[] = [];
  const shared = new Map<string, MapHandle>();
  const ids: number[] = [];
  for (const [name, bytes] of files) {
    const object = addon.openObject(name, bytes);
    objects.push(object);
    const declared = object.mapNames().filter((map) => !map.startsWith('.'));
    for (const map of declared) {
      const other = shared.get(map);
      if (other !== undefined) object.reuseMap(map, other);
    }
    object.load();
    for (const map of declared) if (!shared.has(map)) shared.set(map, object.map(map));
  }
  for (const map of shared.values()) ids.push(addon.mapInfo(map).id);
  return {
    ids,
    close() {
      for (const handle of [...shared.values(), ...objects]) handle.close();
    },
  };
}

t.setTimeout(600_000);

/** LSM and tracing programs, which build machines refuse; guests load them (test/device/hardening.test.ts). */
const isForTasks = (name: string) => /^(guard_|lineage|end_exec|probe_)/.test(name);

t.test('the whole set two hundred times', { timeout: 600_000 }, async (t) => {
  const folder = join(root, 'build/bpf');
  const files = readdirSync(folder)
    .filter((name) => name.endsWith('.bpf.o') && name !== 'layout.bpf.o' && !isForTasks(name))
    .map((name) => [name.replace('.bpf.o', ''), readFileSync(join(folder, name))] as const);
  t.ok(files.length > 0, files.map(([name]) => name).join(', '));
  let ids: number[] = [];
  const cycle = (): void => {
    const set = loadWholeSet(files);
    ids = set.ids;
    set.close();
  };
  await staysLevel(t, cycle, { rounds: 10, times: 20 });
  await eventually('the last of the maps is gone', () => !ids.some(mapExists));
});
