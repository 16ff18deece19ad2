// Packets inside the conditions of a rule, the most promising first.

import type { ConnectionState } from '../contract/policy.ts';
import { bytesToWords, parseAddress } from './addresses.ts';
import { experimentalEtherType, ordinaryPacket, type PacketWanted } from './build-packet.ts';
import type { DeviceView } from './device-view.ts';
import { protocolNumbers, protocolsWithPorts } from './numbers.ts';
import {
  fragmentBits,
  type Macs,
  type PacketConditions,
  type PacketFamily,
  stateBits,
} from './packet-conditions.ts';
import { allPorts, type PortRange } from './ports.ts';
import { holds } from './ranges.ts';
import { addressSamples, combinations, portSamples } from './sample.ts';

/** A packet and what is said of its connection. */
export interface Candidate {
  readonly wanted: PacketWanted;
  readonly state: ConnectionState | null;
}

/** RFC 5737, RFC 3849: addresses for documentation, nobody's. */
const preferred = {
  ipv4: {
    source: Uint32Array.of(0, 0, 0xffff, 0xc0000201),
    destination: Uint32Array.of(0, 0, 0xffff, 0xc6336401),
  },
  ipv6: { source: Uint32Array.of(0x20010db8, 0, 0, 1), destination: Uint32Array.of(0x20010db8, 1, 0, 1) },
} as const;
/** Groups of all nodes: to the device, whatever addresses it has. */
const groups = {
  ipv4: Uint32Array.of(0, 0, 0xffff, 0xe0000001),
  ipv6: Uint32Array.of(0xff020000, 0, 0, 1),
} as const;
/** RFC 3692 experiment first: nothing speaks it. */
const protocolsTried: readonly number[] = [ordinaryPacket.protocol, 17, 6, 132, 136, 47, 1, 58];
/** A test run takes a page, less what the kernel keeps of it. */
const lengthMax = 3000;

/**
 * `avoid`: what rules that took earlier packets are about, which these keep out of as far as they can.
 * At most `limit` packets.
 */
export function candidates(
  reach: PacketConditions,
  family: PacketFamily,
  avoid: readonly PacketConditions[],
  { link, device, limit }: Around,
): Iterable<Candidate> {
  if (family !== 'other') return ipPackets(reach, family, avoid, { link, device, limit });
  return link === 'ethernet' ? otherFrames(reach, avoid, limit) : [];
}

interface Around {
  readonly link: PacketWanted['link'];
  readonly device: DeviceView;
  readonly limit: number;
}

function* otherFrames(
  reach: PacketConditions,
  avoid: readonly PacketConditions[],
  limit: number,
): Generator<Candidate> {
  const etherTypes = portSamples(
    reach.etherTypes ?? [allPorts],
    [...avoid.flatMap((one) => (one.etherTypes === null ? [] : [one.etherTypes])), readAsOther],
    experimentalEtherType,
  );
  yield* mixed(
    [etherTypes, vlanLists(reach), macPairs(reach)] as const,
    limit,
    ([etherType, vlans, macs]) => ({
      wanted: { ...ordinaryPacket, etherType, vlans, macs },
      state: null,
    }),
  );
}

/** EtherTypes that make a frame IP, or a tag. */
const readAsOther: readonly PortRange[] = [0x0800, 0x8100, 0x86dd, 0x88a8].map((one) => ({
  first: one,
  last: one,
}));

function* ipPackets(
  reach: PacketConditions,
  family: Exclude<PacketFamily, 'other'>,
  avoid: readonly PacketConditions[],
  { link, device, limit }: Around,
): Generator<Candidate> {
  const inFamily = avoid.filter((one) => one.families.includes(family));
  const addresses = (side: 'from' | 'to', wanted: Uint32Array) =>
    addressSamples(
      reach[side][family],
      inFamily.map((one) => one[side][family]),
      wanted,
    );
  const ports = (side: 'from' | 'to') =>
    portSamples(
      reach.ports?.[side] ?? [allPorts],
      inFamily.flatMap((one) => one.ports?.[side] ?? []).map((one) => [one]),
      ordinaryPacket.ports[side],
    );
  const number = family === 'ipv4' ? 4 : 6;
  const lists = [
    addresses('from', preferred[family].source),
    destinations(reach, family, addresses('to', preferred[family].destination), device),
    protocolsFor(reach, family, inFamily),
    ports('to'),
    ports('from'),
    flagSamples(reach),
    fragmentsFor(reach),
    statesFor(reach, inFamily),
    icmpFor(reach, inFamily),
    numbersFor(
      reach.dscp,
      inFamily.map(({ dscp }) => dscp),
      ordinaryPacket.dscp,
      63,
    ),
    numbersFor(
      reach.length,
      inFamily.map(({ length }) => length),
      0,
      lengthMax,
    ),
    vlanLists(reach),
    macPairs(reach),
  ] as const;
  yield* mixed(
    lists,
    limit,
    ([
      source,
      destination,
      protocol,
      to,
      from,
      tcpFlags,
      fragment,
      state,
      icmp,
      dscp,
      length,
      vlans,
      macs,
    ]) => ({
      wanted: {
        ...ordinaryPacket,
        link,
        addresses: { source, destination, family: number },
        protocol,
        ports: { from, to },
        tcpFlags,
        fragment,
        icmp,
        dscp,
        length,
        vlans: link === 'ip' ? [] : vlans,
        macs,
      },
      state,
    }),
  );
}

/** For a rule about the device itself its own addresses and groups, as far as the rule is about those. */
function destinations(
  { to, toDevice }: PacketConditions,
  family: 'ipv4' | 'ipv6',
  samples: readonly Uint32Array[],
  device: DeviceView,
): readonly Uint32Array[] {
  if (toDevice !== true) return samples;
  const own = device.interfaces.flatMap(({ addresses }) => addresses.map(ownAddress));
  return [
    ...own.filter((one) => one.family === family).map(({ words }) => words),
    groups[family],
    ...samples,
  ].filter((one) => holds(to[family], one, 0));
}

function ownAddress(text: string): { readonly family: 'ipv4' | 'ipv6'; readonly words: Uint32Array } {
  const [address = ''] = text.split('/');
  const words = new Uint32Array(4);
  bytesToWords(parseAddress(address), words, 0);
  return { family: address.includes(':') ? 'ipv6' : 'ipv4', words };
}

/** Protocols no earlier rule names, first; then the others. */
function protocolsFor(
  { protocols, ports, icmp }: PacketConditions,
  family: 'ipv4' | 'ipv6',
  avoid: readonly PacketConditions[],
): readonly number[] {
  const named = new Set(avoid.flatMap((one) => (one.protocols?.length === 256 ? [] : (one.protocols ?? []))));
  const own = family === 'ipv4' ? protocolNumbers.icmp : protocolNumbers.icmpv6;
  const all = (protocols ?? protocolsTried).filter(
    (one) =>
      (ports === null || protocolsWithPorts.includes(one)) &&
      (icmp === null || one === own) &&
      // Next headers that are stepped over are no protocol to try.
      (family === 'ipv4' || !steppedOver.has(one)),
  );
  const ranked = [...all.filter((one) => !named.has(one)), ...all.filter((one) => named.has(one))];
  const usual = ranked.filter((one) => protocolsTried.includes(one));
  return [...usual, ...ranked.filter((one) => !protocolsTried.includes(one))].slice(0, 12);
}

const steppedOver: ReadonlySet<number> = new Set([0, 43, 44, 51, 60, 135, 139, 140]);

/** Every setting of the eight flags that fits, the fewest flags first. */
function flagSamples({ tcpFlags }: PacketConditions): readonly number[] {
  if (tcpFlags === null) return [ordinaryPacket.tcpFlags, 0x10, 0x18, 0x01];
  const bitCount = (bits: number) => bits.toString(2).replaceAll('0', '').length;
  const all = Array.from({ length: 256 }, (_, bits) => bits);
  const fitting = all.filter((bits) => (bits & tcpFlags.mask) === tcpFlags.value);
  return fitting.toSorted((a, b) => bitCount(a) - bitCount(b) || a - b);
}

function fragmentsFor({
  fragments,
  ports,
  tcpFlags,
  icmp,
}: PacketConditions): readonly PacketWanted['fragment'][] {
  const hasHeader = ports !== null || tcpFlags !== null || icmp !== null;
  return (['none', 'later', 'first'] as const).filter(
    (one) => (fragments === null || (fragments & fragmentBits[one]) !== 0) && !(one === 'later' && hasHeader),
  );
}

/** What no earlier rule asks for, first. */
function statesFor(
  { states }: PacketConditions,
  avoid: readonly PacketConditions[],
): readonly ConnectionState[] {
  const all = (['new', 'established', 'related', 'invalid'] as const).filter(
    (one) => states === null || (states & stateBits[one]) !== 0,
  );
  const isTaken = (one: ConnectionState) =>
    avoid.some(({ states: other }) => other !== null && (other & stateBits[one]) !== 0);
  return [...all.filter((one) => !isTaken(one)), ...all.filter(isTaken)];
}

function icmpFor({ icmp }: PacketConditions, avoid: readonly PacketConditions[]): readonly number[] {
  return portSamples(
    icmp ?? [allPorts],
    avoid.flatMap((one) => (one.icmp === null ? [] : [one.icmp])),
    icmp === null ? 0x0800 : 0,
  );
}

function numbersFor(
  own: readonly PortRange[] | null,
  others: readonly (readonly PortRange[] | null)[],
  ordinary: number,
  last: number,
): readonly number[] {
  const avoided = others.filter((one) => one !== null);
  if (own === null && avoided.length === 0) return [ordinary];
  return portSamples(own ?? [{ first: 0, last }], avoided, ordinary).filter((one) => one <= last);
}

/** Tags that fit, the fewest first. */
function vlanLists({ vlan }: PacketConditions): readonly (readonly number[])[] {
  if (vlan === null) return [[], [1]];
  const ids = (tag: readonly PortRange[]) =>
    tag.flatMap(({ first, last }) => (first === last ? [first] : [first, last]));
  if (vlan.outer === 'none') return [[]];
  const outer = vlan.outer === null ? [1, 2] : ids(vlan.outer);
  if (vlan.inner === null) return outer.slice(0, 8).map((one) => [one]);
  if (vlan.inner === 'none')
    return [...(vlan.outer === null ? [[]] : []), ...outer.slice(0, 8).map((one) => [one])];
  const inner = ids(vlan.inner).slice(0, 4);
  return outer.slice(0, 4).flatMap((one) => inner.map((other) => [one, other]));
}

function macPairs({ macFrom, macTo }: PacketConditions): readonly PacketWanted['macs'][] {
  const one = (macs: Macs | null, ordinary: number) => {
    if (macs === null) return ordinary;
    if (!macs.not) return macs.values[0] ?? ordinary;
    let mac = ordinary;
    while (macs.values.includes(mac)) mac++;
    return mac;
  };
  return [{ from: one(macFrom, ordinaryPacket.macs.from), to: one(macTo, ordinaryPacket.macs.to) }];
}

type Picked<Lists extends readonly (readonly unknown[])[]> = {
  [Index in keyof Lists]: Lists[Index] extends readonly (infer One)[] ? One : never;
};

/** One value of each list, the first of each first. */
function* mixed<Lists extends readonly (readonly unknown[])[], T>(
  lists: Lists,
  limit: number,
  make: (picked: Picked<Lists>) => T,
): Generator<T> {
  const sizes = lists.map((list) => list.length);
  for (const picks of combinations(sizes, limit)) {
    yield make(lists.map((list, index) => list[picks[index] ?? 0]) as unknown as Picked<Lists>);
  }
}
