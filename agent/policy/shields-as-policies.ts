// Shields written as the policies that they come to, so that compiler, tries and proofs know two kinds of policy.
//
//   subject, rules  ─▶ a HardeningPolicy of the shield's name, in its place among the documents
//   exceptions      ─▶ rules about calls without what is excepted from them (exceptions.ts)
//   packets         ─▶ rules before the others of each zone that is meant; they keep the shield's name
//
// Where no packet policy is on, the rules about packets get one to stand in: it allows everything else. Which shields
// hold on a device is said before (applicable.ts).

import type {
  HardeningPolicy,
  PacketPolicy,
  PacketRule,
  PolicyDocument,
  Shield,
  ZoneRules,
} from '../contract/policy.ts';
import type { ShieldPacketRule } from '../contract/shield.ts';
import { exceptionsOf, withoutExcepted } from './exceptions.ts';
import { type Path, rememberSource, sourceOf } from './faults.ts';
import { globsOverlap } from './globs.ts';
import { activeMode, type Direction, directions, ruleId } from './ids.ts';

/** What is left once shields are written out. */
export type PlainDocument = Exclude<PolicyDocument, Shield>;

const known = new WeakMap<readonly PolicyDocument[], readonly PlainDocument[]>();

/** The very same array where there is neither shield nor exception. */
export function shieldsAsPolicies(documents: readonly PolicyDocument[]): readonly PlainDocument[] {
  const before = known.get(documents);
  if (before !== undefined) return before;
  const isAnyWritten = documents.some(({ kind }) => kind === 'Shield' || kind === 'Exception');
  const plain = isAnyWritten ? writeOut(documents) : (documents as readonly PlainDocument[]);
  known.set(documents, plain);
  known.set(plain, plain);
  return plain;
}

const isShield = (document: PolicyDocument): document is Shield => document.kind === 'Shield';

/** What a shield says of tasks; null: nothing. */
export function hardeningOf(shield: Shield): HardeningPolicy | null {
  const { apiVersion, metadata, spec } = shield;
  const { subject, rules, mode, minimumTier, default: defaults } = spec;
  if (subject === undefined) return null;
  return placedAs<HardeningPolicy>(shield, {
    apiVersion,
    kind: 'HardeningPolicy',
    metadata,
    spec: {
      mode,
      subject,
      rules: rules ?? [],
      ...(minimumTier === undefined ? {} : { minimumTier }),
      ...(defaults === undefined ? {} : { default: defaults }),
    },
  });
}

/** Faults of what was made of a document are faults of that. `shifted`: where in it a path is. */
function placedAs<T extends object>(
  original: object,
  made: T,
  shifted: (path: Path) => Path = (path) => path,
): T {
  const source = sourceOf(original);
  if (source !== undefined)
    rememberSource(made, { ...source, locate: (path, what) => source.locate(shifted(path), what) });
  return made;
}

function writeOut(documents: readonly PolicyDocument[]): readonly PlainDocument[] {
  const shields = documents.filter(isShield).filter(speaksOfPackets);
  const written = documents.flatMap((document): readonly PlainDocument[] => {
    if (document.kind === 'Shield') {
      const hardening = hardeningOf(document);
      return hardening === null ? [] : [hardening];
    }
    return [document.kind === 'PacketPolicy' ? withShields(document, shields) : document];
  });
  const isStandInNeeded = shields.length > 0 && !documents.some(isPacketPolicyOn);
  const exceptions = exceptionsOf(documents);
  const all = isStandInNeeded ? [...written, withShields(standIn, shields)] : written;
  return all.map((one) =>
    one.kind === 'HardeningPolicy' ? placedAs(one, withoutExcepted(one, exceptions)) : one,
  );
}

const speaksOfPackets = ({ spec }: Shield) =>
  spec.packets !== undefined && activeMode(spec.mode, undefined) !== null;
const isPacketPolicyOn = (document: PolicyDocument) =>
  document.kind === 'PacketPolicy' && document.spec.mode !== 'off';

const standIn: PacketPolicy = {
  apiVersion: 'husk/v1',
  kind: 'PacketPolicy',
  metadata: { name: 'shields' },
  spec: {
    mode: 'enforce',
    zones: { all: { interfaces: ['*'] } },
    unparseable: 'allow',
    ingress: [],
    egress: [],
  },
};

function withShields(policy: PacketPolicy, shields: readonly Shield[]): PacketPolicy {
  if (shields.length === 0 || policy.spec.mode === 'off') return policy;
  /** How many rules stand before those that are written. */
  const before = new Map<string, number>();
  const lists = (direction: Direction): readonly ZoneRules[] => {
    const written = policy.spec[direction];
    const unwritten = Object.keys(policy.spec.zones)
      .filter((zone) => !written.some((one) => one.zone === zone))
      // A direction that a policy says nothing of is allowed.
      .map((zone): ZoneRules => ({ zone, default: 'allow', rules: [] }));
    return [...written, ...unwritten].flatMap((list, index): readonly ZoneRules[] => {
      const interfaces = policy.spec.zones[list.zone]?.interfaces ?? [];
      const rules = shields
        .filter((shield) => means(shield, list.zone, interfaces))
        .flatMap((shield) => rulesOf(shield, direction));
      before.set(`${direction} ${index}`, rules.length);
      if (rules.length > 0) return [{ ...list, rules: [...rules, ...list.rules] }];
      return unwritten.includes(list) ? [] : [list];
    });
  };
  const spec = { ...policy.spec, ingress: lists('ingress'), egress: lists('egress') };
  return placedAs(policy, { ...policy, spec }, (path) => {
    const [, direction, list, , rule] = path;
    const shift = before.get(`${direction} ${list}`) ?? 0;
    if (typeof rule !== 'number' || shift === 0) return path;
    return rule < shift ? path.slice(0, 3) : path.with(4, rule - shift);
  });
}

function means({ spec }: Shield, zone: string, interfaces: readonly string[]): boolean {
  const { zones, interfaces: meant } = spec.packets ?? {};
  if (zones !== undefined) return zones.includes(zone);
  return meant === undefined || interfaces.some((glob) => meant.some((one) => globsOverlap(one, glob)));
}

/** Rules about packets as those of a policy, under their full names. */
function rulesOf(shield: Shield, direction: Direction): readonly PacketRule[] {
  const { mode, packets } = shield.spec;
  return (packets?.[direction] ?? []).flatMap((rule): readonly PacketRule[] => {
    const own = activeMode(mode, rule.mode);
    if (own === null) return [];
    const where = packets?.interfaces === undefined ? {} : { interface: packets.interfaces };
    return [{ ...where, ...packetRuleOf(rule), id: ruleId(shield, rule), mode: own }];
  });
}

/** Of a rule that matches for the sake of its rate alone, one packet in so many is reported as any other. */
const rarely = { sample: 1_000_000 };

/** A rule of a shield in the words of a PacketPolicy. */
export function packetRuleOf({ action, limit, ...rule }: ShieldPacketRule): PacketRule {
  if (action !== 'limit') return { ...rule, action };
  return {
    ...rule,
    action: 'log',
    log: rarely,
    ...(limit === undefined ? {} : { limit: { ...limit, over: 'drop' as const } }),
  };
}

/** Full names of rules about packets that no zone of the documents has. */
export function unplacedRules(documents: readonly PolicyDocument[]): readonly string[] {
  const placed = new Set(
    shieldsAsPolicies(documents).flatMap((one) =>
      one.kind === 'PacketPolicy'
        ? directions.flatMap((direction) =>
            one.spec[direction].flatMap(({ rules }) => rules.map(({ id }) => id)),
          )
        : [],
    ),
  );
  return documents
    .filter(isShield)
    .flatMap((shield) => directions.flatMap((direction) => rulesOf(shield, direction)))
    .map(({ id }) => id)
    .filter((id) => !placed.has(id));
}
