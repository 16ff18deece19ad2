// Which interfaces are covered: programs of ours judge what they carry, there or at the point that stands for them.
//
//   judged here           its own hooks, each direction by itself
//   a bridge left out     every port of it that has a zone
//   a macvlan left out    its parent
//   a bond's port         the bond; nothing of its own reaches the device's stack

import type { AttachedHook } from './kernel/attach.ts';
import type { CoveredInterface } from './kernel/floor.ts';
import type { ZoneOf } from './policy/zone-rows.ts';

type Direction = 'ingress' | 'egress';

export function coveredInterfaces(
  placed: readonly ZoneOf<unknown>[],
  hooks: readonly AttachedHook[],
): readonly CoveredInterface[] {
  const attached = new Set(
    hooks.flatMap(({ at, action }) =>
      at === undefined || action === 'failed' ? [] : [`${at.direction} ${at.index}`],
    ),
  );
  const byIndex = new Map(placed.map((one) => [one.interface.index, one]));
  const isCovered = (one: ZoneOf<unknown>, direction: Direction): boolean => {
    const { index, over } = one.interface;
    if (one.leftOut === null) return attached.has(`${direction} ${index}`);
    switch (over?.kind) {
      case 'bridge': {
        const ports = over.ports.flatMap((port) => byIndex.get(port) ?? []);
        return ports.every((port) => isCovered(port, direction));
      }
      case 'macvlan': {
        const parent = byIndex.get(over.parent);
        return parent !== undefined && isCovered(parent, direction);
      }
      default:
        return true;
    }
  };
  return placed
    .map((one) => ({
      name: one.interface.name,
      index: one.interface.index,
      ingress: isCovered(one, 'ingress'),
      egress: isCovered(one, 'egress'),
    }))
    .filter((one) => one.ingress || one.egress);
}
