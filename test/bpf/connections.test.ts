// Goal: a packet has the state that PACKETS.md §5 says, in both families and by both hooks; allowed packets open,
// renew and close connections, dropped ones change nothing, and time ends them.
// Method: packets as parsing leaves them, one by one, with the second in which they come, through XDP and tc.

import t, { type Test } from 'tap';
import { HUSK_CONNECTION_CLOSED, HUSK_CONNECTION_ENDED } from '../../bpf/abi/layout.gen.ts';
import {
  ConnectionLab,
  connectionLabMissing,
  flag,
  loose,
  type PlainPacket,
  strict,
  timeouts,
  turned,
} from './connection-lab.ts';
import { extension, fragmentHeader, icmp, ipv4, ipv6, tcp, udp } from './frames.ts';

const skip = connectionLabMissing();
const { fin, syn, rst, ack } = flag;
const families = {
  4: { from: '192.0.2.1', to: '198.51.100.1', icmp: 1, ping: 8, pong: 0, unreachable: 3 },
  6: { from: '2001:db8::1', to: '2001:db8:1::1', icmp: 58, ping: 128, pong: 129, unreachable: 1 },
} as const;
type Family = (typeof families)[4 | 6];

/** The same for each family and hook; a port or identifier of its own each time. */
function everywhere(name: string, run: (t: Test, lab: ConnectionLab, family: Family, id: number) => void) {
  t.test(name, { skip }, async (t) => {
    const lab = await ConnectionLab.open();
    t.teardown(() => lab.close());
    let id = 1000;
    for (const program of ['xdp', 'tc'] as const) {
      for (const family of [families[4], families[6]]) {
        lab.program = program;
        lab.usual = { isEgress: program === 'tc' };
        await t.test(`${program}, ${family.from}`, async (t) => run(t, lab, family, id++));
      }
    }
  });
}

const tcpOf = ({ from, to }: Family, sport: number, flags: number): PlainPacket => ({
  from,
  to,
  proto: 6,
  sport,
  dport: 443,
  flags,
});
const pingOf = ({ from, to, icmp, ping }: Family, icmpId: number): PlainPacket => ({
  from,
  to,
  proto: icmp,
  icmpType: ping,
  icmpId,
});

everywhere('tcp, strict: opened, answered, established, closed, opened anew', (t, lab, family, id) => {
  const out = (flags: number) => tcpOf(family, id, flags);
  const back = (flags: number) => turned(out(flags));
  t.match(lab.find(back(syn | ack)), { state: 'invalid', isKnown: false }, 'an answer to nothing');
  for (const flags of [ack, 0, fin | ack, syn | ack, rst, rst | ack, syn | rst, syn | fin]) {
    t.equal(lab.find(out(flags)).state, 'invalid', `flags ${flags} of no connection`);
    t.equal(lab.allow(out(flags)).isKnown, false, 'and opens none where it is allowed');
  }
  t.match(lab.find(out(syn)), { state: 'new', isKnown: false });
  t.equal(lab.find(out(syn)).isKnown, false, 'what was only looked up, or dropped, opens none');
  t.equal(lab.find(back(syn)).state, 'new');

  lab.allow(out(syn));
  t.match(lab.find(out(syn)), { state: 'new', isKnown: true, isReply: false }, 'once more');
  t.match(lab.find(out(ack)), { state: 'new' }, 'nothing came back yet');
  t.match(lab.find(back(syn | ack)), { state: 'established', isKnown: true, isReply: true });
  t.equal(lab.find(out(ack)).state, 'new', 'the answer was dropped');
  lab.allow(back(syn | ack));
  for (const flags of [ack, rst, fin | ack]) t.equal(lab.find(out(flags)).state, 'established');
  t.match(lab.find(out(syn)), { state: 'new', isKnown: true }, 'a SYN is new, and of it');
  t.equal(lab.find(back(syn)).state, 'established', 'both may open at once');
  t.equal(lab.find({ ...out(ack), sport: id + 1 }).state, 'invalid', 'another port is another connection');
  t.equal(lab.find({ ...out(ack), proto: 17 }).state, 'new', 'and another protocol');

  lab.allow(out(ack));
  lab.allow(back(ack));
  t.match(lab.find(back(syn)), { state: 'new', isKnown: true }, 'but not once it is under way');
  lab.allow(out(rst));
  lab.allow(out(ack));
  t.equal(lab.find(out(ack)).flags & HUSK_CONNECTION_CLOSED, 0, 'who goes on has not reset it');
  t.equal(lab.find(out(ack)).flags & HUSK_CONNECTION_ENDED, HUSK_CONNECTION_ENDED, 'but may have');
  lab.allow(out(fin | ack));
  t.match(lab.find(out(syn)), { state: 'new', isKnown: true }, 'one side ended: a SYN opens none');
  t.equal(lab.find(out(syn)).flags & HUSK_CONNECTION_CLOSED, 0);
  lab.allow(back(fin | ack));
  t.equal(lab.find(out(ack)).flags & HUSK_CONNECTION_CLOSED, HUSK_CONNECTION_CLOSED);
  t.equal(lab.find(out(ack)).state, 'established', 'late packets are still of it');
  t.equal(lab.find(out(syn | ack)).state, 'established');
  t.match(lab.find(out(syn)), { state: 'new', isKnown: false }, 'a SYN is of a new one');
  t.match(lab.find(back(syn)), { state: 'new', isKnown: false }, 'either way');

  lab.allow(back(syn));
  t.match(lab.find(back(syn)), { state: 'new', isKnown: true, isReply: false }, 'whose direction is its own');
  t.match(lab.find(out(syn | ack)), { state: 'established', isReply: true });
  lab.allow(out(rst | ack));
  t.match(lab.find(out(syn)), { state: 'new', isKnown: false }, 'after RST as well');
});

everywhere('tcp, loose: picked up in its middle, and where one side alone is seen', (t, lab, family, id) => {
  lab.usual = { ...lab.usual, settings: loose };
  const out = (flags: number) => tcpOf(family, id, flags);
  for (const flags of [ack, 0, fin | ack, syn | ack]) t.equal(lab.find(out(flags)).state, 'new', `${flags}`);
  for (const flags of [rst, rst | ack, syn | rst]) t.equal(lab.find(out(flags)).state, 'invalid', `${flags}`);
  lab.allow(out(ack), { now: 1000 });
  t.equal(lab.find(out(ack)).state, 'established', 'along, with ACK and without SYN');
  for (const flags of [syn | ack, 0])
    t.equal(lab.find(out(flags)).state, 'established', `along, flags ${flags}: as if one had come back`);
  t.equal(lab.find(out(syn)).state, 'new', 'a SYN is new whenever it comes');
  t.equal(lab.find(turned(out(syn | ack))).state, 'established', 'against');
  t.equal(lab.find(out(ack), { now: 1000 + 7440 }).state, 'established', 'it counted for both sides');
  t.equal(lab.find(out(ack), { settings: strict }).state, 'established', 'what counted goes on to count');

  const late = (flags: number) => ({ ...out(flags), dport: 80 });
  lab.allow(late(syn), { now: 1000 });
  t.equal(lab.find(late(ack), { now: 1061 }).isKnown, false, 'a SYN alone has its minute');
});

everywhere('udp, and protocols without ports', (t, lab, family, id) => {
  const { from, to } = family;
  for (const proto of [17, 132, 136, 47, 50]) {
    const hasPorts = [17, 132, 136].includes(proto);
    const out: PlainPacket = { from, to, proto, ...(hasPorts ? { sport: id, dport: 53 } : {}) };
    // The protocol's own connection may be there from another hook.
    const peer = { ...out, to: `${to.slice(0, -1)}${id % 10}` };
    t.match(lab.find(peer), { state: 'new', isKnown: false }, `${proto}`);
    lab.allow(peer);
    t.match(lab.find(peer), { state: 'new', isKnown: true });
    t.match(lab.find(turned(peer)), { state: 'established', isReply: true });
    t.equal(lab.find(peer).state, 'new');
    lab.allow(turned(peer));
    t.equal(lab.find(peer).state, 'established');
  }
});

everywhere(
  'icmp: echo by its identifier, queries by addresses, nothing else is of a connection',
  (t, lab, family, id) => {
    const ping = pingOf(family, id);
    const pong = turned(ping, { icmpType: family.pong });
    t.equal(lab.find(pong).state, 'invalid');
    t.equal(lab.find(ping).state, 'new');
    lab.allow(pong);
    t.equal(lab.find(pong).state, 'invalid', 'an answer opens none');
    lab.allow(ping);
    t.equal(lab.find(ping).state, 'new');
    t.match(lab.find(pong), { state: 'established', isReply: true });
    t.equal(lab.find({ ...pong, icmpId: id + 100 }).state, 'invalid');
    lab.allow(pong);
    t.equal(lab.find(ping).state, 'established');
    const asked = turned(ping);
    t.match(lab.find(asked), { state: 'new', isKnown: false }, 'a request of the other side is no answer');
    t.equal(lab.find(turned(pong)).state, 'invalid', 'and was not answered');
    lab.allow(asked);
    t.match(lab.find(turned(pong)), { state: 'established', isReply: true });
    t.match(lab.find(pong), { state: 'established', isReply: true }, 'both ask: two connections');
    const alone = { ...ping, to: ping.from, icmpId: id + 1 };
    lab.allow(alone);
    t.match(
      lab.find({ ...alone, icmpType: family.pong }),
      { state: 'established', isReply: true },
      'of itself',
    );

    const query = (icmpType: number): PlainPacket => ({ ...ping, icmpType, icmpId: 5 });
    if (family.icmp === 1) {
      const peer = { ...query(13), to: `198.51.100.${id % 200}` };
      lab.allow(peer);
      t.match(lab.find(turned({ ...peer, icmpType: 14, icmpId: 9 })), {
        state: 'established',
        isReply: true,
      });
      t.equal(lab.find({ ...turned(peer), icmpType: 0, icmpId: 0 }).state, 'invalid', 'not echo 0');
      t.match(lab.find(turned({ ...peer, icmpType: 17 })), { state: 'new', isKnown: false }, 'nor a request');
      t.equal(lab.find({ ...peer, icmpType: 16 }).state, 'invalid', 'nor an answer to none');
    } else {
      lab.allow(query(13));
      t.match(lab.find(query(13)), { state: 'new', isKnown: false }, 'ICMPv6 has no such queries');
    }
    for (const icmpType of family.icmp === 1 ? [9, 10, 40] : [133, 135, 136, 143]) {
      lab.allow(query(icmpType));
      t.match(lab.find(query(icmpType)), { state: 'new', isKnown: false }, `type ${icmpType} opens none`);
    }
  },
);

t.test('families are apart, and so is what is not IP', { skip }, async (t) => {
  const lab = await ConnectionLab.open();
  t.teardown(() => lab.close());
  const out: PlainPacket = { from: '192.0.2.1', to: '198.51.100.1', proto: 17, sport: 1, dport: 2 };
  lab.allow(out);
  t.equal(lab.find({ ...out, from: '::ffff:c000:201', to: '::ffff:c633:6401' }).isKnown, false);
  t.equal(lab.find({ ...out, isOther: true }).state, 'none');
  t.equal(lab.find(out, { settings: { ...strict, isFollowed: 0 } }).state, 'none');
  lab.allow({ ...out, sport: 9 }, { settings: { ...strict, isFollowed: 0 } });
  t.equal(lab.find({ ...out, sport: 9 }).isKnown, false, 'not followed, not opened');
  const own: PlainPacket = { ...out, to: out.from, sport: 5, dport: 5 };
  lab.allow(own);
  t.match(lab.find(own), { state: 'new', isKnown: true, isReply: false }, 'both ends the same');
});

everywhere('errors are related to what they quote', (t, lab, family, id) => {
  const { from, to } = family;
  const isIpv4 = family.icmp === 1;
  const error = (quote: Uint8Array, rest: Partial<PlainPacket> = {}): PlainPacket => ({
    from: isIpv4 ? '203.0.113.9' : '2001:db8:9::9',
    to: from,
    proto: family.icmp,
    icmpType: family.unreachable,
    quote,
    ...rest,
  });
  /** The quoted packet, from its IP header on. */
  const quoted = (proto: number, payload: Uint8Array, ip: object = {}) =>
    (isIpv4 ? ipv4(proto, payload, ip) : ipv6(proto, payload, ip)).subarray(14);
  const ports = { fromPort: id, toPort: 443 };
  const ours = quoted(6, tcp(ports), { from, to });
  t.equal(lab.find(error(ours)).state, 'invalid', 'of no connection');
  lab.allow(tcpOf(family, id, syn));
  t.match(lab.find(error(ours)), { state: 'related', isKnown: true, isReply: true });
  const all = isIpv4 ? [3, 4, 5, 11, 12] : [1, 2, 3, 4];
  for (const icmpType of all)
    t.equal(lab.find(error(ours, { icmpType })).state, 'related', `type ${icmpType}`);
  const back = quoted(6, tcp({ fromPort: 443, toPort: id }), { from: to, to: from });
  t.match(lab.find(error(back, { to })), { state: 'related', isReply: false }, 'turned round');
  t.equal(lab.find(error(ours, { to })).state, 'invalid', 'not to who sent it');
  t.equal(lab.find(error(back)).state, 'invalid', 'nor the other way');
  t.equal(lab.find(error(quoted(6, tcp({ ...ports, toPort: 444 }), { from, to }))).state, 'invalid');
  lab.allow(error(ours), { now: 1050 });
  t.equal(lab.find(tcpOf(family, id, syn), { now: 1061 }).isKnown, false, 'an error renews nothing');
  t.equal(lab.find(error(ours), { now: 1061 }).state, 'invalid', 'nor is it related to what is over');

  lab.allow(tcpOf(family, id, syn));
  const headerSize = isIpv4 ? 20 : 40;
  t.equal(lab.find(error(ours.subarray(0, headerSize + 8))).state, 'related', 'eight bytes are enough');
  for (const size of [headerSize + 7, headerSize, headerSize - 1, 1, 0]) {
    t.equal(lab.find(error(ours.subarray(0, size))).state, 'invalid', `${size} bytes`);
  }
  const lying = (offset: number, value: number) =>
    ours.map((byte, index) => (index === offset ? value : byte));
  t.equal(lab.find(error(lying(0, isIpv4 ? 0x65 : 0x45))).state, 'invalid', 'another version');
  if (isIpv4) {
    t.equal(lab.find(error(lying(0, 0x44))).state, 'invalid', 'a header of 16 bytes');
    t.equal(lab.find(error(lying(0, 0x4f))).state, 'invalid', 'one past the quote');
    t.equal(lab.find(error(lying(7, 1))).state, 'invalid', 'a later fragment');
    t.equal(lab.find(error(quoted(6, tcp(ports), { from, to, words: 8 }))).state, 'related', 'options');
  } else {
    const extended = quoted(0, extension(0, 60, extension(60, 6, tcp(ports), 2)), { from, to });
    t.equal(lab.find(error(extended)).state, 'related', 'extension headers');
    t.equal(lab.find(error(extended.subarray(0, 60))).state, 'invalid', 'cut in one');
    const fragment = (offset: number) =>
      quoted(44, fragmentHeader(6, offset, true, tcp(ports)), { from, to });
    t.equal(lab.find(error(fragment(0))).state, 'related', 'a first fragment');
    t.equal(lab.find(error(fragment(8))).state, 'invalid', 'a later one');
  }

  const echo = icmp(family.ping);
  echo.writeUInt16BE(id, 4);
  t.equal(lab.find(error(quoted(family.icmp, echo, { from, to }))).state, 'invalid');
  lab.allow(pingOf(family, id));
  t.equal(lab.find(error(quoted(family.icmp, echo, { from, to }))).state, 'related', 'an echo');
  const nested = quoted(family.icmp, icmp(family.unreachable), { from, to });
  t.equal(lab.find(error(nested)).state, 'invalid', 'an error about an error');
  lab.allow({ from, to, proto: 17, sport: id, dport: 53 });
  t.equal(lab.find(error(quoted(17, udp({ fromPort: id }), { from, to }))).state, 'related', 'udp');
});

everywhere('later fragments have the state of their first, if that came before', (t, lab, family, id) => {
  const first = { ...tcpOf(family, id, ack), fragment: 1, fragmentId: id } as const;
  const later = { ...first, fragment: 2, sport: 0, dport: 0, flags: 0 } as const;
  t.equal(lab.find(later).state, 'invalid', 'it came first');
  t.equal(lab.allow(later).isKnown, false, 'and opens none');
  lab.allow(tcpOf(family, id, syn));
  lab.allow(turned(tcpOf(family, id, syn | ack)));
  t.equal(
    lab.rememberFragment(first, { now: 2000, settings: { ...strict, timeouts: Array(8).fill(9999) } }).state,
    'established',
  );
  t.equal(lab.find(later, { now: 2000 }).state, 'established');
  t.equal(lab.find(later, { now: 2030 }).state, 'established', 'after 30 s');
  t.equal(lab.find(later, { now: 2031 }).state, 'invalid', 'and not after 31');
  t.equal(lab.find({ ...later, fragmentId: id + 1 }, { now: 2000 }).state, 'invalid', 'of another packet');
  t.equal(lab.find(turned(later), { now: 2000 }).state, 'invalid', 'of another sender');
  // IPv6 names a packet by addresses and identification alone (RFC 8200 §4.5); IPv4 by the protocol too.
  const other = lab.find({ ...later, proto: 60 }, { now: 2000 }).state;
  t.equal(other, family.icmp === 1 ? 'invalid' : 'established');
  lab.rememberFragment({ ...first, sport: id + 1, fragmentId: 7 }, { now: 2000 });
  t.equal(lab.find({ ...later, fragmentId: 7 }, { now: 2000 }).state, 'invalid', 'so was its first');
});

t.test('a connection lasts for its timeout, and what renews it', { skip }, async (t) => {
  const lab = await ConnectionLab.open();
  t.teardown(() => lab.close());
  const start = 5000;
  let sport = 1;
  /** Plays the packets in one second and says how long the connection lasts. */
  const lasts = (
    proto: number,
    packets: readonly (readonly ['out' | 'back', number])[],
    settings = strict,
  ) => {
    const out = (flags: number): PlainPacket => ({
      from: '10.0.0.1',
      to: '10.0.0.2',
      proto,
      sport,
      dport: 9,
      flags,
    });
    for (const [way, flags] of packets) {
      lab.allow(way === 'out' ? out(flags) : turned(out(flags)), { now: start, settings });
    }
    const isKnown = (after: number) => lab.find(out(ack), { now: start + after, settings }).isKnown;
    const lasted = [...new Set(timeouts)].filter((timeout) => isKnown(timeout) && !isKnown(timeout + 1));
    sport++;
    return lasted.join();
  };
  t.equal(lasts(6, [['out', syn]]), '60');
  t.equal(
    lasts(6, [
      ['out', syn],
      ['back', syn | ack],
    ]),
    '60',
  );
  t.equal(
    lasts(6, [
      ['out', syn],
      ['back', syn | ack],
      ['out', ack],
    ]),
    '60',
    'the other side sent a SYN alone',
  );
  const open = [
    ['out', syn],
    ['back', syn | ack],
    ['out', ack],
    ['back', ack],
  ] as const;
  t.equal(lasts(6, open), '7440');
  t.equal(lasts(6, [...open, ['out', fin | ack]]), '7440');
  t.equal(lasts(6, [...open, ['out', fin | ack], ['back', fin | ack]]), '30');
  t.equal(lasts(6, [...open, ['back', rst]]), '30');
  t.equal(lasts(6, [...open, ['back', rst], ['out', ack]]), '30', 'the other side may not know yet');
  t.equal(lasts(6, [...open, ['back', rst], ['back', syn | ack]]), '30');
  t.equal(lasts(6, [...open, ['back', rst], ['back', ack]]), '7440', 'who goes on has not reset it');
  t.equal(lasts(6, [...open, ['back', rst], ['out', rst], ['back', ack]]), '30', 'but the other has');
  t.equal(lasts(6, [...open, ['out', fin | ack], ['back', fin | ack], ['back', ack]]), '30', 'FIN stays');
  t.equal(
    lasts(6, [
      ['out', syn],
      ['out', ack],
    ]),
    '60',
    'strict, one side',
  );
  t.equal(
    lasts(
      6,
      [
        ['out', syn],
        ['out', ack],
      ],
      loose,
    ),
    '7440',
    'loose, one side',
  );
  t.equal(lasts(6, [['out', ack]], loose), '7440');
  t.equal(lasts(6, [['out', syn | ack]], loose), '60');
  t.equal(lasts(17, [['out', 0]]), '30');
  t.equal(
    lasts(17, [
      ['out', 0],
      ['back', 0],
    ]),
    '120',
  );
  t.equal(lasts(47, [['out', 0]]), '600');
  t.equal(
    lasts(132, [
      ['out', 0],
      ['back', 0],
    ]),
    '600',
  );

  const udpOut: PlainPacket = { from: '10.0.0.1', to: '10.0.0.2', proto: 17, sport: 7777, dport: 9 };
  lab.allow(udpOut, { now: 6000 });
  lab.find(udpOut, { now: 6029 });
  t.equal(lab.find(udpOut, { now: 6031 }).isKnown, false, 'a dropped packet renews nothing');
  lab.allow(udpOut, { now: 6030 });
  t.equal(lab.find(udpOut, { now: 6060 }).isKnown, true, 'an allowed one does');
  lab.allow(udpOut, { now: 6029 });
  t.equal(lab.find(udpOut, { now: 6060 }).isKnown, true, 'and a clock that is behind takes nothing away');
  t.equal(lab.find(udpOut, { now: 6020 }).isKnown, true, 'nor sees the future as past');
  const ping: PlainPacket = { from: '10.0.0.1', to: '10.0.0.2', proto: 1, icmpType: 8, icmpId: 3 };
  lab.allow(ping, { now: 6000 });
  t.equal(lab.find(ping, { now: 6030 }).isKnown, true);
  t.equal(lab.find(ping, { now: 6031 }).isKnown, false);
  t.ok(Math.abs(lab.clock() - Number(lab.addon.bootNs() / 1_000_000_000n)) <= 1, 'the clock is boot time');
});
