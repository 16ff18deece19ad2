// Which combinations of fields no packet has, so that nothing is said of packets that cannot be.
//
// Each line is a combination that does not exist: a destination port without a protocol that has ports, TCP flags
// without TCP, a connection's state of a frame that is not IP, a later fragment with a header of layer 4. What is left
// can be built (frame.ts) and is judged as it was said (PACKETS.md §3 and §5).

import { protocolsWithPorts, tcpFlagBits } from '../numbers.ts';
import { ipv6Extensions } from '../packet.ts';
import { rangesFrom } from '../ranges.ts';
import {
  absent,
  addressValues,
  allBut,
  type Cube,
  etherTypesEnd,
  type Field,
  fields,
  isIp,
  isIpv4,
  isIpv6,
  isOther,
  noTag,
  type Situation,
  situations,
  type Values,
  values,
} from './fields.ts';

type Combination = Partial<Record<Field, Values>>;

const none = (field: Field): Values => {
  const point = absent[field];
  if (point === null || typeof point === 'bigint') throw new RangeError(`${field} is never absent`);
  return values(point);
};
const some = (field: Field): Values => values([0, Number(absent[field]) - 1]);

const whole = values(0, 1);
const later = values(2);
const ofIp = ['protocol', 'fragment', 'hopLimit', 'dscp', 'length', 'situation'] as const;
const ofLayer4 = ['portTo', 'portFrom', 'tcpFlags', 'icmp'] as const;
const tcp = values(6);
const withPorts = values(...protocolsWithPorts);
const protocols = 256;
const flagSets = Array.from({ length: 256 }, (_, flags) => flags);
const { fin, syn, rst, ack } = tcpFlagBits;
/** ICMP errors and what answers a request, as ranges of type × 256 + code. */
const types = (...ranges: readonly (readonly [number, number])[]) =>
  values(...ranges.map(([first, last]): [number, number] => [first * 256, last * 256 + 255]));
const errors = { ipv4: types([3, 5], [11, 12]), ipv6: types([1, 4]) } as const;
const errorsAndAnswers = {
  ipv4: types([0, 0], [3, 5], [11, 12], [14, 14], [16, 16], [18, 18]),
  ipv6: types([1, 4], [129, 129]),
} as const;
/** ICMP that belongs to connections: echo, and the queries of ICMPv4. */
const connected = { ipv4: types([0, 0], [8, 8], [13, 18]), ipv6: types([128, 129]) } as const;
/** What a later fragment says of its protocol is compared with the first fragment's in IPv4 alone. */
const firstKnown = { ipv4: {}, ipv6: { fragment: whole } } as const;
const icmpPoints = 65536;

export function impossible(direction: 'ingress' | 'egress'): readonly Cube[] {
  return [...families(), ...toTheDevice(direction), ...links(), ...layer4(), ...states(), ...lengths()].map(
    cubeOf,
  );
}

export const cubeOf = (combination: Combination): Cube => fields.map((field) => combination[field] ?? null);

/** Both addresses of one family, and what IP packets alone and always have. */
function families(): readonly Combination[] {
  return [
    { source: isIpv4, destination: isIpv6 },
    { source: isIpv6, destination: isIpv4 },
    { source: isIp, destination: isOther },
    { source: isOther, destination: isIp },
    ...ofIp.map((field) => ({ source: isIp, [field]: none(field) })),
    ...[...ofIp, ...ofLayer4].map((field) => ({ source: isOther, [field]: some(field) })),
    { source: isIpv4, etherType: allBut(values(0x0800), etherTypesEnd) },
    { source: isIpv6, etherType: allBut(values(0x86dd), etherTypesEnd) },
    // Tags are no EtherType of what is behind them.
    { source: isOther, etherType: values(0x0800, 0x8100, 0x86dd, 0x88a8) },
  ];
}

/** Groups and the broadcast address are the device's own in any case (PACKETS.md §6). */
function toTheDevice(direction: 'ingress' | 'egress'): readonly Combination[] {
  if (direction === 'egress') return [{ toDevice: some('toDevice') }];
  const groups = rangesFrom(['224.0.0.0/4', '255.255.255.255', 'ff00::/8'], () => {});
  return [
    { source: isOther, toDevice: some('toDevice') },
    { source: isIp, toDevice: none('toDevice') },
    { destination: addressValues(groups, { ipv4: true, ipv6: true }), toDevice: values(0) },
  ];
}

/** Frames with and without an Ethernet header. */
function links(): readonly Combination[] {
  const others = ['vlanInner', 'macFrom', 'macTo'] as const;
  return [
    ...others.flatMap((field) => [
      { vlanOuter: none('vlanOuter'), [field]: some(field) },
      { vlanOuter: some('vlanOuter'), [field]: none(field) },
    ]),
    { vlanOuter: values(noTag), vlanInner: values([0, noTag - 1]) },
    // Without an EtherType of its own, a frame is IP.
    { vlanOuter: none('vlanOuter'), source: isOther },
  ];
}

function layer4(): readonly Combination[] {
  const notOf = (protocol: Values) => allBut(protocol, protocols);
  const headers = (field: Field, protocol: Values, source: Values | null = null): readonly Combination[] => [
    { [field]: some(field), protocol: notOf(protocol), ...(source === null ? {} : { source }) },
    { [field]: none(field), protocol, fragment: whole, ...(source === null ? {} : { source }) },
    { [field]: some(field), fragment: later },
  ];
  const extensions = values(...Object.values(ipv6Extensions));
  return [
    ...headers('portTo', withPorts),
    ...headers('portFrom', withPorts),
    ...headers('tcpFlags', tcp),
    ...headers('icmp', values(1), isIpv4),
    ...headers('icmp', values(58), isIpv6),
    { source: isIpv6, protocol: extensions, fragment: whole },
  ];
}

/** What PACKETS.md §5 says of no packet. A later fragment takes the state of its first one. */
function states(): readonly Combination[] {
  const at = (...names: readonly Situation[]) => values(...names.map((name) => situations.indexOf(name)));
  const flags = (are: (flags: number) => boolean) => values(...flagSets.filter(are));
  const opens = (one: number) => (one & (syn | ack | rst | fin)) === syn;
  const goesOn = (one: number) => (one & (ack | syn)) === ack;
  const notTcp = allBut(tcp, protocols);
  const perFamily = (family: 'ipv4' | 'ipv6', source: Values, icmp: Values): readonly Combination[] => [
    { situation: at('related'), source, protocol: allBut(icmp, protocols), ...firstKnown[family] },
    { situation: at('related'), source, fragment: whole, icmp: allBut(errors[family], icmpPoints) },
    { situation: at('new'), source, icmp: errorsAndAnswers[family] },
    { situation: at('established'), source, icmp: errors[family] },
    { situation: at('established'), source, icmp: allBut(connected[family], icmpPoints) },
    { situation: at('invalid'), source, icmp: allBut(errorsAndAnswers[family], icmpPoints) },
    // Of protocols with neither flags nor ICMP, nothing but a later fragment is invalid.
    {
      situation: at('invalid'),
      source,
      fragment: whole,
      protocol: allBut(values(6, ...asNumbers(icmp)), protocols),
    },
  ];
  return [
    ...[
      { source: isIpv4, ...firstKnown.ipv4 },
      { source: isIpv6, ...firstKnown.ipv6 },
    ].map((family) => ({ situation: at('midstream', 'unanswered'), protocol: notTcp, ...family })),
    { situation: at('midstream'), tcpFlags: flags((one) => (one & rst) !== 0 || opens(one)) },
    { situation: at('unanswered'), tcpFlags: flags((one) => !goesOn(one)) },
    { situation: at('new'), tcpFlags: flags(goesOn) },
    { situation: at('invalid'), tcpFlags: flags((one) => (one & rst) === 0) },
    ...perFamily('ipv4', isIpv4, values(1)),
    ...perFamily('ipv6', isIpv6, values(58)),
  ];
}

const asNumbers = ({ bounds }: Values) => bounds.filter((_, at) => at % 2 === 0) as readonly number[];

/** Headers have room in the length that is stated. */
function lengths(): readonly Combination[] {
  const layer4Bytes: readonly (readonly [protocol: number, bytes: number, source: Values | null])[] = [
    [6, 20, null],
    [17, 8, null],
    [132, 12, null],
    [136, 8, null],
    [1, 8, isIpv4],
    [58, 8, isIpv6],
  ];
  const ip = [
    { source: isIpv4, bytes: 20, fragment: 0 },
    { source: isIpv6, bytes: 40, fragment: 8 },
  ];
  const below = (bytes: number) => values([0, bytes - 1]);
  return ip.flatMap(({ source, bytes, fragment }): readonly Combination[] => [
    { source, length: below(bytes) },
    { source, fragment: values(1, 2), length: below(bytes + fragment) },
    ...layer4Bytes
      .filter(([, , only]) => only === null || only === source)
      .flatMap(([protocol, header]) => [
        { source, protocol: values(protocol), fragment: values(0), length: below(bytes + header) },
        { source, protocol: values(protocol), fragment: values(1), length: below(bytes + fragment + header) },
      ]),
  ]);
}
