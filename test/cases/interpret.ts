// Judges calls by a table image as bpf/abi/tables.h says its readers must: what shows on any machine, without a
// kernel, that the compiler and the evaluator agree. What packets come to by their tables, the twins show.

import type { CanaryOperation, Judgement } from '../../agent/policy/judgement.ts';
import type { Table, TableImage } from '../../agent/policy/table-image.ts';
import {
  decodeHuskCallList,
  HUSK_CALL_BIND,
  HUSK_CALL_CONNECT,
  HUSK_CALL_SOCKET,
  HUSK_FAMILY_IPV4,
  HUSK_FAMILY_IPV6,
  HUSK_MATCH_PORTS,
  HUSK_MATCH_PROTOCOL,
  HUSK_NOT_TO,
  type HuskCallRule,
  HuskMode,
  HuskTable,
  HuskVerdict,
} from '../../bpf/abi/layout.gen.ts';

type IdOf = (index: number) => string | null;

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

function verdictOf(number: number): Judgement['verdict'] {
  return number === HuskVerdict.DROP ? 'drop' : number === HuskVerdict.DENY ? 'deny' : 'allow';
}
