// The zones of a bundle, and what of interfaces and origins its rules can tell apart.

import type { PacketPolicy, PolicyDocument, ZoneRules } from '../../contract/policy.ts';
import { type Direction, directions } from '../ids.ts';
import { interfaceClasses } from './interface-classes.ts';

export interface JudgedZone {
  readonly document: PacketPolicy;
  readonly name: string;
  /** `document/zone`. */
  readonly key: string;
  readonly interfaces: readonly string[];
  /** null: no rules for that direction, all is allowed. */
  readonly rules: Readonly<Record<Direction, ZoneRules | null>>;
}

/** Of policies that are not off. */
export function zonesOf(documents: readonly PolicyDocument[]): readonly JudgedZone[] {
  return documents.flatMap((document) => {
    if (document.kind !== 'PacketPolicy' || document.spec.mode === 'off') return [];
    return Object.entries(document.spec.zones).map(([name, { interfaces }]): JudgedZone => {
      const of = (direction: Direction) => document.spec[direction].find(({ zone }) => zone === name) ?? null;
      return {
        document,
        name,
        key: `${document.metadata.name}/${name}`,
        interfaces,
        rules: { ingress: of('ingress'), egress: of('egress') },
      };
    });
  });
}

/** A kind of interface, with its zone in each bundle that is looked at. */
export interface InterfaceKind {
  readonly name: string;
  readonly fits: ReadonlySet<string>;
  /** null: in no zone. */
  readonly zones: readonly (JudgedZone | null)[];
}

/** Every kind of interface that the bundles tell apart. */
export function interfaceKinds(bundles: readonly (readonly PolicyDocument[])[]): readonly InterfaceKind[] {
  const zones = bundles.map(zonesOf);
  const globs = zones.flat().flatMap((zone) => [...zone.interfaces, ...ruleGlobs(zone)]);
  return interfaceClasses(globs).map(({ name, fits }) => ({
    name,
    fits,
    zones: zones.map((all) => all.find((zone) => zone.interfaces.some((glob) => fits.has(glob))) ?? null),
  }));
}

function ruleGlobs({ rules }: JudgedZone): readonly string[] {
  return directions.flatMap((direction) =>
    (rules[direction]?.rules ?? []).flatMap(({ interface: asked }) => {
      if (asked === undefined) return [];
      const names = typeof asked === 'object' && 'not' in asked ? asked.not : asked;
      return typeof names === 'string' ? [names] : names;
    }),
  );
}

/** Interfaces that are in the same zones: what is compared at once. */
export interface Place {
  readonly zones: readonly (JudgedZone | null)[];
  readonly kinds: readonly InterfaceKind[];
}

export function placesOf(kinds: readonly InterfaceKind[]): readonly Place[] {
  const places = new Map<string, InterfaceKind[]>();
  for (const kind of kinds) {
    const key = JSON.stringify(kind.zones.map((zone) => zone?.key ?? null));
    const same = places.get(key);
    if (same === undefined) places.set(key, [kind]);
    else same.push(kind);
  }
  return [...places.values()].map((same) => ({ zones: same[0]?.zones ?? [], kinds: same }));
}

/** Where a packet that goes out comes from; null: it was made here. In the order of their points on the axis `origin`. */
export type Origin = InterfaceKind | null;

export const originsOf = (kinds: readonly InterfaceKind[]): readonly Origin[] => [
  null,
  ...placesOf(kinds).flatMap((place) => place.kinds.slice(0, 1)),
];
