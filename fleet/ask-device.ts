// A question to one device: asked, and its answer put together from parts within a deadline.

import { randomUUID } from 'node:crypto';
import { type Envelope, envelopeKinds } from '../agent/contract/envelope.ts';
import type { AnswerPart, Query, View } from '../agent/contract/query.ts';
import { type Refusal, RefusalError } from '../agent/contract/refusal.ts';
import { deviceTopics } from '../agent/contract/topics.ts';

export interface QuestionParts {
  readonly tenant: string;
  /** Our name in `up/rs/<who>`. */
  readonly who: string;
  readonly publish: (topic: string, payload: string) => Promise<void>;
  readonly envelope: (kind: string, body: unknown) => Envelope;
}

interface Pending {
  readonly device: string;
  readonly parts: Map<number, readonly unknown[]>;
  last: number | null;
  readonly resolve: (rows: readonly unknown[]) => void;
  readonly reject: (error: RefusalError) => void;
}

/** Parts of one answer: 8 MiB at 32 KiB each. */
const partsMax = 256;
const pendingMax = 256;

export class Questions {
  readonly #parts: QuestionParts;
  readonly #pending = new Map<string, Pending>();
  #unasked = 0;

  constructor(parts: QuestionParts) {
    this.#parts = parts;
  }

  /** Answers to questions that nobody asks (any more). */
  get unasked(): number {
    return this.#unasked;
  }

  /** The rows of the answer. Rejects with the device's refusal or `query.deadline`, or when it cannot be sent. */
  async ask(
    device: string,
    view: View,
    args: Readonly<Record<string, unknown>>,
    withinMs: number,
  ): Promise<readonly unknown[]> {
    if (this.#pending.size >= pendingMax) {
      throw new RefusalError('query.busy', `${pendingMax} questions are waiting for answers already`);
    }
    const { tenant, who, publish, envelope } = this.#parts;
    const id = randomUUID();
    const query: Query = { id, view, args, who, withinMs };
    let timer: NodeJS.Timeout | undefined;
    try {
      const answered = new Promise<readonly unknown[]>((resolve, reject) => {
        timer = setTimeout(
          () => reject(new RefusalError('query.deadline', `no whole answer within ${withinMs} ms`)),
          withinMs,
        );
        this.#pending.set(id, { device, parts: new Map(), last: null, resolve, reject });
      });
      // Should the sending fail, the deadline is nobody's to hear of.
      answered.catch(() => {});
      await publish(
        deviceTopics(tenant, device).request,
        JSON.stringify(envelope(envelopeKinds.query, query)),
      );
      return await answered;
    } finally {
      clearTimeout(timer);
      this.#pending.delete(id);
    }
  }

  /** A part that arrived. It must come from the device that was asked. */
  answer(device: string, part: AnswerPart): void {
    const pending = this.#pending.get(part.id);
    if (pending === undefined || pending.device !== device) {
      this.#unasked += 1;
      return;
    }
    if (part.refusal !== undefined) {
      pending.reject(refused(part.refusal));
      return;
    }
    if (part.part >= partsMax) {
      pending.reject(new RefusalError('query.malformed', `an answer of more than ${partsMax} parts`));
      return;
    }
    pending.parts.set(part.part, part.rows ?? []);
    if (part.last) pending.last = part.part;
    if (pending.last === null || pending.parts.size <= pending.last) return;
    const inOrder = [...pending.parts].sort(([a], [b]) => a - b);
    pending.resolve(inOrder.flatMap(([, rows]) => rows));
  }
}

function refused({ code, detail }: Refusal): RefusalError {
  return new RefusalError(code, detail);
}
