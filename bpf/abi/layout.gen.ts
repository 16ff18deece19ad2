// Generated from bpf/abi/*.h by bpf/abi/gen-layout.ts; checked in; do not edit.
//
// Little-endian targets only. u64 is bigint, bytes are Uint8Array, char arrays are strings up to the first NUL.
// Decoded byte arrays are copies. Reading or writing past the view throws RangeError.

// Numbers of limits.h, abi.h and tables.h.

export const HUSK_ABI_VERSION = 4;
export const HUSK_SLOTS = 2;
export const HUSK_ZONES_MAX = 16;
export const HUSK_INTERFACES_MAX = 64;
export const HUSK_SETS_MAX = 64;
export const HUSK_RULES_MAX = 10048;
export const HUSK_CLASSIFIER_UNIT = 32;
export const HUSK_CLASSIFIER_LINE = 64;
export const HUSK_CLASSIFIER_SMALL_BYTES = 131072;
export const HUSK_CLASSIFIER_MEDIUM_BYTES = 1048576;
export const HUSK_CLASSIFIER_LARGE_BYTES = 4194304;
export const HUSK_CLASSIFIER_SMALL_ENTRIES = 64;
export const HUSK_CLASSIFIER_MEDIUM_ENTRIES = 3904;
export const HUSK_CLASSIFIER_LARGE_ENTRIES = 10048;
export const HUSK_CLASSIFIER_LARGE_WORDS = 160;
export const HUSK_CLASSIFIER_SECTIONS = 4;
export const HUSK_CLASSIFIER_ROOT4 = 512;
export const HUSK_CLASSIFIER_ROOT6 = 4096;
export const HUSK_CLASSIFIER_PAGE = 256;
export const HUSK_CLASSIFIER_PORTS = 1024;
export const HUSK_CLASSIFIER_NO_PROTOCOL = 256;
export const HUSK_CLASSIFIER_KEYS4 = 7;
export const HUSK_CLASSIFIER_KEYS6 = 5;
export const HUSK_CLASSIFIER_DEPTH4 = 5;
export const HUSK_CLASSIFIER_DEPTH6 = 12;
export const HUSK_CALL_RULES_MAX = 128;
export const HUSK_SUBJECTS_MAX = 64;
export const HUSK_CGROUPS_MAX = 256;
export const HUSK_CGROUP_DEPTH_MAX = 8;
export const HUSK_COUNTERS_MAX = 32768;
export const HUSK_RULE_ID_BYTES = 128;
export const HUSK_PREFIXES_MAX = 1048576;
export const HUSK_PACKET_RING_BYTES = 1048576;
export const HUSK_CALL_RING_BYTES = 262144;
export const HUSK_TRACE_RING_BYTES = 262144;
export const HUSK_TRACE_ADDRESS = 1;
export const HUSK_TRACE_PORT = 2;
export const HUSK_TRACE_PROTOCOL = 4;
export const HUSK_TRACE_INTERFACE = 8;
export const HUSK_TRACE_STOPPED = 16;
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
export const HUSK_NOT_TO = 16;
export const HUSK_CALL_CONNECT = 1;
export const HUSK_CALL_BIND = 2;
export const HUSK_CALL_SOCKET = 4;
export const HUSK_CALL_TASK_CONNECT = 16;
export const HUSK_CALL_TASK_BIND = 32;
export const HUSK_CALL_TASK_SOCKET = 64;
export const HUSK_CONNECTION_WAYS = 8;
export const HUSK_CONNECTION_BUCKETS = 2048;
export const HUSK_CONNECTION_FRAGMENTS = 1024;
export const HUSK_CONNECTION_FRAGMENT_SECONDS = 30;
export const HUSK_CONNECTION_PLAIN = 0;
export const HUSK_CONNECTION_ECHO = 1;
export const HUSK_CONNECTION_QUERY = 2;
export const HUSK_CONNECTION_REPLIED = 1;
export const HUSK_CONNECTION_REVERSED = 2;
export const HUSK_CONNECTION_FORWARDED = 4;
export const HUSK_CONNECTION_DEVICE = 8;
export const HUSK_CONNECTION_SERVICE = 16;
export const HUSK_CONNECTION_TO_DEVICE = 32;
export const HUSK_CONNECTION_EGRESS = 64;
export const HUSK_CONNECTION_ENDED = 128;
export const HUSK_CONNECTION_SENT = 256;
export const HUSK_CONNECTION_ANSWERED = 512;
export const HUSK_CONNECTION_FIN_SENT = 1024;
export const HUSK_CONNECTION_FIN_ANSWERED = 2048;
export const HUSK_CONNECTION_RESET_SENT = 16384;
export const HUSK_CONNECTION_RESET_ANSWERED = 32768;
export const HUSK_CONNECTION_CLOSED = 4096;
export const HUSK_CONNECTION_FRAGMENT = 8192;
export const HUSK_CONNECTION_TIMEOUT_SHIFT = 16;
export const HUSK_CONNECTION_VERDICTS = 4;
export const HUSK_CONNECTION_RULE_NONE = 65535;
export const HUSK_RATE_WAYS = 8;
export const HUSK_REJECTS_PER_SECOND = 100;
export const HUSK_RATE_BUCKETS = 1024;
export const HUSK_SET_SMALL_CHUNK_BYTES = 32768;
export const HUSK_SET_LARGE_CHUNK_BYTES = 1048576;
export const HUSK_SET_HEAD_BYTES = 192;
export const HUSK_SET4_KEYS = 14;
export const HUSK_SET4_LINE_KEYS = 0;
export const HUSK_SET4_LINE_CHILDREN = 1;
export const HUSK_SET4_LINE_BITS = 2;
export const HUSK_SET4_LINE_ALL = 3;
export const HUSK_SET6_TREES = 4;
export const HUSK_SET6_LEVELS = 6;
export const HUSK_SET6_LINE_KEYS = 5;
export const HUSK_SET6_KEY_BITS = 48;
export const HUSK_SET6_LINE_TREE = 1;
export const HUSK_SET6_LEAF_KEYS = 8;
export const HUSK_SET6_NODE_KEYS = 16;
export const HUSK_BIG_SETS_MAX = 8;
export const HUSK_SET_USES_MAX = 8;
export const HUSK_ADDITIONS_MAX = 65536;
export const HUSK_INTERFACE_CONDITIONS_MAX = 32;
export const HUSK_SERVICES_MAX = 16;
export const HUSK_OWN_ADDRESSES_MAX = 1024;
export const HUSK_DEFERRED_MAX = 256;
export const HUSK_COOKIE_SECONDS = 120;
export const HUSK_EVENT_DATA_BYTES = 64;
export const HUSK_FOLLOWS_NONE = 0;
export const HUSK_FOLLOWS_ALL = 1;
export const HUSK_FOLLOWS_SERVICES = 2;
export const HUSK_LINK_ETHERNET = 0;
export const HUSK_LINK_BARE = 1;
export const HUSK_NEVER_DROP_ARP = 1;
export const HUSK_NEVER_DROP_NEIGHBOURS = 2;
export const HUSK_NEVER_DROP_DHCP_CLIENT = 4;
export const HUSK_NEVER_DROP_DHCP_SERVER = 8;
export const HUSK_NEVER_DROP_REPLIES = 16;
export const HUSK_ZONE_DEFERS_VLANS = 1;
export const HUSK_ZONE_DEFERS_PPPOE = 2;
export const HUSK_ZONE_LEFT_OUT = 4;
export const HUSK_ZONE_SYN_COOKIES = 8;
export const HUSK_ZONE_AWAITS_IPV4 = 16;
export const HUSK_ZONE_ENFORCES = 32;
export const HUSK_RULE_PER_PACKET = 1;
export const HUSK_EXTRA_SMAC = 1;
export const HUSK_EXTRA_NOT_SMAC = 2;
export const HUSK_EXTRA_DMAC = 4;
export const HUSK_EXTRA_NOT_DMAC = 8;
export const HUSK_EXTRA_VLAN = 16;
export const HUSK_EXTRA_TCP = 32;
export const HUSK_EXTRA_LIMIT = 64;
export const HUSK_EXTRA_MACS = 4;
export const HUSK_IFNAME_BYTES = 16;
export const HUSK_FLOOR_PATTERNS_MAX = 64;
export const HUSK_FLOOR_COVERED_IN = 1;
export const HUSK_FLOOR_COVERED_OUT = 2;
export const HUSK_PROGRAMS_MAX = 1024;
export const HUSK_USERS_MAX = 256;
export const HUSK_APPLETS_MAX = 2048;
export const HUSK_DECISIONS_MAX = 65536;
export const HUSK_LINEAGE_MAX = 16;
export const HUSK_PATH_DEPTH_MAX = 32;
export const HUSK_NAME_BYTES = 256;
export const HUSK_EVENT_NAMES_BYTES = 320;
export const HUSK_TASK_LINEAGE_FULL = 1;
export const HUSK_PERIOD_SHIFT = 33;
export const HUSK_REPEATS_MAX = 2048;
export const HUSK_OBSERVED_MAX = 512;
export const HUSK_OPERATION_KILLED = 1;
export const HUSK_OPERATION_TARGET = 2;
export const HUSK_EVENT_PATH_CUT = 1;
export const HUSK_EVENT_LINEAGE_FULL = 2;
export const HUSK_SELF_FILE = 1;
export const HUSK_SELF_FOLDER = 2;
export const HUSK_SELF_ABOVE = 4;
export const HUSK_SELF_PROGRAM = 8;
export const HUSK_SELF_SECRET = 16;
export const HUSK_SELF_PLACES_MAX = 256;
export const HUSK_SELF_DEVICES_MAX = 8;
export const HUSK_SELF_OBJECTS_MAX = 8192;
export const HUSK_SELF_INTERFACES_MAX = 256;

// Enumerations, without the common prefix of their names.

export const HuskVerdict = {
  ALLOW: 1,
  DROP: 2,
  DENY: 3,
  REJECT: 4,
  LOG: 5,
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
  LIMITED: 8,
  DEFERRED: 9,
  COOKIE: 10,
  OWN_SOURCE: 11,
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
  TC_INGRESS: 7,
  EXEC: 8,
  MMAP: 9,
  FILE: 10,
  MOUNT: 11,
  PRIVILEGE: 12,
  KERNEL: 13,
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
  DEFERRED: 10,
  INGRESS_EXTRA: 11,
  EGRESS_EXTRA: 12,
  INGRESS_CLASSES: 13,
  EGRESS_CLASSES: 14,
  ADDITIONS4: 15,
  ADDITIONS6: 16,
  BIG4: 20,
  BIG6: 28,
  OPERATIONS: 36,
  PROGRAMS: 37,
  USERS: 38,
  APPLETS: 39,
  DECISIONS: 40,
  COUNT: 41,
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
  DEFERRED: 11,
  REJECTS_SENT: 12,
  REJECTS_SUPPRESSED: 13,
  TRACES_LOST: 17,
  COOKIES_SENT: 18,
  COOKIES_GOOD: 19,
  COOKIES_BAD: 20,
  OWN_SOURCE: 21,
  TASKS_UNKNOWN: 24,
  TASKS_FOUND: 25,
  OBSERVED_SUPPRESSED: 26,
  SELF_REFUSED: 30,
  COUNT: 32,
} as const;
export type HuskTotal = (typeof HuskTotal)[keyof typeof HuskTotal];

export const HuskEventKind = {
  PACKET: 1,
  CALL: 2,
  TRACE: 3,
  OPERATION: 4,
} as const;
export type HuskEventKind = (typeof HuskEventKind)[keyof typeof HuskEventKind];

export const HuskConnectionState = {
  NONE: 0,
  NEW: 1,
  ESTABLISHED: 2,
  RELATED: 3,
  INVALID: 4,
} as const;
export type HuskConnectionState = (typeof HuskConnectionState)[keyof typeof HuskConnectionState];

export const HuskConnectionTimeout = {
  TCP_OPENING: 0,
  TCP_ESTABLISHED: 1,
  TCP_CLOSING: 2,
  UDP_ONE_WAY: 3,
  UDP: 4,
  ICMP: 5,
  OTHER: 6,
  COUNT: 8,
} as const;
export type HuskConnectionTimeout = (typeof HuskConnectionTimeout)[keyof typeof HuskConnectionTimeout];

export const HuskConnectionCount = {
  OPENED: 0,
  EVICTED_ONE_WAY: 1,
  EVICTED: 2,
  UNFOLLOWED: 3,
  VOIDED: 4,
  RATES_EVICTED: 5,
  COUNT: 8,
} as const;
export type HuskConnectionCount = (typeof HuskConnectionCount)[keyof typeof HuskConnectionCount];

export const HuskLimitPer = {
  RULE: 1,
  SOURCE: 2,
  FLOW: 3,
} as const;
export type HuskLimitPer = (typeof HuskLimitPer)[keyof typeof HuskLimitPer];

export const HuskLimitOver = {
  DROP: 1,
  NEXT: 2,
} as const;
export type HuskLimitOver = (typeof HuskLimitOver)[keyof typeof HuskLimitOver];

export const HuskCourse = {
  THROUGH: 0,
  DEVICE: 1,
} as const;
export type HuskCourse = (typeof HuskCourse)[keyof typeof HuskCourse];

export const HuskRejectWith = {
  USUAL: 0,
  TCP_RESET: 1,
  PORT: 2,
  HOST: 3,
  NET: 4,
  ADMIN: 5,
} as const;
export type HuskRejectWith = (typeof HuskRejectWith)[keyof typeof HuskRejectWith];

export const HuskOperation = {
  EXEC: 1,
  LOAD: 2,
  READ: 3,
  WRITE: 4,
  CREATE: 5,
  DELETE: 6,
  RENAME: 7,
  LINK: 8,
  CHMOD: 9,
  MOUNT: 10,
  SETUID: 11,
  CAPABILITY: 12,
  PTRACE: 13,
  USERNS: 14,
  MODULE: 15,
  BPF: 16,
  KEXEC: 17,
  PERF: 18,
  LOCKDOWN: 19,
  WRITE_EXECUTE: 20,
  SOCKET: 21,
  BIND: 22,
  LISTEN: 23,
  CONNECT: 24,
  COUNT: 32,
} as const;
export type HuskOperation = (typeof HuskOperation)[keyof typeof HuskOperation];

export const HuskObjectKind = {
  ANY: 1,
  PATH: 2,
  UNDER: 3,
  APPLET: 4,
  TRAIT: 5,
  NUMBER: 6,
  DEFAULT: 7,
} as const;
export type HuskObjectKind = (typeof HuskObjectKind)[keyof typeof HuskObjectKind];

export const HuskTrait = {
  MEMFD: 1,
  DELETED: 2,
  SETUID: 3,
  UNRESOLVED: 4,
  UNLISTED_APPLET: 5,
} as const;
export type HuskTrait = (typeof HuskTrait)[keyof typeof HuskTrait];

export const HuskSelfOpen = {
  SHUT: 0,
  OPEN_LOGINS: 1,
  OPEN_ALL: 2,
} as const;
export type HuskSelfOpen = (typeof HuskSelfOpen)[keyof typeof HuskSelfOpen];

export const HuskSelfKind = {
  MAP: 1,
  BPF_PROGRAM: 2,
  LINK: 3,
} as const;
export type HuskSelfKind = (typeof HuskSelfKind)[keyof typeof HuskSelfKind];

// Structs: size, offsets, types and codecs. Pads are written as zero and not read.

export interface HuskControl {
  readonly live: number;
  readonly expired: number;
  readonly packetEventsPerSecond: number;
  readonly generations: number;
  readonly traceUntilS: number;
}
export const HuskControl = {
  size: 24,
  offset: {
    live: 0,
    expired: 4,
    packetEventsPerSecond: 8,
    generations: 12,
    traceUntilS: 16,
  },
} as const;
export function encodeHuskControl(view: DataView, at: number, value: HuskControl): void {
  mustHold(view, at, 24);
  view.setUint32(at + 0, value.live, true);
  view.setUint32(at + 4, value.expired, true);
  view.setUint32(at + 8, value.packetEventsPerSecond, true);
  view.setUint32(at + 12, value.generations, true);
  view.setUint32(at + 16, value.traceUntilS, true);
  putZeros(view, at + 20, 4);
}
export function decodeHuskControl(view: DataView, at: number): HuskControl {
  mustHold(view, at, 24);
  return {
    live: view.getUint32(at + 0, true),
    expired: view.getUint32(at + 4, true),
    packetEventsPerSecond: view.getUint32(at + 8, true),
    generations: view.getUint32(at + 12, true),
    traceUntilS: view.getUint32(at + 16, true),
  };
}

export interface HuskCounter {
  readonly hits: bigint;
  readonly bytes: bigint;
  readonly limited: bigint;
}
export const HuskCounter = {
  size: 24,
  offset: {
    hits: 0,
    bytes: 8,
    limited: 16,
  },
} as const;
export function encodeHuskCounter(view: DataView, at: number, value: HuskCounter): void {
  mustHold(view, at, 24);
  view.setBigUint64(at + 0, value.hits, true);
  view.setBigUint64(at + 8, value.bytes, true);
  view.setBigUint64(at + 16, value.limited, true);
}
export function decodeHuskCounter(view: DataView, at: number): HuskCounter {
  mustHold(view, at, 24);
  return {
    hits: view.getBigUint64(at + 0, true),
    bytes: view.getBigUint64(at + 8, true),
    limited: view.getBigUint64(at + 16, true),
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
  readonly cameBy: number;
  readonly state: number;
  readonly canaryOperation: number;
}
export const HuskTry = {
  size: 40,
  offset: {
    canaryCgroup: 0,
    canarySubjects: 8,
    slot: 16,
    ifindex: 20,
    cameBy: 24,
    state: 28,
    canaryOperation: 32,
  },
} as const;
export function encodeHuskTry(view: DataView, at: number, value: HuskTry): void {
  mustHold(view, at, 40);
  view.setBigUint64(at + 0, value.canaryCgroup, true);
  view.setBigUint64(at + 8, value.canarySubjects, true);
  view.setUint32(at + 16, value.slot, true);
  view.setUint32(at + 20, value.ifindex, true);
  view.setUint32(at + 24, value.cameBy, true);
  view.setUint32(at + 28, value.state, true);
  view.setUint32(at + 32, value.canaryOperation, true);
  putZeros(view, at + 36, 4);
}
export function decodeHuskTry(view: DataView, at: number): HuskTry {
  mustHold(view, at, 40);
  return {
    canaryCgroup: view.getBigUint64(at + 0, true),
    canarySubjects: view.getBigUint64(at + 8, true),
    slot: view.getUint32(at + 16, true),
    ifindex: view.getUint32(at + 20, true),
    cameBy: view.getUint32(at + 24, true),
    state: view.getUint32(at + 28, true),
    canaryOperation: view.getUint32(at + 32, true),
  };
}

export interface HuskTried {
  readonly verdict: number;
  readonly reason: number;
  readonly rule: number;
  readonly monitored: number;
  readonly runs: number;
  readonly state: number;
  readonly noted: number;
  readonly lastNoted: number;
}
export const HuskTried = {
  size: 32,
  offset: {
    verdict: 0,
    reason: 4,
    rule: 8,
    monitored: 12,
    runs: 16,
    state: 20,
    noted: 24,
    lastNoted: 28,
  },
} as const;
export function encodeHuskTried(view: DataView, at: number, value: HuskTried): void {
  mustHold(view, at, 32);
  view.setUint32(at + 0, value.verdict, true);
  view.setUint32(at + 4, value.reason, true);
  view.setUint32(at + 8, value.rule, true);
  view.setUint32(at + 12, value.monitored, true);
  view.setUint32(at + 16, value.runs, true);
  view.setUint32(at + 20, value.state, true);
  view.setUint32(at + 24, value.noted, true);
  view.setUint32(at + 28, value.lastNoted, true);
}
export function decodeHuskTried(view: DataView, at: number): HuskTried {
  mustHold(view, at, 32);
  return {
    verdict: view.getUint32(at + 0, true),
    reason: view.getUint32(at + 4, true),
    rule: view.getUint32(at + 8, true),
    monitored: view.getUint32(at + 12, true),
    runs: view.getUint32(at + 16, true),
    state: view.getUint32(at + 20, true),
    noted: view.getUint32(at + 24, true),
    lastNoted: view.getUint32(at + 28, true),
  };
}

export interface HuskGeneration {
  readonly serial: bigint;
  readonly digest: Uint8Array;
  readonly tableDigest: readonly Uint8Array[];
  readonly bundleDigest: Uint8Array;
  readonly connections: HuskConnectionSettings;
  readonly services: readonly HuskService[];
  readonly ingressSets: readonly HuskSetUse[];
  readonly egressSets: readonly HuskSetUse[];
  readonly synLimits: readonly HuskSynLimits[];
  readonly id: number;
  readonly unparseableVerdict: number;
}
export const HuskGeneration = {
  size: 2840,
  offset: {
    serial: 0,
    digest: 8,
    tableDigest: 40,
    bundleDigest: 1352,
    connections: 1384,
    services: 1424,
    ingressSets: 1744,
    egressSets: 1776,
    synLimits: 1808,
    id: 2832,
    unparseableVerdict: 2836,
  },
  count: {
    digest: 32,
    tableDigest: 41,
    bundleDigest: 32,
    services: 16,
    ingressSets: 8,
    egressSets: 8,
    synLimits: 16,
  },
} as const;
export function encodeHuskGeneration(view: DataView, at: number, value: HuskGeneration): void {
  mustHold(view, at, 2840);
  view.setBigUint64(at + 0, value.serial, true);
  putBytes(view, at + 8, 32, value.digest, 'digest');
  putEach(view, at + 40, 32, 41, value.tableDigest, 'tableDigest', (to, one) => putBytes(view, to, 32, one, 'tableDigest'));
  putBytes(view, at + 1352, 32, value.bundleDigest, 'bundleDigest');
  encodeHuskConnectionSettings(view, at + 1384, value.connections);
  putEach(view, at + 1424, 20, 16, value.services, 'services', (to, one) => encodeHuskService(view, to, one));
  putEach(view, at + 1744, 4, 8, value.ingressSets, 'ingressSets', (to, one) => encodeHuskSetUse(view, to, one));
  putEach(view, at + 1776, 4, 8, value.egressSets, 'egressSets', (to, one) => encodeHuskSetUse(view, to, one));
  putEach(view, at + 1808, 64, 16, value.synLimits, 'synLimits', (to, one) => encodeHuskSynLimits(view, to, one));
  view.setUint32(at + 2832, value.id, true);
  view.setUint32(at + 2836, value.unparseableVerdict, true);
}
export function decodeHuskGeneration(view: DataView, at: number): HuskGeneration {
  mustHold(view, at, 2840);
  return {
    serial: view.getBigUint64(at + 0, true),
    digest: getBytes(view, at + 8, 32),
    tableDigest: getEach(at + 40, 32, 41, (from) => getBytes(view, from, 32)),
    bundleDigest: getBytes(view, at + 1352, 32),
    connections: decodeHuskConnectionSettings(view, at + 1384),
    services: getEach(at + 1424, 20, 16, (from) => decodeHuskService(view, from)),
    ingressSets: getEach(at + 1744, 4, 8, (from) => decodeHuskSetUse(view, from)),
    egressSets: getEach(at + 1776, 4, 8, (from) => decodeHuskSetUse(view, from)),
    synLimits: getEach(at + 1808, 64, 16, (from) => decodeHuskSynLimits(view, from)),
    id: view.getUint32(at + 2832, true),
    unparseableVerdict: view.getUint32(at + 2836, true),
  };
}

export interface HuskConnectionSettings {
  readonly timeouts: readonly number[];
  readonly isFollowed: number;
  readonly isLoose: number;
}
export const HuskConnectionSettings = {
  size: 40,
  offset: {
    timeouts: 0,
    isFollowed: 32,
    isLoose: 33,
  },
  count: {
    timeouts: 8,
  },
} as const;
export function encodeHuskConnectionSettings(view: DataView, at: number, value: HuskConnectionSettings): void {
  mustHold(view, at, 40);
  putEach(view, at + 0, 4, 8, value.timeouts, 'timeouts', (to, one) => view.setUint32(to, one, true));
  view.setUint8(at + 32, value.isFollowed);
  view.setUint8(at + 33, value.isLoose);
  putZeros(view, at + 34, 6);
}
export function decodeHuskConnectionSettings(view: DataView, at: number): HuskConnectionSettings {
  mustHold(view, at, 40);
  return {
    timeouts: getEach(at + 0, 4, 8, (from) => view.getUint32(from, true)),
    isFollowed: view.getUint8(at + 32),
    isLoose: view.getUint8(at + 33),
  };
}

export interface HuskService {
  readonly addr: Uint8Array;
  readonly port: number;
  readonly ipProto: number;
}
export const HuskService = {
  size: 20,
  offset: {
    addr: 0,
    port: 16,
    ipProto: 18,
  },
  count: {
    addr: 16,
  },
} as const;
export function encodeHuskService(view: DataView, at: number, value: HuskService): void {
  mustHold(view, at, 20);
  putBytes(view, at + 0, 16, value.addr, 'addr');
  view.setUint16(at + 16, value.port, true);
  view.setUint8(at + 18, value.ipProto);
  putZeros(view, at + 19, 1);
}
export function decodeHuskService(view: DataView, at: number): HuskService {
  mustHold(view, at, 20);
  return {
    addr: getBytes(view, at + 0, 16),
    port: view.getUint16(at + 16, true),
    ipProto: view.getUint8(at + 18),
  };
}

export interface HuskSetUse {
  readonly set: number;
  readonly side: number;
  readonly hasAdditions: number;
}
export const HuskSetUse = {
  size: 4,
  offset: {
    set: 0,
    side: 1,
    hasAdditions: 2,
  },
} as const;
export function encodeHuskSetUse(view: DataView, at: number, value: HuskSetUse): void {
  mustHold(view, at, 4);
  view.setUint8(at + 0, value.set);
  view.setUint8(at + 1, value.side);
  view.setUint8(at + 2, value.hasAdditions);
  putZeros(view, at + 3, 1);
}
export function decodeHuskSetUse(view: DataView, at: number): HuskSetUse {
  mustHold(view, at, 4);
  return {
    set: view.getUint8(at + 0),
    side: view.getUint8(at + 1),
    hasAdditions: view.getUint8(at + 2),
  };
}

export interface HuskSynLimits {
  readonly above: HuskLimit;
  readonly perSource: HuskLimit;
}
export const HuskSynLimits = {
  size: 64,
  offset: {
    above: 0,
    perSource: 32,
  },
} as const;
export function encodeHuskSynLimits(view: DataView, at: number, value: HuskSynLimits): void {
  mustHold(view, at, 64);
  encodeHuskLimit(view, at + 0, value.above);
  encodeHuskLimit(view, at + 32, value.perSource);
}
export function decodeHuskSynLimits(view: DataView, at: number): HuskSynLimits {
  mustHold(view, at, 64);
  return {
    above: decodeHuskLimit(view, at + 0),
    perSource: decodeHuskLimit(view, at + 32),
  };
}

export interface HuskLimit {
  readonly costNs: bigint;
  readonly depthNs: bigint;
  readonly digest: bigint;
  readonly per: number;
  readonly over: number;
  readonly prefix4: number;
  readonly prefix6: number;
}
export const HuskLimit = {
  size: 32,
  offset: {
    costNs: 0,
    depthNs: 8,
    digest: 16,
    per: 24,
    over: 25,
    prefix4: 26,
    prefix6: 27,
  },
} as const;
export function encodeHuskLimit(view: DataView, at: number, value: HuskLimit): void {
  mustHold(view, at, 32);
  view.setBigUint64(at + 0, value.costNs, true);
  view.setBigUint64(at + 8, value.depthNs, true);
  view.setBigUint64(at + 16, value.digest, true);
  view.setUint8(at + 24, value.per);
  view.setUint8(at + 25, value.over);
  view.setUint8(at + 26, value.prefix4);
  view.setUint8(at + 27, value.prefix6);
  putZeros(view, at + 28, 4);
}
export function decodeHuskLimit(view: DataView, at: number): HuskLimit {
  mustHold(view, at, 32);
  return {
    costNs: view.getBigUint64(at + 0, true),
    depthNs: view.getBigUint64(at + 8, true),
    digest: view.getBigUint64(at + 16, true),
    per: view.getUint8(at + 24),
    over: view.getUint8(at + 25),
    prefix4: view.getUint8(at + 26),
    prefix6: view.getUint8(at + 27),
  };
}

export interface HuskZone {
  readonly zone: number;
  readonly ingressDefaultRule: number;
  readonly egressDefaultRule: number;
  readonly interfaceBits: number;
  readonly synCookiesRule: number;
  readonly ingressDefault: number;
  readonly ingressMode: number;
  readonly egressDefault: number;
  readonly egressMode: number;
  readonly link: number;
  readonly neverDrop: number;
  readonly flags: number;
}
export const HuskZone = {
  size: 28,
  offset: {
    zone: 0,
    ingressDefaultRule: 4,
    egressDefaultRule: 8,
    interfaceBits: 12,
    synCookiesRule: 16,
    ingressDefault: 20,
    ingressMode: 21,
    egressDefault: 22,
    egressMode: 23,
    link: 24,
    neverDrop: 25,
    flags: 26,
  },
} as const;
export function encodeHuskZone(view: DataView, at: number, value: HuskZone): void {
  mustHold(view, at, 28);
  view.setUint32(at + 0, value.zone, true);
  view.setUint32(at + 4, value.ingressDefaultRule, true);
  view.setUint32(at + 8, value.egressDefaultRule, true);
  view.setUint32(at + 12, value.interfaceBits, true);
  view.setUint32(at + 16, value.synCookiesRule, true);
  view.setUint8(at + 20, value.ingressDefault);
  view.setUint8(at + 21, value.ingressMode);
  view.setUint8(at + 22, value.egressDefault);
  view.setUint8(at + 23, value.egressMode);
  view.setUint8(at + 24, value.link);
  view.setUint8(at + 25, value.neverDrop);
  view.setUint8(at + 26, value.flags);
  putZeros(view, at + 27, 1);
}
export function decodeHuskZone(view: DataView, at: number): HuskZone {
  mustHold(view, at, 28);
  return {
    zone: view.getUint32(at + 0, true),
    ingressDefaultRule: view.getUint32(at + 4, true),
    egressDefaultRule: view.getUint32(at + 8, true),
    interfaceBits: view.getUint32(at + 12, true),
    synCookiesRule: view.getUint32(at + 16, true),
    ingressDefault: view.getUint8(at + 20),
    ingressMode: view.getUint8(at + 21),
    egressDefault: view.getUint8(at + 22),
    egressMode: view.getUint8(at + 23),
    link: view.getUint8(at + 24),
    neverDrop: view.getUint8(at + 25),
    flags: view.getUint8(at + 26),
  };
}

export interface HuskRule {
  readonly rule: number;
  readonly extra: number;
  readonly verdict: number;
  readonly mode: number;
  readonly rejectWith: number;
  readonly flags: number;
  readonly logSample: number;
}
export const HuskRule = {
  size: 16,
  offset: {
    rule: 0,
    extra: 4,
    verdict: 8,
    mode: 9,
    rejectWith: 10,
    flags: 11,
    logSample: 12,
  },
} as const;
export function encodeHuskRule(view: DataView, at: number, value: HuskRule): void {
  mustHold(view, at, 16);
  view.setUint32(at + 0, value.rule, true);
  view.setUint32(at + 4, value.extra, true);
  view.setUint8(at + 8, value.verdict);
  view.setUint8(at + 9, value.mode);
  view.setUint8(at + 10, value.rejectWith);
  view.setUint8(at + 11, value.flags);
  view.setUint32(at + 12, value.logSample, true);
}
export function decodeHuskRule(view: DataView, at: number): HuskRule {
  mustHold(view, at, 16);
  return {
    rule: view.getUint32(at + 0, true),
    extra: view.getUint32(at + 4, true),
    verdict: view.getUint8(at + 8),
    mode: view.getUint8(at + 9),
    rejectWith: view.getUint8(at + 10),
    flags: view.getUint8(at + 11),
    logSample: view.getUint32(at + 12, true),
  };
}

export interface HuskExtra {
  readonly smac: readonly bigint[];
  readonly dmac: readonly bigint[];
  readonly limit: HuskLimit;
  readonly origins: number;
  readonly interfaceCare: number;
  readonly interfaceValue: number;
  readonly outerVlanFirst: number;
  readonly outerVlanLast: number;
  readonly innerVlanFirst: number;
  readonly innerVlanLast: number;
  readonly etherTypeFirst: number;
  readonly etherTypeLast: number;
  readonly lengthFirst: number;
  readonly lengthLast: number;
  readonly dscpFirst: number;
  readonly dscpLast: number;
  readonly tcpFlagsMask: number;
  readonly tcpFlagsValue: number;
  readonly flags: number;
}
export const HuskExtra = {
  size: 136,
  offset: {
    smac: 0,
    dmac: 32,
    limit: 64,
    origins: 96,
    interfaceCare: 100,
    interfaceValue: 104,
    outerVlanFirst: 108,
    outerVlanLast: 110,
    innerVlanFirst: 112,
    innerVlanLast: 114,
    etherTypeFirst: 116,
    etherTypeLast: 118,
    lengthFirst: 120,
    lengthLast: 122,
    dscpFirst: 124,
    dscpLast: 125,
    tcpFlagsMask: 126,
    tcpFlagsValue: 127,
    flags: 128,
  },
  count: {
    smac: 4,
    dmac: 4,
  },
} as const;
export function encodeHuskExtra(view: DataView, at: number, value: HuskExtra): void {
  mustHold(view, at, 136);
  putEach(view, at + 0, 8, 4, value.smac, 'smac', (to, one) => view.setBigUint64(to, one, true));
  putEach(view, at + 32, 8, 4, value.dmac, 'dmac', (to, one) => view.setBigUint64(to, one, true));
  encodeHuskLimit(view, at + 64, value.limit);
  view.setUint32(at + 96, value.origins, true);
  view.setUint32(at + 100, value.interfaceCare, true);
  view.setUint32(at + 104, value.interfaceValue, true);
  view.setUint16(at + 108, value.outerVlanFirst, true);
  view.setUint16(at + 110, value.outerVlanLast, true);
  view.setUint16(at + 112, value.innerVlanFirst, true);
  view.setUint16(at + 114, value.innerVlanLast, true);
  view.setUint16(at + 116, value.etherTypeFirst, true);
  view.setUint16(at + 118, value.etherTypeLast, true);
  view.setUint16(at + 120, value.lengthFirst, true);
  view.setUint16(at + 122, value.lengthLast, true);
  view.setUint8(at + 124, value.dscpFirst);
  view.setUint8(at + 125, value.dscpLast);
  view.setUint8(at + 126, value.tcpFlagsMask);
  view.setUint8(at + 127, value.tcpFlagsValue);
  view.setUint8(at + 128, value.flags);
  putZeros(view, at + 129, 7);
}
export function decodeHuskExtra(view: DataView, at: number): HuskExtra {
  mustHold(view, at, 136);
  return {
    smac: getEach(at + 0, 8, 4, (from) => view.getBigUint64(from, true)),
    dmac: getEach(at + 32, 8, 4, (from) => view.getBigUint64(from, true)),
    limit: decodeHuskLimit(view, at + 64),
    origins: view.getUint32(at + 96, true),
    interfaceCare: view.getUint32(at + 100, true),
    interfaceValue: view.getUint32(at + 104, true),
    outerVlanFirst: view.getUint16(at + 108, true),
    outerVlanLast: view.getUint16(at + 110, true),
    innerVlanFirst: view.getUint16(at + 112, true),
    innerVlanLast: view.getUint16(at + 114, true),
    etherTypeFirst: view.getUint16(at + 116, true),
    etherTypeLast: view.getUint16(at + 118, true),
    lengthFirst: view.getUint16(at + 120, true),
    lengthLast: view.getUint16(at + 122, true),
    dscpFirst: view.getUint8(at + 124),
    dscpLast: view.getUint8(at + 125),
    tcpFlagsMask: view.getUint8(at + 126),
    tcpFlagsValue: view.getUint8(at + 127),
    flags: view.getUint8(at + 128),
  };
}

export interface HuskDeferred {
  readonly ifindex: number;
  readonly vlan: number;
}
export const HuskDeferred = {
  size: 8,
  offset: {
    ifindex: 0,
    vlan: 4,
  },
} as const;
export function encodeHuskDeferred(view: DataView, at: number, value: HuskDeferred): void {
  mustHold(view, at, 8);
  view.setUint32(at + 0, value.ifindex, true);
  view.setUint32(at + 4, value.vlan, true);
}
export function decodeHuskDeferred(view: DataView, at: number): HuskDeferred {
  mustHold(view, at, 8);
  return {
    ifindex: view.getUint32(at + 0, true),
    vlan: view.getUint32(at + 4, true),
  };
}

export interface HuskAddition4 {
  readonly prefixlen: number;
  readonly set: number;
  readonly addr: Uint8Array;
}
export const HuskAddition4 = {
  size: 12,
  offset: {
    prefixlen: 0,
    set: 4,
    addr: 8,
  },
  count: {
    addr: 4,
  },
} as const;
export function encodeHuskAddition4(view: DataView, at: number, value: HuskAddition4): void {
  mustHold(view, at, 12);
  view.setUint32(at + 0, value.prefixlen, true);
  view.setUint32(at + 4, value.set, true);
  putBytes(view, at + 8, 4, value.addr, 'addr');
}
export function decodeHuskAddition4(view: DataView, at: number): HuskAddition4 {
  mustHold(view, at, 12);
  return {
    prefixlen: view.getUint32(at + 0, true),
    set: view.getUint32(at + 4, true),
    addr: getBytes(view, at + 8, 4),
  };
}

export interface HuskAddition6 {
  readonly prefixlen: number;
  readonly set: number;
  readonly addr: Uint8Array;
}
export const HuskAddition6 = {
  size: 24,
  offset: {
    prefixlen: 0,
    set: 4,
    addr: 8,
  },
  count: {
    addr: 16,
  },
} as const;
export function encodeHuskAddition6(view: DataView, at: number, value: HuskAddition6): void {
  mustHold(view, at, 24);
  view.setUint32(at + 0, value.prefixlen, true);
  view.setUint32(at + 4, value.set, true);
  putBytes(view, at + 8, 16, value.addr, 'addr');
}
export function decodeHuskAddition6(view: DataView, at: number): HuskAddition6 {
  mustHold(view, at, 24);
  return {
    prefixlen: view.getUint32(at + 0, true),
    set: view.getUint32(at + 4, true),
    addr: getBytes(view, at + 8, 16),
  };
}

export interface HuskAddition {
  readonly hits: bigint;
  readonly expiresS: number;
}
export const HuskAddition = {
  size: 16,
  offset: {
    hits: 0,
    expiresS: 8,
  },
} as const;
export function encodeHuskAddition(view: DataView, at: number, value: HuskAddition): void {
  mustHold(view, at, 16);
  view.setBigUint64(at + 0, value.hits, true);
  view.setUint32(at + 8, value.expiresS, true);
  putZeros(view, at + 12, 4);
}
export function decodeHuskAddition(view: DataView, at: number): HuskAddition {
  mustHold(view, at, 16);
  return {
    hits: view.getBigUint64(at + 0, true),
    expiresS: view.getUint32(at + 8, true),
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

export interface HuskConnectionSetup {
  readonly seed: readonly bigint[];
  readonly bucketMask: number;
  readonly rateMask: number;
}
export const HuskConnectionSetup = {
  size: 64,
  offset: {
    seed: 0,
    bucketMask: 56,
    rateMask: 60,
  },
  count: {
    seed: 7,
  },
} as const;
export function encodeHuskConnectionSetup(view: DataView, at: number, value: HuskConnectionSetup): void {
  mustHold(view, at, 64);
  putEach(view, at + 0, 8, 7, value.seed, 'seed', (to, one) => view.setBigUint64(to, one, true));
  view.setUint32(at + 56, value.bucketMask, true);
  view.setUint32(at + 60, value.rateMask, true);
}
export function decodeHuskConnectionSetup(view: DataView, at: number): HuskConnectionSetup {
  mustHold(view, at, 64);
  return {
    seed: getEach(at + 0, 8, 7, (from) => view.getBigUint64(from, true)),
    bucketMask: view.getUint32(at + 56, true),
    rateMask: view.getUint32(at + 60, true),
  };
}

export interface HuskConnectionKey {
  readonly low: Uint8Array;
  readonly high: Uint8Array;
  readonly lowPort: number;
  readonly highPort: number;
  readonly ipProto: number;
  readonly family: number;
  readonly kind: number;
  readonly isHighAsking: number;
}
export const HuskConnectionKey = {
  size: 40,
  offset: {
    low: 0,
    high: 16,
    lowPort: 32,
    highPort: 34,
    ipProto: 36,
    family: 37,
    kind: 38,
    isHighAsking: 39,
  },
  count: {
    low: 16,
    high: 16,
  },
} as const;
export function encodeHuskConnectionKey(view: DataView, at: number, value: HuskConnectionKey): void {
  mustHold(view, at, 40);
  putBytes(view, at + 0, 16, value.low, 'low');
  putBytes(view, at + 16, 16, value.high, 'high');
  view.setUint16(at + 32, value.lowPort, true);
  view.setUint16(at + 34, value.highPort, true);
  view.setUint8(at + 36, value.ipProto);
  view.setUint8(at + 37, value.family);
  view.setUint8(at + 38, value.kind);
  view.setUint8(at + 39, value.isHighAsking);
}
export function decodeHuskConnectionKey(view: DataView, at: number): HuskConnectionKey {
  mustHold(view, at, 40);
  return {
    low: getBytes(view, at + 0, 16),
    high: getBytes(view, at + 16, 16),
    lowPort: view.getUint16(at + 32, true),
    highPort: view.getUint16(at + 34, true),
    ipProto: view.getUint8(at + 36),
    family: view.getUint8(at + 37),
    kind: view.getUint8(at + 38),
    isHighAsking: view.getUint8(at + 39),
  };
}

export interface HuskConnection {
  readonly verdicts: readonly bigint[];
  readonly state: bigint;
  readonly seen: bigint;
  readonly judged: bigint;
  readonly key: HuskConnectionKey;
  readonly made: bigint;
  readonly ifindex: number;
  readonly cameBy: number;
  readonly smac: readonly number[];
  readonly dmac: readonly number[];
  readonly outerVlan: number;
  readonly innerVlan: number;
  readonly length: number;
  readonly dscp: number;
  readonly first: number;
}
export const HuskConnection = {
  size: 136,
  offset: {
    verdicts: 0,
    state: 32,
    seen: 40,
    judged: 48,
    key: 56,
    made: 96,
    ifindex: 104,
    cameBy: 108,
    smac: 112,
    dmac: 118,
    outerVlan: 124,
    innerVlan: 126,
    length: 128,
    dscp: 130,
    first: 131,
  },
  count: {
    verdicts: 4,
    smac: 3,
    dmac: 3,
  },
} as const;
export function encodeHuskConnection(view: DataView, at: number, value: HuskConnection): void {
  mustHold(view, at, 136);
  putEach(view, at + 0, 8, 4, value.verdicts, 'verdicts', (to, one) => view.setBigUint64(to, one, true));
  view.setBigUint64(at + 32, value.state, true);
  view.setBigUint64(at + 40, value.seen, true);
  view.setBigUint64(at + 48, value.judged, true);
  encodeHuskConnectionKey(view, at + 56, value.key);
  view.setBigUint64(at + 96, value.made, true);
  view.setUint32(at + 104, value.ifindex, true);
  view.setUint32(at + 108, value.cameBy, true);
  putEach(view, at + 112, 2, 3, value.smac, 'smac', (to, one) => view.setUint16(to, one, true));
  putEach(view, at + 118, 2, 3, value.dmac, 'dmac', (to, one) => view.setUint16(to, one, true));
  view.setUint16(at + 124, value.outerVlan, true);
  view.setUint16(at + 126, value.innerVlan, true);
  view.setUint16(at + 128, value.length, true);
  view.setUint8(at + 130, value.dscp);
  view.setUint8(at + 131, value.first);
  putZeros(view, at + 132, 4);
}
export function decodeHuskConnection(view: DataView, at: number): HuskConnection {
  mustHold(view, at, 136);
  return {
    verdicts: getEach(at + 0, 8, 4, (from) => view.getBigUint64(from, true)),
    state: view.getBigUint64(at + 32, true),
    seen: view.getBigUint64(at + 40, true),
    judged: view.getBigUint64(at + 48, true),
    key: decodeHuskConnectionKey(view, at + 56),
    made: view.getBigUint64(at + 96, true),
    ifindex: view.getUint32(at + 104, true),
    cameBy: view.getUint32(at + 108, true),
    smac: getEach(at + 112, 2, 3, (from) => view.getUint16(from, true)),
    dmac: getEach(at + 118, 2, 3, (from) => view.getUint16(from, true)),
    outerVlan: view.getUint16(at + 124, true),
    innerVlan: view.getUint16(at + 126, true),
    length: view.getUint16(at + 128, true),
    dscp: view.getUint8(at + 130),
    first: view.getUint8(at + 131),
  };
}

export interface HuskConnectionBucket {
  readonly tags: readonly number[];
  readonly lock: number;
  readonly entries: readonly HuskConnection[];
}
export const HuskConnectionBucket = {
  size: 1128,
  offset: {
    tags: 0,
    lock: 32,
    entries: 40,
  },
  count: {
    tags: 8,
    entries: 8,
  },
} as const;
export function encodeHuskConnectionBucket(view: DataView, at: number, value: HuskConnectionBucket): void {
  mustHold(view, at, 1128);
  putEach(view, at + 0, 4, 8, value.tags, 'tags', (to, one) => view.setUint32(to, one, true));
  view.setUint32(at + 32, value.lock, true);
  putZeros(view, at + 36, 4);
  putEach(view, at + 40, 136, 8, value.entries, 'entries', (to, one) => encodeHuskConnection(view, to, one));
}
export function decodeHuskConnectionBucket(view: DataView, at: number): HuskConnectionBucket {
  mustHold(view, at, 1128);
  return {
    tags: getEach(at + 0, 4, 8, (from) => view.getUint32(from, true)),
    lock: view.getUint32(at + 32, true),
    entries: getEach(at + 40, 136, 8, (from) => decodeHuskConnection(view, from)),
  };
}

export interface HuskFragmentKey {
  readonly saddr: Uint8Array;
  readonly daddr: Uint8Array;
  readonly id: number;
  readonly ipProto: number;
  readonly family: number;
}
export const HuskFragmentKey = {
  size: 40,
  offset: {
    saddr: 0,
    daddr: 16,
    id: 32,
    ipProto: 36,
    family: 37,
  },
  count: {
    saddr: 16,
    daddr: 16,
  },
} as const;
export function encodeHuskFragmentKey(view: DataView, at: number, value: HuskFragmentKey): void {
  mustHold(view, at, 40);
  putBytes(view, at + 0, 16, value.saddr, 'saddr');
  putBytes(view, at + 16, 16, value.daddr, 'daddr');
  view.setUint32(at + 32, value.id, true);
  view.setUint8(at + 36, value.ipProto);
  view.setUint8(at + 37, value.family);
  putZeros(view, at + 38, 2);
}
export function decodeHuskFragmentKey(view: DataView, at: number): HuskFragmentKey {
  mustHold(view, at, 40);
  return {
    saddr: getBytes(view, at + 0, 16),
    daddr: getBytes(view, at + 16, 16),
    id: view.getUint32(at + 32, true),
    ipProto: view.getUint8(at + 36),
    family: view.getUint8(at + 37),
  };
}

export interface HuskFragment {
  readonly seen: number;
  readonly flags: number;
  readonly state: number;
  readonly isReply: number;
}
export const HuskFragment = {
  size: 8,
  offset: {
    seen: 0,
    flags: 4,
    state: 6,
    isReply: 7,
  },
} as const;
export function encodeHuskFragment(view: DataView, at: number, value: HuskFragment): void {
  mustHold(view, at, 8);
  view.setUint32(at + 0, value.seen, true);
  view.setUint16(at + 4, value.flags, true);
  view.setUint8(at + 6, value.state);
  view.setUint8(at + 7, value.isReply);
}
export function decodeHuskFragment(view: DataView, at: number): HuskFragment {
  mustHold(view, at, 8);
  return {
    seen: view.getUint32(at + 0, true),
    flags: view.getUint16(at + 4, true),
    state: view.getUint8(at + 6),
    isReply: view.getUint8(at + 7),
  };
}

export interface HuskRate {
  readonly digest: bigint;
  readonly who: readonly bigint[];
  readonly fullNs: bigint;
  readonly usedNs: bigint;
}
export const HuskRate = {
  size: 40,
  offset: {
    digest: 0,
    who: 8,
    fullNs: 24,
    usedNs: 32,
  },
  count: {
    who: 2,
  },
} as const;
export function encodeHuskRate(view: DataView, at: number, value: HuskRate): void {
  mustHold(view, at, 40);
  view.setBigUint64(at + 0, value.digest, true);
  putEach(view, at + 8, 8, 2, value.who, 'who', (to, one) => view.setBigUint64(to, one, true));
  view.setBigUint64(at + 24, value.fullNs, true);
  view.setBigUint64(at + 32, value.usedNs, true);
}
export function decodeHuskRate(view: DataView, at: number): HuskRate {
  mustHold(view, at, 40);
  return {
    digest: view.getBigUint64(at + 0, true),
    who: getEach(at + 8, 8, 2, (from) => view.getBigUint64(from, true)),
    fullNs: view.getBigUint64(at + 24, true),
    usedNs: view.getBigUint64(at + 32, true),
  };
}

export interface HuskRateBucket {
  readonly entries: readonly HuskRate[];
  readonly lock: number;
}
export const HuskRateBucket = {
  size: 328,
  offset: {
    entries: 0,
    lock: 320,
  },
  count: {
    entries: 8,
  },
} as const;
export function encodeHuskRateBucket(view: DataView, at: number, value: HuskRateBucket): void {
  mustHold(view, at, 328);
  putEach(view, at + 0, 40, 8, value.entries, 'entries', (to, one) => encodeHuskRate(view, to, one));
  view.setUint32(at + 320, value.lock, true);
  putZeros(view, at + 324, 4);
}
export function decodeHuskRateBucket(view: DataView, at: number): HuskRateBucket {
  mustHold(view, at, 328);
  return {
    entries: getEach(at + 0, 40, 8, (from) => decodeHuskRate(view, from)),
    lock: view.getUint32(at + 320, true),
  };
}

export interface HuskClassifier {
  readonly entries: number;
  readonly firstClass: number;
  readonly firstLowerNode: number;
  readonly sourceOther: number;
  readonly destinationOther: number;
  readonly pairs: number;
  readonly pairsStride: number;
  readonly ports: number;
  readonly portsStride: number;
  readonly smalls: number;
  readonly smallsStride: number;
  readonly sportsStride: number;
  readonly sportsStep: number;
  readonly rows: number;
  readonly order: number;
  readonly sectionWords: readonly bigint[];
  readonly section: Uint8Array;
  readonly lowestBit: Uint8Array;
  readonly protocol: readonly number[];
  readonly small: readonly number[];
  readonly set: readonly number[];
  readonly sport: readonly number[];
  readonly dport: readonly number[];
  readonly source4: readonly number[];
  readonly destination4: readonly number[];
  readonly source6: readonly number[];
  readonly destination6: readonly number[];
}
export const HuskClassifier = {
  size: 26624,
  offset: {
    entries: 0,
    firstClass: 4,
    firstLowerNode: 8,
    sourceOther: 12,
    destinationOther: 16,
    pairs: 20,
    pairsStride: 24,
    ports: 28,
    portsStride: 32,
    smalls: 36,
    smallsStride: 40,
    sportsStride: 44,
    sportsStep: 48,
    rows: 52,
    order: 56,
    sectionWords: 64,
    section: 192,
    lowestBit: 448,
    protocol: 512,
    small: 1536,
    set: 3584,
    sport: 4096,
    dport: 6144,
    source4: 8192,
    destination4: 9216,
    source6: 10240,
    destination6: 18432,
  },
  count: {
    sectionWords: 16,
    section: 256,
    lowestBit: 64,
    protocol: 512,
    small: 1024,
    set: 256,
    sport: 1024,
    dport: 1024,
    source4: 512,
    destination4: 512,
    source6: 4096,
    destination6: 4096,
  },
} as const;
export function encodeHuskClassifier(view: DataView, at: number, value: HuskClassifier): void {
  mustHold(view, at, 26624);
  view.setUint32(at + 0, value.entries, true);
  view.setUint32(at + 4, value.firstClass, true);
  view.setUint32(at + 8, value.firstLowerNode, true);
  view.setUint32(at + 12, value.sourceOther, true);
  view.setUint32(at + 16, value.destinationOther, true);
  view.setUint32(at + 20, value.pairs, true);
  view.setUint32(at + 24, value.pairsStride, true);
  view.setUint32(at + 28, value.ports, true);
  view.setUint32(at + 32, value.portsStride, true);
  view.setUint32(at + 36, value.smalls, true);
  view.setUint32(at + 40, value.smallsStride, true);
  view.setUint32(at + 44, value.sportsStride, true);
  view.setUint32(at + 48, value.sportsStep, true);
  view.setUint32(at + 52, value.rows, true);
  view.setUint32(at + 56, value.order, true);
  putZeros(view, at + 60, 4);
  putEach(view, at + 64, 8, 16, value.sectionWords, 'sectionWords', (to, one) => view.setBigUint64(to, one, true));
  putBytes(view, at + 192, 256, value.section, 'section');
  putBytes(view, at + 448, 64, value.lowestBit, 'lowestBit');
  putEach(view, at + 512, 2, 512, value.protocol, 'protocol', (to, one) => view.setUint16(to, one, true));
  putEach(view, at + 1536, 2, 1024, value.small, 'small', (to, one) => view.setUint16(to, one, true));
  putEach(view, at + 3584, 2, 256, value.set, 'set', (to, one) => view.setUint16(to, one, true));
  putEach(view, at + 4096, 2, 1024, value.sport, 'sport', (to, one) => view.setUint16(to, one, true));
  putEach(view, at + 6144, 2, 1024, value.dport, 'dport', (to, one) => view.setUint16(to, one, true));
  putEach(view, at + 8192, 2, 512, value.source4, 'source4', (to, one) => view.setUint16(to, one, true));
  putEach(view, at + 9216, 2, 512, value.destination4, 'destination4', (to, one) => view.setUint16(to, one, true));
  putEach(view, at + 10240, 2, 4096, value.source6, 'source6', (to, one) => view.setUint16(to, one, true));
  putEach(view, at + 18432, 2, 4096, value.destination6, 'destination6', (to, one) => view.setUint16(to, one, true));
}
export function decodeHuskClassifier(view: DataView, at: number): HuskClassifier {
  mustHold(view, at, 26624);
  return {
    entries: view.getUint32(at + 0, true),
    firstClass: view.getUint32(at + 4, true),
    firstLowerNode: view.getUint32(at + 8, true),
    sourceOther: view.getUint32(at + 12, true),
    destinationOther: view.getUint32(at + 16, true),
    pairs: view.getUint32(at + 20, true),
    pairsStride: view.getUint32(at + 24, true),
    ports: view.getUint32(at + 28, true),
    portsStride: view.getUint32(at + 32, true),
    smalls: view.getUint32(at + 36, true),
    smallsStride: view.getUint32(at + 40, true),
    sportsStride: view.getUint32(at + 44, true),
    sportsStep: view.getUint32(at + 48, true),
    rows: view.getUint32(at + 52, true),
    order: view.getUint32(at + 56, true),
    sectionWords: getEach(at + 64, 8, 16, (from) => view.getBigUint64(from, true)),
    section: getBytes(view, at + 192, 256),
    lowestBit: getBytes(view, at + 448, 64),
    protocol: getEach(at + 512, 2, 512, (from) => view.getUint16(from, true)),
    small: getEach(at + 1536, 2, 1024, (from) => view.getUint16(from, true)),
    set: getEach(at + 3584, 2, 256, (from) => view.getUint16(from, true)),
    sport: getEach(at + 4096, 2, 1024, (from) => view.getUint16(from, true)),
    dport: getEach(at + 6144, 2, 1024, (from) => view.getUint16(from, true)),
    source4: getEach(at + 8192, 2, 512, (from) => view.getUint16(from, true)),
    destination4: getEach(at + 9216, 2, 512, (from) => view.getUint16(from, true)),
    source6: getEach(at + 10240, 2, 4096, (from) => view.getUint16(from, true)),
    destination6: getEach(at + 18432, 2, 4096, (from) => view.getUint16(from, true)),
  };
}

export interface HuskNode4 {
  readonly key: readonly number[];
  readonly child: readonly number[];
}
export const HuskNode4 = {
  size: 32,
  offset: {
    key: 0,
    child: 16,
  },
  count: {
    key: 8,
    child: 8,
  },
} as const;
export function encodeHuskNode4(view: DataView, at: number, value: HuskNode4): void {
  mustHold(view, at, 32);
  putEach(view, at + 0, 2, 8, value.key, 'key', (to, one) => view.setUint16(to, one, true));
  putEach(view, at + 16, 2, 8, value.child, 'child', (to, one) => view.setUint16(to, one, true));
}
export function decodeHuskNode4(view: DataView, at: number): HuskNode4 {
  mustHold(view, at, 32);
  return {
    key: getEach(at + 0, 2, 8, (from) => view.getUint16(from, true)),
    child: getEach(at + 16, 2, 8, (from) => view.getUint16(from, true)),
  };
}

export interface HuskNode6 {
  readonly key: readonly bigint[];
  readonly child: readonly number[];
}
export const HuskNode6 = {
  size: 64,
  offset: {
    key: 0,
    child: 40,
  },
  count: {
    key: 5,
    child: 12,
  },
} as const;
export function encodeHuskNode6(view: DataView, at: number, value: HuskNode6): void {
  mustHold(view, at, 64);
  putEach(view, at + 0, 8, 5, value.key, 'key', (to, one) => view.setBigUint64(to, one, true));
  putEach(view, at + 40, 2, 12, value.child, 'child', (to, one) => view.setUint16(to, one, true));
}
export function decodeHuskNode6(view: DataView, at: number): HuskNode6 {
  mustHold(view, at, 64);
  return {
    key: getEach(at + 0, 8, 5, (from) => view.getBigUint64(from, true)),
    child: getEach(at + 40, 2, 12, (from) => view.getUint16(from, true)),
  };
}

export interface HuskClass {
  readonly any: readonly bigint[];
  readonly group: readonly number[];
}
export const HuskClass = {
  size: 64,
  offset: {
    any: 0,
    group: 24,
  },
  count: {
    any: 3,
    group: 20,
  },
} as const;
export function encodeHuskClass(view: DataView, at: number, value: HuskClass): void {
  mustHold(view, at, 64);
  putEach(view, at + 0, 8, 3, value.any, 'any', (to, one) => view.setBigUint64(to, one, true));
  putEach(view, at + 24, 2, 20, value.group, 'group', (to, one) => view.setUint16(to, one, true));
}
export function decodeHuskClass(view: DataView, at: number): HuskClass {
  mustHold(view, at, 64);
  return {
    any: getEach(at + 0, 8, 3, (from) => view.getBigUint64(from, true)),
    group: getEach(at + 24, 2, 20, (from) => view.getUint16(from, true)),
  };
}

export interface HuskClassLine {
  readonly word: readonly bigint[];
}
export const HuskClassLine = {
  size: 64,
  offset: {
    word: 0,
  },
  count: {
    word: 8,
  },
} as const;
export function encodeHuskClassLine(view: DataView, at: number, value: HuskClassLine): void {
  mustHold(view, at, 64);
  putEach(view, at + 0, 8, 8, value.word, 'word', (to, one) => view.setBigUint64(to, one, true));
}
export function decodeHuskClassLine(view: DataView, at: number): HuskClassLine {
  mustHold(view, at, 64);
  return {
    word: getEach(at + 0, 8, 8, (from) => view.getBigUint64(from, true)),
  };
}

export interface HuskSet4 {
  readonly filterShift: number;
  readonly blockShift: number;
  readonly groupsAt: number;
  readonly linesAt: number;
  readonly childrenAt: number;
}
export const HuskSet4 = {
  size: 192,
  offset: {
    filterShift: 0,
    blockShift: 4,
    groupsAt: 8,
    linesAt: 12,
    childrenAt: 16,
  },
} as const;
export function encodeHuskSet4(view: DataView, at: number, value: HuskSet4): void {
  mustHold(view, at, 192);
  view.setUint32(at + 0, value.filterShift, true);
  view.setUint32(at + 4, value.blockShift, true);
  view.setUint32(at + 8, value.groupsAt, true);
  view.setUint32(at + 12, value.linesAt, true);
  view.setUint32(at + 16, value.childrenAt, true);
  putZeros(view, at + 20, 172);
}
export function decodeHuskSet4(view: DataView, at: number): HuskSet4 {
  mustHold(view, at, 192);
  return {
    filterShift: view.getUint32(at + 0, true),
    blockShift: view.getUint32(at + 4, true),
    groupsAt: view.getUint32(at + 8, true),
    linesAt: view.getUint32(at + 12, true),
    childrenAt: view.getUint32(at + 16, true),
  };
}

export interface HuskSet4Group {
  readonly starts: bigint;
  readonly line: number;
}
export const HuskSet4Group = {
  size: 16,
  offset: {
    starts: 0,
    line: 8,
  },
} as const;
export function encodeHuskSet4Group(view: DataView, at: number, value: HuskSet4Group): void {
  mustHold(view, at, 16);
  view.setBigUint64(at + 0, value.starts, true);
  view.setUint32(at + 8, value.line, true);
  putZeros(view, at + 12, 4);
}
export function decodeHuskSet4Group(view: DataView, at: number): HuskSet4Group {
  mustHold(view, at, 16);
  return {
    starts: view.getBigUint64(at + 0, true),
    line: view.getUint32(at + 8, true),
  };
}

export interface HuskSet4Line {
  readonly firstBlock: number;
  readonly flags: number;
  readonly keys: readonly number[];
}
export const HuskSet4Line = {
  size: 32,
  offset: {
    firstBlock: 0,
    flags: 2,
    keys: 4,
  },
  count: {
    keys: 14,
  },
} as const;
export function encodeHuskSet4Line(view: DataView, at: number, value: HuskSet4Line): void {
  mustHold(view, at, 32);
  view.setUint16(at + 0, value.firstBlock, true);
  view.setUint16(at + 2, value.flags, true);
  putEach(view, at + 4, 2, 14, value.keys, 'keys', (to, one) => view.setUint16(to, one, true));
}
export function decodeHuskSet4Line(view: DataView, at: number): HuskSet4Line {
  mustHold(view, at, 32);
  return {
    firstBlock: view.getUint16(at + 0, true),
    flags: view.getUint16(at + 2, true),
    keys: getEach(at + 4, 2, 14, (from) => view.getUint16(from, true)),
  };
}

export interface HuskSet6 {
  readonly trees: readonly HuskSet6Tree[];
  readonly treesPresent: number;
  readonly filterPrefix: number;
  readonly filterShift: number;
  readonly leavesAt: number;
  readonly countsAt: number;
  readonly recordsAt: number;
  readonly recordCount: number;
  readonly groupsAt: number;
  readonly windowFirst: bigint;
  readonly windowBits: number;
  readonly blockShift: number;
  readonly linesAt: number;
}
export const HuskSet6 = {
  size: 192,
  offset: {
    trees: 0,
    treesPresent: 128,
    filterPrefix: 132,
    filterShift: 136,
    leavesAt: 140,
    countsAt: 144,
    recordsAt: 148,
    recordCount: 152,
    groupsAt: 156,
    windowFirst: 160,
    windowBits: 168,
    blockShift: 172,
    linesAt: 176,
  },
  count: {
    trees: 4,
  },
} as const;
export function encodeHuskSet6(view: DataView, at: number, value: HuskSet6): void {
  mustHold(view, at, 192);
  putEach(view, at + 0, 32, 4, value.trees, 'trees', (to, one) => encodeHuskSet6Tree(view, to, one));
  view.setUint32(at + 128, value.treesPresent, true);
  view.setUint32(at + 132, value.filterPrefix, true);
  view.setUint32(at + 136, value.filterShift, true);
  view.setUint32(at + 140, value.leavesAt, true);
  view.setUint32(at + 144, value.countsAt, true);
  view.setUint32(at + 148, value.recordsAt, true);
  view.setUint32(at + 152, value.recordCount, true);
  view.setUint32(at + 156, value.groupsAt, true);
  view.setBigUint64(at + 160, value.windowFirst, true);
  view.setUint32(at + 168, value.windowBits, true);
  view.setUint32(at + 172, value.blockShift, true);
  view.setUint32(at + 176, value.linesAt, true);
  putZeros(view, at + 180, 12);
}
export function decodeHuskSet6(view: DataView, at: number): HuskSet6 {
  mustHold(view, at, 192);
  return {
    trees: getEach(at + 0, 32, 4, (from) => decodeHuskSet6Tree(view, from)),
    treesPresent: view.getUint32(at + 128, true),
    filterPrefix: view.getUint32(at + 132, true),
    filterShift: view.getUint32(at + 136, true),
    leavesAt: view.getUint32(at + 140, true),
    countsAt: view.getUint32(at + 144, true),
    recordsAt: view.getUint32(at + 148, true),
    recordCount: view.getUint32(at + 152, true),
    groupsAt: view.getUint32(at + 156, true),
    windowFirst: view.getBigUint64(at + 160, true),
    windowBits: view.getUint32(at + 168, true),
    blockShift: view.getUint32(at + 172, true),
    linesAt: view.getUint32(at + 176, true),
  };
}

export interface HuskSet6Tree {
  readonly levelsAt: readonly number[];
  readonly levelCount: number;
  readonly firstLeaf: number;
}
export const HuskSet6Tree = {
  size: 32,
  offset: {
    levelsAt: 0,
    levelCount: 24,
    firstLeaf: 28,
  },
  count: {
    levelsAt: 6,
  },
} as const;
export function encodeHuskSet6Tree(view: DataView, at: number, value: HuskSet6Tree): void {
  mustHold(view, at, 32);
  putEach(view, at + 0, 4, 6, value.levelsAt, 'levelsAt', (to, one) => view.setUint32(to, one, true));
  view.setUint32(at + 24, value.levelCount, true);
  view.setUint32(at + 28, value.firstLeaf, true);
}
export function decodeHuskSet6Tree(view: DataView, at: number): HuskSet6Tree {
  mustHold(view, at, 32);
  return {
    levelsAt: getEach(at + 0, 4, 6, (from) => view.getUint32(from, true)),
    levelCount: view.getUint32(at + 24, true),
    firstLeaf: view.getUint32(at + 28, true),
  };
}

export interface HuskSet6Group {
  readonly starts: bigint;
  readonly line: number;
}
export const HuskSet6Group = {
  size: 16,
  offset: {
    starts: 0,
    line: 8,
  },
} as const;
export function encodeHuskSet6Group(view: DataView, at: number, value: HuskSet6Group): void {
  mustHold(view, at, 16);
  view.setBigUint64(at + 0, value.starts, true);
  view.setUint32(at + 8, value.line, true);
  putZeros(view, at + 12, 4);
}
export function decodeHuskSet6Group(view: DataView, at: number): HuskSet6Group {
  mustHold(view, at, 16);
  return {
    starts: view.getBigUint64(at + 0, true),
    line: view.getUint32(at + 8, true),
  };
}

export interface HuskSet6Line {
  readonly words: readonly bigint[];
}
export const HuskSet6Line = {
  size: 32,
  offset: {
    words: 0,
  },
  count: {
    words: 4,
  },
} as const;
export function encodeHuskSet6Line(view: DataView, at: number, value: HuskSet6Line): void {
  mustHold(view, at, 32);
  putEach(view, at + 0, 8, 4, value.words, 'words', (to, one) => view.setBigUint64(to, one, true));
}
export function decodeHuskSet6Line(view: DataView, at: number): HuskSet6Line {
  mustHold(view, at, 32);
  return {
    words: getEach(at + 0, 8, 4, (from) => view.getBigUint64(from, true)),
  };
}

export interface HuskSet6Node {
  readonly keys: readonly bigint[];
}
export const HuskSet6Node = {
  size: 128,
  offset: {
    keys: 0,
  },
  count: {
    keys: 16,
  },
} as const;
export function encodeHuskSet6Node(view: DataView, at: number, value: HuskSet6Node): void {
  mustHold(view, at, 128);
  putEach(view, at + 0, 8, 16, value.keys, 'keys', (to, one) => view.setBigUint64(to, one, true));
}
export function decodeHuskSet6Node(view: DataView, at: number): HuskSet6Node {
  mustHold(view, at, 128);
  return {
    keys: getEach(at + 0, 8, 16, (from) => view.getBigUint64(from, true)),
  };
}

export interface HuskSet6Leaf {
  readonly keys: readonly bigint[];
}
export const HuskSet6Leaf = {
  size: 64,
  offset: {
    keys: 0,
  },
  count: {
    keys: 8,
  },
} as const;
export function encodeHuskSet6Leaf(view: DataView, at: number, value: HuskSet6Leaf): void {
  mustHold(view, at, 64);
  putEach(view, at + 0, 8, 8, value.keys, 'keys', (to, one) => view.setBigUint64(to, one, true));
}
export function decodeHuskSet6Leaf(view: DataView, at: number): HuskSet6Leaf {
  mustHold(view, at, 64);
  return {
    keys: getEach(at + 0, 8, 8, (from) => view.getBigUint64(from, true)),
  };
}

export interface HuskSet6Record {
  readonly first: bigint;
  readonly last: bigint;
}
export const HuskSet6Record = {
  size: 16,
  offset: {
    first: 0,
    last: 8,
  },
} as const;
export function encodeHuskSet6Record(view: DataView, at: number, value: HuskSet6Record): void {
  mustHold(view, at, 16);
  view.setBigUint64(at + 0, value.first, true);
  view.setBigUint64(at + 8, value.last, true);
}
export function decodeHuskSet6Record(view: DataView, at: number): HuskSet6Record {
  mustHold(view, at, 16);
  return {
    first: view.getBigUint64(at + 0, true),
    last: view.getBigUint64(at + 8, true),
  };
}

export interface HuskFloorPattern {
  readonly value: readonly bigint[];
  readonly mask: readonly bigint[];
  readonly least: number;
}
export const HuskFloorPattern = {
  size: 40,
  offset: {
    value: 0,
    mask: 16,
    least: 32,
  },
  count: {
    value: 2,
    mask: 2,
  },
} as const;
export function encodeHuskFloorPattern(view: DataView, at: number, value: HuskFloorPattern): void {
  mustHold(view, at, 40);
  putEach(view, at + 0, 8, 2, value.value, 'value', (to, one) => view.setBigUint64(to, one, true));
  putEach(view, at + 16, 8, 2, value.mask, 'mask', (to, one) => view.setBigUint64(to, one, true));
  view.setUint32(at + 32, value.least, true);
  putZeros(view, at + 36, 4);
}
export function decodeHuskFloorPattern(view: DataView, at: number): HuskFloorPattern {
  mustHold(view, at, 40);
  return {
    value: getEach(at + 0, 8, 2, (from) => view.getBigUint64(from, true)),
    mask: getEach(at + 16, 8, 2, (from) => view.getBigUint64(from, true)),
    least: view.getUint32(at + 32, true),
  };
}

export interface HuskFloor {
  readonly count: number;
  readonly patterns: readonly HuskFloorPattern[];
}
export const HuskFloor = {
  size: 2568,
  offset: {
    count: 0,
    patterns: 8,
  },
  count: {
    patterns: 64,
  },
} as const;
export function encodeHuskFloor(view: DataView, at: number, value: HuskFloor): void {
  mustHold(view, at, 2568);
  view.setUint32(at + 0, value.count, true);
  putZeros(view, at + 4, 4);
  putEach(view, at + 8, 40, 64, value.patterns, 'patterns', (to, one) => encodeHuskFloorPattern(view, to, one));
}
export function decodeHuskFloor(view: DataView, at: number): HuskFloor {
  mustHold(view, at, 2568);
  return {
    count: view.getUint32(at + 0, true),
    patterns: getEach(at + 8, 40, 64, (from) => decodeHuskFloorPattern(view, from)),
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
  readonly state: number;
  readonly icmpType: number;
  readonly icmpCode: number;
  readonly link: number;
  readonly outerVlan: number;
  readonly dataLength: number;
  readonly cameBy: number;
  readonly data: Uint8Array;
}
export const HuskPacketEvent = {
  size: 160,
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
    state: 82,
    icmpType: 83,
    icmpCode: 84,
    link: 85,
    outerVlan: 86,
    dataLength: 88,
    cameBy: 92,
    data: 96,
  },
  count: {
    saddr: 16,
    daddr: 16,
    data: 64,
  },
} as const;
export function encodeHuskPacketEvent(view: DataView, at: number, value: HuskPacketEvent): void {
  mustHold(view, at, 160);
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
  view.setUint8(at + 82, value.state);
  view.setUint8(at + 83, value.icmpType);
  view.setUint8(at + 84, value.icmpCode);
  view.setUint8(at + 85, value.link);
  view.setUint16(at + 86, value.outerVlan, true);
  view.setUint32(at + 88, value.dataLength, true);
  view.setUint32(at + 92, value.cameBy, true);
  putBytes(view, at + 96, 64, value.data, 'data');
}
export function decodeHuskPacketEvent(view: DataView, at: number): HuskPacketEvent {
  mustHold(view, at, 160);
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
    state: view.getUint8(at + 82),
    icmpType: view.getUint8(at + 83),
    icmpCode: view.getUint8(at + 84),
    link: view.getUint8(at + 85),
    outerVlan: view.getUint16(at + 86, true),
    dataLength: view.getUint32(at + 88, true),
    cameBy: view.getUint32(at + 92, true),
    data: getBytes(view, at + 96, 64),
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

export interface HuskTrace {
  readonly addr: Uint8Array;
  readonly mask: Uint8Array;
  readonly ifindex: number;
  readonly port: number;
  readonly ipProto: number;
  readonly family: number;
  readonly flags: number;
}
export const HuskTrace = {
  size: 48,
  offset: {
    addr: 0,
    mask: 16,
    ifindex: 32,
    port: 36,
    ipProto: 38,
    family: 39,
    flags: 40,
  },
  count: {
    addr: 16,
    mask: 16,
  },
} as const;
export function encodeHuskTrace(view: DataView, at: number, value: HuskTrace): void {
  mustHold(view, at, 48);
  putBytes(view, at + 0, 16, value.addr, 'addr');
  putBytes(view, at + 16, 16, value.mask, 'mask');
  view.setUint32(at + 32, value.ifindex, true);
  view.setUint16(at + 36, value.port, true);
  view.setUint8(at + 38, value.ipProto);
  view.setUint8(at + 39, value.family);
  view.setUint8(at + 40, value.flags);
  putZeros(view, at + 41, 7);
}
export function decodeHuskTrace(view: DataView, at: number): HuskTrace {
  mustHold(view, at, 48);
  return {
    addr: getBytes(view, at + 0, 16),
    mask: getBytes(view, at + 16, 16),
    ifindex: view.getUint32(at + 32, true),
    port: view.getUint16(at + 36, true),
    ipProto: view.getUint8(at + 38),
    family: view.getUint8(at + 39),
    flags: view.getUint8(at + 40),
  };
}

export interface HuskObject {
  readonly subject: number;
  readonly operation: number;
  readonly kind: number;
  readonly value: bigint;
}
export const HuskObject = {
  size: 16,
  offset: {
    subject: 0,
    operation: 4,
    kind: 6,
    value: 8,
  },
} as const;
export function encodeHuskObject(view: DataView, at: number, value: HuskObject): void {
  mustHold(view, at, 16);
  view.setUint32(at + 0, value.subject, true);
  view.setUint16(at + 4, value.operation, true);
  view.setUint16(at + 6, value.kind, true);
  view.setBigUint64(at + 8, value.value, true);
}
export function decodeHuskObject(view: DataView, at: number): HuskObject {
  mustHold(view, at, 16);
  return {
    subject: view.getUint32(at + 0, true),
    operation: view.getUint16(at + 4, true),
    kind: view.getUint16(at + 6, true),
    value: view.getBigUint64(at + 8, true),
  };
}

export interface HuskDecision {
  readonly deniedBy: number;
  readonly wouldDeny: number;
  readonly allowedBy: number;
  readonly lifts: number;
  readonly wouldAllow: number;
  readonly kills: number;
}
export const HuskDecision = {
  size: 24,
  offset: {
    deniedBy: 0,
    wouldDeny: 4,
    allowedBy: 8,
    lifts: 12,
    wouldAllow: 16,
    kills: 20,
  },
} as const;
export function encodeHuskDecision(view: DataView, at: number, value: HuskDecision): void {
  mustHold(view, at, 24);
  view.setUint32(at + 0, value.deniedBy, true);
  view.setUint32(at + 4, value.wouldDeny, true);
  view.setUint32(at + 8, value.allowedBy, true);
  view.setUint32(at + 12, value.lifts, true);
  view.setUint32(at + 16, value.wouldAllow, true);
  view.setUint8(at + 20, value.kills);
  putZeros(view, at + 21, 3);
}
export function decodeHuskDecision(view: DataView, at: number): HuskDecision {
  mustHold(view, at, 24);
  return {
    deniedBy: view.getUint32(at + 0, true),
    wouldDeny: view.getUint32(at + 4, true),
    allowedBy: view.getUint32(at + 8, true),
    lifts: view.getUint32(at + 12, true),
    wouldAllow: view.getUint32(at + 16, true),
    kills: view.getUint8(at + 20),
  };
}

export interface HuskOperations {
  readonly subjects: readonly bigint[];
  readonly withPaths: readonly bigint[];
  readonly observed: readonly bigint[];
  readonly anyProgram: bigint;
  readonly anyUser: bigint;
  readonly anyCgroup: bigint;
  readonly unknown: bigint;
}
export const HuskOperations = {
  size: 800,
  offset: {
    subjects: 0,
    withPaths: 256,
    observed: 512,
    anyProgram: 768,
    anyUser: 776,
    anyCgroup: 784,
    unknown: 792,
  },
  count: {
    subjects: 32,
    withPaths: 32,
    observed: 32,
  },
} as const;
export function encodeHuskOperations(view: DataView, at: number, value: HuskOperations): void {
  mustHold(view, at, 800);
  putEach(view, at + 0, 8, 32, value.subjects, 'subjects', (to, one) => view.setBigUint64(to, one, true));
  putEach(view, at + 256, 8, 32, value.withPaths, 'withPaths', (to, one) => view.setBigUint64(to, one, true));
  putEach(view, at + 512, 8, 32, value.observed, 'observed', (to, one) => view.setBigUint64(to, one, true));
  view.setBigUint64(at + 768, value.anyProgram, true);
  view.setBigUint64(at + 776, value.anyUser, true);
  view.setBigUint64(at + 784, value.anyCgroup, true);
  view.setBigUint64(at + 792, value.unknown, true);
}
export function decodeHuskOperations(view: DataView, at: number): HuskOperations {
  mustHold(view, at, 800);
  return {
    subjects: getEach(at + 0, 8, 32, (from) => view.getBigUint64(from, true)),
    withPaths: getEach(at + 256, 8, 32, (from) => view.getBigUint64(from, true)),
    observed: getEach(at + 512, 8, 32, (from) => view.getBigUint64(from, true)),
    anyProgram: view.getBigUint64(at + 768, true),
    anyUser: view.getBigUint64(at + 776, true),
    anyCgroup: view.getBigUint64(at + 784, true),
    unknown: view.getBigUint64(at + 792, true),
  };
}

export interface HuskProgram {
  readonly path: bigint;
  readonly applet: bigint;
}
export const HuskProgram = {
  size: 16,
  offset: {
    path: 0,
    applet: 8,
  },
} as const;
export function encodeHuskProgram(view: DataView, at: number, value: HuskProgram): void {
  mustHold(view, at, 16);
  view.setBigUint64(at + 0, value.path, true);
  view.setBigUint64(at + 8, value.applet, true);
}
export function decodeHuskProgram(view: DataView, at: number): HuskProgram {
  mustHold(view, at, 16);
  return {
    path: view.getBigUint64(at + 0, true),
    applet: view.getBigUint64(at + 8, true),
  };
}

export interface HuskProgramSubjects {
  readonly own: bigint;
  readonly lineage: bigint;
}
export const HuskProgramSubjects = {
  size: 16,
  offset: {
    own: 0,
    lineage: 8,
  },
} as const;
export function encodeHuskProgramSubjects(view: DataView, at: number, value: HuskProgramSubjects): void {
  mustHold(view, at, 16);
  view.setBigUint64(at + 0, value.own, true);
  view.setBigUint64(at + 8, value.lineage, true);
}
export function decodeHuskProgramSubjects(view: DataView, at: number): HuskProgramSubjects {
  mustHold(view, at, 16);
  return {
    own: view.getBigUint64(at + 0, true),
    lineage: view.getBigUint64(at + 8, true),
  };
}

export interface HuskTask {
  readonly lineage: readonly HuskProgram[];
  readonly programs: number;
  readonly flags: number;
  readonly generation: number;
  readonly subjects: bigint;
  readonly uid: number;
  readonly pad2: number;
  readonly rest: readonly bigint[];
  readonly name: Uint8Array;
}
export const HuskTask = {
  size: 808,
  offset: {
    lineage: 0,
    programs: 256,
    flags: 260,
    generation: 264,
    subjects: 272,
    uid: 280,
    pad2: 284,
    rest: 288,
    name: 552,
  },
  count: {
    lineage: 16,
    rest: 33,
    name: 256,
  },
} as const;
export function encodeHuskTask(view: DataView, at: number, value: HuskTask): void {
  mustHold(view, at, 808);
  putEach(view, at + 0, 16, 16, value.lineage, 'lineage', (to, one) => encodeHuskProgram(view, to, one));
  view.setUint32(at + 256, value.programs, true);
  view.setUint32(at + 260, value.flags, true);
  view.setUint32(at + 264, value.generation, true);
  putZeros(view, at + 268, 4);
  view.setBigUint64(at + 272, value.subjects, true);
  view.setUint32(at + 280, value.uid, true);
  view.setUint32(at + 284, value.pad2, true);
  putEach(view, at + 288, 8, 33, value.rest, 'rest', (to, one) => view.setBigUint64(to, one, true));
  putBytes(view, at + 552, 256, value.name, 'name');
}
export function decodeHuskTask(view: DataView, at: number): HuskTask {
  mustHold(view, at, 808);
  return {
    lineage: getEach(at + 0, 16, 16, (from) => decodeHuskProgram(view, from)),
    programs: view.getUint32(at + 256, true),
    flags: view.getUint32(at + 260, true),
    generation: view.getUint32(at + 264, true),
    subjects: view.getBigUint64(at + 272, true),
    uid: view.getUint32(at + 280, true),
    pad2: view.getUint32(at + 284, true),
    rest: getEach(at + 288, 8, 33, (from) => view.getBigUint64(from, true)),
    name: getBytes(view, at + 552, 256),
  };
}

export interface HuskAlike {
  readonly program: HuskProgram;
  readonly value: bigint;
  readonly target: readonly bigint[];
  readonly rule: number;
  readonly period: number;
  readonly operation: number;
  readonly socketFamily: number;
  readonly verdict: number;
  readonly mode: number;
  readonly traits: number;
  readonly flags: number;
}
export const HuskAlike = {
  size: 64,
  offset: {
    program: 0,
    value: 16,
    target: 24,
    rule: 48,
    period: 52,
    operation: 56,
    socketFamily: 58,
    verdict: 60,
    mode: 61,
    traits: 62,
    flags: 63,
  },
  count: {
    target: 3,
  },
} as const;
export function encodeHuskAlike(view: DataView, at: number, value: HuskAlike): void {
  mustHold(view, at, 64);
  encodeHuskProgram(view, at + 0, value.program);
  view.setBigUint64(at + 16, value.value, true);
  putEach(view, at + 24, 8, 3, value.target, 'target', (to, one) => view.setBigUint64(to, one, true));
  view.setUint32(at + 48, value.rule, true);
  view.setUint32(at + 52, value.period, true);
  view.setUint16(at + 56, value.operation, true);
  view.setUint16(at + 58, value.socketFamily, true);
  view.setUint8(at + 60, value.verdict);
  view.setUint8(at + 61, value.mode);
  view.setUint8(at + 62, value.traits);
  view.setUint8(at + 63, value.flags);
}
export function decodeHuskAlike(view: DataView, at: number): HuskAlike {
  mustHold(view, at, 64);
  return {
    program: decodeHuskProgram(view, at + 0),
    value: view.getBigUint64(at + 16, true),
    target: getEach(at + 24, 8, 3, (from) => view.getBigUint64(from, true)),
    rule: view.getUint32(at + 48, true),
    period: view.getUint32(at + 52, true),
    operation: view.getUint16(at + 56, true),
    socketFamily: view.getUint16(at + 58, true),
    verdict: view.getUint8(at + 60),
    mode: view.getUint8(at + 61),
    traits: view.getUint8(at + 62),
    flags: view.getUint8(at + 63),
  };
}

export interface HuskRepeats {
  readonly firstNs: bigint;
  readonly lastNs: bigint;
  readonly count: bigint;
}
export const HuskRepeats = {
  size: 24,
  offset: {
    firstNs: 0,
    lastNs: 8,
    count: 16,
  },
} as const;
export function encodeHuskRepeats(view: DataView, at: number, value: HuskRepeats): void {
  mustHold(view, at, 24);
  view.setBigUint64(at + 0, value.firstNs, true);
  view.setBigUint64(at + 8, value.lastNs, true);
  view.setBigUint64(at + 16, value.count, true);
}
export function decodeHuskRepeats(view: DataView, at: number): HuskRepeats {
  mustHold(view, at, 24);
  return {
    firstNs: view.getBigUint64(at + 0, true),
    lastNs: view.getBigUint64(at + 8, true),
    count: view.getBigUint64(at + 16, true),
  };
}

export interface HuskOperationEvent {
  readonly head: HuskEvent;
  readonly alike: HuskAlike;
  readonly cgroup: bigint;
  readonly startNs: bigint;
  readonly lineage: readonly HuskProgram[];
  readonly programs: number;
  readonly flags: number;
  readonly tgid: number;
  readonly tid: number;
  readonly parent: number;
  readonly uid: number;
  readonly gid: number;
  readonly device: number;
  readonly namesLength: number;
  readonly comm: string;
  readonly parentComm: string;
  readonly names: Uint8Array;
}
export const HuskOperationEvent = {
  size: 760,
  offset: {
    head: 0,
    alike: 32,
    cgroup: 96,
    startNs: 104,
    lineage: 112,
    programs: 368,
    flags: 372,
    tgid: 376,
    tid: 380,
    parent: 384,
    uid: 388,
    gid: 392,
    device: 396,
    namesLength: 400,
    comm: 408,
    parentComm: 424,
    names: 440,
  },
  count: {
    lineage: 16,
    comm: 16,
    parentComm: 16,
    names: 320,
  },
} as const;
export function encodeHuskOperationEvent(view: DataView, at: number, value: HuskOperationEvent): void {
  mustHold(view, at, 760);
  encodeHuskEvent(view, at + 0, value.head);
  encodeHuskAlike(view, at + 32, value.alike);
  view.setBigUint64(at + 96, value.cgroup, true);
  view.setBigUint64(at + 104, value.startNs, true);
  putEach(view, at + 112, 16, 16, value.lineage, 'lineage', (to, one) => encodeHuskProgram(view, to, one));
  view.setUint32(at + 368, value.programs, true);
  view.setUint32(at + 372, value.flags, true);
  view.setUint32(at + 376, value.tgid, true);
  view.setUint32(at + 380, value.tid, true);
  view.setUint32(at + 384, value.parent, true);
  view.setUint32(at + 388, value.uid, true);
  view.setUint32(at + 392, value.gid, true);
  view.setUint32(at + 396, value.device, true);
  view.setUint32(at + 400, value.namesLength, true);
  putZeros(view, at + 404, 4);
  putText(view, at + 408, 16, value.comm, 'comm');
  putText(view, at + 424, 16, value.parentComm, 'parentComm');
  putBytes(view, at + 440, 320, value.names, 'names');
}
export function decodeHuskOperationEvent(view: DataView, at: number): HuskOperationEvent {
  mustHold(view, at, 760);
  return {
    head: decodeHuskEvent(view, at + 0),
    alike: decodeHuskAlike(view, at + 32),
    cgroup: view.getBigUint64(at + 96, true),
    startNs: view.getBigUint64(at + 104, true),
    lineage: getEach(at + 112, 16, 16, (from) => decodeHuskProgram(view, from)),
    programs: view.getUint32(at + 368, true),
    flags: view.getUint32(at + 372, true),
    tgid: view.getUint32(at + 376, true),
    tid: view.getUint32(at + 380, true),
    parent: view.getUint32(at + 384, true),
    uid: view.getUint32(at + 388, true),
    gid: view.getUint32(at + 392, true),
    device: view.getUint32(at + 396, true),
    namesLength: view.getUint32(at + 400, true),
    comm: getText(view, at + 408, 16),
    parentComm: getText(view, at + 424, 16),
    names: getBytes(view, at + 440, 320),
  };
}

export interface HuskPathKey {
  readonly mix: readonly bigint[];
}
export const HuskPathKey = {
  size: 32,
  offset: {
    mix: 0,
  },
  count: {
    mix: 4,
  },
} as const;
export function encodeHuskPathKey(view: DataView, at: number, value: HuskPathKey): void {
  mustHold(view, at, 32);
  putEach(view, at + 0, 8, 4, value.mix, 'mix', (to, one) => view.setBigUint64(to, one, true));
}
export function decodeHuskPathKey(view: DataView, at: number): HuskPathKey {
  mustHold(view, at, 32);
  return {
    mix: getEach(at + 0, 8, 4, (from) => view.getBigUint64(from, true)),
  };
}

export interface HuskCanaryObject {
  readonly number: bigint;
  readonly applet: bigint;
  readonly whole: bigint;
  readonly rest: readonly bigint[];
  readonly depth: number;
  readonly device: number;
  readonly hasPath: number;
  readonly traits: number;
}
export const HuskCanaryObject = {
  size: 296,
  offset: {
    number: 0,
    applet: 8,
    whole: 16,
    rest: 24,
    depth: 280,
    device: 284,
    hasPath: 288,
    traits: 289,
  },
  count: {
    rest: 32,
  },
} as const;
export function encodeHuskCanaryObject(view: DataView, at: number, value: HuskCanaryObject): void {
  mustHold(view, at, 296);
  view.setBigUint64(at + 0, value.number, true);
  view.setBigUint64(at + 8, value.applet, true);
  view.setBigUint64(at + 16, value.whole, true);
  putEach(view, at + 24, 8, 32, value.rest, 'rest', (to, one) => view.setBigUint64(to, one, true));
  view.setUint32(at + 280, value.depth, true);
  view.setUint32(at + 284, value.device, true);
  view.setUint8(at + 288, value.hasPath);
  view.setUint8(at + 289, value.traits);
  putZeros(view, at + 290, 6);
}
export function decodeHuskCanaryObject(view: DataView, at: number): HuskCanaryObject {
  mustHold(view, at, 296);
  return {
    number: view.getBigUint64(at + 0, true),
    applet: view.getBigUint64(at + 8, true),
    whole: view.getBigUint64(at + 16, true),
    rest: getEach(at + 24, 8, 32, (from) => view.getBigUint64(from, true)),
    depth: view.getUint32(at + 280, true),
    device: view.getUint32(at + 284, true),
    hasPath: view.getUint8(at + 288),
    traits: view.getUint8(at + 289),
  };
}

export interface HuskSelf {
  readonly controlInode: bigint;
  readonly controlDevice: number;
  readonly agent: number;
  readonly mountSpace: number;
  readonly openUntil: number;
  readonly openTo: number;
  readonly bpffs: number;
  readonly interfaces: number;
  readonly devicesLength: number;
  readonly devices: readonly number[];
}
export const HuskSelf = {
  size: 72,
  offset: {
    controlInode: 0,
    controlDevice: 8,
    agent: 12,
    mountSpace: 16,
    openUntil: 20,
    openTo: 24,
    bpffs: 28,
    interfaces: 32,
    devicesLength: 36,
    devices: 40,
  },
  count: {
    devices: 8,
  },
} as const;
export function encodeHuskSelf(view: DataView, at: number, value: HuskSelf): void {
  mustHold(view, at, 72);
  view.setBigUint64(at + 0, value.controlInode, true);
  view.setUint32(at + 8, value.controlDevice, true);
  view.setUint32(at + 12, value.agent, true);
  view.setUint32(at + 16, value.mountSpace, true);
  view.setUint32(at + 20, value.openUntil, true);
  view.setUint32(at + 24, value.openTo, true);
  view.setUint32(at + 28, value.bpffs, true);
  view.setUint32(at + 32, value.interfaces, true);
  view.setUint32(at + 36, value.devicesLength, true);
  putEach(view, at + 40, 4, 8, value.devices, 'devices', (to, one) => view.setUint32(to, one, true));
}
export function decodeHuskSelf(view: DataView, at: number): HuskSelf {
  mustHold(view, at, 72);
  return {
    controlInode: view.getBigUint64(at + 0, true),
    controlDevice: view.getUint32(at + 8, true),
    agent: view.getUint32(at + 12, true),
    mountSpace: view.getUint32(at + 16, true),
    openUntil: view.getUint32(at + 20, true),
    openTo: view.getUint32(at + 24, true),
    bpffs: view.getUint32(at + 28, true),
    interfaces: view.getUint32(at + 32, true),
    devicesLength: view.getUint32(at + 36, true),
    devices: getEach(at + 40, 4, 8, (from) => view.getUint32(from, true)),
  };
}

export interface HuskSelfObject {
  readonly kind: number;
  readonly id: number;
}
export const HuskSelfObject = {
  size: 8,
  offset: {
    kind: 0,
    id: 4,
  },
} as const;
export function encodeHuskSelfObject(view: DataView, at: number, value: HuskSelfObject): void {
  mustHold(view, at, 8);
  view.setUint32(at + 0, value.kind, true);
  view.setUint32(at + 4, value.id, true);
}
export function decodeHuskSelfObject(view: DataView, at: number): HuskSelfObject {
  mustHold(view, at, 8);
  return {
    kind: view.getUint32(at + 0, true),
    id: view.getUint32(at + 4, true),
  };
}

// What an object built from the same headers carries as BTF; agent/kernel/btf.ts compares.

export const layoutDigest = '93be810098b96847085b3d1299e970aed72480f02cad4ae11e71a6d4b1d13f19';

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
    { name: 'husk_control', size: 24, fields: [
      { name: 'live', offset: 0, type: 'u32' },
      { name: 'expired', offset: 4, type: 'u32' },
      { name: 'packet_events_per_second', offset: 8, type: 'u32' },
      { name: 'generations', offset: 12, type: 'u32' },
      { name: 'trace_until_s', offset: 16, type: 'u32' },
      { name: 'pad', offset: 20, type: 'u32' },
    ] },
    { name: 'husk_counter', size: 24, fields: [
      { name: 'hits', offset: 0, type: 'u64' },
      { name: 'bytes', offset: 8, type: 'u64' },
      { name: 'limited', offset: 16, type: 'u64' },
    ] },
    { name: 'husk_rule_name', size: 128, fields: [
      { name: 'id', offset: 0, type: 'char[128]' },
    ] },
    { name: 'husk_try', size: 40, fields: [
      { name: 'canary_cgroup', offset: 0, type: 'u64' },
      { name: 'canary_subjects', offset: 8, type: 'u64' },
      { name: 'slot', offset: 16, type: 'u32' },
      { name: 'ifindex', offset: 20, type: 'u32' },
      { name: 'came_by', offset: 24, type: 'u32' },
      { name: 'state', offset: 28, type: 'u32' },
      { name: 'canary_operation', offset: 32, type: 'u32' },
      { name: 'pad', offset: 36, type: 'u32' },
    ] },
    { name: 'husk_tried', size: 32, fields: [
      { name: 'verdict', offset: 0, type: 'u32' },
      { name: 'reason', offset: 4, type: 'u32' },
      { name: 'rule', offset: 8, type: 'u32' },
      { name: 'monitored', offset: 12, type: 'u32' },
      { name: 'runs', offset: 16, type: 'u32' },
      { name: 'state', offset: 20, type: 'u32' },
      { name: 'noted', offset: 24, type: 'u32' },
      { name: 'last_noted', offset: 28, type: 'u32' },
    ] },
    { name: 'husk_generation', size: 2840, fields: [
      { name: 'serial', offset: 0, type: 'u64' },
      { name: 'digest', offset: 8, type: 'u8[32]' },
      { name: 'table_digest', offset: 40, type: 'u8[41][32]' },
      { name: 'bundle_digest', offset: 1352, type: 'u8[32]' },
      { name: 'connections', offset: 1384, type: 'husk_connection_settings' },
      { name: 'services', offset: 1424, type: 'husk_service[16]' },
      { name: 'ingress_sets', offset: 1744, type: 'husk_set_use[8]' },
      { name: 'egress_sets', offset: 1776, type: 'husk_set_use[8]' },
      { name: 'syn_limits', offset: 1808, type: 'husk_syn_limits[16]' },
      { name: 'id', offset: 2832, type: 'u32' },
      { name: 'unparseable_verdict', offset: 2836, type: 'u32' },
    ] },
    { name: 'husk_connection_settings', size: 40, fields: [
      { name: 'timeouts', offset: 0, type: 'u32[8]' },
      { name: 'is_followed', offset: 32, type: 'u8' },
      { name: 'is_loose', offset: 33, type: 'u8' },
      { name: 'pad', offset: 34, type: 'u8[6]' },
    ] },
    { name: 'husk_service', size: 20, fields: [
      { name: 'addr', offset: 0, type: 'u8[16]' },
      { name: 'port', offset: 16, type: 'u16' },
      { name: 'ip_proto', offset: 18, type: 'u8' },
      { name: 'pad', offset: 19, type: 'u8' },
    ] },
    { name: 'husk_set_use', size: 4, fields: [
      { name: 'set', offset: 0, type: 'u8' },
      { name: 'side', offset: 1, type: 'u8' },
      { name: 'has_additions', offset: 2, type: 'u8' },
      { name: 'pad', offset: 3, type: 'u8' },
    ] },
    { name: 'husk_syn_limits', size: 64, fields: [
      { name: 'above', offset: 0, type: 'husk_limit' },
      { name: 'per_source', offset: 32, type: 'husk_limit' },
    ] },
    { name: 'husk_limit', size: 32, fields: [
      { name: 'cost_ns', offset: 0, type: 'u64' },
      { name: 'depth_ns', offset: 8, type: 'u64' },
      { name: 'digest', offset: 16, type: 'u64' },
      { name: 'per', offset: 24, type: 'u8' },
      { name: 'over', offset: 25, type: 'u8' },
      { name: 'prefix4', offset: 26, type: 'u8' },
      { name: 'prefix6', offset: 27, type: 'u8' },
      { name: 'pad', offset: 28, type: 'u8[4]' },
    ] },
    { name: 'husk_zone', size: 28, fields: [
      { name: 'zone', offset: 0, type: 'u32' },
      { name: 'ingress_default_rule', offset: 4, type: 'u32' },
      { name: 'egress_default_rule', offset: 8, type: 'u32' },
      { name: 'interface_bits', offset: 12, type: 'u32' },
      { name: 'syn_cookies_rule', offset: 16, type: 'u32' },
      { name: 'ingress_default', offset: 20, type: 'u8' },
      { name: 'ingress_mode', offset: 21, type: 'u8' },
      { name: 'egress_default', offset: 22, type: 'u8' },
      { name: 'egress_mode', offset: 23, type: 'u8' },
      { name: 'link', offset: 24, type: 'u8' },
      { name: 'never_drop', offset: 25, type: 'u8' },
      { name: 'flags', offset: 26, type: 'u8' },
      { name: 'pad', offset: 27, type: 'u8' },
    ] },
    { name: 'husk_rule', size: 16, fields: [
      { name: 'rule', offset: 0, type: 'u32' },
      { name: 'extra', offset: 4, type: 'u32' },
      { name: 'verdict', offset: 8, type: 'u8' },
      { name: 'mode', offset: 9, type: 'u8' },
      { name: 'reject_with', offset: 10, type: 'u8' },
      { name: 'flags', offset: 11, type: 'u8' },
      { name: 'log_sample', offset: 12, type: 'u32' },
    ] },
    { name: 'husk_extra', size: 136, fields: [
      { name: 'smac', offset: 0, type: 'u64[4]' },
      { name: 'dmac', offset: 32, type: 'u64[4]' },
      { name: 'limit', offset: 64, type: 'husk_limit' },
      { name: 'origins', offset: 96, type: 'u32' },
      { name: 'interface_care', offset: 100, type: 'u32' },
      { name: 'interface_value', offset: 104, type: 'u32' },
      { name: 'outer_vlan_first', offset: 108, type: 'u16' },
      { name: 'outer_vlan_last', offset: 110, type: 'u16' },
      { name: 'inner_vlan_first', offset: 112, type: 'u16' },
      { name: 'inner_vlan_last', offset: 114, type: 'u16' },
      { name: 'ether_type_first', offset: 116, type: 'u16' },
      { name: 'ether_type_last', offset: 118, type: 'u16' },
      { name: 'length_first', offset: 120, type: 'u16' },
      { name: 'length_last', offset: 122, type: 'u16' },
      { name: 'dscp_first', offset: 124, type: 'u8' },
      { name: 'dscp_last', offset: 125, type: 'u8' },
      { name: 'tcp_flags_mask', offset: 126, type: 'u8' },
      { name: 'tcp_flags_value', offset: 127, type: 'u8' },
      { name: 'flags', offset: 128, type: 'u8' },
      { name: 'pad', offset: 129, type: 'u8[7]' },
    ] },
    { name: 'husk_deferred', size: 8, fields: [
      { name: 'ifindex', offset: 0, type: 'u32' },
      { name: 'vlan', offset: 4, type: 'u32' },
    ] },
    { name: 'husk_addition4', size: 12, fields: [
      { name: 'prefixlen', offset: 0, type: 'u32' },
      { name: 'set', offset: 4, type: 'u32' },
      { name: 'addr', offset: 8, type: 'u8[4]' },
    ] },
    { name: 'husk_addition6', size: 24, fields: [
      { name: 'prefixlen', offset: 0, type: 'u32' },
      { name: 'set', offset: 4, type: 'u32' },
      { name: 'addr', offset: 8, type: 'u8[16]' },
    ] },
    { name: 'husk_addition', size: 16, fields: [
      { name: 'hits', offset: 0, type: 'u64' },
      { name: 'expires_s', offset: 8, type: 'u32' },
      { name: 'pad', offset: 12, type: 'u32' },
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
    { name: 'husk_connection_setup', size: 64, fields: [
      { name: 'seed', offset: 0, type: 'u64[7]' },
      { name: 'bucket_mask', offset: 56, type: 'u32' },
      { name: 'rate_mask', offset: 60, type: 'u32' },
    ] },
    { name: 'husk_connection_key', size: 40, fields: [
      { name: 'low', offset: 0, type: 'u8[16]' },
      { name: 'high', offset: 16, type: 'u8[16]' },
      { name: 'low_port', offset: 32, type: 'u16' },
      { name: 'high_port', offset: 34, type: 'u16' },
      { name: 'ip_proto', offset: 36, type: 'u8' },
      { name: 'family', offset: 37, type: 'u8' },
      { name: 'kind', offset: 38, type: 'u8' },
      { name: 'is_high_asking', offset: 39, type: 'u8' },
    ] },
    { name: 'husk_connection', size: 136, fields: [
      { name: 'verdicts', offset: 0, type: 'u64[4]' },
      { name: 'state', offset: 32, type: 'u64' },
      { name: 'seen', offset: 40, type: 'u64' },
      { name: 'judged', offset: 48, type: 'u64' },
      { name: 'key', offset: 56, type: 'husk_connection_key' },
      { name: 'made', offset: 96, type: 'u64' },
      { name: 'ifindex', offset: 104, type: 'u32' },
      { name: 'came_by', offset: 108, type: 'u32' },
      { name: 'smac', offset: 112, type: 'u16[3]' },
      { name: 'dmac', offset: 118, type: 'u16[3]' },
      { name: 'outer_vlan', offset: 124, type: 'u16' },
      { name: 'inner_vlan', offset: 126, type: 'u16' },
      { name: 'length', offset: 128, type: 'u16' },
      { name: 'dscp', offset: 130, type: 'u8' },
      { name: 'first', offset: 131, type: 'u8' },
      { name: 'pad', offset: 132, type: 'u32' },
    ] },
    { name: 'husk_connection_bucket', size: 1128, fields: [
      { name: 'tags', offset: 0, type: 'u32[8]' },
      { name: 'lock', offset: 32, type: 'u32' },
      { name: 'pad', offset: 36, type: 'u32' },
      { name: 'entries', offset: 40, type: 'husk_connection[8]' },
    ] },
    { name: 'husk_fragment_key', size: 40, fields: [
      { name: 'saddr', offset: 0, type: 'u8[16]' },
      { name: 'daddr', offset: 16, type: 'u8[16]' },
      { name: 'id', offset: 32, type: 'u32' },
      { name: 'ip_proto', offset: 36, type: 'u8' },
      { name: 'family', offset: 37, type: 'u8' },
      { name: 'pad', offset: 38, type: 'u8[2]' },
    ] },
    { name: 'husk_fragment', size: 8, fields: [
      { name: 'seen', offset: 0, type: 'u32' },
      { name: 'flags', offset: 4, type: 'u16' },
      { name: 'state', offset: 6, type: 'u8' },
      { name: 'is_reply', offset: 7, type: 'u8' },
    ] },
    { name: 'husk_rate', size: 40, fields: [
      { name: 'digest', offset: 0, type: 'u64' },
      { name: 'who', offset: 8, type: 'u64[2]' },
      { name: 'full_ns', offset: 24, type: 'u64' },
      { name: 'used_ns', offset: 32, type: 'u64' },
    ] },
    { name: 'husk_rate_bucket', size: 328, fields: [
      { name: 'entries', offset: 0, type: 'husk_rate[8]' },
      { name: 'lock', offset: 320, type: 'u32' },
      { name: 'pad', offset: 324, type: 'u32' },
    ] },
    { name: 'husk_classifier', size: 26624, fields: [
      { name: 'entries', offset: 0, type: 'u32' },
      { name: 'first_class', offset: 4, type: 'u32' },
      { name: 'first_lower_node', offset: 8, type: 'u32' },
      { name: 'source_other', offset: 12, type: 'u32' },
      { name: 'destination_other', offset: 16, type: 'u32' },
      { name: 'pairs', offset: 20, type: 'u32' },
      { name: 'pairs_stride', offset: 24, type: 'u32' },
      { name: 'ports', offset: 28, type: 'u32' },
      { name: 'ports_stride', offset: 32, type: 'u32' },
      { name: 'smalls', offset: 36, type: 'u32' },
      { name: 'smalls_stride', offset: 40, type: 'u32' },
      { name: 'sports_stride', offset: 44, type: 'u32' },
      { name: 'sports_step', offset: 48, type: 'u32' },
      { name: 'rows', offset: 52, type: 'u32' },
      { name: 'order', offset: 56, type: 'u32' },
      { name: 'pad', offset: 60, type: 'u32' },
      { name: 'section_words', offset: 64, type: 'u64[16]' },
      { name: 'section', offset: 192, type: 'u8[256]' },
      { name: 'lowest_bit', offset: 448, type: 'u8[64]' },
      { name: 'protocol', offset: 512, type: 'u16[512]' },
      { name: 'small', offset: 1536, type: 'u16[1024]' },
      { name: 'set', offset: 3584, type: 'u16[256]' },
      { name: 'sport', offset: 4096, type: 'u16[1024]' },
      { name: 'dport', offset: 6144, type: 'u16[1024]' },
      { name: 'source4', offset: 8192, type: 'u16[512]' },
      { name: 'destination4', offset: 9216, type: 'u16[512]' },
      { name: 'source6', offset: 10240, type: 'u16[4096]' },
      { name: 'destination6', offset: 18432, type: 'u16[4096]' },
    ] },
    { name: 'husk_node4', size: 32, fields: [
      { name: 'key', offset: 0, type: 'u16[8]' },
      { name: 'child', offset: 16, type: 'u16[8]' },
    ] },
    { name: 'husk_node6', size: 64, fields: [
      { name: 'key', offset: 0, type: 'u64[5]' },
      { name: 'child', offset: 40, type: 'u16[12]' },
    ] },
    { name: 'husk_class', size: 64, fields: [
      { name: 'any', offset: 0, type: 'u64[3]' },
      { name: 'group', offset: 24, type: 'u16[20]' },
    ] },
    { name: 'husk_class_line', size: 64, fields: [
      { name: 'word', offset: 0, type: 'u64[8]' },
    ] },
    { name: 'husk_set4', size: 192, fields: [
      { name: 'filter_shift', offset: 0, type: 'u32' },
      { name: 'block_shift', offset: 4, type: 'u32' },
      { name: 'groups_at', offset: 8, type: 'u32' },
      { name: 'lines_at', offset: 12, type: 'u32' },
      { name: 'children_at', offset: 16, type: 'u32' },
      { name: 'pad', offset: 20, type: 'u32[43]' },
    ] },
    { name: 'husk_set4_group', size: 16, fields: [
      { name: 'starts', offset: 0, type: 'u64' },
      { name: 'line', offset: 8, type: 'u32' },
      { name: 'pad', offset: 12, type: 'u32' },
    ] },
    { name: 'husk_set4_line', size: 32, fields: [
      { name: 'first_block', offset: 0, type: 'u16' },
      { name: 'flags', offset: 2, type: 'u16' },
      { name: 'keys', offset: 4, type: 'u16[14]' },
    ] },
    { name: 'husk_set6', size: 192, fields: [
      { name: 'trees', offset: 0, type: 'husk_set6_tree[4]' },
      { name: 'trees_present', offset: 128, type: 'u32' },
      { name: 'filter_prefix', offset: 132, type: 'u32' },
      { name: 'filter_shift', offset: 136, type: 'u32' },
      { name: 'leaves_at', offset: 140, type: 'u32' },
      { name: 'counts_at', offset: 144, type: 'u32' },
      { name: 'records_at', offset: 148, type: 'u32' },
      { name: 'record_count', offset: 152, type: 'u32' },
      { name: 'groups_at', offset: 156, type: 'u32' },
      { name: 'window_first', offset: 160, type: 'u64' },
      { name: 'window_bits', offset: 168, type: 'u32' },
      { name: 'block_shift', offset: 172, type: 'u32' },
      { name: 'lines_at', offset: 176, type: 'u32' },
      { name: 'pad', offset: 180, type: 'u32[3]' },
    ] },
    { name: 'husk_set6_tree', size: 32, fields: [
      { name: 'levels_at', offset: 0, type: 'u32[6]' },
      { name: 'level_count', offset: 24, type: 'u32' },
      { name: 'first_leaf', offset: 28, type: 'u32' },
    ] },
    { name: 'husk_set6_group', size: 16, fields: [
      { name: 'starts', offset: 0, type: 'u64' },
      { name: 'line', offset: 8, type: 'u32' },
      { name: 'pad', offset: 12, type: 'u32' },
    ] },
    { name: 'husk_set6_line', size: 32, fields: [
      { name: 'words', offset: 0, type: 'u64[4]' },
    ] },
    { name: 'husk_set6_node', size: 128, fields: [
      { name: 'keys', offset: 0, type: 'u64[16]' },
    ] },
    { name: 'husk_set6_leaf', size: 64, fields: [
      { name: 'keys', offset: 0, type: 'u64[8]' },
    ] },
    { name: 'husk_set6_record', size: 16, fields: [
      { name: 'first', offset: 0, type: 'u64' },
      { name: 'last', offset: 8, type: 'u64' },
    ] },
    { name: 'husk_floor_pattern', size: 40, fields: [
      { name: 'value', offset: 0, type: 'u64[2]' },
      { name: 'mask', offset: 16, type: 'u64[2]' },
      { name: 'least', offset: 32, type: 'u32' },
      { name: 'pad', offset: 36, type: 'u32' },
    ] },
    { name: 'husk_floor', size: 2568, fields: [
      { name: 'count', offset: 0, type: 'u32' },
      { name: 'pad', offset: 4, type: 'u32' },
      { name: 'patterns', offset: 8, type: 'husk_floor_pattern[64]' },
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
    { name: 'husk_packet_event', size: 160, fields: [
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
      { name: 'state', offset: 82, type: 'u8' },
      { name: 'icmp_type', offset: 83, type: 'u8' },
      { name: 'icmp_code', offset: 84, type: 'u8' },
      { name: 'link', offset: 85, type: 'u8' },
      { name: 'outer_vlan', offset: 86, type: 'u16' },
      { name: 'data_length', offset: 88, type: 'u32' },
      { name: 'came_by', offset: 92, type: 'u32' },
      { name: 'data', offset: 96, type: 'u8[64]' },
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
    { name: 'husk_trace', size: 48, fields: [
      { name: 'addr', offset: 0, type: 'u8[16]' },
      { name: 'mask', offset: 16, type: 'u8[16]' },
      { name: 'ifindex', offset: 32, type: 'u32' },
      { name: 'port', offset: 36, type: 'u16' },
      { name: 'ip_proto', offset: 38, type: 'u8' },
      { name: 'family', offset: 39, type: 'u8' },
      { name: 'flags', offset: 40, type: 'u8' },
      { name: 'pad', offset: 41, type: 'u8[7]' },
    ] },
    { name: 'husk_object', size: 16, fields: [
      { name: 'subject', offset: 0, type: 'u32' },
      { name: 'operation', offset: 4, type: 'u16' },
      { name: 'kind', offset: 6, type: 'u16' },
      { name: 'value', offset: 8, type: 'u64' },
    ] },
    { name: 'husk_decision', size: 24, fields: [
      { name: 'denied_by', offset: 0, type: 'u32' },
      { name: 'would_deny', offset: 4, type: 'u32' },
      { name: 'allowed_by', offset: 8, type: 'u32' },
      { name: 'lifts', offset: 12, type: 'u32' },
      { name: 'would_allow', offset: 16, type: 'u32' },
      { name: 'kills', offset: 20, type: 'u8' },
      { name: 'pad', offset: 21, type: 'u8[3]' },
    ] },
    { name: 'husk_operations', size: 800, fields: [
      { name: 'subjects', offset: 0, type: 'u64[32]' },
      { name: 'with_paths', offset: 256, type: 'u64[32]' },
      { name: 'observed', offset: 512, type: 'u64[32]' },
      { name: 'any_program', offset: 768, type: 'u64' },
      { name: 'any_user', offset: 776, type: 'u64' },
      { name: 'any_cgroup', offset: 784, type: 'u64' },
      { name: 'unknown', offset: 792, type: 'u64' },
    ] },
    { name: 'husk_program', size: 16, fields: [
      { name: 'path', offset: 0, type: 'u64' },
      { name: 'applet', offset: 8, type: 'u64' },
    ] },
    { name: 'husk_program_subjects', size: 16, fields: [
      { name: 'own', offset: 0, type: 'u64' },
      { name: 'lineage', offset: 8, type: 'u64' },
    ] },
    { name: 'husk_task', size: 808, fields: [
      { name: 'lineage', offset: 0, type: 'husk_program[16]' },
      { name: 'programs', offset: 256, type: 'u32' },
      { name: 'flags', offset: 260, type: 'u32' },
      { name: 'generation', offset: 264, type: 'u32' },
      { name: 'pad', offset: 268, type: 'u32' },
      { name: 'subjects', offset: 272, type: 'u64' },
      { name: 'uid', offset: 280, type: 'u32' },
      { name: 'pad2', offset: 284, type: 'u32' },
      { name: 'rest', offset: 288, type: 'u64[33]' },
      { name: 'name', offset: 552, type: 'u8[256]' },
    ] },
    { name: 'husk_alike', size: 64, fields: [
      { name: 'program', offset: 0, type: 'husk_program' },
      { name: 'value', offset: 16, type: 'u64' },
      { name: 'target', offset: 24, type: 'u64[3]' },
      { name: 'rule', offset: 48, type: 'u32' },
      { name: 'period', offset: 52, type: 'u32' },
      { name: 'operation', offset: 56, type: 'u16' },
      { name: 'socket_family', offset: 58, type: 'u16' },
      { name: 'verdict', offset: 60, type: 'u8' },
      { name: 'mode', offset: 61, type: 'u8' },
      { name: 'traits', offset: 62, type: 'u8' },
      { name: 'flags', offset: 63, type: 'u8' },
    ] },
    { name: 'husk_repeats', size: 24, fields: [
      { name: 'first_ns', offset: 0, type: 'u64' },
      { name: 'last_ns', offset: 8, type: 'u64' },
      { name: 'count', offset: 16, type: 'u64' },
    ] },
    { name: 'husk_operation_event', size: 760, fields: [
      { name: 'head', offset: 0, type: 'husk_event' },
      { name: 'alike', offset: 32, type: 'husk_alike' },
      { name: 'cgroup', offset: 96, type: 'u64' },
      { name: 'start_ns', offset: 104, type: 'u64' },
      { name: 'lineage', offset: 112, type: 'husk_program[16]' },
      { name: 'programs', offset: 368, type: 'u32' },
      { name: 'flags', offset: 372, type: 'u32' },
      { name: 'tgid', offset: 376, type: 'u32' },
      { name: 'tid', offset: 380, type: 'u32' },
      { name: 'parent', offset: 384, type: 'u32' },
      { name: 'uid', offset: 388, type: 'u32' },
      { name: 'gid', offset: 392, type: 'u32' },
      { name: 'device', offset: 396, type: 'u32' },
      { name: 'names_length', offset: 400, type: 'u32' },
      { name: 'pad', offset: 404, type: 'u32' },
      { name: 'comm', offset: 408, type: 'char[16]' },
      { name: 'parent_comm', offset: 424, type: 'char[16]' },
      { name: 'names', offset: 440, type: 'u8[320]' },
    ] },
    { name: 'husk_path_key', size: 32, fields: [
      { name: 'mix', offset: 0, type: 'u64[4]' },
    ] },
    { name: 'husk_canary_object', size: 296, fields: [
      { name: 'number', offset: 0, type: 'u64' },
      { name: 'applet', offset: 8, type: 'u64' },
      { name: 'whole', offset: 16, type: 'u64' },
      { name: 'rest', offset: 24, type: 'u64[32]' },
      { name: 'depth', offset: 280, type: 'u32' },
      { name: 'device', offset: 284, type: 'u32' },
      { name: 'has_path', offset: 288, type: 'u8' },
      { name: 'traits', offset: 289, type: 'u8' },
      { name: 'pad', offset: 290, type: 'u8[6]' },
    ] },
    { name: 'husk_self', size: 72, fields: [
      { name: 'control_inode', offset: 0, type: 'u64' },
      { name: 'control_device', offset: 8, type: 'u32' },
      { name: 'agent', offset: 12, type: 'u32' },
      { name: 'mount_space', offset: 16, type: 'u32' },
      { name: 'open_until', offset: 20, type: 'u32' },
      { name: 'open_to', offset: 24, type: 'u32' },
      { name: 'bpffs', offset: 28, type: 'u32' },
      { name: 'interfaces', offset: 32, type: 'u32' },
      { name: 'devices_length', offset: 36, type: 'u32' },
      { name: 'devices', offset: 40, type: 'u32[8]' },
    ] },
    { name: 'husk_self_object', size: 8, fields: [
      { name: 'kind', offset: 0, type: 'u32' },
      { name: 'id', offset: 4, type: 'u32' },
    ] },
  ],
  enums: [
    { name: 'husk_verdict', values: [
      ['HUSK_VERDICT_ALLOW', 1],
      ['HUSK_VERDICT_DROP', 2],
      ['HUSK_VERDICT_DENY', 3],
      ['HUSK_VERDICT_REJECT', 4],
      ['HUSK_VERDICT_LOG', 5],
    ] },
    { name: 'husk_reason', values: [
      ['HUSK_REASON_RULE', 1],
      ['HUSK_REASON_DEFAULT', 2],
      ['HUSK_REASON_NEVER_DROP', 3],
      ['HUSK_REASON_UNPARSEABLE', 4],
      ['HUSK_REASON_UNZONED', 5],
      ['HUSK_REASON_NO_GENERATION', 6],
      ['HUSK_REASON_NO_SUBJECT', 7],
      ['HUSK_REASON_LIMITED', 8],
      ['HUSK_REASON_DEFERRED', 9],
      ['HUSK_REASON_COOKIE', 10],
      ['HUSK_REASON_OWN_SOURCE', 11],
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
      ['HUSK_HOOK_TC_INGRESS', 7],
      ['HUSK_HOOK_EXEC', 8],
      ['HUSK_HOOK_MMAP', 9],
      ['HUSK_HOOK_FILE', 10],
      ['HUSK_HOOK_MOUNT', 11],
      ['HUSK_HOOK_PRIVILEGE', 12],
      ['HUSK_HOOK_KERNEL', 13],
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
      ['HUSK_TABLE_DEFERRED', 10],
      ['HUSK_TABLE_INGRESS_EXTRA', 11],
      ['HUSK_TABLE_EGRESS_EXTRA', 12],
      ['HUSK_TABLE_INGRESS_CLASSES', 13],
      ['HUSK_TABLE_EGRESS_CLASSES', 14],
      ['HUSK_TABLE_ADDITIONS4', 15],
      ['HUSK_TABLE_ADDITIONS6', 16],
      ['HUSK_TABLE_BIG4', 20],
      ['HUSK_TABLE_BIG6', 28],
      ['HUSK_TABLE_OPERATIONS', 36],
      ['HUSK_TABLE_PROGRAMS', 37],
      ['HUSK_TABLE_USERS', 38],
      ['HUSK_TABLE_APPLETS', 39],
      ['HUSK_TABLE_DECISIONS', 40],
      ['HUSK_TABLE_COUNT', 41],
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
      ['HUSK_TOTAL_DEFERRED', 11],
      ['HUSK_TOTAL_REJECTS_SENT', 12],
      ['HUSK_TOTAL_REJECTS_SUPPRESSED', 13],
      ['HUSK_TOTAL_TRACES_LOST', 17],
      ['HUSK_TOTAL_COOKIES_SENT', 18],
      ['HUSK_TOTAL_COOKIES_GOOD', 19],
      ['HUSK_TOTAL_COOKIES_BAD', 20],
      ['HUSK_TOTAL_OWN_SOURCE', 21],
      ['HUSK_TOTAL_TASKS_UNKNOWN', 24],
      ['HUSK_TOTAL_TASKS_FOUND', 25],
      ['HUSK_TOTAL_OBSERVED_SUPPRESSED', 26],
      ['HUSK_TOTAL_SELF_REFUSED', 30],
      ['HUSK_TOTAL_COUNT', 32],
    ] },
    { name: 'husk_event_kind', values: [
      ['HUSK_EVENT_PACKET', 1],
      ['HUSK_EVENT_CALL', 2],
      ['HUSK_EVENT_TRACE', 3],
      ['HUSK_EVENT_OPERATION', 4],
    ] },
    { name: 'husk_connection_state', values: [
      ['HUSK_CONNECTION_NONE', 0],
      ['HUSK_CONNECTION_NEW', 1],
      ['HUSK_CONNECTION_ESTABLISHED', 2],
      ['HUSK_CONNECTION_RELATED', 3],
      ['HUSK_CONNECTION_INVALID', 4],
    ] },
    { name: 'husk_connection_timeout', values: [
      ['HUSK_TIMEOUT_TCP_OPENING', 0],
      ['HUSK_TIMEOUT_TCP_ESTABLISHED', 1],
      ['HUSK_TIMEOUT_TCP_CLOSING', 2],
      ['HUSK_TIMEOUT_UDP_ONE_WAY', 3],
      ['HUSK_TIMEOUT_UDP', 4],
      ['HUSK_TIMEOUT_ICMP', 5],
      ['HUSK_TIMEOUT_OTHER', 6],
      ['HUSK_TIMEOUT_COUNT', 8],
    ] },
    { name: 'husk_connection_count', values: [
      ['HUSK_COUNT_OPENED', 0],
      ['HUSK_COUNT_EVICTED_ONE_WAY', 1],
      ['HUSK_COUNT_EVICTED', 2],
      ['HUSK_COUNT_UNFOLLOWED', 3],
      ['HUSK_COUNT_VOIDED', 4],
      ['HUSK_COUNT_RATES_EVICTED', 5],
      ['HUSK_COUNT_COUNT', 8],
    ] },
    { name: 'husk_limit_per', values: [
      ['HUSK_LIMIT_PER_RULE', 1],
      ['HUSK_LIMIT_PER_SOURCE', 2],
      ['HUSK_LIMIT_PER_FLOW', 3],
    ] },
    { name: 'husk_limit_over', values: [
      ['HUSK_LIMIT_OVER_DROP', 1],
      ['HUSK_LIMIT_OVER_NEXT', 2],
    ] },
    { name: 'husk_course', values: [
      ['HUSK_COURSE_THROUGH', 0],
      ['HUSK_COURSE_DEVICE', 1],
    ] },
    { name: 'husk_reject_with', values: [
      ['HUSK_REJECT_USUAL', 0],
      ['HUSK_REJECT_TCP_RESET', 1],
      ['HUSK_REJECT_PORT', 2],
      ['HUSK_REJECT_HOST', 3],
      ['HUSK_REJECT_NET', 4],
      ['HUSK_REJECT_ADMIN', 5],
    ] },
    { name: 'husk_operation', values: [
      ['HUSK_OPERATION_EXEC', 1],
      ['HUSK_OPERATION_LOAD', 2],
      ['HUSK_OPERATION_READ', 3],
      ['HUSK_OPERATION_WRITE', 4],
      ['HUSK_OPERATION_CREATE', 5],
      ['HUSK_OPERATION_DELETE', 6],
      ['HUSK_OPERATION_RENAME', 7],
      ['HUSK_OPERATION_LINK', 8],
      ['HUSK_OPERATION_CHMOD', 9],
      ['HUSK_OPERATION_MOUNT', 10],
      ['HUSK_OPERATION_SETUID', 11],
      ['HUSK_OPERATION_CAPABILITY', 12],
      ['HUSK_OPERATION_PTRACE', 13],
      ['HUSK_OPERATION_USERNS', 14],
      ['HUSK_OPERATION_MODULE', 15],
      ['HUSK_OPERATION_BPF', 16],
      ['HUSK_OPERATION_KEXEC', 17],
      ['HUSK_OPERATION_PERF', 18],
      ['HUSK_OPERATION_LOCKDOWN', 19],
      ['HUSK_OPERATION_WRITE_EXECUTE', 20],
      ['HUSK_OPERATION_SOCKET', 21],
      ['HUSK_OPERATION_BIND', 22],
      ['HUSK_OPERATION_LISTEN', 23],
      ['HUSK_OPERATION_CONNECT', 24],
      ['HUSK_OPERATION_COUNT', 32],
    ] },
    { name: 'husk_object_kind', values: [
      ['HUSK_OBJECT_ANY', 1],
      ['HUSK_OBJECT_PATH', 2],
      ['HUSK_OBJECT_UNDER', 3],
      ['HUSK_OBJECT_APPLET', 4],
      ['HUSK_OBJECT_TRAIT', 5],
      ['HUSK_OBJECT_NUMBER', 6],
      ['HUSK_OBJECT_DEFAULT', 7],
    ] },
    { name: 'husk_trait', values: [
      ['HUSK_TRAIT_MEMFD', 1],
      ['HUSK_TRAIT_DELETED', 2],
      ['HUSK_TRAIT_SETUID', 3],
      ['HUSK_TRAIT_UNRESOLVED', 4],
      ['HUSK_TRAIT_UNLISTED_APPLET', 5],
    ] },
    { name: 'husk_self_open', values: [
      ['HUSK_SELF_SHUT', 0],
      ['HUSK_SELF_OPEN_LOGINS', 1],
      ['HUSK_SELF_OPEN_ALL', 2],
    ] },
    { name: 'husk_self_kind', values: [
      ['HUSK_SELF_MAP', 1],
      ['HUSK_SELF_BPF_PROGRAM', 2],
      ['HUSK_SELF_LINK', 3],
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
