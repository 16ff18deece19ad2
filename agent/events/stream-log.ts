// One stream of the spool: its numbers, its segments, and the gaps where events are gone.
//
//   oldest                                                              newest
//   [gap] [segment] [segment] [gap] [segment, written to] [records in memory]
//     ▲ dropped at the limit    ▲ memory was full while the disk was
//
// Numbers only grow and are never given twice. Each is one more than the one before, or a gap's: a gap has the
// number of the last event it stands for, so the controller has either that event (and then those before it,
// too) or the gap. Where numbers were only skipped, the gap counts none. Once a gap was handed out it does
// not change any more; what is lost later makes a gap of its own, so nothing is counted twice.
//
// The disk may answer anything at any time: every method leaves the stream in order and returns.

import type { GapEvent, HuskEvent, SpooledEvent, Stream } from '../contract/event.ts';
import { batchBytesMax } from '../contract/limits.ts';
import type { MarkedGap, StreamMarks } from './marks.ts';
import { Pending } from './pending.ts';
import {
  findRecord,
  flagGap,
  headerBytes,
  payloadBytesMax,
  recordBytes,
  recordHeadBytes,
  recordIsGap,
  recordPayload,
  recordSeq,
  sealRecords,
} from './record.ts';
import { parseGap, Segment, segmentBytesMax } from './segment.ts';
import type { When } from './when.ts';

/** Segments a stream's share is made of: what is dropped at the limit is about a sixteenth of it. */
const segmentsPerShare = 16;
const segmentBytesLeast = 4096;
/** A file takes a block of the file system, however short it is: bounds the count of files, too. */
const blockBytes = 4096;
/** Gaps that the marks have room for. Further ones are found again from the segments' ordinals. */
const markedGapsMax = 8;
/** Envelope and body around a batch's events. */
const batchWrapBytes = 2048;
/** `"seq":9007199254740991,` and `"boot":"…",` of one event, which its record does not have. */
const seqTextBytes = 24;
const bootTextBytes = 48;

interface Gap extends MarkedGap {
  readonly kind: 'gap';
  handedOut: boolean;
}

type Piece = Segment | Gap;

export interface StreamLogOptions {
  readonly stream: Stream;
  readonly folder: string;
  /** Of all its segments. */
  readonly bytesMax: number;
  /** Of records that are not on disk. */
  readonly memoryBytesMax: number;
  readonly boot: string;
  readonly now: () => When;
  /** Writes the marks: called before a file is removed whose events they must then account for. */
  readonly saveMarks: () => void;
  /** Whether segments may be made. */
  readonly mayWrite: () => boolean;
  /** What the disk answered; null: it took what it was given. */
  readonly onDisk: (code: string | null) => void;
}

export class StreamLog {
  readonly #options: StreamLogOptions;
  readonly #segmentBytes: number;
  readonly #pending: Pending;
  #pieces: Piece[] = [];
  /** Acknowledged segments whose files go once the marks are on the disk. */
  #doomed: Segment[] = [];
  #nextSeq = 1;
  /** Records ever given. */
  #ordinal = 0;
  #acknowledged = 0;
  #acknowledgedOrdinal = 0;
  #lost = 0;
  /** When holes in segments were lost is not known: since the start, as far as we can tell. */
  #holeWhen: When = { mono: 0, ts: null, tq: 'none' };
  /** Gap events that went with what was dropped: to be recorded anew. */
  readonly #owed = new Map<GapEvent['where'], number>();
  #paying = false;
  /** Where the last batch ended, so that the next need not search its segment from the start. */
  #cursor: { readonly segment: Segment; readonly seq: number; readonly offset: number } | null = null;

  constructor(options: StreamLogOptions) {
    this.#options = options;
    this.#segmentBytes = Math.min(
      Math.max(Math.floor(options.bytesMax / segmentsPerShare), segmentBytesLeast),
      segmentBytesMax / 2,
    );
    this.#pending = new Pending(options.memoryBytesMax);
  }

  get lastSeq(): number {
    return this.#nextSeq - 1;
  }

  get acknowledged(): number {
    return this.#acknowledged;
  }

  get lost(): number {
    return this.#lost;
  }

  /** Records not acknowledged, gaps as what they stand for. */
  get pendingCount(): number {
    return this.#ordinal - this.#acknowledgedOrdinal;
  }

  get inMemory(): number {
    return this.#pending.count;
  }

  /** Bytes of its files. */
  get bytes(): number {
    let sum = 0;
    for (const piece of this.#pieces) if (piece.kind === 'segment') sum += fileBytes(piece.bytes);
    for (const segment of this.#doomed) sum += fileBytes(segment.bytes);
    return sum;
  }

  marks(): StreamMarks {
    const gaps = this.#pieces.filter((piece) => piece.kind === 'gap').slice(0, markedGapsMax);
    return {
      acknowledged: this.#acknowledged,
      acknowledgedOrdinal: this.#acknowledgedOrdinal,
      ordinal: this.#ordinal,
      next: this.#nextSeq,
      gaps: gaps.map(({ seq, lost, ordinal, when, boot }) => ({ seq, lost, ordinal, when, boot })),
      lost: this.#lost,
    };
  }

  /**
   * Takes up what an earlier process left: its segments in any order, its marks where there are any, and how
   * many events were cut off behind the last segment. `nextSeqLeast` is the least number to go on with.
   */
  adopt(left: {
    readonly segments: readonly Segment[];
    readonly marks: StreamMarks | null;
    readonly torn: number;
    readonly nextSeqLeast: number;
  }): void {
    const { marks } = left;
    this.#holeWhen = this.#options.now();
    const segments = [...left.segments].sort((a, b) => a.firstSeq - b.firstSeq);
    this.#lost = marks?.lost ?? 0;
    this.#acknowledged = marks?.acknowledged ?? 0;
    // Without marks nothing tells whether what came before the oldest segment was lost or acknowledged.
    this.#acknowledgedOrdinal = marks?.acknowledgedOrdinal ?? segments[0]?.header.ordinal ?? 0;

    const known: Piece[] = [...segments];
    for (const gap of marks?.gaps ?? []) known.push({ kind: 'gap', ...gap, handedOut: true });
    // A segment without records ends where the gap before it does.
    known.sort(
      (a, b) => endSeq(a) - endSeq(b) || endOrdinal(a) - endOrdinal(b) || (a.kind === 'gap' ? -1 : 1),
    );
    let expected = this.#acknowledgedOrdinal;
    let end = this.#acknowledged;
    for (const piece of known) {
      if (endSeq(piece) <= this.#acknowledged) {
        if (piece.kind === 'segment') this.#doomed.push(piece);
      } else if (piece.kind === 'gap') {
        this.#pieces.push(piece);
      } else {
        const lost = Math.max(0, piece.header.ordinal - expected);
        if (lost > 0 || piece.firstSeq > end + 1) this.#lose(piece.firstSeq - 1, lost, piece.header.ordinal);
        this.#pieces.push(piece);
      }
      expected = Math.max(expected, endOrdinal(piece));
      end = Math.max(end, endSeq(piece));
    }
    // The marks may know of more than came to the disk before the power went.
    const missing = Math.max(0, left.torn, (marks?.ordinal ?? 0) - expected);
    this.#ordinal = expected + missing;
    this.#nextSeq = Math.max(left.nextSeqLeast, end + (missing > 0 ? 2 : 1));
    if (this.#nextSeq > end + 1) this.#lose(this.#nextSeq - 1, missing, this.#ordinal);
  }

  append(event: HuskEvent, when: When): void {
    const payload = JSON.stringify({ mono: when.mono, ts: when.ts, tq: when.tq, event });
    if (payload.length * 3 > payloadBytesMax && Buffer.byteLength(payload) > payloadBytesMax) {
      // No event of ours is this long; one that is would stop a batch from ever fitting.
      this.#owe('spool', 1);
    } else {
      if (!this.#pending.makeRoom(payload.length) && !this.flush()) this.#dropPending();
      this.#pending.makeRoom(payload.length);
      this.#pending.push(this.#nextSeq, event.kind === 'gap' ? flagGap : 0, payload);
      this.#nextSeq += 1;
      this.#ordinal += 1;
    }
    this.#payOwed();
  }

  /** Writes what is in memory to segments; false where the disk did not take it. */
  flush(): boolean {
    if (this.#pending.count === 0) return true;
    this.#forgetAcknowledgedPending();
    if (!this.#options.mayWrite()) return this.#pending.count === 0;
    try {
      while (this.#pending.count > 0) {
        this.#writeSome();
        this.#payOwed();
      }
    } catch (error) {
      this.#options.onDisk(codeOf(error));
      return false;
    }
    this.#options.onDisk(null);
    return true;
  }

  /** Everything up to and with `upTo` may go. Numbers that were never given are not believed. */
  acknowledge(upTo: number): void {
    const seq = Math.min(upTo, this.lastSeq);
    if (!(seq > this.#acknowledged)) return;
    this.#acknowledgedOrdinal = Math.max(this.#acknowledgedOrdinal, this.#ordinalOf(seq));
    this.#acknowledged = seq;
    const newest = this.#pieces.at(-1);
    this.#pieces = this.#pieces.filter((piece) => {
      // The newest segment stays: it is written to, and it is what `tail` shows.
      if (endSeq(piece) > seq || (piece === newest && piece.kind === 'segment')) return true;
      if (piece.kind === 'segment') this.#doomed.push(piece);
      return false;
    });
  }

  /** The events behind `after`, as many as fit in a batch; what is given out counts as handed out. */
  read(after: number, eventsMax: number): SpooledEvent[] {
    const events: SpooledEvent[] = [];
    let room = batchBytesMax - batchWrapBytes;
    const take = (event: SpooledEvent, bytes: number): boolean => {
      room -= bytes;
      if (room < 0 || events.length >= eventsMax) return false;
      events.push(event);
      return true;
    };
    for (const piece of this.#pieces) {
      if (endSeq(piece) <= after) continue;
      if (piece.kind === 'segment') {
        if (!this.#readSegment(piece, after, take)) return events;
      } else {
        if (!take(this.#tellGap(piece), payloadBytesOfGap)) return events;
        piece.handedOut = true;
      }
    }
    this.#readPending(after, take);
    return events;
  }

  /** The newest events, oldest first, acknowledged ones too where they are still there. */
  tail(count: number): SpooledEvent[] {
    const tail: SpooledEvent[] = [];
    const all: SpooledEvent[] = [];
    const take = (event: SpooledEvent): boolean => {
      all.push(event);
      return true;
    };
    this.#readPending(0, take);
    tail.unshift(...all.splice(0).slice(-count));
    for (let index = this.#pieces.length - 1; index >= 0 && tail.length < count; index--) {
      const piece = this.#pieces[index];
      if (piece?.kind === 'segment') this.#readSegment(piece, 0, take);
      else if (piece !== undefined && piece.lost > 0) take(this.#tellGap(piece));
      tail.unshift(...all.splice(0).slice(tail.length - count));
    }
    return tail;
  }

  /** Segments with something that is not on the disk yet. */
  unsynced(): Segment[] {
    return this.#segments().filter((segment) => segment.isUnsynced);
  }

  /** Closes files that are no longer written to. After they were synced. */
  closeOld(): void {
    const newest = this.#pieces.at(-1);
    for (const segment of this.#segments()) {
      if (segment !== newest && segment.isOpen && !segment.isUnsynced) segment.close();
    }
  }

  /** Acknowledged segments whose files may go once the marks that say so are on the disk. */
  get doomed(): readonly Segment[] {
    return this.#doomed;
  }

  removeDoomed(doomed: readonly Segment[]): void {
    const going = new Set(doomed);
    for (const segment of this.#doomed) if (going.has(segment)) removeQuietly(segment);
    this.#doomed = this.#doomed.filter((segment) => !going.has(segment));
  }

  close(): void {
    for (const segment of this.#segments()) segment.close();
  }

  #segments(): Segment[] {
    return this.#pieces.filter((piece) => piece.kind === 'segment');
  }

  // Writing.

  /** One write: as many records as the segment has room for. Throws what the disk answers. */
  #writeSome(): void {
    const pending = this.#pending;
    const segment = this.#segmentToWrite();
    const { end, count } = pending.take(this.#segmentBytes - segment.bytes);
    this.#makeRoom(end - pending.start, segment);
    sealRecords(pending.bytes, pending.start, end, segment.seed);
    segment.write(pending.bytes, pending.start, end);
    pending.shift(end, count);
  }

  #segmentToWrite(): Segment {
    const newest = this.#pieces.at(-1);
    const firstSeq = this.#firstPendingSeq();
    if (newest?.kind === 'segment' && newest.isOpen) {
      // Numbers inside a segment are without a hole.
      if (newest.lastSeq + 1 === firstSeq && newest.bytes < this.#segmentBytes) return newest;
    }
    this.#makeRoom(headerBytes, null);
    const { folder, stream, boot } = this.#options;
    const ordinal = this.#ordinal - this.#pending.count;
    const segment = Segment.create(folder, { stream, boot, firstSeq, ordinal });
    this.#pieces.push(segment);
    return segment;
  }

  #makeRoom(bytes: number, keep: Segment | null): void {
    if (this.bytes + bytes + blockBytes <= this.#options.bytesMax) return;
    if (this.#doomed.length > 0) {
      this.#options.saveMarks();
      this.removeDoomed(this.#doomed);
    }
    while (this.bytes + bytes + blockBytes > this.#options.bytesMax) {
      const oldest = this.#pieces.find((piece) => piece.kind === 'segment');
      if (oldest === undefined || oldest === keep) return;
      this.#dropSegment(oldest);
    }
  }

  /** The oldest segment goes, and a gap takes its place. */
  #dropSegment(segment: Segment): void {
    const index = this.#pieces.indexOf(segment);
    const { lastSeq, endOrdinal: ordinal } = segment;
    const unacknowledged = lastSeq - Math.max(this.#acknowledged, segment.firstSeq - 1);
    const owed = segment.gapRecords.filter((gap) => gap.seq > this.#acknowledged);
    for (const gap of owed) this.#owe(gap.where, gap.lost);
    this.#pieces.splice(index, 1);
    if (unacknowledged > 0) this.#lose(lastSeq, unacknowledged - owed.length, ordinal, index);
    // In this order: a crash between the two leaves the file, and what it holds is sent; never a hole.
    this.#options.saveMarks();
    removeQuietly(segment);
  }

  /** Memory is full and the disk takes nothing: the older half goes. */
  #dropPending(): void {
    const pending = this.#pending;
    const firstSeq = this.#firstPendingSeq();
    const { end, count } = pending.take((pending.end - pending.start) / 2);
    let gapCount = 0;
    for (let at = pending.start; at < end; at += recordBytes(pending.bytes, at)) {
      if (!recordIsGap(pending.bytes, at)) continue;
      const gap = parseGap(recordPayload(pending.bytes, at));
      if (gap === null) continue;
      gapCount += 1;
      this.#owe(gap.where, gap.lost);
    }
    pending.shift(end, count);
    this.#lose(firstSeq + count - 1, count - gapCount, this.#ordinal - pending.count);
  }

  #forgetAcknowledgedPending(): void {
    const pending = this.#pending;
    while (pending.count > 0 && this.#firstPendingSeq() <= this.#acknowledged) {
      pending.shift(pending.start + recordBytes(pending.bytes, pending.start), 1);
    }
  }

  #firstPendingSeq(): number {
    return this.#nextSeq - this.#pending.count;
  }

  // Gaps.

  /** Puts a gap for events up to `seq` among the pieces, or widens the one before it. */
  #lose(seq: number, lost: number, ordinal: number, index = this.#pieces.length): void {
    this.#lost += lost;
    const before = this.#pieces[index - 1];
    const widened = before?.kind === 'gap' && !before.handedOut ? before : null;
    this.#pieces.splice(widened === null ? index : index - 1, widened === null ? 0 : 1, {
      kind: 'gap',
      seq,
      lost: lost + (widened?.lost ?? 0),
      ordinal,
      when: this.#options.now(),
      boot: this.#options.boot,
      handedOut: false,
    });
    this.#mergeOldGaps();
  }

  /** Each try to send makes a gap that stays as it is; in a long outage the oldest are told as one all the same. */
  #mergeOldGaps(): void {
    const firstOther = this.#pieces.findIndex((piece) => piece.kind !== 'gap');
    const [oldest, next] = this.#pieces;
    if (firstOther <= markedGapsMax || oldest?.kind !== 'gap' || next?.kind !== 'gap') return;
    this.#pieces.splice(0, 2, { ...next, lost: oldest.lost + next.lost });
  }

  #owe(where: GapEvent['where'], lost: number): void {
    this.#owed.set(where, (this.#owed.get(where) ?? 0) + lost);
  }

  /** Records again the gaps that went with what was dropped. */
  #payOwed(): void {
    if (this.#paying || this.#owed.size === 0) return;
    this.#paying = true;
    const owed = [...this.#owed];
    this.#owed.clear();
    for (const [where, lost] of owed) this.append({ kind: 'gap', lost, where }, this.#options.now());
    this.#paying = false;
  }

  /** The count of records up to and with a number that was given. */
  #ordinalOf(seq: number): number {
    const firstPending = this.#firstPendingSeq();
    if (seq >= firstPending) return this.#ordinal - (this.lastSeq - seq);
    let ordinal = this.#acknowledgedOrdinal;
    for (const piece of this.#pieces) {
      if (piece.kind === 'gap') {
        if (piece.seq > seq) break;
        ordinal = piece.ordinal;
      } else {
        if (piece.firstSeq > seq) break;
        ordinal = Math.min(piece.endOrdinal, piece.header.ordinal + seq - piece.firstSeq + 1);
      }
    }
    return ordinal;
  }

  // Reading.

  /** Gives the segment's events behind `after` to `take`, holes as gaps; false where `take` had enough. */
  #readSegment(segment: Segment, after: number, take: Take): boolean {
    const cursor = this.#cursor;
    const goesOn = cursor?.segment === segment && cursor.seq === after;
    const from = goesOn ? cursor.offset : headerBytes;
    let expected = goesOn ? after + 1 : segment.firstSeq;
    const bytes = readQuietly(segment, from);
    const { seed, lastSeq } = segment;
    let at = 0;
    while (expected <= lastSeq) {
      const found = findRecord(bytes, at, { seed, seqLeast: expected, seqMost: lastSeq });
      const seq = found < 0 ? lastSeq + 1 : recordSeq(bytes, found);
      const lost = seq - Math.max(expected, after + 1);
      if (lost > 0 && !take(gapEvent(seq - 1, lost, this.#holeWhen), payloadBytesOfGap)) return false;
      if (found < 0) return true;
      if (seq > after && !this.#takeRecord(segment, bytes, found, take)) return false;
      at = found + recordBytes(bytes, found);
      expected = seq + 1;
      if (seq > after) this.#cursor = { segment, seq, offset: from + at };
    }
    return true;
  }

  #takeRecord(segment: Segment, bytes: Buffer, at: number, take: Take): boolean {
    const { boot } = segment.header;
    const seq = recordSeq(bytes, at);
    const event = parseRecord(seq, recordPayload(bytes, at), boot === this.#options.boot ? null : boot);
    return take(event ?? gapEvent(seq, 1, this.#holeWhen), recordTextBytes(bytes, at));
  }

  #tellGap({ seq, lost, when, boot }: Gap): SpooledEvent {
    const told = gapEvent(seq, lost, when);
    return boot === this.#options.boot ? told : { ...told, boot };
  }

  #readPending(after: number, take: Take): void {
    const { bytes, start, end } = this.#pending;
    for (let at = start; at < end; at += recordBytes(bytes, at)) {
      const seq = recordSeq(bytes, at);
      if (seq <= after) continue;
      const event = parseRecord(seq, recordPayload(bytes, at), null);
      if (event !== null && !take(event, recordTextBytes(bytes, at))) return;
    }
  }
}

type Take = (event: SpooledEvent, bytes: number) => boolean;

const payloadBytesOfGap = 220;

function gapEvent(seq: number, lost: number, when: When): SpooledEvent {
  return { seq, ...when, event: { kind: 'gap', lost, where: 'spool' } };
}

/** null where the JSON is not what we write, though its checksum holds. */
function parseRecord(seq: number, payload: string, boot: string | null): SpooledEvent | null {
  try {
    const { mono, ts, tq, event } = JSON.parse(payload) as Omit<SpooledEvent, 'seq'>;
    return boot === null ? { seq, mono, ts, tq, event } : { seq, mono, boot, ts, tq, event };
  } catch {
    return null;
  }
}

function recordTextBytes(bytes: Buffer, at: number): number {
  return recordBytes(bytes, at) - recordHeadBytes + seqTextBytes + bootTextBytes;
}

function endSeq(piece: Piece): number {
  return piece.kind === 'gap' ? piece.seq : piece.lastSeq;
}

function endOrdinal(piece: Piece): number {
  return piece.kind === 'gap' ? piece.ordinal : piece.endOrdinal;
}

function fileBytes(bytes: number): number {
  return Math.ceil(bytes / blockBytes) * blockBytes;
}

/** A file that cannot be read any more is a hole: its numbers become a gap. */
function readQuietly(segment: Segment, from: number): Buffer {
  try {
    return segment.read(from);
  } catch {
    return Buffer.alloc(0);
  }
}

/** A file that cannot be removed is found again at the next start, and sent or removed then. */
function removeQuietly(segment: Segment): void {
  try {
    segment.remove();
  } catch {
    segment.close();
  }
}

export function codeOf(error: unknown): string {
  const code = (error as NodeJS.ErrnoException | null)?.code;
  if (typeof code !== 'string') throw error;
  return code;
}
