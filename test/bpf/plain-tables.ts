// Tables from plain objects: what goes into a slot, said in a test's own words and built by the agent's builders.

import { classesTable } from '../../agent/policy/classes-table.ts';
import {
  anyDevice,
  anyFragment,
  anyState,
  anyZone,
  type ClassifierEntry,
} from '../../agent/policy/classifier/entry.ts';
import {
  type AddressRanges,
  allAddresses,
  complement,
  isEmpty,
  rangesFrom,
} from '../../agent/policy/ranges.ts';
import { buildSet, setArray } from '../../agent/policy/set-tables/set-image.ts';
import type { Table } from '../../agent/policy/table-image.ts';
import {
  hashTable,
  mapTypes,
  noPrealloc,
  type Row,
  rowsTable,
  wideTable,
} from '../../agent/policy/tables.ts';
import {
  encodeHuskCallList,
  encodeHuskDeferred,
  encodeHuskExtra,
  encodeHuskGeneration,
  encodeHuskPrefix4,
  encodeHuskPrefix6,
  encodeHuskRule,
  encodeHuskZone,
  HUSK_BIG_SETS_MAX,
  HUSK_CALL_BIND,
  HUSK_CALL_CONNECT,
  HUSK_CALL_SOCKET,
  HUSK_CGROUPS_MAX,
  HUSK_DEFERRED_MAX,
  HUSK_EXTRA_MACS,
  HUSK_FAMILY_IPV4,
  HUSK_FAMILY_IPV6,
  HUSK_FAMILY_OTHER,
  HUSK_INTERFACES_MAX,
  HUSK_LINK_ETHERNET,
  HUSK_NEVER_DROP_ARP,
  HUSK_NEVER_DROP_DHCP_CLIENT,
  HUSK_NEVER_DROP_DHCP_SERVER,
  HUSK_NEVER_DROP_NEIGHBOURS,
  HUSK_PREFIXES_MAX,
  HUSK_RULE_NONE,
  HUSK_SET_USES_MAX,
  HuskCallList,
  type HuskCallRule,
  type HuskConnectionSettings,
  HuskDeferred,
  HuskExtra,
  HuskGeneration,
  HuskLimitOver,
  HuskLimitPer,
  HuskMode,
  HuskPrefix4,
  HuskPrefix6,
  HuskRule,
  type HuskSetUse,
  HuskTable,
  HuskVerdict,
  HuskZone,
} from '../../bpf/abi/layout.gen.ts';
import { addressBytes } from '../lab/frame.ts';

/** A zone of an interface; default: zone 0, both defaults an enforced allow, all of never-drop but replies. */
export type PlainZone = Partial<HuskZone>;

/** A rule; what is left out asks for nothing. */
export type PlainRule = Omit<Partial<HuskRule>, 'extra'> & {
  /** Prefixes, or a name of `sets`, whose table the program looks up. */
  readonly from?: PlainAddresses;
  readonly to?: PlainAddresses;
  /** HUSK_FAMILY_ bits. */
  readonly families?: number;
  readonly protocols?: readonly number[];
  /** First and last. */
  readonly sports?: PlainRange;
  readonly dports?: PlainRange;
  /** First and last of type << 8 | code. */
  readonly icmp?: PlainRange;
  readonly tcpFlags?: { readonly mask: number; readonly value: number };
  /** Bit masks, as the classes have them. */
  readonly zones?: number;
  readonly states?: number;
  readonly device?: number;
  readonly fragments?: number;
  readonly extra?: Partial<HuskExtra>;
};
export type PlainRange = readonly [first: number, last: number];
export type PlainAddresses =
  | string
  | { readonly not: string }
  | { readonly set: string; readonly not?: boolean };
export type PlainCallRule = Omit<Partial<HuskCallRule>, 'addr' | 'mask'> & { readonly to?: string };

/** What goes into a slot. Tables that are left out are there and empty; `without` leaves kinds out for good. */
export interface PlainGeneration {
  readonly serial?: bigint;
  readonly id?: number;
  readonly unparseable?: HuskVerdict;
  readonly connections?: Partial<HuskConnectionSettings>;
  readonly zones?: Readonly<Record<number, PlainZone>>;
  /** Parent and VLAN id to the interface that lies on it. */
  readonly deferred?: readonly { readonly parent: number; readonly id: number; readonly to: number }[];
  readonly ingress?: readonly PlainRule[];
  readonly egress?: readonly PlainRule[];
  /** Big sets: prefixes by name, at most HUSK_BIG_SETS_MAX. */
  readonly sets?: Readonly<Record<string, readonly string[]>>;
  readonly subjects?: ReadonlyMap<bigint, bigint>;
  readonly calls?: readonly PlainCallRule[];
  readonly callSets?: Readonly<Record<string, bigint>>;
  /** `HuskTable` kinds. */
  readonly without?: readonly number[];
}

const { INGRESS, EGRESS, INGRESS_EXTRA, EGRESS_EXTRA, INGRESS_CLASSES, EGRESS_CLASSES } = HuskTable;

/** In order of kind. */
export function plainTables(generation: PlainGeneration): readonly Table[] {
  const { sets = {}, without = [] } = generation;
  const numbers = new Map(Object.keys(sets).map((name, number) => [name, number]));
  const ingress = new Direction('ingress', generation.ingress ?? [], numbers);
  const egress = new Direction('egress', generation.egress ?? [], numbers);
  const tables = [
    generationTable(generation, ingress.uses, egress.uses),
    zonesTable(generation),
    deferredTable(generation),
    ...ingress.tables(INGRESS, INGRESS_EXTRA, INGRESS_CLASSES),
    ...egress.tables(EGRESS, EGRESS_EXTRA, EGRESS_CLASSES),
    ...Object.values(sets).flatMap(setTables),
    additionsTable(HuskTable.ADDITIONS4, 12),
    additionsTable(HuskTable.ADDITIONS6, 24),
    ...callTables(generation),
  ];
  return tables.filter(({ kind }) => !without.includes(kind)).toSorted((a, b) => a.kind - b.kind);
}

/** The rules of one direction, and which sets they ask for. */
class Direction {
  readonly uses: HuskSetUse[] = [];
  readonly #name: 'ingress' | 'egress';
  readonly #entries: ClassifierEntry[];
  readonly #rules: HuskRule[] = [];
  readonly #extras: HuskExtra[] = [];
  readonly #sets: ReadonlyMap<string, number>;

  constructor(name: 'ingress' | 'egress', rules: readonly PlainRule[], sets: ReadonlyMap<string, number>) {
    this.#name = name;
    this.#sets = sets;
    this.#entries = rules.map((rule, row) => ({ ...this.#entryOf(rule), row }));
    for (const rule of rules) this.#rules.push(this.#rowOf(rule));
  }

  tables(rules: number, extra: number, classes: number): readonly Table[] {
    return [
      rowsTable(rules, HuskRule.size, this.#rules, encodeHuskRule),
      rowsTable(extra, HuskExtra.size, this.#extras, encodeHuskExtra, 1),
      classesTable(classes, this.#name, this.#entries),
    ];
  }

  #entryOf(rule: PlainRule): Omit<ClassifierEntry, 'row'> {
    const from = rangesOf(rule.from);
    const to = rangesOf(rule.to);
    const asksIp =
      rule.from !== undefined || rule.to !== undefined || (rule.states ?? rule.device) !== undefined;
    const families = rule.families ?? HUSK_FAMILY_IPV4 | HUSK_FAMILY_IPV6 | HUSK_FAMILY_OTHER;
    const pair = (family: 'ipv4' | 'ipv6', bit: number) =>
      families & bit ? { from: from[family], to: to[family] } : null;
    const sets = [this.#setBit(rule.from, 0), this.#setBit(rule.to, 1)];
    const { icmp, sports = [0, 0xffff], dports = [0, 0xffff] } = rule;
    const asksPorts = rule.sports !== undefined || rule.dports !== undefined;
    const meant = rule.tcpFlags === undefined ? (asksPorts ? [6, 17, 132, 136] : null) : [6];
    const protocols = icmp === undefined ? (rule.protocols ?? meant) : [families & HUSK_FAMILY_IPV4 ? 1 : 58];
    const ports = icmp === undefined ? { from: [rangeOf(sports)], to: [rangeOf(dports)] } : portsOfIcmp(icmp);
    return {
      ipv4: pair('ipv4', HUSK_FAMILY_IPV4),
      ipv6: pair('ipv6', HUSK_FAMILY_IPV6),
      other: (families & HUSK_FAMILY_OTHER) !== 0 && !asksIp,
      protocols,
      ports: asksPorts || icmp !== undefined ? ports : null,
      zones: rule.zones ?? anyZone,
      states: rule.states ?? anyState,
      device: rule.device ?? anyDevice,
      fragments: rule.fragments ?? anyFragment,
      sets: {
        care: sets.reduce((bits, one) => bits | one.care, 0),
        value: sets.reduce((bits, one) => bits | one.value, 0),
      },
    };
  }

  #setBit(addresses: PlainAddresses | undefined, side: 0 | 1): { care: number; value: number } {
    if (typeof addresses !== 'object' || !('set' in addresses)) return { care: 0, value: 0 };
    const set = this.#sets.get(addresses.set);
    if (set === undefined) throw new Error(`no set ${addresses.set}`);
    let bit = this.uses.findIndex((use) => use.set === set && use.side === side);
    if (bit < 0) bit = this.uses.push({ set, side, hasAdditions: 0 }) - 1;
    return { care: 1 << bit, value: addresses.not ? 0 : 1 << bit };
  }

  #rowOf(rule: PlainRule): HuskRule {
    const { verdict = HuskVerdict.ALLOW, mode = HuskMode.ENFORCE, flags = 0, logSample = 0 } = rule;
    const { rejectWith = 0, tcpFlags, extra } = rule;
    let at = 0;
    if (extra !== undefined || tcpFlags !== undefined) {
      const flag = tcpFlags === undefined ? 0 : 32;
      at = this.#extras.push({
        ...plainExtra,
        tcpFlagsMask: tcpFlags?.mask ?? 0,
        tcpFlagsValue: tcpFlags?.value ?? 0,
        ...extra,
        flags: flag | (extra?.flags ?? 0),
      });
    }
    return { rule: rule.rule ?? HUSK_RULE_NONE, extra: at, verdict, mode, rejectWith, flags, logSample };
  }
}

const rangeOf = ([first, last]: PlainRange) => ({ first, last });
const portsOfIcmp = (icmp: PlainRange) => ({ from: [{ first: 0, last: 0 }], to: [rangeOf(icmp)] });

const noMacs: readonly bigint[] = new Array<bigint>(HUSK_EXTRA_MACS).fill(0n);
/** Asks for nothing. */
const plainExtra: HuskExtra = {
  smac: noMacs,
  dmac: noMacs,
  limit: {
    costNs: 0n,
    depthNs: 0n,
    digest: 0n,
    per: HuskLimitPer.RULE,
    over: HuskLimitOver.NEXT,
    prefix4: 0,
    prefix6: 0,
  },
  origins: 0xffff_ffff,
  interfaceCare: 0,
  interfaceValue: 0,
  outerVlanFirst: 0,
  outerVlanLast: 0xffff,
  innerVlanFirst: 0,
  innerVlanLast: 0xffff,
  etherTypeFirst: 0,
  etherTypeLast: 0xffff,
  lengthFirst: 0,
  lengthLast: 0xffff,
  dscpFirst: 0,
  dscpLast: 255,
  tcpFlagsMask: 0,
  tcpFlagsValue: 0,
  flags: 0,
};

function rangesOf(addresses: PlainAddresses | undefined): AddressRanges {
  if (addresses === undefined || (typeof addresses === 'object' && 'set' in addresses)) return allAddresses;
  const isNegated = typeof addresses === 'object';
  const ranges = parsed([isNegated ? addresses.not : addresses]);
  return isNegated ? complement(ranges) : ranges;
}

function parsed(entries: readonly string[]): AddressRanges {
  return rangesFrom(entries, (_, fault) => {
    throw new Error(fault);
  });
}

function setTables(prefixes: readonly string[], number: number): readonly Table[] {
  if (number >= HUSK_BIG_SETS_MAX) throw new Error(`at most ${HUSK_BIG_SETS_MAX} sets`);
  const ranges = parsed(prefixes);
  if (isEmpty(ranges)) return [];
  const four =
    ranges.ipv4.length === 0
      ? []
      : [{ kind: HuskTable.BIG4 + number, ...setArray(buildSet(4, ranges.ipv4)) }];
  const six =
    ranges.ipv6.length === 0
      ? []
      : [{ kind: HuskTable.BIG6 + number, ...setArray(buildSet(6, ranges.ipv6)) }];
  return [...four, ...six];
}

function generationTable(
  { serial = 1n, id = 1, unparseable = HuskVerdict.DROP, connections = {} }: PlainGeneration,
  ingress: readonly HuskSetUse[],
  egress: readonly HuskSetUse[],
): Table {
  const filled = (uses: readonly HuskSetUse[]) =>
    Array.from(
      { length: HUSK_SET_USES_MAX },
      (_, at) => uses[at] ?? { set: HUSK_BIG_SETS_MAX, side: 0, hasAdditions: 0 },
    );
  const value = bytesOf(HuskGeneration.size, (view) =>
    encodeHuskGeneration(view, 0, {
      serial,
      digest: new Uint8Array(32),
      tableDigest: [],
      bundleDigest: new Uint8Array(32),
      connections: {
        timeouts: [60, 7440, 30, 30, 120, 30, 600, 0],
        isFollowed: 0,
        isLoose: 1,
        ...connections,
      },
      services: [],
      ingressSets: filled(ingress),
      egressSets: filled(egress),
      synLimits: [],
      id,
      unparseableVerdict: unparseable,
    }),
  );
  return wideTable(HuskTable.GENERATION, value);
}

const plainZone: HuskZone = {
  zone: 0,
  ingressDefaultRule: HUSK_RULE_NONE,
  egressDefaultRule: HUSK_RULE_NONE,
  interfaceBits: 0,
  synCookiesRule: HUSK_RULE_NONE,
  ingressDefault: HuskVerdict.ALLOW,
  ingressMode: HuskMode.ENFORCE,
  egressDefault: HuskVerdict.ALLOW,
  egressMode: HuskMode.ENFORCE,
  link: HUSK_LINK_ETHERNET,
  neverDrop:
    HUSK_NEVER_DROP_ARP |
    HUSK_NEVER_DROP_NEIGHBOURS |
    HUSK_NEVER_DROP_DHCP_CLIENT |
    HUSK_NEVER_DROP_DHCP_SERVER,
  flags: 0,
};

function zonesTable({ zones = {} }: PlainGeneration): Table {
  const rows = Object.entries(zones).map(([ifindex, zone]) => ({
    key: u32(Number(ifindex)),
    value: bytesOf(HuskZone.size, (view) => encodeHuskZone(view, 0, { ...plainZone, ...zone })),
  }));
  const sizes = { keySize: 4, valueSize: HuskZone.size, maxEntries: HUSK_INTERFACES_MAX };
  return hashTable(HuskTable.ZONES, sizes, rows);
}

function deferredTable({ deferred = [] }: PlainGeneration): Table {
  const rows = deferred.map(({ parent, id, to }) => ({
    key: bytesOf(HuskDeferred.size, (view) =>
      encodeHuskDeferred(view, 0, { ifindex: parent, vlan: id | 0x1000 }),
    ),
    value: u32(to),
  }));
  const sizes = { keySize: HuskDeferred.size, valueSize: 4, maxEntries: HUSK_DEFERRED_MAX };
  return hashTable(HuskTable.DEFERRED, sizes, rows);
}

function additionsTable(kind: number, keySize: number): Table {
  return trie(kind, keySize, 16, []);
}

function trie(kind: number, keySize: number, valueSize: number, rows: readonly Row[]): Table {
  const sizes = { keySize, valueSize, maxEntries: HUSK_PREFIXES_MAX };
  return { ...hashTable(kind, sizes, rows), mapType: mapTypes.lpmTrie, mapFlags: noPrealloc };
}

function callTables({ calls = [], callSets = {}, subjects = new Map() }: PlainGeneration): readonly Table[] {
  const rows = [...subjects].map(([cgroup, mask]) => ({ key: u64(cgroup), value: u64(mask) }));
  return [
    hashTable(HuskTable.SUBJECTS, { keySize: 8, valueSize: 8, maxEntries: HUSK_CGROUPS_MAX }, rows),
    wideTable(
      HuskTable.CALLS,
      bytesOf(HuskCallList.size, (view) =>
        encodeHuskCallList(view, 0, { count: calls.length, rules: calls.map(callRule) }),
      ),
    ),
    trie(HuskTable.CALL_SET4, HuskPrefix4.size, 8, prefixes(callSets, 4)),
    trie(HuskTable.CALL_SET6, HuskPrefix6.size, 8, prefixes(callSets, 16)),
  ];
}

function callRule({ to = '::/0', ...rule }: PlainCallRule): HuskCallRule {
  const [addr, mask] = maskedPrefix(to);
  return {
    subjects: 0xffff_ffff_ffff_ffffn,
    toSets: 0n,
    rule: HUSK_RULE_NONE,
    socketFamilies: 0,
    portFirst: 0,
    portLast: 0xffff,
    socketTypes: 0,
    families: 0,
    ipProto: 0,
    calls: HUSK_CALL_CONNECT | HUSK_CALL_BIND | HUSK_CALL_SOCKET,
    flags: 0,
    verdict: HuskVerdict.ALLOW,
    mode: HuskMode.ENFORCE,
    isDefault: 0,
    ...rule,
    addr,
    mask,
  };
}

/** `192.0.2.0/24` as 16 bytes of address and of mask, IPv4 mapped. */
function maskedPrefix(prefix: string): [address: Uint8Array, mask: Uint8Array] {
  const { bytes, length } = splitPrefix(prefix);
  const mapped = bytes.length === 4 ? [...Array(10).fill(0), 0xff, 0xff, ...bytes] : [...bytes];
  const bits = length + (bytes.length === 4 ? 96 : 0);
  const mask = Uint8Array.from(
    { length: 16 },
    (_, at) => 256 - 2 ** (8 - Math.min(8, Math.max(0, bits - at * 8))),
  );
  return [Uint8Array.from(mapped, (byte, at) => byte & (mask[at] ?? 0)), mask];
}

function prefixes(sets: Readonly<Record<string, bigint>>, bytes: 4 | 16): readonly Row[] {
  const entries = Object.entries(sets).map(([prefix, mask]) => ({ ...splitPrefix(prefix), mask }));
  return entries
    .filter((entry) => entry.bytes.length === bytes)
    .map(({ bytes: addr, length: prefixlen, mask }) => {
      const encode = addr.length === 4 ? encodeHuskPrefix4 : encodeHuskPrefix6;
      const key = bytesOf(4 + addr.length, (view) => encode(view, 0, { prefixlen, addr }));
      return { key, value: u64(mask) };
    });
}

function splitPrefix(prefix: string): { bytes: Uint8Array; length: number } {
  const [address = '', length] = prefix.split('/');
  const bytes = addressBytes(address);
  return { bytes, length: length === undefined ? bytes.length * 8 : Number(length) };
}

function bytesOf(size: number, encode: (view: DataView) => void): Uint8Array {
  const bytes = new Uint8Array(size);
  encode(new DataView(bytes.buffer));
  return bytes;
}

function u32(number: number): Uint8Array {
  return new Uint8Array(Uint32Array.of(number).buffer);
}
function u64(number: bigint): Uint8Array {
  return new Uint8Array(BigUint64Array.of(number).buffer);
}
