// Goal: each answer to a rejected packet is the one that the RFCs ask for, to the byte, and what may not be
// answered is not.
// Method: frames through the live programs under BPF_PROG_TEST_RUN; what comes out is read by a reader of its
// own, which adds up every checksum itself.

import t, { type Test } from 'tap';
import { addressBytes } from '../lab/frame.ts';
import { Guard } from '../lab/guard.ts';
import { Lab, labMissing } from '../lab/lab.ts';
import {
  ethernet,
  extension,
  fragmentHeader,
  from4,
  from6,
  icmp,
  ipv4,
  ipv6,
  protocol,
  sctp,
  tagged,
  tcp,
  to4,
  to6,
  udp,
} from './frames.ts';
import { programsMissing } from './lab.ts';
import { readAnswer } from './read-answer.ts';

t.setTimeout(120_000);
const skip = labMissing() || programsMissing();

const [xdpDrop, xdpTx, tcShot, tcRedirect] = [1, 3, 2, 7];
const hooks = [
  { at: 'xdp', answered: xdpTx, dropped: xdpDrop },
  { at: 'ingress', answered: tcRedirect, dropped: tcShot },
  { at: 'egress', answered: tcRedirect, dropped: tcShot },
] as const;
type Hook = (typeof hooks)[number];

const flag = { fin: 1, syn: 2, rst: 4, psh: 8, ack: 16 } as const;
const ports = { host: 7003, net: 7004, admin: 7005, port: 7006, reset: 7007 } as const;

function policy(): unknown {
  const rule = (id: keyof typeof ports, rejectWith: string, one: 'tcp' | 'udp') => ({
    id: `${id}-${one}`,
    protocol: one,
    ports: { to: ports[id] },
    action: 'reject',
    rejectWith,
  });
  const rules = [
    rule('host', 'host-unreachable', 'udp'),
    rule('net', 'net-unreachable', 'udp'),
    rule('admin', 'admin-prohibited', 'udp'),
    rule('admin', 'admin-prohibited', 'tcp'),
    rule('port', 'port-unreachable', 'tcp'),
    rule('reset', 'tcp-reset', 'tcp'),
  ];
  const zone = { zone: 'here', default: 'reject', rules };
  return {
    apiVersion: 'husk/v1',
    kind: 'PacketPolicy',
    metadata: { name: 'rejecting' },
    spec: { mode: 'enforce', zones: { here: { interfaces: ['lo'] } }, ingress: [zone], egress: [zone] },
  };
}

async function openGuard(t: Test): Promise<Guard> {
  const lab = await Lab.open();
  t.teardown(() => lab.close());
  const guard = await Guard.open(lab, lab.namespace('frames'));
  await guard.load(policy());
  return guard;
}

const macs = { asked: Buffer.from([2, 0, 0, 0, 0, 0x0b]), asking: Buffer.from([2, 0, 0, 0, 0, 0x0a]) };

/** With addresses that are told apart. */
function onWire(frame: Buffer, to = macs.asked): Buffer {
  const copy = Buffer.from(frame);
  copy.set(to, 0);
  copy.set(macs.asking, 6);
  return copy;
}

async function ask(guard: Guard, hook: Hook, frame: Buffer) {
  const [ran] = await guard.run(hook.at, [frame]);
  if (ran === undefined) throw new Error('nothing ran');
  return ran;
}

function tcpWith(options: {
  readonly flags: number;
  readonly sequence: number;
  readonly acknowledgement?: number;
  readonly words?: number;
  readonly payload?: number;
  readonly toPort?: number;
}): Buffer {
  const { flags, words = 5, toPort = 22 } = options;
  const head = tcp({ flags, words, toPort });
  head.writeUInt32BE(options.sequence, 4);
  head.writeUInt32BE(options.acknowledgement ?? 0, 8);
  return Buffer.concat([head, Buffer.alloc(options.payload ?? 0, 0x55)]);
}

t.test('a RST carries the numbers of RFC 9293', { skip }, async (t) => {
  const guard = await openGuard(t);
  const segments = [
    { name: 'SYN', flags: flag.syn, sequence: 0xfffffffe, answer: [flag.rst | flag.ack, 0, 0xffffffff] },
    {
      name: 'SYN with options and data, numbers that wrap',
      flags: flag.syn,
      sequence: 0xfffffff0,
      words: 10,
      payload: 100,
      answer: [flag.rst | flag.ack, 0, (0xfffffff0 + 101) >>> 0],
    },
    {
      name: 'data that acknowledges',
      flags: flag.ack | flag.psh,
      sequence: 5,
      acknowledgement: 0x80000001,
      payload: 7,
      answer: [flag.rst, 0x80000001, 0],
    },
    {
      name: 'FIN that acknowledges nothing',
      flags: flag.fin,
      sequence: 10,
      payload: 3,
      answer: [flag.rst | flag.ack, 0, 14],
    },
    { name: 'no flags at all', flags: 0, sequence: 9, payload: 1, answer: [flag.rst | flag.ack, 0, 10] },
  ];
  const ways: readonly (readonly [string, (segment: Buffer) => Buffer])[] = [
    ['IPv4', (segment) => ipv4(protocol.tcp, segment)],
    ['IPv4 with options', (segment) => ipv4(protocol.tcp, segment, { words: 15 })],
    ['IPv6', (segment) => ipv6(protocol.tcp, segment)],
    [
      'IPv6 with extension headers',
      (segment) =>
        ipv6(
          protocol.hopByHop,
          extension(protocol.hopByHop, protocol.destination, extension(protocol.destination, 6, segment, 3)),
        ),
    ],
  ];
  for (const hook of hooks) {
    for (const [way, wrap] of ways) {
      for (const { name, answer, ...segment } of segments) {
        const frame = onWire(wrap(tcpWith(segment)));
        const ran = await ask(guard, hook, frame);
        t.equal(ran.verdict, hook.answered, `${hook.at}, ${way}: ${name}`);
        const said = readAnswer(ran.frame);
        const six = way.startsWith('IPv6');
        t.match(said, {
          macs: [macs.asking.toString('hex'), macs.asked.toString('hex')],
          tags: [],
          from: addressBytes(six ? to6 : to4).toString('hex'),
          to: addressBytes(six ? from6 : from4).toString('hex'),
          hopLimit: 64,
          headerBytes: six ? 40 : 20,
          wrongChecksums: [],
          tcp: { ports: [22, 40000], flags: answer[0], sequence: answer[1], acknowledgement: answer[2] },
        });
        await pause(10);
      }
    }
  }
});

/** The device's budget is for all tests together. */
const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

t.test('an ICMP error has the code that was asked for, and quotes all that fits', { skip }, async (t) => {
  const guard = await openGuard(t);
  const datagram = (toPort: number, size: number) =>
    udp({ toPort, payload: Buffer.from(Array.from({ length: size }, (_, at) => at & 255)) });
  const cases = [
    ['usual', protocol.udp, datagram(53, 5), 3, 4],
    ['usual, nothing but a header', protocol.udp, datagram(53, 0), 3, 4],
    ['usual, longer than a quote', protocol.udp, datagram(53, 1400), 3, 4],
    ['host', protocol.udp, datagram(ports.host, 30), 1, 3],
    ['net', protocol.udp, datagram(ports.net, 31), 0, 0],
    ['admin', protocol.udp, datagram(ports.admin, 544), 13, 1],
    ['admin for TCP', protocol.tcp, tcp({ toPort: ports.admin }), 13, 1],
    ['port for TCP', protocol.tcp, tcp({ toPort: ports.port }), 3, 4],
    ['SCTP', protocol.sctp, sctp(), 3, 4],
    ['a protocol without ports', 47, Buffer.alloc(9, 7), 3, 4],
  ] as const;
  for (const hook of hooks) {
    for (const [name, proto, payload, code4, code6] of cases) {
      for (const six of [false, true]) {
        for (const tags of [0, 1, 2]) {
          const bare = six ? ipv6(proto, payload) : ipv4(proto, payload, { words: tags === 0 ? 6 : 5 });
          const vlans = [[], [0x8100], [0x88a8, 0x8100]][tags] ?? [];
          const frame = onWire(tags === 0 ? bare : tagged(bare, ...vlans));
          const ran = await ask(guard, hook, frame);
          const what = `${hook.at}, ${six ? 'IPv6' : 'IPv4'}, ${tags} tags: ${name}`;
          t.equal(ran.verdict, hook.answered, what);
          const said = readAnswer(ran.frame);
          const asked = frame.subarray(14 + 4 * tags);
          const most = six ? 1280 - 48 : 576 - 28;
          const quoted = asked.subarray(0, Math.min(asked.length & ~3, most));
          t.match(said, { tags: vlans, wrongChecksums: [], hopLimit: 64 }, what);
          t.same(said.icmp, { type: six ? 1 : 3, code: six ? code6 : code4, rest: 0 }, what);
          t.same(said.quote, quoted, what);
          await pause(10);
        }
      }
    }
  }
});

t.test(
  'a frame is not made shorter than Ethernet wants, nor longer than it was for a RST',
  { skip },
  async (t) => {
    const guard = await openGuard(t);
    const padded = Buffer.concat([onWire(ipv4(protocol.tcp, tcp())), Buffer.alloc(10, 0xee)]);
    const [ran] = await guard.run('xdp', [padded]);
    t.equal(ran?.frame.length, 62, 'an IP header, 28 bytes, and the link');
    t.ok(
      ran?.frame.subarray(54).every((one) => one === 0),
      'nothing of the packet behind the answer',
    );
    const [short] = await guard.run('xdp', [onWire(ipv4(protocol.tcp, tcp()))]);
    t.equal(short?.frame.length, 54);
  },
);

t.test('what may not be answered is dropped and counted', { skip }, async (t) => {
  const guard = await openGuard(t);
  const group = Buffer.from([1, 0, 0x5e, 0, 0, 1]);
  const frames: readonly (readonly [string, Buffer])[] = [
    ...[3, 4, 5, 11, 12].map((type) => [`ICMP ${type}`, ipv4(protocol.icmp, icmp(type))] as const),
    ...[1, 2, 3, 4, 100, 127].map((type) => [`ICMPv6 ${type}`, ipv6(protocol.icmpv6, icmp(type))] as const),
    ['ICMPv6 redirect that crossed a router', ipv6(protocol.icmpv6, icmp(137))],
    ['RST', ipv4(protocol.tcp, tcp({ flags: flag.rst }))],
    ['RST and ACK, IPv6', ipv6(protocol.tcp, tcp({ flags: flag.rst | flag.ack }))],
    ['later fragment', ipv4(protocol.udp, udp(), { fragment: 1 })],
    ['later fragment, IPv6', ipv6(protocol.fragment, fragmentHeader(protocol.udp, 1, false, udp()))],
    ['to a group', ipv4(protocol.udp, udp(), { to: '224.0.0.251' })],
    ['to all', ipv4(protocol.udp, udp(), { to: '255.255.255.255' })],
    ['to a group, IPv6', ipv6(protocol.udp, udp(), { to: 'ff02::fb' })],
    ['to nobody', ipv4(protocol.udp, udp(), { to: '0.0.0.0' })],
    ['from nobody', ipv4(protocol.udp, udp(), { from: '0.0.0.0' })],
    ['from loopback', ipv4(protocol.udp, udp(), { from: '127.0.0.1' })],
    ['from a group', ipv4(protocol.udp, udp(), { from: '239.1.1.1' })],
    ['from nobody, IPv6', ipv6(protocol.udp, udp(), { from: '::' })],
    ['from loopback, IPv6', ipv6(protocol.udp, udp(), { from: '::1' })],
    ['from a group, IPv6', ipv6(protocol.udp, udp(), { from: 'ff0e::1' })],
    ['from a mapped address', ipv6(protocol.udp, udp(), { from: '::ffff:c000:201' })],
    ['not IP', ethernet(0x88cc, Buffer.alloc(46))],
  ];
  const tried = [
    ...frames.map(([name, frame]) => [name, onWire(frame)] as const),
    ['to a group of the link', onWire(ipv4(protocol.udp, udp()), group)] as const,
    ['to all of the link', onWire(ipv4(protocol.udp, udp()), Buffer.alloc(6, 255))] as const,
  ];
  for (const hook of hooks) {
    for (const [name, frame] of tried) {
      const before = await guard.totals();
      const ran = await ask(guard, hook, frame);
      t.equal(ran.verdict, hook.dropped, `${hook.at}: ${name}`);
      t.same(ran.frame, frame, 'untouched');
      const after = await guard.totals();
      t.equal(after.REJECTS_SENT, before.REJECTS_SENT);
      t.equal(after.REJECTS_SUPPRESSED, (before.REJECTS_SUPPRESSED ?? 0) + 1, name);
    }
  }
  // And what is like them, and may.
  for (const frame of [
    ipv4(protocol.icmp, icmp(8)),
    ipv4(protocol.icmp, icmp(13)),
    ipv6(protocol.icmpv6, icmp(128)),
    ipv4(protocol.udp, udp(), { fragment: 0x2000 }),
    ipv4(protocol.udp, udp(), { to: '223.255.255.254' }),
  ]) {
    t.equal((await ask(guard, hooks[0], onWire(frame))).verdict, xdpTx);
  }
});

t.test('the device answers a hundred times a second, whichever hook', { skip }, async (t) => {
  const guard = await openGuard(t);
  const frame = onWire(ipv4(protocol.udp, udp()));
  const began = performance.now();
  const [first, second] = [
    await guard.run('xdp', Array(150).fill(frame)),
    await guard.run('ingress', Array(150).fill(frame)),
  ];
  const most = 100 + Math.ceil((performance.now() - began) / 10);
  const sent = [...first, ...second].filter(
    ({ verdict }) => verdict === xdpTx || verdict === tcRedirect,
  ).length;
  t.ok(sent >= 100 && sent <= most, `${sent} of 300 answered, at most ${most}`);
  const totals = await guard.totals();
  t.equal(totals.REJECTS_SENT, sent);
  t.equal(totals.REJECTS_SUPPRESSED, 300 - sent);
  await pause(120);
  const later = await guard.run('ingress', Array(8).fill(frame));
  t.ok(
    later.every(({ verdict }) => verdict === tcRedirect),
    'a tenth of a second brings ten',
  );
});
