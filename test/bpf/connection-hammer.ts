// One thread of a hammering: loads the test programs onto the tables it is told, runs one of them as often as it is
// told, and answers with what it counted. A worker of connection-table.test.ts and limits.test.ts.

import { readFileSync } from 'node:fs';
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads';
import { addon } from '../../native/index.ts';
import { askObject, type ConnectionLab } from './connection-lab.ts';

interface Task {
  readonly program: 'hammer_connections' | 'hammer_limit';
  readonly maps: Readonly<Record<string, number>>;
  readonly repeat: number;
}
export interface Hammered {
  readonly runs: number;
  readonly known: number;
  readonly decided: number;
  readonly wrong: number;
  readonly within: number;
}

const shared = ['connections', 'rates', 'connection_setup', 'connection_counts'];

/** Runs the program in so many threads at once on the lab's tables; what each counted. */
export async function hammer(
  lab: ConnectionLab,
  program: Task['program'],
  { threads, repeat }: { readonly threads: number; readonly repeat: number },
): Promise<readonly Hammered[]> {
  const maps = Object.fromEntries(shared.map((name) => [name, lab.addon.mapInfo(lab.map(name)).id]));
  const task: Task = { program, maps, repeat };
  return await Promise.all(
    Array.from({ length: threads }, async () => {
      const worker = new Worker(new URL(import.meta.url), { workerData: task });
      return await new Promise<Hammered>((resolve, reject) => {
        worker.once('message', resolve);
        worker.once('error', reject);
      });
    }),
  );
}

function work({ program, maps, repeat }: Task): Hammered {
  const object = addon.openObject('connection_ask', readFileSync(askObject));
  for (const [name, id] of Object.entries(maps)) {
    const map = addon.openMapById(id);
    object.setMaxEntries(name, addon.mapInfo(map).maxEntries);
    object.reuseMap(name, map);
  }
  object.load();
  addon.testRun(object.program(program), new Uint8Array(64), { repeat });
  const value = addon.lookup(object.map('hammered'), new Uint8Array(4)) ?? new Uint8Array();
  const words = new BigUint64Array(value.buffer, value.byteOffset, value.byteLength / 8);
  const sum = (field: number) =>
    Number(words.reduce((total, word, index) => (index % 5 === field ? total + word : total), 0n));
  object.close();
  return { runs: sum(0), known: sum(1), decided: sum(2), wrong: sum(3), within: sum(4) };
}

if (!isMainThread && parentPort !== null) parentPort.postMessage(work(workerData as Task));
