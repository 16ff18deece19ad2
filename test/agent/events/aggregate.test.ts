// Goal: what is alike becomes one event with an exact count, what differs stays apart, and what has no room
// is refused and left to the caller to count.
// Method: packets against a plain map keyed by text, for generated traffic; each field of the key varied by
// itself; tables filled beyond their size; calls with a describer that tells how often it was asked.

import fc from 'fast-check';
import t from 'tap';
import type { CallEvent } from '../../../agent/contract/event.ts';
import { CallAggregator } from '../../../agent/events/aggregate-calls.ts';
import { type PacketAggregate, PacketAggregator } from '../../../agent/events/aggregate-packets.ts';
import { decodeHuskCallEvent } from '../../../bpf/abi/layout.gen.ts';
import { type CallFields, callRecord, mapped, type PacketFields, packetRecord } from './lab.ts';

function add(packets: PacketAggregator, fields: PacketFields = {}): boolean {
  const record = packetRecord(fields);
  return packets.add(new DataView(record.buffer), 0);
}

function drained(packets: PacketAggregator): PacketAggregate[] {
  const all: PacketAggregate[] = [];
  packets.drain((aggregate) => all.push(aggregate));
  return all;
}

t.test('packets', async (t) => {
  t.test('alike: one event with the first’s time and source port, and the sums', async (t) => {
    const packets = new PacketAggregator({ seed: 1 });
    add(packets, { sport: 1000, length: 60, tcpFlags: 2, head: { bootNs: 1n } });
    add(packets, { sport: 2000, length: 1500, tcpFlags: 16, head: { bootNs: 2n } });
    add(packets, { sport: 3000, length: 40, fragment: 1, head: { bootNs: 3n } });
    const [one, ...others] = drained(packets);
    t.equal(others.length, 0);
    t.match(one, {
      count: 3,
      bytes: 1600,
      first: { sport: 1000, tcpFlags: 2, length: 60, head: { bootNs: 1n } },
    });
    t.strictSame(drained(packets), [], 'a window starts empty');
  });

  t.test('a difference in any of these keeps them apart', async (t) => {
    const different: readonly PacketFields[] = [
      { saddr: mapped(192, 0, 2, 2) },
      { daddr: mapped(198, 51, 100, 2) },
      { dport: 24 },
      { ipProto: 17 },
      { ifindex: 4 },
      { etherType: 0x86dd },
      { family: 2 },
      { head: { rule: 6 } },
      { head: { serial: 8n } },
      { head: { serial: 7n + 2n ** 32n } },
      { head: { verdict: 1 } },
      { head: { mode: 1 } },
      { head: { reason: 2 } },
      { head: { hook: 2 } },
    ];
    const packets = new PacketAggregator({ seed: 1 });
    add(packets);
    for (const fields of different) add(packets, fields);
    for (const fields of different) add(packets, fields);
    t.strictSame(
      drained(packets).map((one) => one.count),
      [1, ...different.map(() => 2)],
    );
  });

  t.test('a full table refuses what is new and goes on counting what it knows', async (t) => {
    const packets = new PacketAggregator({ seed: 1, entriesMax: 100 });
    let refused = 0;
    for (let n = 0; n < 250; n++) if (!add(packets, { dport: n })) refused += 1;
    t.equal(refused, 150);
    t.ok(add(packets, { dport: 5 }));
    t.notOk(add(packets, { dport: 240 }));
    const all = drained(packets);
    t.equal(all.length, 100);
    t.equal(all[5]?.count, 2);
    t.ok(add(packets, { dport: 240 }), 'and starts again with the next window');
  });

  t.test('counts as a plain map does, for any traffic and any seed', async () => {
    const packet = fc.record({ host: fc.nat(6), dport: fc.nat(5), length: fc.nat(1500), rule: fc.nat(3) });
    fc.assert(
      fc.property(fc.array(packet, { maxLength: 300 }), fc.nat(), (traffic, seed) => {
        const packets = new PacketAggregator({ seed, entriesMax: 64 });
        const plain = new Map<string, { count: number; bytes: number }>();
        let refused = 0;
        for (const { host, dport, length, rule } of traffic) {
          if (!add(packets, { saddr: mapped(10, 0, 0, host), dport, length, head: { rule } })) {
            refused += 1;
            continue;
          }
          const key = `${host} ${dport} ${rule}`;
          const sum = plain.get(key) ?? { count: 0, bytes: 0 };
          plain.set(key, { count: sum.count + 1, bytes: sum.bytes + length });
        }
        const all = drained(packets);
        for (const { first, count, bytes } of all) {
          const sum = plain.get(`${first.saddr[15]} ${first.dport} ${first.head.rule}`);
          if (sum?.count !== count || sum.bytes !== bytes) throw new Error(`${count} is not ${sum?.count}`);
        }
        if (all.length !== plain.size || (refused > 0 && all.length < 64))
          throw new Error(`${all.length} events`);
      }),
    );
  });
});

function call(fields: CallFields = {}) {
  const record = callRecord(fields);
  return decodeHuskCallEvent(new DataView(record.buffer), 0);
}

t.test('calls', async (t) => {
  let described = 0;
  const describe = (raw: ReturnType<typeof call>): CallEvent => {
    described += 1;
    return { port: raw.port, count: 1 } as CallEvent;
  };

  t.test('the first is told at once, repeats with the window, with their number', async (t) => {
    const calls = new CallAggregator();
    t.match(calls.add(call(), describe), { port: 4444, count: 1 });
    t.equal(calls.add(call({ tid: 12, head: { bootNs: 4_011_000_000n } }), describe), 'repeat');
    t.equal(calls.add(call({ tid: 13, head: { bootNs: 4_022_000_000n } }), describe), 'repeat');
    t.equal(described, 1, 'the process is looked up once');
    const repeated: unknown[] = [];
    calls.drain((one) => repeated.push(one));
    t.strictSame(repeated, [{ event: { port: 4444, count: 2, duration: 22 }, lastBootNs: 4_022_000_000n }]);
    t.not(calls.add(call(), describe), 'repeat', 'the next window tells it at once again');
  });

  t.test('a call that was not repeated is told once only', async (t) => {
    const calls = new CallAggregator();
    calls.add(call(), describe);
    calls.drain(() => t.fail('told again'));
  });

  t.test('a difference in any of these keeps them apart', async (t) => {
    const different: readonly CallFields[] = [
      { addr: mapped(203, 0, 113, 10) },
      { port: 80 },
      { tgid: 5 },
      { uid: 0 },
      { gid: 0 },
      { cgroup: 5n },
      { call: 2 },
      { socketFamily: 10 },
      { socketType: 2 },
      { ipProto: 17 },
      { comm: 'sh' },
      { head: { rule: 10 } },
      { head: { serial: 8n } },
      { head: { verdict: 1 } },
      { head: { mode: 1 } },
      { head: { reason: 2 } },
      { head: { hook: 4 } },
    ];
    const calls = new CallAggregator();
    calls.add(call(), describe);
    for (const fields of different) t.type(calls.add(call(fields), describe), 'object');
    for (const fields of different) t.equal(calls.add(call(fields), describe), 'repeat');
  });

  t.test('a full table refuses what is new and goes on counting what it knows', async (t) => {
    const calls = new CallAggregator({ entriesMax: 10 });
    const answers = Array.from({ length: 15 }, (_, port) => calls.add(call({ port }), describe));
    t.strictSame(
      answers.map((answer) => (typeof answer === 'string' ? answer : 'told')),
      [...Array(10).fill('told'), ...Array(5).fill('overflow')],
    );
    t.equal(calls.add(call({ port: 3 }), describe), 'repeat');
  });
});
