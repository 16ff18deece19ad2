// From a ruleset to documents that pass `husk policy check`.

import {
  type AddressMatch,
  type AddressSet,
  apiVersion,
  type PacketPolicy,
  type ZoneRules,
} from '../../contract/policy.ts';
import { checkDocuments } from '../check.ts';
import { formatAddresses } from './address-arithmetic.ts';
import type { AddressTerm } from './box.ts';
import { flatten } from './flatten.ts';
import { type Flats, type Placed, place } from './place.ts';
import { ImportError, type Imported, type Origin, type Report } from './report.ts';
import type { Ruleset } from './ruleset.ts';

export interface ImportOptions {
  /** Of the policy. Default: imported. */
  readonly name?: string;
  /** Default: enforce. */
  readonly mode?: 'monitor' | 'enforce';
  /** All interfaces of the device that are to be judged, as far as it is known. */
  readonly interfaces?: readonly string[];
}

/** Throws ImportError where the rules are too many or call each other in circles. */
export function documentsOf(
  ruleset: Ruleset,
  options: ImportOptions,
  report: Report,
  whole: Origin,
): Imported {
  const flats: Flats = {
    input: flatten(ruleset, 'input', report),
    forward: flatten(ruleset, 'forward', report),
    output: flatten(ruleset, 'output', report),
  };
  const placed = place(flats, options.interfaces ?? null, report);
  tellOfInterfaces(placed, flats, options, report, whole);
  if (placed.followsOnBothWays) tellOfBothWays(report, whole);
  const policy = withoutDeadRules(placed, setDocuments(flats), options, report);
  if (policy.spec.ingress.length === 0 && policy.spec.egress.length === 0)
    report.add(whole, 'no rule comes of it: the policy judges no packet, all pass', 'none');
  const named = new Set(Object.keys(policy.spec.sets ?? {}));
  const sets = setDocuments(flats).filter(({ metadata }) => named.has(metadata.name));
  return { documents: [policy, ...sets], notCarriedOver: report.all() };
}

function tellOfInterfaces(
  { zoning }: Placed,
  flats: Flats,
  { interfaces }: ImportOptions,
  report: Report,
  whole: Origin,
): void {
  const all = Object.values(flats).flat();
  if (interfaces !== undefined || all.every(({ action }) => action === 'allow')) return;
  if (!zoning.isWhole) {
    const reason =
      'an interface that no zone names is not judged, and globs cannot say "all others": name the interfaces of the device with --interfaces';
    report.add(whole, reason, 'wider', ['everything by interfaces that are in no zone of this policy']);
  } else if (all.some(({ box }) => box.inBy !== undefined || box.outBy !== undefined)) {
    const reason =
      'all interfaces are judged; where one of them is a bridge, its ports are judged in its place, and rules that name it no longer hold: name the interfaces of the device, without those ports, with --interfaces';
    report.add(whole, reason, 'none');
  }
}

/**
 * A packet that goes through is judged twice here and once in FORWARD, and the connection is there from its way in:
 * a TCP segment from nowhere would count as established on its way out, were connections picked up in their middle.
 */
function tellOfBothWays(report: Report, whole: Origin): void {
  const strict =
    'FORWARD asks for states: TCP connections begin with SYN here (connections: tcp: strict), and those that were open before are not picked up';
  report.add(whole, strict, 'stricter');
  const early =
    'FORWARD asks for states: a connection is remembered from the way in of its first packet, also where its way out is refused, and what then comes from the other end with the same addresses and ports counts as established';
  report.add(whole, early, 'differs');
}

/**
 * The policy without rules that never match, which a policy must not have: those behind one that takes all of
 * their packets, and those about packets that Husk never drops. No verdict hangs on them.
 */
function withoutDeadRules(
  placed: Placed,
  sets: readonly AddressSet[],
  options: ImportOptions,
  report: Report,
): PacketPolicy {
  const dead = new Map<string, string>();
  for (let round = 0; ; round++) {
    const policy = policyOf(placed, dead, options, sets);
    const faults = checkDocuments([policy, ...sets]).filter(({ severity }) => severity === 'error');
    if (faults.length === 0) {
      tellOfDeadRules(policy, placed, dead, report);
      return policy;
    }
    for (const { path, message } of faults) {
      const id = ruleAt(policy, path);
      const reason = /can never match: (.*)$/s.exec(message)?.[1];
      if (id === null || reason === undefined || round === roundsMax)
        throw new ImportError(`the policy that comes of it is not faultless: ${path}: ${message}`);
      dead.set(id, reason);
    }
  }
}

/** Lines of which no rule is left; a policy of a chain may well be reached by nothing. */
function tellOfDeadRules(
  { spec }: PacketPolicy,
  { flatOf }: Placed,
  dead: ReadonlyMap<string, string>,
  report: Report,
): void {
  const rules = [...spec.ingress, ...spec.egress].flatMap((zone) => zone.rules);
  const living = new Set(rules.map(({ id }) => flatOf.get(id)?.origin));
  for (const [id, reason] of dead) {
    const flat = flatOf.get(id);
    if (flat === undefined || flat.isPolicy || living.has(flat.origin)) continue;
    report.add(flat.origin, `is no rule of the policy, since it would never match: ${reason}`, 'none');
    living.add(flat.origin);
  }
}

/** Faults come a thousand at a time (../faults.ts). */
const roundsMax = 100;

function policyOf(
  { zoning, ingress, egress, followsOnBothWays }: Placed,
  dead: ReadonlyMap<string, string>,
  { name = 'imported', mode = 'enforce' }: ImportOptions,
  documents: readonly AddressSet[],
): PacketPolicy {
  const living = (zones: readonly ZoneRules[]) =>
    zones.map((zone) => ({ ...zone, rules: zone.rules.filter(({ id }) => !dead.has(id)) }));
  const spec = { ingress: living(ingress), egress: living(egress) };
  const used = new Set(
    [...spec.ingress, ...spec.egress].flatMap(({ rules }) =>
      rules.flatMap(({ from, to }) => [...setsIn(from), ...setsIn(to)]),
    ),
  );
  const sets = documents
    .filter(({ metadata }) => used.has(metadata.name))
    .map(({ metadata }) => [metadata.name, { addressSet: metadata.name }] as const);
  return {
    apiVersion,
    kind: 'PacketPolicy',
    metadata: { name },
    spec: {
      mode,
      zones: Object.fromEntries(zoning.zones.map((zone) => [zone.name, { interfaces: zone.globs }])),
      ...(sets.length === 0 ? {} : { sets: Object.fromEntries(sets) }),
      ...(followsOnBothWays ? { connections: { tcp: 'strict' } } : {}),
      ...spec,
    },
  };
}

const setsIn = (match: AddressMatch | undefined): readonly string[] =>
  typeof match === 'object' && 'set' in match ? [match.set] : [];

/** `documents[0].spec.ingress[1].rules[2].id` */
function ruleAt({ spec }: PacketPolicy, path: string): string | null {
  const parts = /spec\.(ingress|egress)\[(\d+)\]\.rules\[(\d+)\]\.id$/.exec(path);
  const way = parts?.[1] === 'egress' ? spec.egress : spec.ingress;
  return parts === null ? null : (way[Number(parts[2])]?.rules[Number(parts[3])]?.id ?? null);
}

function setDocuments(flats: Flats): readonly AddressSet[] {
  const terms = new Map<string, AddressTerm>();
  for (const { box } of Object.values(flats).flat()) {
    for (const term of [...(box.from ?? []), ...(box.to ?? [])]) {
      if (term.name !== null) terms.set(term.name, term);
    }
  }
  return [...terms].map(([name, { ranges }]) => ({
    apiVersion,
    kind: 'AddressSet',
    metadata: { name },
    spec: { addresses: formatAddresses(ranges) },
  }));
}
