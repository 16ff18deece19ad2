// Goal: whatever bytes a batch holds, decoding hands on only records that are whole and make sense, each
// once, counts the rest and ends.
// Method: good records with one field spoiled at a time, frames that lie about their length, and random
// batches against a plain reading of the same rules.

import fc from 'fast-check';
import t from 'tap';
import { walkCalls, walkPackets } from '../../../agent/events/decode.ts';
import {
  decodeHuskPacketEvent,
  type HuskCallEvent,
  type HuskOperationEvent,
  HuskPacketEvent,
} from '../../../bpf/abi/layout.gen.ts';
import {
  batchOf,
  type CallFields,
  callRecord,
  type OperationFields,
  operationRecord,
  type PacketFields,
  packetRecord,
} from './lab.ts';

function packetsOf(batch: Uint8Array): { ports: number[]; undecodable: number } {
  const ports: number[] = [];
  const undecodable = walkPackets(batch, (view, at) => ports.push(decodeHuskPacketEvent(view, at).dport));
  return { ports, undecodable };
}

function callsOf(batch: Uint8Array): { calls: HuskCallEvent[]; undecodable: number } {
  const calls: HuskCallEvent[] = [];
  return { undecodable: walkCalls(batch, (call) => calls.push(call)), calls };
}

t.test('hands on every record of a batch, in order', async (t) => {
  const batch = batchOf(packetRecord({ dport: 1 }), packetRecord({ dport: 2 }), packetRecord({ dport: 3 }));
  t.strictSame(packetsOf(batch), { ports: [1, 2, 3], undecodable: 0 });
  t.match(callsOf(batchOf(callRecord({ port: 7, comm: 'busybox' }))), {
    calls: [{ port: 7, comm: 'busybox', uid: 33 }],
    undecodable: 0,
  });
  t.strictSame(packetsOf(new Uint8Array()), { ports: [], undecodable: 0 });
});

t.test('reads a batch that lies anywhere in its buffer', async (t) => {
  const batch = batchOf(packetRecord({ dport: 9 }));
  const moved = new Uint8Array(batch.length + 3);
  moved.set(batch, 3);
  t.strictSame(packetsOf(moved.subarray(3)), { ports: [9], undecodable: 0 });
});

t.test('a packet that makes no sense is counted, and its neighbours are read', async (t) => {
  const wrong: readonly (readonly [string, PacketFields])[] = [
    ['kind 0', { head: { kind: 0 } }],
    ['a call’s kind', { head: { kind: 2 } }],
    ['size of another', { head: { size: 96 } }],
    ['size 0', { head: { size: 0 } }],
    ['verdict 0', { head: { verdict: 0 } }],
    ['verdict deny', { head: { verdict: 3 } }],
    ['verdict 33, which is 1 modulo 32', { head: { verdict: 33 } }],
    ['mode 0', { head: { mode: 0 } }],
    ['mode 3', { head: { mode: 3 } }],
    ['reason 0', { head: { reason: 0 } }],
    ['reason 31', { head: { reason: 31 } }],
    ['hook connect', { head: { hook: 3 } }],
    ['family 3', { family: 3 }],
    ['state 5', { state: 5 }],
    ['link 2', { link: 2 }],
    ['more data than there is room for', { dataLength: 65 }],
    ['serial past 2^53', { head: { serial: 2n ** 53n } }],
  ];
  for (const [name, fields] of wrong) {
    const batch = batchOf(packetRecord({ dport: 1 }), packetRecord(fields), packetRecord({ dport: 2 }));
    t.strictSame(packetsOf(batch), { ports: [1, 2], undecodable: 1 }, name);
  }
  const largest = packetsOf(batchOf(packetRecord({ head: { serial: 2n ** 53n - 1n } })));
  t.equal(largest.undecodable, 0, 'the largest serial is one');
});

t.test('a call that makes no sense is counted', async (t) => {
  const wrong: readonly (readonly [string, CallFields])[] = [
    ['a packet’s kind', { head: { kind: 1 } }],
    ['verdict drop', { head: { verdict: 2 } }],
    ['hook of packets', { head: { hook: 1 } }],
    ['call 0', { call: 0 }],
    ['two calls at once', { call: 3 }],
  ];
  for (const [name, fields] of wrong) {
    const { calls, undecodable } = callsOf(batchOf(callRecord(fields), callRecord()));
    t.strictSame([calls.length, undecodable], [1, 1], name);
  }
});

function operationsOf(batch: Uint8Array): { operations: HuskOperationEvent[]; undecodable: number } {
  const operations: HuskOperationEvent[] = [];
  const undecodable = walkCalls(
    batch,
    () => {},
    (operation) => operations.push(operation),
  );
  return { operations, undecodable };
}

t.test('an operation that makes no sense is counted', async (t) => {
  const wrong: readonly (readonly [string, OperationFields])[] = [
    ['a call’s kind', { head: { kind: 2 } }],
    ['verdict drop', { head: { verdict: 2 } }],
    ['hook of packets', { head: { hook: 1 } }],
    ['hook 0', { head: { hook: 0 } }],
    ['operation 0', { alike: { operation: 0 } }],
    ['operation 56, which is 24 modulo 32', { alike: { operation: 56 } }],
    ['another verdict in its key', { alike: { verdict: 2 } }],
    ['mode 0 in its key', { alike: { mode: 0 } }],
    ['more programs than there is room for', { programs: 17 }],
    ['longer names than there is room for', { namesLength: 321 }],
  ];
  for (const [name, fields] of wrong) {
    const batch = batchOf(operationRecord(fields), operationRecord(), callRecord());
    const { operations, undecodable } = operationsOf(batch);
    t.strictSame([operations.length, undecodable], [1, 1], name);
  }
  t.match(operationsOf(batchOf(operationRecord({ tgid: 12 }))).operations, [
    { tgid: 12, comm: 'sh', parentComm: 'uhttpd', alike: { operation: 1 } },
  ]);
});

t.test('a record of another length than its kind has is counted', async (t) => {
  const long = new Uint8Array(HuskPacketEvent.size + 8);
  long.set(packetRecord());
  const batch = batchOf(packetRecord().subarray(0, 80), long, new Uint8Array(0), packetRecord({ dport: 5 }));
  t.strictSame(packetsOf(batch), { ports: [5], undecodable: 3 });
});

t.test('a frame that leads out of the batch ends it, and counts once', async (t) => {
  const frameBytes = 8 + HuskPacketEvent.size;
  const good = batchOf(packetRecord({ dport: 1 }), packetRecord({ dport: 2 }));
  for (let length = 0; length < good.length; length++) {
    const { ports, undecodable } = packetsOf(good.subarray(0, length));
    const whole = Math.floor(length / frameBytes);
    t.ok(ports.length === whole && undecodable === (length % frameBytes === 0 ? 0 : 1), `${length} bytes`);
  }
  const lying = good.slice();
  new DataView(lying.buffer).setUint32(4, 0xffffffff, true);
  t.strictSame(packetsOf(lying), { ports: [], undecodable: 1 });
});

t.test('any bytes', async (t) => {
  let handedOn = 0;
  const mostlyRecords = fc.array(
    fc.oneof(
      fc.uint8Array({ maxLength: 120 }).map((bytes) => batchOf(bytes)),
      fc
        .tuple(fc.nat(HuskPacketEvent.size - 1), fc.nat(255), fc.integer({ min: 1, max: 65535 }))
        .map(([at, value, dport]) => {
          const record = packetRecord({ dport });
          record[at] = value;
          return batchOf(record);
        }),
      fc.uint8Array({ maxLength: 200 }),
    ),
    { maxLength: 8 },
  );
  fc.assert(
    fc.property(mostlyRecords, (parts) => {
      const batch = new Uint8Array(Buffer.concat(parts));
      const { ports, undecodable } = packetsOf(batch);
      handedOn += ports.length;
      if (ports.length + undecodable > batch.length / 8 + 1) throw new Error('more records than room');
      if (batch.length > 0 && ports.length + undecodable === 0) throw new Error('bytes that nobody counted');
      callsOf(batch);
      operationsOf(batch);
    }),
    { numRuns: 3000 },
  );
  t.ok(handedOn > 1000, `${handedOn} records handed on`);
});
