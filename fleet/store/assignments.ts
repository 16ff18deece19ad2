// Which bundle each device is to enforce, and what came of it. The newest serial of a device is its current one.

import type { Refusal } from '../../agent/contract/refusal.ts';
import type { AssignmentResult, ReturnReason } from '../../agent/contract/state.ts';
import { bytes, type Database, integer, integerOrNull, type Row, text, textOrNull } from './database.ts';

export interface StoredAssignment {
  readonly device: string;
  readonly serial: number;
  readonly digest: string;
  /** The signed envelope as JSON: the very bytes that are published. */
  readonly envelope: Uint8Array;
  readonly issuedAt: number;
  /** Null before the device's first word about it. */
  readonly result: AssignmentResult | null;
  readonly reason: ReturnReason | null;
  readonly refusal: Refusal | null;
  readonly resultAt: number | null;
}

export interface Outcome {
  readonly serial: number;
  readonly digest: string;
  readonly result: AssignmentResult;
  readonly reason?: ReturnReason | undefined;
  readonly refusal?: Refusal | undefined;
}

export class AssignmentStore {
  readonly #db: Database;
  constructor(db: Database) {
    this.#db = db;
  }

  add(assignment: Pick<StoredAssignment, 'device' | 'serial' | 'digest' | 'envelope' | 'issuedAt'>): void {
    this.#db.run(
      `INSERT INTO assignments (device, serial, digest, envelope, issued_at)
       VALUES (:device, :serial, :digest, :envelope, :issuedAt)`,
      { ...assignment },
    );
  }

  current(device: string): StoredAssignment | null {
    const row = this.#db.get(
      'SELECT * FROM assignments WHERE device = :device ORDER BY serial DESC LIMIT 1',
      { device },
    );
    return row === undefined ? null : assignmentOf(row);
  }

  /** The current one of every enrolled device that has one. */
  allCurrent(): StoredAssignment[] {
    return this.#db
      .all(
        `SELECT a.* FROM assignments a JOIN devices d ON d.id = a.device
         WHERE d.state = 'enrolled' AND a.serial = (SELECT max(serial) FROM assignments WHERE device = a.device)`,
      )
      .map(assignmentOf);
  }

  /** Enrolled devices that have one. */
  assignedDevices(): string[] {
    return this.#db
      .all(
        `SELECT id FROM devices d WHERE state = 'enrolled'
           AND EXISTS (SELECT 1 FROM assignments WHERE device = d.id) ORDER BY id`,
      )
      .map((row) => text(row, 'id'));
  }

  ofBundle(serial: number): StoredAssignment[] {
    return this.#db
      .all('SELECT * FROM assignments WHERE serial = :serial ORDER BY device', { serial })
      .map(assignmentOf);
  }

  ofDevice(device: string, count: number): StoredAssignment[] {
    return this.#db
      .all('SELECT * FROM assignments WHERE device = :device ORDER BY serial DESC LIMIT :count', {
        device,
        count,
      })
      .map(assignmentOf);
  }

  /** True where this tells something new about an assignment that was really made. */
  record(device: string, outcome: Outcome, at: number): boolean {
    const { changes } = this.#db.run(
      `UPDATE assignments SET result = :result, reason = :reason, refusal = :refusal, result_at = :at
       WHERE device = :device AND serial = :serial AND digest = :digest
         AND (result IS NOT :result OR reason IS NOT :reason OR refusal IS NOT :refusal)`,
      {
        device,
        serial: outcome.serial,
        digest: outcome.digest,
        result: outcome.result,
        reason: outcome.reason ?? null,
        refusal: outcome.refusal === undefined ? null : JSON.stringify(outcome.refusal),
        at,
      },
    );
    return changes === 1;
  }
}

function assignmentOf(row: Row): StoredAssignment {
  const refusal = textOrNull(row, 'refusal');
  return {
    device: text(row, 'device'),
    serial: integer(row, 'serial'),
    digest: text(row, 'digest'),
    envelope: bytes(row, 'envelope'),
    issuedAt: integer(row, 'issued_at'),
    result: textOrNull(row, 'result') as AssignmentResult | null,
    reason: textOrNull(row, 'reason') as ReturnReason | null,
    refusal: refusal === null ? null : (JSON.parse(refusal) as Refusal),
    resultAt: integerOrNull(row, 'result_at'),
  };
}
