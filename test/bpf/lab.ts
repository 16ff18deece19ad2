// The real programs with hand-written tables: every object loaded onto one set of maps, slots filled from
// plain objects, frames run through BPF_PROG_TEST_RUN, and what came of it read back.
//
// Nothing is pinned and nothing is attached to an interface. Live programs run as on interface 1, the
// loopback that TEST_RUN lends them; no packet of the machine passes through. Call programs are attached
// to a cgroup of the lab's own.

import { existsSync, mkdirSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import {
  decodeHuskCallEvent,
  decodeHuskCounter,
  decodeHuskPacketEvent,
  decodeHuskTried,
  encodeHuskCallList,
  encodeHuskGeneration,
  encodeHuskPrefix4,
  encodeHuskPrefix6,
  encodeHuskRuleList,
  encodeHuskTry,
  encodeHuskZone,
  HUSK_CALL_BIND,
  HUSK_CALL_CONNECT,
  HUSK_CALL_SOCKET,
  HUSK_CGROUPS_MAX,
  HUSK_FAMILY_IPV4,
  HUSK_FAMILY_IPV6,
  HUSK_FAMILY_OTHER,
  HUSK_INTERFACES_MAX,
  HUSK_LIVE_SLOT_SHIFT,
  HUSK_LIVE_TRIAL,
  HUSK_PREFIXES_MAX,
  HUSK_RULE_NONE,
  HuskCallEvent,
  HuskCallList,
  type HuskCallRule,
  HuskControl,
  HuskCounter,
  HuskGeneration,
  HuskMode,
  HuskPacketEvent,
  HuskPrefix4,
  HuskPrefix6,
  type HuskRule,
  HuskRuleList,
  HuskTotal,
  type HuskTried,
  HuskTry,
  HuskVerdict,
  HuskZone,
} from '../../bpf/abi/layout.gen.ts';
import type { Addon, Handle, MapHandle, ProgramHandle, Words } from '../../native/index.ts';
import { cgroupRoot, removeCgroup } from '../lab/cgroups.ts';
import { addressBytes } from '../lab/frame.ts';
import { runName } from '../lab/run-name.ts';

const root = resolve(import.meta.dirname, '../..');

/** Each object's programs; calls with their `enum bpf_attach_type`. */
const packetObjects = {
  xdp_ingress: ['husk_xdp_ingress', 'husk_xdp_ingress_twin'],
  tc_egress: ['husk_tc_egress', 'husk_tc_egress_twin'],
} as const;
const callObjects = {
  cgroup_connect: { husk_connect4: 10, husk_connect6: 11, husk_sendmsg4: 14, husk_sendmsg6: 15 },
  cgroup_bind: { husk_bind4: 8, husk_bind6: 9 },
  cgroup_socket: { husk_sock_create: 2 },
} as const;

export type Direction = 'ingress' | 'egress';
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

/** A zone of an interface; default: in zone bit 1, both defaults an enforced allow. */
export type PlainZone = Partial<HuskZone>;

/** A rule; what is left out asks for nothing. Addresses with prefix length. */
export type PlainRule = Omit<Partial<HuskRule>, 'saddr' | 'smask' | 'daddr' | 'dmask'> & {
  readonly from?: string;
  readonly to?: string;
};
export type PlainCallRule = Omit<Partial<HuskCallRule>, 'addr' | 'mask'> & { readonly to?: string };

/** What goes into a slot. Tables that are left out are there and empty; `without` leaves them out for good. */
export interface PlainGeneration {
  readonly serial?: bigint;
  readonly unparseable?: HuskVerdict;
  readonly zones?: Readonly<Record<number, PlainZone>>;
  readonly ingress?: readonly PlainRule[];
  readonly egress?: readonly PlainRule[];
  /** Of both lists, where it is to differ from how many there are. */
  readonly count?: number;
  /** Prefix to bit mask of sets. */
  readonly sets?: Readonly<Record<string, bigint>>;
  readonly subjects?: ReadonlyMap<bigint, bigint>;
  readonly calls?: readonly PlainCallRule[];
  readonly callSets?: Readonly<Record<string, bigint>>;
  readonly without?: readonly string[];
}

const mapType = { hash: 1, array: 2, lpmTrie: 11 } as const;
const noPrealloc = 1;
const onlyKey = new Uint8Array(4);

export class ProgramLab {
  readonly #addon: Addon;
  readonly #maps = new Map<string, MapHandle>();
  readonly #programs = new Map<string, ProgramHandle>();
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
      // `benches` is each object's own: nothing but its programs ever looks at it.
      const shared = object.mapNames().filter((map) => map !== 'benches');
      for (const map of shared) {
        const known = this.#maps.get(map);
        if (known !== undefined) object.reuseMap(map, known);
      }
      object.load();
      for (const map of shared) if (!this.#maps.has(map)) this.#maps.set(map, object.map(map));
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
    // Each entry that is written waits for a grace period: together they wait once.
    await Promise.all(
      Object.entries(tables).map(([name, make]) => this.#place(slot, name, make(generation), generation)),
    );
  }

  async #place(slot: Slot, name: string, table: TableShape, { without }: PlainGeneration): Promise<void> {
    const outer = this.map(name);
    if (without?.includes(name)) {
      this.#addon.remove(outer, u32(slot));
      return;
    }
    const { entries, ...shape } = table;
    const inner = this.#addon.createMap({ name: 'husk_test', ...shape });
    try {
      for (const [key, value] of entries) this.#addon.update(inner, key, value);
      await this.#addon.setInner(outer, slot, inner);
    } finally {
      inner.close();
    }
  }

  async empty(slot: Slot): Promise<void> {
    await this.fill(slot, { without: Object.keys(tables) });
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

  /** Runs the twin for `slot`; throws where what it returned and what it recorded differ. */
  judge(direction: Direction, slot: Slot, frame: Uint8Array, ifindex = testRunIfindex): HuskTried {
    const before = this.tried.runs;
    this.setLabel({ slot, ifindex, canaryCgroup: 0n, canarySubjects: 0n });
    const run = this.#addon.testRun(this.program(`${packetProgram[direction]}_twin`), frame);
    const tried = this.tried;
    if (tried.runs !== before + 1) throw new Error(`runs went from ${before} to ${tried.runs}`);
    if (isDrop(direction, run.verdict) !== (tried.verdict === HuskVerdict.DROP)) {
      throw new Error(`returned ${run.verdict}, recorded ${tried.verdict}`);
    }
    return tried;
  }

  setLabel(label: HuskTry): void {
    this.#addon.update(
      this.map('try_label'),
      onlyKey,
      bytesOf(HuskTry.size, (view) => encodeHuskTry(view, 0, label)),
    );
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
    let [hits, bytes] = [0n, 0n];
    for (let at = 0; at < view.byteLength; at += HuskCounter.size) {
      const one = decodeHuskCounter(view, at);
      hits += one.hits;
      bytes += one.bytes;
    }
    return { hits, bytes };
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
    for (const handle of [...this.#links, ...this.#programs.values(), ...this.#maps.values()]) handle.close();
    if (this.#cgroup !== null) await removeCgroup(this.#cgroup);
  }
}

const packetProgram = { ingress: 'husk_xdp_ingress', egress: 'husk_tc_egress' } as const;

/** XDP_DROP or XDP_PASS; TC_ACT_SHOT or TC_ACT_UNSPEC. Anything else is a fault of the program. */
function isDrop(direction: Direction, verdict: number): boolean {
  const [drop, pass] = direction === 'ingress' ? [1, 2] : [2, -1];
  if ((verdict | 0) === drop) return true;
  if ((verdict | 0) === pass) return false;
  throw new Error(`${direction} returned ${verdict}`);
}

// -- tables from plain objects ------------------------------------------------------------------------------

interface TableShape {
  readonly type: number;
  readonly keySize: number;
  readonly valueSize: number;
  readonly maxEntries: number;
  readonly flags: number;
  readonly entries: readonly (readonly [key: Uint8Array, value: Uint8Array])[];
}

const wide = (value: Uint8Array): TableShape => ({
  type: mapType.array,
  keySize: 4,
  valueSize: value.length,
  maxEntries: 1,
  flags: 0,
  entries: [[onlyKey, value]],
});

const trie = (keySize: number, entries: TableShape['entries']): TableShape => ({
  type: mapType.lpmTrie,
  keySize,
  valueSize: 8,
  maxEntries: HUSK_PREFIXES_MAX,
  flags: noPrealloc,
  entries,
});

const tables: Readonly<Record<string, (generation: PlainGeneration) => TableShape>> = {
  generation_slots: ({ serial = 1n, unparseable = HuskVerdict.DROP }) =>
    wide(
      bytesOf(HuskGeneration.size, (view) =>
        encodeHuskGeneration(view, 0, {
          serial,
          digest: new Uint8Array(32),
          tableDigest: [],
          bundleDigest: new Uint8Array(32),
          unparseableVerdict: unparseable,
        }),
      ),
    ),
  zones_slots: ({ zones = {} }) => ({
    type: mapType.hash,
    keySize: 4,
    valueSize: HuskZone.size,
    maxEntries: HUSK_INTERFACES_MAX,
    flags: 0,
    entries: Object.entries(zones).map(([ifindex, zone]) => [
      u32(Number(ifindex)),
      bytesOf(HuskZone.size, (view) => encodeHuskZone(view, 0, { ...plainZone, ...zone })),
    ]),
  }),
  ingress_slots: ({ ingress = [], count }) => ruleList(ingress, count),
  egress_slots: ({ egress = [], count }) => ruleList(egress, count),
  set4_slots: ({ sets = {} }) => trie(HuskPrefix4.size, prefixes(sets, 4)),
  set6_slots: ({ sets = {} }) => trie(HuskPrefix6.size, prefixes(sets, 16)),
  subjects_slots: ({ subjects = new Map() }) => ({
    type: mapType.hash,
    keySize: 8,
    valueSize: 8,
    maxEntries: HUSK_CGROUPS_MAX,
    flags: 0,
    entries: [...subjects].map(([cgroup, mask]) => [u64(cgroup), u64(mask)]),
  }),
  calls_slots: ({ calls = [] }) =>
    wide(
      bytesOf(HuskCallList.size, (view) =>
        encodeHuskCallList(view, 0, { count: calls.length, rules: calls.map(callRule) }),
      ),
    ),
  call_set4_slots: ({ callSets = {} }) => trie(HuskPrefix4.size, prefixes(callSets, 4)),
  call_set6_slots: ({ callSets = {} }) => trie(HuskPrefix6.size, prefixes(callSets, 16)),
};

const plainZone: HuskZone = {
  zoneBit: 1,
  ingressDefaultRule: HUSK_RULE_NONE,
  egressDefaultRule: HUSK_RULE_NONE,
  ingressDefault: HuskVerdict.ALLOW,
  ingressMode: HuskMode.ENFORCE,
  egressDefault: HuskVerdict.ALLOW,
  egressMode: HuskMode.ENFORCE,
};

function ruleList(rules: readonly PlainRule[], count = rules.length): TableShape {
  return wide(
    bytesOf(HuskRuleList.size, (view) =>
      encodeHuskRuleList(view, 0, { count, rules: rules.map(packetRule) }),
    ),
  );
}

function packetRule({ from = '::/0', to = '::/0', ...rule }: PlainRule): HuskRule {
  const [saddr, smask] = maskedPrefix(from);
  const [daddr, dmask] = maskedPrefix(to);
  return {
    fromSets: 0n,
    toSets: 0n,
    zones: 0xffff,
    rule: HUSK_RULE_NONE,
    sportFirst: 0,
    sportLast: 0xffff,
    dportFirst: 0,
    dportLast: 0xffff,
    families: HUSK_FAMILY_IPV4 | HUSK_FAMILY_IPV6 | HUSK_FAMILY_OTHER,
    ipProto: 0,
    tcpFlagsMask: 0,
    tcpFlagsValue: 0,
    flags: 0,
    verdict: HuskVerdict.ALLOW,
    mode: HuskMode.ENFORCE,
    ...rule,
    saddr,
    smask,
    daddr,
    dmask,
  };
}

function callRule({ to = '::/0', ...rule }: PlainCallRule): HuskCallRule {
  const [addr, mask] = maskedPrefix(to);
  return {
    subjects: 0xffff_ffff_ffff_ffffn,
    toSets: 0n,
    rule: HUSK_RULE_NONE,
    socketFamilies: 0,
    portFirst: 0,
    portLast: 0xffff,
    socketTypes: 0,
    families: 0,
    ipProto: 0,
    calls: HUSK_CALL_CONNECT | HUSK_CALL_BIND | HUSK_CALL_SOCKET,
    flags: 0,
    verdict: HuskVerdict.ALLOW,
    mode: HuskMode.ENFORCE,
    isDefault: 0,
    ...rule,
    addr,
    mask,
  };
}

/** `192.0.2.0/24` as 16 bytes of address and of mask, IPv4 mapped. */
function maskedPrefix(prefix: string): [address: Uint8Array, mask: Uint8Array] {
  const { bytes, length } = splitPrefix(prefix);
  const mapped = bytes.length === 4 ? [...Array(10).fill(0), 0xff, 0xff, ...bytes] : [...bytes];
  const bits = length + (bytes.length === 4 ? 96 : 0);
  const mask = Uint8Array.from(
    { length: 16 },
    (_, at) => 256 - 2 ** (8 - Math.min(8, Math.max(0, bits - at * 8))),
  );
  return [Uint8Array.from(mapped, (byte, at) => byte & (mask[at] ?? 0)), mask];
}

function prefixes(sets: Readonly<Record<string, bigint>>, bytes: 4 | 16): TableShape['entries'] {
  const entries = Object.entries(sets).map(([prefix, mask]) => ({ ...splitPrefix(prefix), mask }));
  return entries
    .filter((entry) => entry.bytes.length === bytes)
    .map(({ bytes: addr, length: prefixlen, mask }) => {
      const encode = addr.length === 4 ? encodeHuskPrefix4 : encodeHuskPrefix6;
      return [bytesOf(4 + addr.length, (view) => encode(view, 0, { prefixlen, addr })), u64(mask)] as const;
    });
}

function splitPrefix(prefix: string): { bytes: Uint8Array; length: number } {
  const [address = '', length] = prefix.split('/');
  const bytes = addressBytes(address);
  return { bytes, length: length === undefined ? bytes.length * 8 : Number(length) };
}

function bytesOf(size: number, encode: (view: DataView) => void): Uint8Array {
  const bytes = new Uint8Array(size);
  encode(new DataView(bytes.buffer));
  return bytes;
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
function u64(number: bigint): Uint8Array {
  return new Uint8Array(BigUint64Array.of(number).buffer);
}
