// HardeningPolicy documents to the tables that judge system calls.

import {
  encodeHuskCallList,
  HUSK_CALL_BIND,
  HUSK_CALL_CONNECT,
  HUSK_CALL_RULES_MAX,
  HUSK_CALL_SOCKET,
  HUSK_CALL_TASK_BIND,
  HUSK_CALL_TASK_CONNECT,
  HUSK_CALL_TASK_SOCKET,
  HUSK_FAMILY_IPV4,
  HUSK_FAMILY_IPV6,
  HUSK_MATCH_PORTS,
  HUSK_MATCH_PROTOCOL,
  HUSK_NOT_TO,
  HuskCallList,
  type HuskCallRule,
  HuskMode,
  HuskTable,
  HuskVerdict,
} from '../../bpf/abi/layout.gen.ts';
import type { HardeningPolicy, HardeningRule, SocketFamily } from '../contract/policy.ts';
import { RefusalError } from '../contract/refusal.ts';
import { addressCondition } from './address-condition.ts';
import { activeMode, type CallName, callNames, defaultId, defaultMode, ruleId } from './ids.ts';
import { socketFamilyNumbers, socketTypeNumbers } from './numbers.ts';
import { allPorts } from './ports.ts';
import { type CallReach, callReach } from './reach.ts';
import { defaultNeed, tierNeed } from './rule-tier.ts';
import { SetTable } from './set-table.ts';
import type { ResolvedSet, SetResolver } from './sets.ts';
import { isCgroupAlone, type NumberedSubject } from './subjects.ts';
import type { AddRule, CompiledSet, Table } from './table-image.ts';
import { holdTo, wideTable } from './tables.ts';

/**
 * The families whose socket() the kernel shows us: the hook for it stands in inet_create alone, so that a
 * denial of any other family would be a promise nobody keeps.
 */
const familiesSeen: readonly SocketFamily[] = ['inet', 'inet6'];

const cgroupCalls: Record<CallName, number> = {
  connect: HUSK_CALL_CONNECT,
  bind: HUSK_CALL_BIND,
  socket: HUSK_CALL_SOCKET,
};
/** Of subjects that cgroup hooks can't tell. */
const taskCalls: Record<CallName, number> = {
  connect: HUSK_CALL_TASK_CONNECT,
  bind: HUSK_CALL_TASK_BIND,
  socket: HUSK_CALL_TASK_SOCKET,
};
const callBits = ({ conditions }: NumberedSubject) => (isCgroupAlone(conditions) ? cgroupCalls : taskCalls);
const verdicts = { allow: HuskVerdict.ALLOW, deny: HuskVerdict.DENY } as const;
const modes = { monitor: HuskMode.MONITOR, enforce: HuskMode.ENFORCE } as const;

/** Matches every call of its kind. */
const anyCall = {
  toSets: 0n,
  addr: new Uint8Array(16),
  mask: new Uint8Array(16),
  socketFamilies: 0,
  socketTypes: 0,
  portFirst: allPorts.first,
  portLast: allPorts.last,
  families: 0,
  ipProto: 0,
  flags: 0,
} as const;

/** An entry of the list, and the rule or default it is of. */
interface Entry {
  readonly id: string;
  readonly rule: HuskCallRule;
}

export class CallCompiler {
  readonly #resolver: SetResolver;
  readonly #addRule: AddRule;
  readonly #setTable = new SetTable('call rules');
  readonly #denials: Entry[] = [];
  readonly #allowances: Entry[] = [];
  readonly #defaultDenials: Entry[] = [];
  readonly #defaultAllowances: Entry[] = [];

  constructor(resolver: SetResolver, addRule: AddRule) {
    this.#resolver = resolver;
    this.#addRule = addRule;
  }

  addDefaults(document: HardeningPolicy, subject: NumberedSubject): void {
    const { spec } = document;
    const subjects = 1n << BigInt(subject.first);
    const mode = defaultMode(spec.mode);
    if (mode === null) return;
    for (const call of callNames) {
      const verdict = spec.default?.[call];
      if (verdict === undefined) continue;
      const id = defaultId(document, call);
      if (verdict === 'deny' && call === 'socket') refuseUnseen(id, undefined);
      const needs = defaultNeed(document, call);
      const rule = this.#addRule({ id, at: 'call', mode, verdict, zone: null, call, needs });
      const entry: HuskCallRule = {
        ...anyCall,
        subjects,
        rule,
        calls: callBits(subject)[call],
        verdict: verdicts[verdict],
        mode: modes[mode],
        isDefault: 1,
      };
      (verdict === 'deny' ? this.#defaultDenials : this.#defaultAllowances).push({ id, rule: entry });
    }
  }

  addRule(document: HardeningPolicy, subject: NumberedSubject, rule: HardeningRule): void {
    const mode = activeMode(document.spec.mode, rule.mode);
    if (mode === null) return;
    const id = ruleId(document, rule);
    const set = this.#resolver.callMatch(document.metadata.name, rule.connect ?? rule.bind ?? {});
    const reach = callReach(rule, set);
    if (reach.call === 'socket' && rule.action === 'deny') refuseUnseen(id, rule.socket?.family);
    const index = this.#addRule({
      ...{ id, at: 'call', mode, verdict: rule.action, zone: null },
      call: reach.call,
      needs: tierNeed(document, rule),
    });
    const condition = addressCondition(set, this.#setTable, id);
    const common: HuskCallRule = {
      ...anyCall,
      subjects: 1n << BigInt(subject.first),
      toSets: condition.sets,
      addr: condition.address,
      mask: condition.mask,
      rule: index,
      socketFamilies: bitsOf(rule.socket?.family, socketFamilyNumbers),
      socketTypes: bitsOf(rule.socket?.type, socketTypeNumbers),
      families: familiesOf(set, reach),
      ipProto: reach.protocol ?? 0,
      calls: callBits(subject)[reach.call],
      flags:
        (reach.protocol === null ? 0 : HUSK_MATCH_PROTOCOL) |
        (reach.ports === null ? 0 : HUSK_MATCH_PORTS) |
        (condition.not ? HUSK_NOT_TO : 0),
      verdict: verdicts[rule.action],
      mode: modes[mode],
      isDefault: 0,
    };
    const list = rule.action === 'deny' ? this.#denials : this.#allowances;
    for (const { first, last } of reach.ports ?? [allPorts]) {
      list.push({ id, rule: { ...common, portFirst: first, portLast: last } });
    }
  }

  tables(): readonly Table[] {
    // Deny over allow over default; among defaults of nested subjects, too, deny wins.
    const entries = [this.#denials, this.#allowances, this.#defaultDenials, this.#defaultAllowances].flat();
    holdTo(HUSK_CALL_RULES_MAX, entries.length, 'entries of call rules', () => {
      return entries[HUSK_CALL_RULES_MAX]?.id ?? null;
    });
    const rules = entries.map(({ rule }) => rule);
    const value = new Uint8Array(HuskCallList.size);
    encodeHuskCallList(new DataView(value.buffer), 0, { count: rules.length, rules });
    return [
      wideTable(HuskTable.CALLS, value),
      this.#setTable.table4(HuskTable.CALL_SET4),
      this.#setTable.table6(HuskTable.CALL_SET6),
    ];
  }

  sets(): readonly CompiledSet[] {
    return this.#setTable.named();
  }
}

function refuseUnseen(id: string, families: readonly SocketFamily[] | undefined): void {
  const unseen = unseenDenial(families);
  if (unseen !== null) throw new RefusalError('policy.unsupported', `${id} ${unseen}`);
}

/** What is wrong with denying sockets of these families (undefined: of any); null where nothing is. */
export function unseenDenial(families: readonly SocketFamily[] | undefined): string | null {
  const unseen = families?.filter((family) => !familiesSeen.includes(family));
  if (unseen?.length === 0) return null;
  const what = unseen === undefined ? 'sockets of every family' : `sockets of family ${unseen.join(', ')}`;
  return `would deny ${what}; a device sees ${familiesSeen.join(' and ')} alone, so name those`;
}

/** 0: any. An address that is not negated settles the family; a negated one leaves both. */
function familiesOf(set: ResolvedSet | null, { to }: CallReach): number {
  if (set === null || set.not) return 0;
  return (to.ipv4.length > 0 ? HUSK_FAMILY_IPV4 : 0) | (to.ipv6.length > 0 ? HUSK_FAMILY_IPV6 : 0);
}

function bitsOf<Word extends string>(
  words: readonly Word[] | undefined,
  numbers: Readonly<Record<Word, number>>,
): number {
  return (words ?? []).reduce((bits, word) => bits | (1 << numbers[word]), 0);
}
