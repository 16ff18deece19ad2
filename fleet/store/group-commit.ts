// Many small changes, one commit: what devices say is written together every few milliseconds.
//
//   add(work, after) ─▶ queue ─▶ 20 ms or 2000 weights ─▶ one transaction ─▶ every `after`, or none
//
// A commit waits for the disk, so one per message would allow some hundred messages a second. `after` runs
// only when the commit is on the disk: that is where a device is told that it may forget. Work that fails
// is undone alone and does not take the others with it; a commit that fails takes all, nobody is told, and
// the devices send again.

import type { Logger } from 'pino';
import type { Store } from './open.ts';

interface Change {
  readonly work: () => void;
  readonly after: () => void;
}

const waitMs = 20;
/** A batch weighs as much as it has events. */
const weightMax = 2000;

export class GroupCommit {
  readonly #store: Pick<Store, 'transaction' | 'savepoint'>;
  readonly #log: Logger;
  #queue: Change[] = [];
  #weight = 0;
  #timer: NodeJS.Timeout | null = null;
  #failed = 0;

  constructor(store: Pick<Store, 'transaction' | 'savepoint'>, log: Logger) {
    this.#store = store;
    this.#log = log;
  }

  /** Changes that failed, alone or with their commit. */
  get failed(): number {
    return this.#failed;
  }

  add(work: () => void, after: () => void = () => {}, weight = 1): void {
    this.#queue.push({ work, after });
    this.#weight += weight;
    if (this.#weight >= weightMax) this.flush();
    else this.#timer ??= setTimeout(() => this.flush(), waitMs);
  }

  /** Commits what is there, now. */
  flush(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
    const changes = this.#queue;
    this.#queue = [];
    this.#weight = 0;
    if (changes.length === 0) return;
    let done: Change[] = [];
    try {
      this.#store.transaction(() => {
        done = changes.filter((change) => this.#carryOut(change));
      });
    } catch (error) {
      this.#failed += done.length;
      this.#log.error(
        { err: error, changes: changes.length },
        'a commit failed: the database keeps nothing of it',
      );
      return;
    }
    for (const { after } of done) after();
  }

  close(): void {
    this.flush();
  }

  #carryOut({ work }: Change): boolean {
    try {
      this.#store.savepoint(work);
      return true;
    } catch (error) {
      this.#failed += 1;
      this.#log.error({ err: error }, 'a change failed and was left out');
      return false;
    }
  }
}
