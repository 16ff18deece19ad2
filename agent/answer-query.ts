// question → checked → limits → run → answered in parts
//
//   read (link/inbox) ─▶ place free? ─▶ arguments ─▶ rows, before the deadline ─▶ part, part, … last
//        │                  │ no            │ unfit        │ too late
//        └─ query.malformed └─ query.busy   └─ query.arguments  └─ query.deadline   : one part with a refusal
//
// A question never changes anything and never waits in a queue: what there is no place for is told so at
// once, and the asker decides. Parts are sent one after the other, so that an answer takes no more of the
// link's places than one.

import { answerPartBytesMax, queriesMax } from './contract/limits.ts';
import type { AnswerPart, Query } from './contract/query.ts';
import { type Refusal, RefusalError } from './contract/refusal.ts';
import { messageOf } from './contract/thrown.ts';
import type { Clock } from './os/clock.ts';
import type { Log } from './os/log.ts';
import { makeParts } from './query/parts.ts';
import { type Row, runView, type ViewSource } from './query/views.ts';

export interface AnswerParts {
  readonly source: ViewSource;
  /** Publishes one part to the asker; rejects where the link is down. */
  readonly send: (who: string, part: AnswerPart) => Promise<void>;
  readonly clock: Clock;
  readonly log: Log;
}

/** Whatever the asker would wait: after this the device has better things to do. */
const withinMsMax = 60_000;

export class QueryAnswerer {
  readonly #parts: AnswerParts;
  #running = 0;
  #answered = 0;
  #refused = 0;

  constructor(parts: AnswerParts) {
    this.#parts = parts;
  }

  counts(): { readonly answered: number; readonly refused: number } {
    return { answered: this.#answered, refused: this.#refused };
  }

  /** Resolves when the answer is on its way; rejects never. */
  async answer(query: Query): Promise<void> {
    if (this.#running >= queriesMax) {
      await this.refuse(query, { code: 'query.busy', detail: `${queriesMax} questions at a time` });
      return;
    }
    this.#running += 1;
    try {
      const rows = await this.#run(query);
      for (const part of makeParts(query.id, rows, answerPartBytesMax)) {
        await this.#parts.send(query.who, part);
      }
      this.#answered += 1;
    } catch (error) {
      if (error instanceof RefusalError) await this.refuse(query, error);
      // The link went down: the asker's deadline tells him.
      else this.#parts.log.warn({ view: query.view, error: messageOf(error) }, 'query: not answered');
    } finally {
      this.#running -= 1;
    }
  }

  /** Tells the asker no, in one part. */
  async refuse(asker: Pick<Query, 'id' | 'who'>, { code, detail }: Refusal): Promise<void> {
    this.#refused += 1;
    this.#parts.log.info({ who: asker.who, code, detail }, 'query: refused');
    try {
      await this.#parts.send(asker.who, { id: asker.id, part: 0, last: true, refusal: { code, detail } });
    } catch (error) {
      this.#parts.log.warn({ error: messageOf(error) }, 'query: refusal not sent');
    }
  }

  async #run(query: Query): Promise<readonly Row[]> {
    const { source, clock } = this.#parts;
    const done = new AbortController();
    const deadline = clock.sleep(Math.min(query.withinMs, withinMsMax), done.signal).then(
      () => {
        throw new RefusalError('query.deadline', `not ready within ${query.withinMs} ms`);
      },
      // The rows were first.
      () => [],
    );
    try {
      return await Promise.race([runView(query.view, query.args, source), deadline]);
    } finally {
      done.abort();
    }
  }
}
