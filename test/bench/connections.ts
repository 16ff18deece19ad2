// What following connections adds to a packet: an established one among 1,000, 10,000 and 100,000 in random order,
// one that is looked for in vain, one that opens; the lock that reading does without; a limit's token; and bytes.
//
// BPF_PROG_TEST_RUN of xdp_connections.bpf.c on one CPU, each mode by turns with making the packet alone, medians of
// the differences. The time given is fixed, but for the row of the clock.

import { readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { setUpConnections } from '../../agent/kernel/connections.ts';
import { HuskConnectionBucket } from '../../bpf/abi/layout.gen.ts';
import { addon, type ProgramHandle } from '../../native/index.ts';

const mode = {
  nothing: 0,
  openAll: 1,
  established: 2,
  miss: 3,
  open: 4,
  lock: 5,
  clock: 6,
  limit: 7,
} as const;
const rounds = 9;
const repeat = 300_000;
/** Places for twice as many: buckets of eight with four in them on average seldom overflow. */
const tables = [
  { connections: 1_000, buckets: 256 },
  { connections: 10_000, buckets: 4_096 },
  { connections: 100_000, buckets: 32_768 },
] as const;
const rateBuckets = 16_384;
const file = join(resolve(import.meta.dirname, '../../build/test-bpf'), 'xdp_connections.bpf.o');

export interface ConnectionFigures {
  readonly connections: number;
  /** Nanoseconds added to a packet. */
  readonly established: number;
  readonly miss: number;
  /** In a table that is full. */
  readonly open: number;
  readonly lock: number;
  readonly clock: number;
  readonly limit: number;
  /** Of the packets of `established`, those whose connection was there. */
  readonly knownShare: number;
  readonly bytes: number;
}

export function measureConnections(): ConnectionFigures[] {
  return tables.map(({ connections, buckets }) => measure(connections, buckets));
}

function measure(connections: number, buckets: number): ConnectionFigures {
  const object = addon.openObject('xdp_connections', readFileSync(file));
  try {
    object.setMaxEntries('connections', buckets);
    object.setMaxEntries('rates', rateBuckets);
    object.load();
    const random = crypto.getRandomValues(new Uint8Array(56));
    const setup = object.map('connection_setup');
    setUpConnections(addon, setup, { connectionBuckets: buckets, rateBuckets }, random);
    const program = object.program('bench_connections');
    const time = (which: number, times = repeat) => run(program, which, connections, times);
    time(mode.openAll, connections);
    time(mode.established);
    const known = () => readKnown(object.map('states'));
    const before = known();
    time(mode.established, repeat);
    const knownShare = (known() - before) / repeat;
    const added = (which: number) =>
      median(Array.from({ length: rounds }, () => time(which) - time(mode.nothing)));
    const established = added(mode.established);
    return {
      connections,
      established,
      miss: added(mode.miss),
      lock: median(Array.from({ length: rounds }, () => time(mode.lock) - time(mode.established))),
      clock: added(mode.clock),
      limit: added(mode.limit),
      open: added(mode.open),
      knownShare,
      bytes: buckets * HuskConnectionBucket.size,
    };
  } finally {
    object.close();
  }
}

function run(program: ProgramHandle, which: number, count: number, times: number): number {
  const frame = new Uint8Array(64);
  const view = new DataView(frame.buffer);
  for (const [index, number] of [which, count, 1000].entries()) view.setUint32(16 + index * 4, number, true);
  return addon.testRun(program, frame, { repeat: times }).durationNs;
}

/** The last word of each CPU's state. */
function readKnown(states: Parameters<typeof addon.lookup>[0]): number {
  const size = addon.mapInfo(states).valueSize;
  const value = addon.lookup(states, new Uint8Array(4)) ?? new Uint8Array();
  const view = new DataView(value.buffer, value.byteOffset, value.byteLength);
  let sum = 0;
  for (let end = size; end <= value.length; end += size) sum += Number(view.getBigUint64(end - 8, true));
  return sum;
}

function median(numbers: readonly number[]): number {
  return [...numbers].sort((a, b) => a - b)[numbers.length >> 1] ?? 0;
}
