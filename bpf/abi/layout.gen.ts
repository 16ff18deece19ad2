// Generated from bpf/abi/*.h by bpf/abi/gen-layout.ts; checked in; do not edit.
//
// Little-endian targets only. u64 is bigint, bytes are Uint8Array, char arrays are strings up to the first NUL.
// Decoded byte arrays are copies. Reading or writing past the view throws RangeError.

// Numbers of limits.h, abi.h and tables.h.

export const HUSK_ABI_VERSION = 1;
export const HUSK_SLOTS = 2;
export const HUSK_ZONES_MAX = 16;
export const HUSK_INTERFACES_MAX = 64;
export const HUSK_SETS_MAX = 64;
export const HUSK_RULES_MAX = 128;
export const HUSK_CALL_RULES_MAX = 128;
export const HUSK_SUBJECTS_MAX = 64;
export const HUSK_CGROUPS_MAX = 256;
export const HUSK_CGROUP_DEPTH_MAX = 8;
export const HUSK_COUNTERS_MAX = 4096;
export const HUSK_RULE_ID_BYTES = 128;
export const HUSK_PREFIXES_MAX = 1048576;
export const HUSK_PACKET_RING_BYTES = 1048576;
export const HUSK_CALL_RING_BYTES = 262144;
export const HUSK_VLAN_DEPTH_MAX = 2;
export const HUSK_IPV6_HEADERS_MAX = 8;
export const HUSK_LIVE_TRIAL = 0x80000000;
export const HUSK_LIVE_SLOT_SHIFT = 30;
export const HUSK_LIVE_SLOT = 0x40000000;
export const HUSK_LIVE_DEADLINE = 0x3fffffff;
export const HUSK_RULE_NONE = 4294967295;
export const HUSK_FAMILY_IPV4 = 1;
export const HUSK_FAMILY_IPV6 = 2;
export const HUSK_FAMILY_OTHER = 4;
export const HUSK_MATCH_PROTOCOL = 1;
export const HUSK_MATCH_PORTS = 2;
export const HUSK_MATCH_TCP_FLAGS = 4;
export const HUSK_NOT_FROM = 8;
export const HUSK_NOT_TO = 16;
export const HUSK_CALL_CONNECT = 1;
export const HUSK_CALL_BIND = 2;
export const HUSK_CALL_SOCKET = 4;

// Enumerations, without the common prefix of their names.

export const HuskVerdict = {
  ALLOW: 1,
  DROP: 2,
  DENY: 3,
} as const;
export type HuskVerdict = (typeof HuskVerdict)[keyof typeof HuskVerdict];

export const HuskReason = {
  RULE: 1,
  DEFAULT: 2,
  NEVER_DROP: 3,
  UNPARSEABLE: 4,
  UNZONED: 5,
  NO_GENERATION: 6,
  NO_SUBJECT: 7,
} as const;
export type HuskReason = (typeof HuskReason)[keyof typeof HuskReason];

export const HuskMode = {
  MONITOR: 1,
  ENFORCE: 2,
} as const;
export type HuskMode = (typeof HuskMode)[keyof typeof HuskMode];

export const HuskHook = {
  XDP_INGRESS: 1,
  TC_EGRESS: 2,
  CONNECT: 3,
  SENDMSG: 4,
  BIND: 5,
  SOCKET: 6,
} as const;
export type HuskHook = (typeof HuskHook)[keyof typeof HuskHook];

export const HuskTable = {
  GENERATION: 0,
  ZONES: 1,
  INGRESS: 2,
  EGRESS: 3,
  SET4: 4,
  SET6: 5,
  SUBJECTS: 6,
  CALLS: 7,
  CALL_SET4: 8,
  CALL_SET6: 9,
  COUNT: 10,
} as const;
export type HuskTable = (typeof HuskTable)[keyof typeof HuskTable];

export const HuskTotal = {
  INGRESS: 0,
  EGRESS: 1,
  CALLS: 2,
  NEVER_DROP: 3,
  UNPARSEABLE: 4,
  UNZONED: 5,
  NO_GENERATION: 6,
  PACKET_EVENTS_LOST: 7,
  PACKET_EVENTS_SUPPRESSED: 8,
  CALL_EVENTS_LOST: 9,
  DEADLINES_SEEN: 10,
  COUNT: 16,
} as const;
export type HuskTotal = (typeof HuskTotal)[keyof typeof HuskTotal];

export const HuskEventKind = {
  PACKET: 1,
  CALL: 2,
} as const;
export type HuskEventKind = (typeof HuskEventKind)[keyof typeof HuskEventKind];

// Structs: size, offsets, types and codecs. Pads are written as zero and not read.

export interface HuskControl {
  readonly live: number;
  readonly expired: number;
  readonly packetEventsPerSecond: number;
}
export const HuskControl = {
  size: 16,
  offset: {
    live: 0,
    expired: 4,
    packetEventsPerSecond: 8,
  },
} as const;
export function encodeHuskControl(view: DataView, at: number, value: HuskControl): void {
  mustHold(view, at, 16);
  view.setUint32(at + 0, value.live, true);
  view.setUint32(at + 4, value.expired, true);
  view.setUint32(at + 8, value.packetEventsPerSecond, true);
  putZeros(view, at + 12, 4);
}
export function decodeHuskControl(view: DataView, at: number): HuskControl {
  mustHold(view, at, 16);
  return {
    live: view.getUint32(at + 0, true),
    expired: view.getUint32(at + 4, true),
    packetEventsPerSecond: view.getUint32(at + 8, true),
  };
}

export interface HuskCounter {
  readonly hits: bigint;
  readonly bytes: bigint;
}
export const HuskCounter = {
  size: 16,
  offset: {
    hits: 0,
    bytes: 8,
  },
} as const;
export function encodeHuskCounter(view: DataView, at: number, value: HuskCounter): void {
  mustHold(view, at, 16);
  view.setBigUint64(at + 0, value.hits, true);
  view.setBigUint64(at + 8, value.bytes, true);
}
export function decodeHuskCounter(view: DataView, at: number): HuskCounter {
  mustHold(view, at, 16);
  return {
    hits: view.getBigUint64(at + 0, true),
    bytes: view.getBigUint64(at + 8, true),
  };
}

export interface HuskRuleName {
  readonly id: string;
}
export const HuskRuleName = {
  size: 128,
  offset: {
    id: 0,
  },
  count: {
    id: 128,
  },
} as const;
export function encodeHuskRuleName(view: DataView, at: number, value: HuskRuleName): void {
  mustHold(view, at, 128);
  putText(view, at + 0, 128, value.id, 'id');
}
export function decodeHuskRuleName(view: DataView, at: number): HuskRuleName {
  mustHold(view, at, 128);
  return {
    id: getText(view, at + 0, 128),
  };
}

export interface HuskTry {
  readonly canaryCgroup: bigint;
  readonly canarySubjects: bigint;
  readonly slot: number;
  readonly ifindex: number;
}
export const HuskTry = {
  size: 24,
  offset: {
    canaryCgroup: 0,
    canarySubjects: 8,
    slot: 16,
    ifindex: 20,
  },
} as const;
export function encodeHuskTry(view: DataView, at: number, value: HuskTry): void {
  mustHold(view, at, 24);
  view.setBigUint64(at + 0, value.canaryCgroup, true);
  view.setBigUint64(at + 8, value.canarySubjects, true);
  view.setUint32(at + 16, value.slot, true);
  view.setUint32(at + 20, value.ifindex, true);
}
export function decodeHuskTry(view: DataView, at: number): HuskTry {
  mustHold(view, at, 24);
  return {
    canaryCgroup: view.getBigUint64(at + 0, true),
    canarySubjects: view.getBigUint64(at + 8, true),
    slot: view.getUint32(at + 16, true),
    ifindex: view.getUint32(at + 20, true),
  };
}

export interface HuskTried {
  readonly verdict: number;
  readonly reason: number;
  readonly rule: number;
  readonly monitored: number;
  readonly runs: number;
}
export const HuskTried = {
  size: 24,
  offset: {
    verdict: 0,
    reason: 4,
    rule: 8,
    monitored: 12,
    runs: 16,
  },
} as const;
export function encodeHuskTried(view: DataView, at: number, value: HuskTried): void {
  mustHold(view, at, 24);
  view.setUint32(at + 0, value.verdict, true);
  view.setUint32(at + 4, value.reason, true);
  view.setUint32(at + 8, value.rule, true);
  view.setUint32(at + 12, value.monitored, true);
  view.setUint32(at + 16, value.runs, true);
  putZeros(view, at + 20, 4);
}
export function decodeHuskTried(view: DataView, at: number): HuskTried {
  mustHold(view, at, 24);
  return {
    verdict: view.getUint32(at + 0, true),
    reason: view.getUint32(at + 4, true),
    rule: view.getUint32(at + 8, true),
    monitored: view.getUint32(at + 12, true),
    runs: view.getUint32(at + 16, true),
  };
}

export interface HuskGeneration {
  readonly serial: bigint;
  readonly digest: Uint8Array;
  readonly tableDigest: readonly Uint8Array[];
  readonly bundleDigest: Uint8Array;
  readonly unparseableVerdict: number;
}
export const HuskGeneration = {
  size: 400,
  offset: {
    serial: 0,
    digest: 8,
    tableDigest: 40,
    bundleDigest: 360,
    unparseableVerdict: 392,
  },
  count: {
    digest: 32,
    tableDigest: 10,
    bundleDigest: 32,
  },
} as const;
export function encodeHuskGeneration(view: DataView, at: number, value: HuskGeneration): void {
  mustHold(view, at, 400);
  view.setBigUint64(at + 0, value.serial, true);
  putBytes(view, at + 8, 32, value.digest, 'digest');
  putEach(view, at + 40, 32, 10, value.tableDigest, 'tableDigest', (to, one) => putBytes(view, to, 32, one, 'tableDigest'));
  putBytes(view, at + 360, 32, value.bundleDigest, 'bundleDigest');
  view.setUint32(at + 392, value.unparseableVerdict, true);
  putZeros(view, at + 396, 4);
}
export function decodeHuskGeneration(view: DataView, at: number): HuskGeneration {
  mustHold(view, at, 400);
  return {
    serial: view.getBigUint64(at + 0, true),
    digest: getBytes(view, at + 8, 32),
    tableDigest: getEach(at + 40, 32, 10, (from) => getBytes(view, from, 32)),
    bundleDigest: getBytes(view, at + 360, 32),
    unparseableVerdict: view.getUint32(at + 392, true),
  };
}

export interface HuskZone {
  readonly zoneBit: number;
  readonly ingressDefaultRule: number;
  readonly egressDefaultRule: number;
  readonly ingressDefault: number;
  readonly ingressMode: number;
  readonly egressDefault: number;
  readonly egressMode: number;
}
export const HuskZone = {
  size: 16,
  offset: {
    zoneBit: 0,
    ingressDefaultRule: 4,
    egressDefaultRule: 8,
    ingressDefault: 12,
    ingressMode: 13,
    egressDefault: 14,
    egressMode: 15,
  },
} as const;
export function encodeHuskZone(view: DataView, at: number, value: HuskZone): void {
  mustHold(view, at, 16);
  view.setUint32(at + 0, value.zoneBit, true);
  view.setUint32(at + 4, value.ingressDefaultRule, true);
  view.setUint32(at + 8, value.egressDefaultRule, true);
  view.setUint8(at + 12, value.ingressDefault);
  view.setUint8(at + 13, value.ingressMode);
  view.setUint8(at + 14, value.egressDefault);
  view.setUint8(at + 15, value.egressMode);
}
export function decodeHuskZone(view: DataView, at: number): HuskZone {
  mustHold(view, at, 16);
  return {
    zoneBit: view.getUint32(at + 0, true),
    ingressDefaultRule: view.getUint32(at + 4, true),
    egressDefaultRule: view.getUint32(at + 8, true),
    ingressDefault: view.getUint8(at + 12),
    ingressMode: view.getUint8(at + 13),
    egressDefault: view.getUint8(at + 14),
    egressMode: view.getUint8(at + 15),
  };
}

export interface HuskRule {
  readonly fromSets: bigint;
  readonly toSets: bigint;
  readonly saddr: Uint8Array;
  readonly smask: Uint8Array;
  readonly daddr: Uint8Array;
  readonly dmask: Uint8Array;
  readonly zones: number;
  readonly rule: number;
  readonly sportFirst: number;
  readonly sportLast: number;
  readonly dportFirst: number;
  readonly dportLast: number;
  readonly families: number;
  readonly ipProto: number;
  readonly tcpFlagsMask: number;
  readonly tcpFlagsValue: number;
  readonly flags: number;
  readonly verdict: number;
  readonly mode: number;
}
export const HuskRule = {
  size: 104,
  offset: {
    fromSets: 0,
    toSets: 8,
    saddr: 16,
    smask: 32,
    daddr: 48,
    dmask: 64,
    zones: 80,
    rule: 84,
    sportFirst: 88,
    sportLast: 90,
    dportFirst: 92,
    dportLast: 94,
    families: 96,
    ipProto: 97,
    tcpFlagsMask: 98,
    tcpFlagsValue: 99,
    flags: 100,
    verdict: 101,
    mode: 102,
  },
  count: {
    saddr: 16,
    smask: 16,
    daddr: 16,
    dmask: 16,
  },
} as const;
export function encodeHuskRule(view: DataView, at: number, value: HuskRule): void {
  mustHold(view, at, 104);
  view.setBigUint64(at + 0, value.fromSets, true);
  view.setBigUint64(at + 8, value.toSets, true);
  putBytes(view, at + 16, 16, value.saddr, 'saddr');
  putBytes(view, at + 32, 16, value.smask, 'smask');
  putBytes(view, at + 48, 16, value.daddr, 'daddr');
  putBytes(view, at + 64, 16, value.dmask, 'dmask');
  view.setUint32(at + 80, value.zones, true);
  view.setUint32(at + 84, value.rule, true);
  view.setUint16(at + 88, value.sportFirst, true);
  view.setUint16(at + 90, value.sportLast, true);
  view.setUint16(at + 92, value.dportFirst, true);
  view.setUint16(at + 94, value.dportLast, true);
  view.setUint8(at + 96, value.families);
  view.setUint8(at + 97, value.ipProto);
  view.setUint8(at + 98, value.tcpFlagsMask);
  view.setUint8(at + 99, value.tcpFlagsValue);
  view.setUint8(at + 100, value.flags);
  view.setUint8(at + 101, value.verdict);
  view.setUint8(at + 102, value.mode);
  putZeros(view, at + 103, 1);
}
export function decodeHuskRule(view: DataView, at: number): HuskRule {
  mustHold(view, at, 104);
  return {
    fromSets: view.getBigUint64(at + 0, true),
    toSets: view.getBigUint64(at + 8, true),
    saddr: getBytes(view, at + 16, 16),
    smask: getBytes(view, at + 32, 16),
    daddr: getBytes(view, at + 48, 16),
    dmask: getBytes(view, at + 64, 16),
    zones: view.getUint32(at + 80, true),
    rule: view.getUint32(at + 84, true),
    sportFirst: view.getUint16(at + 88, true),
    sportLast: view.getUint16(at + 90, true),
    dportFirst: view.getUint16(at + 92, true),
    dportLast: view.getUint16(at + 94, true),
    families: view.getUint8(at + 96),
    ipProto: view.getUint8(at + 97),
    tcpFlagsMask: view.getUint8(at + 98),
    tcpFlagsValue: view.getUint8(at + 99),
    flags: view.getUint8(at + 100),
    verdict: view.getUint8(at + 101),
    mode: view.getUint8(at + 102),
  };
}

export interface HuskRuleList {
  readonly count: number;
  readonly rules: readonly HuskRule[];
}
export const HuskRuleList = {
  size: 13320,
  offset: {
    count: 0,
    rules: 8,
  },
  count: {
    rules: 128,
  },
} as const;
export function encodeHuskRuleList(view: DataView, at: number, value: HuskRuleList): void {
  mustHold(view, at, 13320);
  view.setUint32(at + 0, value.count, true);
  putZeros(view, at + 4, 4);
  putEach(view, at + 8, 104, 128, value.rules, 'rules', (to, one) => encodeHuskRule(view, to, one));
}
export function decodeHuskRuleList(view: DataView, at: number): HuskRuleList {
  mustHold(view, at, 13320);
  return {
    count: view.getUint32(at + 0, true),
    rules: getEach(at + 8, 104, 128, (from) => decodeHuskRule(view, from)),
  };
}

export interface HuskPrefix4 {
  readonly prefixlen: number;
  readonly addr: Uint8Array;
}
export const HuskPrefix4 = {
  size: 8,
  offset: {
    prefixlen: 0,
    addr: 4,
  },
  count: {
    addr: 4,
  },
} as const;
export function encodeHuskPrefix4(view: DataView, at: number, value: HuskPrefix4): void {
  mustHold(view, at, 8);
  view.setUint32(at + 0, value.prefixlen, true);
  putBytes(view, at + 4, 4, value.addr, 'addr');
}
export function decodeHuskPrefix4(view: DataView, at: number): HuskPrefix4 {
  mustHold(view, at, 8);
  return {
    prefixlen: view.getUint32(at + 0, true),
    addr: getBytes(view, at + 4, 4),
  };
}

export interface HuskPrefix6 {
  readonly prefixlen: number;
  readonly addr: Uint8Array;
}
export const HuskPrefix6 = {
  size: 20,
  offset: {
    prefixlen: 0,
    addr: 4,
  },
  count: {
    addr: 16,
  },
} as const;
export function encodeHuskPrefix6(view: DataView, at: number, value: HuskPrefix6): void {
  mustHold(view, at, 20);
  view.setUint32(at + 0, value.prefixlen, true);
  putBytes(view, at + 4, 16, value.addr, 'addr');
}
export function decodeHuskPrefix6(view: DataView, at: number): HuskPrefix6 {
  mustHold(view, at, 20);
  return {
    prefixlen: view.getUint32(at + 0, true),
    addr: getBytes(view, at + 4, 16),
  };
}

export interface HuskCallRule {
  readonly subjects: bigint;
  readonly toSets: bigint;
  readonly addr: Uint8Array;
  readonly mask: Uint8Array;
  readonly rule: number;
  readonly socketFamilies: number;
  readonly portFirst: number;
  readonly portLast: number;
  readonly socketTypes: number;
  readonly families: number;
  readonly ipProto: number;
  readonly calls: number;
  readonly flags: number;
  readonly verdict: number;
  readonly mode: number;
  readonly isDefault: number;
}
export const HuskCallRule = {
  size: 72,
  offset: {
    subjects: 0,
    toSets: 8,
    addr: 16,
    mask: 32,
    rule: 48,
    socketFamilies: 52,
    portFirst: 56,
    portLast: 58,
    socketTypes: 60,
    families: 62,
    ipProto: 63,
    calls: 64,
    flags: 65,
    verdict: 66,
    mode: 67,
    isDefault: 68,
  },
  count: {
    addr: 16,
    mask: 16,
  },
} as const;
export function encodeHuskCallRule(view: DataView, at: number, value: HuskCallRule): void {
  mustHold(view, at, 72);
  view.setBigUint64(at + 0, value.subjects, true);
  view.setBigUint64(at + 8, value.toSets, true);
  putBytes(view, at + 16, 16, value.addr, 'addr');
  putBytes(view, at + 32, 16, value.mask, 'mask');
  view.setUint32(at + 48, value.rule, true);
  view.setUint32(at + 52, value.socketFamilies, true);
  view.setUint16(at + 56, value.portFirst, true);
  view.setUint16(at + 58, value.portLast, true);
  view.setUint16(at + 60, value.socketTypes, true);
  view.setUint8(at + 62, value.families);
  view.setUint8(at + 63, value.ipProto);
  view.setUint8(at + 64, value.calls);
  view.setUint8(at + 65, value.flags);
  view.setUint8(at + 66, value.verdict);
  view.setUint8(at + 67, value.mode);
  view.setUint8(at + 68, value.isDefault);
  putZeros(view, at + 69, 3);
}
export function decodeHuskCallRule(view: DataView, at: number): HuskCallRule {
  mustHold(view, at, 72);
  return {
    subjects: view.getBigUint64(at + 0, true),
    toSets: view.getBigUint64(at + 8, true),
    addr: getBytes(view, at + 16, 16),
    mask: getBytes(view, at + 32, 16),
    rule: view.getUint32(at + 48, true),
    socketFamilies: view.getUint32(at + 52, true),
    portFirst: view.getUint16(at + 56, true),
    portLast: view.getUint16(at + 58, true),
    socketTypes: view.getUint16(at + 60, true),
    families: view.getUint8(at + 62),
    ipProto: view.getUint8(at + 63),
    calls: view.getUint8(at + 64),
    flags: view.getUint8(at + 65),
    verdict: view.getUint8(at + 66),
    mode: view.getUint8(at + 67),
    isDefault: view.getUint8(at + 68),
  };
}

export interface HuskCallList {
  readonly count: number;
  readonly rules: readonly HuskCallRule[];
}
export const HuskCallList = {
  size: 9224,
  offset: {
    count: 0,
    rules: 8,
  },
  count: {
    rules: 128,
  },
} as const;
export function encodeHuskCallList(view: DataView, at: number, value: HuskCallList): void {
  mustHold(view, at, 9224);
  view.setUint32(at + 0, value.count, true);
  putZeros(view, at + 4, 4);
  putEach(view, at + 8, 72, 128, value.rules, 'rules', (to, one) => encodeHuskCallRule(view, to, one));
}
export function decodeHuskCallList(view: DataView, at: number): HuskCallList {
  mustHold(view, at, 9224);
  return {
    count: view.getUint32(at + 0, true),
    rules: getEach(at + 8, 72, 128, (from) => decodeHuskCallRule(view, from)),
  };
}

export interface HuskEvent {
  readonly bootNs: bigint;
  readonly serial: bigint;
  readonly rule: number;
  readonly kind: number;
  readonly size: number;
  readonly hook: number;
  readonly verdict: number;
  readonly mode: number;
  readonly reason: number;
}
export const HuskEvent = {
  size: 32,
  offset: {
    bootNs: 0,
    serial: 8,
    rule: 16,
    kind: 20,
    size: 22,
    hook: 24,
    verdict: 25,
    mode: 26,
    reason: 27,
  },
} as const;
export function encodeHuskEvent(view: DataView, at: number, value: HuskEvent): void {
  mustHold(view, at, 32);
  view.setBigUint64(at + 0, value.bootNs, true);
  view.setBigUint64(at + 8, value.serial, true);
  view.setUint32(at + 16, value.rule, true);
  view.setUint16(at + 20, value.kind, true);
  view.setUint16(at + 22, value.size, true);
  view.setUint8(at + 24, value.hook);
  view.setUint8(at + 25, value.verdict);
  view.setUint8(at + 26, value.mode);
  view.setUint8(at + 27, value.reason);
  putZeros(view, at + 28, 4);
}
export function decodeHuskEvent(view: DataView, at: number): HuskEvent {
  mustHold(view, at, 32);
  return {
    bootNs: view.getBigUint64(at + 0, true),
    serial: view.getBigUint64(at + 8, true),
    rule: view.getUint32(at + 16, true),
    kind: view.getUint16(at + 20, true),
    size: view.getUint16(at + 22, true),
    hook: view.getUint8(at + 24),
    verdict: view.getUint8(at + 25),
    mode: view.getUint8(at + 26),
    reason: view.getUint8(at + 27),
  };
}

export interface HuskPacketEvent {
  readonly head: HuskEvent;
  readonly saddr: Uint8Array;
  readonly daddr: Uint8Array;
  readonly ifindex: number;
  readonly length: number;
  readonly sport: number;
  readonly dport: number;
  readonly etherType: number;
  readonly ipProto: number;
  readonly tcpFlags: number;
  readonly family: number;
  readonly fragment: number;
}
export const HuskPacketEvent = {
  size: 88,
  offset: {
    head: 0,
    saddr: 32,
    daddr: 48,
    ifindex: 64,
    length: 68,
    sport: 72,
    dport: 74,
    etherType: 76,
    ipProto: 78,
    tcpFlags: 79,
    family: 80,
    fragment: 81,
  },
  count: {
    saddr: 16,
    daddr: 16,
  },
} as const;
export function encodeHuskPacketEvent(view: DataView, at: number, value: HuskPacketEvent): void {
  mustHold(view, at, 88);
  encodeHuskEvent(view, at + 0, value.head);
  putBytes(view, at + 32, 16, value.saddr, 'saddr');
  putBytes(view, at + 48, 16, value.daddr, 'daddr');
  view.setUint32(at + 64, value.ifindex, true);
  view.setUint32(at + 68, value.length, true);
  view.setUint16(at + 72, value.sport, true);
  view.setUint16(at + 74, value.dport, true);
  view.setUint16(at + 76, value.etherType, true);
  view.setUint8(at + 78, value.ipProto);
  view.setUint8(at + 79, value.tcpFlags);
  view.setUint8(at + 80, value.family);
  view.setUint8(at + 81, value.fragment);
  putZeros(view, at + 82, 6);
}
export function decodeHuskPacketEvent(view: DataView, at: number): HuskPacketEvent {
  mustHold(view, at, 88);
  return {
    head: decodeHuskEvent(view, at + 0),
    saddr: getBytes(view, at + 32, 16),
    daddr: getBytes(view, at + 48, 16),
    ifindex: view.getUint32(at + 64, true),
    length: view.getUint32(at + 68, true),
    sport: view.getUint16(at + 72, true),
    dport: view.getUint16(at + 74, true),
    etherType: view.getUint16(at + 76, true),
    ipProto: view.getUint8(at + 78),
    tcpFlags: view.getUint8(at + 79),
    family: view.getUint8(at + 80),
    fragment: view.getUint8(at + 81),
  };
}

export interface HuskCallEvent {
  readonly head: HuskEvent;
  readonly cgroup: bigint;
  readonly addr: Uint8Array;
  readonly tgid: number;
  readonly tid: number;
  readonly uid: number;
  readonly gid: number;
  readonly port: number;
  readonly socketFamily: number;
  readonly socketType: number;
  readonly ipProto: number;
  readonly call: number;
  readonly comm: string;
}
export const HuskCallEvent = {
  size: 96,
  offset: {
    head: 0,
    cgroup: 32,
    addr: 40,
    tgid: 56,
    tid: 60,
    uid: 64,
    gid: 68,
    port: 72,
    socketFamily: 74,
    socketType: 76,
    ipProto: 78,
    call: 79,
    comm: 80,
  },
  count: {
    addr: 16,
    comm: 16,
  },
} as const;
export function encodeHuskCallEvent(view: DataView, at: number, value: HuskCallEvent): void {
  mustHold(view, at, 96);
  encodeHuskEvent(view, at + 0, value.head);
  view.setBigUint64(at + 32, value.cgroup, true);
  putBytes(view, at + 40, 16, value.addr, 'addr');
  view.setUint32(at + 56, value.tgid, true);
  view.setUint32(at + 60, value.tid, true);
  view.setUint32(at + 64, value.uid, true);
  view.setUint32(at + 68, value.gid, true);
  view.setUint16(at + 72, value.port, true);
  view.setUint16(at + 74, value.socketFamily, true);
  view.setUint16(at + 76, value.socketType, true);
  view.setUint8(at + 78, value.ipProto);
  view.setUint8(at + 79, value.call);
  putText(view, at + 80, 16, value.comm, 'comm');
}
export function decodeHuskCallEvent(view: DataView, at: number): HuskCallEvent {
  mustHold(view, at, 96);
  return {
    head: decodeHuskEvent(view, at + 0),
    cgroup: view.getBigUint64(at + 32, true),
    addr: getBytes(view, at + 40, 16),
    tgid: view.getUint32(at + 56, true),
    tid: view.getUint32(at + 60, true),
    uid: view.getUint32(at + 64, true),
    gid: view.getUint32(at + 68, true),
    port: view.getUint16(at + 72, true),
    socketFamily: view.getUint16(at + 74, true),
    socketType: view.getUint16(at + 76, true),
    ipProto: view.getUint8(at + 78),
    call: view.getUint8(at + 79),
    comm: getText(view, at + 80, 16),
  };
}

// What an object built from the same headers carries as BTF; agent/kernel/btf.ts compares.

export const layoutDigest = 'dc85d2c4bd9f897dd1f7c137e1f93e9a7ea966d5fe5ae6d0344e4951516a495e';

export interface LayoutField {
  readonly name: string;
  readonly offset: number;
  /** As in `u8[10][32]`, `husk_rule[128]`, `char[16]`. */
  readonly type: string;
}
export interface Layout {
  readonly structs: readonly { readonly name: string; readonly size: number; readonly fields: readonly LayoutField[] }[];
  readonly enums: readonly { readonly name: string; readonly values: readonly (readonly [name: string, value: number])[] }[];
}
export const layout: Layout = {
  structs: [
    { name: 'husk_control', size: 16, fields: [
      { name: 'live', offset: 0, type: 'u32' },
      { name: 'expired', offset: 4, type: 'u32' },
      { name: 'packet_events_per_second', offset: 8, type: 'u32' },
      { name: 'pad', offset: 12, type: 'u32' },
    ] },
    { name: 'husk_counter', size: 16, fields: [
      { name: 'hits', offset: 0, type: 'u64' },
      { name: 'bytes', offset: 8, type: 'u64' },
    ] },
    { name: 'husk_rule_name', size: 128, fields: [
      { name: 'id', offset: 0, type: 'char[128]' },
    ] },
    { name: 'husk_try', size: 24, fields: [
      { name: 'canary_cgroup', offset: 0, type: 'u64' },
      { name: 'canary_subjects', offset: 8, type: 'u64' },
      { name: 'slot', offset: 16, type: 'u32' },
      { name: 'ifindex', offset: 20, type: 'u32' },
    ] },
    { name: 'husk_tried', size: 24, fields: [
      { name: 'verdict', offset: 0, type: 'u32' },
      { name: 'reason', offset: 4, type: 'u32' },
      { name: 'rule', offset: 8, type: 'u32' },
      { name: 'monitored', offset: 12, type: 'u32' },
      { name: 'runs', offset: 16, type: 'u32' },
      { name: 'pad', offset: 20, type: 'u32' },
    ] },
    { name: 'husk_generation', size: 400, fields: [
      { name: 'serial', offset: 0, type: 'u64' },
      { name: 'digest', offset: 8, type: 'u8[32]' },
      { name: 'table_digest', offset: 40, type: 'u8[10][32]' },
      { name: 'bundle_digest', offset: 360, type: 'u8[32]' },
      { name: 'unparseable_verdict', offset: 392, type: 'u32' },
      { name: 'pad', offset: 396, type: 'u32' },
    ] },
    { name: 'husk_zone', size: 16, fields: [
      { name: 'zone_bit', offset: 0, type: 'u32' },
      { name: 'ingress_default_rule', offset: 4, type: 'u32' },
      { name: 'egress_default_rule', offset: 8, type: 'u32' },
      { name: 'ingress_default', offset: 12, type: 'u8' },
      { name: 'ingress_mode', offset: 13, type: 'u8' },
      { name: 'egress_default', offset: 14, type: 'u8' },
      { name: 'egress_mode', offset: 15, type: 'u8' },
    ] },
    { name: 'husk_rule', size: 104, fields: [
      { name: 'from_sets', offset: 0, type: 'u64' },
      { name: 'to_sets', offset: 8, type: 'u64' },
      { name: 'saddr', offset: 16, type: 'u8[16]' },
      { name: 'smask', offset: 32, type: 'u8[16]' },
      { name: 'daddr', offset: 48, type: 'u8[16]' },
      { name: 'dmask', offset: 64, type: 'u8[16]' },
      { name: 'zones', offset: 80, type: 'u32' },
      { name: 'rule', offset: 84, type: 'u32' },
      { name: 'sport_first', offset: 88, type: 'u16' },
      { name: 'sport_last', offset: 90, type: 'u16' },
      { name: 'dport_first', offset: 92, type: 'u16' },
      { name: 'dport_last', offset: 94, type: 'u16' },
      { name: 'families', offset: 96, type: 'u8' },
      { name: 'ip_proto', offset: 97, type: 'u8' },
      { name: 'tcp_flags_mask', offset: 98, type: 'u8' },
      { name: 'tcp_flags_value', offset: 99, type: 'u8' },
      { name: 'flags', offset: 100, type: 'u8' },
      { name: 'verdict', offset: 101, type: 'u8' },
      { name: 'mode', offset: 102, type: 'u8' },
      { name: 'pad', offset: 103, type: 'u8' },
    ] },
    { name: 'husk_rule_list', size: 13320, fields: [
      { name: 'count', offset: 0, type: 'u32' },
      { name: 'pad', offset: 4, type: 'u32' },
      { name: 'rules', offset: 8, type: 'husk_rule[128]' },
    ] },
    { name: 'husk_prefix4', size: 8, fields: [
      { name: 'prefixlen', offset: 0, type: 'u32' },
      { name: 'addr', offset: 4, type: 'u8[4]' },
    ] },
    { name: 'husk_prefix6', size: 20, fields: [
      { name: 'prefixlen', offset: 0, type: 'u32' },
      { name: 'addr', offset: 4, type: 'u8[16]' },
    ] },
    { name: 'husk_call_rule', size: 72, fields: [
      { name: 'subjects', offset: 0, type: 'u64' },
      { name: 'to_sets', offset: 8, type: 'u64' },
      { name: 'addr', offset: 16, type: 'u8[16]' },
      { name: 'mask', offset: 32, type: 'u8[16]' },
      { name: 'rule', offset: 48, type: 'u32' },
      { name: 'socket_families', offset: 52, type: 'u32' },
      { name: 'port_first', offset: 56, type: 'u16' },
      { name: 'port_last', offset: 58, type: 'u16' },
      { name: 'socket_types', offset: 60, type: 'u16' },
      { name: 'families', offset: 62, type: 'u8' },
      { name: 'ip_proto', offset: 63, type: 'u8' },
      { name: 'calls', offset: 64, type: 'u8' },
      { name: 'flags', offset: 65, type: 'u8' },
      { name: 'verdict', offset: 66, type: 'u8' },
      { name: 'mode', offset: 67, type: 'u8' },
      { name: 'is_default', offset: 68, type: 'u8' },
      { name: 'pad', offset: 69, type: 'u8[3]' },
    ] },
    { name: 'husk_call_list', size: 9224, fields: [
      { name: 'count', offset: 0, type: 'u32' },
      { name: 'pad', offset: 4, type: 'u32' },
      { name: 'rules', offset: 8, type: 'husk_call_rule[128]' },
    ] },
    { name: 'husk_event', size: 32, fields: [
      { name: 'boot_ns', offset: 0, type: 'u64' },
      { name: 'serial', offset: 8, type: 'u64' },
      { name: 'rule', offset: 16, type: 'u32' },
      { name: 'kind', offset: 20, type: 'u16' },
      { name: 'size', offset: 22, type: 'u16' },
      { name: 'hook', offset: 24, type: 'u8' },
      { name: 'verdict', offset: 25, type: 'u8' },
      { name: 'mode', offset: 26, type: 'u8' },
      { name: 'reason', offset: 27, type: 'u8' },
      { name: 'pad', offset: 28, type: 'u32' },
    ] },
    { name: 'husk_packet_event', size: 88, fields: [
      { name: 'head', offset: 0, type: 'husk_event' },
      { name: 'saddr', offset: 32, type: 'u8[16]' },
      { name: 'daddr', offset: 48, type: 'u8[16]' },
      { name: 'ifindex', offset: 64, type: 'u32' },
      { name: 'length', offset: 68, type: 'u32' },
      { name: 'sport', offset: 72, type: 'u16' },
      { name: 'dport', offset: 74, type: 'u16' },
      { name: 'ether_type', offset: 76, type: 'u16' },
      { name: 'ip_proto', offset: 78, type: 'u8' },
      { name: 'tcp_flags', offset: 79, type: 'u8' },
      { name: 'family', offset: 80, type: 'u8' },
      { name: 'fragment', offset: 81, type: 'u8' },
      { name: 'pad', offset: 82, type: 'u8[6]' },
    ] },
    { name: 'husk_call_event', size: 96, fields: [
      { name: 'head', offset: 0, type: 'husk_event' },
      { name: 'cgroup', offset: 32, type: 'u64' },
      { name: 'addr', offset: 40, type: 'u8[16]' },
      { name: 'tgid', offset: 56, type: 'u32' },
      { name: 'tid', offset: 60, type: 'u32' },
      { name: 'uid', offset: 64, type: 'u32' },
      { name: 'gid', offset: 68, type: 'u32' },
      { name: 'port', offset: 72, type: 'u16' },
      { name: 'socket_family', offset: 74, type: 'u16' },
      { name: 'socket_type', offset: 76, type: 'u16' },
      { name: 'ip_proto', offset: 78, type: 'u8' },
      { name: 'call', offset: 79, type: 'u8' },
      { name: 'comm', offset: 80, type: 'char[16]' },
    ] },
  ],
  enums: [
    { name: 'husk_verdict', values: [
      ['HUSK_VERDICT_ALLOW', 1],
      ['HUSK_VERDICT_DROP', 2],
      ['HUSK_VERDICT_DENY', 3],
    ] },
    { name: 'husk_reason', values: [
      ['HUSK_REASON_RULE', 1],
      ['HUSK_REASON_DEFAULT', 2],
      ['HUSK_REASON_NEVER_DROP', 3],
      ['HUSK_REASON_UNPARSEABLE', 4],
      ['HUSK_REASON_UNZONED', 5],
      ['HUSK_REASON_NO_GENERATION', 6],
      ['HUSK_REASON_NO_SUBJECT', 7],
    ] },
    { name: 'husk_mode', values: [
      ['HUSK_MODE_MONITOR', 1],
      ['HUSK_MODE_ENFORCE', 2],
    ] },
    { name: 'husk_hook', values: [
      ['HUSK_HOOK_XDP_INGRESS', 1],
      ['HUSK_HOOK_TC_EGRESS', 2],
      ['HUSK_HOOK_CONNECT', 3],
      ['HUSK_HOOK_SENDMSG', 4],
      ['HUSK_HOOK_BIND', 5],
      ['HUSK_HOOK_SOCKET', 6],
    ] },
    { name: 'husk_table', values: [
      ['HUSK_TABLE_GENERATION', 0],
      ['HUSK_TABLE_ZONES', 1],
      ['HUSK_TABLE_INGRESS', 2],
      ['HUSK_TABLE_EGRESS', 3],
      ['HUSK_TABLE_SET4', 4],
      ['HUSK_TABLE_SET6', 5],
      ['HUSK_TABLE_SUBJECTS', 6],
      ['HUSK_TABLE_CALLS', 7],
      ['HUSK_TABLE_CALL_SET4', 8],
      ['HUSK_TABLE_CALL_SET6', 9],
      ['HUSK_TABLE_COUNT', 10],
    ] },
    { name: 'husk_total', values: [
      ['HUSK_TOTAL_INGRESS', 0],
      ['HUSK_TOTAL_EGRESS', 1],
      ['HUSK_TOTAL_CALLS', 2],
      ['HUSK_TOTAL_NEVER_DROP', 3],
      ['HUSK_TOTAL_UNPARSEABLE', 4],
      ['HUSK_TOTAL_UNZONED', 5],
      ['HUSK_TOTAL_NO_GENERATION', 6],
      ['HUSK_TOTAL_PACKET_EVENTS_LOST', 7],
      ['HUSK_TOTAL_PACKET_EVENTS_SUPPRESSED', 8],
      ['HUSK_TOTAL_CALL_EVENTS_LOST', 9],
      ['HUSK_TOTAL_DEADLINES_SEEN', 10],
      ['HUSK_TOTAL_COUNT', 16],
    ] },
    { name: 'husk_event_kind', values: [
      ['HUSK_EVENT_PACKET', 1],
      ['HUSK_EVENT_CALL', 2],
    ] },
  ],
};

function putZeros(view: DataView, at: number, size: number): void {
  bytesOf(view, at, size).fill(0);
}

function putBytes(view: DataView, at: number, size: number, value: Uint8Array, what: string): void {
  if (value.length !== size) throw new RangeError(`${what}: ${value.length} bytes, not ${size}`);
  bytesOf(view, at, size).set(value);
}

function putText(view: DataView, at: number, size: number, value: string, what: string): void {
  const bytes = new TextEncoder().encode(value);
  // One NUL at the end is always there, so that C may read it as a string.
  if (bytes.length >= size) throw new RangeError(`${what}: ${bytes.length} bytes of text, at most ${size - 1}`);
  if (bytes.includes(0)) throw new RangeError(`${what}: NUL inside the text`);
  const to = bytesOf(view, at, size);
  to.set(bytes);
  to.fill(0, bytes.length);
}

/** Fewer elements than the array has are followed by zeros; more are refused. */
function putEach<T>(
  view: DataView,
  at: number,
  step: number,
  count: number,
  values: readonly T[],
  what: string,
  put: (to: number, one: T) => void,
): void {
  if (values.length > count) throw new RangeError(`${what}: ${values.length} elements, at most ${count}`);
  values.forEach((one, index) => put(at + index * step, one));
  bytesOf(view, at + values.length * step, (count - values.length) * step).fill(0);
}

function getBytes(view: DataView, at: number, size: number): Uint8Array {
  return bytesOf(view, at, size).slice();
}

function getText(view: DataView, at: number, size: number): string {
  const bytes = bytesOf(view, at, size);
  const end = bytes.indexOf(0);
  return new TextDecoder().decode(end < 0 ? bytes : bytes.subarray(0, end));
}

function getEach<T>(at: number, step: number, count: number, get: (from: number) => T): readonly T[] {
  return Array.from({ length: count }, (_, index) => get(at + index * step));
}

function bytesOf(view: DataView, at: number, size: number): Uint8Array {
  mustHold(view, at, size);
  return new Uint8Array(view.buffer, view.byteOffset + at, size);
}

function mustHold(view: DataView, at: number, size: number): void {
  if (at < 0 || at + size > view.byteLength) throw new RangeError(`${size} bytes at ${at} are outside the view`);
}
