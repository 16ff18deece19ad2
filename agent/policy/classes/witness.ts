// One packet for a way through a diagram: an ordinary one where there is a choice, as a frame and in words.

import { bytesToWords, formatAddress, parseAddress } from '../addresses.ts';
import { experimentalEtherType } from '../build-packet.ts';
import { type DeviceView, plainDevice } from '../device-view.ts';
import { PacketEvaluator } from '../evaluate.ts';
import type { Judgement, PacketAt } from '../judgement.ts';
import {
  absent,
  addressAt,
  type Field,
  familyAt,
  fields,
  levelOf,
  noTag,
  type Point,
  pointOf,
  situations,
} from './fields.ts';
import { buildFrame, type FrameWanted } from './frame.ts';
import { stateOf } from './lines.ts';
import type { Outcome } from './outcome.ts';
import { packetWords } from './packet-words.ts';
import type { Bundle, Partition } from './partition.ts';
import type { Path } from './paths.ts';
import { walkedIn } from './walked.ts';

export interface Witness {
  /** `tcp 198.51.100.7:49152 → 192.0.2.1:22, syn, state new, in by wan0`. */
  readonly words: string;
  /** In hexadecimal, from the Ethernet header on, or the IP header where `link` is ip. */
  readonly frame: string;
  readonly interface: string;
  readonly cameBy: string | null;
  readonly link: 'ethernet' | 'ip';
  readonly at: Omit<PacketAt, 'givenState'>;
  readonly device: DeviceView;
  readonly situation: (typeof situations)[number] | null;
}

const words = (address: string) => {
  const out = new Uint32Array(4);
  bytesToWords(parseAddress(address), out, 0);
  return out;
};
const ipv4Address = (text: string) => pointOf(words(`::ffff:${text}`), 'ipv4');
const ipv6Address = (text: string) => pointOf(words(text), 'ipv6');

/** What is chosen where a class has it, the first before the second. Documentation addresses (RFC 5737, RFC 3849). */
const preferred: Readonly<Partial<Record<Field, readonly Point[]>>> = {
  toDevice: [1],
  macFrom: [0x020000000002],
  macTo: [0x020000000001],
  vlanOuter: [noTag],
  vlanInner: [noTag],
  etherType: [0x0800, 0x86dd, experimentalEtherType],
  source: [
    ...['198.51.100.7', '203.0.113.7', '192.0.2.7', '10.0.0.7', '192.168.1.7', '172.16.0.7', '8.8.8.8'].map(
      ipv4Address,
    ),
    ...['2001:db8::7', '2001:db8:ff::7', 'fe80::7'].map(ipv6Address),
  ],
  destination: [
    ...['192.0.2.1', '198.51.100.1', '203.0.113.1', '10.0.0.1', '192.168.1.1', '8.8.4.4'].map(ipv4Address),
    ...['2001:db8:1::1', '2001:db8:fe::1', 'fe80::1'].map(ipv6Address),
  ],
  protocol: [6, 17, 1, 58],
  portTo: [443, 22, 53],
  portFrom: [49152],
  tcpFlags: [0x02, 0x10, 0x12],
  icmp: [0x0800, 0x8000],
  fragment: [0, 2],
  hopLimit: [0],
  dscp: [0],
  length: [60, 84, 1500],
};

/** For `leavesWithin`: ordinary packets first. */
export function ordinaryFirst(partition: Partition): (level: number, of: number) => number {
  const ranks = fields.map((field, level) => {
    const classes = (preferred[field] ?? []).map((point) => partition.space.classAt(level, point));
    return new Map(classes.toReversed().map((one, at) => [one, classes.length - 1 - at - classes.length]));
  });
  return (level, one) => ranks[level]?.get(one) ?? one;
}

export function witnessOf(partition: Partition, path: Path): Witness {
  const point = (field: Field) => pointAt(partition, path, field);
  const number = (field: Field) => {
    const value = Number(point(field));
    return value === Number(absent[field]) ? null : value;
  };
  const family = familyAt(point('source') as bigint);
  const vlanOuter = number('vlanOuter');
  const vlans = [vlanOuter, number('vlanInner')].filter((id): id is number => id !== null && id !== noTag);
  const ports =
    number('portTo') === null ? null : { from: number('portFrom') ?? 0, to: number('portTo') ?? 0 };
  const icmp = number('icmp');
  const hasHeader = vlanOuter !== null;
  const length = partition.asksFor('length') ? number('length') : null;
  const wanted: FrameWanted = {
    link: hasHeader ? { macFrom: number('macFrom') ?? 0, macTo: number('macTo') ?? 0, vlans } : null,
    etherType: family === 'other' ? (number('etherType') ?? 0) : family === 'ipv4' ? 0x0800 : 0x86dd,
    ip:
      family === 'other'
        ? null
        : {
            family,
            source: addressAt(point('source') as bigint),
            destination: addressAt(point('destination') as bigint),
            protocol: number('protocol') ?? 0,
            fragment: (['none', 'first', 'later'] as const)[number('fragment') ?? 0] ?? 'none',
            hopLimit: [64, 255, 1][number('hopLimit') ?? 0] ?? 64,
            dscp: number('dscp') ?? 0,
            length,
          },
    ports,
    tcpFlags: number('tcpFlags'),
    icmp: icmp === null ? null : { type: icmp >> 8, code: icmp & 0xff },
  };
  const frame = buildFrame(wanted);
  const name = partition.kinds[number('interface') ?? 0]?.name ?? '';
  const origin = partition.origins[number('origin') ?? 0] ?? null;
  const situation = family === 'other' ? null : (situations[number('situation') ?? 0] ?? null);
  const { direction } = partition;
  const cameBy = origin?.name ?? null;
  const own = number('toDevice') === 1 && wanted.ip !== null ? [ownAddress(wanted.ip)] : [];
  // Some address in any case: an interface that waits for its first one is another matter (PACKETS.md §4).
  own.push(...otherAddresses.filter((one) => !own.includes(one) && !isDestination(wanted, one)).slice(0, 1));
  return {
    words: packetWords(wanted, { situation, direction, interface: name, cameBy }),
    frame: Array.from(frame, (byte) => byte.toString(16).padStart(2, '0')).join(''),
    interface: name,
    cameBy,
    link: hasHeader ? 'ethernet' : 'ip',
    at: { interface: name, direction, frame, cameBy },
    device: deviceOf(name, cameBy, hasHeader ? 'ethernet' : 'ip', own),
    situation,
  };
}

const otherAddresses = ['192.0.2.253/32', '192.0.2.254/32'];
const isDestination = ({ ip }: FrameWanted, address: string) => ip !== null && ownAddress(ip) === address;

const ownAddress = ({ family, destination }: NonNullable<FrameWanted['ip']>) =>
  `${formatAddress(destination, 0)}/${family === 'ipv4' ? 32 : 128}`;

function deviceOf(
  name: string,
  cameBy: string | null,
  link: 'ethernet' | 'ip',
  own: readonly string[],
): DeviceView {
  const names = [...new Set(cameBy === null ? [name] : [name, cameBy])];
  const plain = plainDevice(names, own);
  return {
    ...plain,
    interfaces: plain.interfaces.map((one) => (one.name === name ? { ...one, link } : one)),
  };
}

/** The class on every axis of the packet that is made for a way. */
export const classesOf = ({ space }: Partition, path: Path): readonly number[] =>
  fields.map((field, level) => path[level] ?? space.classAt(level, (preferred[field] ?? [])[0] ?? 0));

/** The point a way asks for; an ordinary one where it leaves a choice. */
function pointAt({ space }: Partition, path: Path, field: Field): Point {
  const level = levelOf[field];
  const one = path[level] ?? null;
  const wanted = preferred[field] ?? [];
  if (one === null) return wanted[0] ?? 0;
  const point = wanted.find((candidate) => space.classAt(level, candidate) === one);
  if (point !== undefined) return point;
  const [first = 0, end = 1] = space.points(level, Int32Array.of(one, one));
  // The first address of a network is seldom anybody's.
  const isAddress = typeof first === 'bigint' && typeof end === 'bigint';
  return isAddress && end - first > 2n ? first + 1n : first;
}

/** What the evaluator says of it under one bundle; the first packet there is, so within every limit. */
export function judged({ at, device, situation }: Witness, bundle: Bundle): Judgement {
  const givenState = situation === null ? null : stateOf(situation, bundle.isStrict);
  return new PacketEvaluator(bundle.documents, device, walkedIn(bundle)).judge({ ...at, givenState });
}

/** What the partition says of it is what the evaluator says: else one of the two is wrong, and nothing may be claimed. */
export function confirm(witness: Witness, bundle: Bundle, outcome: Outcome): void {
  const said = judged(witness, bundle);
  const stage = outcome.stages[0];
  if (
    said.verdict === stage?.verdict &&
    said.rule === stage.rule &&
    said.reason === stage.reason &&
    said.monitored === stage.monitored
  ) {
    return;
  }
  throw new Error(
    `the partition and the evaluator differ over ${witness.words}: ` +
      `${JSON.stringify({ partition: outcome, evaluator: { ...said } })}, frame ${witness.frame}`,
  );
}
