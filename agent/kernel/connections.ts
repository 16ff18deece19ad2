// The table of connections as user space sees it: rows for whoever asks, and forgetting what is void.
//
// Programs write while we read, so a bucket is taken as it is found and each place is believed only where all
// its words name one tenant (bpf/abi/connections.h); what does not is counted as torn and left out. A place
// whose time is over is free, whatever is in it.

import {
  decodeHuskConnection,
  encodeHuskConnectionSetup,
  HUSK_CONNECTION_CLOSED,
  HUSK_CONNECTION_DEVICE,
  HUSK_CONNECTION_EGRESS,
  HUSK_CONNECTION_FORWARDED,
  HUSK_CONNECTION_REPLIED,
  HUSK_CONNECTION_REVERSED,
  HUSK_CONNECTION_TIMEOUT_SHIFT,
  HUSK_CONNECTION_TO_DEVICE,
  HUSK_CONNECTION_WAYS,
  HUSK_FAMILY_IPV4,
  HUSK_FAMILY_IPV6,
  HuskConnection,
  HuskConnectionBucket,
  HuskConnectionSetup,
  HuskConnectionTimeout,
} from '../../bpf/abi/layout.gen.ts';
import type { Addon, MapHandle } from '../../native/index.ts';
import { formatBytes } from '../policy/addresses.ts';
import { tcpFlagBits } from '../policy/numbers.ts';

/** One end: the address as text, and the port, or the identifier of an ICMP echo, or 0. */
export interface ConnectionEnd {
  readonly address: string;
  readonly port: number;
}
export interface Connection {
  /** Who opened it, and to whom. */
  readonly from: ConnectionEnd;
  readonly to: ConnectionEnd;
  readonly family: 4 | 6;
  /** IANA's number. */
  readonly ipProto: number;
  /** Where the packet that opened it was judged. */
  readonly ifindex: number;
  readonly hook: 'ingress' | 'egress';
  /** A packet came back. */
  readonly replied: boolean;
  /** Goes through the device. */
  readonly forwarded: boolean;
  /** The device itself opened it. */
  readonly ownDevice: boolean;
  readonly toDevice: boolean;
  /** TCP: seen from its middle on. */
  readonly midstream: boolean;
  /** TCP: RST, or FIN of both sides. */
  readonly closed: boolean;
  /** Seconds since it was last renewed, and until it is forgotten if it is not. */
  readonly idleSeconds: number;
  readonly leftSeconds: number;
  /** Ids of the generations that it was opened under and last judged by. */
  readonly made: number;
  readonly judged: number;
}

/** By what a connection counts as living. */
export interface ConnectionClock {
  /** CLOCK_BOOTTIME, whole seconds. */
  readonly nowSeconds: number;
  /** Id of the generation in force; what a later one made is void. */
  readonly generation: number;
  /** Seconds, by enum husk_connection_timeout. */
  readonly timeouts: readonly number[];
}

/** Every condition that is stated has to hold; address and port of either end. */
export interface ConnectionFilter {
  readonly family?: 4 | 6;
  readonly ipProto?: number;
  readonly address?: string;
  readonly port?: number;
}

export interface ConnectionList {
  readonly connections: readonly Connection[];
  /** Fit the filter and are above `rowsMax`. */
  readonly left: number;
  /** Places that were being written. */
  readonly torn: number;
}

/** Rows in one answer, where the caller asks for no fewer: each is some 300 bytes of JSON. */
export const connectionRowsMax = 1000;
const lockFlag = 4; // BPF_F_LOCK of linux/bpf.h: the whole value under the bucket's lock

/** Reads the whole table (some 2 MB for 16,384 connections) and keeps what fits. Throws KernelError. */
export async function listConnections(
  addon: Addon,
  map: MapHandle,
  clock: ConnectionClock,
  filter: ConnectionFilter = {},
  rowsMax = connectionRowsMax,
): Promise<ConnectionList> {
  const connections: Connection[] = [];
  let [left, torn] = [0, 0];
  for (const place of places(await readBuckets(addon, map))) {
    const connection = place === null ? null : readPlace(place, clock);
    if (place === null) torn++;
    else if (connection === null || !fits(connection, filter)) continue;
    else if (connections.length < rowsMax) connections.push(connection);
    else left++;
  }
  return { connections, left, torn };
}

/**
 * Forgets what generations after this one have opened, and returns how many: trials that were returned, when it is
 * the one in force. They are void while it is; the next generation, with a greater id than theirs, would take them
 * for connections again. No program may still run by one of those generations.
 */
export function forgetOpenedAfter(addon: Addon, map: MapHandle, generation: number): Promise<number> {
  return forgetPlaces(addon, map, ({ view, at }) => {
    return view.getUint32(at + HuskConnection.offset.made, true) > generation;
  });
}

/**
 * A bucket is written back whole: what programs changed in it in these microseconds is lost, as if those packets had
 * not come. What they voided meanwhile comes back, and is judged again, as it was.
 */
async function forgetPlaces(
  addon: Addon,
  map: MapHandle,
  isGone: (place: Place) => boolean,
): Promise<number> {
  const buckets = new Map<number, number[]>();
  let count = 0;
  for (const place of places(await readBuckets(addon, map))) {
    if (place === null || !isGone(place)) continue;
    buckets.set(place.bucket, [...(buckets.get(place.bucket) ?? []), place.index]);
    count++;
  }
  const key = new Uint8Array(4);
  for (const [bucket, indexes] of buckets) {
    new DataView(key.buffer).setUint32(0, bucket, true);
    const value = addon.lookup(map, key);
    if (value === null) continue;
    for (const index of indexes) value.fill(0, index * 4, index * 4 + 4); // the tags come first
    addon.update(map, key, value, lockFlag);
  }
  return count;
}

/**
 * Seeds the hash and tells the programs how large the tables are. Once, when the maps are made and before a
 * program runs: with another seed nothing that is in them is found again.
 * @param random 56 bytes that nobody outside can know
 */
export function setUpConnections(
  addon: Addon,
  setup: MapHandle,
  sizes: { readonly connectionBuckets: number; readonly rateBuckets: number },
  random: Uint8Array,
): void {
  const view = new DataView(random.buffer, random.byteOffset, random.byteLength);
  const value = new Uint8Array(HuskConnectionSetup.size);
  encodeHuskConnectionSetup(new DataView(value.buffer), 0, {
    seed: Array.from({ length: HuskConnectionSetup.count.seed }, (_, at) => view.getBigUint64(at * 8, true)),
    bucketMask: maskOf(sizes.connectionBuckets),
    rateMask: maskOf(sizes.rateBuckets),
  });
  addon.update(setup, new Uint8Array(4), value);
}

function maskOf(size: number): number {
  if (size < 1 || (size & (size - 1)) !== 0) throw new RangeError(`${size} buckets: not a power of two`);
  return size - 1;
}

async function readBuckets(addon: Addon, map: MapHandle): Promise<DataView> {
  const { values } = await addon.readAll(map);
  return new DataView(values.buffer, values.byteOffset, values.byteLength);
}

/** A place that holds something: its words name one tenant. */
interface Place {
  readonly bucket: number;
  readonly index: number;
  readonly view: DataView;
  readonly at: number;
}

const bound = ['state', 'seen', 'judged', 'made'] as const;

/** Places in use; null for one that is being written. Rows of an array come in order of their keys. */
function* places(view: DataView): Generator<Place | null> {
  for (let bucket = 0; (bucket + 1) * HuskConnectionBucket.size <= view.byteLength; bucket++) {
    const base = bucket * HuskConnectionBucket.size;
    for (let index = 0; index < HUSK_CONNECTION_WAYS; index++) {
      if (view.getUint32(base + HuskConnectionBucket.offset.tags + index * 4, true) === 0) continue;
      const at = base + HuskConnectionBucket.offset.entries + index * HuskConnection.size;
      const tenancy = view.getUint32(at + HuskConnection.offset.state + 4, true);
      const isWhole = bound.every(
        (word) => view.getUint32(at + HuskConnection.offset[word] + 4, true) === tenancy,
      );
      yield isWhole ? { bucket, index, view, at } : null;
    }
  }
}

const tcp = 6;
const { syn, ack } = tcpFlagBits;

/** Null: its time is over, or it is void, or no program writes such. */
function readPlace({ view, at }: Place, clock: ConnectionClock): Connection | null {
  const entry = decodeHuskConnection(view, at);
  const state = lower(entry.state);
  const timeout =
    clock.timeouts[(state >>> HUSK_CONNECTION_TIMEOUT_SHIFT) & (HuskConnectionTimeout.COUNT - 1)] ?? 0;
  const idleSeconds = Math.max(0, clock.nowSeconds - lower(entry.seen));
  const made = lower(entry.made);
  if (idleSeconds > timeout || made > clock.generation) return null;
  const { family } = entry.key;
  if (family !== HUSK_FAMILY_IPV4 && family !== HUSK_FAMILY_IPV6) return null;
  const isIpv4 = family === HUSK_FAMILY_IPV4;
  const end = (address: Uint8Array, port: number): ConnectionEnd => ({
    address: formatBytes(isIpv4 ? address.subarray(12) : address),
    port,
  });
  const low = end(entry.key.low, entry.key.lowPort);
  const high = end(entry.key.high, entry.key.highPort);
  const isReversed = has(state, HUSK_CONNECTION_REVERSED);
  return {
    from: isReversed ? high : low,
    to: isReversed ? low : high,
    family: isIpv4 ? 4 : 6,
    ipProto: entry.key.ipProto,
    ifindex: entry.ifindex,
    hook: has(state, HUSK_CONNECTION_EGRESS) ? 'egress' : 'ingress',
    replied: has(state, HUSK_CONNECTION_REPLIED),
    forwarded: has(state, HUSK_CONNECTION_FORWARDED),
    ownDevice: has(state, HUSK_CONNECTION_DEVICE),
    toDevice: has(state, HUSK_CONNECTION_TO_DEVICE),
    midstream: entry.key.ipProto === tcp && (entry.first & (syn | ack)) !== syn,
    closed: has(state, HUSK_CONNECTION_CLOSED),
    idleSeconds,
    leftSeconds: timeout - idleSeconds,
    made,
    judged: lower(entry.judged),
  };
}

const lower = (word: bigint) => Number(BigInt.asUintN(32, word));
const has = (state: number, flag: number) => (state & flag) !== 0;

function fits(connection: Connection, { family, ipProto, address, port }: ConnectionFilter): boolean {
  const { from, to } = connection;
  return (
    (family === undefined || connection.family === family) &&
    (ipProto === undefined || connection.ipProto === ipProto) &&
    (address === undefined || from.address === address || to.address === address) &&
    (port === undefined || from.port === port || to.port === port)
  );
}
