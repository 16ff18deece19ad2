// What a policy takes of the kernel's memory, stated before anything is loaded: its tables, twice, since two generations
// are held at once; and what there is whatever the policy says: connections, limits, counters, rings.
//
// Maps of fixed size take all of it when they are made. What is only taken when it is used is counted in full.

import {
  HUSK_CALL_RING_BYTES,
  HUSK_CONNECTION_FRAGMENTS,
  HUSK_CONNECTION_WAYS,
  HUSK_PACKET_RING_BYTES,
  HUSK_RATE_WAYS,
  HUSK_TRACE_RING_BYTES,
  HuskConnectionBucket,
  HuskCounter,
  HuskFragment,
  HuskFragmentKey,
  HuskRateBucket,
  HuskRuleName,
} from '../../bpf/abi/layout.gen.ts';

/** How large the maps are that do not hang on a policy. */
export interface KernelSizes {
  /** Connections that are followed at once; the table has twice the places, since they fill unevenly. */
  readonly connections: number;
  /** Token buckets. */
  readonly limits: number;
  /** Rules and defaults that are counted, of both generations together. */
  readonly counters: number;
  readonly cpus: number;
}

/** Bytes. */
export interface KernelMemory {
  /** Tables of one generation. */
  readonly tables: number;
  /** Connections and first fragments. */
  readonly connections: number;
  readonly limits: number;
  readonly counters: number;
  readonly rings: number;
  /** All of it, with the tables of two generations that share none. */
  readonly total: number;
}

/** For a router with 128 MB of memory, and for whoever says nothing. */
export const usualSizes: Omit<KernelSizes, 'cpus'> = { connections: 16_384, limits: 8192, counters: 4096 };

/** The least part of a device's memory that its policies may take where its configuration says nothing: 16 MiB of 128. */
export const ceilingPart = 8;
export const ceilingLeast = 16 * 1024 * 1024;

/** An entry of a hash in the kernel beside its key and value. */
const hashEntryBytes = 64;
/** Places of the table for each connection that is to be followed. */
const placesPerConnection = 2;

/** Entries of the map `connections`, a power of two. */
export const connectionBuckets = ({ connections }: Pick<KernelSizes, 'connections'>) =>
  powerOfTwo((connections * placesPerConnection) / HUSK_CONNECTION_WAYS);
/** Entries of the map `rates`, a power of two. */
export const limitBuckets = ({ limits }: Pick<KernelSizes, 'limits'>) => powerOfTwo(limits / HUSK_RATE_WAYS);

/** `tables`: bytes of one generation's, as the compiler states them. */
export function kernelMemory(tables: number, sizes: KernelSizes): KernelMemory {
  const fragment = hashEntryBytes + HuskFragmentKey.size + HuskFragment.size;
  const connections =
    connectionBuckets(sizes) * HuskConnectionBucket.size + HUSK_CONNECTION_FRAGMENTS * fragment;
  const limits = limitBuckets(sizes) * HuskRateBucket.size;
  const named = hashEntryBytes + HuskRuleName.size;
  const counters = sizes.counters * (HuskCounter.size * sizes.cpus + named);
  const rings = HUSK_PACKET_RING_BYTES + HUSK_CALL_RING_BYTES + HUSK_TRACE_RING_BYTES;
  const total = 2 * tables + connections + limits + counters + rings;
  return { tables, connections, limits, counters, rings, total };
}

function powerOfTwo(least: number): number {
  return 2 ** Math.max(0, Math.ceil(Math.log2(least)));
}

/** As in `two generations of 3.1 MiB, connections 4.5 MiB, … : 12.9 MiB in all`. */
export function memoryText({ tables, connections, limits, counters, rings, total }: KernelMemory): string {
  const parts = { connections, limits, counters, rings };
  const listed = Object.entries(parts).map(([name, bytes]) => `${name} ${mebibytes(bytes)}`);
  return `two generations of ${mebibytes(tables)}, ${listed.join(', ')}: ${mebibytes(total)} of kernel memory in all`;
}

export const mebibytes = (bytes: number) => `${(bytes / 1024 ** 2).toFixed(1)} MiB`;
