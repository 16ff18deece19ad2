// Where a packet for a rule can be tried: an interface of its zone, and the one it came in by.

import type { PacketPolicy } from '../contract/policy.ts';
import type { DeviceInterface, DeviceView } from './device-view.ts';
import { matchesGlob } from './globs.ts';
import type { Direction } from './ids.ts';
import type { Named, PacketConditions } from './packet-conditions.ts';

export interface Place {
  readonly direction: Direction;
  readonly interface: DeviceInterface;
  /** null: made here. */
  readonly cameBy: DeviceInterface | null;
}

/** Interfaces and origins worth trying; more of them make no difference to a rule. */
const placesMax = 6;

/** Places at which the conditions can hold, none where the device has no interface for them at the moment. */
export function placesFor(
  { spec }: PacketPolicy,
  zone: string,
  direction: Direction,
  { interfaces, origin }: Pick<PacketConditions, 'interfaces' | 'origin'>,
  device: DeviceView,
): readonly Place[] {
  const globs = spec.zones[zone]?.interfaces ?? [];
  const found = device.interfaces.filter(
    ({ name, link }) =>
      link !== 'loopback' &&
      fits(globs, name) &&
      (interfaces === null || fits(interfaces.names, name) !== interfaces.not),
  );
  return found
    .flatMap((one) =>
      (direction === 'ingress' ? [null] : originsOf(spec, origin, one, device)).map(
        (cameBy): Place => ({ direction, interface: one, cameBy }),
      ),
    )
    .slice(0, placesMax);
}

function originsOf(
  { zones }: PacketPolicy['spec'],
  origin: Named | null,
  goesBy: DeviceInterface,
  { interfaces }: DeviceView,
): readonly (DeviceInterface | null)[] {
  if (origin === null) return [null];
  const globs = origin.names.flatMap((name) =>
    Object.hasOwn(zones, name) ? (zones[name]?.interfaces ?? []) : [],
  );
  const byOther = interfaces.filter(
    (one) => one.index !== goesBy.index && one.link !== 'loopback' && fits(globs, one.name) !== origin.not,
  );
  return origin.names.includes('device') !== origin.not ? [null, ...byOther] : byOther;
}

const fits = (globs: readonly string[], name: string) => globs.some((glob) => matchesGlob(glob, name));
