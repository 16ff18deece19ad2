// What a device says of its firmware: read at boot from the read-only image, see ../os/firmware.ts.

export interface FirmwareFacts {
  /** null: not known. */
  readonly vendor: string | null;
  readonly model: string | null;
  readonly version: string | null;
  /** Why it may not end a shield, as in `/usr/lib/husk/firmware.json is on a writable mount`; null: it is trusted. */
  readonly untrusted: string | null;
}
