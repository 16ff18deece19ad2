// Who changed what, in the order it happened. Rows are only ever appended.

import { type Database, integer, text } from './database.ts';

export interface AuditEntry {
  /** As in `operator`, `device <id>`, `controller`. */
  readonly who: string;
  /** As in `token.create`, `device.enroll`, `policy.publish`. */
  readonly what: string;
  /** The id of what was changed. */
  readonly object: string;
  readonly detail: Readonly<Record<string, string | number | boolean | null>>;
}

export interface StoredAuditEntry extends AuditEntry {
  readonly id: number;
  readonly at: number;
}

export class AuditStore {
  readonly #db: Database;
  constructor(db: Database) {
    this.#db = db;
  }

  append(entry: AuditEntry, at: number): void {
    this.#db.run(
      'INSERT INTO audit (at, who, what, object, detail) VALUES (:at, :who, :what, :object, :detail)',
      { at, who: entry.who, what: entry.what, object: entry.object, detail: JSON.stringify(entry.detail) },
    );
  }

  /** The newest `count`, oldest first. */
  tail(count: number): StoredAuditEntry[] {
    return this.#db
      .all('SELECT * FROM audit ORDER BY id DESC LIMIT :count', { count })
      .map((row) => ({
        id: integer(row, 'id'),
        at: integer(row, 'at'),
        who: text(row, 'who'),
        what: text(row, 'what'),
        object: text(row, 'object'),
        detail: JSON.parse(text(row, 'detail')) as AuditEntry['detail'],
      }))
      .reverse();
  }
}
