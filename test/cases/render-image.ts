// A table image as readable lines: what the `tables` section of a case is compared with.

import { formatBytes } from '../../agent/policy/addresses.ts';
import type { Table, TableImage } from '../../agent/policy/table-image.ts';
import {
  decodeHuskCallList,
  decodeHuskRuleList,
  decodeHuskZone,
  HUSK_MATCH_PORTS,
  HUSK_MATCH_PROTOCOL,
  HUSK_MATCH_TCP_FLAGS,
  HUSK_NOT_FROM,
  HUSK_NOT_TO,
  HuskTable,
} from '../../bpf/abi/layout.gen.ts';

const view = (bytes: Uint8Array) => new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);

/** `name`: of a counter's index. */
export function renderImage(image: TableImage, name: (index: number) => string): readonly string[] {
  return [...image.tables.flatMap((table) => renderTable(table, name)), `unparseable ${image.unparseable}`];
}

function renderTable(table: Table, name: (index: number) => string): readonly string[] {
  switch (table.kind) {
    case HuskTable.ZONES:
      return renderZones(table, name);
    case HuskTable.INGRESS:
      return renderRules('ingress', table, name);
    case HuskTable.EGRESS:
      return renderRules('egress', table, name);
    case HuskTable.SET4:
      return renderSets('set4', table);
    case HuskTable.SET6:
      return renderSets('set6', table);
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

const verdictWords: Readonly<Record<number, string>> = { 1: 'allow', 2: 'drop', 3: 'deny' };
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
    return `zone ${ifindex}: bit ${zone.zoneBit} ingress ${ingress} egress ${egress}`;
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

function renderRules(what: string, table: Table, name: (index: number) => string): readonly string[] {
  const { count, rules } = decodeHuskRuleList(view(table.values), 0);
  return rules.slice(0, count).map((rule) => {
    const from = address(rule.fromSets, rule.saddr, rule.smask, bit(rule.flags, HUSK_NOT_FROM));
    const to = address(rule.toSets, rule.daddr, rule.dmask, bit(rule.flags, HUSK_NOT_TO));
    const parts = [
      `zones ${rule.zones} families ${rule.families}`,
      from === '' ? '' : `from ${from}`,
      to === '' ? '' : `to ${to}`,
      bit(rule.flags, HUSK_MATCH_PROTOCOL) ? `protocol ${rule.ipProto}` : '',
      bit(rule.flags, HUSK_MATCH_PORTS)
        ? `ports ${range(rule.sportFirst, rule.sportLast)} > ${range(rule.dportFirst, rule.dportLast)}`
        : '',
      bit(rule.flags, HUSK_MATCH_TCP_FLAGS) ? `flags ${rule.tcpFlagsValue}/${rule.tcpFlagsMask}` : '',
      `${verdictWords[rule.verdict]}${modeWords[rule.mode]} by ${name(rule.rule)}`,
    ];
    return `${what}: ${parts.filter((part) => part !== '').join(' ')}`;
  });
}

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
