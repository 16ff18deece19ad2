// Goal: a capture is judged as the packets on the wire would have been, whatever link it was taken on and however
// few bytes of each packet it kept; what it cut within the headers is said to be cut, never to be unparseable.
// Method: the same packets behind every kind of link; every cut of every packet of the fixtures and of generated
// frames, against the verdict over the whole packet. Seed printed; HUSK_SEED replays one.

import { readdirSync, readFileSync } from 'node:fs';
import { join as joinPath, resolve } from 'node:path';
import fc from 'fast-check';
import t from 'tap';
import type { CapturedPacket } from '../../../agent/policy/capture/captured-packet.ts';
import { headerBytes } from '../../../agent/policy/capture/header-bytes.ts';
import { readCapture } from '../../../agent/policy/capture/read-capture.ts';
import { frameFromText } from '../../../agent/policy/cases/frame-text.ts';
import { plainDevice } from '../../../agent/policy/device-view.ts';
import { evaluatePacket } from '../../../agent/policy/evaluate.ts';
import { readAndCheck } from '../../../agent/policy/read.ts';
import { placePacket, simulate, type Where } from '../../../agent/policy/simulate.ts';
import { packetSent } from './arbitrary.ts';
import { join } from './capture/pcapng-blocks.ts';

const seed = Number(process.env.HUSK_SEED ?? Math.floor(Math.random() * 0x7fffffff));
t.comment(`seed ${seed}`);

const { documents, faults } = readAndCheck([
  {
    file: 'p.yaml',
    text: `apiVersion: husk/v1
kind: PacketPolicy
metadata: { name: p }
spec:
  mode: enforce
  zones: { wan: { interfaces: [wan0] } }
  ingress:
    - zone: wan
      default: drop
      rules:
        - { id: flags, protocol: tcp, tcpFlags: { set: [syn], unset: [ack] }, action: allow }
        - { id: high, protocol: sctp, ports: { to: 1024-65535 }, action: allow }
        - { id: dns, protocol: udp, ports: { to: 53 }, action: allow }
        - { id: ping, protocol: icmp, action: allow }
        - { id: ping6, protocol: icmpv6, action: allow }
        - { id: doc, from: 2001:db8::/32, action: allow }
  egress:
    - { zone: wan, default: allow, rules: [{ id: out, protocol: udp, action: drop }] }
`,
  },
]);
t.strictSame(faults, []);
const where: Where = { interface: () => 'wan0', direction: 'ingress' };
const captured = (bytes: Uint8Array, more: Partial<CapturedPacket> = {}): CapturedPacket => ({
  ...{
    index: 0,
    timeNs: 1n,
    linkType: 1,
    bytes,
    originalLength: bytes.length,
    interface: null,
    direction: null,
  },
  ...more,
});
const judge = (packet: CapturedPacket, at = where) => [...simulate(documents, [packet], at)][0]?.judgement;

t.test('the same packet behind any link is judged the same', async (t) => {
  const frame = frameFromText('ipv4 192.0.2.1 > 192.0.2.2 / tcp 40000 > 22 syn');
  const packet = frame.subarray(14);
  const links: readonly (readonly [linkType: number, bytes: Uint8Array])[] = [
    [1, frame],
    [101, packet],
    [228, packet],
    [0, join(Uint8Array.of(2, 0, 0, 0), packet)],
    [113, join(Uint8Array.of(0, 0, 0, 1, 0, 6, 2, 0, 0, 0, 0, 9, 0, 0, 8, 0), packet)],
    [113, join(Uint8Array.of(0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 8, 0), packet)],
    [276, join(Uint8Array.of(8, 0, 0, 0, 0, 0, 0, 1, 0, 1, 0, 6, 2, 0, 0, 0, 0, 9, 0, 0), packet)],
  ];
  for (const [linkType, bytes] of links) {
    t.match(
      judge(captured(bytes, { linkType })),
      { verdict: 'allow', rule: 'p/flags' },
      `link type ${linkType}`,
    );
    // The original length is that of the link's packet: what its header takes is taken off.
    for (let kept = 0; kept <= bytes.length; kept++) {
      const found = judge(captured(bytes.subarray(0, kept), { linkType, originalLength: bytes.length }));
      if (kept === bytes.length) t.match(found, { rule: 'p/flags' });
      else if (found !== null && found !== undefined)
        t.match(found, { rule: 'p/flags' }, `${kept} of ${linkType}`);
    }
  }
});

t.test('a packet without an Ethernet header has no addresses of the link and no tags', async (t) => {
  const read = readAndCheck([
    {
      file: 'p.yaml',
      text: `apiVersion: husk/v1
kind: PacketPolicy
metadata: { name: p }
spec:
  mode: enforce
  zones: { wan: { interfaces: [wan0] } }
  ingress:
    - zone: wan
      default: drop
      rules:
        - { id: zero, mac: { from: "00:00:00:00:00:00" }, action: drop }
        - { id: other, mac: { to: { not: "02:00:00:00:00:77" } }, action: drop }
        - { id: untagged, vlan: none, action: drop }
        - { id: four, etherType: ipv4, action: allow }
        - { id: six, etherType: ipv6, action: allow }
  egress: []
`,
    },
  ]);
  t.strictSame(read.faults, []);
  const by = (linkType: number, bytes: Uint8Array, originalLength = bytes.length) =>
    [...simulate(read.documents, [captured(bytes, { linkType, originalLength })], where)][0];
  const four = frameFromText('ipv4 192.0.2.1 > 192.0.2.2 / tcp 40000 > 22 syn');
  const six = frameFromText('ipv6 2001:db8::1 > 2001:db8::2 / hop-by-hop words 3 / udp 1 > 53');
  for (const linkType of [12, 14, 101, 228]) {
    t.match(by(linkType, four.subarray(14)), { at: { link: 'ip' }, judgement: { rule: 'p/four' } });
  }
  for (const linkType of [101, 229]) t.match(by(linkType, six.subarray(14))?.judgement, { rule: 'p/six' });
  t.match(by(0, join(Uint8Array.of(30, 0, 0, 0), six.subarray(14)))?.judgement, { rule: 'p/six' });
  const tun = join(Uint8Array.of(0, 0, 255, 254, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 8, 0), four.subarray(14));
  t.match(by(113, tun)?.judgement, { rule: 'p/four' }, 'cooked, of a link without addresses');
  t.match(by(1, four), { at: { link: 'ethernet' }, judgement: { rule: 'p/other' } });
  for (const [frame, rule] of [
    [four, 'p/four'],
    [six, 'p/six'],
  ] as const) {
    const packet = frame.subarray(14);
    for (let kept = 1; kept <= packet.length; kept++) {
      const found = by(101, packet.subarray(0, kept), packet.length);
      const isCut = kept + 14 < headerBytes(frame, frame.length);
      t.match(found?.judgement ?? null, isCut ? null : { rule }, `${kept} bytes`);
      if (!isCut) t.equal(found?.at?.frame.length, packet.length);
    }
  }
  t.match(by(101, Uint8Array.of(0x50, ...four.subarray(15)))?.judgement, { reason: 'unparseable' });
});

t.test('direction: as asked, else as the capture says, else ingress', async (t) => {
  const udp = frameFromText('ipv4 192.0.2.1 > 192.0.2.2 / udp 1 > 53');
  const open: Where = { ...where, direction: null };
  const outgoing = join(Uint8Array.of(0, 4, 0, 1, 0, 6, 2, 0, 0, 0, 0, 9, 0, 0, 8, 0), udp.subarray(14));
  t.match(judge(captured(udp), open), { rule: 'p/dns' });
  t.match(judge(captured(udp, { direction: 'egress' }), open), { rule: 'p/out' });
  t.match(judge(captured(outgoing, { linkType: 113 }), open), { rule: 'p/out' });
  t.match(judge(captured(outgoing, { linkType: 113 })), { rule: 'p/dns' });
  t.match(placePacket(captured(udp), { ...where, interface: ({ index }) => `if${index}` }), {
    interface: 'if0',
    at: { interface: 'if0', direction: 'ingress', timeNs: 1n },
  });
});

/** A cut packet is judged as the whole one, or is said to be cut; and it is judged once its headers are there. */
function checkCut(frame: Uint8Array, kept: number): 'judged' | 'cut' {
  const whole = evaluatePacket(
    documents,
    { interface: 'wan0', direction: 'ingress', frame },
    // Of the device nothing is known, as in a simulation.
    plainDevice([]),
  );
  const found = judge(captured(frame.subarray(0, kept), { originalLength: frame.length }));
  const needed = headerBytes(frame, frame.length);
  const hex = Buffer.from(frame).toString('hex');
  if (found === null) {
    if (kept >= Math.min(needed, frame.length))
      throw new Error(`${kept} of ${hex} are enough, said to be cut`);
    return 'cut';
  }
  if (JSON.stringify(found) !== JSON.stringify(whole)) {
    throw new Error(`${kept} of ${hex}: ${JSON.stringify(found)}, as a whole ${JSON.stringify(whole)}`);
  }
  return 'judged';
}

t.test('every cut of the fixtures', async (t) => {
  const folder = resolve(import.meta.dirname, '../../fixtures/pcap');
  const tally = { judged: 0, cut: 0 };
  for (const name of readdirSync(folder)) {
    for (const packet of readCapture(new Uint8Array(readFileSync(joinPath(folder, name)))).packets.slice(
      0,
      40,
    )) {
      if (packet.linkType !== 1 || packet.bytes.length < packet.originalLength) continue;
      for (let kept = 0; kept <= Math.min(packet.bytes.length, 150); kept++)
        tally[checkCut(packet.bytes, kept)]++;
    }
  }
  t.comment(JSON.stringify(tally));
  t.ok(tally.judged > 1000 && tally.cut > 1000);
});

t.test('every cut of generated frames, broken ones among them', async (t) => {
  const tally = { judged: 0, cut: 0 };
  fc.assert(
    fc.property(packetSent, ({ frame }) => {
      for (let kept = 0; kept <= frame.length; kept++) tally[checkCut(frame, kept)]++;
    }),
    { seed, numRuns: 1500, endOnFailure: true },
  );
  t.comment(JSON.stringify(tally));
  t.ok(tally.judged > 1000 && tally.cut > 1000);
});

t.test('headers are where they say they are', async (t) => {
  const sizes: readonly (readonly [text: string, bytes: number])[] = [
    ['arp', 14],
    ['vlan 1 / qinq 2 / arp', 22],
    ['ipv4 192.0.2.1 > 192.0.2.2 / tcp 1 > 2 options 8 / bytes 100', 54],
    ['ipv4 192.0.2.1 > 192.0.2.2 options 40 / udp 1 > 2 / bytes 100', 82],
    ['ipv4 192.0.2.1 > 192.0.2.2 offset 9 / udp 1 > 2 / bytes 100', 34],
    ['ipv4 192.0.2.1 > 192.0.2.2 / gre / bytes 100', 34],
    ['ipv6 :: > ::1 / hop-by-hop words 3 / fragment 0 more / icmpv6 128 0 / bytes 9', 102],
    ['ipv6 :: > ::1 / fragment 5 / udp 1 > 2', 62],
  ];
  for (const [text, bytes] of sizes) {
    const frame = frameFromText(text);
    t.equal(headerBytes(frame, frame.length), bytes, text);
  }
});

t.test('a length that no packet has costs no memory', async (t) => {
  const frame = frameFromText('ipv4 192.0.2.1 > 192.0.2.2 / tcp 1 > 22 syn');
  const placed = placePacket(captured(frame, { originalLength: 0xffff_ffff }), where);
  t.ok((placed.at?.frame.length ?? 0) < 70_000);
  t.match(judge(captured(frame, { originalLength: 0xffff_ffff })), { rule: 'p/flags' });
});
