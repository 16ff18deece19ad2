// A PacketPolicy as it is walked: zones, their rules in order, their defaults.

import type { PacketPolicy, PacketRule, PolicyDocument } from '../../contract/policy.ts';
import { type Direction, directions, effectiveMode, ruleId, zoneDefaultId } from '../ids.ts';
import type { Judgement, Reason } from '../judgement.ts';
import { resolverOf, type SetResolver } from '../sets.ts';
import { shieldsAsPolicies } from '../shields-as-policies.ts';
import { type Condition, conditionsOf } from './conditions.ts';
import { type Bucket, bucketOf } from './limits.ts';

/** A rule as it is walked. */
export interface Line {
  readonly id: string;
  readonly mode: 'monitor' | 'enforce';
  readonly action: PacketRule['action'];
  /** All of them have to hold. */
  readonly conditions: readonly Condition[];
  readonly limit: (Bucket & { readonly over: 'drop' | 'next' }) | null;
}

export interface Default {
  readonly id: string;
  readonly mode: 'monitor' | 'enforce';
  readonly verdict: 'allow' | 'drop' | 'reject';
}

export interface ZoneLines {
  readonly interfaces: readonly string[];
  /** The mode of its policy; of what no rule and no default says. */
  readonly mode: 'monitor' | 'enforce';
  readonly rules: Readonly<Record<Direction, readonly Line[]>>;
  /** null: the policy says nothing about this direction, and all is allowed. */
  readonly defaults: Readonly<Record<Direction, Default | null>>;
}

/** All packet policies of an array of documents. */
export interface Policies {
  readonly zones: readonly ZoneLines[];
  readonly unparseable: 'allow' | 'drop';
  /** Whether some rule asks for what only following connections can tell. */
  readonly asksForConnections: boolean;
  readonly tcp: 'strict' | 'loose';
  readonly timeouts: NonNullable<NonNullable<PacketPolicy['spec']['connections']>['timeouts']>;
}

/** Held weakly, for as long as an evaluator has it: a device keeps its documents, not what was read of a million prefixes. */
const known = new WeakMap<readonly PolicyDocument[], WeakRef<Policies>>();

/** Conditions are read once for an array of documents, since a capture has millions of packets. */
export function policiesOf(written: readonly PolicyDocument[]): Policies {
  const documents = shieldsAsPolicies(written);
  const before = known.get(documents)?.deref();
  if (before !== undefined) return before;
  const sets = resolverOf(documents);
  const active = documents
    .filter((one) => one.kind === 'PacketPolicy')
    .filter(({ spec }) => spec.mode !== 'off');
  const settings = active.map(({ spec }) => spec.connections ?? {});
  const fresh: Policies = {
    zones: active.flatMap((one) => zonesOf(one, sets)),
    unparseable: active.some(dropsUnparseable) ? 'drop' : 'allow',
    asksForConnections: active.some(
      (one) =>
        rulesOf(one).some(isAboutConnections) ||
        one.spec.ingress.some(({ synCookies }) => synCookies !== undefined),
    ),
    tcp: settings.some(({ tcp }) => tcp === 'strict') ? 'strict' : 'loose',
    timeouts: Object.assign({}, ...settings.map(({ timeouts }) => timeouts)),
  };
  known.set(documents, new WeakRef(fresh));
  return fresh;
}

export const plain = (verdict: Judgement['verdict'], reason: Reason): Judgement => ({
  verdict,
  reason,
  rule: null,
  monitored: null,
});

const dropsUnparseable = ({ spec }: PacketPolicy) =>
  spec.mode === 'enforce' && (spec.unparseable ?? 'drop') === 'drop';

const rulesOf = (document: PacketPolicy) =>
  directions
    .flatMap((direction) => document.spec[direction])
    .flatMap(({ rules }) => rules)
    .filter((rule) => effectiveMode(document.spec.mode, rule.mode) !== 'off');

/** Whether a packet is to the device depends on whether its connection was forwarded. */
const isAboutConnections = ({ state, toDevice }: PacketRule) => state !== undefined || toDevice !== undefined;

function zonesOf(document: PacketPolicy, sets: SetResolver): readonly ZoneLines[] {
  const { spec } = document;
  return Object.entries(spec.zones).map(([zone, { interfaces }]) => {
    const rules: Record<Direction, readonly Line[]> = { ingress: [], egress: [] };
    const defaults: Record<Direction, Default | null> = { ingress: null, egress: null };
    for (const direction of directions) {
      const list = spec[direction].find((one) => one.zone === zone);
      if (list === undefined) continue;
      rules[direction] = list.rules.flatMap((rule) => lineOf(document, rule, direction, sets));
      defaults[direction] = {
        id: zoneDefaultId(document, zone, direction),
        mode: spec.mode === 'enforce' ? 'enforce' : 'monitor',
        verdict: list.default,
      };
    }
    return { interfaces, mode: spec.mode === 'enforce' ? 'enforce' : 'monitor', rules, defaults };
  });
}

function lineOf(
  document: PacketPolicy,
  rule: PacketRule,
  direction: Direction,
  sets: SetResolver,
): readonly Line[] {
  const mode = effectiveMode(document.spec.mode, rule.mode);
  if (mode === 'off') return [];
  const { action, limit } = rule;
  const id = ruleId(document, rule);
  const conditions = conditionsOf(document, rule, direction, sets);
  const over = limit?.over ?? (action === 'allow' ? 'drop' : 'next');
  return [
    { id, mode, action, conditions, limit: limit === undefined ? null : { ...bucketOf(id, limit), over } },
  ];
}
