// What each device judges in shadow, or last did: one a device.

import { bytes, type Database, integer, type Row, text } from './database.ts';

export interface StoredShadow {
  readonly device: string;
  readonly serial: number;
  readonly digest: string;
  /** The signed envelope as JSON: the very bytes that are published. */
  readonly envelope: Uint8Array;
  readonly isStopped: boolean;
  readonly issuedAt: number;
}

export class ShadowStore {
  readonly #db: Database;
  constructor(db: Database) {
    this.#db = db;
  }

  set({ isStopped, ...shadow }: StoredShadow): void {
    this.#db.run(
      `INSERT OR REPLACE INTO shadows (device, serial, digest, envelope, stopped, issued_at)
       VALUES (:device, :serial, :digest, :envelope, :stopped, :issuedAt)`,
      { ...shadow, stopped: isStopped ? 1 : 0 },
    );
  }

  of(device: string): StoredShadow | null {
    const row = this.#db.get('SELECT * FROM shadows WHERE device = :device', { device });
    return row === undefined ? null : shadowOf(row);
  }

  /** Enrolled devices that have one. */
  devices(): string[] {
    return this.#db
      .all(
        `SELECT s.device FROM shadows s JOIN devices d ON d.id = s.device
         WHERE d.state = 'enrolled' ORDER BY s.device`,
      )
      .map((row) => text(row, 'device'));
  }
}

function shadowOf(row: Row): StoredShadow {
  return {
    device: text(row, 'device'),
    serial: integer(row, 'serial'),
    digest: text(row, 'digest'),
    envelope: bytes(row, 'envelope'),
    isStopped: integer(row, 'stopped') === 1,
    issuedAt: integer(row, 'issued_at'),
  };
}
