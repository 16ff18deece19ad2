// Which interface is judged as part of which zone, and which leave their packets to another (PACKETS.md §1).

import type { DeviceInterface, DeviceView, NeverDrop } from './device-view.ts';
import { matchesGlob } from './globs.ts';
import type { LeftOut } from './table-image.ts';

export interface ZoneOf<Zone> {
  readonly interface: DeviceInterface;
  readonly zone: Zone;
  /** null: it is judged here. */
  readonly leftOut: string | null;
  readonly defersVlans: boolean;
  readonly defersPppoe: boolean;
  /** What is offered to it by DHCP may be sent to an address that nobody has yet. */
  readonly awaitsIpv4: boolean;
}

/** A VLAN whose frames the parent leaves to the interface that lies on it. */
export interface DeferredVlan {
  readonly parent: number;
  readonly id: number;
  readonly to: number;
}

export interface PlacedInterfaces<Zone> {
  readonly placed: readonly ZoneOf<Zone>[];
  readonly deferred: readonly DeferredVlan[];
  readonly leftOut: readonly LeftOut[];
}

/** `zoneOf`: the zone that names an interface, or null. */
export function placeInterfaces<Zone>(
  { interfaces }: Pick<DeviceView, 'interfaces'>,
  zoneOf: (name: string) => Zone | null,
): PlacedInterfaces<Zone> {
  const named = new Map<number, { readonly one: DeviceInterface; readonly zone: Zone }>();
  for (const one of interfaces) {
    const zone = one.link === 'loopback' ? null : zoneOf(one.name);
    if (zone !== null) named.set(one.index, { one, zone });
  }
  const reasons = new Map<number, string>();
  for (const { one } of named.values()) {
    const why = leftOutOf(one, (index) => named.has(index));
    for (const index of why?.indexes ?? []) if (named.has(index)) reasons.set(index, why?.why ?? '');
  }
  const isJudged = (index: number) => named.has(index) && !reasons.has(index);
  const deferred = [...named.values()].flatMap(({ one }): readonly DeferredVlan[] =>
    one.over?.kind === 'vlan' && isJudged(one.index) && isJudged(one.over.parent)
      ? [{ parent: one.over.parent, id: one.over.id, to: one.index }]
      : [],
  );
  const pppoeParents = new Set(
    [...named.values()].flatMap(({ one }) =>
      one.over?.kind === 'pppoe' && isJudged(one.index) ? [one.over.parent] : [],
    ),
  );
  const placed = [...named.values()].map(
    ({ one, zone }): ZoneOf<Zone> => ({
      interface: one,
      zone,
      leftOut: reasons.get(one.index) ?? null,
      defersVlans: deferred.some(({ parent }) => parent === one.index),
      defersPppoe: pppoeParents.has(one.index),
      awaitsIpv4: awaitsIpv4(one, interfaces, isJudged),
    }),
  );
  const leftOut = placed.flatMap(({ interface: { name }, leftOut: why }) =>
    why === null ? [] : [{ interface: name, why }],
  );
  return { placed, deferred, leftOut };
}

/**
 * Whether a DHCP client may run here that has no address: on the interface, on the bridge that it is a port of, or on
 * what lies on it and is judged with it. An address of 169.254/16 is what a client takes that was given none (RFC 3927).
 */
function awaitsIpv4(
  one: DeviceInterface,
  all: readonly DeviceInterface[],
  isJudged: (index: number) => boolean,
): boolean {
  const bridge = all.find(({ over }) => over?.kind === 'bridge' && over.ports.includes(one.index));
  if (bridge !== undefined) return awaitsIpv4(bridge, all, isJudged);
  if (!one.addresses.some((address) => !address.includes(':') && !address.startsWith('169.254.')))
    return true;
  return all.some(
    (upper) =>
      (upper.over?.kind === 'vlan' || upper.over?.kind === 'macvlan') &&
      upper.over.parent === one.index &&
      !isJudged(upper.index) &&
      awaitsIpv4(upper, all, isJudged),
  );
}

/** What is left out because of this interface: itself, or its ports. */
function leftOutOf(
  { index, over }: DeviceInterface,
  isNamed: (index: number) => boolean,
): { readonly indexes: readonly number[]; readonly why: string } | null {
  switch (over?.kind) {
    case 'bridge':
      return over.ports.some(isNamed)
        ? { indexes: [index], why: 'its ports have zones, and are judged' }
        : null;
    case 'bond':
      return { indexes: over.ports, why: 'the bond it belongs to is judged' };
    case 'macvlan':
      return isNamed(over.parent) ? { indexes: [index], why: 'its parent is judged' } : null;
    default:
      return null;
  }
}

const isAmong = (globs: readonly string[], name: string) => globs.some((glob) => matchesGlob(glob, name));

/** The items of the never-drop list that hold on an interface. */
export function neverDropOn(neverDrop: NeverDrop, name: string): Readonly<Record<NeverDropItem, boolean>> {
  return {
    arp: isAmong(neverDrop.arp, name),
    neighbourDiscovery: isAmong(neverDrop.neighbourDiscovery, name),
    dhcpClient: isAmong(neverDrop.dhcpClient, name),
    dhcpServer: isAmong(neverDrop.dhcpServer, name),
    replies: isAmong(neverDrop.replies, name),
  };
}
export type NeverDropItem = 'arp' | 'neighbourDiscovery' | 'dhcpClient' | 'dhcpServer' | 'replies';
