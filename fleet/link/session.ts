// The controller's connection to the broker, whichever it is: one session of mqtt.js after another.
//
//   closed ──▶ connecting (5, else 3.1.1) ──▶ subscribed ──▶ up ──▶ waiting ──▶ connecting …
//
// mqtt.js would reconnect by itself, but it then sends everything unacknowledged again, and a publish that
// a broker refuses by closing would be sent for ever. So each connection is a client of its own, what was
// under way fails with the connection, and `onUp` says everything that must be said again (retained state
// is all the owner of this session needs). What cannot be sent now is refused now: nothing queues up here
// beyond `inFlightMax` on the wire and `waitingMax` behind them.

import { isIP } from 'node:net';
import type { ConnectionOptions } from 'node:tls';
import mqtt, { type MqttClient } from 'mqtt';
import type { Logger } from 'pino';

/** Mutual TLS, all in PEM. */
export interface SessionTls {
  readonly ca: string;
  readonly cert: string;
  readonly key: string;
  /** In place of the comparison of names. */
  readonly checkServerIdentity?: NonNullable<ConnectionOptions['checkServerIdentity']>;
}

export interface SessionOptions {
  /** `mqtts://host:port` */
  readonly url: string;
  readonly clientId: string;
  readonly tls: SessionTls;
  readonly filters: readonly string[];
  readonly onMessage: (topic: string, payload: Uint8Array, retained: boolean) => void;
  /** After each connection, once all filters are granted. */
  readonly onUp: () => void;
  readonly log: Logger;
}

export interface SessionStatus {
  readonly url: string;
  readonly isUp: boolean;
  /** Null until a connection was accepted. */
  readonly protocolVersion: 4 | 5 | null;
  /** Why it is not up. */
  readonly trouble: string | null;
}

interface Waiting {
  readonly send: () => void;
  readonly fail: (error: Error) => void;
}

const portDefault = 8883;
const connectMsMax = 15_000;
const keepaliveSeconds = 60;
/** Also where the broker would take more: mqtt.js does not keep to Receive Maximum by itself. */
const inFlightMax = 256;
const waitingMax = 50_000;
/** From here on the codes of a SUBACK are refusals. */
const refusedFilter = 0x80;
const backoffMs = { first: 200, max: 30_000 };
/** Reason codes by which a broker says that it does not speak version 5. */
const unsupportedVersion = new Set([1, 0x84]);

export class BrokerSession {
  readonly #options: SessionOptions;
  #client: MqttClient | null = null;
  /** What the broker speaks, once it is known. */
  #version: 4 | 5 | null = null;
  #isUp = false;
  #isClosed = false;
  #trouble: string | null = 'not connected yet';
  #failures = 0;
  #retryTimer: NodeJS.Timeout | null = null;
  #inFlight = 0;
  #inFlightMax = inFlightMax;
  #waiting: Waiting[] = [];
  #isSending = false;
  /** Of the connection that is up: fails what is under way when it goes. */
  #underWay = new Set<(error: Error) => void>();

  constructor(options: SessionOptions) {
    this.#options = options;
  }

  start(): void {
    this.#connect();
  }

  status(): SessionStatus {
    return {
      url: this.#options.url,
      isUp: this.#isUp,
      protocolVersion: this.#version,
      trouble: this.#trouble,
    };
  }

  /** Resolves when the broker has it (QoS 1); rejects when it did not get there over this connection. */
  publish(
    topic: string,
    payload: Uint8Array | string,
    options: { readonly retain?: boolean } = {},
  ): Promise<void> {
    return new Promise((resolve, reject) => {
      const client = this.#client;
      if (!this.#isUp || client === null) {
        reject(new Error(`publish ${topic}: the broker is not connected`));
        return;
      }
      const send = () => {
        this.#inFlight += 1;
        const settle = (error: Error | null) => {
          if (!this.#underWay.delete(fail)) return;
          this.#inFlight -= 1;
          if (error === null) resolve();
          else reject(new Error(`publish ${topic}: ${error.message}`, { cause: error }));
          this.#next();
        };
        const fail = (error: Error) => settle(error);
        this.#underWay.add(fail);
        const data = typeof payload === 'string' ? payload : Buffer.from(payload);
        client.publish(topic, data, { qos: 1, retain: options.retain ?? false }, (error) =>
          settle(error ?? null),
        );
      };
      if (this.#inFlight < this.#inFlightMax) send();
      else if (this.#waiting.length < waitingMax) this.#waiting.push({ send, fail: reject });
      else reject(new Error(`publish ${topic}: ${waitingMax} messages wait already`));
    });
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    if (this.#retryTimer !== null) clearTimeout(this.#retryTimer);
    const client = this.#client;
    this.#client = null;
    this.#down('closed');
    if (client !== null) {
      await new Promise<void>((resolve) => client.end(false, {}, () => resolve()));
    }
  }

  #connect(): void {
    const { url, clientId, tls, filters, onMessage, onUp, log } = this.#options;
    // Some brokers answer version 5 by closing: until one is known to work they take turns.
    const version = this.#version ?? (this.#failures % 2 === 0 ? 5 : 4);
    const { hostname, port } = new URL(url);
    const host = hostname.replace(/^\[(.*)\]$/, '$1');
    const client = mqtt.connect({
      ...tls,
      protocol: 'mqtts',
      host,
      port: port === '' ? portDefault : Number(port),
      // An address is no server name (RFC 6066 §3).
      ...(isIP(host) === 0 ? { servername: host } : {}),
      clientId,
      protocolVersion: version,
      clean: true,
      keepalive: keepaliveSeconds,
      connectTimeout: connectMsMax,
      reconnectPeriod: 0,
      resubscribe: false,
      queueQoSZero: false,
      rejectUnauthorized: true,
    });
    this.#client = client;
    let trouble = 'the connection was closed';
    let isFallingBack = false;
    client.on('error', (error) => {
      trouble = error.message;
      const { code } = error as { readonly code?: unknown };
      if (version === 5 && typeof code === 'number' && unsupportedVersion.has(code)) {
        this.#version = 4;
        isFallingBack = true;
      }
    });
    client.on('close', () => {
      if (this.#client !== client) return;
      this.#client = null;
      client.end(true);
      this.#down(trouble);
      this.#retry(isFallingBack);
    });
    client.on('message', (topic, payload, packet) => onMessage(topic, payload, packet.retain));
    client.on('connect', (connack) => {
      this.#version = version;
      const receiveMaximum = connack.properties?.receiveMaximum ?? inFlightMax;
      this.#inFlightMax = Math.max(1, Math.min(inFlightMax, receiveMaximum));
      client.subscribe([...filters], { qos: 1 }, (error, _granted, suback) => {
        if (this.#client !== client) return;
        if (error !== null) {
          const codes = suback?.granted ?? [];
          const refused = filters.filter((_, index) => Number(codes[index] ?? 0) >= refusedFilter);
          trouble =
            refused.length > 0 ? `subscribe refused: ${refused.join(', ')}` : `subscribe: ${error.message}`;
          client.end(true);
          return;
        }
        this.#isUp = true;
        this.#trouble = null;
        this.#failures = 0;
        log.info({ url, version }, 'connected to the broker');
        onUp();
      });
    });
  }

  #next(): void {
    // A publish on a connection that is just ending fails at once and would come back here.
    if (this.#isSending) return;
    this.#isSending = true;
    let sent = 0;
    while (this.#inFlight < this.#inFlightMax && sent < this.#waiting.length) {
      this.#waiting[sent]?.send();
      sent += 1;
    }
    this.#waiting.splice(0, sent);
    this.#isSending = false;
  }

  #down(trouble: string): void {
    const wasUp = this.#isUp;
    this.#isUp = false;
    this.#trouble = trouble;
    const lost = new Error(trouble);
    const { waiting, underWay } = { waiting: this.#waiting, underWay: [...this.#underWay] };
    this.#waiting = [];
    for (const { fail } of waiting) fail(lost);
    for (const fail of underWay) fail(lost);
    if (wasUp && !this.#isClosed) this.#options.log.warn({ trouble }, 'lost the broker');
  }

  #retry(atOnce: boolean): void {
    if (this.#isClosed) return;
    const most = Math.min(backoffMs.max, backoffMs.first * 2 ** this.#failures);
    if (!atOnce) {
      this.#failures += 1;
      if (this.#failures % 10 === 3) {
        this.#options.log.warn({ trouble: this.#trouble, url: this.#options.url }, 'cannot reach the broker');
      }
    }
    this.#retryTimer = setTimeout(() => this.#connect(), atOnce ? 0 : most / 2 + (Math.random() * most) / 2);
  }
}
