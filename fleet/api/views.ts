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

/** How far a bundle is enforced where it is in force; what a rule's own mode asks for is not a shortfall. */
export interface EnforcementView {
  readonly rules: number;
  readonly degraded: number;
  readonly unsupported: number;
  /** Of the first rule that is not fully enforced. */
  readonly why: string | null;
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

/** Null where the device does not say that this bundle is in force. */
export function enforcementView(
  reported: Reported | null,
  bundle: Pick<InForce, 'serial' | 'digest'>,
): EnforcementView | null {
  const inForce = reported?.inForce;
  if (!reported || inForce?.serial !== bundle.serial || inForce.digest !== bundle.digest) return null;
  const { rules } = reported;
  const wanting = rules.filter(({ state }) => state === 'degraded' || state === 'unsupported');
  const degraded = wanting.filter(({ state }) => state === 'degraded').length;
  const why = wanting[0] === undefined ? null : (wanting[0].why ?? wanting[0].id);
  return { rules: rules.length, degraded, unsupported: wanting.length - degraded, why };
}

export function stateOf(device: Pick<Device, 'presence' | 'presenceAt'>, now: number): DeviceState {
  const isLong = device.presenceAt !== null && now - device.presenceAt > goneMs;
  return device.presence === 'gone' && isLong ? 'offline' : device.presence;
}
