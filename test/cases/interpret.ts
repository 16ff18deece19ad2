// Judges by a table image as bpf/abi/tables.h says its readers must: what shows on any machine, without a
// kernel, that the compiler and the evaluator agree. Packets are parsed by the evaluator's own parser;
// that the kernel's agrees is shown where there is a kernel.

import { wordsToBytes } from '../../agent/policy/addresses.ts';
import type { CanaryOperation, Judgement } from '../../agent/policy/judgement.ts';
import { type Packet, parsePacket } from '../../agent/policy/packet.ts';
import type { Table, TableImage } from '../../agent/policy/table-image.ts';
import {
  decodeHuskCallList,
  decodeHuskRuleList,
  decodeHuskZone,
  HUSK_CALL_BIND,
  HUSK_CALL_CONNECT,
  HUSK_CALL_SOCKET,
  HUSK_FAMILY_IPV4,
  HUSK_FAMILY_IPV6,
  HUSK_FAMILY_OTHER,
  HUSK_MATCH_PORTS,
  HUSK_MATCH_PROTOCOL,
  HUSK_MATCH_TCP_FLAGS,
  HUSK_NOT_FROM,
  HUSK_NOT_TO,
  HUSK_RULE_NONE,
  type HuskCallRule,
  HuskMode,
  type HuskRule,
  HuskTable,
  HuskVerdict,
} from '../../bpf/abi/layout.gen.ts';

type IdOf = (index: number) => string | null;

export interface FrameAt {
  readonly direction: 'ingress' | 'egress';
  readonly ifindex: number;
  readonly frame: Uint8Array;
}

export function judgePacket(image: TableImage, idOf: IdOf, at: FrameAt): Judgement {
  const plain = (verdict: Judgement['verdict'], reason: Judgement['reason']): Judgement => ({
    verdict,
    reason,
    rule: null,
    monitored: null,
  });
  const row = find(tableOf(image, HuskTable.ZONES), u32(at.ifindex));
  if (row === null) return plain('allow', 'unzoned');
  const zone = decodeHuskZone(view(row), 0);
  const packet = parsePacket(at.frame);
  if (packet === 'unparseable') return plain(image.unparseable, 'unparseable');
  if (isNeverDropped(packet)) return plain('allow', 'never-drop');

  const isIngress = at.direction === 'ingress';
  const source = sides(image, packet, packet.source);
  const destination = sides(image, packet, packet.destination);
  const list = decodeHuskRuleList(
    view(tableOf(image, isIngress ? HuskTable.INGRESS : HuskTable.EGRESS).values),
    0,
  );
  let monitored: string | null = null;
  for (const rule of list.rules.slice(0, list.count)) {
    if ((rule.zones & zone.zoneBit) === 0 || !ruleMatches(rule, packet, source, destination)) continue;
    if (rule.mode === HuskMode.ENFORCE) {
      return { verdict: verdictOf(rule.verdict), reason: 'rule', rule: idOf(rule.rule), monitored };
    }
    monitored ??= idOf(rule.rule);
  }
  const fallback = isIngress ? zone.ingressDefaultRule : zone.egressDefaultRule;
  const verdict = verdictOf(isIngress ? zone.ingressDefault : zone.egressDefault);
  const rule = fallback === HUSK_RULE_NONE ? null : idOf(fallback);
  if ((isIngress ? zone.ingressMode : zone.egressMode) === HuskMode.ENFORCE) {
    return { verdict, reason: 'default', rule, monitored };
  }
  return { verdict: 'allow', reason: 'default', rule, monitored: monitored ?? rule };
}

/** ARP, neighbour discovery on the link, DHCP. */
function isNeverDropped({ etherType, family, icmp, hopLimit, fragment, protocol, ports }: Packet): boolean {
  if (etherType === 0x0806) return true;
  if (family === 'ipv6' && icmp !== null) {
    return icmp.type >= 133 && icmp.type <= 137 && icmp.code === 0 && hopLimit === 255 && fragment === 'none';
  }
  if (protocol !== 17 || ports === null) return false;
  const pair = [ports.from, ports.to].toSorted((a, b) => a - b).join();
  return pair === (family === 'ipv4' ? '67,68' : '546,547');
}

interface Side {
  readonly bytes: Uint8Array;
  readonly sets: bigint;
}

function sides(image: TableImage, packet: Packet, words: Uint32Array): Side {
  const bytes = wordsToBytes(words, 0);
  if (packet.family === 'other') return { bytes, sets: 0n };
  const isIpv4 = packet.family === 'ipv4';
  return {
    bytes,
    sets: longestMatch(
      tableOf(image, isIpv4 ? HuskTable.SET4 : HuskTable.SET6),
      isIpv4 ? bytes.slice(12) : bytes,
    ),
  };
}

const familyBits = { ipv4: HUSK_FAMILY_IPV4, ipv6: HUSK_FAMILY_IPV6, other: HUSK_FAMILY_OTHER };

function ruleMatches(rule: HuskRule, packet: Packet, source: Side, destination: Side): boolean {
  const has = (flag: number) => (rule.flags & flag) !== 0;
  const within = (value: number, first: number, last: number) => first <= value && value <= last;
  const from = inPrefix(source.bytes, rule.saddr, rule.smask) && inSets(source.sets, rule.fromSets);
  const to = inPrefix(destination.bytes, rule.daddr, rule.dmask) && inSets(destination.sets, rule.toSets);
  return (
    (rule.families & familyBits[packet.family]) !== 0 &&
    from !== has(HUSK_NOT_FROM) &&
    to !== has(HUSK_NOT_TO) &&
    (!has(HUSK_MATCH_PROTOCOL) || packet.protocol === rule.ipProto) &&
    (!has(HUSK_MATCH_PORTS) ||
      (packet.ports !== null &&
        within(packet.ports.from, rule.sportFirst, rule.sportLast) &&
        within(packet.ports.to, rule.dportFirst, rule.dportLast))) &&
    (!has(HUSK_MATCH_TCP_FLAGS) ||
      (packet.tcpFlags !== null && (packet.tcpFlags & rule.tcpFlagsMask) === rule.tcpFlagsValue))
  );
}

/** `subjects`: as the label gives them to the canary. */
export function judgeCall(image: TableImage, idOf: IdOf, subjects: bigint, call: CanaryOperation): Judgement {
  if (subjects === 0n) return { verdict: 'allow', reason: 'no-subject', rule: null, monitored: null };
  const { count, rules } = decodeHuskCallList(view(tableOf(image, HuskTable.CALLS).values), 0);
  const asked = askedBy(image, call);
  let monitored: string | null = null;
  for (const rule of rules.slice(0, count)) {
    if ((rule.subjects & subjects) === 0n || !callMatches(rule, asked)) continue;
    if (rule.mode === HuskMode.ENFORCE) {
      const reason = rule.isDefault === 1 ? 'default' : 'rule';
      return { verdict: verdictOf(rule.verdict), reason, rule: idOf(rule.rule), monitored };
    }
    monitored ??= idOf(rule.rule);
  }
  return { verdict: 'allow', reason: 'default', rule: null, monitored };
}

interface Asked {
  readonly bit: number;
  readonly bytes: Uint8Array;
  readonly sets: bigint;
  readonly family: number;
  readonly protocol: number;
  readonly port: number;
  readonly socketFamily: number;
  readonly socketType: number;
}

function askedBy(image: TableImage, call: CanaryOperation): Asked {
  // 0 is the type's own protocol; 262 is MPTCP, cut to TCP's byte.
  const protocol = (call.protocol || (call.type === 1 ? 6 : call.type === 2 ? 17 : 0)) & 0xff;
  const none = { bytes: new Uint8Array(16), sets: 0n, family: 0, protocol, port: 0 };
  if (call.call === 'socket') {
    return { ...none, bit: HUSK_CALL_SOCKET, socketFamily: call.family, socketType: call.type };
  }
  const bytes = new Uint8Array(16);
  if (call.address.length === 4) bytes.set([0xff, 0xff, ...call.address], 10);
  else bytes.set(call.address);
  const isIpv4 = bytes.slice(0, 10).every((byte) => byte === 0) && bytes[10] === 0xff && bytes[11] === 0xff;
  // As hooks do it: "any" as a destination is this host.
  if (call.call !== 'bind' && bytes.every((byte, at) => byte === 0 || (isIpv4 && at < 12))) {
    if (isIpv4) bytes[12] = 127;
    bytes[15] = 1;
  }
  const kind = isIpv4 ? HuskTable.CALL_SET4 : HuskTable.CALL_SET6;
  return {
    bit: call.call === 'bind' ? HUSK_CALL_BIND : HUSK_CALL_CONNECT,
    bytes,
    sets: longestMatch(tableOf(image, kind), isIpv4 ? bytes.slice(12) : bytes),
    family: isIpv4 ? HUSK_FAMILY_IPV4 : HUSK_FAMILY_IPV6,
    protocol,
    port: call.port,
    socketFamily: call.family === 4 ? 2 : 10,
    socketType: call.type,
  };
}

function callMatches(rule: HuskCallRule, asked: Asked): boolean {
  const has = (flag: number) => (rule.flags & flag) !== 0;
  const to = inPrefix(asked.bytes, rule.addr, rule.mask) && inSets(asked.sets, rule.toSets);
  return (
    (rule.calls & asked.bit) !== 0 &&
    to !== has(HUSK_NOT_TO) &&
    (rule.families === 0 || (rule.families & asked.family) !== 0) &&
    (rule.socketFamilies === 0 || (rule.socketFamilies & (1 << asked.socketFamily)) !== 0) &&
    (rule.socketTypes === 0 || (rule.socketTypes & (1 << asked.socketType)) !== 0) &&
    (!has(HUSK_MATCH_PROTOCOL) || asked.protocol === rule.ipProto) &&
    (!has(HUSK_MATCH_PORTS) || (rule.portFirst <= asked.port && asked.port <= rule.portLast))
  );
}

const inPrefix = (bytes: Uint8Array, prefix: Uint8Array, mask: Uint8Array) =>
  bytes.every((byte, index) => (byte & (mask[index] ?? 0)) === prefix[index]);
const inSets = (sets: bigint, asked: bigint) => asked === 0n || (sets & asked) !== 0n;

/** What a trie answers: the value of the longest prefix that holds the address, else 0. */
export function longestMatch(table: Table, address: Uint8Array): bigint {
  for (let length = address.length * 8; length >= 0; length--) {
    const key = new Uint8Array(4 + address.length);
    key[0] = length;
    key.set(
      address.map((byte, index) => byte & (0xff00 >> Math.min(8, Math.max(0, length - index * 8))) & 0xff),
      4,
    );
    const value = find(table, key);
    if (value !== null) return view(value).getBigUint64(0, true);
  }
  return 0n;
}

/** Keys are sorted by their bytes. */
function find({ keys, values, keySize, valueSize, count }: Table, key: Uint8Array): Uint8Array | null {
  let low = 0;
  let high = count;
  while (low < high) {
    const middle = (low + high) >>> 1;
    const order = Buffer.compare(keys.subarray(middle * keySize, (middle + 1) * keySize), key);
    if (order === 0) return values.subarray(middle * valueSize, (middle + 1) * valueSize);
    if (order < 0) low = middle + 1;
    else high = middle;
  }
  return null;
}

function tableOf(image: TableImage, kind: number): Table {
  const table = image.tables.find((one) => one.kind === kind);
  if (table === undefined) throw new Error(`the image has no table of kind ${kind}`);
  return table;
}

const view = (bytes: Uint8Array) => new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);

function u32(value: number): Uint8Array {
  const bytes = new Uint8Array(4);
  view(bytes).setUint32(0, value, true);
  return bytes;
}

function verdictOf(number: number): Judgement['verdict'] {
  return number === HuskVerdict.DROP ? 'drop' : number === HuskVerdict.DENY ? 'deny' : 'allow';
}
