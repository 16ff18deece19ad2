// Goal: user space sees the connections that the programs follow, no more, and can forget what is void.
// Method: the real table, filled by the test programs; and rows that no program writes, put there by hand.

import t from 'tap';
import {
  connectionRowsMax,
  forgetOpenedAfter,
  listConnections,
  setUpConnections,
} from '../../../agent/kernel/connections.ts';
import {
  HUSK_CONNECTION_DEVICE,
  HUSK_CONNECTION_EGRESS,
  HUSK_CONNECTION_FORWARDED,
  HUSK_CONNECTION_TO_DEVICE,
  HuskConnection,
  HuskConnectionBucket,
} from '../../../bpf/abi/layout.gen.ts';
import {
  ConnectionLab,
  connectionLabMissing,
  flag,
  loose,
  timeouts,
  turned,
} from '../../bpf/connection-lab.ts';

const skip = connectionLabMissing();
const { syn, ack, rst } = flag;
const clock = { nowSeconds: 1010, generation: 3, timeouts };
const ssh = { from: '198.51.100.9', to: '192.0.2.1', proto: 6, sport: 50000, dport: 22, flags: syn };
const dns = { from: '2001:db8::2', to: '2001:db8::1', proto: 17, sport: 4000, dport: 53 };
const ping = { from: '192.0.2.9', to: '192.0.2.1', proto: 1, icmpType: 8, icmpId: 99 };

async function filled(t: { teardown(close: () => void): void }): Promise<ConnectionLab> {
  const lab = await ConnectionLab.open();
  t.teardown(() => lab.close());
  lab.usual = { now: 1000, generation: 2 };
  lab.allow(ssh, { ifindex: 4, flags: HUSK_CONNECTION_TO_DEVICE });
  lab.allow(turned({ ...ssh, flags: syn | ack }));
  lab.allow(dns, { ifindex: 5, flags: HUSK_CONNECTION_EGRESS | HUSK_CONNECTION_DEVICE });
  lab.allow(ping, { ifindex: 6, now: 1005, flags: HUSK_CONNECTION_FORWARDED });
  return lab;
}

t.test('rows tell who opened what, where, and how long it has', { skip }, async (t) => {
  const lab = await filled(t);
  const map = lab.map('connections');
  const { connections, left, torn } = await listConnections(lab.addon, map, clock);
  t.strictSame([left, torn], [0, 0]);
  const of = (ipProto: number) => connections.filter((one) => one.ipProto === ipProto);
  t.match(of(6), [
    {
      from: { address: ssh.from, port: 50000 },
      to: { address: ssh.to, port: 22 },
      family: 4,
      ifindex: 4,
      hook: 'ingress',
      replied: true,
      toDevice: true,
      ownDevice: false,
      forwarded: false,
      closed: false,
      midstream: false,
      idleSeconds: 10,
      leftSeconds: 50,
      made: 2,
      judged: 2,
    },
  ]);
  t.match(of(17), [
    {
      from: { address: dns.from, port: 4000 },
      to: { address: dns.to, port: 53 },
      family: 6,
      hook: 'egress',
      ownDevice: true,
      replied: false,
      leftSeconds: 20,
    },
  ]);
  t.match(of(1), [
    { from: { address: ping.from, port: 99 }, to: { port: 99 }, forwarded: true, idleSeconds: 5 },
  ]);

  lab.allow({ ...ssh, flags: rst | ack });
  lab.allow({ ...ssh, sport: 50001, flags: ack }, { settings: loose });
  const again = await listConnections(lab.addon, map, clock, { ipProto: 6 });
  const bySport = (sport: number) => again.connections.find(({ from }) => from.port === sport);
  t.match(bySport(50000), { closed: true, midstream: false });
  t.match(bySport(50001), { closed: false, midstream: true, leftSeconds: 7430 });
});

t.test('rows are filtered, bounded, and those over or void are left out', { skip }, async (t) => {
  const lab = await filled(t);
  const map = lab.map('connections');
  const count = async (filter: Parameters<typeof listConnections>[3], at = clock) =>
    (await listConnections(lab.addon, map, at, filter)).connections.length;
  t.equal(await count({}), 3);
  t.equal(await count({ family: 6 }), 1);
  t.equal(await count({ ipProto: 6 }), 1);
  t.equal(await count({ address: '192.0.2.1' }), 2);
  t.equal(await count({ address: '192.0.2.1', port: 22 }), 1);
  t.equal(await count({ port: 23 }), 0);
  t.equal(await count({}, { ...clock, nowSeconds: 1031 }), 2, 'dns is over');
  t.equal(await count({}, { ...clock, nowSeconds: 1061 }), 0);
  t.equal(await count({}, { ...clock, generation: 1 }), 0, 'made in a trial that was returned');
  const bounded = await listConnections(lab.addon, map, clock, {}, 2);
  t.strictSame([bounded.connections.length, bounded.left], [2, 1]);
  t.ok(connectionRowsMax <= 10_000);
});

t.test('connections that later generations opened are forgotten, and no others', { skip }, async (t) => {
  const lab = await filled(t);
  const map = lab.map('connections');
  const later = { ...dns, sport: 4001 };
  lab.allow(later, { generation: 3 });
  const living = async () => (await listConnections(lab.addon, map, clock)).connections.length;
  t.equal(await forgetOpenedAfter(lab.addon, map, 3), 0);
  t.equal(await living(), 4);
  t.equal(await forgetOpenedAfter(lab.addon, map, 2), 1);
  t.equal(lab.find(turned(later), { generation: 3 }).state, 'new');
  t.equal(lab.find(turned(dns)).state, 'established', 'the others stay');
  t.equal(await living(), 3);
  t.equal(await forgetOpenedAfter(lab.addon, map, 1), 3);
  t.equal(await living(), 0);
});

t.test('a row that no program writes is no connection', { skip }, async (t) => {
  const lab = await filled(t);
  const map = lab.map('connections');
  const key = new Uint8Array(4);
  const { bucket } = lab.find(ssh);
  new DataView(key.buffer).setUint32(0, bucket, true);
  const value = lab.addon.lookup(map, key) ?? new Uint8Array();
  const view = new DataView(value.buffer);
  const place = [...Array(8).keys()].find(
    (index) =>
      view.getUint32(HuskConnectionBucket.offset.tags + index * 4, true) !== 0 &&
      view.getUint8(at(index) + HuskConnection.offset.key + 36) === 6,
  );
  function at(index: number): number {
    return HuskConnectionBucket.offset.entries + index * HuskConnection.size;
  }
  const spoil = (offset: number) => {
    const spoiled = value.slice();
    const where = at(place ?? 0) + offset;
    spoiled[where] = (spoiled[where] ?? 0) ^ 0x40;
    lab.addon.update(map, key, spoiled);
  };
  for (const word of ['state', 'seen', 'judged'] as const) {
    spoil(HuskConnection.offset[word] + 4);
    const { connections, torn } = await listConnections(lab.addon, map, clock);
    t.strictSame([connections.length, torn], [2, 1], `${word} of another tenant`);
    t.equal(lab.find({ ...ssh, flags: ack }).isKnown, false, 'to programs neither');
  }
  spoil(HuskConnection.offset.key);
  t.equal(lab.find({ ...ssh, flags: ack }).isKnown, false, 'another key');
  spoil(HuskConnection.offset.key + 37);
  t.equal((await listConnections(lab.addon, map, clock)).connections.length, 2, 'of no family');
  lab.addon.update(map, key, value);
  t.equal(lab.find({ ...ssh, flags: ack }).isKnown, true);
});

t.test('tables have a power of two of buckets', { skip }, async (t) => {
  const lab = await ConnectionLab.open();
  t.teardown(() => lab.close());
  const setUp = (connectionBuckets: number) =>
    setUpConnections(
      lab.addon,
      lab.map('connection_setup'),
      { connectionBuckets, rateBuckets: 1 },
      new Uint8Array(56),
    );
  for (const buckets of [0, 3, 100, -1]) t.throws(() => setUp(buckets), RangeError);
  t.doesNotThrow(() => setUp(1));
});
