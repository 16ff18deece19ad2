// What the event tests share: folders that go away, spools on a clock that stands still, events to put in,
// and raw ring records.

import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Test } from 'tap';
import { type Envelope, envelopeKinds } from '../../../agent/contract/envelope.ts';
import type {
  AuditEvent,
  EventBatch,
  PacketEvent,
  SpooledEvent,
  Stream,
} from '../../../agent/contract/event.ts';
import { Spool, type SpoolOptions } from '../../../agent/events/spool.ts';
import { silentLog } from '../../../agent/os/log.ts';
import {
  encodeHuskAlike,
  encodeHuskCallEvent,
  encodeHuskOperationEvent,
  encodeHuskPacketEvent,
  HUSK_EVENT_DATA_BYTES,
  HUSK_EVENT_NAMES_BYTES,
  HUSK_LINEAGE_MAX,
  HuskAlike,
  HuskCallEvent,
  HuskOperation,
  HuskOperationEvent,
  HuskPacketEvent,
  type HuskProgram,
} from '../../../bpf/abi/layout.gen.ts';
import { TestClock } from '../../lab/test-clock.ts';

export const bootA = '11111111-1111-4111-8111-111111111111';
export const bootB = '22222222-2222-4222-8222-222222222222';

export function temporaryFolder(t: Test): string {
  const folder = mkdtempSync(join(tmpdir(), 'husk-events-'));
  t.teardown(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

/** An empty folder inside a temporary one, as the agent's state folder has it. */
export function spoolFolder(t: Test): string {
  const folder = join(temporaryFolder(t), 'spool');
  mkdirSync(folder);
  return folder;
}

export function openSpool(
  folder: string,
  options: Partial<SpoolOptions> = {},
): { spool: Spool; clock: TestClock } {
  const clock = new TestClock({ bootMs: 5000, wallMs: 1_800_000_000_000 });
  return { spool: Spool.open({ folder, bootId: bootA, clock, log: silentLog, ...options }), clock };
}

export function audit(n: number, padding = 0): AuditEvent {
  return { kind: 'audit', what: 'test.event', detail: { n, padding: 'x'.repeat(padding) } };
}

export function packet(n: number): PacketEvent {
  return {
    kind: 'packet',
    rule: 'branch-wan/listed',
    verdict: 'drop',
    mode: 'enforce',
    reason: 'rule',
    hook: 'xdp_ingress',
    serial: 7,
    interface: 'wan0',
    family: 'ipv4',
    etherType: 0x0800,
    from: `192.0.2.${n % 256}`,
    to: '198.51.100.1',
    protocol: 6,
    fromPort: 40000,
    toPort: n % 65536,
    tcpFlags: 2,
    count: 1,
    bytes: 60,
  };
}

/**
 * Everything a stream holds behind `after`, batch by batch, without gaps that count nothing. Throws where a
 * number is not the next one and no gap explains it.
 */
export function readAll(spool: Spool, stream: Stream, after = spool.acknowledged(stream)): SpooledEvent[] {
  const events: SpooledEvent[] = [];
  for (let last = after; ; ) {
    const batch = spool.nextBatch(stream, last);
    if (batch === null) return events.filter(({ event }) => event.kind !== 'gap' || event.lost > 0);
    for (const event of batch.events) {
      const isNext = event.seq === last + 1 || (event.seq > last && event.event.kind === 'gap');
      // Behind 0 anything may come first: what was acknowledged is gone.
      if (!isNext && last !== 0) throw new Error(`${stream}: number ${event.seq} after ${last}`);
      last = event.seq;
      events.push(event);
    }
  }
}

/** As the link sends it. */
export function inEnvelope(body: EventBatch): Envelope<EventBatch> {
  return {
    v: 1,
    k: envelopeKinds.events,
    sid: 1,
    boot: bootA,
    seq: 1,
    mono: 5000,
    ts: null,
    tq: 'none',
    body,
  };
}

/** The `n` of audit events, and `-lost` for a gap. */
export function numbers(events: readonly SpooledEvent[]): number[] {
  return events.map(({ event }) => {
    if (event.kind === 'audit') return Number(event.detail.n);
    return event.kind === 'gap' ? -event.lost : Number.NaN;
  });
}

export function lostIn(events: readonly SpooledEvent[]): number {
  return events.reduce((sum, { event }) => sum + (event.kind === 'gap' ? event.lost : 0), 0);
}

export type PacketFields = Partial<Omit<HuskPacketEvent, 'head'>> & {
  head?: Partial<HuskPacketEvent['head']>;
};
export type CallFields = Partial<Omit<HuskCallEvent, 'head'>> & { head?: Partial<HuskCallEvent['head']> };

export function packetRecord(fields: PacketFields = {}): Uint8Array {
  const bytes = new Uint8Array(HuskPacketEvent.size);
  encodeHuskPacketEvent(new DataView(bytes.buffer), 0, {
    saddr: mapped(192, 0, 2, 1),
    daddr: mapped(198, 51, 100, 1),
    ifindex: 3,
    length: 60,
    sport: 40000,
    dport: 23,
    etherType: 0x0800,
    ipProto: 6,
    tcpFlags: 2,
    family: 1,
    fragment: 0,
    state: 0,
    icmpType: 0,
    icmpCode: 0,
    link: 0,
    outerVlan: 0,
    dataLength: 0,
    cameBy: 0,
    data: new Uint8Array(HUSK_EVENT_DATA_BYTES),
    ...fields,
    head: {
      bootNs: 4_000_000_000n,
      serial: 7n,
      rule: 5,
      kind: 1,
      size: HuskPacketEvent.size,
      hook: 1,
      verdict: 2,
      mode: 2,
      reason: 1,
      ...fields.head,
    },
  });
  return bytes;
}

export function callRecord(fields: CallFields = {}): Uint8Array {
  const bytes = new Uint8Array(HuskCallEvent.size);
  encodeHuskCallEvent(new DataView(bytes.buffer), 0, {
    cgroup: 4711n,
    addr: mapped(203, 0, 113, 9),
    tgid: 4_000_000,
    tid: 4_000_000,
    uid: 33,
    gid: 33,
    port: 4444,
    socketFamily: 2,
    socketType: 1,
    ipProto: 6,
    call: 1,
    comm: 'uhttpd',
    ...fields,
    head: {
      bootNs: 4_000_000_000n,
      serial: 7n,
      rule: 9,
      kind: 2,
      size: HuskCallEvent.size,
      hook: 3,
      verdict: 3,
      mode: 2,
      reason: 1,
      ...fields.head,
    },
  });
  return bytes;
}

export type OperationFields = Partial<Omit<HuskOperationEvent, 'head' | 'alike' | 'lineage' | 'names'>> & {
  head?: Partial<HuskOperationEvent['head']>;
  alike?: Partial<HuskAlike>;
  lineage?: readonly HuskProgram[];
  /** From its end, as the kernel writes them. */
  names?: readonly string[];
};

/** The shell of a daemon that would run /tmp/evil. */
export function operationRecord(fields: OperationFields = {}): Uint8Array {
  const { head, alike, lineage = [], names = ['evil', 'tmp'], ...rest } = fields;
  const written = Buffer.from(names.map((name) => `${name}\0`).join(''));
  const padded = new Uint8Array(HUSK_EVENT_NAMES_BYTES);
  padded.set(written.subarray(0, HUSK_EVENT_NAMES_BYTES));
  const none = { path: 0n, applet: 0n };
  const bytes = new Uint8Array(HuskOperationEvent.size);
  encodeHuskOperationEvent(new DataView(bytes.buffer), 0, {
    cgroup: 4711n,
    startNs: 3_000_000_000n,
    programs: lineage.length,
    flags: 0,
    tgid: 4_000_000,
    tid: 4_000_001,
    parent: 3_999_999,
    uid: 33,
    gid: 34,
    device: (8 << 20) | 1,
    namesLength: Math.min(written.length, HUSK_EVENT_NAMES_BYTES),
    comm: 'sh',
    parentComm: 'uhttpd',
    ...rest,
    lineage: Array.from({ length: HUSK_LINEAGE_MAX }, (_, at) => lineage[at] ?? none),
    names: padded,
    alike: { ...plainAlike, ...(lineage[0] === undefined ? {} : { program: lineage[0] }), ...alike },
    head: {
      bootNs: 4_000_000_000n,
      serial: 7n,
      rule: 9,
      kind: 4,
      size: HuskOperationEvent.size,
      hook: 8,
      verdict: 3,
      mode: 2,
      reason: 1,
      ...head,
    },
  });
  return bytes;
}

const plainAlike: HuskAlike = {
  program: { path: 0n, applet: 0n },
  value: 0n,
  target: [1n, 2n, 3n],
  rule: 9,
  period: 0,
  operation: HuskOperation.EXEC,
  socketFamily: 0,
  verdict: 3,
  mode: 2,
  traits: 0,
  flags: 0,
};

/** A key of the map in which the kernel counts. */
export function alikeBytes(fields: Partial<HuskAlike> = {}): Uint8Array {
  const bytes = new Uint8Array(HuskAlike.size);
  encodeHuskAlike(new DataView(bytes.buffer), 0, { ...plainAlike, ...fields });
  return bytes;
}

/** Records framed as the ring thread hands them over. */
export function batchOf(...records: readonly Uint8Array[]): Uint8Array {
  const parts = records.map((record) => {
    const frame = new Uint8Array(8 + Math.ceil(record.length / 8) * 8);
    new DataView(frame.buffer).setUint32(4, record.length, true);
    frame.set(record, 8);
    return frame;
  });
  return new Uint8Array(Buffer.concat(parts));
}

/** ::ffff:a.b.c.d */
export function mapped(...ipv4: readonly [number, number, number, number]): Uint8Array {
  return Uint8Array.from([...new Array(10).fill(0), 0xff, 0xff, ...ipv4]);
}
