// Events of all devices, each once, with what was lost beside them.
//
// A device deletes what was acknowledged, so `upTo` may only name a number below which nothing is missing.
// A broker under pressure may drop a batch in the middle; then the next one leaves numbers out:
//
//   up to 10, batch 21–30 arrives ─▶ stored, not acknowledged, held at 21
//     batch 11–20 arrives         ─▶ nothing is missing: up to 30
//     batch 21–30 arrives again   ─▶ the device has nothing older: 10 numbers are lost, unexplained; up to 30
//     or `heldMs` have passed     ─▶ the same
//
// Numbers that are missing before a gap event of the spool's are explained by it: the device dropped them at its limit, or
// skipped them after a crash. It counts what it dropped and was not told that we have; what we have, we know.
//
// Kept are at most `rowsMax` events and none older than `ageMs`; the oldest go first.

import type { EventBatch, HuskEvent, SpooledEvent, Stream } from '../../agent/contract/event.ts';
import { type Database, integer, integerOrNull, type Row, text } from './database.ts';

export interface StoredEvent extends SpooledEvent {
  /** The controller's own number, in order of arrival. */
  readonly id: number;
  readonly device: string;
  readonly stream: Stream;
  readonly boot: string;
  readonly receivedAt: number;
}

export interface Appended {
  readonly stored: number;
  readonly duplicates: number;
  /** Numbers that were used for something else before: the device's spool began anew. */
  readonly conflicting: number;
  /** What may be acknowledged; null while numbers are missing. */
  readonly upTo: number | null;
}

export interface Gap {
  readonly device: string;
  readonly stream: Stream;
  readonly lost: number;
  readonly place: string;
}

export interface Retention {
  readonly rowsMax: number;
  readonly ageMs: number;
}

export const retentionDefault: Retention = { rowsMax: 2_000_000, ageMs: 30 * 24 * 3600 * 1000 };
const heldMs = 60_000;
/** Rows that go in one step, so that no step holds the database for long. */
const pruneRows = 5000;

export class EventStore {
  readonly #db: Database;
  constructor(db: Database) {
    this.#db = db;
  }

  /** In a transaction of the caller's. The batch's events are in rising order. */
  append(device: string, batch: EventBatch, boot: string, now: number): Appended {
    const { stream } = batch;
    const first = batch.events[0];
    if (first === undefined) return { stored: 0, duplicates: 0, conflicting: 0, upTo: null };
    const known = this.#stream(device, stream);
    const before = known?.upTo ?? first.seq - 1;

    let stored = 0;
    let duplicates = 0;
    let conflicting = 0;
    let reached = known?.upTo ?? 0;
    for (const event of batch.events) {
      const isNew = event.seq > before && this.#insert(device, stream, event, boot, now, reached);
      reached = Math.max(reached, event.seq);
      if (isNew) stored += 1;
      else if (this.#isSame(device, stream, event)) duplicates += 1;
      else conflicting += 1;
    }

    const next = this.#advance(device, stream, batch, known, before, now);
    this.#db.run(
      `INSERT INTO streams (device, stream, up_to, held_first, held_at, stored, duplicates, conflicting)
       VALUES (:device, :stream, :upTo, :heldFirst, :heldAt, :stored, :duplicates, :conflicting)
       ON CONFLICT (device, stream) DO UPDATE SET up_to = :upTo, held_first = :heldFirst, held_at = :heldAt,
         stored = stored + :stored, duplicates = duplicates + :duplicates, conflicting = conflicting + :conflicting`,
      { device, stream, stored, duplicates, conflicting, ...next },
    );
    return { stored, duplicates, conflicting, upTo: next.heldFirst === null ? next.upTo : null };
  }

  /** Oldest first, after `after`. */
  list(filter: {
    readonly after: number;
    readonly device?: string | undefined;
    readonly stream?: Stream | undefined;
    readonly limit: number;
  }): StoredEvent[] {
    const { after, device = null, stream = null, limit } = filter;
    return this.#db
      .all(
        device === null
          ? 'SELECT * FROM events WHERE id > :after AND (:stream IS NULL OR stream = :stream) ORDER BY id LIMIT :limit'
          : 'SELECT * FROM events WHERE device = :device AND id > :after AND (:stream IS NULL OR stream = :stream) ORDER BY id LIMIT :limit',
        { after, stream, limit, ...(device === null ? {} : { device }) },
      )
      .map(eventOf);
  }

  /** The newest `count`, oldest first. */
  tail(filter: {
    readonly device?: string | undefined;
    readonly stream?: Stream | undefined;
    readonly count: number;
  }): StoredEvent[] {
    const { device = null, stream = null, count } = filter;
    return this.#db
      .all(
        device === null
          ? 'SELECT * FROM events WHERE (:stream IS NULL OR stream = :stream) ORDER BY id DESC LIMIT :count'
          : 'SELECT * FROM events WHERE device = :device AND (:stream IS NULL OR stream = :stream) ORDER BY id DESC LIMIT :count',
        { stream, count, ...(device === null ? {} : { device }) },
      )
      .map(eventOf)
      .reverse();
  }

  count(): number {
    return this.#range().count;
  }

  /** The number of the newest event; 0 where there is none. */
  newest(): number {
    return this.#range().newest;
  }

  /** Sums of what was lost, by device, stream and place. */
  gaps(device?: string): Gap[] {
    const where = device === undefined ? '' : 'WHERE device = :device';
    return this.#db
      .all(
        `SELECT device, stream, place, sum(lost) AS lost FROM gaps ${where} GROUP BY device, stream, place`,
        device === undefined ? {} : { device },
      )
      .map((row) => ({
        device: text(row, 'device'),
        stream: text(row, 'stream') as Stream,
        lost: integer(row, 'lost'),
        place: text(row, 'place'),
      }));
  }

  /** Deletes one step's worth of what is over the bounds; says how many, so that the caller may go on later. */
  prune(retention: Retention, now: number): number {
    const { count, oldest } = this.#range();
    const over = Math.min(pruneRows, count - retention.rowsMax);
    let deleted = 0;
    if (over > 0) {
      deleted += this.#db.run('DELETE FROM events WHERE id < :id', { id: oldest + over }).changes;
    }
    deleted += this.#db.run(
      `DELETE FROM events WHERE received_at < :before
         AND id IN (SELECT id FROM events ORDER BY id LIMIT ${pruneRows})`,
      { before: now - retention.ageMs },
    ).changes;
    this.#db.run('DELETE FROM gaps WHERE received_at < :before', { before: now - retention.ageMs });
    return deleted;
  }

  #insert(
    device: string,
    stream: Stream,
    spooled: SpooledEvent,
    boot: string,
    now: number,
    reached: number,
  ): boolean {
    const { seq, mono, ts, tq, event } = spooled;
    const { changes } = this.#db.run(
      `INSERT OR IGNORE INTO events (device, stream, seq, boot, mono, ts, tq, received_at, kind, event)
       VALUES (:device, :stream, :seq, :boot, :mono, :ts, :tq, :now, :kind, :event)`,
      {
        device,
        stream,
        seq,
        boot: spooled.boot ?? boot,
        mono,
        ts,
        tq,
        now,
        kind: event.kind,
        event: JSON.stringify(event),
      },
    );
    if (changes === 1 && event.kind === 'gap') {
      // Those up to `reached` are here.
      const lost = standsForNumbers(event) ? Math.min(event.lost, seq - reached) : event.lost;
      this.#gap(device, stream, seq, lost, event.where, now);
    }
    return changes === 1;
  }

  /** Whether what is stored under that number is this event, or one that the device took for lost. What was pruned is taken for the same. */
  #isSame(device: string, stream: Stream, spooled: SpooledEvent): boolean {
    if (spooled.event.kind === 'gap') return true;
    const row = this.#db.get(
      'SELECT mono, event FROM events WHERE device = :device AND stream = :stream AND seq = :seq',
      { device, stream, seq: spooled.seq },
    );
    if (row === undefined) return true;
    return integer(row, 'mono') === spooled.mono && text(row, 'event') === JSON.stringify(spooled.event);
  }

  /** Where the stream stands after the batch; numbers left out inside of it are gone for good. */
  #advance(
    device: string,
    stream: Stream,
    batch: EventBatch,
    known: StreamRow | null,
    before: number,
    now: number,
  ): { readonly upTo: number; readonly heldFirst: number | null; readonly heldAt: number | null } {
    const firstSeq = batch.events[0]?.seq ?? 0;
    const held = known?.heldFirst ?? null;
    const heldAt = known?.heldAt ?? null;
    const isExplained = standsForNumbers(batch.events[0]?.event);
    const isGivenUp = isExplained || held === firstSeq || (heldAt !== null && now - heldAt >= heldMs);
    if (firstSeq > before + 1 && !isGivenUp) {
      return { upTo: before, heldFirst: held ?? firstSeq, heldAt: heldAt ?? now };
    }
    let upTo = before;
    if (held !== null && firstSeq > before + 1 && !(isExplained && firstSeq < held)) {
      // Given up: what lies before the held batch is lost, the batch itself is here.
      this.#gap(device, stream, held, held - before - 1, 'unexplained', now);
      upTo = this.#connected(device, stream, held - 1);
    }
    for (const { seq, event } of batch.events) {
      const isMissing = seq > upTo + 1 && !standsForNumbers(event);
      if (isMissing) this.#gap(device, stream, seq, seq - upTo - 1, 'unexplained', now);
      upTo = Math.max(upTo, seq);
    }
    if (held === null) return { upTo, heldFirst: null, heldAt: null };
    upTo = this.#connected(device, stream, upTo);
    return upTo >= held ? { upTo, heldFirst: null, heldAt: null } : { upTo, heldFirst: held, heldAt };
  }

  /** The end of the run of stored numbers behind `upTo`. */
  #connected(device: string, stream: Stream, upTo: number): number {
    const row = this.#db.get(
      `WITH RECURSIVE run (seq) AS (
         SELECT :upTo UNION ALL
         SELECT e.seq FROM run JOIN events e ON e.device = :device AND e.stream = :stream AND e.seq = run.seq + 1
       ) SELECT max(seq) AS seq FROM run`,
      { device, stream, upTo },
    );
    return row === undefined ? upTo : integer(row, 'seq');
  }

  #gap(device: string, stream: Stream, seq: number, lost: number, place: string, now: number): void {
    this.#db.run(
      `INSERT OR IGNORE INTO gaps (device, stream, seq, lost, place, received_at)
       VALUES (:device, :stream, :seq, :lost, :place, :now)`,
      { device, stream, seq, lost, place, now },
    );
  }

  #stream(device: string, stream: Stream): StreamRow | null {
    const row = this.#db.get('SELECT * FROM streams WHERE device = :device AND stream = :stream', {
      device,
      stream,
    });
    if (row === undefined) return null;
    return {
      upTo: integer(row, 'up_to'),
      heldFirst: integerOrNull(row, 'held_first'),
      heldAt: integerOrNull(row, 'held_at'),
    };
  }

  /** Rows go only from the oldest end, so the numbers tell how many there are. */
  #range(): { readonly oldest: number; readonly newest: number; readonly count: number } {
    const row = this.#db.get('SELECT min(id) AS oldest, max(id) AS newest FROM events');
    const oldest = row === undefined ? null : integerOrNull(row, 'oldest');
    const newest = row === undefined ? null : integerOrNull(row, 'newest');
    if (oldest === null || newest === null) return { oldest: 0, newest: 0, count: 0 };
    return { oldest, newest, count: newest - oldest + 1 };
  }
}

interface StreamRow {
  readonly upTo: number;
  readonly heldFirst: number | null;
  readonly heldAt: number | null;
}

/** What other places lost never had a number. */
function standsForNumbers(event: HuskEvent | undefined): boolean {
  return event?.kind === 'gap' && event.where === 'spool';
}

function eventOf(row: Row): StoredEvent {
  return {
    id: integer(row, 'id'),
    device: text(row, 'device'),
    stream: text(row, 'stream') as Stream,
    seq: integer(row, 'seq'),
    boot: text(row, 'boot'),
    mono: integer(row, 'mono'),
    ts: integerOrNull(row, 'ts'),
    tq: text(row, 'tq') as SpooledEvent['tq'],
    receivedAt: integer(row, 'received_at'),
    event: JSON.parse(text(row, 'event')) as SpooledEvent['event'],
  };
}
