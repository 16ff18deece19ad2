// Goal: the table of connections is bounded and gives way in the order of PACKETS.md §5; entries are judged again
// after a swap, void after a return, and never taken for another's, whoever writes at the same time.
// Method: one bucket of eight places where pressure is wanted; two threads on two CPUs.

import t from 'tap';
import {
  HUSK_CONNECTION_DEVICE,
  HUSK_CONNECTION_EGRESS,
  HUSK_CONNECTION_FORWARDED,
  HUSK_CONNECTION_TO_DEVICE,
} from '../../bpf/abi/layout.gen.ts';
import { hammer } from './connection-hammer.ts';
import {
  ConnectionLab,
  connectionLabMissing,
  flag,
  loose,
  type PlainPacket,
  turned,
} from './connection-lab.ts';

const skip = connectionLabMissing();
const { syn, ack, rst } = flag;
const udpOf = (sport: number): PlainPacket => ({
  from: '10.0.0.1',
  to: '10.0.0.2',
  proto: 17,
  sport,
  dport: 53,
});

async function labOf(
  t: { teardown(close: () => void): void },
  connectionBuckets = 64,
): Promise<ConnectionLab> {
  const lab = await ConnectionLab.open({ connectionBuckets });
  t.teardown(() => lab.close());
  return lab;
}

t.test(
  'a full bucket gives way: what is over, then what is one-way, then what waited longest',
  { skip },
  async (t) => {
    const lab = await labOf(t, 1);
    const replied = [1, 2, 3];
    // One that is over, three that something came back on, four that nothing did; the lower, the older.
    lab.allow(udpOf(9), { now: 900 });
    for (const sport of replied) {
      lab.allow(udpOf(sport), { now: 970 + sport });
      lab.allow(turned(udpOf(sport)), { now: 970 + sport });
    }
    for (const sport of [4, 5, 6, 7]) lab.allow(udpOf(sport), { now: 980 + sport });
    const now = 1000;
    const there = () =>
      [1, 2, 3, 4, 5, 6, 7, 9, 20, 21, 22, 23, 24, 25, 26, 27].filter(
        (sport) => lab.find(udpOf(sport), { now }).isKnown,
      );
    t.strictSame(there(), [1, 2, 3, 4, 5, 6, 7]);
    t.match(lab.counts(), { opened: 8, oneWay: 0, replied: 0 });

    const open = (sport: number) => {
      lab.allow(udpOf(sport), { now });
      lab.allow(turned(udpOf(sport)), { now });
    };
    open(20);
    t.strictSame(there(), [1, 2, 3, 4, 5, 6, 7, 20], 'what was over went, and is no loss');
    t.match(lab.counts(), { opened: 9, oneWay: 0, replied: 0 });
    for (const [sport, gone] of [
      [21, 4],
      [22, 5],
      [23, 6],
      [24, 7],
    ] as const) {
      open(sport);
      t.notOk(there().includes(gone), `${sport} took the place of ${gone}`);
      t.equal(there().length, 8);
    }
    t.match(lab.counts(), { opened: 13, oneWay: 4, replied: 0 });
    open(25);
    t.strictSame(there(), [2, 3, 20, 21, 22, 23, 24, 25], 'then the one that waited longest');
    lab.allow(udpOf(2), { now });
    open(26);
    t.strictSame(there(), [2, 20, 21, 22, 23, 24, 25, 26], 'waited, not lived');
    t.match(lab.counts(), { opened: 15, oneWay: 4, replied: 2 });
    t.match(lab.find(udpOf(2), { now }), { state: 'established' });
    lab.allow(udpOf(27), { now });
    lab.allow(udpOf(28), { now });
    t.notOk(there().includes(27), 'a flood of one-way ones pushes itself out');
  },
);

t.test('keys that follow one another are spread over the buckets', { skip }, async (t) => {
  const lab = await labOf(t, 64);
  const counts = new Map<number, number>();
  const add = (packet: PlainPacket) => {
    const { bucket } = lab.find(packet);
    counts.set(bucket, (counts.get(bucket) ?? 0) + 1);
  };
  for (let i = 0; i < 3200; i++) {
    add(udpOf(1024 + i));
    add({ ...udpOf(40000), from: `10.1.${i >> 8}.${i & 255}` });
  }
  t.equal(counts.size, 64);
  // 100 each; the standard deviation of a fair spread is 10.
  t.ok(Math.max(...counts.values()) < 150, `${Math.max(...counts.values())} at the most`);
  t.ok(Math.min(...counts.values()) > 50, `${Math.min(...counts.values())} at the least`);
  t.equal(lab.find(udpOf(1)).bucket, lab.find(turned(udpOf(1))).bucket, 'both ways are one');
});

t.test(
  'a connection is judged again once by another generation, by the packet that opened it',
  { skip },
  async (t) => {
    const lab = await labOf(t);
    const opening: PlainPacket = {
      from: '192.0.2.9',
      to: '198.51.100.1',
      proto: 6,
      sport: 4000,
      dport: 22,
      flags: syn,
      smac: 0x0200_0000_0001n,
      dmac: 0xfeff_ffff_fffen,
      outerVlan: 0x1005,
      innerVlan: 7,
      length: 60,
      dscp: 46,
    };
    const flags = HUSK_CONNECTION_EGRESS | HUSK_CONNECTION_DEVICE | HUSK_CONNECTION_TO_DEVICE;
    lab.allow(opening, { generation: 5, ifindex: 12, flags });
    lab.allow(turned({ ...opening, flags: syn | ack }), { generation: 5 });
    t.match(lab.find(opening, { generation: 5 }), { isStale: false });
    const answer = turned({ ...opening, flags: ack, smac: 1n, outerVlan: 0, length: 1500, dscp: 0 });
    const found = lab.first(answer, { generation: 6 });
    t.match(found, { isStale: true, answer: 1, ifindex: 12, state: 'established' });
    t.equal(found.openedFlags & flags, flags);
    t.match(found.packet, { ...opening, hasPorts: true, etherType: 0x800, fragment: 0 });
    t.equal(lab.find(answer, { generation: 6 }).isStale, true, 'asking changes nothing');
    lab.stand(answer, { generation: 6 });
    t.match(lab.find(answer, { generation: 6 }), { isStale: false, state: 'established' });
    t.equal(lab.find(answer, { generation: 5 }).isStale, true, 'going back, once more');

    t.match(lab.void(answer, { generation: 7 }), { state: 'invalid', isKnown: false });
    t.match(lab.find(opening, { generation: 7 }), { state: 'new', isKnown: false });
    t.equal(lab.counts().voided, 1);
    t.match(lab.void(udpOf(1)), { isKnown: false }, 'voiding what is not there');

    lab.allow({ ...opening, sport: 4001 }, { generation: 8 });
    const late = { ...opening, sport: 4001, flags: ack };
    t.match(
      lab.find(late, { generation: 7 }),
      { state: 'invalid', isKnown: false },
      'made in a trial that was returned',
    );
    t.match(lab.find(late, { generation: 7, settings: loose }), { state: 'new' });
    lab.allow({ ...opening, sport: 4001 }, { generation: 7 });
    t.match(lab.find(late, { generation: 8 }), { isKnown: true, isStale: true }, 'opened anew in its place');

    for (const packet of [
      { from: '2001:db8::2', to: '2001:db8::1', proto: 58, icmpType: 128, icmpId: 77 },
      { from: '192.0.2.2', to: '192.0.2.1', proto: 1, icmpType: 13 },
      { from: '192.0.2.2', to: '192.0.2.1', proto: 47 },
      { from: '192.0.2.2', to: '192.0.2.1', proto: 17, sport: 53, dport: 53, fragment: 1 as const },
    ]) {
      lab.allow(packet);
      const back = lab.first(packet, { generation: 2 });
      t.match(
        { ...back.packet, from: '', to: '' },
        { ...packet, hasPorts: packet.proto === 17, from: '', to: '' },
        `protocol ${packet.proto}`,
      );
    }
  },
);

t.test('verdicts are remembered by direction, hook and generation', { skip }, async (t) => {
  const lab = await labOf(t);
  const packet = udpOf(5);
  lab.allow(packet);
  const said = { verdict: 1, rule: 4095, zone: 15 };
  t.equal(lab.find(packet).decided, null);
  lab.remember(packet, said);
  t.strictSame(lab.find(packet).decided, said);
  t.equal(lab.find(turned(packet)).decided, null, 'the other direction');
  t.equal(lab.find(packet, { isEgress: true }).decided, null, 'the other hook');
  lab.remember(turned(packet), { verdict: 2, rule: 0xffff_ffff, zone: 0 });
  t.strictSame(lab.find(turned(packet)).decided, { verdict: 2, rule: 0xffff, zone: 0 }, 'no rule');
  t.strictSame(lab.find(packet).decided, said);
  lab.remember(packet, { ...said, rule: 0xffff });
  lab.remember(packet, { ...said, zone: 16 });
  t.strictSame(lab.find(packet).decided, said, 'what has no room is left as it was');
  t.equal(lab.find(packet, { generation: 2 }).decided, null, 'another generation');
  lab.remember(packet, { ...said, generation: 2 });
  t.strictSame(lab.find(packet).decided, said, 'a stale connection remembers nothing new');
  lab.stand(packet, { generation: 257 });
  t.equal(lab.find(packet, { generation: 257 }).decided, null, 'whose low byte is the same');
  lab.remember(packet, { ...said, generation: 257 });
  lab.forward(packet, { generation: 257 });
  const found = lab.find(packet, { generation: 257 });
  t.equal(found.flags & HUSK_CONNECTION_FORWARDED, HUSK_CONNECTION_FORWARDED);
  t.equal(found.decided, null, 'forwarded is another answer to toDevice');
  const tcp = { ...packet, proto: 6, flags: syn };
  lab.allow(tcp);
  lab.remember(tcp, said);
  lab.allow(turned({ ...tcp, flags: rst }));
  lab.allow(tcp);
  t.equal(lab.find(tcp).decided, null, 'opened anew, nothing is remembered');
});

t.test('two threads on one bucket: nothing is lost, torn or there twice', { skip }, async (t) => {
  for (const buckets of [1, 4]) {
    const lab = await labOf(t, buckets);
    const results = await hammer(lab, 'hammer_connections', { threads: 2, repeat: 1_000_000 });
    for (const { runs, known, decided, wrong } of results) {
      t.equal(runs, 1_000_000);
      t.equal(wrong, 0, 'nothing is read of another connection');
      t.ok(known > runs / 10 && decided > runs / 10, `${known} known, ${decided} decided`);
    }
    const { connections, torn } = await lab.list(1000);
    t.equal(torn, 0);
    const keys = connections.map(({ from }) => from.address);
    t.equal(new Set(keys).size, keys.length, 'each connection is there once');
    t.ok(connections.length >= 8);
    for (const { from, ifindex } of connections) t.equal(from.port, ifindex);
    const { opened, oneWay } = lab.counts();
    t.equal((opened ?? 0) - (oneWay ?? 0), connections.length, 'what was opened is there or was evicted');
  }
});
