// Goal: what a packet says of itself is believed only as far as it holds together. Good frames are read to
// the right addresses, protocol and ports; lying, cut and endless ones are unparseable; nothing crashes.
// Method: frames made by hand with one thing wrong each; every length of a good frame; frames with random
// bytes; the fixtures' captures. Judged by all twins, which must agree. What was read is seen by rules that
// name it; that the policy evaluator reads captures the same way is tested in test/agent/policy.

import { readdirSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import t from 'tap';
import {
  HUSK_FAMILY_IPV4,
  HUSK_FAMILY_IPV6,
  HUSK_FAMILY_OTHER,
  HUSK_NEVER_DROP_ARP,
  HUSK_NEVER_DROP_NEIGHBOURS,
  HuskReason,
  HuskTotal,
  HuskVerdict,
} from '../../bpf/abi/layout.gen.ts';
import { readCapture } from '../lab/pcap.ts';
import {
  ethernet,
  etherType,
  extension,
  fragmentHeader,
  icmp,
  ipv4,
  ipv6,
  protocol,
  sctp,
  tagged,
  tcp,
  udp,
} from './frames.ts';
import {
  directions,
  type PlainGeneration,
  type PlainRule,
  ProgramLab,
  programsMissing,
  testRunIfindex,
} from './lab.ts';

const { vlan, qinq } = etherType;
const pcapFolder = resolve(import.meta.dirname, '../fixtures/pcap');

/** What a frame was read as, by the rule that matches it. */
const readings = {
  'tcp to 22': { protocols: [protocol.tcp], dports: [22, 22] },
  'udp to 53': { protocols: [protocol.udp], dports: [53, 53] },
  'sctp to 3868': { protocols: [protocol.sctp], dports: [3868, 3868] },
  'udp-lite to 53': { protocols: [protocol.udplite], dports: [53, 53] },
  'other ports': { dports: [0, 0xffff] },
  'tcp without ports': { protocols: [protocol.tcp] },
  'udp without ports': { protocols: [protocol.udp] },
  icmp: { protocols: [protocol.icmp] },
  icmpv6: { protocols: [protocol.icmpv6] },
  'destination options': { protocols: [protocol.destination] },
  esp: { protocols: [protocol.esp] },
  'nothing next': { protocols: [protocol.none] },
  'another protocol over IPv4': { families: HUSK_FAMILY_IPV4 },
  'another protocol over IPv6': { families: HUSK_FAMILY_IPV6 },
  'another EtherType': { families: HUSK_FAMILY_OTHER },
} as const satisfies Record<string, PlainRule>;
type Reading = keyof typeof readings | 'unparseable' | 'never-drop';
const names = Object.keys(readings) as (keyof typeof readings)[];

const rules = Object.values(readings).map(
  (rule, index): PlainRule => ({ ...rule, rule: index, verdict: HuskVerdict.DROP }),
);
/** Not DHCP, of which each direction has its own. */
const neverDrop = HUSK_NEVER_DROP_ARP | HUSK_NEVER_DROP_NEIGHBOURS;
const generation: PlainGeneration = {
  zones: { [testRunIfindex]: { neverDrop } },
  ingress: rules,
  egress: rules,
};

const read: readonly [name: string, frame: Uint8Array, reading: Reading][] = [
  // Ethernet and VLAN
  ['a plain frame', ipv4(6, tcp()), 'tcp to 22'],
  ['a tag', tagged(ipv4(6, tcp()), vlan), 'tcp to 22'],
  ['two tags', tagged(ipv6(17, udp()), qinq, vlan), 'udp to 53'],
  ['three tags', tagged(ipv4(6, tcp()), qinq, vlan, vlan), 'unparseable'],
  ['a tag and no more', ethernet(vlan, Buffer.alloc(2)), 'unparseable'],
  ['a tag before a tag cut off', ethernet(vlan, Buffer.from([0, 5, 0x81, 0, 0])), 'unparseable'],
  ['a tag before another EtherType', tagged(ethernet(0x88cc, Buffer.alloc(40)), vlan), 'another EtherType'],
  ['802.3 with a length', ethernet(40, Buffer.alloc(40)), 'another EtherType'],
  ['no payload at all', ethernet(0x88cc, Buffer.alloc(0)), 'another EtherType'],
  ['ARP cut short', ethernet(etherType.arp, Buffer.alloc(1)), 'never-drop'],
  // IPv4
  ['IPv4 with options', ipv4(6, tcp(), { words: 15 }), 'tcp to 22'],
  ['IPv4 with padding', Buffer.concat([ipv4(17, udp()), Buffer.alloc(18, 255)]), 'udp to 53'],
  ['IPv4 of version 6', ipv4(6, tcp(), { version: 6 }), 'unparseable'],
  ['IPv4 of version 0', ipv4(6, tcp(), { version: 0 }), 'unparseable'],
  ['an IPv4 header of 16 bytes', ipv4(6, tcp(), { words: 4 }), 'unparseable'],
  [
    'an IPv4 header past the frame',
    ipv4(6, Buffer.alloc(0), { words: 15, totalLength: 60 }).subarray(0, 60),
    'unparseable',
  ],
  ['a total length below the header', ipv4(6, tcp(), { words: 6, totalLength: 20 }), 'unparseable'],
  ['a total length of 0', ipv4(6, tcp(), { totalLength: 0 }), 'unparseable'],
  ['a total length past the frame', ipv4(6, tcp(), { totalLength: 41 }), 'unparseable'],
  ['a total length that ends inside TCP', ipv4(6, tcp(), { totalLength: 39 }), 'unparseable'],
  ['IPv4 with nothing in it', ipv4(protocol.esp, Buffer.alloc(0)), 'esp'],
  ['another protocol', ipv4(47, Buffer.alloc(4)), 'another protocol over IPv4'],
  ['ICMPv6 in IPv4, which is no ICMP', ipv4(58, Buffer.alloc(1)), 'icmpv6'],
  // IPv4 fragments
  ['an IPv4 first fragment', ipv4(6, tcp(), { fragment: 0x2000 }), 'tcp to 22'],
  [
    "a first fragment of UDP whose length is the datagram's",
    ipv4(17, udp({ length: 3000 }), { fragment: 0x2000 }),
    'udp to 53',
  ],
  [
    'a first fragment without the whole TCP header',
    ipv4(6, tcp({ bytes: 16 }), { fragment: 0x2000 }),
    'unparseable',
  ],
  ['a first fragment of 8 bytes of TCP', ipv4(6, tcp({ bytes: 8 }), { fragment: 0x2000 }), 'unparseable'],
  [
    'a first fragment whose TCP options are in the next',
    ipv4(6, tcp({ words: 10, bytes: 24 }), { fragment: 0x2000 }),
    'unparseable',
  ],
  ['a later fragment, which has no ports', ipv4(6, tcp(), { fragment: 0x2002 }), 'tcp without ports'],
  ['a fragment over the flags of TCP', ipv4(6, tcp(), { fragment: 0x2001 }), 'unparseable'],
  ['the last one over them', ipv4(6, tcp(), { fragment: 1 }), 'unparseable'],
  ['at the same place of UDP, where nothing is', ipv4(17, udp(), { fragment: 1 }), 'udp without ports'],
  ['the last fragment', ipv4(17, udp(), { fragment: 1 }), 'udp without ports'],
  ['a later fragment of no bytes', ipv4(17, Buffer.alloc(0), { fragment: 0x1fff }), 'udp without ports'],
  ['do not fragment, which is none', ipv4(6, tcp(), { fragment: 0x4000 }), 'tcp to 22'],
  ['the evil bit, which is none', ipv4(6, tcp(), { fragment: 0x8000 }), 'tcp to 22'],
  // IPv6
  ['IPv6 of version 4', ipv6(6, tcp(), { version: 4 }), 'unparseable'],
  ['a payload past the frame', ipv6(6, tcp(), { payloadLength: 21 }), 'unparseable'],
  ['a payload that ends inside TCP', ipv6(6, tcp(), { payloadLength: 19 }), 'unparseable'],
  ['a jumbogram', ipv6(0, extension(0, 6, tcp()), { payloadLength: 0 }), 'unparseable'],
  ['IPv6 with padding', Buffer.concat([ipv6(17, udp()), Buffer.alloc(9)]), 'udp to 53'],
  ['IPv6 with nothing next', ipv6(protocol.none, Buffer.alloc(0)), 'nothing next'],
  ['ESP', ipv6(protocol.esp, Buffer.alloc(3)), 'esp'],
  ['another protocol over IPv6', ipv6(47, Buffer.alloc(0)), 'another protocol over IPv6'],
  ['ICMP in IPv6, which is no ICMPv6', ipv6(1, Buffer.alloc(1)), 'icmp'],
  // IPv6 extension headers
  ...[0, 43, 51, 60, 135, 139, 140].map((kind): [string, Uint8Array, Reading] => [
    `extension header ${kind}`,
    ipv6(kind, extension(kind, 6, tcp())),
    'tcp to 22',
  ]),
  ...[0, 43, 51, 60, 135, 139, 140].map((kind): [string, Uint8Array, Reading] => [
    `extension header ${kind}, larger`,
    ipv6(kind, extension(kind, 17, udp(), 7)),
    'udp to 53',
  ]),
  ['the largest extension header', ipv6(60, extension(60, 6, tcp(), 255)), 'tcp to 22'],
  ['an extension header past the payload', ipv6(60, extension(60, 6, tcp()).with(1, 3)), 'unparseable'],
  [
    'an extension header past the payload, inside the frame',
    Buffer.concat([ipv6(60, extension(60, 6, Buffer.alloc(0)).with(1, 3)), Buffer.alloc(99)]),
    'unparseable',
  ],
  ['an extension header cut short', ipv6(0, Buffer.alloc(7)), 'unparseable'],
  ['every kind, one after the other', chain([0, 60, 43, 51, 60, 135, 139, 140]), 'tcp to 22'],
  ['8 extension headers', chain(Array(8).fill(60)), 'tcp to 22'],
  ['9 extension headers', chain(Array(9).fill(60)), 'unparseable'],
  [
    '8 extension headers with nothing next',
    chain(Array(8).fill(60), protocol.none, Buffer.alloc(0)),
    'nothing next',
  ],
  // IPv6 fragments
  ['an IPv6 first fragment', ipv6(44, fragmentHeader(6, 0, true, tcp())), 'tcp to 22'],
  ['an atomic fragment', ipv6(44, fragmentHeader(17, 0, false, udp())), 'udp to 53'],
  ['a later fragment', ipv6(44, fragmentHeader(6, 2, true, tcp())), 'tcp without ports'],
  ['a fragment over the flags of TCP, IPv6', ipv6(44, fragmentHeader(6, 1, true, tcp())), 'unparseable'],
  [
    'a later fragment of no bytes',
    ipv6(44, fragmentHeader(17, 8191, false, Buffer.alloc(0))),
    'udp without ports',
  ],
  [
    'a later fragment that began with options',
    ipv6(44, fragmentHeader(60, 185, false, tcp())),
    'destination options',
  ],
  [
    'a first fragment without the whole chain',
    ipv6(44, fragmentHeader(60, 0, true, extension(60, 6, Buffer.alloc(0)))),
    'unparseable',
  ],
  [
    'a first fragment without the whole TCP header',
    ipv6(44, fragmentHeader(6, 0, true, tcp({ bytes: 16 }))),
    'unparseable',
  ],
  [
    'a fragment header whose reserved byte is not 0',
    ipv6(44, fragmentHeader(6, 0, true, tcp()).with(1, 255)),
    'tcp to 22',
  ],
  ['a fragment header cut short', ipv6(44, Buffer.alloc(7)), 'unparseable'],
  [
    'options, then a first fragment',
    ipv6(60, extension(60, 44, fragmentHeader(17, 0, true, udp({ length: 2000 })))),
    'udp to 53',
  ],
  [
    'an atomic fragment whose UDP lies',
    ipv6(44, fragmentHeader(17, 0, false, udp({ length: 2000 }))),
    'unparseable',
  ],
  // L4
  ['TCP with options', ipv4(6, tcp({ words: 15 })), 'tcp to 22'],
  ['TCP with a data offset of 4', ipv4(6, tcp({ words: 4 })), 'unparseable'],
  ['TCP options past the payload', ipv6(6, tcp({ words: 8, bytes: 28 })), 'unparseable'],
  ['TCP of 19 bytes', ipv4(6, tcp({ bytes: 19 })), 'unparseable'],
  ['UDP of 7 bytes', ipv4(17, udp().subarray(0, 7)), 'unparseable'],
  ['UDP with a length of 7', ipv4(17, udp({ length: 7 })), 'unparseable'],
  ['UDP with a length of 0', ipv6(17, udp({ length: 0 })), 'unparseable'],
  ['UDP longer than its packet', ipv4(17, udp({ length: 13 })), 'unparseable'],
  ['UDP shorter than its packet', ipv4(17, udp({ length: 8 })), 'udp to 53'],
  ['SCTP', ipv6(132, sctp()), 'sctp to 3868'],
  ['SCTP of 11 bytes', ipv4(132, sctp().subarray(0, 11)), 'unparseable'],
  ['UDP-Lite', ipv6(136, udp()), 'udp-lite to 53'],
  ['UDP-Lite whose coverage is all of it', ipv4(136, udp({ length: 0 })), 'udp-lite to 53'],
  ['UDP-Lite of 7 bytes', ipv4(136, udp().subarray(0, 7)), 'unparseable'],
  ['ICMP', ipv4(1, icmp(8)), 'icmp'],
  ['ICMP of 7 bytes', ipv4(1, icmp(8).subarray(0, 7)), 'unparseable'],
  ['ICMPv6', ipv6(58, icmp(128)), 'icmpv6'],
  ['ICMPv6 of 7 bytes', ipv6(58, icmp(128).subarray(0, 7)), 'unparseable'],
  [
    'neighbour discovery behind options',
    ipv6(60, extension(60, 58, icmp(135)), { hopLimit: 255 }),
    'never-drop',
  ],
  [
    'neighbour discovery in a fragment',
    ipv6(44, fragmentHeader(58, 0, true, icmp(135)), { hopLimit: 255 }),
    'icmpv6',
  ],
];

t.test('parsing', { skip: programsMissing() }, async (t) => {
  const lab = await ProgramLab.open();
  t.teardown(() => lab.close());
  await lab.fill(0, generation);
  lab.setLive(0);

  /** What all programs read a frame as. */
  const readingOf = (frame: Uint8Array): Reading => {
    const all = (isRunAsSkb(frame) ? directions : directions.slice(0, 1)).map((direction): Reading => {
      const { reason, rule, verdict } = lab.judge(direction, 0, frame);
      if (reason === HuskReason.UNPARSEABLE && verdict === HuskVerdict.DROP) return 'unparseable';
      if (reason === HuskReason.NEVER_DROP && verdict === HuskVerdict.ALLOW) return 'never-drop';
      const name = names[rule];
      if (reason !== HuskReason.RULE || name === undefined) throw new Error(`reason ${reason}, rule ${rule}`);
      return name;
    });
    if (all[0] === undefined || all.some((one) => one !== all[0])) throw new Error(`${directions}: ${all}`);
    return all[0];
  };

  await t.test('every frame is read as what it is', (t) => {
    for (const [name, frame, reading] of read) {
      t.equal(readingOf(frame), reading, name);
    }
    t.end();
  });

  await t.test('unparseable gets the verdict of the generation, and is counted', async (t) => {
    const bad = ipv4(6, tcp(), { totalLength: 9999 });
    const before = lab.total(HuskTotal.UNPARSEABLE);
    t.ok(lab.isDropped('ingress', bad));
    t.ok(lab.isDropped('tcIngress', bad));
    t.ok(lab.isDropped('egress', bad));
    t.equal(lab.total(HuskTotal.UNPARSEABLE), before + 3n);
    await lab.fill(1, { ...generation, unparseable: HuskVerdict.ALLOW });
    t.match(lab.judge('ingress', 1, bad), { verdict: HuskVerdict.ALLOW, reason: HuskReason.UNPARSEABLE });
  });

  await t.test('a frame cut anywhere is unparseable, never read as more than is there', (t) => {
    const whole: readonly [Uint8Array, Reading, headers: number][] = [
      [tagged(ipv4(6, tcp(), { words: 8 }), vlan), 'tcp to 22', 14 + 4 + 32 + 20],
      [ipv6(0, extension(0, 44, fragmentHeader(17, 0, false, udp()))), 'udp to 53', 14 + 40 + 8 + 8 + 12],
    ];
    for (const [frame, reading, headers] of whole) {
      t.equal(headers, frame.length);
      for (let length = 14; length < frame.length; length++) {
        t.equal(readingOf(frame.subarray(0, length)), 'unparseable', `${length} of ${frame.length} bytes`);
      }
      t.equal(readingOf(frame), reading);
    }
    t.end();
  });

  await t.test('frames of damaged headers get some verdict, the same by all programs', (t) => {
    const seed = Number(process.env.HUSK_SEED ?? Date.now() % 2 ** 31);
    t.comment(`HUSK_SEED=${seed}`);
    const random = randomFrom(seed);
    const good = read.map(([, frame]) => frame);
    const seen = new Set<Reading>();
    for (let round = 0; round < 4000; round++) {
      const frame = Buffer.from(good[random() % good.length] ?? []);
      const header = Math.max(1, frame.length - 12);
      for (let flips = 1 + (random() % 4); flips > 0; flips--)
        frame[12 + (random() % header)] = random() & 255;
      seen.add(readingOf(frame.subarray(0, Math.max(14, frame.length - (random() % 4)))));
    }
    t.ok(seen.has('unparseable') && seen.size > 5, `${seen.size} readings`);
    t.end();
  });

  await t.test('captures: each frame gets a verdict, and the same live and as a twin', (t) => {
    /** How many frames of each capture are read as what, as a look at the capture says they must be. */
    const expected: Readonly<Record<string, Readonly<Partial<Record<Reading, number>>>>> = {
      'ArpRequestWithVlan.pcap': { 'never-drop': 1 },
      'Dhcp1.pcap': { 'other ports': 1 }, // a relay's, from 67 to 67
      'DnsPackets.pcap': { 'udp to 53': 216, 'other ports': 248 },
      'EthDot3.pcap': { 'another EtherType': 1 },
      'GrePackets.pcap': { 'another protocol over IPv4': 6, 'another protocol over IPv6': 1 },
      'IPv4-encapsulated-IPv6.pcap': { 'another protocol over IPv4': 1 },
      'IPv4Frag.pcap': { 'other ports': 1, 'udp without ports': 2 },
      'IcmpPackets.pcap': { icmp: 15 },
      'IcmpV6_NeighAdvSoli.pcap': { 'never-drop': 2 },
      'MplsPackets.pcap': { 'another EtherType': 2 },
      'PPPoESession.pcap': { 'another EtherType': 2 },
      'VlanPackets.pcap': { icmp: 20, 'another EtherType': 6 },
      'Vxlan1.pcap': { 'other ports': 1 },
      'dhcpv6.pcap': { 'other ports': 2 },
      'frag_http_req.pcap': { 'other ports': 1, 'tcp without ports': 10 },
      'ip4_bad_fragment.pcap': { 'another EtherType': 1 }, // MPLS
      'ip6_fragments.pcap': { 'other ports': 4, 'udp without ports': 32 },
      'ipv4-malformed.pcap': { unparseable: 2 },
      'ipv6_opt_fragments.pcap': { 'other ports': 1, 'udp without ports': 3 },
      'ipv6_options.pcap': {
        'another protocol over IPv6': 2,
        icmpv6: 1,
        'never-drop': 1,
        'other ports': 2,
      },
      'llc_vlan.pcap': { 'another EtherType': 1 },
      'nanosecs_big_endian.pcap': { 'other ports': 10 },
      'one_tcp_stream.pcap': { 'other ports': 36 },
      'tcp-malformed.pcap': { unparseable: 2 },
      'telnet.pcap': { 'other ports': 4 },
    };
    for (const file of readdirSync(pcapFolder)) {
      const { linkType, frames } = readCapture(readFileSync(join(pcapFolder, file)));
      if (linkType !== 1) continue;
      const found: Partial<Record<Reading, number>> = {};
      for (const frame of frames) {
        if (frame.length < 14) continue;
        const reading = readingOf(frame);
        found[reading] = (found[reading] ?? 0) + 1;
        t.equal(lab.isDropped('ingress', frame), reading !== 'never-drop');
      }
      t.strictSame(found, expected[file], file);
    }
    t.end();
  });
});

/** TEST_RUN of tc programs makes an skb of the frame, and refuses one whose IP header is cut (6.18: EINVAL). */
function isRunAsSkb(frame: Uint8Array): boolean {
  const type = (frame[12] ?? 0) * 256 + (frame[13] ?? 0);
  const headers = { [etherType.ipv4]: 20, [etherType.ipv6]: 40 } as Readonly<Record<number, number>>;
  return frame.length >= 14 + (headers[type] ?? 0);
}

/** TCP to 22, or `last`, behind these extension headers. */
function chain(kinds: readonly number[], last: number = protocol.tcp, payload: Uint8Array = tcp()): Buffer {
  const [first = last] = kinds;
  let [next, bytes]: [number, Uint8Array] = [last, payload];
  for (const kind of kinds.toReversed()) [next, bytes] = [kind, extension(kind, next, bytes)];
  return ipv6(first, bytes);
}

/** xorshift32: the same seed, the same frames. */
function randomFrom(seed: number): () => number {
  let state = seed || 1;
  return () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return state >>> 0;
  };
}
