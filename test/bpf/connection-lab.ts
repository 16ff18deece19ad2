// Connections and limits by themselves: test/native/bpf/connection_ask.bpf.c takes a packet as it was parsed, with
// settings, time and generation, and tells what became of it. No clock, no policy, nothing attached.

import { existsSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { connectionRowsMax, listConnections, setUpConnections } from '../../agent/kernel/connections.ts';
import {
  encodeHuskConnectionSettings,
  encodeHuskLimit,
  HUSK_FAMILY_IPV4,
  HUSK_FAMILY_IPV6,
  HUSK_FAMILY_OTHER,
  HuskConnectionCount,
  type HuskConnectionSettings,
  type HuskLimit,
} from '../../bpf/abi/layout.gen.ts';
import type { Addon, BpfObject, MapHandle, ProgramHandle } from '../../native/index.ts';
import { addressBytes } from '../lab/frame.ts';

const root = resolve(import.meta.dirname, '../..');
export const askObject = join(root, 'build/test-bpf/connection_ask.bpf.o');

export function connectionLabMissing(): string | false {
  if (process.getuid?.() !== 0) return 'needs root for BPF';
  const missing = ['build/native/husk.node', 'build/test-bpf/connection_ask.bpf.o'].find(
    (file) => !existsSync(join(root, file)),
  );
  return missing === undefined ? false : `${missing} is not built`;
}

/** A packet as parsing leaves it; what is left out is 0. */
export interface PlainPacket {
  readonly from: string;
  readonly to: string;
  readonly proto: number;
  readonly sport?: number;
  readonly dport?: number;
  readonly flags?: number;
  readonly icmpType?: number;
  readonly icmpId?: number;
  readonly fragment?: 0 | 1 | 2;
  readonly fragmentId?: number;
  readonly smac?: bigint;
  readonly dmac?: bigint;
  readonly outerVlan?: number;
  readonly innerVlan?: number;
  readonly length?: number;
  readonly dscp?: number;
  readonly isOther?: boolean;
  /** What an ICMP error carries behind its 8 bytes. */
  readonly quote?: Uint8Array;
}

export const flag = { fin: 1, syn: 2, rst: 4, ack: 16 } as const;
export const timeouts = [60, 7440, 30, 30, 120, 30, 600, 0] as const;
export const strict: HuskConnectionSettings = { timeouts: [...timeouts], isFollowed: 1, isLoose: 0 };
export const loose: HuskConnectionSettings = { ...strict, isLoose: 1 };

const ask = {
  find: 0,
  allow: 1,
  first: 2,
  stand: 3,
  void: 4,
  forward: 5,
  remember: 6,
  limit: 7,
  fragment: 8,
  clock: 9,
} as const;

/** Of struct question, and in it of struct packet and struct connection. */
const at = { nowNs: 16, limit: 24, settings: 56, packet: 96, found: 184, ask: 264, size: 304 } as const;
const stateNames = ['none', 'new', 'established', 'related', 'invalid'] as const;

export interface Answer {
  readonly state: (typeof stateNames)[number];
  readonly isKnown: boolean;
  readonly isReply: boolean;
  readonly isStale: boolean;
  readonly flags: number;
  readonly bucket: number;
  readonly decided: { readonly verdict: number; readonly rule: number; readonly zone: number } | null;
  readonly answer: number;
  /** Of `first`: the packet that came back. */
  readonly packet: PlainPacket & { readonly hasPorts: boolean; readonly etherType: number };
  readonly ifindex: number;
  readonly openedFlags: number;
}

export interface Circumstances {
  readonly now?: number;
  readonly nowNs?: bigint;
  readonly generation?: number;
  readonly settings?: HuskConnectionSettings;
  readonly isEgress?: boolean;
  readonly ifindex?: number;
  readonly flags?: number;
  readonly limit?: HuskLimit;
  readonly rule?: number;
  readonly verdict?: number;
  readonly zone?: number;
}

const noLimit: HuskLimit = {
  costNs: 1n,
  depthNs: 1n,
  digest: 1n,
  per: 1,
  over: 1,
  prefix4: 32,
  prefix6: 128,
};

export class ConnectionLab {
  readonly addon: Addon;
  readonly #object: BpfObject;
  readonly #programs: Record<'xdp' | 'tc', ProgramHandle>;
  readonly #maps = new Map<string, MapHandle>();
  program: 'xdp' | 'tc' = 'xdp';
  /** What is asked where nothing else is said. */
  usual: Circumstances = {};

  private constructor(addon: Addon, object: BpfObject) {
    this.addon = addon;
    this.#object = object;
    this.#programs = { xdp: object.program('ask_xdp'), tc: object.program('ask_tc') };
  }

  static async open(
    sizes: { connectionBuckets?: number; rateBuckets?: number } = {},
  ): Promise<ConnectionLab> {
    const { connectionBuckets = 64, rateBuckets = 64 } = sizes;
    const { addon } = await import('../../native/index.ts');
    const object = addon.openObject('connection_ask', readFileSync(askObject));
    object.setMaxEntries('connections', connectionBuckets);
    object.setMaxEntries('rates', rateBuckets);
    object.load();
    const lab = new ConnectionLab(addon, object);
    const random = Uint8Array.from({ length: 56 }, (_, index) => (index * 37 + 11) & 255);
    setUpConnections(addon, lab.map('connection_setup'), { connectionBuckets, rateBuckets }, random);
    return lab;
  }

  map(name: string): MapHandle {
    const map = this.#maps.get(name) ?? this.#object.map(name);
    this.#maps.set(name, map);
    return map;
  }

  get programs(): Readonly<Record<'xdp' | 'tc', ProgramHandle>> {
    return this.#programs;
  }

  find = (packet: PlainPacket, how?: Circumstances) => this.#ask(ask.find, packet, how);
  /** Found, and allowed: opened or renewed. */
  allow = (packet: PlainPacket, how?: Circumstances) => this.#ask(ask.allow, packet, how);
  first = (packet: PlainPacket, how?: Circumstances) => this.#ask(ask.first, packet, how);
  stand = (packet: PlainPacket, how?: Circumstances) => this.#ask(ask.stand, packet, how);
  void = (packet: PlainPacket, how?: Circumstances) => this.#ask(ask.void, packet, how);
  forward = (packet: PlainPacket, how?: Circumstances) => this.#ask(ask.forward, packet, how);
  remember = (packet: PlainPacket, how?: Circumstances) => this.#ask(ask.remember, packet, how);
  rememberFragment = (packet: PlainPacket, how?: Circumstances) => this.#ask(ask.fragment, packet, how);
  clock = () => this.#ask(ask.clock, { from: '0.0.0.0', to: '0.0.0.0', proto: 0 }).answer;
  /** Whether the packet is over the limit; `isDry` takes nothing. */
  isOver = (packet: PlainPacket, how: Circumstances, isDry = false) =>
    this.#ask(ask.limit, packet, { ...how, flags: isDry ? 1 : 0 }).answer === 1;

  count(count: HuskConnectionCount): number {
    const key = new Uint8Array(Uint32Array.of(count).buffer);
    const value = this.addon.lookup(this.map('connection_counts'), key);
    const view = new DataView(value?.buffer ?? new ArrayBuffer(0));
    let sum = 0n;
    for (let from = 0; from < view.byteLength; from += 8) sum += view.getBigUint64(from, true);
    return Number(sum);
  }
  counts(): Record<string, number> {
    const { OPENED, EVICTED_ONE_WAY, EVICTED, VOIDED } = HuskConnectionCount;
    return {
      opened: this.count(OPENED),
      oneWay: this.count(EVICTED_ONE_WAY),
      replied: this.count(EVICTED),
      voided: this.count(VOIDED),
    };
  }

  list(now: number, generation = 1) {
    const clock = { nowSeconds: now, generation, timeouts };
    return listConnections(this.addon, this.map('connections'), clock, {}, connectionRowsMax * 100);
  }

  #ask(kind: number, packet: PlainPacket, how: Circumstances = {}): Answer {
    const program = this.#programs[this.program];
    return read(this.addon.testRun(program, question(kind, packet, { ...this.usual, ...how })).data);
  }

  close(): void {
    for (const map of this.#maps.values()) map.close();
    for (const program of Object.values(this.#programs)) program.close();
    this.#object.close();
  }
}

function question(kind: number, packet: PlainPacket, how: Circumstances): Uint8Array {
  const quote = packet.quote ?? new Uint8Array();
  const bytes = new Uint8Array(at.size + 8 + quote.length);
  const view = new DataView(bytes.buffer);
  bytes.set(quote, at.size + 8);
  view.setBigUint64(at.nowNs, how.nowNs ?? 0n, true);
  encodeHuskLimit(view, at.limit, how.limit ?? noLimit);
  encodeHuskConnectionSettings(view, at.settings, how.settings ?? strict);
  writePacket(view, packet);
  const { now = 1000, generation = 1, ifindex = 7, flags = 0, rule = 0, verdict = 0, zone = 0 } = how;
  const numbers = [kind, now, generation, ifindex, flags, how.isEgress ? 1 : 0, rule, verdict, zone, 0];
  for (const [index, number] of numbers.entries()) view.setUint32(at.ask + index * 4, number, true);
  return bytes;
}

function writePacket(view: DataView, packet: PlainPacket): void {
  const bytes = new Uint8Array(view.buffer);
  const isIpv4 = !packet.from.includes(':');
  const place = (address: string, to: number) => {
    if (isIpv4) bytes.set([255, 255], to + 10);
    bytes.set(addressBytes(address), isIpv4 ? to + 12 : to);
  };
  place(packet.from, at.packet);
  place(packet.to, at.packet + 16);
  view.setBigUint64(at.packet + 32, packet.smac ?? 0n, true);
  view.setBigUint64(at.packet + 40, packet.dmac ?? 0n, true);
  view.setUint32(at.packet + 48, packet.fragmentId ?? 0, true);
  const isLater = packet.fragment === 2;
  const isTcp = packet.proto === 6 && !isLater;
  const isIcmp = packet.proto === (isIpv4 ? 1 : 58) && !isLater;
  const hasPorts = [6, 17, 132, 136].includes(packet.proto) && !isLater;
  const shorts = [
    packet.sport ?? 0,
    packet.dport ?? 0,
    isIpv4 ? 0x0800 : 0x86dd,
    packet.length ?? 0,
    packet.outerVlan ?? 0,
    packet.innerVlan ?? 0,
    packet.icmpId ?? 0,
    at.size,
  ];
  for (const [index, short] of shorts.entries()) view.setUint16(at.packet + 52 + index * 2, short, true);
  const family = packet.isOther ? HUSK_FAMILY_OTHER : isIpv4 ? HUSK_FAMILY_IPV4 : HUSK_FAMILY_IPV6;
  const small = [family, packet.proto, 64, packet.flags ?? 0, packet.icmpType ?? 0, 0, packet.fragment ?? 0];
  bytes.set([...small, +hasPorts, +isTcp, +isIcmp, 0, packet.dscp ?? 0], at.packet + 68);
}

function read(data: Uint8Array): Answer {
  const view = new DataView(data.buffer, data.byteOffset, data.byteLength);
  const found = at.found;
  const decided = view.getUint32(found + 68, true);
  const u8 = (offset: number) => view.getUint8(offset);
  return {
    state: stateNames[u8(found + 74)] ?? 'none',
    isKnown: u8(found + 75) === 1,
    isReply: u8(found + 77) === 1,
    isStale: u8(found + 78) === 1,
    flags: view.getUint16(found + 72, true),
    bucket: view.getUint32(found + 60, true),
    decided:
      decided === 0
        ? null
        : { verdict: decided & 15, zone: (decided >>> 4) & 15, rule: (decided >>> 16) & 0xffff },
    answer: view.getUint32(at.ask + 36, true),
    packet: readPacket(view),
    ifindex: view.getUint32(at.ask + 12, true),
    openedFlags: view.getUint32(at.ask + 16, true),
  };
}

function readPacket(view: DataView): Answer['packet'] {
  const base = at.packet;
  const short = (index: number) => view.getUint16(base + 52 + index * 2, true);
  const isIpv4 = view.getUint8(base + 68) === HUSK_FAMILY_IPV4;
  const address = (offset: number) => {
    const bytes = new Uint8Array(view.buffer, view.byteOffset + offset, 16);
    return isIpv4 ? bytes.subarray(12).join('.') : Buffer.from(bytes).toString('hex');
  };
  return {
    from: address(base),
    to: address(base + 16),
    smac: view.getBigUint64(base + 32, true),
    dmac: view.getBigUint64(base + 40, true),
    sport: short(0),
    dport: short(1),
    etherType: short(2),
    length: short(3),
    outerVlan: short(4),
    innerVlan: short(5),
    icmpId: short(6),
    proto: view.getUint8(base + 69),
    flags: view.getUint8(base + 71),
    icmpType: view.getUint8(base + 72),
    fragment: view.getUint8(base + 74) as 0 | 1 | 2,
    hasPorts: view.getUint8(base + 75) === 1,
    dscp: view.getUint8(base + 79),
  };
}

/** The answer's direction: both ends exchanged, the rest as it is. */
export function turned(packet: PlainPacket, rest: Partial<PlainPacket> = {}): PlainPacket {
  const { from, to, sport, dport, ...same } = packet;
  return {
    ...same,
    from: to,
    to: from,
    ...(dport === undefined ? {} : { sport: dport }),
    ...(sport === undefined ? {} : { dport: sport }),
    ...rest,
  };
}
