// Bundles by serial, and their bytes by digest.

import { bytes, type Database, integer, type Row, text } from './database.ts';

export interface StoredBundle {
  readonly serial: number;
  readonly digest: string;
  readonly length: number;
  readonly title: string;
  readonly trialSeconds: number;
  readonly createdAt: number;
}

export class BundleStore {
  readonly #db: Database;
  constructor(db: Database) {
    this.#db = db;
  }

  /** Gives the bundle its serial, higher than any before. Equal bytes are kept once. */
  add(bundle: {
    readonly digest: string;
    readonly bytes: Uint8Array;
    readonly title: string;
    readonly trialSeconds: number;
    readonly createdAt: number;
  }): StoredBundle {
    const { digest, title, trialSeconds, createdAt } = bundle;
    this.#db.run('INSERT OR IGNORE INTO blobs (digest, bytes) VALUES (:digest, :bytes)', {
      digest,
      bytes: bundle.bytes,
    });
    const { lastId } = this.#db.run(
      `INSERT INTO bundles (digest, length, title, trial_seconds, created_at)
       VALUES (:digest, :length, :title, :trialSeconds, :createdAt)`,
      { digest, length: bundle.bytes.length, title, trialSeconds, createdAt },
    );
    return { serial: lastId, digest, length: bundle.bytes.length, title, trialSeconds, createdAt };
  }

  find(serial: number): StoredBundle | null {
    const row = this.#db.get('SELECT * FROM bundles WHERE serial = :serial', { serial });
    return row === undefined ? null : bundleOf(row);
  }

  newest(count: number): StoredBundle[] {
    return this.#db.all('SELECT * FROM bundles ORDER BY serial DESC LIMIT :count', { count }).map(bundleOf);
  }

  /** Part of a bundle's bytes, without reading the rest; null where no bundle has that digest. */
  slice(digest: string, from: number, count: number): Uint8Array | null {
    const row = this.#db.get(
      'SELECT substr(bytes, :from + 1, :count) AS part FROM blobs WHERE digest = :digest',
      { digest, from, count },
    );
    return row === undefined ? null : bytes(row, 'part');
  }

  lengthOf(digest: string): number | null {
    const row = this.#db.get('SELECT length(bytes) AS length FROM blobs WHERE digest = :digest', { digest });
    return row === undefined ? null : integer(row, 'length');
  }
}

function bundleOf(row: Row): StoredBundle {
  return {
    serial: integer(row, 'serial'),
    digest: text(row, 'digest'),
    length: integer(row, 'length'),
    title: text(row, 'title'),
    trialSeconds: integer(row, 'trial_seconds'),
    createdAt: integer(row, 'created_at'),
  };
}
