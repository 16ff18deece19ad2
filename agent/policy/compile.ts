// Documents to a table image: what the kernel looks up instead of reading a policy.
//
//   zones, deferred    interface → its zone, the zone's defaults, what is never dropped there
//   classes            what rules of a direction are found by; then their rows, and extras beside them
//   big4/6, additions  sets that are too large for the classes, or kept entry by entry
//   subjects           cgroup → bits of the subjects that are it
//   calls              denials, allowances, defaults; call_set4/6 their sets
//   operations         which subjects have decisions about what; programs and users make subjects,
//                      decisions are found by subject, operation and object; applets are names of programs
//
// The same documents and facts give the same bytes: tables with equal digests are shared between
// generations. What does not fit the tables is refused with the count and the limit; nothing is left out.

import type { PolicyDocument, Tier } from '../contract/policy.ts';
import { RefusalError } from '../contract/refusal.ts';
import { HardeningCompiler } from './compile-hardening.ts';
import { PacketCompiler } from './compile-packets.ts';
import { exceptedId, exceptionsOf } from './exceptions.ts';
import { type FollowingTables, followCgroups, followInterfaces, followPaths } from './following.ts';
import { launchPlans } from './launch-rules.ts';
import { zonesOf } from './policy-zones.ts';
import { tierRefusal } from './rule-tier.ts';
import { resolverOf } from './sets.ts';
import { shieldsAsPolicies } from './shields-as-policies.ts';
import { activeHardening } from './subjects.ts';
import type { AddRule, CompiledRule, DeviceFacts, Table, TableImage } from './table-image.ts';
import { kernelBytesOf } from './tables.ts';

/** For documents that were checked; every shield among them is one that applies. Throws RefusalError policy.over-limit or policy.unsupported. */
export function compile(written: readonly PolicyDocument[], facts: DeviceFacts): TableImage {
  const documents = shieldsAsPolicies(written);
  refuseBelowTier(documents, facts.tier);
  const rules: CompiledRule[] = [];
  const addRule: AddRule = (rule) => {
    const index = facts.ruleIndex(rule.id);
    rules.push({ ...rule, index });
    return index;
  };
  const resolver = resolverOf(documents);
  const packets = new PacketCompiler(resolver, addRule);
  const hardening = new HardeningCompiler(resolver, addRule, documents);
  // In the order of the documents, since indexes are given out in it.
  for (const document of documents) {
    if (document.kind === 'AddressSet' || document.kind === 'Exception') continue;
    if (document.kind === 'PacketPolicy') {
      if (document.spec.mode !== 'off') packets.add(document);
    } else if (document.spec.mode !== 'off') hardening.add(document);
  }
  hardening.addExceptions();
  const tables = [...packets.tables(facts), ...hardening.tables(facts)].toSorted((a, b) => a.kind - b.kind);
  return {
    tables,
    zones: zonesOf(documents),
    rules,
    launch: launchPlans(
      activeHardening(documents).filter(({ spec }) => spec.mode !== 'learn'),
      new Set(exceptionsOf(documents).map(exceptedId)),
    ),
    sets: [...packets.sets(), ...hardening.sets()],
    learners: hardening.learners(),
    settings: packets.settings(facts),
    leftOut: packets.leftOut(facts),
    following: { ...packets.following(), ...hardening.following() },
    kernelBytes: tables.reduce((sum, table) => sum + kernelBytesOf(table), 0),
  };
}

/**
 * The tables of an image that follow the device, for the device as it is now: the same bytes as compiling everything
 * again would give them, without reading a rule or a set. Throws RefusalError policy.over-limit.
 */
export function compileFollowing(
  { following }: Pick<TableImage, 'following'>,
  facts: Omit<DeviceFacts, 'ruleIndex' | 'bootSeconds'>,
): FollowingTables {
  const { tables, leftOut } = followInterfaces(following, facts);
  return { tables: [...tables, followCgroups(following, facts)], leftOut };
}

/**
 * The tables of an image that hang on where the device's paths are, for where they are now; none where no rule needs
 * any. Of kinds PROGRAMS, APPLETS and DECISIONS. Throws RefusalError.
 */
export function compilePaths(
  { following }: Pick<TableImage, 'following'>,
  facts: Pick<DeviceFacts, 'paths'>,
): readonly Table[] {
  return followPaths(following, facts);
}

/** What a policy asks for at least is not quietly weakened. */
function refuseBelowTier(documents: readonly PolicyDocument[], tier: Tier | undefined): void {
  if (tier === undefined) return;
  const reasons = activeHardening(documents).flatMap((one) => tierRefusal(one, tier) ?? []);
  if (reasons.length > 0) throw new RefusalError('policy.unsupported', reasons.join('; '));
}
