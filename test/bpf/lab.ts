// The real programs with hand-written tables: every object loaded onto one set of maps, slots filled from
// plain objects, frames run through BPF_PROG_TEST_RUN, and what came of it read back.
//
// Nothing is pinned and nothing is attached to an interface. Live programs run as on interface 1, the
// loopback that TEST_RUN lends them; no packet of the machine passes through. Call programs are attached
// to a cgroup of the lab's own.

import { existsSync, mkdirSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { setUpConnections } from '../../agent/kernel/connections.ts';
import {
  entryOf,
  outerFor,
  outersOf,
  packetMaps,
  sharedMaps,
  slotMaps,
  tableKinds,
} from '../../agent/kernel/tables.ts';
import type { Table } from '../../agent/policy/table-image.ts';
import {
  decodeHuskCallEvent,
  decodeHuskCounter,
  decodeHuskPacketEvent,
  decodeHuskTried,
  encodeHuskTry,
  HUSK_CONNECTION_BUCKETS,
  HUSK_LIVE_SLOT_SHIFT,
  HUSK_LIVE_TRIAL,
  HUSK_RATE_BUCKETS,
  HuskCallEvent,
  HuskControl,
  HuskCounter,
  HuskPacketEvent,
  HuskTotal,
  type HuskTried,
  HuskTry,
  HuskVerdict,
} from '../../bpf/abi/layout.gen.ts';
import type { Addon, Handle, MapHandle, ProgramHandle, Words } from '../../native/index.ts';
import { cgroupRoot, removeCgroup } from '../lab/cgroups.ts';
import { runName } from '../lab/run-name.ts';
import { type PlainGeneration, plainTables } from './plain-tables.ts';

export type { PlainCallRule, PlainGeneration, PlainRule, PlainZone } from './plain-tables.ts';

const root = resolve(import.meta.dirname, '../..');

/** Each object's programs; calls with their `enum bpf_attach_type`. */
const packetObjects = {
  xdp_ingress: ['husk_xdp_ingress', 'husk_xdp_ingress_twin'],
  tc_ingress: ['husk_tc_ingress', 'husk_tc_ingress_twin'],
  tc_egress: ['husk_tc_egress', 'husk_tc_egress_twin'],
} as const;
const callObjects = {
  cgroup_connect: { husk_connect4: 10, husk_connect6: 11, husk_sendmsg4: 14, husk_sendmsg6: 15 },
  cgroup_bind: { husk_bind4: 8, husk_bind6: 9 },
  cgroup_socket: { husk_sock_create: 2 },
} as const;

/** Which program: packets that come in are judged by XDP's, or where it cannot see them by tc's. */
export type Direction = 'ingress' | 'tcIngress' | 'egress';
export const directions: readonly Direction[] = ['ingress', 'tcIngress', 'egress'];
export type Slot = 0 | 1;

/** Why the programs cannot be run here, or false: for a test's `skip`. */
export function programsMissing(): string | false {
  if (process.getuid?.() !== 0) return 'needs root for BPF';
  const files = [
    'native/husk.node',
    ...Object.keys({ ...packetObjects, ...callObjects }).map((one) => `bpf/${one}.bpf.o`),
  ];
  const missing = files.find((file) => !existsSync(join(root, 'build', file)));
  return missing === undefined ? false : `build/${missing} is not built`;
}

/** What TEST_RUN says a packet came in or goes out by. */
export const testRunIfindex = 1;

const sharedNames: readonly string[] = [...sharedMaps, ...packetMaps, ...slotMaps];
const onlyKey = new Uint8Array(4);

export class ProgramLab {
  readonly #addon: Addon;
  readonly #maps = new Map<string, MapHandle>();
  readonly #programs = new Map<string, ProgramHandle>();
  /** Each object's own; by object. */
  readonly #benches = new Map<string, MapHandle>();
  readonly #links: Handle[] = [];
  #words: Words | null = null;
  #cgroup: string | null = null;

  private constructor(addon: Addon) {
    this.#addon = addon;
  }

  static async open(): Promise<ProgramLab> {
    const { addon } = await import('../../native/index.ts');
    const lab = new ProgramLab(addon);
    try {
      for (const [object, programs] of Object.entries(packetObjects)) lab.#load(object, programs);
      for (const [object, programs] of Object.entries(callObjects)) lab.#load(object, Object.keys(programs));
      const sizes = { connectionBuckets: HUSK_CONNECTION_BUCKETS, rateBuckets: HUSK_RATE_BUCKETS };
      const seed = crypto.getRandomValues(new Uint8Array(56));
      setUpConnections(addon, lab.map('connection_setup'), sizes, seed);
      lab.#words = addon.mapWords(lab.map('control'));
      lab.#words.store(HuskControl.offset.packetEventsPerSecond, 1_000_000);
      return lab;
    } catch (error) {
      await lab.close();
      throw error;
    }
  }

  #load(name: string, programs: readonly string[]): void {
    const object = this.#addon.openObject(name, readFileSync(join(root, 'build/bpf', `${name}.bpf.o`)));
    try {
      // The others are each object's own: nothing but its programs ever looks at them.
      const shared = object.mapNames().filter((map) => sharedNames.includes(map));
      for (const map of shared) {
        const known = this.#maps.get(map);
        if (known !== undefined) object.reuseMap(map, known);
      }
      object.load();
      for (const map of shared) if (!this.#maps.has(map)) this.#maps.set(map, object.map(map));
      if (name in packetObjects) this.#benches.set(name, object.map('benches'));
      for (const program of programs) this.#programs.set(program, object.program(program));
    } finally {
      object.close();
    }
  }

  map(name: string): MapHandle {
    const map = this.#maps.get(name);
    if (map === undefined) throw new Error(`no object declares ${name}`);
    return map;
  }

  program(name: string): ProgramHandle {
    const program = this.#programs.get(name);
    if (program === undefined) throw new Error(`${name} was not loaded`);
    return program;
  }

  get programNames(): readonly string[] {
    return [...this.#programs.keys()];
  }

  /** Instructions the verifier processed. */
  verifiedInstructions(name: string): number {
    return this.#addon.programInfo(this.program(name)).verifiedInstructions;
  }

  // -- tables ---------------------------------------------------------------------------------------------

  async fill(slot: Slot, generation: PlainGeneration): Promise<void> {
    const tables = plainTables(generation);
    this.#removeOthers(slot, tables);
    // Each entry that is written waits for a grace period: together they wait once.
    await Promise.all(tables.map((table) => this.#place(slot, table)));
  }

  #removeOthers(slot: Slot, tables: readonly Table[]): void {
    const wanted = new Set(tables.map((table) => outerFor(table.kind, table.valueSize)));
    for (const outer of tableKinds.flatMap(outersOf)) {
      const map = this.map(outer.map);
      const entry = entryOf(outer, slot);
      if (!wanted.has(outer) && this.#addon.innerId(map, entry) !== 0) this.#addon.remove(map, u32(entry));
    }
  }

  async #place(slot: Slot, table: Table): Promise<void> {
    const { mapType: type, keySize, valueSize, maxEntries, mapFlags: flags } = table;
    const outer = outerFor(table.kind, valueSize);
    const inner = this.#addon.createMap({ name: 'husk_test', type, keySize, valueSize, maxEntries, flags });
    try {
      if (table.count > 0) await this.#addon.writeAll(inner, table.keys, table.values);
      await this.#addon.setInner(this.map(outer.map), entryOf(outer, slot), inner);
    } finally {
      inner.close();
    }
  }

  async empty(slot: Slot): Promise<void> {
    await this.fill(slot, { without: tableKinds });
  }

  // -- the live word --------------------------------------------------------------------------------------

  get words(): Words {
    if (this.#words === null) throw new Error('closed');
    return this.#words;
  }

  /** Puts a slot in force; with `deadline` in boot seconds, as a trial. */
  setLive(slot: Slot, deadline?: number): number {
    const word =
      ((deadline === undefined ? 0 : HUSK_LIVE_TRIAL | deadline) | (slot << HUSK_LIVE_SLOT_SHIFT)) >>> 0;
    this.words.store(HuskControl.offset.live, word);
    return word;
  }
  get live(): number {
    return this.words.load(HuskControl.offset.live);
  }
  get expired(): number {
    return this.words.load(HuskControl.offset.expired);
  }
  set expired(word: number) {
    this.words.store(HuskControl.offset.expired, word);
  }
  get bootSeconds(): number {
    return Number(this.#addon.bootNs() / 1_000_000_000n);
  }

  // -- packets --------------------------------------------------------------------------------------------

  /** Runs the live program; true: the packet was dropped. */
  isDropped(direction: Direction, frame: Uint8Array): boolean {
    return isDrop(direction, this.#addon.testRun(this.program(packetProgram[direction]), frame).verdict);
  }

  /**
   * Runs the twin for `slot`, the interface and the circumstances; throws where what it returned and what it recorded
   * differ.
   */
  judge(direction: Direction, slot: Slot, frame: Uint8Array, at: number | Partial<HuskTry> = {}): HuskTried {
    const before = this.tried.runs;
    const seen = typeof at === 'number' ? { ifindex: at } : at;
    this.setLabel({ ...noLabel, slot, ifindex: testRunIfindex, ...seen });
    const run = this.#addon.testRun(this.program(`${packetProgram[direction]}_twin`), frame);
    const tried = this.tried;
    if (tried.runs !== before + 1) throw new Error(`runs went from ${before} to ${tried.runs}`);
    const isStopped = tried.verdict === HuskVerdict.DROP || tried.verdict === HuskVerdict.REJECT;
    if (isDrop(direction, run.verdict) !== isStopped)
      throw new Error(`returned ${run.verdict}, recorded ${tried.verdict}`);
    return tried;
  }

  /** As `judge`, and what is on the twin's bench then: struct bench of bpf/include/bench.h, the packet first. */
  benchAfter(
    direction: Direction,
    slot: Slot,
    frame: Uint8Array,
    ifindex: number,
  ): { readonly bench: DataView; readonly reason: number } {
    const { object, role } = twins[direction];
    const benches = this.#benches.get(object);
    if (benches === undefined) throw new Error(`${object} has no benches`);
    const { valueSize } = this.#addon.mapInfo(benches);
    // It may run on any CPU: the one whose bench is not empty.
    this.#addon.update(benches, u32(role), new Uint8Array(valueSize * this.#addon.possibleCpus()));
    const { reason } = this.judge(direction, slot, frame, ifindex);
    const values = this.#addon.lookup(benches, u32(role)) ?? new Uint8Array();
    const used = values.findIndex((byte) => byte !== 0);
    const bench = Math.floor(used / valueSize) * valueSize;
    return { bench: new DataView(values.buffer, values.byteOffset + bench, valueSize), reason };
  }

  setLabel(label: HuskTry): void {
    const value = new Uint8Array(HuskTry.size);
    encodeHuskTry(new DataView(value.buffer), 0, label);
    this.#addon.update(this.map('try_label'), onlyKey, value);
  }

  get tried(): HuskTried {
    return decodeHuskTried(viewOf(this.#addon.lookup(this.map('tried'), onlyKey)), 0);
  }

  // -- counts and events ----------------------------------------------------------------------------------

  /** Over all CPUs. */
  total(total: HuskTotal): bigint {
    const view = viewOf(this.#addon.lookup(this.map('totals'), u32(total)));
    let sum = 0n;
    for (let at = 0; at < view.byteLength; at += 8) sum += view.getBigUint64(at, true);
    return sum;
  }

  counter(rule: number): HuskCounter {
    const view = viewOf(this.#addon.lookup(this.map('counters'), u32(rule)));
    let [hits, bytes, limited] = [0n, 0n, 0n];
    for (let at = 0; at < view.byteLength; at += HuskCounter.size) {
      const one = decodeHuskCounter(view, at);
      hits += one.hits;
      bytes += one.bytes;
      limited += one.limited;
    }
    return { hits, bytes, limited };
  }

  /** Every total and the counters of the rules named, to be compared with a later one. */
  snapshot(rules: readonly number[] = []): string {
    const totals = Object.entries(HuskTotal).map(([name, total]) =>
      total === HuskTotal.COUNT ? '' : `${name} ${this.total(total)}`,
    );
    const counters = rules.map((rule) => `${rule}: ${this.counter(rule).hits} ${this.counter(rule).bytes}`);
    return [...totals, ...counters].join('\n');
  }

  /** As if every CPU had told of so many packets in this second. `event_budget` is `{ u64 second, used }`. */
  spendPacketEvents(used: number): void {
    const budgets = new DataView(new ArrayBuffer(16 * this.#addon.possibleCpus()));
    for (let at = 0; at < budgets.byteLength; at += 16) {
      budgets.setBigUint64(at, BigInt(this.bootSeconds), true);
      budgets.setBigUint64(at + 8, BigInt(used), true);
    }
    this.#addon.update(this.map('event_budget'), onlyKey, new Uint8Array(budgets.buffer));
  }

  /** What is in a ring, or comes into it while `act` runs. */
  async packetEvents(act: () => void | Promise<void>): Promise<HuskPacketEvent[]> {
    const records = await this.#records('packet_events', act);
    return records.map((record) => decodeHuskPacketEvent(viewOf(sized(record, HuskPacketEvent.size)), 0));
  }
  async callEvents(act: () => void | Promise<void>): Promise<HuskCallEvent[]> {
    const records = await this.#records('call_events', act);
    return records.map((record) => decodeHuskCallEvent(viewOf(sized(record, HuskCallEvent.size)), 0));
  }

  /** Batches are `[u32 ring][u32 length][record]`, each record padded to 8 bytes. */
  async #records(map: string, act: () => void | Promise<void>): Promise<Uint8Array[]> {
    const records: Uint8Array[] = [];
    await act();
    const ring = this.#addon.openRing([this.map(map)], { flushMs: 1 }, (batch) => {
      const view = viewOf(batch);
      for (let at = 0; at < batch.length; ) {
        const length = view.getUint32(at + 4, true);
        records.push(batch.slice(at + 8, at + 8 + length));
        at += 8 + Math.ceil(length / 8) * 8;
      }
    });
    await new Promise((resolve) => setTimeout(resolve, 100));
    await ring.close();
    return records;
  }

  // -- calls ----------------------------------------------------------------------------------------------

  /** A cgroup of the lab's own that all call programs are attached to. */
  callCgroup(): string {
    if (this.#cgroup !== null) return this.#cgroup;
    const cgroup = join(cgroupRoot('/tmp'), `${runName}-bpf`);
    mkdirSync(cgroup);
    this.#cgroup = cgroup;
    for (const [program, attachType] of Object.values(callObjects).flatMap((one) => Object.entries(one))) {
      this.#links.push(this.#addon.attachCgroup(this.program(program), cgroup, attachType));
    }
    return cgroup;
  }

  cgroupId(path: string): bigint {
    return this.#addon.cgroupId(path);
  }

  get addon(): Addon {
    return this.#addon;
  }

  async close(): Promise<void> {
    this.#words?.close();
    for (const handle of [
      ...this.#links,
      ...this.#programs.values(),
      ...this.#maps.values(),
      ...this.#benches.values(),
    ])
      handle.close();
    if (this.#cgroup !== null) await removeCgroup(this.#cgroup);
  }
}

const noLabel: HuskTry = {
  slot: 0,
  ifindex: 0,
  canaryCgroup: 0n,
  canarySubjects: 0n,
  canaryOperation: 0,
  cameBy: 0,
  state: 0,
};
/** Where their benches are: `enum role`. */
const twins = {
  ingress: { object: 'xdp_ingress', role: 3 },
  tcIngress: { object: 'tc_ingress', role: 4 },
  egress: { object: 'tc_egress', role: 5 },
} as const;
const packetProgram = {
  ingress: 'husk_xdp_ingress',
  tcIngress: 'husk_tc_ingress',
  egress: 'husk_tc_egress',
} as const;

/** XDP_DROP or XDP_PASS; TC_ACT_SHOT or TC_ACT_UNSPEC. Anything else is a fault of the program. */
function isDrop(direction: Direction, verdict: number): boolean {
  const [drop, pass] = direction === 'ingress' ? [1, 2] : [2, -1];
  if ((verdict | 0) === drop) return true;
  if ((verdict | 0) === pass) return false;
  throw new Error(`${direction} returned ${verdict}`);
}

function viewOf(bytes: Uint8Array | null): DataView {
  if (bytes === null) throw new Error('no such entry');
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

function sized(record: Uint8Array, size: number): Uint8Array {
  if (record.length !== size) throw new Error(`a record of ${record.length} bytes, not ${size}`);
  return record;
}

function u32(number: number): Uint8Array {
  return new Uint8Array(Uint32Array.of(number).buffer);
}
