// PacketPolicy documents to the tables that judge packets.

import {
  encodeHuskRuleList,
  encodeHuskZone,
  HUSK_FAMILY_IPV4,
  HUSK_FAMILY_IPV6,
  HUSK_FAMILY_OTHER,
  HUSK_INTERFACES_MAX,
  HUSK_MATCH_PORTS,
  HUSK_MATCH_PROTOCOL,
  HUSK_MATCH_TCP_FLAGS,
  HUSK_NOT_FROM,
  HUSK_NOT_TO,
  HUSK_RULE_NONE,
  HUSK_RULES_MAX,
  HUSK_ZONES_MAX,
  HuskMode,
  type HuskRule,
  HuskRuleList,
  HuskTable,
  HuskVerdict,
  HuskZone,
} from '../../bpf/abi/layout.gen.ts';
import type { PacketPolicy, PacketRule } from '../contract/policy.ts';
import { addressCondition } from './address-condition.ts';
import { matchesGlob } from './globs.ts';
import { type Direction, directions, effectiveMode, ruleId, zoneDefaultId } from './ids.ts';
import { allPorts, type PortRange } from './ports.ts';
import { type PacketFamily, packetReach } from './reach.ts';
import { SetTable } from './set-table.ts';
import type { SetResolver } from './sets.ts';
import type { AddRule, CompiledSet, DeviceFacts, Table } from './table-image.ts';
import { hashTable, holdTo, wideTable } from './tables.ts';

interface CompiledZone {
  readonly name: string;
  readonly interfaces: readonly string[];
  readonly value: HuskZone;
}

/** An entry of a table, and the rule it is of. */
interface Entry {
  readonly id: string;
  readonly rule: HuskRule;
}

interface ZoneDefault {
  readonly rule: number;
  readonly verdict: number;
  readonly mode: number;
}

/** A direction of which the policy says nothing: all is allowed, and no rule is counted. */
const noDefault: ZoneDefault = { rule: HUSK_RULE_NONE, verdict: HuskVerdict.ALLOW, mode: HuskMode.ENFORCE };
const verdicts = { allow: HuskVerdict.ALLOW, drop: HuskVerdict.DROP } as const;
const modes = { monitor: HuskMode.MONITOR, enforce: HuskMode.ENFORCE } as const;

export class PacketCompiler {
  readonly #resolver: SetResolver;
  readonly #addRule: AddRule;
  readonly #setTable = new SetTable('packet rules');
  readonly #zones: CompiledZone[] = [];
  readonly #entries: Record<Direction, Entry[]> = { ingress: [], egress: [] };
  #dropsUnparseable = false;

  constructor(resolver: SetResolver, addRule: AddRule) {
    this.#resolver = resolver;
    this.#addRule = addRule;
  }

  add(document: PacketPolicy): void {
    const { spec } = document;
    const names = Object.keys(spec.zones);
    holdTo(HUSK_ZONES_MAX, this.#zones.length + names.length, 'zones', () => {
      return { document, path: ['spec', 'zones', names[HUSK_ZONES_MAX - this.#zones.length] ?? ''] };
    });
    const bits = new Map(names.map((name, index) => [name, 1 << (this.#zones.length + index)]));
    const mode = spec.mode === 'enforce' ? 'enforce' : 'monitor';
    const defaults = new Map<string, ZoneDefault>();
    for (const direction of directions) {
      for (const list of spec[direction]) {
        for (const rule of list.rules)
          this.#addPacketRule(document, direction, bits.get(list.zone) ?? 0, rule);
        const id = zoneDefaultId(document, list.zone, direction);
        const rule = this.#addRule({ id, at: direction, mode, verdict: list.default });
        defaults.set(`${direction} ${list.zone}`, {
          rule,
          verdict: verdicts[list.default],
          mode: modes[mode],
        });
      }
    }
    for (const [name, { interfaces }] of Object.entries(spec.zones)) {
      const ingress = defaults.get(`ingress ${name}`) ?? noDefault;
      const egress = defaults.get(`egress ${name}`) ?? noDefault;
      const value: HuskZone = {
        zoneBit: bits.get(name) ?? 0,
        ingressDefaultRule: ingress.rule,
        egressDefaultRule: egress.rule,
        ingressDefault: ingress.verdict,
        ingressMode: ingress.mode,
        egressDefault: egress.verdict,
        egressMode: egress.mode,
      };
      this.#zones.push({ name, interfaces, value });
    }
    if (mode === 'enforce' && spec.unparseable !== 'allow') this.#dropsUnparseable = true;
  }

  #addPacketRule(document: PacketPolicy, direction: Direction, zones: number, rule: PacketRule): void {
    const mode = effectiveMode(document.spec.mode, rule.mode);
    if (mode === 'off') return;
    const id = ruleId(document, rule);
    const index = this.#addRule({ id, at: direction, mode, verdict: rule.action });
    const from = rule.from === undefined ? null : this.#resolver.match(document, rule.from);
    const to = rule.to === undefined ? null : this.#resolver.match(document, rule.to);
    const reach = packetReach(rule, from, to);
    const source = addressCondition(from, this.#setTable, id);
    const destination = addressCondition(to, this.#setTable, id);
    const common: HuskRule = {
      fromSets: source.sets,
      toSets: destination.sets,
      saddr: source.address,
      smask: source.mask,
      daddr: destination.address,
      dmask: destination.mask,
      zones,
      rule: index,
      sportFirst: allPorts.first,
      sportLast: allPorts.last,
      dportFirst: allPorts.first,
      dportLast: allPorts.last,
      families: familyBits(reach.families),
      ipProto: reach.protocol ?? 0,
      tcpFlagsMask: reach.tcpFlags?.mask ?? 0,
      tcpFlagsValue: reach.tcpFlags?.value ?? 0,
      flags:
        (reach.protocol === null ? 0 : HUSK_MATCH_PROTOCOL) |
        (reach.ports === null ? 0 : HUSK_MATCH_PORTS) |
        (reach.tcpFlags === null ? 0 : HUSK_MATCH_TCP_FLAGS) |
        (source.not ? HUSK_NOT_FROM : 0) |
        (destination.not ? HUSK_NOT_TO : 0),
      verdict: verdicts[rule.action],
      mode: modes[mode],
    };
    const { from: fromPorts, to: toPorts } = reach.ports ?? { from: [allPorts], to: [allPorts] };
    for (const sport of fromPorts) {
      for (const dport of toPorts) {
        this.#entries[direction].push({ id, rule: { ...common, ...portFields(sport, dport) } });
      }
    }
  }

  tables(facts: DeviceFacts): readonly Table[] {
    return [
      this.#zoneTable(facts),
      ruleTable(HuskTable.INGRESS, this.#entries.ingress, 'entries of ingress rules'),
      ruleTable(HuskTable.EGRESS, this.#entries.egress, 'entries of egress rules'),
      this.#setTable.table4(HuskTable.SET4),
      this.#setTable.table6(HuskTable.SET6),
    ];
  }

  sets(): readonly CompiledSet[] {
    return this.#setTable.named();
  }

  /** One for the device; policies that contradict each other were refused before (check.ts). */
  unparseable(): 'allow' | 'drop' {
    return this.#dropsUnparseable ? 'drop' : 'allow';
  }

  #zoneTable({ interfaces }: DeviceFacts): Table {
    const rows = interfaces.flatMap(({ name, index }) => {
      const zone = this.#zones.find((one) => one.interfaces.some((glob) => matchesGlob(glob, name)));
      if (zone === undefined) return [];
      const key = new Uint8Array(4);
      const value = new Uint8Array(HuskZone.size);
      new DataView(key.buffer).setUint32(0, index, true);
      encodeHuskZone(new DataView(value.buffer), 0, zone.value);
      return [{ key, value }];
    });
    holdTo(HUSK_INTERFACES_MAX, rows.length, 'interfaces in zones');
    const sizes = { keySize: 4, valueSize: HuskZone.size, maxEntries: HUSK_INTERFACES_MAX };
    return hashTable(HuskTable.ZONES, sizes, rows);
  }
}

function ruleTable(kind: number, entries: readonly Entry[], what: string): Table {
  holdTo(HUSK_RULES_MAX, entries.length, what, () => entries[HUSK_RULES_MAX]?.id ?? null);
  const rules = entries.map(({ rule }) => rule);
  const value = new Uint8Array(HuskRuleList.size);
  encodeHuskRuleList(new DataView(value.buffer), 0, { count: rules.length, rules });
  return wideTable(kind, value);
}

const familyNumbers: Record<PacketFamily, number> = {
  ipv4: HUSK_FAMILY_IPV4,
  ipv6: HUSK_FAMILY_IPV6,
  other: HUSK_FAMILY_OTHER,
};
const familyBits = (families: readonly PacketFamily[]) =>
  families.reduce((bits, family) => bits | familyNumbers[family], 0);

const portFields = (sport: PortRange, dport: PortRange) => ({
  sportFirst: sport.first,
  sportLast: sport.last,
  dportFirst: dport.first,
  dportLast: dport.last,
});
