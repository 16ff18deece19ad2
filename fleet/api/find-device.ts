// Which device somebody means: by its id, by the beginning of it, or by its host name if that is unique.

import type { Device, DeviceStore } from '../store/devices.ts';
import { ApiError } from './api-error.ts';

/** Fewer letters name too many. */
const prefixLettersMin = 4;

export function findDevice(devices: DeviceStore, name: string): Device {
  const exact = devices.find(name);
  if (exact !== null && exact.state === 'enrolled') return exact;
  const all = devices.listEnrolled();
  const isPrefix = name.length >= prefixLettersMin;
  const meant = all.filter((one) => one.hostname === name || (isPrefix && one.id.startsWith(name)));
  const [only, ...more] = meant;
  if (only === undefined) throw new ApiError(404, 'not-found', `no device ${name} is enrolled`);
  if (more.length === 0) return only;
  const ids = meant.slice(0, 5).map((one) => one.id);
  throw new ApiError(
    409,
    'ambiguous',
    `${name} may be ${ids.join(', ')}${meant.length > 5 ? ' or another' : ''}`,
  );
}
