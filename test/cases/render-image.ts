// A table image as readable lines: what the `tables` section of a case is compared with.

import { formatBytes } from '../../agent/policy/addresses.ts';
import type { Table, TableImage } from '../../agent/policy/table-image.ts';
import {
  decodeHuskCallList,
  decodeHuskExtra,
  decodeHuskRule,
  decodeHuskZone,
  HUSK_MATCH_PORTS,
  HUSK_MATCH_PROTOCOL,
  HUSK_NOT_TO,
  HuskTable,
  HuskVerdict,
} from '../../bpf/abi/layout.gen.ts';

const view = (bytes: Uint8Array) => new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);

/** `name`: of a counter's index. */
export function renderImage(image: TableImage, name: (index: number) => string): readonly string[] {
  const unparseable = verdictWords[image.settings.unparseableVerdict];
  return [...image.tables.flatMap((table) => renderTable(table, image, name)), `unparseable ${unparseable}`];
}

function renderTable(table: Table, image: TableImage, name: (index: number) => string): readonly string[] {
  switch (table.kind) {
    case HuskTable.ZONES:
      return renderZones(table, name);
    case HuskTable.INGRESS:
      return renderRules('ingress', table, extrasOf(image, HuskTable.INGRESS_EXTRA), name);
    case HuskTable.EGRESS:
      return renderRules('egress', table, extrasOf(image, HuskTable.EGRESS_EXTRA), name);
    case HuskTable.CALLS:
      return renderCalls(table, name);
    case HuskTable.CALL_SET4:
      return renderSets('call-set4', table);
    case HuskTable.CALL_SET6:
      return renderSets('call-set6', table);
    default:
      return [];
  }
}

const verdictWords: Readonly<Record<number, string>> = {
  [HuskVerdict.ALLOW]: 'allow',
  [HuskVerdict.DROP]: 'drop',
  [HuskVerdict.DENY]: 'deny',
  [HuskVerdict.REJECT]: 'reject',
  [HuskVerdict.LOG]: 'log',
};
const modeWords: Readonly<Record<number, string>> = { 1: ' monitor', 2: '' };
const noRule = 0xffffffff;

function renderZones(table: Table, name: (index: number) => string): readonly string[] {
  return Array.from({ length: table.count }, (_, index) => {
    const ifindex = view(table.keys).getUint32(index * table.keySize, true);
    const zone = decodeHuskZone(view(table.values), index * table.valueSize);
    const side = (rule: number, verdict: number, mode: number) =>
      `${verdictWords[verdict]}${modeWords[mode]} by ${rule === noRule ? '-' : name(rule)}`;
    const ingress = side(zone.ingressDefaultRule, zone.ingressDefault, zone.ingressMode);
    const egress = side(zone.egressDefaultRule, zone.egressDefault, zone.egressMode);
    return `zone ${ifindex}: number ${zone.zone} ingress ${ingress} egress ${egress}`;
  });
}

const bit = (flags: number, flag: number) => (flags & flag) !== 0;
const range = (first: number, last: number) => (first === last ? `${first}` : `${first}-${last}`);
const bits = (mask: bigint) => `set ${mask.toString(2)}`;

function address(set: bigint, value: Uint8Array, mask: Uint8Array, not: boolean): string {
  if (set !== 0n) return `${not ? 'not ' : ''}${bits(set)}`;
  const length = [...mask].reduce((sum, byte) => sum + byte.toString(2).replaceAll('0', '').length, 0);
  if (length === 0) return '';
  const text = formatBytes(value);
  return `${not ? 'not ' : ''}${text}/${text.includes(':') ? length : length - 96}`;
}

const extrasOf = (image: TableImage, kind: number) =>
  image.tables.find((table) => table.kind === kind) ?? null;

/** What the classes tell apart is not in the rows; that is shown by judging. */
function renderRules(
  what: string,
  table: Table,
  extras: Table | null,
  name: (index: number) => string,
): readonly string[] {
  return Array.from({ length: table.count }, (_, index) => {
    const rule = decodeHuskRule(view(table.values), index * table.valueSize);
    if (rule.verdict === 0) return [];
    const extra =
      rule.extra === 0 || extras === null
        ? ''
        : ` with ${JSON.stringify(decodeHuskExtra(view(extras.values), rule.extra * extras.valueSize), shown)}`;
    return [`${what}: ${verdictWords[rule.verdict]}${modeWords[rule.mode]} by ${name(rule.rule)}${extra}`];
  }).flat();
}

const shown = (_: string, value: unknown) => (typeof value === 'bigint' ? String(value) : value);

function renderCalls(table: Table, name: (index: number) => string): readonly string[] {
  const { count, rules } = decodeHuskCallList(view(table.values), 0);
  return rules.slice(0, count).map((rule) => {
    const to = address(rule.toSets, rule.addr, rule.mask, bit(rule.flags, HUSK_NOT_TO));
    const parts = [
      `calls ${rule.calls} subjects ${rule.subjects.toString(2)}`,
      rule.families === 0 ? '' : `families ${rule.families}`,
      to === '' ? '' : `to ${to}`,
      bit(rule.flags, HUSK_MATCH_PROTOCOL) ? `protocol ${rule.ipProto}` : '',
      bit(rule.flags, HUSK_MATCH_PORTS) ? `ports ${range(rule.portFirst, rule.portLast)}` : '',
      rule.socketFamilies === 0 ? '' : `families ${rule.socketFamilies.toString(2)}`,
      rule.socketTypes === 0 ? '' : `types ${rule.socketTypes.toString(2)}`,
      `${verdictWords[rule.verdict]}${modeWords[rule.mode]} by ${name(rule.rule)}`,
    ];
    return `call: ${parts.filter((part) => part !== '').join(' ')}`;
  });
}

function renderSets(what: string, table: Table): readonly string[] {
  return Array.from({ length: table.count }, (_, index) => {
    const key = table.keys.subarray(index * table.keySize, (index + 1) * table.keySize);
    const mask = view(table.values).getBigUint64(index * table.valueSize, true);
    return `${what}: ${formatBytes(key.subarray(4))}/${view(key).getUint32(0, true)} ${bits(mask)}`;
  });
}
