// PacketPolicy documents to the tables that judge packets.
//
// Each rule becomes entries (packet-entries.ts); the entries of a direction, of all zones, become one set of classes
// (classifier/) that leads to them, with rows and extras beside it. Large sets have tables of their own.

import {
  encodeHuskExtra,
  encodeHuskRule,
  HUSK_INTERFACE_CONDITIONS_MAX,
  HUSK_RULE_NONE,
  HUSK_RULE_PER_PACKET,
  HUSK_RULES_MAX,
  HUSK_ZONE_ENFORCES,
  HUSK_ZONE_SYN_COOKIES,
  HUSK_ZONES_MAX,
  HuskExtra,
  HuskMode,
  HuskRejectWith,
  HuskRule,
  type HuskSynLimits,
  HuskTable,
  HuskVerdict,
} from '../../bpf/abi/layout.gen.ts';
import type { PacketPolicy, PacketRule, RejectWith, SynCookies } from '../contract/policy.ts';
import { setTables } from './big-set-tables.ts';
import { classesTable } from './classes-table.ts';
import type { ClassifierEntry } from './classifier/entry.ts';
import { connectionSettings, serviceRows } from './connection-settings.ts';
import { type Following, followInterfaces } from './following.ts';
import { type Direction, directions, effectiveMode, ruleId, synCookiesId, zoneDefaultId } from './ids.ts';
import { type Named, packetConditions } from './packet-conditions.ts';
import { entriesOf, limitOf, type RuleEntry } from './packet-entries.ts';
import { rangeCount } from './ranges.ts';
import { rateOf, synRates } from './rate.ts';
import { SetUses } from './set-uses.ts';
import type { ResolvedSet, SetResolver } from './sets.ts';
import type { AddRule, CompiledSet, DeviceFacts, GenerationSettings, LeftOut, Table } from './table-image.ts';
import { holdTo, rowsTable } from './tables.ts';
import type { CompiledZone } from './zone-table.ts';

/** Entries of one direction, with what the classes lead to. */
class EntryList {
  readonly entries: ClassifierEntry[] = [];
  readonly rules: HuskRule[] = [];
  /** Element 0 stands for nothing. */
  readonly extras: HuskExtra[] = [];
  readonly #known = new Map<string, number>();
  readonly #direction: Direction;

  constructor(direction: Direction) {
    this.#direction = direction;
  }

  add(id: string, { classes, extra }: RuleEntry, rule: Omit<HuskRule, 'extra'>): void {
    holdTo(HUSK_RULES_MAX, this.rules.length + 1, `entries of ${this.#direction} rules`, () => id);
    this.entries.push({ ...classes, row: this.rules.length });
    this.rules.push({ ...rule, extra: extra === null ? 0 : this.#extraIndex(extra) });
  }

  #extraIndex(extra: HuskExtra): number {
    const bytes = new Uint8Array(HuskExtra.size);
    encodeHuskExtra(new DataView(bytes.buffer), 0, extra);
    const key = bytes.join(' ');
    let index = this.#known.get(key);
    if (index === undefined) {
      index = this.extras.push(extra);
      this.#known.set(key, index);
    }
    return index;
  }
}

interface ZoneDefault {
  readonly rule: number;
  readonly verdict: number;
  readonly mode: number;
}

/** A direction of which the policy says nothing: all is allowed, and no rule is counted. */
const noDefault: ZoneDefault = { rule: HUSK_RULE_NONE, verdict: HuskVerdict.ALLOW, mode: HuskMode.ENFORCE };
const verdicts = {
  allow: HuskVerdict.ALLOW,
  drop: HuskVerdict.DROP,
  reject: HuskVerdict.REJECT,
  log: HuskVerdict.LOG,
} as const;
const modes = { monitor: HuskMode.MONITOR, enforce: HuskMode.ENFORCE } as const;
const rejections: Readonly<Record<RejectWith, number>> = {
  'tcp-reset': HuskRejectWith.TCP_RESET,
  'port-unreachable': HuskRejectWith.PORT,
  'host-unreachable': HuskRejectWith.HOST,
  'net-unreachable': HuskRejectWith.NET,
  'admin-prohibited': HuskRejectWith.ADMIN,
};

export class PacketCompiler {
  readonly #resolver: SetResolver;
  readonly #addRule: AddRule;
  readonly #uses = new SetUses();
  readonly #zones: CompiledZone[] = [];
  readonly #lists: Record<Direction, EntryList> = {
    ingress: new EntryList('ingress'),
    egress: new EntryList('egress'),
  };
  readonly #policies: PacketPolicy[] = [];
  readonly #named = new Map<string, { readonly set: ResolvedSet; readonly rules: Set<string> }>();
  /** Conditions on interfaces; the index is the bit. */
  readonly #interfaceConditions: Named[] = [];
  /** By number of the zone; null: it has no SYN cookies. */
  readonly #synLimits: (HuskSynLimits | null)[] = [];
  #dropsUnparseable = false;

  constructor(resolver: SetResolver, addRule: AddRule) {
    this.#resolver = resolver;
    this.#addRule = addRule;
  }

  add(document: PacketPolicy): void {
    const { spec } = document;
    this.#policies.push(document);
    const names = Object.keys(spec.zones);
    holdTo(HUSK_ZONES_MAX, this.#zones.length + names.length, 'zones', () => {
      return { document, path: ['spec', 'zones', names[HUSK_ZONES_MAX - this.#zones.length] ?? ''] };
    });
    const numbers = new Map(names.map((name, index) => [name, this.#zones.length + index]));
    const mode = spec.mode === 'enforce' ? 'enforce' : 'monitor';
    const defaults = new Map<string, ZoneDefault>();
    const cookieRules = new Map<string, number>();
    for (const direction of directions) {
      for (const list of spec[direction]) {
        const zone = numbers.get(list.zone) ?? 0;
        const name = `${document.metadata.name}/${list.zone}`;
        for (const rule of list.rules)
          this.#addPacketRule(document, direction, { zone, name }, numbers, rule);
        const id = zoneDefaultId(document, list.zone, direction);
        const of = { at: direction, zone: name, call: null, mode } as const;
        const rule = this.#addRule({ ...of, id, verdict: list.default });
        defaults.set(`${direction} ${list.zone}`, {
          rule,
          verdict: verdicts[list.default],
          mode: modes[mode],
        });
        if (list.synCookies === undefined) continue;
        const cookies = synCookiesId(document, list.zone);
        cookieRules.set(list.zone, this.#addRule({ ...of, id: cookies, verdict: 'allow' }));
        this.#synLimits[zone] = synLimits(cookies, list.synCookies);
      }
    }
    for (const [name, { interfaces }] of Object.entries(spec.zones)) {
      const ingress = defaults.get(`ingress ${name}`) ?? noDefault;
      const egress = defaults.get(`egress ${name}`) ?? noDefault;
      this.#zones.push({
        name: `${document.metadata.name}/${name}`,
        interfaces,
        row: {
          zone: numbers.get(name) ?? 0,
          ingressDefaultRule: ingress.rule,
          egressDefaultRule: egress.rule,
          ingressDefault: ingress.verdict,
          ingressMode: ingress.mode,
          egressDefault: egress.verdict,
          egressMode: egress.mode,
          synCookiesRule: cookieRules.get(name) ?? HUSK_RULE_NONE,
          flags:
            (cookieRules.has(name) ? HUSK_ZONE_SYN_COOKIES : 0) |
            (spec.mode === 'enforce' ? HUSK_ZONE_ENFORCES : 0),
        },
      });
    }
    if (mode === 'enforce' && spec.unparseable !== 'allow') this.#dropsUnparseable = true;
  }

  #addPacketRule(
    document: PacketPolicy,
    direction: Direction,
    { zone, name }: { readonly zone: number; readonly name: string },
    zones: ReadonlyMap<string, number>,
    rule: PacketRule,
  ): void {
    const mode = effectiveMode(document.spec.mode, rule.mode);
    if (mode === 'off') return;
    const id = ruleId(document, rule);
    const verdict = rule.action;
    const index = this.#addRule({ id, at: direction, mode, verdict, zone: name, call: null });
    const from = rule.from === undefined ? null : this.#resolver.match(document, rule.from);
    const to = rule.to === undefined ? null : this.#resolver.match(document, rule.to);
    for (const set of [from, to]) this.#nameSet(set, id);
    const conditions = packetConditions(rule, from, to);
    const rate = rule.limit === undefined ? null : rateOf(rule.limit, rule.action);
    const entries = entriesOf(conditions, {
      id,
      zone,
      from: from === null ? null : this.#uses.bitOf(from, direction, 'source', id),
      to: to === null ? null : this.#uses.bitOf(to, direction, 'destination', id),
      rate,
      interfaceBit: (globs) => this.#interfaceBit(globs, id),
      originBits: (origin) => originBits(origin, zones),
    });
    const list = this.#lists[direction];
    for (const entry of entries) {
      // What an entry of these says holds for one packet, and not for the rest of its connection.
      const isPerPacket =
        entry.extra !== null || mode === 'monitor' || rule.action === 'log' || rule.log !== undefined;
      list.add(id, entry, {
        rule: index,
        verdict: verdicts[rule.action],
        mode: modes[mode],
        rejectWith: rule.rejectWith === undefined ? HuskRejectWith.USUAL : rejections[rule.rejectWith],
        flags: isPerPacket ? HUSK_RULE_PER_PACKET : 0,
        logSample: rule.log === undefined ? 0 : (rule.log.sample ?? 1),
      });
    }
  }

  tables(facts: DeviceFacts): readonly Table[] {
    const { ingress, egress } = this.#lists;
    return [
      ...this.followingTables(facts),
      rulesTable(HuskTable.INGRESS, ingress),
      rulesTable(HuskTable.EGRESS, egress),
      extrasTable(HuskTable.INGRESS_EXTRA, ingress),
      extrasTable(HuskTable.EGRESS_EXTRA, egress),
      classesTable(HuskTable.INGRESS_CLASSES, 'ingress', ingress.entries),
      classesTable(HuskTable.EGRESS_CLASSES, 'egress', egress.entries),
      ...setTables(this.#uses.sets, facts),
    ];
  }

  /** Those that follow the device's interfaces while their generation is in force. */
  followingTables(facts: DeviceFacts): readonly Table[] {
    return followInterfaces(this.following(), facts).tables;
  }

  leftOut(facts: DeviceFacts): readonly LeftOut[] {
    return followInterfaces(this.following(), facts).leftOut;
  }

  /** What those tables are made from. */
  following(): Pick<Following, 'zones' | 'interfaceConditions'> {
    return { zones: this.#zones, interfaceConditions: this.#interfaceConditions };
  }

  settings(facts: DeviceFacts): GenerationSettings {
    return {
      connections: connectionSettings(this.#policies, facts.neverDrop),
      services: serviceRows(facts.neverDrop),
      ingressSets: this.#uses.usesOf('ingress'),
      egressSets: this.#uses.usesOf('egress'),
      synLimits: Array.from({ length: HUSK_ZONES_MAX }, (_, zone) => this.#synLimits[zone] ?? noSynLimits),
      unparseableVerdict: this.#dropsUnparseable ? HuskVerdict.DROP : HuskVerdict.ALLOW,
    };
  }

  sets(): readonly CompiledSet[] {
    return [...this.#named].map(([name, { set, rules }]) => ({
      name,
      rules: [...rules],
      prefixes4: rangeCount(set.ranges.ipv4),
      prefixes6: rangeCount(set.ranges.ipv6),
      number: set.single === null ? null : this.#uses.numberOf(set),
    }));
  }

  #nameSet(set: ResolvedSet | null, rule: string): void {
    if (set === null || set.name === null) return;
    const known = this.#named.get(set.name) ?? { set, rules: new Set<string>() };
    if (!set.not) known.rules.add(rule);
    this.#named.set(set.name, known);
  }

  #interfaceBit(condition: Named, rule: string): number {
    const same = (one: Named) =>
      one.not === condition.not && one.names.join(' ') === condition.names.join(' ');
    let bit = this.#interfaceConditions.findIndex(same);
    if (bit < 0) {
      bit = this.#interfaceConditions.push(condition) - 1;
      const count = this.#interfaceConditions.length;
      holdTo(HUSK_INTERFACE_CONDITIONS_MAX, count, 'conditions on interfaces', () => rule);
    }
    return (1 << bit) >>> 0;
  }
}

const noSynLimits: HuskSynLimits = { above: limitOf('', null), perSource: limitOf('', null) };

function synLimits(id: string, cookies: SynCookies): HuskSynLimits {
  const { above, perSource } = synRates(cookies);
  return { above: limitOf(id, above), perSource: limitOf(id, perSource) };
}

const originDevice = 1;
const anyOrigin = 0xffffffff;

/** See `husk_extra.origins`: bit 0 made here, bit 1 + zone, bit 31 an interface of no zone. */
function originBits({ names, not }: Named, zones: ReadonlyMap<string, number>): number {
  const bits = names.reduce((sum, name) => {
    const zone = zones.get(name);
    return sum | (name === 'device' ? originDevice : zone === undefined ? 0 : 2 << zone);
  }, 0);
  return (not ? ~bits & anyOrigin : bits) >>> 0;
}

function rulesTable(kind: number, { rules }: EntryList): Table {
  return rowsTable(kind, HuskRule.size, rules, encodeHuskRule);
}

function extrasTable(kind: number, { extras }: EntryList): Table {
  const nothing = new Uint8Array(HuskExtra.size);
  const table = rowsTable(kind, HuskExtra.size, extras, encodeHuskExtra, 1);
  table.values.set(nothing, 0);
  return table;
}
