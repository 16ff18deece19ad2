// What a policy would have made of captured packets: the one place where captures meet a judge.
//
// A capture knows link types and cut packets, a judge knows frames on an interface, and IP packets on one whose link
// has no header: there no condition on MAC addresses or VLANs holds. What lies between is here
// and small on purpose, so that another judge (the kernel's programs, by way of the agent) gets the same frames.

import type { PolicyDocument } from '../contract/policy.ts';
import type { CapturedPacket } from './capture/captured-packet.ts';
import { headerBytes } from './capture/header-bytes.ts';
import { decapsulate } from './capture/link-types.ts';
import { deviceOfAddresses } from './device-view.ts';
import { type PacketAt, PacketEvaluator } from './evaluate.ts';
import type { Direction } from './ids.ts';
import type { Judgement } from './judgement.ts';
import { etherTypes } from './packet.ts';

/** A packet as a judge takes it; state and limits go by the time. */
export interface JudgedAt extends Omit<PacketAt, 'timeNs'> {
  /** Nanoseconds since 1970; null where the capture has no time. */
  readonly timeNs: bigint | null;
}

export interface Where {
  /** The interface that packets are judged at; by packet, where a capture names interfaces of its own. */
  readonly interface: (packet: CapturedPacket) => string;
  /** null: as the capture says, and ingress where it says nothing. */
  readonly direction: Direction | null;
}

export interface PlacedPacket {
  readonly packet: CapturedPacket;
  readonly interface: string;
  readonly direction: Direction;
  /** What is judged; null: the capture cut the packet within its headers, so that nobody can say. */
  readonly at: JudgedAt | null;
}

export interface SimulatedPacket extends PlacedPacket {
  /** null where `at` is. */
  readonly judgement: Judgement | null;
}

/** Judges packets in their order. The documents must be checked ones; `own` are the device's addresses. */
export function* simulate(
  documents: readonly PolicyDocument[],
  packets: Iterable<CapturedPacket>,
  where: Where,
  own: readonly string[] = [],
): Generator<SimulatedPacket> {
  const evaluator = new PacketEvaluator(documents, deviceOfAddresses(own));
  for (const packet of packets) {
    const placed = placePacket(packet, where);
    const { at } = placed;
    const judgement = at === null ? null : evaluator.judge({ ...at, timeNs: at.timeNs ?? 0n });
    yield { ...placed, judgement };
  }
}

/** A captured packet as something to judge. */
export function placePacket(packet: CapturedPacket, where: Where): PlacedPacket {
  const { packet: link, removed, direction: told } = decapsulate(packet.linkType, packet.bytes);
  const direction = where.direction ?? packet.direction ?? told ?? 'ingress';
  const name = where.interface(packet);
  const placed = { packet, interface: name, direction };
  if (link.kind === 'cut-short') return { ...placed, at: null };
  const bytes = wholeOf(link.kind, link.bytes, packet.originalLength - removed);
  if (bytes === null) return { ...placed, at: null };
  return {
    ...placed,
    at: { interface: name, direction, link: link.kind, frame: bytes, timeNs: packet.timeNs },
  };
}

const ethernetBytes = 14;

/**
 * The packet as long as it was on the wire; null where its headers were cut. Without a link header it goes by the
 * version in it, as on an interface of that kind.
 */
function wholeOf(kind: 'ethernet' | 'ip', bytes: Uint8Array, onWire: number): Uint8Array | null {
  if (onWire <= bytes.length) return bytes;
  const [frame, before] = kind === 'ip' ? [framed(bytes), ethernetBytes] : [bytes, 0];
  return headerBytes(frame, onWire + before) > frame.length ? null : lengthened(bytes, onWire);
}

/** Behind an Ethernet header, where headers are looked for. */
function framed(packet: Uint8Array): Uint8Array {
  const frame = new Uint8Array(ethernetBytes + packet.length);
  const isIpv6 = (packet[0] ?? 0) >> 4 === 6;
  new DataView(frame.buffer).setUint16(12, isIpv6 ? etherTypes.ipv6 : etherTypes.ipv4);
  frame.set(packet, ethernetBytes);
  return frame;
}

/** An Ethernet header, two VLAN tags, an IPv6 header and the most it can state: nothing behind that is looked at. */
const frameBytesMax = ethernetBytes + 8 + 40 + 65_535;

/**
 * As long as it was on the wire, with zeros for what the capture left out: lengths in headers are held against
 * the length of the packet, and payload decides nothing.
 */
function lengthened(frame: Uint8Array, onWire: number): Uint8Array {
  const whole = new Uint8Array(Math.min(onWire, Math.max(frameBytesMax, frame.length)));
  whole.set(frame);
  return whole;
}
