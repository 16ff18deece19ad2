// The flow of everything that arrives: topic → size and form → handler → database → answer.
//
//   d/<dev>/up/st, rep   device rows, guarded by session        ev   events, stored, then acknowledged
//   d/<dev>/up/ask       parts, confirmation of a trial         rs   the answer to a question of ours
//   c/<claim>/<client>/up  enrollment
//
// The broker has seen to it that only a device writes to its branch; here it is seen to that the device is
// enrolled with us. What is malformed is counted by reason and logged now and then, never more.

import type { Logger } from 'pino';
import { type Envelope, envelopeKinds } from '../agent/contract/envelope.ts';
import type { EventBatch } from '../agent/contract/event.ts';
import type { Birth, Reported } from '../agent/contract/state.ts';
import { deviceTopics, enrollmentTopics, namePattern, parseDeviceTopic } from '../agent/contract/topics.ts';
import { Allowance } from './allowance.ts';
import type { Questions } from './ask-device.ts';
import type { Clock } from './clock.ts';
import { confirmTrial } from './confirm-trial.ts';
import type { PartDelivery } from './deliver-parts.ts';
import type { Enrollment } from './enroll-device.ts';
import { type DeviceMessage, MalformedMessage, parseDeviceMessage } from './inbox/message.ts';
import type { Signer } from './signer/signer.ts';
import type { Taken } from './store/devices.ts';
import type { GroupCommit } from './store/group-commit.ts';
import type { Store } from './store/open.ts';

export interface InboxParts {
  readonly tenant: string;
  readonly who: string;
  readonly signer: Signer;
  readonly store: Pick<Store, 'devices' | 'assignments' | 'shadows' | 'events'>;
  readonly commits: GroupCommit;
  readonly enrollment: Enrollment;
  readonly delivery: PartDelivery;
  readonly questions: Questions;
  readonly publish: (topic: string, payload: string) => Promise<void>;
  readonly envelope: (kind: string, body: unknown) => Envelope;
  /** Something became known that somebody may be waiting for. */
  readonly onNews: () => void;
  readonly clock: Clock;
  readonly log: Logger;
}

type DevicePlace = NonNullable<ReturnType<typeof parseDeviceTopic>>;

/** Asks of one device for a signature: a trial needs one, and a few more where answers are lost. */
const confirmations = { burst: 10, perSecond: 1 };
/** Enrollment messages of all tokens that there are: a proof costs little, a certificate two milliseconds. */
const enrollments = { burst: 200, perSecond: 50 };
/** Of one client: it sends two, and again where an answer was lost. */
const clientEnrollments = { burst: 10, perSecond: 1 };
/**
 * Events of one stream of a device, so that a spool full of packets does not hold up alerts. A device in health
 * never comes near it, a full spool goes out in steps: what is over it is not acknowledged, so that the device
 * keeps it and sends it again.
 */
const events = { burst: 20_000, perSecond: 2000 };
/** A message weighs as much as it has events, or more where they are long: this much of it is one. */
const eventBytes = 512;
/** Log lines about one sender. */
const complaints = { burst: 3, perSecond: 1 / 60 };

export class Inbox {
  readonly #parts: InboxParts;
  readonly #confirmations: Allowance;
  readonly #enrollments: Allowance;
  readonly #clientEnrollments: Allowance;
  readonly #events: Allowance;
  readonly #complaints: Allowance;
  readonly #counts = new Map<string, number>();

  constructor(parts: InboxParts) {
    this.#parts = parts;
    const now = () => parts.clock.now();
    this.#confirmations = new Allowance({ rate: confirmations, keysMax: 50_000, now });
    this.#enrollments = new Allowance({ rate: enrollments, keysMax: 2, now });
    this.#clientEnrollments = new Allowance({ rate: clientEnrollments, keysMax: 4096, now });
    this.#events = new Allowance({ rate: events, keysMax: 150_000, now });
    this.#complaints = new Allowance({ rate: complaints, keysMax: 4096, now });
  }

  /** What was taken and what was not, since the start. */
  counts(): Readonly<Record<string, number>> {
    return Object.fromEntries(this.#counts);
  }

  receive(topic: string, payload: Uint8Array): void {
    try {
      const place = parseDeviceTopic(topic);
      if (place === null) this.#receiveEnrollment(topic, payload);
      else this.#receiveFromDevice(place, payload);
    } catch (error) {
      // A fault of ours, or of the disk. One message must not be able to end the controller of a whole fleet.
      this.#count('failed');
      this.#parts.log.error({ err: error, topic }, 'a message could not be handled');
    }
  }

  #receiveFromDevice(place: DevicePlace, payload: Uint8Array): void {
    // A retained message that its owner cleared.
    if (payload.length === 0) return;
    if (place.tenant !== this.#parts.tenant || place.direction !== 'up') return;
    if (!this.#parts.store.devices.isEnrolled(place.device)) {
      this.#complain('of a device that is not enrolled', place.device, place.leaf);
      return;
    }
    let message: DeviceMessage;
    try {
      message = parseDeviceMessage(place.leaf, payload);
    } catch (error) {
      if (!(error instanceof MalformedMessage)) throw error;
      this.#complain('malformed', place.device, `${place.leaf}: ${error.message}`);
      return;
    }
    this.#handle(place.device, message, payload.length);
  }

  #handle(device: string, message: DeviceMessage, bytes: number): void {
    const { store, commits, delivery, questions, clock } = this.#parts;
    this.#count(message.kind);
    switch (message.kind) {
      case 'birth': {
        const { envelope } = message;
        commits.add(() => this.#takeBirth(device, envelope));
        return;
      }
      case 'gone': {
        const { envelope } = message;
        commits.add(() =>
          this.#noteTaken(store.devices.takeGone(device, envelope, envelope.body.state, clock.now())),
        );
        return;
      }
      case 'reported': {
        const { envelope } = message;
        commits.add(() => this.#takeReported(device, envelope), this.#parts.onNews);
        return;
      }
      case 'events':
        this.#takeEvents(device, message.envelope, bytes);
        return;
      case 'ask-parts': {
        const asked = message.envelope.body;
        const isIts =
          store.assignments.current(device)?.digest === asked.digest ||
          store.shadows.of(device)?.digest === asked.digest;
        if (isIts) delivery.ask(device, asked);
        else this.#count('parts of a bundle that is not its own');
        return;
      }
      case 'ask-confirmation':
        this.#confirm(device, message);
        return;
      case 'answer':
        if (message.who === this.#parts.who) questions.answer(device, message.envelope.body);
        return;
      case 'metrics':
        return;
    }
  }

  #takeBirth(device: string, envelope: Envelope<Birth>): void {
    const { store, clock } = this.#parts;
    const before = store.devices.find(device)?.hostname;
    const taken = store.devices.takeBirth(device, envelope, envelope.body, clock.now());
    this.#noteTaken(taken);
    const { hostname } = envelope.body;
    if (taken !== 'taken' || before === undefined || before === hostname) return;
    // People name devices by it, and it is the device's own word: it may take the name of another.
    this.#complain('changed its host name', device, `from ${before} to ${hostname}`);
  }

  #takeReported(device: string, envelope: Envelope<Reported>): void {
    const { store, clock, log } = this.#parts;
    const taken = store.devices.takeReported(device, envelope, envelope.seq, envelope.body, clock.now());
    this.#noteTaken(taken);
    const { assignment } = envelope.body;
    if (taken !== 'taken' || assignment === null) return;
    if (store.assignments.record(device, assignment, clock.now())) {
      const { serial, result, refusal, reason } = assignment;
      log.info({ device, serial, result, refusal, reason }, 'assignment');
    }
  }

  #takeEvents(device: string, { boot, body }: Envelope<EventBatch>, bytes: number): void {
    const { tenant, store, commits, envelope, onNews, clock } = this.#parts;
    const weight = Math.max(body.events.length, Math.ceil(bytes / eventBytes));
    if (!this.#events.take(`${device} ${body.stream}`, weight)) {
      this.#complain('events over the rate', device, `${body.stream}: ${body.events.length}`);
      return;
    }
    let upTo: number | null = null;
    const work = () => {
      const appended = store.events.append(device, body, boot, clock.now());
      upTo = appended.upTo;
      if (appended.conflicting > 0) {
        this.#complain('event numbers used twice', device, `${body.stream}: ${appended.conflicting}`);
      }
    };
    const after = () => {
      onNews();
      if (upTo === null) return;
      const spooled = envelope(envelopeKinds.spooled, { stream: body.stream, upTo });
      this.#answer(deviceTopics(tenant, device).acknowledge, spooled);
    };
    commits.add(work, after, body.events.length);
  }

  #confirm(device: string, message: Extract<DeviceMessage, { kind: 'ask-confirmation' }>): void {
    const { tenant, signer, store, envelope, clock, log } = this.#parts;
    const asked = message.envelope.body;
    if (!this.#confirmations.take(device)) {
      this.#count('confirmations over the rate');
      return;
    }
    const confirmation = confirmTrial(
      { tenant, signer, assignments: store.assignments, clock },
      device,
      asked,
    );
    if (confirmation === null) {
      this.#complain('confirmation asked of something else', device, `serial ${asked.serial}`);
      return;
    }
    log.info({ device, serial: asked.serial }, 'trial confirmed');
    this.#answer(
      deviceTopics(tenant, device).acknowledge,
      envelope(envelopeKinds.confirmed, { confirmation }),
    );
  }

  #receiveEnrollment(topic: string, payload: Uint8Array): void {
    const { tenant, enrollment, log } = this.#parts;
    const [root, inTenant, c, claim, client, up, ...more] = topic.split('/');
    const isUp = root === 'husk' && inTenant === tenant && c === 'c' && up === 'up' && more.length === 0;
    if (!isUp || claim === undefined || client === undefined) return;
    // Bounds what is kept by these names as well.
    if (!namePattern.test(claim) || !namePattern.test(client)) return;
    if (!this.#mayEnroll(claim, client)) {
      this.#count('enrollment messages over the rate');
      return;
    }
    const answer = enrollment.answer(claim, client, payload);
    if (answer === null) return;
    this.#count(`enrollment ${answer.step}`);
    if (answer.step === 'granted') log.info({ device: answer.device, token: claim }, 'device enrolled');
    if (answer.step === 'refused')
      this.#complain('enrollment refused', claim, `${answer.refusal.code}: ${answer.refusal.detail}`);
    this.#answer(enrollmentTopics(tenant, claim, client).down, answer);
  }

  /**
   * Whoever names a token that is not there shares with all others who do, and takes nothing of those who have
   * one: client ids cost nothing, so that a rate of each alone would hold nobody.
   */
  #mayEnroll(claim: string, client: string): boolean {
    if (!this.#clientEnrollments.take(`${claim}/${client}`)) return false;
    return this.#enrollments.take(this.#parts.enrollment.knows(claim) ? 'known' : 'unknown');
  }

  #answer(topic: string, message: unknown): void {
    this.#parts.publish(topic, JSON.stringify(message)).catch((error: Error) => {
      this.#count('answers not delivered');
      this.#parts.log.debug({ topic, reason: error.message }, 'an answer was not delivered');
    });
  }

  #noteTaken(taken: Taken): void {
    if (taken !== 'taken') this.#count(`state ${taken}`);
  }

  #complain(what: string, sender: string, detail: string): void {
    this.#count(what);
    if (!this.#complaints.take(`${what} ${sender}`)) return;
    this.#parts.log.warn({ what, sender, detail }, 'of note');
  }

  #count(what: string): void {
    this.#counts.set(what, (this.#counts.get(what) ?? 0) + 1);
  }
}
