// A fleet played by a test: Mosquitto in the controller's place, with its certificates and its signing key,
// and the test deciding what is sent and what is answered.
//
//   test process ── unix socket ──▶ mosquitto (wan namespace, the controller's address, mutual TLS) ◀── device
//
// So a test can be what no good controller is: late, silent, forging, or an enemy who owns the broker. It
// begins where a real controller has enrolled the device and was stopped.

import { spawnSync } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { connect as connectSocket } from 'node:net';
import { join } from 'node:path';
import { MqttClient } from 'mqtt';
import {
  type Assignment,
  type Confirmation,
  type ConfirmationAsked,
  type PartsAsked,
  payloadTypes,
  type SignedEnvelope,
} from '../../agent/contract/bundle.ts';
import type { Envelope } from '../../agent/contract/envelope.ts';
import { envelopeKinds } from '../../agent/contract/envelope.ts';
import type { EventBatch, SpooledEvent } from '../../agent/contract/event.ts';
import { partBytes } from '../../agent/contract/limits.ts';
import type { PolicyDocument } from '../../agent/contract/policy.ts';
import type { AnswerPart } from '../../agent/contract/query.ts';
import type { Reported } from '../../agent/contract/state.ts';
import { blobTopic, type DeviceTopics, deviceTopics } from '../../agent/contract/topics.ts';
import { readDocuments } from '../../agent/policy/read.ts';
import { openDataFolder } from '../../fleet/data-folder.ts';
import { type BundleBytes, canonicalJson, writeBundle } from '../../fleet/policy/bundle.ts';
import type { Signer } from '../../fleet/signer/signer.ts';
import type { Program } from './program.ts';
import { addresses, type Site } from './site.ts';
import { waitFor } from './wait-for.ts';

/** How the played controller answers; a test changes these as it goes. */
export interface Answers {
  parts: (asked: PartsAsked) => boolean;
  /** What is sent for a trial: null, nothing. */
  confirmation: (asked: ConfirmationAsked) => Promise<SignedEnvelope | null>;
}

export class PlayedFleet {
  readonly signer: Signer;
  readonly topics: DeviceTopics;
  readonly answers: Answers;
  /** Every question for a confirmation, in order. */
  readonly asked: ConfirmationAsked[] = [];
  readonly events: SpooledEvent[] = [];
  readonly presence: unknown[] = [];
  /** Parts of answers to questions by `test`. */
  readonly answered: AnswerPart[] = [];
  reported: Reported | null = null;
  /** Whether batches of events are acknowledged. */
  acknowledges = true;
  readonly #site: Site;
  readonly #config: string;
  readonly #socket: string;
  readonly #bundles = new Map<string, Uint8Array>();
  #broker: Program | null = null;
  #client: MqttClient | null = null;
  #seq = 0;
  #serial: number;

  private constructor(site: Site, serial: number) {
    const { lab, controller, id } = site;
    const data = openDataFolder(controller.data, () => Date.now());
    const folder = lab.folder('mosquitto');
    this.#site = site;
    this.#serial = serial;
    this.signer = data.signer;
    this.topics = deviceTopics(controller.tenant, id);
    this.#socket = join(folder, 'socket');
    this.#config = join(folder, 'mosquitto.conf');
    writeFileSync(this.#config, brokerConfig({ socket: this.#socket, data: controller.data }));
    this.answers = { parts: () => true, confirmation: async (asked) => this.confirm(asked) };
  }

  /** Takes the controller's place. `serial`: the highest that the device knows. */
  static async takeOver(site: Site, serial: number): Promise<PlayedFleet> {
    await site.controller.stop();
    const fleet = new PlayedFleet(site, serial);
    await fleet.open();
    return fleet;
  }

  async open(): Promise<void> {
    const argv = ['mosquitto', '-c', this.#config];
    this.#broker = this.#site.lab.start('mosquitto', { argv, namespace: this.#site.wan });
    await this.#broker.line(/running/, 10_000);
    const client = new MqttClient(() => connectSocket(this.#socket), {
      clientId: 'test',
      protocolVersion: 5,
      reconnectPeriod: 0,
    });
    this.#client = client;
    client.on('error', () => {}); // 'close' follows
    client.on('message', (topic, payload) => this.#hear(topic, payload));
    await new Promise<void>((resolve) => client.once('connect', () => resolve()));
    const prefix = this.topics.presence.slice(0, -'st'.length);
    await client.subscribeAsync([`${prefix}#`], { qos: 1 });
  }

  /** The broker is gone; the device and we notice. */
  async close(): Promise<void> {
    this.#client?.end(true);
    await this.#broker?.stop('SIGKILL');
  }

  get nextSerial(): number {
    return ++this.#serial;
  }

  /** A bundle of a policy file's text, ready to be asked for in parts. */
  bundle(text: string): BundleBytes {
    const { documents, faults } = readDocuments(text, 'policy');
    if (faults.length > 0) throw new Error(JSON.stringify(faults));
    return this.bundleOf(documents);
  }

  bundleOf(documents: readonly PolicyDocument[]): BundleBytes {
    return this.offer(writeBundle(this.#site.controller.tenant, 'played', documents));
  }

  /** Makes bytes available under a digest, whether it is theirs or not. */
  offer(bundle: BundleBytes): BundleBytes {
    this.#bundles.set(bundle.digest, bundle.bytes);
    return bundle;
  }

  assignment(bundle: BundleBytes, changed: Partial<Assignment> = {}): Assignment {
    return {
      v: 1,
      tenant: this.#site.controller.tenant,
      device: this.#site.id,
      serial: changed.serial ?? this.nextSerial,
      digest: bundle.digest,
      bytes: bundle.bytes.length,
      trialSeconds: 10,
      issuedAt: Math.floor(Date.now() / 1000),
      ...changed,
    };
  }

  sign(assignment: unknown, signer = this.signer): SignedEnvelope {
    return signer.sign(payloadTypes.assignment, Buffer.from(canonicalJson(assignment)));
  }

  /** Assigns a bundle as a good controller would, and returns its serial. */
  async assign(bundle: BundleBytes, changed: Partial<Assignment> = {}): Promise<number> {
    const assignment = this.assignment(bundle, changed);
    await this.desire(JSON.stringify(this.sign(assignment)));
    return assignment.serial;
  }

  /** Whatever bytes as the desired state. */
  async desire(payload: string | Buffer): Promise<void> {
    await this.publish(this.topics.desired, payload, true);
  }

  async publish(topic: string, payload: string | Buffer, retain = false): Promise<void> {
    if (this.#client === null) throw new Error('the broker is closed');
    await this.#client.publishAsync(topic, payload, { qos: 1, retain });
  }

  /** Asks the device and returns its rows. */
  async ask(view: string, withinMs = 10_000): Promise<readonly unknown[]> {
    const id = randomUUID();
    await this.publish(
      this.topics.request,
      JSON.stringify(queryEnvelope({ id, view, who: 'test', withinMs })),
    );
    const parts = await waitFor(
      () => {
        const mine = this.answered.filter((part) => part.id === id);
        return mine.some((part) => part.last) && mine;
      },
      { what: `an answer to ${view}`, withinMs },
    );
    return parts.flatMap((part) => part.rows ?? []);
  }

  confirm({ serial, digest, nonce }: ConfirmationAsked, changed: Partial<Confirmation> = {}): SignedEnvelope {
    const { tenant } = this.#site.controller;
    const issuedAt = Math.floor(Date.now() / 1000);
    const confirmation = { v: 1, tenant, device: this.#site.id, serial, digest, nonce, issuedAt, ...changed };
    return this.signer.sign(payloadTypes.confirmation, Buffer.from(canonicalJson(confirmation)));
  }

  /** What the device reports once it has come to that result with that serial. */
  async result(serial: number, result: string, withinMs = 30_000): Promise<Reported> {
    return await waitFor(
      () => {
        const { reported } = this;
        const assignment = reported?.assignment;
        return assignment?.serial === serial && assignment.result === result && reported;
      },
      {
        what: `serial ${serial} to be ${result} (last ${JSON.stringify(this.reported?.assignment)})`,
        withinMs,
      },
    );
  }

  #hear(topic: string, payload: Buffer): void {
    const message = JSON.parse(payload.toString()) as Envelope;
    if (topic === this.topics.presence) this.presence.push(message.body);
    else if (topic === this.topics.reported) this.reported = message.body as Reported;
    else if (topic === this.topics.answer('test')) this.answered.push(message.body as AnswerPart);
    else if (topic === this.topics.events) this.#hearEvents(message.body as EventBatch);
    else if (message.k === envelopeKinds.fetchParts) this.#sendParts(message.body as PartsAsked);
    else if (message.k === envelopeKinds.confirmTrial)
      void this.#answerTrial(message.body as ConfirmationAsked);
  }

  #hearEvents({ stream, events }: EventBatch): void {
    this.events.push(...events);
    const last = events.at(-1);
    if (last === undefined || !this.acknowledges) return;
    void this.acknowledge(envelopeKinds.spooled, { stream, upTo: last.seq });
  }

  /** On the device's topic for acknowledgements; the broker may be gone meanwhile. */
  async acknowledge(kind: string, body: unknown): Promise<void> {
    const envelope = {
      v: 1,
      k: kind,
      sid: 0,
      boot: '',
      seq: ++this.#seq,
      mono: 0,
      ts: Date.now(),
      tq: 'ntp',
      body,
    };
    await this.publish(this.topics.acknowledge, JSON.stringify(envelope)).catch(() => {});
  }

  #sendParts(asked: PartsAsked): void {
    const bytes = this.#bundles.get(asked.digest);
    if (bytes === undefined || !this.answers.parts(asked)) return;
    const count = Math.min(asked.from + asked.count, Math.ceil(bytes.length / partBytes));
    for (let part = asked.from; part < count; part++) {
      const slice = Buffer.from(bytes.subarray(part * partBytes, (part + 1) * partBytes));
      void this.publish(blobTopic(this.#site.controller.tenant, asked.digest, part), slice).catch(() => {});
    }
  }

  async #answerTrial(asked: ConfirmationAsked): Promise<void> {
    this.asked.push(asked);
    const confirmation = await this.answers.confirmation(asked);
    if (confirmation !== null) await this.acknowledge(envelopeKinds.confirmed, { confirmation });
  }
}

/** As short as a person would write it. */
export function queryEnvelope(body: unknown): unknown {
  return { v: 1, k: envelopeKinds.query, body };
}

/** The socket is the test's way in, and may do all; a device gets the rights that its certificate's name has. */
function brokerConfig({ socket, data }: { readonly socket: string; readonly data: string }): string {
  return `user root
per_listener_settings true
log_dest stderr
log_type all
listener 0 ${socket}
allow_anonymous true
listener 8883 ${addresses.controller}
allow_anonymous true
cafile ${join(data, 'authority.pem')}
certfile ${join(data, 'server.pem')}
keyfile ${join(data, 'server.key')}
require_certificate true
use_identity_as_username true
`;
}

/** Why Mosquitto cannot be had here, or false: for a test's `skip`. */
export function mosquittoMissing(): string | false {
  // It exits with 3 after its help; what counts is that there is one.
  return spawnSync('mosquitto', ['-h']).error !== undefined && 'needs the program mosquitto';
}
