// A world so small that every packet of it can be judged: a few hosts, ports, flags and types, all states. Policies are
// drawn from the same values, so that rules overlap, cover one another and are hit.

import type {
  Expectation,
  PacketMatch,
  PacketPolicy,
  PacketRule,
  ZoneRules,
} from '../../../../agent/contract/policy.ts';
import { bytesToWords, parseAddress } from '../../../../agent/policy/addresses.ts';
import { isLeaf, leafNumber, type NodeId } from '../../../../agent/policy/classes/diagram.ts';
import {
  absent,
  type Field,
  fields,
  levelOf,
  noTag,
  type Point,
  pointOf,
  situations,
} from '../../../../agent/policy/classes/fields.ts';
import { buildFrame, type FrameWanted } from '../../../../agent/policy/classes/frame.ts';
import { stateOf } from '../../../../agent/policy/classes/lines.ts';
import type { Bundle, Partition } from '../../../../agent/policy/classes/partition.ts';
import { type DeviceView, plainDevice } from '../../../../agent/policy/device-view.ts';
import { PacketEvaluator } from '../../../../agent/policy/evaluate.ts';
import type { Judgement } from '../../../../agent/policy/judgement.ts';

/** Numbers that a seed says all of (mulberry32). */
export class Draw {
  #state: number;
  constructor(seed: number) {
    this.#state = seed >>> 0;
  }
  next(): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0;
    let x = this.#state;
    x = Math.imul(x ^ (x >>> 15), x | 1);
    x ^= x + Math.imul(x ^ (x >>> 7), x | 61);
    return ((x ^ (x >>> 14)) >>> 0) / 2 ** 32;
  }
  below(end: number): number {
    return Math.floor(this.next() * end);
  }
  once(of: number): boolean {
    return this.below(of) === 0;
  }
  one<T>(of: readonly T[]): T {
    const chosen = of[this.below(of.length)];
    if (chosen === undefined) throw new RangeError('nothing to draw from');
    return chosen;
  }
  some<T>(of: readonly T[]): readonly T[] {
    const chosen = of.filter(() => this.once(2));
    return chosen.length === 0 ? [this.one(of)] : chosen;
  }
}

export const interfaces = ['wan0', 'wan1', 'lan0'] as const;
const zones = { wan: { interfaces: ['wan*'] }, lan: { interfaces: ['lan?'] } };
const cameBy = [null, 'lan0', 'none0'] as const;

const hosts4 = ['192.0.2.1', '192.0.2.130', '10.0.0.1'];
const hosts6 = ['2001:db8::1', '2001:db8:1::1', 'fe80::1'];
const groups = ['224.0.0.1', 'ff02::1'];
const entries = [
  ...hosts4,
  ...hosts6,
  '192.0.2.0/25',
  '192.0.2.0/24',
  '10.0.0.0/8',
  '2001:db8::/64',
  '2001:db8::/32',
  '0.0.0.0/0',
  '::/0',
  '192.0.2.1-192.0.2.130',
];

/** A packet with a point on every axis. */
export interface TinyPacket {
  readonly frame: Uint8Array;
  readonly points: Readonly<Record<Field, Point>>;
  readonly interface: string;
  readonly cameBy: string | null;
  readonly situation: (typeof situations)[number] | null;
  readonly isToDevice: boolean;
}

const lost = Object.fromEntries(fields.map((field) => [field, absent[field] ?? 0])) as Record<Field, Point>;

const wordsOf = (address: string) => {
  const words = new Uint32Array(4);
  const bytes = parseAddress(address);
  bytesToWords(bytes, words, 0);
  return words;
};

type Layer4 = Pick<FrameWanted, 'ports' | 'tcpFlags' | 'icmp'> & { readonly protocol: number };
const without = { ports: null, tcpFlags: null, icmp: null } as const;
const portValues = [22, 53];

function layer4s(family: 'ipv4' | 'ipv6'): readonly Layer4[] {
  const types =
    family === 'ipv4'
      ? [
          [8, 0],
          [3, 4],
          [0, 0],
          [9, 0],
        ]
      : [
          [128, 0],
          [1, 0],
          [135, 0],
          [143, 0],
          [129, 0],
        ];
  return [
    ...[0x02, 0x10, 0x04].flatMap((tcpFlags) =>
      portValues.map((to) => ({ ...without, protocol: 6, ports: { from: 67, to }, tcpFlags })),
    ),
    ...[
      { from: 67, to: 68 },
      { from: 68, to: 67 },
      { from: 547, to: 546 },
      { from: 9, to: 53 },
    ].map((ports) => ({ ...without, protocol: 17, ports })),
    { ...without, protocol: 136, ports: { from: 22, to: 53 } },
    { ...without, protocol: 47 },
    ...types.map(([type = 0, code = 0]) => ({
      ...without,
      protocol: family === 'ipv4' ? 1 : 58,
      icmp: { type, code },
    })),
    // The other family's ICMP has no header that would be read.
    { ...without, protocol: family === 'ipv4' ? 58 : 1 },
  ];
}

/** What may be said of a packet's connection, by the table of PACKETS.md §5 and not by what is under test. */
function situationsOf(
  family: 'ipv4' | 'ipv6',
  { protocol, tcpFlags, icmp }: Layer4,
  isLater: boolean,
): readonly (typeof situations)[number][] {
  const isIcmp = protocol === (family === 'ipv4' ? 1 : 58);
  if (isLater)
    return protocol === 6
      ? ['new', 'established', 'invalid', 'midstream', 'unanswered']
      : ['new', 'established', 'invalid'];
  if (tcpFlags !== null) {
    if ((tcpFlags & 0x04) !== 0) return ['new', 'established', 'invalid'];
    return (tcpFlags & 0x12) === 0x10 ? ['established', 'midstream', 'unanswered'] : ['new', 'established'];
  }
  if (!isIcmp || icmp === null) return ['new', 'established'];
  const isError = family === 'ipv4' ? icmp.type === 3 : icmp.type === 1;
  if (isError) return ['related', 'invalid'];
  if (icmp.type === (family === 'ipv4' ? 0 : 129)) return ['established', 'invalid'];
  return icmp.type === 8 || icmp.type === 128 ? ['new', 'established'] : ['new'];
}

/** Every packet of the world at one interface; `thin` keeps one in so many. */
export function tinyPackets(
  direction: 'ingress' | 'egress',
  draw: Draw,
  thin: number,
): readonly TinyPacket[] {
  const packets: TinyPacket[] = [];
  const links = [
    { macFrom: 1, macTo: 2, vlans: [] },
    { macFrom: 3, macTo: 2, vlans: [5] },
    { macFrom: 1, macTo: 2, vlans: [5, 7] },
  ] as const;
  const origins = direction === 'egress' ? cameBy : [null];
  for (const family of ['ipv4', 'ipv6'] as const) {
    const hosts = family === 'ipv4' ? hosts4 : hosts6;
    const destinations = [...hosts, ...groups.filter((one) => one.includes(':') === (family === 'ipv6'))];
    for (const from of hosts)
      for (const to of destinations)
        for (const layer4 of layer4s(family))
          for (const fragment of ['none', 'first', 'later'] as const)
            for (const situation of situationsOf(family, layer4, fragment === 'later')) {
              for (const by of origins)
                for (const isToDevice of direction === 'egress' || groups.includes(to)
                  ? [groups.includes(to)]
                  : [true, false]) {
                  if (!draw.once(thin)) continue;
                  const { protocol, ...header } = layer4;
                  const ip = {
                    family,
                    source: wordsOf4(from, family),
                    destination: wordsOf4(to, family),
                    protocol,
                    fragment,
                    hopLimit: draw.one([64, 255, 1]),
                    dscp: draw.one([0, 46]),
                    length: draw.one([100, 600]),
                  };
                  const wanted: FrameWanted = {
                    link: draw.one(links),
                    etherType: family === 'ipv4' ? 0x0800 : 0x86dd,
                    ip,
                    ...(fragment === 'later' ? without : header),
                  };
                  packets.push(
                    tinyPacket(wanted, {
                      interface: draw.one(interfaces),
                      cameBy: by,
                      situation,
                      isToDevice,
                      direction,
                    }),
                  );
                }
            }
  }
  for (const etherType of [0x0806, 0x88cc, 0x88b5])
    for (const link of links)
      for (const by of origins) {
        const wanted: FrameWanted = { link, etherType, ip: null, ...without };
        packets.push(
          tinyPacket(wanted, {
            interface: draw.one(interfaces),
            cameBy: by,
            situation: null,
            isToDevice: false,
            direction,
          }),
        );
      }
  return packets;
}

const wordsOf4 = (address: string, family: 'ipv4' | 'ipv6') =>
  wordsOf(family === 'ipv4' ? `::ffff:${address}` : address);

function tinyPacket(
  wanted: FrameWanted,
  place: Pick<TinyPacket, 'interface' | 'cameBy' | 'situation' | 'isToDevice'> & {
    readonly direction: 'ingress' | 'egress';
  },
): TinyPacket {
  const { ip, link, ports, tcpFlags, icmp, etherType } = wanted;
  const { direction, ...rest } = place;
  const points: Record<Field, Point> = { ...lost, etherType };
  if (link !== null) {
    points.macFrom = link.macFrom;
    points.macTo = link.macTo;
    points.vlanOuter = link.vlans[0] ?? noTag;
    points.vlanInner = link.vlans[1] ?? noTag;
  }
  if (ip !== null) {
    points.source = pointOf(ip.source, ip.family);
    points.destination = pointOf(ip.destination, ip.family);
    points.protocol = ip.protocol;
    points.fragment = ['none', 'first', 'later'].indexOf(ip.fragment);
    points.hopLimit = ip.hopLimit === 255 ? 1 : ip.hopLimit === 1 ? 2 : 0;
    points.dscp = ip.dscp;
    if (ip.length !== null) points.length = ip.length;
    if (direction === 'ingress') points.toDevice = place.isToDevice ? 1 : 0;
  }
  if (place.situation !== null) points.situation = situations.indexOf(place.situation);
  if (ports !== null) [points.portFrom, points.portTo] = [ports.from, ports.to];
  if (tcpFlags !== null) points.tcpFlags = tcpFlags;
  if (icmp !== null) points.icmp = icmp.type * 256 + icmp.code;
  return { frame: buildFrame(wanted), points, ...rest };
}

/** The leaf of a packet. */
export function leafAt(
  partition: Partition,
  root: NodeId,
  { points, interface: name, cameBy: by }: TinyPacket,
): number {
  let node = root;
  while (!isLeaf(node)) {
    const level = partition.diagrams.level(node);
    const { lasts, kids } = partition.diagrams.edges(node);
    const one = partition.space.classAt(level, pointAt(partition, level, points, name, by));
    node = kids[lasts.findIndex((last) => one <= last)] ?? 0;
  }
  return leafNumber(node);
}

function pointAt(
  partition: Partition,
  level: number,
  points: TinyPacket['points'],
  name: string,
  by: string | null,
): Point {
  if (level === levelOf.interface)
    return partition.kinds.findIndex((kind) => kindOf(kind.name) === kindOf(name));
  if (level === levelOf.origin) {
    return partition.origins.findIndex((origin) =>
      origin === null ? by === null : by !== null && kindOf(origin.name) === kindOf(by),
    );
  }
  const field = fields[level];
  return field === undefined ? 0 : points[field];
}

/** wan0 is told apart from other wan interfaces by some rules; all other names go by their zone. */
const kindOf = (name: string) =>
  name === 'wan0' ? name : (/^(wan|lan.$)/.exec(name)?.[0].slice(0, 3) ?? 'none');

/** Judges packets of the world under a bundle, each as the first there is. */
export class Judge {
  readonly #bundle: Bundle;
  readonly #evaluators: Readonly<Record<'own' | 'foreign', PacketEvaluator>>;
  constructor(bundle: Bundle) {
    this.#bundle = bundle;
    const names = [...interfaces, 'none0'];
    const own = [...hosts4.map((host) => `${host}/32`), ...hosts6.map((host) => `${host}/128`)];
    // Each interface has some address: one that awaits its first is another matter.
    const addressed = ({ interfaces, ...device }: DeviceView): DeviceView => ({
      ...device,
      interfaces: interfaces.map((one) => ({ ...one, addresses: [...one.addresses, '192.0.2.250/32'] })),
    });
    const evaluator = (addresses: readonly string[]) =>
      new PacketEvaluator(bundle.documents, addressed(plainDevice(names, addresses)));
    this.#evaluators = { own: evaluator(own), foreign: evaluator([]) };
  }
  judge(packet: TinyPacket, direction: 'ingress' | 'egress', timeNs: bigint): Judgement {
    const { situation, isToDevice, frame } = packet;
    const givenState = situation === null ? null : stateOf(situation, this.#bundle.isStrict);
    const at = { interface: packet.interface, direction, frame, cameBy: packet.cameBy, givenState, timeNs };
    return this.#evaluators[isToDevice ? 'own' : 'foreign'].judge(at);
  }
  /** As one of many, in the state that the evaluator finds. */
  follow(
    { frame, cameBy: by, interface: name }: TinyPacket,
    direction: 'ingress' | 'egress',
    timeNs: bigint,
  ): Judgement {
    return this.#evaluators.own.judge({ interface: name, direction, frame, cameBy: by, timeNs });
  }
}

const maybe = <K extends string, V>(draw: Draw, of: number, key: K, value: () => V): Partial<Record<K, V>> =>
  draw.once(of) ? ({ [key]: value() } as Record<K, V>) : {};
const orNot = <T>(draw: Draw, value: T): T | { readonly not: T } => (draw.once(4) ? { not: value } : value);

/** Conditions of the small world, few of them at a time. */
function tinyMatch(draw: Draw, direction: 'ingress' | 'egress'): PacketMatch {
  const address = () =>
    draw.once(5)
      ? ({ set: 'some', not: draw.once(3) } as const)
      : orNot(draw, draw.some(entries.filter(() => draw.once(4)).concat(draw.one(entries))));
  const layer4 = (): PacketMatch => {
    switch (draw.below(8)) {
      case 0:
      case 1:
        return {
          protocol: 'tcp',
          ...maybe(draw, 2, 'ports', () => ({ to: orNot(draw, draw.one([22, 53, '22-60'] as const)) })),
          ...maybe(draw, 4, 'tcpFlags', () =>
            draw.one([{ set: ['syn'], unset: ['ack'] }, { set: ['ack'] }, { unset: ['syn'] }] as const),
          ),
        };
      case 2:
        return {
          protocol: 'udp',
          ...maybe(draw, 2, 'ports', () =>
            draw.one([{ to: 53 }, { from: 67 }, { from: '1-70', to: [53, 68] }] as const),
          ),
        };
      case 3:
        return {
          protocol: draw.once(2) ? 'icmp' : 'icmpv6',
          icmp: orNot(draw, draw.one([8, '3/4', '0-8', 135, '128-129'])),
        };
      case 4:
        return { protocol: orNot(draw, draw.one([['tcp', 'udp'] as const, 47, 'udplite' as const])) };
      default:
        return {};
    }
  };
  const family = () => draw.one(['ipv4', 'ipv6'] as const);
  return {
    ...maybe(draw, 3, 'from', address),
    ...maybe(draw, 3, 'to', address),
    ...layer4(),
    ...maybe(draw, 8, 'family', family),
    ...maybe(draw, 4, 'state', () => draw.some(['new', 'established', 'related', 'invalid'] as const)),
    ...(direction === 'ingress'
      ? maybe(draw, 5, 'toDevice', () => draw.once(2))
      : maybe(draw, 4, 'origin', () => orNot(draw, draw.some(['device', 'lan'])))),
    ...maybe(draw, 8, 'etherType', () => orNot(draw, draw.one(['lldp', 'ipv4', 'arp'] as const))),
    ...maybe(draw, 8, 'fragment', () => draw.one(['any', 'first', 'later', 'none'] as const)),
  };
}

function tinyRule(draw: Draw, direction: 'ingress' | 'egress', id: string): PacketRule {
  return {
    ...tinyMatch(draw, direction),
    ...maybe(draw, 10, 'interface', () => orNot(draw, draw.one(['wan0', 'w*']))),
    ...maybe(draw, 8, 'vlan', () =>
      draw.one(['none', 5, { outer: 5, inner: 'none' }, { inner: 7 }] as const),
    ),
    ...maybe(draw, 8, 'mac', () => ({ from: orNot(draw, '00:00:00:00:00:01') })),
    ...maybe(draw, 8, 'dscp', () => orNot(draw, 'ef')),
    ...maybe(draw, 8, 'length', () => orNot(draw, '0-500')),
    id,
    action: draw.one(['allow', 'allow', 'drop', 'drop', 'reject', 'log'] as const),
    ...maybe(draw, 6, 'mode', () => draw.one(['monitor', 'off'] as const)),
    ...maybe(draw, 10, 'limit', () => ({
      rate: '10/s',
      burst: 1,
      over: draw.one(['drop', 'next'] as const),
    })),
  };
}

export function tinyPolicy(draw: Draw, rules = 8): PacketPolicy {
  const list = (direction: 'ingress' | 'egress'): readonly ZoneRules[] =>
    (['wan', 'lan'] as const).map((zone) => ({
      zone,
      default: draw.one(['allow', 'drop', 'reject'] as const),
      rules: Array.from({ length: draw.below(rules + 1) }, (_, at) =>
        tinyRule(draw, direction, `${zone}-${direction}-${at}`),
      ),
    }));
  return {
    apiVersion: 'husk/v1',
    kind: 'PacketPolicy',
    metadata: { name: 'tiny' },
    spec: {
      mode: draw.once(12) ? 'monitor' : 'enforce',
      zones,
      sets: { some: draw.some(entries) },
      connections: { tcp: draw.one(['strict', 'loose'] as const) },
      ingress: list('ingress'),
      egress: draw.once(6) ? [] : list('egress'),
    },
  };
}

/** The policy with one list changed: a rule added, removed, moved or written otherwise. */
export function changed(draw: Draw, policy: PacketPolicy): PacketPolicy {
  const direction = draw.one(['ingress', 'egress'] as const);
  const lists = policy.spec[direction].map((list): ZoneRules => {
    const rules = [...list.rules];
    const at = draw.below(rules.length + 1);
    const fresh = tinyRule(draw, direction, `${list.zone}-fresh`);
    if (draw.once(4) && rules.length > 0) return { ...list, rules: rules.slice(1) };
    if (draw.once(4)) return { ...list, default: draw.one(['allow', 'drop'] as const) };
    rules.splice(at, draw.below(2), fresh);
    return { ...list, rules };
  });
  return { ...policy, spec: { ...policy.spec, [direction]: lists } };
}

export function tinyExpectation(draw: Draw, id: string): Expectation {
  const direction = draw.one(['ingress', 'egress'] as const);
  return {
    ...tinyMatch(draw, direction),
    id,
    direction,
    zone: draw.one(['wan', 'lan']),
    verdict: draw.one(['allow', 'drop'] as const),
  };
}
