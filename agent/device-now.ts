// The device as it is now, for whoever compiles or attaches: interfaces, what is never dropped, time.

import type { NetworkInterface } from '../native/index.ts';
import { deviceInterfaces } from './device-interfaces.ts';
import { type DeviceNow, wantedInterfaces } from './follow-device.ts';
import type { Clock } from './os/clock.ts';
import type { NeverDrop } from './policy/device-view.ts';
import type { TimeNow } from './prepare-policy.ts';

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

/** The same moment by both clocks; null where nobody has set the time: a floor says what has passed, not what it is. */
export function timeNow(clock: Clock): TimeNow | null {
  const { ms, quality } = clock.wall();
  return ms === null || quality === 'floor' ? null : { bootMs: clock.bootMs(), wallMs: ms };
}
