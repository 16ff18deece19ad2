// Enrollment tokens: one-time or counted, until a time, revocable.

import { bytes, type Database, integer, integerOrNull, type Row, text } from './database.ts';

export interface Token {
  readonly id: string;
  readonly secret: Uint8Array;
  readonly uses: number;
  readonly usesLeft: number;
  readonly createdAt: number;
  readonly expiresAt: number;
  readonly revokedAt: number | null;
}

export class TokenStore {
  readonly #db: Database;
  constructor(db: Database) {
    this.#db = db;
  }

  add(token: Omit<Token, 'usesLeft' | 'revokedAt'>): void {
    this.#db.run(
      `INSERT INTO tokens (id, secret, uses, uses_left, created_at, expires_at)
       VALUES (:id, :secret, :uses, :uses, :createdAt, :expiresAt)`,
      { ...token },
    );
  }

  find(id: string): Token | null {
    const row = this.#db.get('SELECT * FROM tokens WHERE id = :id', { id });
    return row === undefined ? null : tokenOf(row);
  }

  list(): Token[] {
    return this.#db.all('SELECT * FROM tokens ORDER BY created_at, id').map(tokenOf);
  }

  /** Takes one use; false where there is none left. */
  use(id: string): boolean {
    return (
      this.#db.run('UPDATE tokens SET uses_left = uses_left - 1 WHERE id = :id AND uses_left > 0', { id })
        .changes === 1
    );
  }

  /** False where there is no such token; a second time changes nothing. */
  revoke(id: string, at: number): boolean {
    return (
      this.#db.run('UPDATE tokens SET revoked_at = coalesce(revoked_at, :at) WHERE id = :id', { id, at })
        .changes === 1
    );
  }
}

function tokenOf(row: Row): Token {
  return {
    id: text(row, 'id'),
    secret: bytes(row, 'secret'),
    uses: integer(row, 'uses'),
    usesLeft: integer(row, 'uses_left'),
    createdAt: integer(row, 'created_at'),
    expiresAt: integer(row, 'expires_at'),
    revokedAt: integerOrNull(row, 'revoked_at'),
  };
}
