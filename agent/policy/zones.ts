// The zones of a policy, by name, and an interface that stands for each: what somebody means who says "in wan".

import type { PolicyDocument } from '../contract/policy.ts';
import { matchesGlob } from './globs.ts';
import type { Direction } from './ids.ts';

export interface PolicyZone {
  readonly document: string;
  readonly zone: string;
  /** The first interface of it; a pattern with `0` for what it leaves open. */
  readonly interface: string;
  readonly interfaces: readonly string[];
  /** Directions that it has rules or a default for. */
  readonly judged: readonly Direction[];
}

/** Of all packet policies that are not off, in the order of the documents. */
export function policyZones(documents: readonly PolicyDocument[]): readonly PolicyZone[] {
  return documents
    .filter((one) => one.kind === 'PacketPolicy')
    .filter(({ spec }) => spec.mode !== 'off')
    .flatMap(({ metadata, spec }) =>
      Object.entries(spec.zones).map(([zone, { interfaces }]) => ({
        document: metadata.name,
        zone,
        interface: (interfaces[0] ?? '').replace(/[*?]/g, '0'),
        interfaces,
        judged: (['ingress', 'egress'] as const).filter((direction) =>
          spec[direction].some((list) => list.zone === zone),
        ),
      })),
    );
}

/** The zone an interface is in; null: in none, and its packets are not looked at. */
export const zoneOfInterface = (zones: readonly PolicyZone[], name: string): PolicyZone | null =>
  zones.find(({ interfaces }) => interfaces.some((glob) => matchesGlob(glob, name))) ?? null;
