// The flow by which documents become what devices are to enforce:
// documents → checked → bundle with its serial → an assignment signed for each device → desired state.
//
// Bundle, assignments and the audit entry are one transaction: a serial that was given to one device is on
// record for all. What is published afterwards is only a copy; it is published again at each connection to
// the broker, so that a broker that lost it, or was away, has it soon.

import type { Logger } from 'pino';
import { type Assignment, payloadTypes } from '../agent/contract/bundle.ts';
import { envelopeBytesMax } from '../agent/contract/limits.ts';
import type { PolicyDocument } from '../agent/contract/policy.ts';
import { RefusalError } from '../agent/contract/refusal.ts';
import { messageOf } from '../agent/contract/thrown.ts';
import { deviceTopics } from '../agent/contract/topics.ts';
import { checkDocuments } from '../agent/policy/check.ts';
import { checkFit } from '../agent/policy/check-fit.ts';
import { type Fault, formatFault } from '../agent/policy/faults.ts';
import { parseDocuments } from '../agent/policy/parse.ts';
import { type Clock, unixSeconds } from './clock.ts';
import { canonicalJson, writeBundle } from './policy/bundle.ts';
import type { Signer } from './signer/signer.ts';
import type { StoredBundle } from './store/bundles.ts';
import type { Store } from './store/open.ts';

export interface PublishParts {
  readonly tenant: string;
  readonly signer: Signer;
  readonly store: Pick<Store, 'bundles' | 'assignments' | 'devices' | 'audit' | 'transaction'>;
  readonly publish: (topic: string, payload: Uint8Array) => Promise<void>;
  readonly clock: Clock;
  readonly log: Logger;
}

export interface Publication {
  /** As they came from outside: parsed and checked here with the code that devices use. */
  readonly documents: readonly unknown[];
  readonly title: string;
  /** Device ids; every one is enrolled. */
  readonly devices: readonly string[];
  readonly trialSeconds: number;
  readonly who: string;
}

/** Desired states on the wire at a time. */
const atOnce = 64;

export function publishPolicy(parts: PublishParts, publication: Publication): StoredBundle {
  const { tenant, store, clock, log } = parts;
  const documents = checkedDocuments(publication.documents);
  const { bytes, digest } = writtenBundle(tenant, publication.title, documents);
  const { title, trialSeconds, devices, who } = publication;
  const bundle = store.transaction(() => {
    const stored = store.bundles.add({ digest, bytes, title, trialSeconds, createdAt: clock.now() });
    for (const device of devices) {
      if (!store.devices.isEnrolled(device)) throw new RangeError(`no device ${device} is enrolled`);
      const envelope = signAssignment(parts, device, stored);
      store.assignments.add({ device, serial: stored.serial, digest, envelope, issuedAt: clock.now() });
    }
    store.audit.append(
      {
        who,
        what: 'policy.publish',
        object: `serial ${stored.serial}`,
        detail: { digest, title, devices: devices.length, trialSeconds },
      },
      clock.now(),
    );
    return stored;
  });
  log.info(
    { serial: bundle.serial, digest, bytes: bytes.length, devices: devices.length },
    'policy published',
  );
  publishDesired(parts, devices);
  return bundle;
}

/** Desired state of these devices, or of all, once more. What does not get there now is sent with the next connection. */
export function publishDesired(
  { tenant, store, publish, log }: Pick<PublishParts, 'tenant' | 'store' | 'publish' | 'log'>,
  devices: readonly string[] | 'all',
): void {
  const { assignments } = store;
  const left = (devices === 'all' ? assignments.assignedDevices() : devices).values();
  const sendNext = async (): Promise<void> => {
    for (const device of left) {
      // Looked up only now: what was published meanwhile must not be followed by what it replaces.
      const current = store.devices.isEnrolled(device) ? assignments.current(device) : null;
      if (current === null) continue;
      try {
        await publish(deviceTopics(tenant, device).desired, current.envelope);
      } catch (error) {
        log.debug({ device, reason: messageOf(error) }, 'desired state was not published');
      }
    }
  };
  // So many at a time, each taking the next from the same list: a large fleet does not fill the session's queue.
  for (let index = 0; index < atOnce; index += 1) void sendNext();
}

/** Read and found faultless. Throws RefusalError policy.invalid. */
export function checkedDocuments(values: readonly unknown[]): readonly PolicyDocument[] {
  const { documents, faults } = parseDocuments(values);
  const isError = (fault: Fault) => fault.severity === 'error';
  const wrong = [...faults, ...checkDocuments(documents)].filter(isError);
  const errors = wrong.length > 0 ? wrong : checkFit(documents).faults.filter(isError);
  if (errors.length > 0) {
    const listed = errors.slice(0, 20).map(formatFault).join('; ');
    throw new RefusalError(
      'policy.invalid',
      errors.length > 20 ? `${listed}; and ${errors.length - 20} more` : listed,
    );
  }
  if (documents.length === 0) throw new RefusalError('policy.invalid', 'there is no document');
  return documents;
}

/** The bundle's bytes and digest. Throws RefusalError bundle.too-large. */
export function writtenBundle(
  tenant: string,
  title: string,
  documents: readonly PolicyDocument[],
): ReturnType<typeof writeBundle> {
  try {
    return writeBundle(tenant, title, documents);
  } catch (cause) {
    if (cause instanceof RangeError) throw new RefusalError('bundle.too-large', cause.message, { cause });
    throw cause;
  }
}

function signAssignment(
  { tenant, signer, clock }: PublishParts,
  device: string,
  bundle: StoredBundle,
): Uint8Array {
  const assignment: Assignment = {
    v: 1,
    tenant,
    device,
    serial: bundle.serial,
    digest: bundle.digest,
    bytes: bundle.length,
    trialSeconds: bundle.trialSeconds,
    issuedAt: unixSeconds(clock),
  };
  const text = new TextEncoder();
  const envelope = signer.sign(payloadTypes.assignment, text.encode(canonicalJson(assignment)));
  const bytes = text.encode(JSON.stringify(envelope));
  if (bytes.length > envelopeBytesMax) throw new RangeError('the signed assignment is too long');
  return bytes;
}
