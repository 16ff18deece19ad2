// join line → key → enrolled → identity on the disk; at every later start only the last of these.
//
//   identity on the disk? ── yes ─▶ done
//        │ no
//        ▼
//   join line? ── none, or damaged ─▶ look again in a while: what is enforced stays so
//        │                ▲
//        ▼                │ another line: at once
//   attempt ── granted ─▶ stored ─▶ done
//     ▲  ├─ network ────▶ pause, full jitter
//     └──┴─ refused ────▶ said with its code and what to do; a long pause, since a person has to act

import type { Join } from './contract/enrollment.ts';
import { messageOf } from './contract/thrown.ts';
import { Backoff } from './os/backoff.ts';
import type { Clock } from './os/clock.ts';
import type { Log } from './os/log.ts';
import type { Random } from './os/random.ts';
import {
  type Enrolled,
  type EnrollmentParts,
  EnrollmentRefusal,
  enroll,
  UntrustedAnswer,
} from './trust/enroll.ts';
import { type Identity, type IdentityStore, makeCertificateRequest } from './trust/identity.ts';

export interface JoinParts {
  readonly store: IdentityStore;
  /** The join line as it is now; null: none. Throws where it is damaged. */
  readonly join: () => Join | null;
  readonly hardwareId: string;
  readonly hostname: string;
  /** How to reach the listener named in the join line. */
  readonly reach: (join: Join) => Pick<EnrollmentParts, 'authority' | 'open'>;
  readonly pause: { readonly baseMs: number; readonly maxMs: number };
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
}

/** A person has to look: between these, with jitter, unless the join line is another before. */
const refusedPause = { baseMs: 60_000, maxMs: 900_000 } as const;
/** How often a missing or refused join line is read again. */
const lookEveryMs = 2_000;

/** Resolves once this device is enrolled; rejects with the signal's reason. */
export async function joinFleet(parts: JoinParts, signal: AbortSignal): Promise<Identity> {
  const { store, clock, log } = parts;
  const known = store.load();
  if (known !== null) return known;
  const key = await store.pendingKey();
  const { identity, time } = await attemptUntilGranted(parts, key, signal);
  clock.learn(time * 1000, 'controller');
  store.store(identity);
  log.info({ tenant: identity.tenant, device: identity.device }, 'enrolled');
  return identity;
}

async function attemptUntilGranted(parts: JoinParts, key: string, signal: AbortSignal): Promise<Enrolled> {
  const { hardwareId, hostname, clock, random, log } = parts;
  const request = makeCertificateRequest(key);
  const network = new Backoff(parts.pause, random);
  const refused = new Backoff(refusedPause, random);
  const lines = new JoinLines(parts);
  for (;;) {
    const join = await lines.next(signal);
    try {
      const reach = parts.reach(join);
      return await enroll({ ...reach, join, key, request, hardwareId, hostname, random }, signal);
    } catch (error) {
      signal.throwIfAborted();
      const why = messageOf(error);
      if (error instanceof EnrollmentRefusal || error instanceof UntrustedAnswer) {
        const pauseMs = refused.nextMs();
        log.error({ why, pauseMs }, 'enrollment refused');
        await lines.waitForAnother(join, pauseMs, signal);
      } else {
        const pauseMs = network.nextMs();
        log.warn({ why, pauseMs }, 'enrollment: not yet');
        await clock.sleep(pauseMs, signal);
      }
    }
  }
}

/** The join line, which an operator may put there, or replace, at any time. */
class JoinLines {
  readonly #parts: JoinParts;
  /** The last complaint, so that it is not said every other second. */
  #complaint: string | null = null;

  constructor(parts: JoinParts) {
    this.#parts = parts;
  }

  async next(signal: AbortSignal): Promise<Join> {
    for (;;) {
      const join = this.#read();
      if (join !== null) return join;
      await this.#parts.clock.sleep(lookEveryMs, signal);
    }
  }

  async waitForAnother(join: Join, pauseMs: number, signal: AbortSignal): Promise<void> {
    const { clock } = this.#parts;
    const endMs = clock.bootMs() + pauseMs;
    while (clock.bootMs() < endMs) {
      await clock.sleep(Math.min(lookEveryMs, endMs - clock.bootMs()), signal);
      const now = this.#read();
      if (now !== null && JSON.stringify(now) !== JSON.stringify(join)) return;
    }
  }

  #read(): Join | null {
    let complaint = 'not enrolled, and there is no join line: enforcing without a fleet';
    try {
      const join = this.#parts.join();
      if (join !== null) return join;
    } catch (error) {
      complaint = messageOf(error);
    }
    if (complaint !== this.#complaint) this.#parts.log.warn(complaint);
    this.#complaint = complaint;
    return null;
  }
}
