// A device made of mqtt.js and the contract: it enrolls, says what devices say, and can be told to lie.

import { createHash, createHmac, createPublicKey, type KeyObject, randomBytes } from 'node:crypto';
import { type EventEmitter, once } from 'node:events';
import mqtt, { type IClientOptions, type MqttClient } from 'mqtt';
import forge from 'node-forge';
import {
  answerItems,
  type EnrollmentDown,
  type EnrollmentFacts,
  enrollmentItems,
  enrollmentTranscript,
  type Granted,
  type Join,
  joinPrefix,
} from '../../agent/contract/enrollment.ts';
import type { RuleState } from '../../agent/contract/state.ts';
import { deviceTopics, enrollmentTopics } from '../../agent/contract/topics.ts';
import { pemOf, rsaKey } from './test-authority.ts';

/** A certificate request as PEM. `signWith` another key makes it one whose holder has not the key. */
export function certificateRequest(key: KeyObject, signWith: KeyObject = key): string {
  const request = forge.pki.createCertificationRequest();
  request.publicKey = forge.pki.publicKeyFromPem(
    createPublicKey(key).export({ format: 'pem', type: 'spki' }).toString(),
  );
  request.setSubject([{ shortName: 'CN', value: 'device' }]);
  request.sign(forge.pki.privateKeyFromPem(pemOf(signWith)), forge.md.sha256.create());
  return forge.pki.certificationRequestToPem(request);
}

export function readJoin(line: string): Join {
  return JSON.parse(Buffer.from(line.slice(joinPrefix.length), 'base64url').toString()) as Join;
}

export function derOfPem(pem: string): Buffer {
  return Buffer.from(pem.replace(/-----[^-]+-----|\s/g, ''), 'base64');
}

export function proofOf(side: 'device' | 'server', secret: Uint8Array, items: readonly string[]): string {
  return createHmac('sha256', secret).update(enrollmentTranscript(side, items)).digest('hex');
}

/** Waits until there is something; fails the test after a while. */
export async function eventually<T>(
  look: () => T | undefined | null | false,
  what: string,
  ms = 10_000,
): Promise<T> {
  const until = Date.now() + ms;
  for (;;) {
    const found = look();
    if (found) return found;
    if (Date.now() > until) throw new Error(`waited ${ms} ms for ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

/** Connects with mqtt.js once; rejects where the broker does not take it. */
export async function connectOnce(options: IClientOptions): Promise<MqttClient> {
  const client = mqtt.connect({ protocolVersion: 4, reconnectPeriod: 0, connectTimeout: 5000, ...options });
  return await new Promise((resolve, reject) => {
    let reason = 'closed';
    client.on('error', (error) => {
      reason = error.message;
    });
    client.once('connect', () => resolve(client));
    client.once('close', () => {
      client.end(true);
      reject(new Error(reason));
    });
  });
}

/** Resolves when the connection has ended, for whatever reason. */
export function closed(client: MqttClient): Promise<void> {
  return new Promise((resolve) => client.once('close', () => resolve()));
}

export interface EnrolledDevice {
  readonly id: string;
  readonly tls: { readonly ca: string; readonly cert: string; readonly key: string };
  readonly tenant: string;
  readonly granted: Granted;
}

export interface EnrollmentOptions {
  readonly join: string;
  /** Where the enrollment listener is really. */
  readonly port: number;
  readonly authority: string;
  readonly key?: KeyObject;
  readonly hardwareId?: string;
  readonly secret?: Uint8Array;
  readonly client?: string;
}

/** The whole exchange over a real listener; throws with the refusal's code. */
export async function enroll(options: EnrollmentOptions): Promise<EnrolledDevice> {
  const join = readJoin(options.join);
  const client = options.client ?? randomBytes(8).toString('hex');
  const key = options.key ?? rsaKey();
  const connection = await connectOnce({
    protocol: 'mqtts',
    host: '127.0.0.1',
    port: options.port,
    ca: options.authority,
    clientId: client,
    username: join.token,
  });
  try {
    const topics = enrollmentTopics(join.tenant, join.token, client);
    await connection.subscribeAsync(topics.down, { qos: 1 });
    const ask = async (message: unknown): Promise<EnrollmentDown> => {
      const answered = once(connection as unknown as EventEmitter, 'message', {
        signal: AbortSignal.timeout(5000),
      });
      await connection.publishAsync(topics.up, JSON.stringify(message), { qos: 1 });
      const [, payload] = (await answered) as [string, Buffer];
      return JSON.parse(payload.toString()) as EnrollmentDown;
    };
    const deviceNonce = randomBytes(32).toString('hex');
    const challenge = must(await ask({ v: 1, step: 'hello', deviceNonce }), 'challenge');
    const csr = certificateRequest(key);
    const facts: EnrollmentFacts = {
      tenant: join.tenant,
      claim: join.token,
      client,
      deviceNonce,
      serverNonce: challenge.serverNonce,
      csrDigest: createHash('sha256').update(derOfPem(csr)).digest('hex'),
      hardwareId: options.hardwareId ?? `hw-${client}`,
    };
    const secret = options.secret ?? Buffer.from(join.secret, 'base64url');
    const granted = must(
      await ask({
        v: 1,
        step: 'request',
        csr,
        hardwareId: facts.hardwareId,
        hostname: `box-${client.slice(0, 4)}`,
        proof: proofOf('device', secret, enrollmentItems(facts)),
      }),
      'granted',
    );
    const expected = proofOf('server', secret, [...enrollmentItems(facts), ...answerItems(granted)]);
    if (granted.proof !== expected) throw new Error('the proof of the answer is wrong');
    const tls = { ca: granted.authority, cert: granted.certificate, key: pemOf(key) };
    return { id: granted.device, tls, tenant: join.tenant, granted };
  } finally {
    connection.end(true);
  }
}

function must<Step extends EnrollmentDown['step']>(
  down: EnrollmentDown,
  step: Step,
): Extract<EnrollmentDown, { step: Step }> {
  if (down.step === 'refused') throw new Error(`${down.refusal.code}: ${down.refusal.detail}`);
  if (down.step !== step) throw new Error(`${down.step} in place of ${step}`);
  return down as Extract<EnrollmentDown, { step: Step }>;
}

/** Over one connection, with a last will. Everything that arrives is kept in `received`. */
export class SimulatedDevice {
  readonly device: EnrolledDevice;
  readonly client: MqttClient;
  readonly received: { readonly topic: string; readonly payload: Buffer; readonly retained: boolean }[] = [];
  readonly #sid: number;
  readonly #boot: string;
  #seq = 0;

  static async connect(
    device: EnrolledDevice,
    port: number,
    sid = 1,
    boot = 'boot-a',
  ): Promise<SimulatedDevice> {
    const topics = deviceTopics(device.tenant, device.id);
    const will = envelope('st.gone', { state: 'gone' }, { sid, boot, seq: 0 });
    const client = await connectOnce({
      protocol: 'mqtts',
      host: '127.0.0.1',
      port,
      ...device.tls,
      clientId: device.id,
      will: { topic: topics.presence, payload: Buffer.from(JSON.stringify(will)), qos: 1, retain: true },
    });
    const simulated = new SimulatedDevice(device, client, sid, boot);
    await client.subscribeAsync([topics.desired, topics.request, topics.acknowledge], { qos: 1 });
    return simulated;
  }

  private constructor(device: EnrolledDevice, client: MqttClient, sid: number, boot: string) {
    this.device = device;
    this.client = client;
    this.#sid = sid;
    this.#boot = boot;
    client.on('message', (topic, payload, { retain }) =>
      this.received.push({ topic, payload, retained: retain }),
    );
  }

  get topics() {
    return deviceTopics(this.device.tenant, this.device.id);
  }

  envelope(k: string, body: unknown) {
    this.#seq += 1;
    return envelope(k, body, { sid: this.#sid, boot: this.#boot, seq: this.#seq });
  }

  async say(topic: string, k: string, body: unknown, retain = false): Promise<void> {
    await this.client.publishAsync(topic, JSON.stringify(this.envelope(k, body)), { qos: 1, retain });
  }

  async birth(more: object = {}): Promise<void> {
    const body = {
      state: 'up',
      agent: '0.1.0',
      kernel: '6.1.0',
      architecture: 'x86_64',
      hostname: `sim-${this.device.id.slice(0, 4)}`,
      inForce: null,
      time: 'ntp',
      nonce: randomBytes(32).toString('hex'),
      ...more,
    };
    await this.say(this.topics.presence, 'st.birth', body, true);
  }

  async report(
    serial: number,
    digest: string,
    result: string,
    more: object = {},
    rules: readonly RuleState[] = [],
  ): Promise<void> {
    const isInForce = result === 'confirmed';
    const body = {
      inForce: isInForce ? { serial, digest } : null,
      assignment: { serial, digest, result, ...more },
      rules,
      proven: '',
      tier: 'C',
      hooks: [],
      kernelBytes: 0,
    };
    await this.say(this.topics.reported, 'rep', body, true);
  }

  /** The newest message on a topic. */
  last(topic: string): { readonly payload: Buffer; readonly retained: boolean } | undefined {
    return this.received.filter((one) => one.topic === topic).at(-1);
  }

  /** Goes without a word, as when the power fails. */
  vanish(): void {
    this.client.stream.destroy();
    this.client.end(true);
  }

  async close(): Promise<void> {
    await this.client.endAsync();
  }
}

function envelope(k: string, body: unknown, session: { sid: number; boot: string; seq: number }) {
  return { v: 1, k, ...session, mono: 1, ts: Date.now(), tq: 'ntp', body };
}
