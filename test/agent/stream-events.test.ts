// Goal: flow 2 as a whole, without a kernel: records from the rings come out as published events, alike ones
// as one, the first denial at once, and everything lost on the way as a gap in its stream.
// Method: the ring threads are played here and hand over real records; spool and files are real, the clock
// is moved by hand. The real rings are in test/bench/events.ts.

import t, { type Test } from 'tap';
import type { EventBatch, HuskEvent, Stream } from '../../agent/contract/event.ts';
import { packetAggregatesMax } from '../../agent/events/aggregate-packets.ts';
import type { Spool } from '../../agent/events/spool.ts';
import { silentLog } from '../../agent/os/log.ts';
import { type EventStream, streamEvents } from '../../agent/stream-events.ts';
import type { MapHandle, Ring } from '../../native/index.ts';
import type { TestClock } from '../lab/test-clock.ts';
import { batchOf, callRecord, mapped, openSpool, packetRecord, readAll, spoolFolder } from './events/lab.ts';

interface Flow {
  readonly stream: EventStream;
  readonly spool: Spool;
  readonly clock: TestClock;
  readonly published: EventBatch[];
  readonly totals: Record<string, bigint>;
  /** Hands a batch over as the thread of that ring would. */
  readonly packets: (...records: Uint8Array[]) => void;
  readonly calls: (...records: Uint8Array[]) => void;
  readonly dropped: { packet: bigint; call: bigint };
  /** Handed over when the ring is closed. */
  readonly rest: { packet: Uint8Array[]; call: Uint8Array[] };
}

const packetMap = { kind: 'map', fd: 10, close: () => {} } satisfies MapHandle;
const callMap = { kind: 'map', fd: 11, close: () => {} } satisfies MapHandle;

function openFlow(t: Test, folder = spoolFolder(t)): Flow {
  const { spool, clock } = openSpool(folder);
  const published: EventBatch[] = [];
  const totals: Record<string, bigint> = {};
  const dropped = { packet: 0n, call: 0n };
  const rest = { packet: [] as Uint8Array[], call: [] as Uint8Array[] };
  const take: Record<'packet' | 'call', (batch: Uint8Array) => void> = { packet: () => {}, call: () => {} };
  const openRing = (maps: readonly MapHandle[], _: unknown, onBatch: (batch: Uint8Array) => void): Ring => {
    const which = maps[0] === packetMap ? 'packet' : 'call';
    take[which] = onBatch;
    return {
      dropped: () => dropped[which],
      close: async () => {
        if (rest[which].length > 0) onBatch(batchOf(...rest[which].splice(0)));
        take[which] = () => t.fail('a batch after the close');
      },
    };
  };
  const stream = streamEvents({
    rings: { packet: packetMap, call: callMap },
    addon: { openRing },
    kernelNames: {
      ruleName: (index) => `branch/rule-${index}`,
      interfaces: () => [{ name: 'wan0', index: 3 }],
    },
    totals: () => totals,
    spool,
    publish: async (batch) => {
      published.push(batch);
    },
    clock,
    random: { bytes: (count) => new Uint8Array(count).fill(7), fraction: () => 0.5 },
    log: silentLog,
  });
  t.teardown(async () => {
    await stream.close();
    await spool.close();
  });
  return {
    stream,
    spool,
    clock,
    published,
    totals,
    dropped,
    rest,
    packets: (...records) => take.packet(batchOf(...records)),
    calls: (...records) => take.call(batchOf(...records)),
  };
}

function spooled(spool: Spool, stream: Stream): HuskEvent[] {
  return readAll(spool, stream, 0).map(({ event }) => event);
}

t.test('packets alike within a second are one event, published soon after', async (t) => {
  const { clock, packets, published, spool, stream } = openFlow(t);
  packets(packetRecord(), packetRecord({ sport: 1 }), packetRecord({ dport: 80 }));
  await clock.advance(500);
  packets(packetRecord({ length: 1000 }));
  t.strictSame(spooled(spool, 'packet'), [], 'not before the window ends');
  await clock.advance(500);
  t.match(spooled(spool, 'packet'), [
    { rule: 'branch/rule-5', interface: 'wan0', toPort: 23, count: 3, bytes: 1120, fromPort: 40000 },
    { toPort: 80, count: 1 },
  ]);
  await clock.advance(200);
  t.match(published, [{ stream: 'packet', events: [{ seq: 1, mono: 4000 }, { seq: 2 }] }]);
  t.match(stream.counts(), { packets: 4, undecodable: 0, overflowed: 0, dropped: 0 });

  packets(packetRecord());
  await clock.advance(1000);
  t.equal(spooled(spool, 'packet').length, 3, 'the next window counts anew');
});

t.test('the first denial is told at once, its repeats every ten seconds', async (t) => {
  const { calls, clock, published, spool } = openFlow(t);
  calls(callRecord());
  t.match(spooled(spool, 'alert'), [{ kind: 'call', rule: 'branch/rule-9', port: 4444, count: 1 }]);
  await clock.advance(50);
  t.match(published, [{ stream: 'alert', events: [{ event: { kind: 'call' } }] }]);
  for (let n = 0; n < 20; n++) {
    calls(callRecord({ head: { bootNs: 4_500_000_000n } }));
    await clock.advance(100);
  }
  t.equal(spooled(spool, 'alert').length, 1);
  await clock.advance(10_000);
  t.match(spooled(spool, 'alert'), [{ count: 1 }, { count: 20 }]);
  t.equal(readAll(spool, 'alert', 0)[1]?.mono, 4500, 'with the time of the last');
});

t.test('what is no event, or has no room, is a gap in its stream', async (t) => {
  const { calls, clock, packets, spool, stream } = openFlow(t);
  packets(new Uint8Array(88), packetRecord({ head: { kind: 9 } }), packetRecord());
  calls(callRecord({ call: 0 }));
  await clock.advance(1000);
  t.match(spooled(spool, 'packet'), [{ kind: 'packet' }, { kind: 'gap', lost: 2, where: 'agent' }]);
  await clock.advance(10_000);
  t.match(spooled(spool, 'alert'), [{ kind: 'gap', lost: 1, where: 'agent' }]);

  const many = packetAggregatesMax + 500;
  for (let n = 0; n < many; n++) packets(packetRecord({ saddr: mapped(10, 0, n >> 8, n & 255) }));
  await clock.advance(1000);
  const events = spooled(spool, 'packet').slice(2);
  t.equal(events.length, packetAggregatesMax + 1);
  t.strictSame(events.at(-1), { kind: 'gap', lost: 500, where: 'agent' });
  t.match(stream.counts(), { packets: many + 1, undecodable: 3, overflowed: 500 });
});

t.test('what the kernel and the ring thread lost is a gap in its stream, told once', async (t) => {
  const { clock, dropped, spool, totals } = openFlow(t);
  totals.PACKET_EVENTS_LOST = 100n;
  totals.PACKET_EVENTS_SUPPRESSED = 30n;
  totals.CALL_EVENTS_LOST = 2n;
  dropped.packet = 11n;
  dropped.call = 3n;
  await clock.advance(10_000);
  await clock.advance(60_000);
  t.strictSame(spooled(spool, 'packet'), [
    { kind: 'gap', lost: 100, where: 'ring' },
    { kind: 'gap', lost: 30, where: 'suppressed' },
    { kind: 'gap', lost: 11, where: 'agent' },
  ]);
  t.strictSame(spooled(spool, 'alert'), [
    { kind: 'gap', lost: 2, where: 'ring' },
    { kind: 'gap', lost: 3, where: 'agent' },
  ]);
});

t.test('what was lost while no agent read the ring is told by the next one', async (t) => {
  const folder = spoolFolder(t);
  const first = openFlow(t, folder);
  first.totals.CALL_EVENTS_LOST = 2n;
  await first.clock.advance(10_000);
  await first.stream.close();
  await first.spool.close();
  const second = openFlow(t, folder);
  second.totals.CALL_EVENTS_LOST = 7n;
  await second.clock.advance(10_000);
  t.strictSame(spooled(second.spool, 'alert'), [
    { kind: 'gap', lost: 2, where: 'ring' },
    { kind: 'gap', lost: 5, where: 'ring' },
  ]);
});

t.test('audit events are spooled in the same turn, and acknowledged like all', async (t) => {
  const { clock, published, spool, stream } = openFlow(t);
  stream.audit('bundle.confirmed', { serial: 4 });
  t.match(spooled(spool, 'audit'), [{ kind: 'audit', what: 'bundle.confirmed', detail: { serial: 4 } }]);
  await clock.advance(50);
  t.equal(published.length, 1);
  t.ok(stream.acknowledge({ stream: 'audit', upTo: 1 }));
  t.equal(spool.acknowledged('audit'), 1);
  t.notOk(stream.acknowledge('nonsense'));
});

t.test('a spool that was damaged is said in the audit', async (t) => {
  const folder = spoolFolder(t);
  const first = openFlow(t, folder);
  first.stream.audit('x', {});
  await first.stream.close();
  await first.spool.close();
  const { readdirSync, truncateSync } = await import('node:fs');
  const [file = ''] = readdirSync(folder).filter((name) => name.startsWith('audit-'));
  truncateSync(`${folder}/${file}`, 100);
  const second = openFlow(t, folder);
  const events = spooled(second.spool, 'audit');
  t.match(events.at(-1), { what: 'spool.damaged', detail: { tornBytes: 32 } });
});

t.test('closing tells all that the windows and the ring threads still hold', async (t) => {
  const { calls, packets, rest, spool, stream, totals } = openFlow(t);
  packets(packetRecord());
  calls(callRecord(), callRecord());
  rest.packet.push(packetRecord());
  rest.call.push(callRecord({ port: 1 }));
  totals.PACKET_EVENTS_LOST = 4n;
  await stream.close();
  t.match(spooled(spool, 'packet'), [{ count: 2 }, { kind: 'gap', lost: 4 }]);
  t.match(spooled(spool, 'alert'), [
    { port: 4444, count: 1 },
    { port: 1, count: 1 },
    { port: 4444, count: 1 },
  ]);
  await stream.close();
});

t.test('aborting the signal closes', async (t) => {
  const { spool, clock } = openSpool(spoolFolder(t));
  const stopping = new AbortController();
  const stream = streamEvents({
    rings: null,
    addon: { openRing: () => t.fail('no ring to open') as never },
    kernelNames: { ruleName: () => null, interfaces: () => [] },
    totals: () => t.fail('nobody counts') as never,
    spool,
    publish: async () => {},
    clock,
    random: { bytes: (count) => new Uint8Array(count), fraction: () => 0 },
    log: silentLog,
    signal: stopping.signal,
  });
  stream.audit('agent.started', {});
  stopping.abort();
  await stream.close();
  t.equal(spooled(spool, 'audit').length, 1, 'a device without a kernel side has an audit, too');
  await spool.close();
});
