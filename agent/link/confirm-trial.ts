// Asks the controller to confirm a trial, over connections that were opened under the new policy.
//
// The caller has reconnected after the swap, so every connection from now on is a new one. The question is
// repeated until an answer comes: a message that was lost, or a controller that was just starting, must not
// cost the bundle its trial. An answer is only handed back here; whether it is signed, and for this trial's
// nonce, is verified in trust/. One that does not fit is the caller's reason to ask again.

import type { ConfirmationAsked, SignedEnvelope } from '../contract/bundle.ts';
import { envelopeKinds } from '../contract/envelope.ts';
import type { Clock } from '../os/clock.ts';
import type { Random } from '../os/random.ts';
import { LinkError } from './connection.ts';
import type { Session } from './session.ts';

export interface ConfirmTools {
  readonly session: Session;
  readonly clock: Clock;
  readonly random: Random;
}

/** Between questions, plus up to as much again. */
const repeatMs = 1_500;

/** The next answer that comes in. Rejects with the signal's reason when the deadline is over. */
export async function askConfirmation(
  tools: ConfirmTools,
  ask: ConfirmationAsked,
  signal: AbortSignal,
): Promise<SignedEnvelope> {
  const { session, clock, random } = tools;
  const calm = session.hurry();
  const answered = new AbortController();
  let answer: SignedEnvelope | null = null;
  const stop = session.listen((message) => {
    if (message.kind !== 'confirmed') return;
    answer = message.confirmation;
    answered.abort();
  });
  const either = AbortSignal.any([signal, answered.signal]);
  try {
    while (!either.aborted) {
      await askOnce(session, ask, either);
      await clock.sleep(repeatMs * (1 + random.fraction()), either).catch(() => {});
    }
    if (answer !== null) return answer;
    throw signal.reason;
  } finally {
    stop();
    calm();
  }
}

async function askOnce(session: Session, ask: ConfirmationAsked, signal: AbortSignal): Promise<void> {
  try {
    await session.whenUp(signal);
    const key = `confirm ${ask.nonce}`;
    await session.send(
      { topic: session.topics.ask, kind: envelopeKinds.confirmTrial, body: ask, key },
      signal,
    );
  } catch (error) {
    // Down: asked again when it is up. Aborted: the loop sees it.
    if (!(error instanceof LinkError) && !signal.aborted) throw error;
  }
}
