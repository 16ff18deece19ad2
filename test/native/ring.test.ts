// Goal: what programs write to a ring arrives in JavaScript once, in order and whole; what there is no room
// for is counted; a flood in one ring takes nothing from the other; and the thread ends when told to.
// Method: a program that copies its packet to a ring, run by BPF_PROG_TEST_RUN with a number in each packet.
// While this thread runs packets it takes no batch, so what waits grows until its bound.

import { readdirSync, readFileSync } from 'node:fs';
import t, { type Test } from 'tap';
import { addon, type ProgramHandle, type Ring, type RingOptions } from '../../native/index.ts';
import { createMap, kernelErrorOf, loadTestObject, mapType, openDescriptors, sleep } from './kernel.ts';

const recordBytes = { first: 24, second: 13 } as const;
/** What a record takes in a batch: its header, and padding to 8. */
const batchBytes = { first: 8 + 24, second: 8 + 16 } as const;

interface Record {
  readonly ring: number;
  readonly length: number;
  readonly serial: number;
}

function recordsOf(batch: Uint8Array): Record[] {
  const view = new DataView(batch.buffer, batch.byteOffset, batch.byteLength);
  const records: Record[] = [];
  for (let at = 0; at < batch.length; ) {
    const length = view.getUint32(at + 4, true);
    records.push({ ring: view.getUint32(at, true), length, serial: view.getUint32(at + 8 + 4, true) });
    at += 8 + Math.ceil(length / 8) * 8;
    if (at > batch.length) throw new Error('a record reaches beyond its batch');
  }
  return records;
}

/** Lets the program write record `serial` to a ring. */
function emit(program: ProgramHandle, ring: 0 | 1, serial: number): void {
  const packet = new Uint8Array(64);
  packet[0] = ring;
  new DataView(packet.buffer).setUint32(4, serial, true);
  addon.testRun(program, packet);
}

interface Line {
  readonly ring: Ring;
  readonly program: ProgramHandle;
  readonly records: Record[];
  readonly batches: number[];
}

function openLine(t: Test, options: RingOptions): Line {
  const object = loadTestObject(t, 'hooks');
  const records: Record[] = [];
  const batches: number[] = [];
  const maps = [object.map('first_ring'), object.map('second_ring')];
  const ring = addon.openRing(maps, options, (batch) => {
    batches.push(batch.length);
    records.push(...recordsOf(batch));
  });
  // The thread has descriptors of its own.
  for (const map of maps) map.close();
  t.teardown(() => ring.close());
  return { ring, program: object.program('xdp_event'), records, batches };
}

function ringThreads(): number {
  return readdirSync('/proc/self/task').filter(
    (task) => readFileSync(`/proc/self/task/${task}/comm`, 'utf8').trim() === 'husk-ring',
  ).length;
}

t.test('records of both rings arrive in order, with their length', async (t) => {
  const { ring, program, records } = openLine(t, { flushMs: 10 });
  for (let i = 0; i < 100; i++) emit(program, i % 2 === 0 ? 0 : 1, i);
  await ring.close();
  const even = records.filter((record) => record.ring === 0);
  const odd = records.filter((record) => record.ring === 1);
  t.strictSame(
    even.map((record) => record.serial),
    Array.from({ length: 50 }, (_, i) => 2 * i),
  );
  t.strictSame(
    odd.map((record) => record.serial),
    Array.from({ length: 50 }, (_, i) => 2 * i + 1),
  );
  t.ok(even.every((record) => record.length === recordBytes.first));
  t.ok(odd.every((record) => record.length === recordBytes.second));
  t.equal(ring.dropped(), 0n);
});

t.test('a lone record is handed over after flushMs, without more traffic', async (t) => {
  const { ring, program, records } = openLine(t, { flushMs: 50 });
  emit(program, 0, 1);
  const start = Date.now();
  while (records.length === 0 && Date.now() - start < 5000) await sleep(5);
  t.equal(records.length, 1);
  t.ok(Date.now() - start < 2000, 'long before any other bound');
  await ring.close();
});

t.test('a full batch is handed over before flushMs', async (t) => {
  const { ring, program, records, batches } = openLine(t, {
    flushMs: 60_000,
    batchBytes: 10 * batchBytes.first,
  });
  for (let i = 0; i < 25; i++) emit(program, 0, i);
  const start = Date.now();
  while (records.length < 20 && Date.now() - start < 5000) await sleep(5);
  t.equal(records.length, 20);
  t.strictSame(batches, [10 * batchBytes.first, 10 * batchBytes.first]);
  await ring.close();
  t.equal(records.length, 25, 'close hands over what is held');
});

t.test('beyond the bound new records are dropped and counted, the oldest kept', async (t) => {
  const share = 4096;
  const { ring, program, records } = openLine(t, { flushMs: 1, batchBytes: 512, pendingBytesMax: 2 * share });
  // 1000 records of 32 bytes fit into the kernel's ring of 64 KiB: whatever is lost is lost by the thread.
  for (let i = 0; i < 1000; i++) emit(program, 0, i);
  for (let i = 0; i < 50; i++) emit(program, 1, i);
  const kept = share / batchBytes.first;
  // Without giving up this thread, which would take batches and make room: until the reading thread has read all.
  const start = Date.now();
  const pause = new Int32Array(new SharedArrayBuffer(4));
  while (ring.dropped() < BigInt(1000 - kept) && Date.now() - start < 5000) Atomics.wait(pause, 0, 0, 5);
  await ring.close();
  const first = records.filter((record) => record.ring === 0);
  t.equal(first.length, kept);
  t.strictSame(
    first.map((record) => record.serial),
    Array.from({ length: kept }, (_, i) => i),
    'the oldest',
  );
  t.equal(ring.dropped(), BigInt(1000 - kept));
  t.equal(records.filter((record) => record.ring === 1).length, 50, 'the other ring lost nothing');
});

t.test('room comes back when batches are taken', async (t) => {
  const { ring, program, records } = openLine(t, { flushMs: 1, batchBytes: 512, pendingBytesMax: 2 * 4096 });
  for (let round = 0; round < 20; round++) {
    for (let i = 0; i < 100; i++) emit(program, 0, round * 100 + i);
    const start = Date.now();
    while (records.length < (round + 1) * 100 && Date.now() - start < 5000) await sleep(2);
  }
  t.equal(records.length, 2000);
  t.equal(ring.dropped(), 0n);
  await ring.close();
});

t.test('closing twice gives the same end, and no callback follows', async (t) => {
  const { ring, program, records } = openLine(t, {});
  emit(program, 0, 1);
  t.equal(ringThreads(), 1);
  const [first, second] = [ring.close(), ring.close()];
  t.equal(first, second);
  await first;
  t.equal(ringThreads(), 0, 'the thread is gone');
  const count = records.length;
  emit(program, 0, 2);
  await sleep(150);
  t.equal(records.length, count);
  t.equal(ring.dropped(), 0n, 'the count can still be read');
  await ring.close();
});

t.test('an exception in the callback is an uncaught exception, and the ring goes on', async (t) => {
  const object = loadTestObject(t, 'hooks');
  let calls = 0;
  const ring = addon.openRing([object.map('first_ring')], { flushMs: 1 }, () => {
    calls += 1;
    if (calls === 1) throw new Error('from the callback');
  });
  const caught = t.capture(process, 'emit', (event: string, error: Error) => {
    if (event === 'uncaughtException') caughtErrors.push(error.message);
    return true;
  });
  const caughtErrors: string[] = [];
  emit(object.program('xdp_event'), 0, 1);
  while (calls < 1) await sleep(5);
  emit(object.program('xdp_event'), 0, 2);
  while (calls < 2) await sleep(5);
  caught.restore();
  t.strictSame(caughtErrors, ['from the callback']);
  await ring.close();
});

t.test('a map that is no ring is refused, and leaves nothing open', async (t) => {
  const ringMap = loadTestObject(t, 'hooks').map('first_ring');
  const array = createMap(t, { type: mapType.array });
  const before = await openDescriptors();
  for (let i = 0; i < 10; i++) {
    t.match(
      kernelErrorOf(() => addon.openRing([ringMap, array], {}, () => {})),
      { name: 'KernelError', operation: 'open rings', code: 'EINVAL' },
    );
  }
  await sleep(20);
  t.ok((await openDescriptors()) <= before, 'no descriptor is left');
  ringMap.close();
  t.equal(ringThreads(), 0);
});

t.test('arguments that make no sense are refused', async (t) => {
  const map = loadTestObject(t, 'hooks').map('first_ring');
  t.teardown(() => map.close());
  const nothing = (): void => {};
  t.throws(() => addon.openRing([], {}, nothing), { message: 'maps must name one ring at least' });
  t.throws(() => addon.openRing(Array(9).fill(map), {}, nothing), { message: /more than 8/ });
  t.throws(() => addon.openRing([map], {}, 5 as never), { message: 'onBatch must be a function' });
  t.throws(() => addon.openRing([map], { flushMs: -1 }, nothing), {
    message: /^flushMs must be a whole number/,
  });
  t.throws(() => addon.openRing([map], { batchBytes: 2 ** 31 }, nothing), { message: /^batchBytes must be/ });
});

t.test('rings opened and closed a thousand times leave no thread and no descriptor', async (t) => {
  const object = loadTestObject(t, 'hooks');
  const maps = [object.map('first_ring'), object.map('second_ring')];
  const program = object.program('xdp_event');
  const before = await openDescriptors();
  let records = 0;
  for (let i = 0; i < 1000; i++) {
    const ring = addon.openRing(maps, {}, (batch) => {
      records += recordsOf(batch).length;
    });
    emit(program, 0, i);
    await ring.close();
  }
  t.equal(records, 1000);
  t.ok((await openDescriptors()) <= before, 'no descriptor is left');
  t.equal(ringThreads(), 0);
});
