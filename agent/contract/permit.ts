// A permit: the fleet lets somebody on the device do one thing once, where the device itself would not believe him (a
// login that comes from a shielded service). Signed as an assignment is (bundle.ts), carried by hand.

/** `unprotect` lets go of Husk's protection for a while: for `unload`, and for an upgrade. */
export const permitPurposes = ['unprotect', 'return', 'apply'] as const;
export type PermitPurpose = (typeof permitPurposes)[number];

export interface Permit {
  readonly v: 1;
  readonly tenant: string;
  readonly device: string;
  readonly purpose: PermitPurpose;
  /** Random, hex, 16 bytes: a device takes a permit once. */
  readonly id: string;
  /** The boot it is good for, as `husk-agent status` tells it (/proc/sys/kernel/random/boot_id). */
  readonly boot: string;
  /** Unix seconds. */
  readonly notAfter: number;
}

/** Longest time that protection may be let go of, in seconds. */
export const unprotectSecondsMax = 3600;
