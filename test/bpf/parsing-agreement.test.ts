// Goal: the programs read of every frame, field by field, what the evaluator's parser reads, and call the same frames
// unparseable: with an Ethernet header and without one.
// Method: captures, frames made by hand and frames with bytes turned, cut off or hung on (seed printed; HUSK_SEED
// replays one), run through all twins. What a twin read is on its bench, the packet first.

import { readdirSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import t from 'tap';
import { isIcmpEcho, type Packet, parsePacket } from '../../agent/policy/packet.ts';
import { HUSK_LINK_BARE, HuskReason } from '../../bpf/abi/layout.gen.ts';
import { readCapture } from '../lab/pcap.ts';
import {
  ethernet,
  etherType,
  extension,
  fragmentHeader,
  icmp,
  ipv4,
  ipv6,
  sctp,
  tagged,
  tcp,
  udp,
} from './frames.ts';
import { type Direction, directions, ProgramLab, programsMissing, testRunIfindex } from './lab.ts';

const seed = Number(process.env.HUSK_SEED ?? Date.now() % 2 ** 31);
const rounds = Number(process.env.HUSK_RUNS ?? 6000);
const pcapFolder = resolve(import.meta.dirname, '../fixtures/pcap');
const bareIfindex = 2;
type Link = 'ethernet' | 'ip';

/** Where struct packet of bpf/include/parsing.h has its fields. */
const at = {
  saddr: 0,
  daddr: 16,
  smac: 32,
  dmac: 40,
  fragmentId: 48,
  sport: 52,
  dport: 54,
  etherType: 56,
  length: 58,
  outerVlan: 60,
  innerVlan: 62,
  icmpId: 64,
  layer4: 66,
  family: 68,
  ipProto: 69,
  hopLimit: 70,
  tcpFlags: 71,
  icmpType: 72,
  icmpCode: 73,
  fragment: 74,
  hasPorts: 75,
  hasTcp: 76,
  hasIcmp: 77,
  hasMac: 78,
  dscp: 79,
} as const;

type Reading = Readonly<Record<string, string | number>> | 'unparseable';

/** What both can say of a packet, in the same words. */
function fromEvaluator(packet: Packet | 'unparseable'): Reading {
  if (packet === 'unparseable') return packet;
  const { vlans, macs, ports, icmp, fragment } = packet;
  const vlan = (index: number) => (vlans?.[index] === undefined ? 0 : vlans[index] | 0x1000);
  const hex = (words: Uint32Array) =>
    Array.from(words, (word) => word.toString(16).padStart(8, '0')).join('');
  return {
    family: { ipv4: 1, ipv6: 2, other: 4 }[packet.family],
    etherType: packet.etherType,
    outerVlan: vlan(0),
    innerVlan: vlan(1),
    macs: macs === null ? 'none' : `${macs.from} ${macs.to}`,
    from: hex(packet.source),
    to: hex(packet.destination),
    protocol: packet.protocol ?? 0,
    hopLimit: packet.hopLimit,
    dscp: packet.dscp ?? 0,
    length: packet.length ?? 0,
    fragment: { none: 0, first: 1, later: 2 }[fragment],
    fragmentId: fragment === 'none' ? 0 : packet.fragmentId,
    ports: ports === null ? 'none' : `${ports.from} ${ports.to}`,
    tcpFlags: packet.tcpFlags ?? 'none',
    icmp: icmp === null ? 'none' : `${icmp.type} ${icmp.code} ${isIcmpEcho(packet) ? icmp.id : '-'}`,
  };
}

function fromBench(view: DataView): Reading {
  const u8 = (offset: number) => view.getUint8(offset);
  const u16 = (offset: number) => view.getUint16(offset, true);
  const address = (offset: number) => Buffer.from(view.buffer, view.byteOffset + offset, 16).toString('hex');
  const type = u8(at.icmpType);
  const isEcho = (u8(at.family) === 1 ? [0, 8] : [128, 129]).includes(type);
  return {
    family: u8(at.family),
    etherType: u16(at.etherType),
    outerVlan: u16(at.outerVlan),
    innerVlan: u16(at.innerVlan),
    macs: u8(at.hasMac) ? `${view.getBigUint64(at.smac, true)} ${view.getBigUint64(at.dmac, true)}` : 'none',
    from: address(at.saddr),
    to: address(at.daddr),
    protocol: u8(at.ipProto),
    hopLimit: u8(at.hopLimit),
    dscp: u8(at.dscp),
    length: u16(at.length),
    fragment: u8(at.fragment),
    fragmentId: u8(at.fragment) === 0 ? 0 : view.getUint32(at.fragmentId, true),
    ports: u8(at.hasPorts) ? `${u16(at.sport)} ${u16(at.dport)}` : 'none',
    tcpFlags: u8(at.hasTcp) ? u8(at.tcpFlags) : 'none',
    icmp: u8(at.hasIcmp) ? `${type} ${u8(at.icmpCode)} ${isEcho ? u16(at.icmpId) : '-'}` : 'none',
  };
}

t.test('parsers agree', { skip: programsMissing(), timeout: 120_000 }, async (t) => {
  const lab = await ProgramLab.open();
  t.teardown(() => lab.close());
  t.comment(`HUSK_SEED=${seed}`);
  const random = randomFrom(seed);
  // ARP and neighbour discovery are read before they are allowed: never-drop is off so that one reason is left.
  const zone = { neverDrop: 0 };
  await lab.fill(0, {
    zones: { [testRunIfindex]: zone, [bareIfindex]: { ...zone, link: HUSK_LINK_BARE } },
  });

  const readBy = (direction: Direction, frame: Uint8Array, link: Link): Reading => {
    const { bench, reason } = lab.benchAfter(
      direction,
      0,
      frame,
      link === 'ip' ? bareIfindex : testRunIfindex,
    );
    if (reason === HuskReason.UNPARSEABLE) return 'unparseable';
    if (reason !== HuskReason.DEFAULT) throw new Error(`reason ${reason}`);
    return fromBench(bench);
  };
  let compared = 0;
  const unparseable = { ethernet: 0, ip: 0 };
  const readings = { ethernet: 0, ip: 0 };
  const compare = (frame: Uint8Array, link: Link): void => {
    if (frame.length < 14) return;
    const expected = fromEvaluator(parsePacket(frame, { link }));
    const able = directions.filter((one) => (one === 'ingress' ? link === 'ethernet' : isRunAsSkb(frame)));
    for (const direction of able) {
      const found = readBy(direction, frame, link);
      compared++;
      if (JSON.stringify(found) === JSON.stringify(expected)) continue;
      throw new Error(
        `${direction}, ${link}: ${Buffer.from(frame).toString('hex')}\n${JSON.stringify(found)}\nthe evaluator: ${JSON.stringify(expected)}`,
      );
    }
    (expected === 'unparseable' ? unparseable : readings)[link]++;
  };

  const captured = readdirSync(pcapFolder).flatMap((file) => {
    const { linkType, frames } = readCapture(readFileSync(join(pcapFolder, file)));
    return linkType === 1 ? frames : [];
  });
  const all = [...captured, ...made()];
  await t.test('captures and frames made by hand', (t) => {
    for (const frame of all) {
      compare(frame, 'ethernet');
      compare(frame.subarray(14), 'ip');
    }
    t.comment(`${compared} readings`);
    t.ok(compared > 1000);
    t.end();
  });
  await t.test('frames that lie', (t) => {
    for (let round = 0; round < rounds; round++) {
      const whole = Uint8Array.from(all[random() % all.length] ?? []);
      const link: Link = random() % 3 === 0 ? 'ip' : 'ethernet';
      const start = link === 'ip' ? 14 : 0;
      const frame = damaged(whole.subarray(start), random);
      compare(frame, link);
    }
    t.comment(`read ${JSON.stringify(readings)}, unparseable ${JSON.stringify(unparseable)}`);
    for (const count of [...Object.values(readings), ...Object.values(unparseable)])
      t.ok(count > 100, `${count}`);
    t.end();
  });
});

/** Bytes of the headers turned, the end cut off, or padding hung on. */
function damaged(frame: Uint8Array, random: () => number): Uint8Array {
  const headers = Math.min(frame.length, 90);
  for (let flips = random() % 4; flips > 0; flips--) frame[random() % headers] = random() & 255;
  const how = random() % 4;
  if (how === 0) return frame.subarray(0, Math.max(14, random() % (frame.length + 1)));
  return how === 1 ? Buffer.concat([frame, Buffer.alloc(random() % 40, 0xaa)]) : frame;
}

function made(): readonly Uint8Array[] {
  const layer4: readonly (readonly [number, Uint8Array])[] = [
    [6, tcp({ words: 8 })],
    [17, udp()],
    [132, sctp()],
    [136, udp({ length: 0 })],
    [1, icmp(8)],
    [1, icmp(13)],
    [58, icmp(128)],
    [58, icmp(135)],
    [47, Buffer.alloc(8)],
    [50, Buffer.alloc(8)],
  ];
  const four = layer4.flatMap(([proto, bytes]) => [
    ipv4(proto, bytes),
    ipv4(proto, bytes, { words: 9 }),
    ipv4(proto, bytes, { fragment: 0x2000 }),
    ipv4(proto, bytes, { fragment: 0x2003 }),
  ]);
  const six = layer4.flatMap(([proto, bytes]) => [
    ipv6(proto, bytes),
    ipv6(44, fragmentHeader(proto, 0, true, bytes)),
    ipv6(44, fragmentHeader(proto, 9, false, bytes)),
    ipv6(0, extension(0, 60, extension(60, 43, extension(43, proto, bytes), 3))),
    ipv6(51, extension(51, 135, extension(135, 44, fragmentHeader(proto, 0, false, bytes)), 4)),
  ]);
  const plain = [...four, ...six, ethernet(0x88cc, Buffer.alloc(40)), ethernet(40, Buffer.alloc(40))];
  const { vlan, qinq } = etherType;
  return [
    ...plain,
    ...plain.map((frame) => tagged(frame, vlan)),
    ...plain.map((frame) => tagged(frame, qinq, vlan)),
    ...plain.slice(0, 4).map((frame) => tagged(frame, qinq, vlan, vlan)),
  ];
}

/** TEST_RUN of tc programs makes an skb of the frame, and refuses one whose IP header is cut (6.18: EINVAL). */
function isRunAsSkb(frame: Uint8Array): boolean {
  const type = (frame[12] ?? 0) * 256 + (frame[13] ?? 0);
  const headers = { [etherType.ipv4]: 20, [etherType.ipv6]: 40 } as Readonly<Record<number, number>>;
  return frame.length >= 14 + (headers[type] ?? 1);
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
