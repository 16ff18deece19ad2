// Goal: token buckets follow PACKETS.md §7 to the packet, whoever asks at the same time, and each source, flow or
// rule draws from its own.
// Method: random limits and arrivals against the arithmetic of the page, written anew here; two threads at once.

import t from 'tap';
import { HuskConnectionCount, type HuskLimit, HuskLimitPer } from '../../bpf/abi/layout.gen.ts';
import { hammer } from './connection-hammer.ts';
import { ConnectionLab, connectionLabMissing, type PlainPacket } from './connection-lab.ts';

const skip = connectionLabMissing();
const second = 1_000_000_000n;
const seed = Number(process.env.HUSK_SEED ?? Date.now() % 1_000_000);
let state = seed;
function random(below: number): number {
  state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
  return Math.floor((state / 2 ** 32) * below);
}

const limitOf = (rate: bigint, burst: bigint, rest: Partial<HuskLimit> = {}): HuskLimit => {
  const costNs = second / rate || 1n;
  return {
    costNs,
    depthNs: costNs * burst,
    digest: 1n,
    per: HuskLimitPer.RULE,
    over: 1,
    prefix4: 32,
    prefix6: 64,
    ...rest,
  };
};
const packet: PlainPacket = { from: '192.0.2.1', to: '198.51.100.1', proto: 17, sport: 1, dport: 2 };

async function labOf(t: { teardown(close: () => void): void }, rateBuckets = 64): Promise<ConnectionLab> {
  const lab = await ConnectionLab.open({ rateBuckets });
  t.teardown(() => lab.close());
  return lab;
}

t.test('random limits and arrivals: each packet as the page says', { skip }, async (t) => {
  t.comment(`HUSK_SEED=${seed}`);
  const lab = await labOf(t);
  let [within, over] = [0, 0];
  for (let round = 0; round < 60; round++) {
    const rate = BigInt([1, 3, 7, 100, 999, 1_000_000, 3_000_000_000][random(7)] ?? 1);
    const limit = limitOf(rate, BigInt(1 + random(20)), { digest: BigInt(round + 1) });
    let now = second * BigInt(1 + random(1_000_000));
    let full = 0n;
    for (let i = 0; i < 100; i++) {
      now += (limit.costNs * BigInt(random(150))) / 100n;
      // Another CPU's clock may be a little behind.
      const at = random(10) === 0 ? now - limit.costNs / 3n : now;
      const start = full > at ? full : at;
      const isOver = start + limit.costNs - at > limit.depthNs;
      if (!isOver) full = start + limit.costNs;
      if (isOver) over++;
      else within++;
      if (random(5) === 0 && lab.isOver(packet, { limit, nowNs: at }, true) !== isOver) {
        t.fail(`asked only, round ${round}, packet ${i}`);
      }
      if (lab.isOver(packet, { limit, nowNs: at }) !== isOver) t.fail(`round ${round}, packet ${i}`);
    }
  }
  t.ok(within > 500 && over > 500, `${within} within, ${over} over`);
});

t.test('it starts full, refills at its rate, and never holds more than its burst', { skip }, async (t) => {
  const lab = await labOf(t);
  const limit = limitOf(10n, 3n);
  const passes = (nowNs: bigint) => !lab.isOver(packet, { limit, nowNs });
  const start = 100n * second;
  t.strictSame(
    [1, 2, 3, 4].map(() => passes(start)),
    [true, true, true, false],
  );
  t.equal(passes(start + second / 10n - 1n), false);
  t.equal(passes(start + second / 10n), true);
  t.equal(passes(start + second / 10n), false);
  t.strictSame(
    [1, 2, 3, 4].map(() => passes(start + 60n * second)),
    [true, true, true, false],
  );
  t.equal(
    lab.isOver(packet, { limit: { ...limit, digest: 2n }, nowNs: start }),
    false,
    'another rule, another bucket',
  );
});

t.test('by rule, by source and by flow', { skip }, async (t) => {
  const lab = await labOf(t);
  let digest = 100n;
  /** Whether the second packet finds the first one's token gone. */
  const shares = (per: number, one: PlainPacket, other: PlainPacket, rest: Partial<HuskLimit> = {}) => {
    const limit = limitOf(1n, 1n, { per, digest: digest++ << 8n, ...rest });
    lab.isOver(one, { limit, nowNs: second });
    return lab.isOver(other, { limit, nowNs: second });
  };
  const { RULE, PER_SOURCE, PER_FLOW } = {
    RULE: HuskLimitPer.RULE,
    PER_SOURCE: HuskLimitPer.SOURCE,
    PER_FLOW: HuskLimitPer.FLOW,
  };
  const six = { ...packet, from: '2001:db8::1', to: '2001:db8::2' };
  t.equal(shares(RULE, packet, six), true);
  t.equal(shares(PER_SOURCE, packet, { ...packet, to: '203.0.113.1', sport: 9 }), true);
  t.equal(shares(PER_SOURCE, packet, { ...packet, from: '192.0.2.2' }), false);
  t.equal(shares(PER_SOURCE, packet, { ...packet, from: '192.0.2.2' }, { prefix4: 24 }), true);
  t.equal(shares(PER_SOURCE, packet, { ...packet, from: '192.0.3.1' }, { prefix4: 24 }), false);
  t.equal(shares(PER_SOURCE, packet, { ...packet, from: '1.2.3.4' }, { prefix4: 0 }), true);
  t.equal(shares(PER_SOURCE, packet, { ...packet, from: '192.0.2.0' }, { prefix4: 31 }), true);
  t.equal(shares(PER_SOURCE, six, { ...six, from: '2001:db8::ffff' }), true, '/64');
  t.equal(shares(PER_SOURCE, six, { ...six, from: '2001:db8:0:1::1' }), false);
  t.equal(shares(PER_SOURCE, six, { ...six, from: '2001:db8::2' }, { prefix6: 128 }), false);
  t.equal(shares(PER_SOURCE, six, { ...six, from: '2001:db8::2' }, { prefix6: 126 }), true);
  t.equal(shares(PER_SOURCE, six, { ...six, from: '2001:db9::2' }, { prefix6: 32 }), false);
  t.equal(shares(PER_SOURCE, six, { ...six, from: 'ff02::1' }, { prefix6: 0 }), true);
  t.equal(shares(PER_SOURCE, packet, six, { prefix4: 0, prefix6: 0 }), false, 'families are apart');
  t.equal(shares(PER_FLOW, packet, packet), true);
  for (const change of [
    { sport: 3 },
    { dport: 3 },
    { proto: 6 },
    { from: '192.0.2.2' },
    { to: '198.51.100.2' },
  ]) {
    t.equal(shares(PER_FLOW, packet, { ...packet, ...change }), false, JSON.stringify(change));
  }
  t.equal(
    shares(PER_FLOW, packet, { ...packet, from: packet.to, to: packet.from, sport: 2, dport: 1 }),
    false,
    'direction counts',
  );
  const other = { ...packet, isOther: true };
  t.equal(shares(PER_SOURCE, other, { ...other, from: '192.0.2.2' }), true, 'what is not IP shares one');
  t.equal(shares(PER_FLOW, other, { ...other, sport: 7 }), true);
});

t.test('a full bucket loses the one that waited longest', { skip }, async (t) => {
  const lab = await labOf(t, 1);
  const limit = (source: number) => limitOf(1n, 1n, { digest: BigInt(source) });
  const ask = (source: number, at: number) =>
    lab.isOver(packet, { limit: limit(source), nowNs: second * 1000n + BigInt(at) });
  for (let source = 1; source <= 8; source++) t.equal(ask(source, source), false);
  t.equal(ask(1, 20), true, 'asked again: it waits no longer');
  t.equal(ask(9, 30), false);
  t.equal(lab.count(HuskConnectionCount.RATES_EVICTED), 1);
  t.equal(ask(1, 40), true);
  t.equal(ask(2, 50), false, 'forgotten: full again');
  for (const source of [4, 5, 6, 7, 8, 9, 1]) t.equal(ask(source, 60 + source), true, `${source}`);
});

t.test('two threads take no token twice', { skip }, async (t) => {
  const lab = await labOf(t);
  const results = await hammer(lab, 'hammer_limit', { threads: 2, repeat: 500_000 });
  for (const { runs } of results) t.equal(runs, 500_000);
  t.equal(
    results.reduce((sum, { within }) => sum + within, 0),
    100_000,
  );
});
