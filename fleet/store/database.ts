// The controller's database: one SQLite file, one writer, changes in transactions.
//
// WAL, so that a reader (a backup, a person with sqlite3) does not stop the writer. `synchronous = FULL`,
// because an acknowledged event is deleted on its device: what was committed must survive a power cut.
// The schema grows by migrations alone; `user_version` says how many have run.

import { closeSync, openSync } from 'node:fs';
import { DatabaseSync, type SQLInputValue, type SQLOutputValue, type StatementSync } from 'node:sqlite';
import { migrations } from './migrations.ts';

export type Row = Record<string, SQLOutputValue>;
type Parameters = Readonly<Record<string, SQLInputValue>>;

const busyMs = 5000;

export class Database {
  readonly #db: DatabaseSync;
  readonly #statements = new Map<string, StatementSync>();
  #inTransaction = false;

  /** Makes the file, readable by its owner alone, where there is none. */
  constructor(path: string) {
    if (path !== ':memory:') closeSync(openSync(path, 'a', 0o600));
    this.#db = new DatabaseSync(path, { timeout: busyMs });
    this.#db.exec('PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON;');
    this.#migrate();
  }

  run(sql: string, parameters: Parameters = {}): { readonly changes: number; readonly lastId: number } {
    const { changes, lastInsertRowid } = this.#prepare(sql).run(parameters);
    return { changes: Number(changes), lastId: Number(lastInsertRowid) };
  }

  get(sql: string, parameters: Parameters = {}): Row | undefined {
    return this.#prepare(sql).get(parameters);
  }

  all(sql: string, parameters: Parameters = {}): Row[] {
    return this.#prepare(sql).all(parameters);
  }

  /** All of it or none. Does not nest: who starts one is the flow, not a table. */
  transaction<T>(work: () => T): T {
    if (this.#inTransaction) throw new Error('a transaction in a transaction');
    this.#db.exec('BEGIN IMMEDIATE');
    this.#inTransaction = true;
    try {
      const result = work();
      this.#db.exec('COMMIT');
      return result;
    } catch (error) {
      this.#db.exec('ROLLBACK');
      throw error;
    } finally {
      this.#inTransaction = false;
    }
  }

  /** Inside of a transaction: work that is undone alone if it fails. */
  savepoint<T>(work: () => T): T {
    if (!this.#inTransaction) throw new Error('a savepoint outside of a transaction');
    this.#db.exec('SAVEPOINT one');
    try {
      const result = work();
      this.#db.exec('RELEASE one');
      return result;
    } catch (error) {
      this.#db.exec('ROLLBACK TO one; RELEASE one');
      throw error;
    }
  }

  close(): void {
    this.#statements.clear();
    if (this.#db.isOpen) this.#db.close();
  }

  #prepare(sql: string): StatementSync {
    let statement = this.#statements.get(sql);
    if (statement === undefined) {
      statement = this.#db.prepare(sql);
      this.#statements.set(sql, statement);
    }
    return statement;
  }

  #migrate(): void {
    const done = Number(this.#db.prepare('PRAGMA user_version').get()?.user_version ?? 0);
    if (done > migrations.length) {
      throw new Error(
        `the database has version ${done}; this program knows ${migrations.length}: use a newer one`,
      );
    }
    for (const [index, sql] of migrations.entries()) {
      if (index < done) continue;
      this.transaction(() => this.#db.exec(`${sql}; PRAGMA user_version = ${index + 1};`));
    }
  }
}

/** Columns as the types they were declared with; the schema is STRICT. */
export function text(row: Row, column: string): string {
  const value = row[column];
  if (typeof value !== 'string') throw new TypeError(`${column} is not text`);
  return value;
}
export function textOrNull(row: Row, column: string): string | null {
  return row[column] === null ? null : text(row, column);
}
export function integer(row: Row, column: string): number {
  const value = row[column];
  if (typeof value !== 'number') throw new TypeError(`${column} is not an integer`);
  return value;
}
export function integerOrNull(row: Row, column: string): number | null {
  return row[column] === null ? null : integer(row, column);
}
export function bytes(row: Row, column: string): Uint8Array {
  const value = row[column];
  if (!(value instanceof Uint8Array)) throw new TypeError(`${column} is not bytes`);
  return value;
}
