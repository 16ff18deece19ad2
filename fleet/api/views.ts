// What the API says of a device: one row, from what the store knows. Scripts hang on these names.

import type { InForce, Reported } from '../../agent/contract/state.ts';
import type { StoredAssignment } from '../store/assignments.ts';
import type { Device } from '../store/devices.ts';

/**
 * never: enrolled, not seen. up. bye: it said goodbye. gone: the broker lost it a moment ago.
 * offline: gone for longer than a reconnect takes.
 */
export type DeviceState = 'never' | 'up' | 'bye' | 'gone' | 'offline';

export interface DeviceView {
  readonly device: string;
  readonly hostname: string;
  readonly hardwareId: string;
  readonly state: DeviceState;
  /** Since when, unix milliseconds. */
  readonly stateAt: number | null;
  readonly agent: string | null;
  readonly kernel: string | null;
  readonly architecture: string | null;
  readonly inForce: InForce | null;
  readonly desired: AssignmentView | null;
  readonly reported: Reported | null;
  readonly reportedAt: number | null;
  readonly enrolledAt: number;
  readonly certificateExpires: number;
}

export interface AssignmentView {
  readonly serial: number;
  readonly digest: string;
  readonly issuedAt: number;
  /** `offered` until the device says something of it. */
  readonly result: NonNullable<StoredAssignment['result']> | 'offered';
  readonly reason: StoredAssignment['reason'];
  readonly refusal: StoredAssignment['refusal'];
  readonly resultAt: number | null;
}

/** A will is published at each loss of a connection; most are back before this. */
const goneMs = 90_000;

export function deviceView(device: Device, assignment: StoredAssignment | null, now: number): DeviceView {
  const { birth, reported } = device;
  return {
    device: device.id,
    hostname: device.hostname,
    hardwareId: device.hardwareId,
    state: stateOf(device, now),
    stateAt: device.presenceAt,
    agent: birth?.agent ?? null,
    kernel: birth?.kernel ?? null,
    architecture: birth?.architecture ?? null,
    // Null in a report says that the baseline is in force, not that nothing was said.
    inForce: (reported ?? birth)?.inForce ?? null,
    desired: assignment === null ? null : assignmentView(assignment),
    reported,
    reportedAt: device.reportedAt,
    enrolledAt: device.enrolledAt,
    certificateExpires: device.certificateExpires,
  };
}

export function assignmentView(assignment: StoredAssignment): AssignmentView {
  const { serial, digest, issuedAt, result, reason, refusal, resultAt } = assignment;
  return { serial, digest, issuedAt, result: result ?? 'offered', reason, refusal, resultAt };
}

export function stateOf(device: Pick<Device, 'presence' | 'presenceAt'>, now: number): DeviceState {
  const isLong = device.presenceAt !== null && now - device.presenceAt > goneMs;
  return device.presence === 'gone' && isLong ? 'offline' : device.presence;
}
