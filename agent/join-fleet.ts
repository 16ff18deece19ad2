// join line → key → enrolled → identity on the disk; at every later start only the last of these.
//
//   identity on the disk? ── yes ─▶ done
//        │ no
//        ▼
//   join line? ── no ─▶ wait: there is nobody to talk to, and what is enforced stays so
//        │ yes
//        ▼
//   attempt ── granted ─▶ stored ─▶ done
//     ▲  ├─ network ────▶ pause, full jitter, up to five minutes
//     └──┴─ refused ────▶ said with its code and what to do; a long pause, since a person has to act

import type { Join } from './contract/enrollment.ts';
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
  readonly join: Join | null;
  readonly hardwareId: string;
  readonly hostname: string;
  /** How to reach the listener named in the join line. */
  readonly reach: (join: Join) => Pick<EnrollmentParts, 'authority' | 'open'>;
  readonly pause: { readonly baseMs: number; readonly maxMs: number };
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
}

/** A person has to look: between these, with jitter. */
const refusedPause = { baseMs: 60_000, maxMs: 900_000 } as const;

/** Resolves once this device is enrolled; rejects with the signal's reason. */
export async function joinFleet(parts: JoinParts, signal: AbortSignal): Promise<Identity> {
  const { store, join, log } = parts;
  const known = store.load();
  if (known !== null) return known;
  if (join === null) {
    log.warn('not enrolled, and the configuration has no join line: enforcing without a fleet');
    return await never(signal);
  }
  const key = await store.pendingKey();
  const request = makeCertificateRequest(key);
  const { identity, time } = await attemptUntilGranted(
    parts,
    { ...parts.reach(join), join, key, request },
    signal,
  );
  parts.clock.learn(time * 1000, 'controller');
  store.store(identity);
  log.info({ tenant: identity.tenant, device: identity.device }, 'enrolled');
  return identity;
}

async function attemptUntilGranted(
  parts: JoinParts,
  attempt: Pick<EnrollmentParts, 'authority' | 'open' | 'join' | 'key' | 'request'>,
  signal: AbortSignal,
): Promise<Enrolled> {
  const { hardwareId, hostname, clock, random, log } = parts;
  const network = new Backoff(parts.pause, random);
  const refused = new Backoff(refusedPause, random);
  for (;;) {
    try {
      return await enroll({ ...attempt, hardwareId, hostname, random }, signal);
    } catch (error) {
      signal.throwIfAborted();
      const final = error instanceof EnrollmentRefusal || error instanceof UntrustedAnswer;
      const pauseMs = (final ? refused : network).nextMs();
      const why = error instanceof Error ? error.message : String(error);
      if (final) log.error({ why, pauseMs }, 'enrollment refused');
      else log.warn({ why, pauseMs }, 'enrollment: not yet');
      await clock.sleep(pauseMs, signal);
    }
  }
}

function never(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => {
    if (signal.aborted) reject(signal.reason);
    signal.addEventListener('abort', () => reject(signal.reason), { once: true });
  });
}
