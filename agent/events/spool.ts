// The spool: events on disk, waiting for the link. Three streams, each with its share of one byte limit.
//
//   append ─▶ memory ─▶ segment file ─▶ on the disk ─▶ published ─▶ acknowledged by the controller ─▶ removed
//
// What holds:
// - A number is never given to two events of a stream, over crashes and power cuts, as long as the folder lasts.
// - Nothing is removed before the controller said that it is in its database, but at the limit the oldest go
//   and a gap with their count takes their place. The same when the disk is full and memory is, too.
// - What a segment gives out was once put in: damaged records are holes, and holes are gaps.
// - A crash loses at most what was appended in the same turn of the event loop, a power cut at most a second
//   of packets and what a sync had not finished of the rest. What the marks know to be missing is a gap.
// - No method throws for what the disk answers. On a folder that cannot be written it works from memory.
//
// Without a sync, alerts and audit are on the disk within milliseconds and packets within a second: syncs
// are gathered, since each wears the flash.

import { constants, mkdirSync, readdirSync, rmSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { join } from 'node:path';
import {
  type EventBatch,
  type HuskEvent,
  type SpooledEvent,
  type Stream,
  streams,
} from '../contract/event.ts';
import { batchEventsMax } from '../contract/limits.ts';
import type { Clock } from '../os/clock.ts';
import type { Log } from '../os/log.ts';
import type { ToldTotals } from './losses.ts';
import { type Marks, MarksFile, readMarks } from './marks.ts';
import { parseSegmentName, Segment } from './segment.ts';
import { codeOf, StreamLog } from './stream-log.ts';
import { type When, whenAt } from './when.ts';

const spoolBytesMaxDefault = 8 * 1024 * 1024;
/** Below this a segment would hold a handful of events. */
export const spoolBytesLeast = 256 * 1024;
/** All that the three streams hold in memory while the disk takes nothing. */
export const spoolMemoryBytesMaxDefault = 512 * 1024;
const memoryBytesLeast = 64 * 1024;

const shares: Readonly<Record<Stream, number>> = { audit: 0.4, alert: 0.4, packet: 0.2 };

/** Between looks after the disk: syncs of packets, marks, files that may go. */
const tickMs = 1000;
/** Between two syncs for audit or alerts: what comes in between is gathered. */
const urgentPauseMs = 100;
/** Between tries on a disk that cannot be written at all. */
const retryMsMax = 60_000;
/**
 * How far the numbers jump after a crash: more than can have been published without being on the disk.
 * 2⁵³ numbers are enough for eight thousand million crashes.
 */
const crashJump = 2 ** 20;

export interface SpoolOptions {
  readonly folder: string;
  readonly bytesMax?: number;
  readonly memoryBytesMax?: number;
  readonly bootId: string;
  readonly clock: Clock;
  readonly log: Log;
}

export interface SpoolStatus {
  readonly folder: string;
  /** Why events are kept in memory only, as in `ENOSPC`; null: the disk takes them. */
  readonly trouble: string | null;
  readonly bytes: number;
  readonly streams: Readonly<Record<Stream, StreamStatus>>;
}

export interface StreamStatus {
  /** Events not acknowledged by the controller. */
  readonly pending: number;
  readonly bytes: number;
  readonly lastSeq: number;
  readonly acknowledged: number;
  /** Ever lost in the spool. */
  readonly lost: number;
}

/** What an earlier run left behind, for the log and the audit. */
export interface SpoolFound {
  /** fresh: there was nothing. clean: closed in order. crashed: not closed. damaged: the marks could not be read. */
  readonly how: 'fresh' | 'clean' | 'crashed' | 'damaged';
  /** Bytes behind the last good record of a stream, cut off. */
  readonly tornBytes: number;
  /** Files that were no segments, removed. */
  readonly damagedFiles: number;
}

export interface TailEvent extends SpooledEvent {
  readonly stream: Stream;
}

export class Spool {
  readonly #options: SpoolOptions;
  readonly #logs: Readonly<Record<Stream, StreamLog>>;
  #marksFile: MarksFile | null = null;
  #told: Marks['totals'];
  #found: SpoolFound = { how: 'fresh', tornBytes: 0, damagedFiles: 0 };
  #trouble: string | null = null;
  #when: When | null = null;
  #flushing = false;
  #ticking: Promise<void> | null = null;
  #retryMs = tickMs;
  #syncing: Promise<void> | null = null;
  #syncAgain = false;
  #marksChanged = false;
  readonly #closing = new AbortController();

  private constructor(options: SpoolOptions) {
    this.#options = options;
    this.#told = { boot: options.bootId, told: {} };
    const bytesMax = Math.max(options.bytesMax ?? spoolBytesMaxDefault, spoolBytesLeast);
    const memoryBytesMax = options.memoryBytesMax ?? spoolMemoryBytesMaxDefault;
    const make = (stream: Stream) =>
      new StreamLog({
        stream,
        folder: options.folder,
        bytesMax: Math.floor(bytesMax * shares[stream]),
        memoryBytesMax: Math.max(Math.floor(memoryBytesMax * shares[stream]), memoryBytesLeast),
        boot: options.bootId,
        now: () => this.#now(),
        saveMarks: () => this.#saveMarks(false),
        mayWrite: () => this.#marksFile !== null,
        onDisk: (code) => this.#onDisk(code),
      });
    this.#logs = { audit: make('audit'), alert: make('alert'), packet: make('packet') };
  }

  /** Opens the folder and takes up what is in it. Never throws for what the disk answers: see `status`. */
  static open(options: SpoolOptions): Spool {
    const spool = new Spool(options);
    spool.#adopt();
    return spool;
  }

  get found(): SpoolFound {
    return this.#found;
  }

  /** Kernel totals already told in this boot. */
  get told(): ToldTotals {
    return this.#told.told;
  }

  /** Keeps totals over restarts of the agent. */
  remember(told: ToldTotals): void {
    this.#told = { boot: this.#options.bootId, told };
    this.#saveMarks(false);
  }

  /** Takes an event that happened at `bootMs`, or now. */
  append(stream: Stream, event: HuskEvent, bootMs?: number): void {
    const log = this.#logs[stream];
    log.append(event, bootMs === undefined ? this.#now() : whenAt(bootMs, this.#now()));
    if (stream === 'packet') {
      this.#flushSoon();
    } else {
      log.flush();
      this.#syncSoon();
    }
    this.#tickSoon();
  }

  /** Events behind `after`, as many as one message may carry; null: none. */
  nextBatch(stream: Stream, after: number, eventsMax = batchEventsMax): EventBatch | null {
    const events = this.#logs[stream].read(after, eventsMax);
    return events.length === 0 ? null : { stream, events };
  }

  acknowledge(stream: Stream, upTo: number): void {
    this.#logs[stream].acknowledge(upTo);
    this.#marksChanged = true;
    this.#tickSoon();
  }

  acknowledged(stream: Stream): number {
    return this.#logs[stream].acknowledged;
  }

  lastSeq(stream: Stream): number {
    return this.#logs[stream].lastSeq;
  }

  /** The newest events of all streams, oldest first; those of earlier boots come before those of this one. */
  tail(count: number): TailEvent[] {
    const newest = streams.flatMap((stream) =>
      this.#logs[stream].tail(count).map((event) => ({ stream, ...event })),
    );
    newest.sort((a, b) => {
      if ((a.boot === undefined) !== (b.boot === undefined)) return a.boot === undefined ? 1 : -1;
      return a.boot === b.boot ? a.mono - b.mono : (a.ts ?? 0) - (b.ts ?? 0);
    });
    return newest.slice(-count);
  }

  status(): SpoolStatus {
    const of = (stream: Stream): StreamStatus => {
      const log = this.#logs[stream];
      const { bytes, lastSeq, acknowledged, lost } = log;
      return { pending: log.pendingCount, bytes, lastSeq, acknowledged, lost };
    };
    const all = { audit: of('audit'), alert: of('alert'), packet: of('packet') };
    return {
      folder: this.#options.folder,
      trouble: this.#trouble,
      bytes: streams.reduce((sum, stream) => sum + all[stream].bytes, 0),
      streams: all,
    };
  }

  /** Everything appended is on the disk when it resolves, where the disk takes it. */
  async sync(): Promise<void> {
    for (const stream of streams) this.#logs[stream].flush();
    await this.#syncAll(streams.flatMap((stream) => this.#logs[stream].unsynced()));
  }

  /** The same, and the files are closed. */
  async close(): Promise<void> {
    if (this.#closing.signal.aborted) return;
    this.#closing.abort();
    await this.#ticking;
    await this.#syncing;
    await this.sync();
    this.#saveMarks(true);
    for (const stream of streams) {
      this.#logs[stream].removeDoomed(this.#logs[stream].doomed);
      this.#logs[stream].close();
    }
    this.#marksFile?.close();
    this.#marksFile = null;
  }

  // Opening.

  #adopt(): void {
    const { folder } = this.#options;
    const { marks, isFresh } = this.#openMarks();
    const segments: Segment[] = [];
    const newestName = new Map<Stream, number>();
    const tornOf = new Map<Stream, number>();
    let damagedFiles = 0;
    let tornBytes = 0;
    for (const name of listSegments(folder)) {
      const named = parseSegmentName(name);
      if (named === null) continue;
      newestName.set(named.stream, named.firstSeq);
      const found = findQuietly(folder, name);
      // Only the newest file's end is news; a hole in an older one shows in the ordinals.
      tornOf.set(named.stream, found === null ? 1 : found.tornBytes > 0 ? 1 : 0);
      if (found === null) {
        damagedFiles += 1;
        continue;
      }
      segments.push(found.segment);
      tornBytes += found.tornBytes;
    }
    const isUsable = marks !== null && marks !== 'damaged';
    for (const stream of streams) {
      const own = segments.filter((segment) => segment.header.stream === stream);
      const of = isUsable ? marks.streams[stream] : null;
      const known = Math.max(
        newestName.get(stream) ?? 0,
        (of?.next ?? 1) - 1,
        ...own.map((segment) => segment.lastSeq),
      );
      const isClean = isUsable && marks.clean && this.#marksFile !== null && known === (of?.next ?? 1) - 1;
      this.#logs[stream].adopt({
        segments: own,
        marks: of,
        torn: isClean ? 0 : (tornOf.get(stream) ?? 0),
        nextSeqLeast: isClean || isFresh ? known + 1 : this.#jumpFrom(known, isUsable),
      });
    }
    if (isUsable && marks.totals.boot === this.#options.bootId) this.#told = marks.totals;
    const how = isFresh ? 'fresh' : !isUsable ? 'damaged' : marks.clean ? 'clean' : 'crashed';
    this.#found = { how, tornBytes, damagedFiles };
    this.#saveMarks(false);
    this.#marksChanged = true;
    if (segments.length > 0) this.#tickSoon();
  }

  /** Behind everything that can have been given before. */
  #jumpFrom(known: number, isUsable: boolean): number {
    const jumped = known + 1 + crashJump;
    if (this.#marksFile !== null && isUsable) return jumped;
    // Nothing on disk says, or will say, how far the numbers went: wall-clock time has gone on in any case.
    return Math.max(jumped, this.#options.clock.wall().ms ?? 0);
  }

  /** Opens the marks and writes into them that we are running, or says why that cannot be. */
  #openMarks(): { marks: Marks | 'damaged' | null; isFresh: boolean } {
    const { folder } = this.#options;
    const path = join(folder, 'marks');
    let file: MarksFile | null = null;
    try {
      mkdirSync(folder, { recursive: true, mode: 0o700 });
      const opened = MarksFile.open(path);
      file = opened.file;
      const { found } = opened;
      const isFresh = found === null && listSegments(folder).length === 0;
      const running: Marks =
        found === null || found === 'damaged' ? this.#marks(false) : { ...found, clean: false };
      // Twice in a new file: then both slots have their place on the disk before it can be full.
      if (found === null) file.write(running, { sync: false });
      file.write(running, { sync: true });
      this.#marksFile = file;
      return { marks: found, isFresh };
    } catch (error) {
      file?.close();
      this.#onDisk(codeOf(error));
    }
    try {
      return { marks: readMarks(path), isFresh: false };
    } catch {
      // Not there or not readable: the numbers come from the clock.
      return { marks: null, isFresh: false };
    }
  }

  // Looking after the disk.

  #flushSoon(): void {
    if (this.#flushing) return;
    this.#flushing = true;
    setImmediate(() => {
      this.#flushing = false;
      this.#logs.packet.flush();
    });
  }

  /** Syncs audit and alerts now; what comes while that runs, a moment later. */
  #syncSoon(): void {
    this.#syncAgain = true;
    this.#syncing ??= this.#syncUrgent().finally(() => {
      this.#syncing = null;
    });
  }

  async #syncUrgent(): Promise<void> {
    while (this.#syncAgain && !this.#closing.signal.aborted) {
      this.#syncAgain = false;
      await this.#syncAll([...this.#logs.audit.unsynced(), ...this.#logs.alert.unsynced()]);
      await this.#pause(urgentPauseMs);
    }
  }

  #tickSoon(): void {
    if (this.#closing.signal.aborted) return;
    this.#ticking ??= this.#tick().finally(() => {
      this.#ticking = null;
      // What came in between the last look and now.
      if (this.#hasWork()) this.#tickSoon();
    });
  }

  #hasWork(): boolean {
    if (this.#marksChanged) return true;
    return streams.some(
      (stream) => this.#logs[stream].inMemory > 0 || this.#logs[stream].unsynced().length > 0,
    );
  }

  async #tick(): Promise<void> {
    do {
      await this.#pause(this.#marksFile === null ? this.#retryMs : tickMs);
      if (this.#closing.signal.aborted) return;
      if (this.#marksFile === null && !this.#begin()) continue;
      const retired = this.#saveForRetirement();
      for (const stream of streams) this.#logs[stream].flush();
      await this.#syncAll(streams.flatMap((stream) => this.#logs[stream].unsynced()));
      for (const stream of streams) this.#logs[stream].closeOld();
      await this.#retire(retired);
    } while (this.#hasWork());
  }

  /** Tries again to write the marks, without which no segment is made. */
  #begin(): boolean {
    this.#openMarks();
    if (this.#marksFile === null) {
      this.#retryMs = Math.min(this.#retryMs * 2, retryMsMax);
      return false;
    }
    this.#retryMs = tickMs;
    this.#saveMarks(false);
    return true;
  }

  /** Writes the marks where an acknowledgement changed them; gives the segments that those marks let go. */
  #saveForRetirement(): ReadonlyMap<StreamLog, readonly Segment[]> | null {
    if (!this.#marksChanged) return null;
    this.#marksChanged = false;
    this.#saveMarks(false);
    return new Map(streams.map((stream) => [this.#logs[stream], [...this.#logs[stream].doomed]]));
  }

  /** Removes segments, once the marks that let them go are on the disk. */
  async #retire(retired: ReadonlyMap<StreamLog, readonly Segment[]> | null): Promise<void> {
    if (retired === null) return;
    try {
      await this.#marksFile?.sync();
    } catch (error) {
      // The files go all the same: a full disk must be able to become empty.
      this.#onDisk(codeOf(error));
    }
    for (const [log, segments] of retired) log.removeDoomed(segments);
  }

  async #syncAll(segments: readonly Segment[]): Promise<void> {
    const isNew = segments.some((segment) => segment.isNew);
    for (const segment of segments) {
      try {
        await segment.sync();
      } catch (error) {
        this.#onDisk(codeOf(error));
      }
    }
    // A new file's name is in its folder, and not every file system writes that with the file.
    if (isNew) await this.#syncFolder();
  }

  async #syncFolder(): Promise<void> {
    try {
      const folder = await open(this.#options.folder, constants.O_RDONLY | constants.O_DIRECTORY);
      try {
        await folder.sync();
      } finally {
        await folder.close();
      }
    } catch (error) {
      this.#onDisk(codeOf(error));
    }
  }

  async #pause(ms: number): Promise<void> {
    try {
      await this.#options.clock.sleep(ms, this.#closing.signal);
    } catch {
      // Closing: whoever waits looks at the signal.
    }
  }

  #onDisk(code: string | null): void {
    if (code === 'ENOENT') {
      // The folder was removed under us, and our marks with it: the next tick makes them anew.
      this.#marksFile?.close();
      this.#marksFile = null;
      this.#tickSoon();
    }
    if (code === this.#trouble) return;
    this.#trouble = code;
    const { folder, log } = this.#options;
    if (code === null) log.info({ folder }, 'spool: the disk takes events again');
    else log.warn({ folder, code }, 'spool: the disk does not take events; they are kept in memory');
  }

  #saveMarks(clean: boolean): void {
    if (this.#marksFile === null) return;
    try {
      this.#marksFile.write(this.#marks(clean), { sync: clean });
    } catch (error) {
      this.#onDisk(codeOf(error));
    }
  }

  #marks(clean: boolean): Marks {
    const { audit, alert, packet } = this.#logs;
    return {
      v: 1,
      clean,
      streams: { audit: audit.marks(), alert: alert.marks(), packet: packet.marks() },
      totals: this.#told,
    };
  }

  /** One look at the clock for all that happens in one turn. */
  #now(): When {
    if (this.#when !== null) return this.#when;
    const { clock } = this.#options;
    const wall = clock.wall();
    this.#when = { mono: clock.bootMs(), ts: wall.ms, tq: wall.quality };
    queueMicrotask(() => {
      this.#when = null;
    });
    return this.#when;
  }
}

/** Names of segment files, oldest first within a stream; none where the folder cannot be read. */
function listSegments(folder: string): string[] {
  try {
    return readdirSync(folder)
      .filter((name) => parseSegmentName(name) !== null)
      .sort();
  } catch {
    return [];
  }
}

/** Cuts a torn tail off and removes a file that is no segment, as far as the disk lets us. */
function findQuietly(folder: string, name: string): ReturnType<typeof Segment.find> {
  try {
    const found = Segment.find(folder, name);
    if (found === null) rmSync(join(folder, name), { force: true });
    else if (found.tornBytes > 0) found.segment.truncate();
    return found;
  } catch {
    return null;
  }
}
