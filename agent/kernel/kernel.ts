// The kernel side as the agent sees it: one set of programs and maps, two slots, one live word.
//
//   open ──▶ [first generation loaded] ──▶ attach ──▶ load standby ─▶ prove ─▶ trial ─▶ confirm | return
//
// Nothing here decides; apply-bundle.ts does. This class owns what has to be closed, and closing it leaves
// everything pinned and enforcing.

import {
  encodeHuskTrace,
  HUSK_OWN_ADDRESSES_MAX,
  HuskConnectionCount,
  HuskConnectionSetup,
  HuskTotal,
  HuskTrace,
} from '../../bpf/abi/layout.gen.ts';
import type { Addon, MapHandle, ProgramHandle } from '../../native/index.ts';
import { messageOf } from '../contract/thrown.ts';
import type { CounterIndexesNow } from '../policy/counter-indexes.ts';
import type { Tries } from '../policy/judgement.ts';
import { connectionBuckets, type KernelSizes, limitBuckets } from '../policy/kernel-memory.ts';
import type { CompiledRule, DevicePaths, Table } from '../policy/table-image.ts';
import { type AttachedHook, type AttachWanted, attachHooks, detachClsact } from './attach.ts';
import {
  type ConnectionFilter,
  type ConnectionList,
  forgetOpenedAfter,
  listConnections,
  setUpConnections,
} from './connections.ts';
import { type RuleCounter, RuleCounters } from './counters.ts';
import { type GenerationRecord, type GenerationSource, type LoadedGeneration, Slots } from './generation.ts';
import { type GuardFiles, Guards, type GuardTier, removeGuards } from './guards.ts';
import { LiveControl, type LiveWord, otherSlot, type Slot, type TrialEnd } from './live-word.ts';
import {
  isPinned,
  type MapSizes,
  type ObjectFiles,
  openPinnedSet,
  openSet,
  type ProgramName,
  type ProgramSet,
  removePins,
} from './objects.ts';
import { type Proof, proveSlot } from './prove.ts';
import { type OperationTools, whyGuardsSleep } from './prove-operations.ts';
import { type Belongings, type OpenTo, removeSelfGuard, SelfGuard } from './self-guard.ts';
import type { SetEntry } from './set-entries.ts';
import { ownAddressValue } from './tables.ts';

export interface KernelOptions {
  readonly addon: Addon;
  /** A mounted bpf file system; ours is `husk/` below it. */
  readonly bpffs: string;
  /** null: open what is pinned and nothing else (`status` without an agent, `return`). */
  readonly files: ObjectFiles | null;
  /** The hardening root; null where calls are not judged. */
  readonly cgroup: string | null;
  /** Programs that deny operations of tasks, and by which way; null: this kernel takes none. */
  readonly guards?: { readonly files: GuardFiles; readonly tier: GuardTier } | null;
  /** Husk's own protection, which goes by the lineages that guards keep; null: it is off. */
  readonly self?: { readonly file: Uint8Array; readonly belongings: Belongings } | null;
  /** A folder for the canary's files, on a file system that can be written to; none: operations are not proven. */
  readonly scratch?: string;
  /** Of maps that do not hang on a policy, where the set is made new. */
  readonly sizes: KernelSizes;
  readonly random: (bytes: number) => Uint8Array;
  /** What a recycled counter had come to. */
  readonly onRecycled: (last: RuleCounter) => void;
}

export interface KernelStatus {
  readonly how: ProgramSet['how'];
  readonly live: LiveWord;
  readonly inTrial: boolean;
  readonly inForce: GenerationRecord | null;
  readonly other: GenerationRecord | null;
  readonly hooks: readonly string[];
  /** Bytes the kernel states for the tables of both generations. */
  readonly kernelBytes: number;
}

export class Kernel {
  readonly #options: KernelOptions;
  readonly #set: ProgramSet;
  readonly #live: LiveControl;
  readonly #slots: Slots;
  readonly #counters: RuleCounters;
  readonly #guards: Guards | null;
  /** Why there are none, where there could be; '' else. */
  readonly #guardsWhy: string;
  readonly #self: SelfGuard | null;
  readonly #selfWhy: string;
  #hooks: readonly AttachedHook[] = [];
  /** Counter indexes that a slot names, or that were given out for a generation on its way. */
  #inUse: Set<number>;

  private constructor(
    options: KernelOptions,
    set: ProgramSet,
    live: LiveControl,
    slots: Slots,
    counters: RuleCounters,
    inUse: Set<number>,
    { guards, why }: OpenedGuards,
    { self, why: selfWhy }: OpenedSelf,
  ) {
    this.#options = options;
    this.#set = set;
    this.#live = live;
    this.#slots = slots;
    this.#counters = counters;
    this.#inUse = inUse;
    this.#guards = guards;
    this.#guardsWhy = why;
    this.#self = self;
    this.#selfWhy = selfWhy;
  }

  /** Loads the set, or adopts what is pinned. Throws KernelError. */
  static async open(options: KernelOptions): Promise<Kernel> {
    const { addon, bpffs, files } = options;
    const set =
      files === null ? openPinnedSet(addon, bpffs) : openSet(addon, bpffs, files, mapSizes(options.sizes));
    if (set.how === 'made') {
      const { maxEntries: connectionBuckets } = addon.mapInfo(mapOf(set, 'connections'));
      const { maxEntries: rateBuckets } = addon.mapInfo(mapOf(set, 'rates'));
      const sizes = { connectionBuckets, rateBuckets };
      // Who could foresee the seed could fill one bucket.
      setUpConnections(
        addon,
        mapOf(set, 'connection_setup'),
        sizes,
        options.random(HuskConnectionSetup.size - 8),
      );
    }
    const live = new LiveControl(addon.mapWords(mapOf(set, 'control')), () =>
      Number(addon.bootNs() / 1_000_000_000n),
    );
    const counters = await RuleCounters.open(
      addon,
      mapOf(set, 'rule_names'),
      mapOf(set, 'counters'),
      options.onRecycled,
    );
    const slots = new Slots(addon, set.maps, () => live.takeGenerationId());
    const inUse = await slots.ruleIndexes();
    const opened = await openGuards(options, set);
    const self = await openSelf(options, set, opened.guards);
    return new Kernel(options, set, live, slots, counters, inUse, opened, self);
  }

  static isPinned(bpffs: string): boolean {
    return isPinned(bpffs);
  }

  get packetRing(): MapHandle {
    return mapOf(this.#set, 'packet_events');
  }

  get traceRing(): MapHandle {
    return mapOf(this.#set, 'trace_events');
  }

  /** Which packets are traced; `traceUntil` has them traced. */
  setTraceFilter(filter: HuskTrace): void {
    const value = new Uint8Array(HuskTrace.size);
    encodeHuskTrace(new DataView(value.buffer), 0, filter);
    this.#options.addon.update(mapOf(this.#set, 'trace_filter'), new Uint8Array(4), value);
  }

  /** Whether packets are being traced. */
  get isTracing(): boolean {
    return this.#live.traceUntil > Number(this.#options.addon.bootNs() / 1_000_000_000n);
  }

  /** Second of boot time at which tracing ends by itself; 0: now. */
  traceUntil(bootSeconds: number): void {
    this.#live.setTraceUntil(bootSeconds);
  }

  get callRing(): MapHandle {
    return mapOf(this.#set, 'call_events');
  }

  /** What the kernel counts of operations alike, by husk_alike; null: nothing judges operations. */
  get repeats(): {
    readAll(): ReturnType<Addon['readAll']>;
    remove(key: Uint8Array): void;
  } | null {
    const { addon } = this.#options;
    const map = this.#guards?.repeats;
    if (map === undefined) return null;
    return { readAll: () => addon.readAll(map), remove: (key) => void addon.remove(map, key) };
  }

  status(): KernelStatus {
    const slot = this.#live.inForce;
    return {
      how: this.#set.how,
      live: this.#live.word,
      inTrial: this.#live.inTrial,
      inForce: this.#slots.record(slot),
      other: this.#slots.record(otherSlot(slot)),
      hooks: [
        ...this.#hooks.map((hook) => hook.description),
        ...(this.#guards?.hooks ?? []).map((hook) => `guard_${hook} tier ${this.#guards?.tier}`),
      ],
      kernelBytes: this.#slots.kernelBytes(),
    };
  }

  /** Attaches hooks where they are wanted; links that are right stay untouched. One that fails does not keep the others. */
  attach(wanted: Omit<AttachWanted, 'cgroup'>): AttachedHook[] {
    const hooks = attachHooks(this.#options.addon, this.#set, { ...wanted, cgroup: this.#options.cgroup });
    const indexes = new Set(wanted.interfaces.map(({ index }) => index));
    const stayed =
      wanted.others === null
        ? this.#hooks.filter(({ at }) => at !== undefined && !indexes.has(at.index))
        : [];
    this.#hooks = [...hooks.filter((hook) => hook.action !== 'failed'), ...stayed];
    if (hooks.some(({ action }) => action === 'made')) this.#self?.guardPins();
    if (wanted.tc === 'clsact') this.#self?.guardInterfaces([...indexes]);
    return [...hooks, ...stayed.map((hook): AttachedHook => ({ ...hook, action: 'kept' }))];
  }

  /** Which tier's programs judge operations, seen to run; null: none do. */
  get guards(): Pick<Guards, 'tier' | 'how' | 'hooks' | 'missing' | 'pathKey' | 'recursionMisses'> | null {
    return this.#guards;
  }

  get guardsWhy(): string {
    return this.#guardsWhy;
  }

  /** Husk's own protection; null: there is none, and why is `selfWhy`. */
  get self(): Pick<SelfGuard, 'how' | 'missing'> | null {
    return this.#self;
  }

  get selfWhy(): string {
    return this.#selfWhy;
  }

  /** Lets these do with Husk what they want for so long. False: it is not protected anyway. */
  openSelf(seconds: number, to: OpenTo): boolean {
    const now = Number(this.#options.addon.bootNs() / 1_000_000_000n);
    this.#self?.openUntil(seconds === 0 ? 0 : now + seconds, to);
    return this.#self !== null;
  }

  setPacketEventsPerSecond(count: number): void {
    this.#live.setPacketEventsPerSecond(count);
  }

  /** Dense index of a rule, for the compiler's `DeviceFacts.ruleIndex`. */
  ruleIndex(id: string): number {
    const index = this.#counters.indexOf(id, this.#inUse);
    // Until its generation is loaded, nothing in the kernel names it.
    this.#inUse.add(index);
    return index;
  }

  /** Rule indexes as they are given out now, for a compiler in another process. */
  counterIndexes(): CounterIndexesNow {
    return this.#counters.indexesNow(this.#inUse);
  }

  ruleName(index: number): string | null {
    return this.#counters.idOf(index);
  }

  /** Rules that have a counter, over all CPUs. */
  counters(): Promise<RuleCounter[]> {
    return this.#counters.read();
  }

  /** Entries of sets that are kept one by one, of the generation in force. */
  setEntries(): Promise<SetEntry[]> {
    return this.#slots.setEntries(this.#live.inForce);
  }

  /** Connections that are followed, as the generation in force has them. */
  async connections(filter: ConnectionFilter, rowsMax: number): Promise<ConnectionList> {
    const record = this.#slots.record(this.#live.inForce);
    const clock = {
      nowSeconds: Number(this.#options.addon.bootNs() / 1_000_000_000n),
      generation: record?.id ?? 0,
      timeouts: record?.timeouts ?? [],
    };
    return listConnections(this.#options.addon, mapOf(this.#set, 'connections'), clock, filter, rowsMax);
  }

  /** Counters of the rules that the slot in force names. */
  async countersInForce(): Promise<RuleCounter[]> {
    const named = await this.#slots.ruleIndexes([this.#live.inForce]);
    return (await this.#counters.read()).filter((one) => named.has(one.index));
  }

  /** Totals of all programs by name, as in `INGRESS` or `PACKET_EVENTS_LOST`, over all CPUs. */
  totals(): Record<string, bigint> {
    return this.#sums('totals', HuskTotal);
  }

  /** What became of connections and token buckets, by name, as in `OPENED` or `EVICTED`, over all CPUs. */
  connectionCounts(): Record<string, bigint> {
    return this.#sums('connection_counts', HuskConnectionCount);
  }

  /** Of a per-CPU array that is indexed by an enum. */
  #sums(
    name: Parameters<typeof mapOf>[1],
    indexes: Readonly<Record<string, number>>,
  ): Record<string, bigint> {
    const map = mapOf(this.#set, name);
    const sums: Record<string, bigint> = {};
    for (const [counter, index] of Object.entries(indexes)) {
      if (counter === 'COUNT') continue;
      const value = this.#options.addon.lookup(map, Uint8Array.of(index, 0, 0, 0)) ?? new Uint8Array();
      const perCpu = new DataView(value.buffer, value.byteOffset, value.byteLength);
      let sum = 0n;
      for (let at = 0; at + 8 <= value.length; at += 8) sum += perCpu.getBigUint64(at, true);
      sums[counter] = sum;
    }
    return sums;
  }

  /** Fills the slot that is not in force. Not while a trial runs: both slots are owned then. */
  async loadStandby(source: GenerationSource): Promise<LoadedGeneration> {
    if (this.#live.inTrial) throw new Error('a trial is running');
    this.endTrial();
    const loaded = await this.#slots.load(otherSlot(this.#live.inForce), source);
    // Filling the slot has waited for all programs that judged by what was in it.
    await this.#forgetVoid();
    this.#inUse = await this.#slots.ruleIndexes();
    return loaded;
  }

  /** Tries every rule of a loaded generation. Throws RefusalError kernel.unproven. */
  prove(generation: LoadedGeneration, tries: Tries, paths: DevicePaths | null = null): Promise<Proof> {
    return proveSlot(
      {
        addon: this.#options.addon,
        twins: {
          xdp: programOf(this.#set, 'husk_xdp_ingress_twin'),
          ingress: programOf(this.#set, 'husk_tc_ingress_twin'),
          egress: programOf(this.#set, 'husk_tc_egress_twin'),
        },
        tryLabel: mapOf(this.#set, 'try_label'),
        tried: mapOf(this.#set, 'tried'),
        ruleId: (index) => this.#counters.idOf(index),
        cgroup: this.#options.cgroup,
        operations: this.#operationTools(paths),
      },
      generation.slot,
      tries,
    );
  }

  #operationTools(paths: DevicePaths | null): OperationTools | null {
    const { scratch } = this.#options;
    if (this.#guards === null || paths === null || scratch === undefined) return null;
    return { guards: this.#guards, paths, scratch };
  }

  /** Puts a loaded generation in force until the deadline. */
  beginTrial(generation: LoadedGeneration, seconds: number): LiveWord {
    const word = this.#live.beginTrial(seconds);
    if (word.slot !== generation.slot) throw new Error(`slot ${generation.slot} is not the standby slot`);
    return word;
  }

  /** Milliseconds until the deadline of a trial, never negative. */
  trialMsLeft(trial: LiveWord): number {
    return Math.max(0, trial.deadline * 1000 - Number(this.#options.addon.bootNs() / 1_000_000n));
  }

  confirm(trial: LiveWord): TrialEnd {
    return this.#live.confirm(trial);
  }

  returnNow(trial: LiveWord): void {
    this.#live.returnNow(trial);
  }

  /** Writes down what the programs go by already when a trial has run out, or ends one that is running. True: there was one. */
  endTrial(): boolean {
    const word = this.#live.word;
    if (!word.trial) return false;
    this.#live.returnNow(word);
    return true;
  }

  /** Puts a loaded generation in force without a trial: it was confirmed before, or it is the baseline. */
  settle(generation: LoadedGeneration): void {
    this.#live.settle(generation.slot);
  }

  /**
   * Puts the previous generation back, under a number of its own: what was opened since is judged again by it. False:
   * the other slot is empty.
   */
  async returnToPrevious(): Promise<boolean> {
    if (this.endTrial()) return true;
    const other = otherSlot(this.#live.inForce);
    // Placing the record has waited for all programs that judged by the slot.
    if (!(await this.#slots.renumber(other))) return false;
    await this.#forgetVoid();
    this.#live.settle(other);
    return true;
  }

  /** What trials that were returned have opened: the next number is greater than theirs. */
  async #forgetVoid(): Promise<void> {
    const inForce = this.#slots.record(this.#live.inForce);
    if (inForce === null) return;
    await forgetOpenedAfter(this.#options.addon, mapOf(this.#set, 'connections'), inForce.id);
  }

  /** Brings the tables that follow the device up to date in the slot in force. Returns entries changed. */
  async follow(tables: readonly Table[]): Promise<number> {
    const slot = this.#live.inForce;
    let changed = 0;
    for (const table of tables) changed += await this.#slots.follow(slot, table);
    return changed;
  }

  /**
   * Makes the map of the device's own addresses equal to these (16 bytes each). New ones are added before old ones go.
   * Returns entries changed.
   */
  async followAddresses(keys: readonly Uint8Array[]): Promise<number> {
    const { addon } = this.#options;
    const map = mapOf(this.#set, 'own_addresses');
    const bytes = 16;
    const found = await addon.readAll(map);
    const now = new Set<string>();
    for (let at = 0; at < found.count; at++)
      now.add(Buffer.from(found.keys.subarray(at * bytes, (at + 1) * bytes)).toString('hex'));
    let changed = 0;
    // Room for the new is made where it is short.
    const isShort = found.count + keys.length > HUSK_OWN_ADDRESSES_MAX;
    if (isShort) {
      const wanted = new Set(keys.map((key) => Buffer.from(key).toString('hex')));
      for (const gone of [...now].filter((key) => !wanted.has(key))) {
        now.delete(gone);
        if (addon.remove(map, Buffer.from(gone, 'hex'))) changed++;
      }
    }
    for (const key of keys) {
      if (now.delete(Buffer.from(key).toString('hex'))) continue;
      addon.update(map, key, ownAddressValue);
      changed++;
    }
    for (const gone of now) if (addon.remove(map, Buffer.from(gone, 'hex'))) changed++;
    return changed;
  }

  /** Takes everything out of the kernel. The device is as if Husk had never been there. */
  unload(interfaces: readonly { readonly index: number }[]): void {
    detachClsact(this.#options.addon, interfaces);
    removePins(this.#set.directory);
    this.close();
  }

  close(): void {
    this.#live.close();
    this.#guards?.close();
    this.#self?.close();
    for (const handle of [...this.#set.maps.values(), ...this.#set.programs.values()]) handle.close();
  }
}

interface OpenedGuards {
  readonly guards: Guards | null;
  readonly why: string;
}

/** Attached and seen to run, or none and why. Packets and calls are judged whatever becomes of these. */
async function openGuards(options: KernelOptions, set: ProgramSet): Promise<OpenedGuards> {
  const { addon, cgroup, random } = options;
  if (options.guards === undefined || options.guards === null) return { guards: null, why: '' };
  if (cgroup === null) return { guards: null, why: 'there is no hardening root for the canary' };
  try {
    const { directory, maps } = set;
    const guards = Guards.open({ addon, directory, maps, ...options.guards, random });
    const tools = { addon, tryLabel: mapOf(set, 'try_label'), tried: mapOf(set, 'tried'), cgroup };
    const why = await whyGuardsSleep(tools, guards.tier);
    if (why === '') return { guards, why };
    guards.close();
    removeGuards(directory);
    return { guards: null, why };
  } catch (error) {
    return { guards: null, why: messageOf(error) };
  }
}

interface OpenedSelf {
  readonly self: SelfGuard | null;
  readonly why: string;
}

/** Husk guarded against others, or not and why; what policy denies is denied whatever becomes of it. */
async function openSelf(options: KernelOptions, set: ProgramSet, guards: Guards | null): Promise<OpenedSelf> {
  const { addon, self, files } = options;
  const { directory, maps } = set;
  if (files === null) return { self: null, why: '' };
  if (self === undefined || self === null) {
    removeSelfGuard(directory);
    return { self: null, why: 'it is off' };
  }
  if (guards === null) return { self: null, why: 'there are no guards, by whose lineages it goes' };
  const { tier, pathKey } = guards;
  if (tier === 'C') return { self: null, why: 'tier C has none' };
  try {
    return { self: await SelfGuard.open({ addon, directory, maps, tier, pathKey, ...self }), why: '' };
  } catch (error) {
    return { self: null, why: messageOf(error) };
  }
}

function mapSizes(sizes: KernelSizes): MapSizes {
  return {
    connections: connectionBuckets(sizes),
    rates: limitBuckets(sizes),
    counters: sizes.counters,
    rule_names: sizes.counters,
  };
}

export type { CompiledRule, LiveWord, LoadedGeneration, Slot };

function mapOf(set: ProgramSet, name: string): MapHandle {
  const map = set.maps.get(name);
  if (map === undefined) throw new Error(`the set has no map ${name}`);
  return map;
}

function programOf(set: ProgramSet, name: ProgramName): ProgramHandle {
  const program = set.programs.get(name);
  if (program === undefined) throw new Error(`the set has no program ${name}`);
  return program;
}
