// The reference: what a packet or a call comes to by the letter of the documents.
//
// It walks the documents as they were written, one rule after another, and knows nothing of tables,
// masks or tries. Compiler and kernel have to agree with it on every case (test/cases/policy), on
// generated policies and packets, and in every try before a bundle goes live.

import type {
  CallMatch,
  HardeningPolicy,
  HardeningRule,
  PacketPolicy,
  PacketRule,
  PolicyDocument,
  SocketMatch,
} from '../contract/policy.ts';
import { bytesToWords, isIpv4 } from './addresses.ts';
import { matchesGlob } from './globs.ts';
import {
  type CallName,
  callDefaultId,
  callNames,
  type Direction,
  directions,
  effectiveMode,
  ruleId,
  zoneDefaultId,
} from './ids.ts';
import type { CanaryOperation, Judgement } from './judgement.ts';
import { flagBits, protocolNumber, socketFamilyNumbers, socketTypeNumbers } from './numbers.ts';
import { etherTypes, type Packet, parsePacket } from './packet.ts';
import { type PortRange, portRanges, portsHold } from './ports.ts';
import { anyAddresses, holds } from './ranges.ts';
import { type ResolvedSet, SetResolver } from './sets.ts';

export interface PacketAt {
  readonly interface: string;
  readonly direction: Direction;
  /** From the Ethernet header on. */
  readonly frame: Uint8Array;
}

export interface CallAt {
  /** The cgroup of the caller, relative to the hardening root. */
  readonly cgroup: string;
  readonly call: CanaryOperation;
}

/** A rule or default as it is walked. */
interface Line<T> {
  readonly id: string;
  readonly mode: 'monitor' | 'enforce';
  readonly verdict: Judgement['verdict'];
  readonly matches: (what: T) => boolean;
}

interface Zone {
  readonly interfaces: readonly string[];
  readonly rules: Record<Direction, readonly Line<Packet>[]>;
  /** null: the policy says nothing about this direction, and all is allowed. */
  readonly defaults: Record<Direction, Line<Packet> | null>;
}

interface Subject {
  readonly cgroup: string;
  readonly rules: readonly Line<Call>[];
  readonly defaults: readonly Line<Call>[];
}

interface Prepared {
  readonly zones: readonly Zone[];
  readonly unparseable: 'allow' | 'drop';
  readonly subjects: readonly Subject[];
}

export function evaluatePacket(documents: readonly PolicyDocument[], at: PacketAt): Judgement {
  const { zones, unparseable } = prepared(documents);
  const zone = zones.find((one) => one.interfaces.some((glob) => matchesGlob(glob, at.interface)));
  if (zone === undefined) return plain('allow', 'unzoned');
  const packet = parsePacket(at.frame);
  if (packet === 'unparseable') return plain(unparseable, 'unparseable');
  if (isNeverDropped(packet)) return plain('allow', 'never-drop');

  const { decided, monitored } = walk(zone.rules[at.direction], packet);
  if (decided !== null) return { verdict: decided.verdict, reason: 'rule', rule: decided.id, monitored };
  const fallback = zone.defaults[at.direction];
  if (fallback === null) return { ...plain('allow', 'default'), monitored };
  const isMonitor = fallback.mode === 'monitor';
  return {
    verdict: isMonitor ? 'allow' : fallback.verdict,
    reason: 'default',
    rule: fallback.id,
    monitored: monitored ?? (isMonitor ? fallback.id : null),
  };
}

export function evaluateCall(documents: readonly PolicyDocument[], at: CallAt): Judgement {
  const subjects = prepared(documents).subjects.filter((one) => isBelow(at.cgroup, one.cgroup));
  if (subjects.length === 0) return plain('allow', 'no-subject');
  const call = readCall(at.call);
  // Deny over allow over default; among defaults, too, deny wins.
  const denialsFirst = (lines: readonly Line<Call>[]) => [
    ...lines.filter((line) => line.verdict === 'deny'),
    ...lines.filter((line) => line.verdict !== 'deny'),
  ];
  const rules = denialsFirst(subjects.flatMap((subject) => subject.rules));
  const defaults = denialsFirst(subjects.flatMap((subject) => subject.defaults));
  const { decided, monitored } = walk([...rules, ...defaults], call);
  if (decided === null) return { ...plain('allow', 'default'), monitored };
  const reason = defaults.includes(decided) ? 'default' : 'rule';
  return { verdict: decided.verdict, reason, rule: decided.id, monitored };
}

const plain = (verdict: Judgement['verdict'], reason: Judgement['reason']): Judgement => ({
  verdict,
  reason,
  rule: null,
  monitored: null,
});

/** The first match in enforce mode decides; the first in monitor mode before it is noted. */
function walk<T>(lines: readonly Line<T>[], what: T) {
  let monitored: string | null = null;
  for (const line of lines) {
    if (!line.matches(what)) continue;
    if (line.mode === 'enforce') return { decided: line, monitored };
    monitored ??= line.id;
  }
  return { decided: null, monitored };
}

/** Without these a device loses its address or its neighbours, and with them every way back in. */
function isNeverDropped(packet: Packet): boolean {
  if (packet.etherType === etherTypes.arp) return true;
  if (packet.family === 'ipv6' && packet.icmp !== null) {
    const { type, code } = packet.icmp;
    // RFC 4861: what crossed a router is void; RFC 6980: so is what was cut into fragments.
    return type >= 133 && type <= 137 && code === 0 && packet.hopLimit === 255 && packet.fragment === 'none';
  }
  if (packet.protocol !== 17 || packet.ports === null) return false;
  const [client, server] = packet.family === 'ipv4' ? [68, 67] : [546, 547];
  const { from, to } = packet.ports;
  return (from === client && to === server) || (from === server && to === client);
}

const preparedBefore = new WeakMap<readonly PolicyDocument[], Prepared>();

/** Conditions are read once for an array of documents, since a capture has millions of packets. */
function prepared(documents: readonly PolicyDocument[]): Prepared {
  const known = preparedBefore.get(documents);
  if (known !== undefined) return known;
  const sets = new SetResolver(documents);
  const packetPolicies = documents.filter((one) => one.kind === 'PacketPolicy');
  const hardening = documents.filter((one) => one.kind === 'HardeningPolicy');
  const fresh: Prepared = {
    zones: packetPolicies.filter(isOn).flatMap((one) => zonesOf(one, sets)),
    unparseable: packetPolicies.some(dropsUnparseable) ? 'drop' : 'allow',
    subjects: hardening.filter(isOn).map((one) => subjectOf(one, sets)),
  };
  preparedBefore.set(documents, fresh);
  return fresh;
}

const isOn = (document: PacketPolicy | HardeningPolicy) => document.spec.mode !== 'off';

const dropsUnparseable = ({ spec }: PacketPolicy) =>
  spec.mode === 'enforce' && (spec.unparseable ?? 'drop') === 'drop';

function zonesOf(document: PacketPolicy, sets: SetResolver): readonly Zone[] {
  return Object.entries(document.spec.zones).map(([zone, { interfaces }]) => {
    const rules: Record<Direction, readonly Line<Packet>[]> = { ingress: [], egress: [] };
    const defaults: Record<Direction, Line<Packet> | null> = { ingress: null, egress: null };
    for (const direction of directions) {
      const list = document.spec[direction].find((one) => one.zone === zone);
      if (list === undefined) continue;
      rules[direction] = list.rules.flatMap((rule) => packetLine(document, rule, sets));
      defaults[direction] = {
        id: zoneDefaultId(document, zone, direction),
        mode: document.spec.mode === 'enforce' ? 'enforce' : 'monitor',
        verdict: list.default,
        matches: () => true,
      };
    }
    return { interfaces, rules, defaults };
  });
}

function packetLine(document: PacketPolicy, rule: PacketRule, sets: SetResolver): readonly Line<Packet>[] {
  const mode = effectiveMode(document.spec.mode, rule.mode);
  if (mode === 'off') return [];
  const from = rule.from === undefined ? null : sets.match(document, rule.from);
  const to = rule.to === undefined ? null : sets.match(document, rule.to);
  const fromPorts = rule.ports?.from === undefined ? null : portRanges(rule.ports.from, unreadable);
  const toPorts = rule.ports?.to === undefined ? null : portRanges(rule.ports.to, unreadable);
  const set = flagBits(rule.tcpFlags?.set);
  const unset = flagBits(rule.tcpFlags?.unset);
  const matches = (packet: Packet): boolean => {
    if (rule.family !== undefined && packet.family !== rule.family) return false;
    if (rule.protocol !== undefined && packet.protocol !== protocolNumber(rule.protocol)) return false;
    if (from !== null && !isAmong(from, packet.family, packet.source)) return false;
    if (to !== null && !isAmong(to, packet.family, packet.destination)) return false;
    if (rule.ports !== undefined) {
      if (packet.ports === null) return false;
      if (fromPorts !== null && !portsHold(fromPorts, packet.ports.from)) return false;
      if (toPorts !== null && !portsHold(toPorts, packet.ports.to)) return false;
    }
    if (rule.tcpFlags !== undefined) {
      if (packet.tcpFlags === null) return false;
      if ((packet.tcpFlags & set) !== set || (packet.tcpFlags & unset) !== 0) return false;
    }
    return true;
  };
  return [{ id: ruleId(document, rule), mode, verdict: rule.action, matches }];
}

/** An IPv6 packet is in no IPv4 prefix, also with mapped addresses; what is not IP is neither in nor out. */
function isAmong(set: ResolvedSet, family: Packet['family'], address: Uint32Array): boolean {
  if (family === 'other') return false;
  return holds(set.ranges[family], address, 0) !== set.not;
}

const unreadable = (_index: number | null, message: string) => {
  throw new RangeError(`a port ${message}`);
};

/** A call as the kernel sees it: protocol settled, mapped addresses as IPv4, no destination left to the kernel. */
interface Call {
  readonly name: CallName;
  readonly protocol: number;
  readonly address: Uint32Array;
  readonly isIpv4: boolean;
  readonly port: number;
  readonly socketFamily: number;
  readonly socketType: number;
}

const protocolMptcp = 262;

function readCall(call: CanaryOperation): Call {
  const address = new Uint32Array(4);
  const protocol = settledProtocol(call.type, call.protocol);
  if (call.call === 'socket') {
    const { family: socketFamily, type: socketType } = call;
    return { name: 'socket', protocol, address, isIpv4: false, port: 0, socketFamily, socketType };
  }
  bytesToWords(call.address, address, 0);
  if (call.call !== 'bind') settleDestination(address);
  return {
    name: call.call === 'bind' ? 'bind' : 'connect',
    protocol,
    address,
    isIpv4: isIpv4(address, 0),
    port: call.port,
    socketFamily: call.family === 4 ? socketFamilyNumbers.inet : socketFamilyNumbers.inet6,
    socketType: call.type,
  };
}

/** 0 asks for the type's own protocol. Multipath TCP is TCP to its peer, and so to a rule. */
function settledProtocol(type: number, protocol: number): number {
  if (protocol === protocolMptcp) return 6;
  if (protocol !== 0) return protocol;
  return type === socketTypeNumbers.stream ? 6 : type === socketTypeNumbers.dgram ? 17 : 0;
}

/** Linux takes "any" as a destination for this host. */
function settleDestination(address: Uint32Array): void {
  if (holds(anyAddresses.ipv4, address, 0)) address[3] = 0x7f000001;
  else if (holds(anyAddresses.ipv6, address, 0)) address[3] = 1;
}

const isBelow = (cgroup: string, subject: string) => cgroup === subject || cgroup.startsWith(`${subject}/`);

function subjectOf(document: HardeningPolicy, sets: SetResolver): Subject {
  const { spec } = document;
  const defaults = callNames.flatMap((name): readonly Line<Call>[] => {
    const verdict = spec.default?.[name];
    if (verdict === undefined) return [];
    const mode = spec.mode === 'enforce' ? 'enforce' : 'monitor';
    return [{ id: callDefaultId(document, name), mode, verdict, matches: (call) => call.name === name }];
  });
  const rules = spec.rules.flatMap((rule) => callLine(document, rule, sets));
  return { cgroup: spec.subject.cgroup, rules, defaults };
}

function callLine(document: HardeningPolicy, rule: HardeningRule, sets: SetResolver): readonly Line<Call>[] {
  const mode = effectiveMode(document.spec.mode, rule.mode);
  if (mode === 'off') return [];
  const line = (matches: (call: Call) => boolean) => [
    { id: ruleId(document, rule), mode, verdict: rule.action, matches },
  ];
  if (rule.socket !== undefined) return line(socketCondition(rule.socket));
  const name = rule.connect !== undefined ? 'connect' : 'bind';
  const condition = addressCondition(document, rule.connect ?? rule.bind ?? {}, sets);
  return line((call) => call.name === name && condition(call));
}

function addressCondition(document: HardeningPolicy, match: CallMatch, sets: SetResolver) {
  const set = sets.callMatch(document.metadata.name, match);
  const ports: readonly PortRange[] | null =
    match.ports === undefined ? null : portRanges(match.ports, unreadable);
  const protocol = match.protocol === undefined ? null : protocolNumber(match.protocol);
  return (call: Call): boolean => {
    if (protocol !== null && call.protocol !== protocol) return false;
    if (ports !== null && !portsHold(ports, call.port)) return false;
    return set === null || isAmong(set, call.isIpv4 ? 'ipv4' : 'ipv6', call.address);
  };
}

function socketCondition(match: SocketMatch) {
  return (call: Call): boolean =>
    call.name === 'socket' &&
    isOneOf(match.family, socketFamilyNumbers, call.socketFamily) &&
    isOneOf(match.type, socketTypeNumbers, call.socketType);
}

/** An absent list is any. */
function isOneOf<Word extends string>(
  words: readonly Word[] | undefined,
  numbers: Readonly<Record<Word, number>>,
  number: number,
): boolean {
  return words === undefined || words.some((word) => numbers[word] === number);
}
