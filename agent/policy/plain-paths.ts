// Paths of a device that has one file system, without links: for simulation, cases and tests.

import type { DevicePaths } from './table-image.ts';

/** major << 20 | minor of no particular disk. */
const device = (8 << 20) | 1;

export function plainPaths(
  applets: ReadonlyMap<string, readonly string[]> = new Map(),
  pathKey: DevicePaths['pathKey'] = {
    mix: [0x9e3779b97f4a7c15n, 0x6a09e667f3bcc908n, 0xbb67ae8584caa73bn, 1n],
  },
): DevicePaths {
  return {
    pathKey,
    placeOf: (path) => ({ device, path }),
    placesMountedBelow: () => [],
    applets: () => [...applets].map(([executable, names]) => ({ executable, names })),
  };
}
