// What the device holds of bundles, and what has become of them. Survives power loss at any write.
//
//                accept                beginTrial                 confirm
//   (nothing) ─────────▶ highest = N ─────────────▶ trial = N ─────────────▶ confirmed = N, previous = old
//                             │                        │
//                             │ refuse                 │ endTrial: returned or superseded, or found at start
//                             ▼                        ▼
//                         last = refused           last = returned: N is not tried again
//
// One record, replaced as a whole, names the bundles by digest; their bytes and assignments are files beside
// it, written before the record that names them and pruned after the one that no longer does.

import * as z from 'zod';
import { bundleBytesMax, envelopeBytesMax } from '../contract/limits.ts';
import { type Refusal, RefusalError, refusals } from '../contract/refusal.ts';
import type { AssignmentResult, InForce, ReturnReason } from '../contract/state.ts';
import { messageOf } from '../contract/thrown.ts';
import { digestPattern } from '../contract/topics.ts';
import type { Files } from '../os/files.ts';

/** The end of an assignment, or where it stands. */
export interface LastAssignment extends InForce {
  readonly result: AssignmentResult;
  readonly refusal?: Refusal;
  readonly reason?: ReturnReason;
}

/** A trial on disk: written and fsynced before the swap. */
export interface TrialMark extends InForce {
  /** Of the boot it began in, so that a reboot is told from a restart. */
  readonly bootId: string;
}

export interface StoreRecord {
  /** The highest serial ever accepted, with its digest: nothing lower is accepted again. */
  readonly highest: InForce | null;
  readonly confirmed: InForce | null;
  /** Confirmed before `confirmed`; null: the baseline. */
  readonly previous: InForce | null;
  readonly trial: TrialMark | null;
  readonly last: LastAssignment | null;
}

/** A bundle as it lies on the disk: to be verified again before it is believed. */
export interface StoredBundle {
  readonly assignment: Uint8Array;
  readonly bundle: Uint8Array;
}

const held = z.strictObject({ serial: z.int().min(1), digest: z.string().regex(digestPattern) });
const recordSchema = z.strictObject({
  v: z.literal(1),
  highest: held.nullable(),
  confirmed: held.nullable(),
  previous: held.nullable(),
  trial: held.extend({ bootId: z.string().max(64) }).nullable(),
  last: held
    .extend({
      result: z.enum(['fetching', 'verified', 'trial', 'confirmed', 'refused', 'returned', 'superseded']),
      refusal: z
        .strictObject({ code: z.enum(Object.keys(refusals) as [keyof typeof refusals]), detail: z.string() })
        .exactOptional(),
      reason: z
        .enum(['no-confirmation', 'agent-restarted', 'device-rebooted', 'local-command'])
        .exactOptional(),
    })
    .nullable(),
});

const emptyRecord: StoreRecord = { highest: null, confirmed: null, previous: null, trial: null, last: null };
const recordBytesMax = 64 * 1024;

export class BundleStore {
  readonly #files: Files;
  readonly #folder: string;
  #record: StoreRecord;

  private constructor(files: Files, folder: string, record: StoreRecord) {
    this.#files = files;
    this.#folder = folder;
    this.#record = record;
  }

  /**
   * Opens a folder, made if missing. A record that cannot be read is set aside under another name and the
   * store starts with no bundle and the floor that its files show: `damage` says so. The device then enforces
   * the baseline until it hears from the fleet.
   */
  static open(files: Files, folder: string): { readonly store: BundleStore; readonly damage: string | null } {
    files.makeFolder(folder);
    const path = `${folder}/record.json`;
    const bytes = files.readBounded(path, recordBytesMax);
    const without = { ...emptyRecord, highest: floorOfFiles(files.list(folder)) };
    if (bytes === null) return { store: new BundleStore(files, folder, without), damage: null };
    const read = readRecord(bytes);
    if (typeof read !== 'string') return { store: new BundleStore(files, folder, read), damage: null };
    let damage = `${path}: ${read}`;
    try {
      files.writeAtomic(`${folder}/record.damaged`, bytes);
    } catch (error) {
      // For people to look at; a full disk must not keep the device from starting.
      damage += ` (and could not be set aside: ${messageOf(error)})`;
    }
    return { store: new BundleStore(files, folder, without), damage };
  }

  get record(): StoreRecord {
    return this.#record;
  }

  /**
   * Decides whether a verified assignment may go on, and raises the floor if it does. Throws RefusalError
   * bundle.serial-older, bundle.serial-reused, bundle.returned-before. False: it is in force already.
   */
  accept(assignment: InForce): boolean {
    const { highest, confirmed, trial, last } = this.#record;
    const { serial, digest } = assignment;
    if (highest !== null && serial < highest.serial) {
      throw new RefusalError('bundle.serial-older', `serial ${serial}, accepted ${highest.serial} before`);
    }
    if (highest !== null && serial === highest.serial && digest !== highest.digest) {
      throw new RefusalError(
        'bundle.serial-reused',
        `serial ${serial} with digest ${digest.slice(0, 12)}, known with ${highest.digest.slice(0, 12)}`,
      );
    }
    if (confirmed?.serial === serial) return false;
    // A mark that is still there is of a trial that an earlier start found and a full disk let nobody end.
    if (trial?.serial === serial)
      throw new RefusalError('bundle.returned-before', `serial ${serial}: its trial was cut short`);
    if (last?.serial === serial && last.result === 'returned') {
      throw new RefusalError(
        'bundle.returned-before',
        `serial ${serial}: ${last.reason ?? 'no reason on record'}`,
      );
    }
    if (highest?.serial !== serial) this.#write({ ...this.#record, highest: { serial, digest } });
    return true;
  }

  /** Keeps the bytes of a verified bundle. */
  keep(assignment: InForce, stored: StoredBundle): void {
    this.#disk(() => {
      this.#files.writeAtomic(this.#bundlePath(assignment), stored.bundle);
      this.#files.writeAtomic(this.#assignmentPath(assignment), stored.assignment);
    });
  }

  /** null: not on the disk any more. */
  load(assignment: InForce): StoredBundle | null {
    const bundle = this.#files.readBounded(this.#bundlePath(assignment), bundleBytesMax);
    const envelope = this.#files.readBounded(this.#assignmentPath(assignment), envelopeBytesMax);
    return bundle === null || envelope === null ? null : { bundle, assignment: envelope };
  }

  /** Before the swap. From here on a start that finds this mark counts the trial as returned. */
  beginTrial(assignment: InForce, bootId: string): void {
    const { serial, digest } = assignment;
    this.#write({
      ...this.#record,
      trial: { serial, digest, bootId },
      last: { serial, digest, result: 'trial' },
    });
  }

  /** After the live word was confirmed. */
  confirm(assignment: InForce): void {
    const { serial, digest } = assignment;
    const before = this.#record.confirmed;
    const previous = before?.serial === serial ? this.#record.previous : before;
    this.#write({
      ...this.#record,
      confirmed: { serial, digest },
      previous,
      trial: null,
      last: { serial, digest, result: 'confirmed' },
    });
    this.#prune();
  }

  /** A trial that did not end well. */
  endTrial(
    assignment: InForce,
    end: { readonly result: 'returned'; readonly reason: ReturnReason } | { readonly result: 'superseded' },
  ): void {
    const { serial, digest } = assignment;
    const { confirmed, previous } = this.#record;
    // Confirmed once, tried again and returned: what cut the device off is not enforced at the next start.
    const isUndone = end.result === 'returned' && confirmed?.serial === serial;
    const held = isUndone ? { confirmed: previous, previous: null } : {};
    this.#write({ ...this.#record, ...held, trial: null, last: { serial, digest, ...end } });
    this.#prune();
  }

  /** An assignment that never came to a trial. */
  refuse(assignment: InForce, refusal: Refusal): void {
    const { serial, digest } = assignment;
    const { code, detail } = refusal;
    this.#write({ ...this.#record, last: { serial, digest, result: 'refused', refusal: { code, detail } } });
    this.#prune();
  }

  /** Its files are damaged: the one before it is what we have, and this one is taken again when it is offered. */
  forgetConfirmed(): void {
    this.#write({ ...this.#record, confirmed: this.#record.previous, previous: null });
    this.#prune();
  }

  /** `husk-agent return`: the previous bundle, or the baseline, is what is confirmed from now on. */
  returnToPrevious(): void {
    const { confirmed, previous } = this.#record;
    const last: LastAssignment | null =
      confirmed === null ? this.#record.last : { ...confirmed, result: 'returned', reason: 'local-command' };
    this.#write({ ...this.#record, confirmed: previous, previous: null, trial: null, last });
    this.#prune();
  }

  #write(record: StoreRecord): void {
    this.#disk(() =>
      this.#files.writeAtomic(`${this.#folder}/record.json`, `${JSON.stringify({ v: 1, ...record })}\n`),
    );
    this.#record = record;
  }

  /** Files that no field of the record names. A failure leaves some lying; the next prune takes them. */
  #prune(): void {
    const { confirmed, previous, trial } = this.#record;
    const keep = new Set(['record.json', 'record.damaged']);
    for (const one of [confirmed, previous, trial]) {
      if (one === null) continue;
      keep.add(`${one.digest}.bundle`);
      keep.add(`${one.serial}.assignment`);
    }
    try {
      for (const name of this.#files.list(this.#folder)) {
        if (!keep.has(name)) this.#files.remove(`${this.#folder}/${name}`);
      }
    } catch {
      // The record is written and holds; what could not be removed is found again at the next prune.
    }
  }

  #bundlePath(assignment: InForce): string {
    return `${this.#folder}/${assignment.digest}.bundle`;
  }

  #assignmentPath(assignment: InForce): string {
    return `${this.#folder}/${assignment.serial}.assignment`;
  }

  #disk(action: () => void): void {
    try {
      action();
    } catch (error) {
      throw new RefusalError('bundle.storage', messageOf(error), {
        cause: error,
      });
    }
  }
}

/**
 * What the names of assignments beside a lost record still prove: such a serial was accepted once, so nothing
 * lower is; the serial itself may come again, to be tried anew.
 */
function floorOfFiles(names: readonly string[]): InForce | null {
  const serials = names.flatMap((name) => {
    const [, digits] = /^([1-9][0-9]{0,15})\.assignment$/.exec(name) ?? [];
    return digits === undefined ? [] : [Number(digits)];
  });
  const serial = Math.max(0, ...serials) - 1;
  return serial < 1 ? null : { serial, digest: '0'.repeat(64) };
}

/** The record, or what is wrong with it. */
function readRecord(bytes: Uint8Array): StoreRecord | string {
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
  } catch (error) {
    return messageOf(error);
  }
  const result = recordSchema.safeParse(value);
  if (!result.success)
    return result.error.issues.map((issue) => `${issue.path.join('.')}: ${issue.message}`).join('; ');
  const { v: _, ...record } = result.data;
  return record;
}
