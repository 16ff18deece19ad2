// The device as it is now, for whoever compiles or attaches: interfaces, what is never dropped, time.

import type { NetworkInterface } from '../native/index.ts';
import { deviceInterfaces } from './device-interfaces.ts';
import { type DeviceNow, wantedInterfaces } from './follow-device.ts';
import type { Clock } from './os/clock.ts';
import type { NeverDrop } from './policy/device-view.ts';

export interface DeviceSources {
  readonly interfaces: () => readonly NetworkInterface[];
  /** The text of /proc/net/pppoe; '' where there is none. */
  readonly pppoe: () => string;
  /** Interfaces that packet programs may be attached to, by name or glob. */
  readonly patterns: readonly string[];
  readonly neverDrop: () => NeverDrop;
}

export function readDevice({ interfaces, pppoe, patterns, neverDrop }: DeviceSources): DeviceNow {
  const all = deviceInterfaces(interfaces(), pppoe());
  return { all, view: { interfaces: wantedInterfaces(all, patterns), neverDrop: neverDrop() } };
}

/** The second of boot time that a moment (RFC 3339) is, never negative; null where nobody has set the time. */
export function bootSecondsOf(clock: Clock, moment: string): number | null {
  const { ms, quality } = clock.wall();
  // A floor says what has passed, not what the time is.
  if (ms === null || quality === 'floor') return null;
  return Math.max(0, Math.ceil((clock.bootMs() + Date.parse(moment) - ms) / 1000));
}
