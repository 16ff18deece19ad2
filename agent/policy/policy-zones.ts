// The zones of the policies that are on: what attaching, reports and events need of a policy once it is compiled.

import type { PacketPolicy, PolicyDocument } from '../contract/policy.ts';
import { packetPoliciesOn } from './connection-settings.ts';
import { matchesGlob } from './globs.ts';
import { effectiveMode } from './ids.ts';

export interface PolicyZone {
  /** `document/zone`. */
  readonly name: string;
  readonly interfaces: readonly string[];
  /** What passes where nothing is attached. */
  readonly uncovered: 'allow' | 'drop';
  /** A rule for what comes in asks for VLAN tags. */
  readonly asksForTags: boolean;
}

/** Zones of the packet policies that are on, in the order of the documents. */
export function zonesOf(documents: readonly PolicyDocument[]): readonly PolicyZone[] {
  return packetPoliciesOn(documents).flatMap((policy) =>
    Object.entries(policy.spec.zones).map(([name, { interfaces, uncovered }]) => ({
      name: `${policy.metadata.name}/${name}`,
      interfaces,
      uncovered: uncovered ?? 'allow',
      asksForTags: asksForTags(policy, name),
    })),
  );
}

/** `document/zone` of an interface by its name, or null. */
export function zoneNameOf(zones: readonly PolicyZone[], name: string): string | null {
  return zones.find(({ interfaces }) => interfaces.some((glob) => matchesGlob(glob, name)))?.name ?? null;
}

function asksForTags({ spec }: PacketPolicy, zone: string): boolean {
  return spec.ingress.some(
    (list) =>
      list.zone === zone &&
      list.rules.some((rule) => rule.vlan !== undefined && effectiveMode(spec.mode, rule.mode) !== 'off'),
  );
}
