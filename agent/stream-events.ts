// kernel event → ring → decoded → enriched → aggregated → spooled → published → acknowledged
//
// Calls are enriched before they are aggregated: the process may be gone in a moment. Packets are aggregated
// as bytes and put into words once a window: most of them only raise a count.
//
// Whatever is lost on the way is counted where it was lost and becomes a gap event in the same stream: the
// kernel's ring and budget by its totals, the ring thread by its own count, what could not be decoded or had
// no room in a table here, and the spool's own losses by the spool.

import {
  decodeHuskAlike,
  encodeHuskAlike,
  HuskAlike,
  type HuskCallEvent,
  type HuskOperationEvent,
} from '../bpf/abi/layout.gen.ts';
import type { Addon, MapHandle, Ring, RingOptions } from '../native/index.ts';
import type {
  AuditEvent,
  CallEvent,
  EventShield,
  HuskEvent,
  OperationEvent,
  Stream,
} from './contract/event.ts';
import { CallAggregator } from './events/aggregate-calls.ts';
import { OperationAggregator } from './events/aggregate-operations.ts';
import { PacketAggregator } from './events/aggregate-packets.ts';
import { makeAudit } from './events/audit.ts';
import { walkCalls, walkPackets } from './events/decode.ts';
import {
  describeAlike,
  describeOperation,
  type OperationNames,
  type OperationWords,
} from './events/describe-operation.ts';
import { type Drop, Drops } from './events/drops.ts';
import { bootMsOf, describeCall, describePackets } from './events/enrich.ts';
import { InterfaceNames, type InterfaceOf } from './events/interface-names.ts';
import { Later } from './events/later.ts';
import { newLosses } from './events/losses.ts';
import { Processes } from './events/processes.ts';
import { ProgramNames, type ProgramNumbers } from './events/program-names.ts';
import { type PublishBatch, Publisher } from './events/publish.ts';
import { alikeKey, periodMs, periodNow, type RepeatsMap, takeRepeats } from './events/repeats.ts';
import type { Spool } from './events/spool.ts';
import type { Clock } from './os/clock.ts';
import type { Log } from './os/log.ts';
import type { Random } from './os/random.ts';

/** Packets alike within this time are one event. */
const packetWindowMs = 1000;
/** A call that is tried again and again is told again this often, with its count. */
const callWindowMs = 10_000;
/** How often the kernel's own counts of losses are read. */
const lossesEveryMs = 10_000;

/** Packets may wait to be gathered; a flood fills a batch sooner. */
const packetRingOptions: RingOptions = {
  batchBytes: 64 * 1024,
  flushMs: 100,
  pendingBytesMax: 2 * 1024 * 1024,
};
/** A denial is told at once. */
const callRingOptions: RingOptions = { batchBytes: 32 * 1024, flushMs: 10, pendingBytesMax: 512 * 1024 };

export interface StreamEventsOptions {
  /** null: no kernel side, events of the agent only. */
  readonly rings: { readonly packet: MapHandle; readonly call: MapHandle } | null;
  /** What the kernel counts of operations alike; absent: nothing judges operations. */
  readonly repeats?: RepeatsMap | null;
  readonly addon: Pick<Addon, 'openRing'>;
  readonly kernelNames: {
    /** `document/rule` of a dense counter index. */
    ruleName(index: number): string | null;
    /** Those that are there now. */
    interfaces(): readonly InterfaceOf[];
    /** `document/zone` of an interface by its name. */
    zoneName?(name: string): string | null;
    /** Words of what tasks do, by the kernel's numbers; absent: the numbers are told. */
    readonly operationWords?: OperationWords;
    /** How the kernel numbers paths and names; absent: the numbers are told. */
    readonly programNumbers?: ProgramNumbers | null;
    /** Paths that the policy in force names; the same array as long as it is the same policy. */
    executables?(): readonly string[];
    /** Of the programs that judge operations. */
    readonly tier?: string | null;
    /** The shield that a document of the policy in force is. */
    shieldOf?(document: string): EventShield | null;
    /** What would allow what was denied, in a line. */
    remediation?(event: CallEvent | OperationEvent): string | null;
  };
  /** Totals by the names of `enum husk_total`, over all CPUs. */
  readonly totals: () => Readonly<Record<string, bigint>>;
  readonly spool: Spool;
  readonly publish: PublishBatch;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  /** Aborting it is closing. */
  readonly signal?: AbortSignal;
}

/** What came out of the rings since the start. */
export interface EventCounts {
  readonly packets: number;
  readonly calls: number;
  /** Records that were no events. */
  readonly undecodable: number;
  /** Events for which a window had no room. */
  readonly overflowed: number;
  /** Records that the ring threads had no room for. */
  readonly dropped: number;
}

export interface EventStream {
  /** Something the agent did, as in `bundle.confirmed`. */
  audit(what: string, detail: AuditEvent['detail']): void;
  /** An `ack.spool` body, not believed yet; false where it is none. */
  acknowledge(body: unknown): boolean;
  /** A new session with the broker is there. */
  connected(): void;
  counts(): EventCounts;
  /** Why packets were stopped since the start, the newest first. */
  drops(): readonly Drop[];
  /** Stops the rings, tells what the windows hold and what was lost, and has all of it on the disk. */
  close(): Promise<void>;
}

const none: readonly string[] = [];
const noWords: OperationWords = { operations: {}, traits: {} };

function bytesOf(alike: HuskAlike): Uint8Array {
  const bytes = new Uint8Array(HuskAlike.size);
  encodeHuskAlike(new DataView(bytes.buffer), 0, alike);
  return bytes;
}

function alikeOf(key: string): HuskAlike {
  const bytes = Uint8Array.from(Buffer.from(key, 'latin1'));
  return decodeHuskAlike(new DataView(bytes.buffer), 0);
}

export function streamEvents(options: StreamEventsOptions): EventStream {
  const { addon, clock, kernelNames, log, random, rings, spool } = options;
  const packets = new PacketAggregator({ seed: new DataView(random.bytes(4).slice().buffer).getUint32(0) });
  const calls = new CallAggregator();
  const operations = new OperationAggregator();
  const drops = new Drops();
  const interfaces = new InterfaceNames(() => kernelNames.interfaces(), clock);
  const bootMs = () => clock.bootMs();
  const { programNumbers = null, shieldOf, remediation } = kernelNames;
  const executables = () => kernelNames.executables?.() ?? none;
  const programs =
    programNumbers === null ? null : new ProgramNames({ numbers: programNumbers, bootMs, executables });
  const names: OperationNames = {
    words: kernelNames.operationWords ?? noWords,
    programs,
    tier: kernelNames.tier ?? null,
    ...(shieldOf === undefined ? {} : { shieldOf }),
    ...(remediation === undefined ? {} : { remediation }),
    ruleName: (index) => kernelNames.ruleName(index),
    interfaceName: (ifindex) => interfaces.nameOf(ifindex),
    zoneName: (ifindex) => {
      const name = interfaces.nameOf(ifindex);
      return name === null ? null : (kernelNames.zoneName?.(name) ?? null);
    },
  };
  const processes = new Processes({ bootMs });
  const publisher = new Publisher({ spool, publish: options.publish, clock, random, log });
  const stopping = new AbortController();
  const counts = { packets: 0, calls: 0, undecodable: 0, overflowed: 0 };
  /** Lost between ring and spool, and not told yet. */
  const lostHere = { packet: 0, alert: 0 };
  const droppedTold = { packet: 0n, call: 0n };

  const windows = { clock, signal: stopping.signal };
  const packetWindow = new Later({ ...windows, ms: packetWindowMs, run: endPacketWindow });
  const callWindow = new Later({ ...windows, ms: callWindowMs, run: endCallWindow });
  const operationWindow = new Later({ ...windows, ms: periodMs, run: () => void endOperationPeriod() });
  const packetRing = openRing(rings?.packet, packetRingOptions, takePackets);
  const callRing = openRing(rings?.call, callRingOptions, takeCalls);
  const lossesTold = tellLossesNowAndThen();
  // What was counted while no agent was there.
  if (options.repeats != null) operationWindow.arm();
  void programs?.learnMachine(stopping.signal);
  if (spool.found.tornBytes > 0 || spool.found.damagedFiles > 0 || spool.found.how === 'damaged') {
    audit('spool.damaged', { ...spool.found });
  }

  let closed: Promise<void> | null = null;
  const close = () => {
    closed ??= stop();
    return closed;
  };
  options.signal?.addEventListener(
    'abort',
    () => void close().catch((error) => log.error({ error }, 'events: close')),
  );
  return {
    audit,
    acknowledge: (body) => publisher.acknowledge(body),
    connected: () => publisher.connected(),
    counts: countsNow,
    drops: () => drops.list(),
    close,
  };

  function takePackets(batch: Uint8Array): void {
    let overflowed = 0;
    let taken = 0;
    const undecodable = walkPackets(batch, (view, at) => {
      taken += 1;
      if (!packets.add(view, at)) overflowed += 1;
    });
    counts.packets += taken;
    countLost('packet', undecodable, overflowed);
    packetWindow.arm();
  }

  function endPacketWindow(): void {
    packets.drain((aggregate) => {
      const event = describePackets(aggregate, names);
      const bootMs = bootMsOf(aggregate.first.head);
      drops.add(event, bootMs);
      tell('packet', event, bootMs);
    });
    tellLostHere('packet');
  }

  function takeCalls(batch: Uint8Array): void {
    let overflowed = 0;
    const count = (isTaken: boolean) => {
      counts.calls += 1;
      if (!isTaken) overflowed += 1;
    };
    const undecodable = walkCalls(
      batch,
      (call) => count(takeCall(call)),
      (operation) => count(takeOperation(operation)),
    );
    countLost('alert', undecodable, overflowed);
    callWindow.arm();
  }

  function takeCall(call: HuskCallEvent): boolean {
    const event = calls.add(call, (first) => describeCall(first, names, processes));
    if (typeof event !== 'string') tell('alert', event, bootMsOf(call.head));
    return event !== 'overflow';
  }

  function takeOperation(raw: HuskOperationEvent): boolean {
    const { bootNs } = raw.head;
    const first = { key: alikeKey(bytesOf(raw.alike)), period: raw.alike.period, bootNs };
    const event = operations.add(first, () => describeOperation(raw, names, processes));
    operationWindow.arm();
    if (typeof event !== 'string') tell('alert', event, bootMsOf(raw.head));
    return event !== 'overflow';
  }

  /** Tells what is over, and comes again while something is not. */
  async function endOperationPeriod(): Promise<void> {
    const period = periodNow(BigInt(Math.floor(clock.bootMs())) * 1_000_000n);
    try {
      const taken = await takeCounted(period);
      countLost('alert', taken.undecodable, 0);
      if (taken.left > 0) operationWindow.arm();
      operations.drain(period, ({ key, event, count, duration, lastNs }) => {
        const described = event ?? describeAlike(alikeOf(key), names);
        tell('alert', { ...described, count, duration }, Number(lastNs / 1_000_000n));
      });
    } catch (error) {
      log.error({ error }, 'events: what the kernel counted could not be read, and stays there');
    }
    if (operations.size > 0) operationWindow.arm();
    tellLostHere('alert');
  }

  function takeCounted(period: number): Promise<{ undecodable: number; left: number }> {
    if (options.repeats == null) return Promise.resolve({ undecodable: 0, left: 0 });
    return takeRepeats(options.repeats, period, (repeated) => operations.count(repeated));
  }

  function endCallWindow(): void {
    calls.drain(({ event, lastBootNs }) => tell('alert', event, Number(lastBootNs / 1_000_000n)));
    tellLostHere('alert');
  }

  function audit(what: string, detail: AuditEvent['detail']): void {
    tell('audit', makeAudit(what, detail));
  }

  function tell(stream: Stream, event: HuskEvent, bootMs?: number): void {
    spool.append(stream, event, bootMs);
    publisher.wake(stream);
  }

  function countLost(stream: 'packet' | 'alert', undecodable: number, overflowed: number): void {
    counts.undecodable += undecodable;
    counts.overflowed += overflowed;
    lostHere[stream] += undecodable + overflowed;
  }

  function tellLostHere(stream: 'packet' | 'alert'): void {
    const lost = lostHere[stream];
    lostHere[stream] = 0;
    if (lost > 0) tell(stream, { kind: 'gap', lost, where: 'agent' });
  }

  async function tellLossesNowAndThen(): Promise<void> {
    while (!stopping.signal.aborted) {
      tellLosses();
      try {
        await clock.sleep(lossesEveryMs, stopping.signal);
      } catch {
        // Stopping: `stop` tells them once more.
        return;
      }
    }
  }

  function tellLosses(): void {
    if (rings === null) return;
    const { losses, told } = newLosses(spool.told, options.totals());
    for (const { stream, where, lost } of losses) tell(stream, { kind: 'gap', lost, where });
    // Only changes are written: an idle device leaves its disk alone.
    if (losses.length > 0) spool.remember(told);
    lostHere.packet += newlyDropped('packet', packetRing);
    lostHere.alert += newlyDropped('call', callRing);
    tellLostHere('packet');
    tellLostHere('alert');
  }

  function newlyDropped(which: 'packet' | 'call', ring: Ring | null): number {
    const dropped = ring?.dropped() ?? 0n;
    const more = dropped - droppedTold[which];
    droppedTold[which] = dropped;
    return Number(more);
  }

  function openRing(
    map: MapHandle | undefined,
    ringOptions: RingOptions,
    take: (batch: Uint8Array) => void,
  ): Ring | null {
    return map === undefined ? null : addon.openRing([map], ringOptions, take);
  }

  function countsNow(): EventCounts {
    const dropped = (packetRing?.dropped() ?? 0n) + (callRing?.dropped() ?? 0n);
    return { ...counts, dropped: Number(dropped) };
  }

  async function stop(): Promise<void> {
    await Promise.all([packetRing?.close(), callRing?.close()]);
    stopping.abort();
    await lossesTold;
    endPacketWindow();
    endCallWindow();
    await endOperationPeriod();
    tellLosses();
    publisher.close();
    await spool.sync();
  }
}
