// What is known of each device: identity, presence, reported state.
//
//   enrolled ──▶ forgotten ──▶ enrolled (with the same key and a token)
//
// Presence is taken only if it is not older than what is known (sid grows with each connection): a last
// will that was overtaken by the next birth is dropped here.

import type { Birth, Reported } from '../../agent/contract/state.ts';
import { type Database, integer, integerOrNull, type Row, text, textOrNull } from './database.ts';

export interface Device {
  readonly id: string;
  readonly hardwareId: string;
  readonly hostname: string;
  readonly state: 'enrolled' | 'forgotten';
  readonly token: string;
  readonly enrolledAt: number;
  readonly certificateSerial: string;
  readonly certificateExpires: number;
  readonly presence: 'never' | 'up' | 'bye' | 'gone';
  readonly presenceAt: number | null;
  readonly sid: number;
  readonly boot: string;
  readonly birth: Birth | null;
  readonly reported: Reported | null;
  readonly reportedAt: number | null;
}

export interface Enrolled {
  readonly id: string;
  readonly hardwareId: string;
  readonly hostname: string;
  readonly token: string;
  readonly at: number;
  readonly certificateSerial: string;
  readonly certificateExpires: number;
}

export interface Session {
  readonly sid: number;
  readonly boot: string;
}

/** older: from a session before the one known. unknown: no such device is enrolled. */
export type Taken = 'taken' | 'older' | 'unknown';

export class DeviceStore {
  readonly #db: Database;
  constructor(db: Database) {
    this.#db = db;
  }

  /** Also for a device that enrolls again with its key: presence and history stay. */
  enroll(device: Enrolled): void {
    this.#db.run(
      `INSERT INTO devices (id, hardware_id, hostname, state, token, enrolled_at, certificate_serial, certificate_expires)
       VALUES (:id, :hardwareId, :hostname, 'enrolled', :token, :at, :certificateSerial, :certificateExpires)
       ON CONFLICT (id) DO UPDATE SET hardware_id = :hardwareId, hostname = :hostname, state = 'enrolled', token = :token,
         enrolled_at = :at, certificate_serial = :certificateSerial, certificate_expires = :certificateExpires`,
      { ...device },
    );
  }

  find(id: string): Device | null {
    const row = this.#db.get('SELECT * FROM devices WHERE id = :id', { id });
    return row === undefined ? null : deviceOf(row);
  }

  /** The device enrolled for this hardware. */
  ofHardware(hardwareId: string): Device | null {
    const row = this.#db.get(`SELECT * FROM devices WHERE hardware_id = :hardwareId AND state = 'enrolled'`, {
      hardwareId,
    });
    return row === undefined ? null : deviceOf(row);
  }

  isEnrolled(id: string): boolean {
    return this.#db.get(`SELECT 1 FROM devices WHERE id = :id AND state = 'enrolled'`, { id }) !== undefined;
  }

  listEnrolled(): Device[] {
    return this.#db.all(`SELECT * FROM devices WHERE state = 'enrolled' ORDER BY hostname, id`).map(deviceOf);
  }

  countByPresence(): Readonly<Record<string, number>> {
    const rows = this.#db.all(
      `SELECT presence, count(*) AS count FROM devices WHERE state = 'enrolled' GROUP BY presence`,
    );
    return Object.fromEntries(rows.map((row) => [text(row, 'presence'), integer(row, 'count')]));
  }

  forget(id: string): boolean {
    return (
      this.#db.run(
        `UPDATE devices SET state = 'forgotten', presence = 'never' WHERE id = :id AND state = 'enrolled'`,
        { id },
      ).changes === 1
    );
  }

  takeBirth(id: string, session: Session, birth: Birth, at: number): Taken {
    const taken = this.#takePresence(id, session, 'up', at);
    if (taken !== 'taken') return taken;
    this.#db.run('UPDATE devices SET birth = :birth, hostname = :hostname WHERE id = :id', {
      id,
      birth: JSON.stringify(birth),
      hostname: birth.hostname,
    });
    return taken;
  }

  takeGone(id: string, session: Session, state: 'bye' | 'gone', at: number): Taken {
    return this.#takePresence(id, session, state, at);
  }

  takeReported(id: string, session: Session, seq: number, reported: Reported, at: number): Taken {
    const { changes } = this.#db.run(
      `UPDATE devices SET reported = :reported, reported_at = :at, reported_sid = :sid, reported_seq = :seq
       WHERE id = :id AND state = 'enrolled'
         AND (reported_sid < :sid OR (reported_sid = :sid AND reported_seq <= :seq))`,
      { id, sid: session.sid, seq, at, reported: JSON.stringify(reported) },
    );
    return this.#takenBy(changes, id);
  }

  /** When the broker that held all sessions is new: whoever is there will say so again. */
  allGone(at: number): void {
    this.#db.run(`UPDATE devices SET presence = 'gone', presence_at = :at WHERE presence = 'up'`, { at });
  }

  #takePresence(id: string, session: Session, presence: 'up' | 'bye' | 'gone', at: number): Taken {
    const { changes } = this.#db.run(
      `UPDATE devices SET presence = :presence, presence_at = :at, sid = :sid, boot = :boot
       WHERE id = :id AND state = 'enrolled' AND (sid < :sid OR (sid = :sid AND boot = :boot))`,
      { id, presence, at, sid: session.sid, boot: session.boot },
    );
    return this.#takenBy(changes, id);
  }

  #takenBy(changes: number, id: string): Taken {
    if (changes === 1) return 'taken';
    return this.isEnrolled(id) ? 'older' : 'unknown';
  }
}

function deviceOf(row: Row): Device {
  const birth = textOrNull(row, 'birth');
  const reported = textOrNull(row, 'reported');
  return {
    id: text(row, 'id'),
    hardwareId: text(row, 'hardware_id'),
    hostname: text(row, 'hostname'),
    state: text(row, 'state') as Device['state'],
    token: text(row, 'token'),
    enrolledAt: integer(row, 'enrolled_at'),
    certificateSerial: text(row, 'certificate_serial'),
    certificateExpires: integer(row, 'certificate_expires'),
    presence: text(row, 'presence') as Device['presence'],
    presenceAt: integerOrNull(row, 'presence_at'),
    sid: integer(row, 'sid'),
    boot: text(row, 'boot'),
    birth: birth === null ? null : (JSON.parse(birth) as Birth),
    reported: reported === null ? null : (JSON.parse(reported) as Reported),
    reportedAt: integerOrNull(row, 'reported_at'),
  };
}
