// The flow by which a candidate policy is judged on devices beside the one that they enforce:
// documents → checked → bundle with its serial → signed for each device → published, retained → stopped in the same way.
//
// A serial is of the same count as those of policies: a device whose newest assignment is above it takes the shadow for
// over. What is published is a copy of what was stored, and is published again at each connection to the broker.

import { payloadTypes, type ShadowAssignment } from '../agent/contract/bundle.ts';
import { RefusalError } from '../agent/contract/refusal.ts';
import { messageOf } from '../agent/contract/thrown.ts';
import { deviceTopics } from '../agent/contract/topics.ts';
import { unixSeconds } from './clock.ts';
import { canonicalJson } from './policy/bundle.ts';
import { checkedDocuments, type PublishParts, writtenBundle } from './publish-policy.ts';
import type { StoredBundle } from './store/bundles.ts';
import type { ShadowStore, StoredShadow } from './store/shadows.ts';

export interface ShadowPublishParts extends PublishParts {
  readonly store: PublishParts['store'] & { readonly shadows: ShadowStore };
}

export interface ShadowPublication {
  readonly documents: readonly unknown[];
  readonly title: string;
  /** Device ids; every one is enrolled. */
  readonly devices: readonly string[];
  readonly who: string;
}

export function publishShadow(parts: ShadowPublishParts, publication: ShadowPublication): StoredBundle {
  const { tenant, store, clock, log } = parts;
  const { title, devices, who } = publication;
  const documents = checkedDocuments(publication.documents);
  if (documents.every(({ kind }) => kind === 'PacketPolicy' || kind === 'AddressSet')) {
    throw new RefusalError(
      'policy.invalid',
      'there is no hardening in it, and packets are not judged in shadow',
    );
  }
  const { bytes, digest } = writtenBundle(tenant, title, documents);
  const bundle = store.transaction(() => {
    // A shadow has no trial.
    const stored = store.bundles.add({ digest, bytes, title, trialSeconds: 0, createdAt: clock.now() });
    for (const device of devices) {
      if (!store.devices.isEnrolled(device)) throw new RangeError(`no device ${device} is enrolled`);
      keep(parts, device, stored.serial, { digest, bytes: bytes.length });
    }
    const detail = { digest, title, devices: devices.length };
    store.audit.append(
      { who, what: 'policy.shadow', object: `serial ${stored.serial}`, detail },
      clock.now(),
    );
    return stored;
  });
  log.info({ serial: bundle.serial, digest, devices: devices.length }, 'shadow published');
  publishShadows(parts, devices);
  return bundle;
}

/** Ends what is judged in shadow on these devices. Gives those on which something was. */
export function stopShadow(parts: ShadowPublishParts, devices: readonly string[], who: string): string[] {
  const { store, clock } = parts;
  const stopped = store.transaction(() => {
    const judging = devices
      .flatMap((device) => store.shadows.of(device) ?? [])
      .filter((one) => !one.isStopped);
    for (const { device, serial } of judging) keep(parts, device, serial, null);
    if (judging.length > 0) {
      const detail = { devices: judging.length };
      store.audit.append({ who, what: 'policy.shadow-stop', object: 'devices', detail }, clock.now());
    }
    return judging.map(({ device }) => device);
  });
  publishShadows(parts, stopped);
  return stopped;
}

/** Once more, for these devices or for all that have one. */
export function publishShadows(parts: ShadowPublishParts, devices: readonly string[] | 'all'): void {
  const { tenant, store, publish, log } = parts;
  const left = (devices === 'all' ? store.shadows.devices() : devices).values();
  const sendNext = async (): Promise<void> => {
    for (const device of left) {
      const shadow = store.devices.isEnrolled(device) ? store.shadows.of(device) : null;
      if (shadow === null || isOver(parts, shadow)) continue;
      try {
        await publish(deviceTopics(tenant, device).shadow, shadow.envelope);
      } catch (error) {
        log.debug({ device, reason: messageOf(error) }, 'a shadow was not published');
      }
    }
  };
  for (let index = 0; index < atOnce; index += 1) void sendNext();
}

/** On the wire at a time. */
const atOnce = 16;

/** A newer policy was assigned: the device has dropped it, or will. */
function isOver({ store }: ShadowPublishParts, { device, serial }: StoredShadow): boolean {
  return (store.assignments.current(device)?.serial ?? 0) > serial;
}

function keep(
  { tenant, signer, store, clock }: ShadowPublishParts,
  device: string,
  serial: number,
  bundle: ShadowAssignment['bundle'],
): void {
  const shadow: ShadowAssignment = { v: 1, tenant, device, serial, bundle, issuedAt: unixSeconds(clock) };
  const text = new TextEncoder();
  const envelope = text.encode(
    JSON.stringify(signer.sign(payloadTypes.shadow, text.encode(canonicalJson(shadow)))),
  );
  const digest = bundle?.digest ?? store.shadows.of(device)?.digest ?? '';
  store.shadows.set({ device, serial, digest, envelope, isStopped: bundle === null, issuedAt: clock.now() });
}
