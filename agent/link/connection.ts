// One MQTT connection, from the name lookup to its end. It never reconnects: a new one is a new object.
//
//   open: name lookup → TCP → TLS, no session resumed → CONNECT → CONNACK → SUBSCRIBE → SUBACK
//   then: publish, messages in           end: `closed` resolves with why
//
// Everything about a connection starts from nothing here, which is what makes one fit to confirm a trial:
// no cached address, no TLS ticket, no packet of an earlier connection.

import { type TLSSocket, connect as tlsConnect } from 'node:tls';
import { type IConnackPacket, MqttClient } from 'mqtt';
import { payloadBytesMax } from '../contract/limits.ts';
import { FrameLimit } from './frame-limit.ts';

/** 5 where the broker has it, 4 is MQTT 3.1.1. */
export type ProtocolVersion = 4 | 5;

export interface Endpoint {
  readonly host: string;
  readonly port: number;
}

export interface Credentials {
  /** PEM. */
  readonly authority: string;
  /** The device's own; absent while enrolling. */
  readonly certificate?: string;
  readonly key?: string;
}

export interface ConnectOptions {
  readonly endpoint: Endpoint;
  readonly credentials: Credentials;
  readonly clientId: string;
  /** A device has none: its certificate says who it is. */
  readonly username?: string;
  readonly version: ProtocolVersion;
  readonly keepaliveSeconds: number;
  /** For everything up to SUBACK. */
  readonly openMsMax: number;
  readonly will?: { readonly topic: string; readonly payload: string };
  /** Subscribed before `open` resolves. */
  readonly filters: readonly string[];
  readonly onMessage: (topic: string, payload: Uint8Array) => void;
}

export interface Publication {
  readonly topic: string;
  readonly payload: string | Uint8Array;
  readonly qos: 0 | 1;
  readonly retain: boolean;
}

/** Why a connection did not come about or ended. */
export class LinkError extends Error {
  override readonly name = 'LinkError';
  /** `protocol`: this broker does not speak the version asked for. `refused`: it said no. `tls`: certificates. `down`: anything of the network. */
  readonly kind: 'protocol' | 'refused' | 'tls' | 'down';
  constructor(kind: LinkError['kind'], message: string, options?: ErrorOptions) {
    super(message, options);
    this.kind = kind;
  }
}

/** Topic and fixed header of a publication besides its payload. */
const packetOverheadBytes = 1024;
/** How long a polite DISCONNECT may take before the socket is destroyed. */
const endMsMax = 500;
/** CONNACK codes for "not this version": 1 in MQTT 3.1.1 (3.2.2.3), 0x84 in MQTT 5 (3.2.2.2). */
const unacceptableVersion = new Set([1, 0x84]);

export class Connection {
  /** Resolves once, with the reason; never rejects. */
  readonly closed: Promise<LinkError>;
  /** QoS 1 messages the broker lets us have unacknowledged. */
  readonly receiveMaximum: number;
  readonly #client: MqttClient;
  /** What waits for an answer. A set and not reactions of `closed`: those would gather as long as the connection lives. */
  readonly #waiting = new Set<(why: LinkError) => void>();
  #reason: LinkError | null = null;

  static async open(options: ConnectOptions, signal: AbortSignal): Promise<Connection> {
    signal.throwIfAborted();
    let failure: LinkError | null = null;
    let secured = false;
    const client = new MqttClient(
      () => {
        const socket = openSocket(options, (why) => {
          failure ??= why;
        });
        socket.once('secureConnect', () => {
          secured = true;
        });
        return socket;
      },
      {
        clientId: options.clientId,
        ...(options.username === undefined ? {} : { username: options.username }),
        protocolVersion: options.version,
        protocolId: 'MQTT',
        clean: true,
        keepalive: options.keepaliveSeconds,
        connectTimeout: options.openMsMax,
        reconnectPeriod: 0,
        resubscribe: false,
        queueQoSZero: false,
        timerVariant: 'native',
        ...(options.version === 5
          ? { properties: { maximumPacketSize: payloadBytesMax + packetOverheadBytes, receiveMaximum: 64 } }
          : {}),
        ...(options.will === undefined
          ? {}
          : {
              will: {
                topic: options.will.topic,
                payload: Buffer.from(options.will.payload),
                qos: 1 as const,
                retain: true,
              },
            }),
      },
    );
    client.on('message', (topic, payload) => options.onMessage(topic, payload));
    const giveUp = (error: LinkError): LinkError => {
      client.removeAllListeners('connect');
      client.end(true);
      // A late error of a client that was given up has nobody to tell.
      client.on('error', () => {});
      return error;
    };
    try {
      const connack = await new Promise<IConnackPacket>((resolve, reject) => {
        const onAbort = () => reject(signal.reason);
        signal.addEventListener('abort', onAbort, { once: true });
        const timer = setTimeout(
          () => reject(new LinkError('down', `no CONNACK within ${options.openMsMax} ms`)),
          options.openMsMax,
        );
        const settle = () => {
          clearTimeout(timer);
          signal.removeEventListener('abort', onAbort);
        };
        client.once('connect', (packet) => {
          settle();
          resolve(packet);
        });
        client.on('error', (error) => {
          settle();
          reject(failure ?? explain(error, options));
        });
        client.once('close', () => {
          settle();
          reject(failure ?? closedEarly(secured));
        });
      });
      const connection = new Connection(client, connack, () => failure);
      await connection.subscribe(options.filters, signal);
      return connection;
    } catch (error) {
      if (error instanceof LinkError) throw giveUp(error);
      giveUp(new LinkError('down', 'given up'));
      throw error;
    }
  }

  private constructor(client: MqttClient, connack: IConnackPacket, failure: () => LinkError | null) {
    this.#client = client;
    this.receiveMaximum = connack.properties?.receiveMaximum ?? 65_535;
    this.closed = new Promise((resolve) => {
      const end = (error: LinkError) => {
        this.#reason ??= failure() ?? error;
        this.#rejectWaiting(this.#reason);
        resolve(this.#reason);
      };
      client.removeAllListeners('error');
      client.on('error', (error) => end(new LinkError('down', error.message, { cause: error })));
      client.on('disconnect', (packet) =>
        end(new LinkError('refused', `the broker disconnected us, code ${packet.reasonCode}`)),
      );
      client.once('close', () => end(new LinkError('down', 'the connection was closed by the other side')));
    });
  }

  get open(): boolean {
    return this.#reason === null;
  }

  /** Resolves at PUBACK for QoS 1, when written for QoS 0; rejects when the connection ends before. */
  publish(publication: Publication): Promise<void> {
    return this.#settle((done) => {
      const payload =
        typeof publication.payload === 'string' ? publication.payload : Buffer.from(publication.payload);
      this.#client.publish(
        publication.topic,
        payload,
        { qos: publication.qos, retain: publication.retain },
        (error) => {
          // MQTT 5 only: a PUBACK may say no without closing.
          if (error != null) done(new LinkError('refused', `publish ${publication.topic}: ${error.message}`));
          else done(null);
        },
      );
    });
  }

  /** Resolves once every filter is granted. */
  subscribe(filters: readonly string[], signal?: AbortSignal): Promise<void> {
    if (filters.length === 0) return Promise.resolve();
    return this.#settle((done) => {
      this.#client.subscribe([...filters], { qos: 1 }, (error, granted) => {
        const refused = granted?.filter((one) => one.qos >= 0x80).map((one) => one.topic) ?? [];
        if (error != null) done(new LinkError('refused', `subscribe ${filters.join(' ')}: ${error.message}`));
        else if (refused.length > 0)
          done(new LinkError('refused', `the broker denies us to subscribe ${refused.join(' ')}`));
        else done(null);
      });
    }, signal);
  }

  unsubscribe(filters: readonly string[]): Promise<void> {
    return this.#settle((done) => {
      this.#client.unsubscribe([...filters], (error) =>
        done(error == null ? null : new LinkError('refused', `unsubscribe: ${error.message}`)),
      );
    });
  }

  /** Says goodbye to the broker (no will is sent) and closes; without an answer soon, closes all the same. */
  async end(): Promise<void> {
    this.#reason ??= new LinkError('down', 'closed by us');
    if (this.#client.disconnected && !this.#client.connected) {
      this.#client.end(true);
      return;
    }
    const ended = new Promise<void>((resolve) => this.#client.end(false, () => resolve()));
    const timer = setTimeout(() => {
      this.#client.stream.destroy();
      this.#client.end(true);
    }, endMsMax);
    await Promise.race([ended, this.closed]);
    clearTimeout(timer);
    this.#client.stream.destroy();
    this.#rejectWaiting(this.#reason);
  }

  /** Drops the connection without a word: the broker will publish the will. */
  destroy(): void {
    this.#client.stream.destroy();
    this.#client.end(true);
  }

  #rejectWaiting(why: LinkError): void {
    for (const reject of [...this.#waiting]) reject(why);
  }

  /** Runs one request and settles at its answer, at the end of the connection or at the signal, whatever is first. */
  #settle(start: (done: (error: LinkError | null) => void) => void, signal?: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      if (this.#reason !== null) {
        reject(this.#reason);
        return;
      }
      const settled = () => {
        this.#waiting.delete(onEnd);
        signal?.removeEventListener('abort', onAbort);
      };
      const onEnd = (why: LinkError) => {
        settled();
        reject(why);
      };
      const onAbort = () => {
        settled();
        reject(signal?.reason);
      };
      this.#waiting.add(onEnd);
      signal?.addEventListener('abort', onAbort, { once: true });
      start((error) => {
        settled();
        if (error === null) resolve();
        else reject(this.#reason ?? error);
      });
    });
  }
}

function openSocket(options: ConnectOptions, fail: (why: LinkError) => void): TLSSocket {
  const { authority, certificate, key } = options.credentials;
  const { host, port } = options.endpoint;
  const socket = tlsConnect({
    host,
    port,
    ca: authority,
    ...(certificate === undefined ? {} : { cert: certificate }),
    ...(key === undefined ? {} : { key }),
    minVersion: 'TLSv1.2',
    rejectUnauthorized: true,
    // An IP address must not go into the name indication (RFC 6066 §3).
    ...(/^[0-9.]+$|:/.test(host) ? {} : { servername: host }),
  });
  socket.setNoDelay(true);
  const limit = new FrameLimit(payloadBytesMax + packetOverheadBytes);
  socket.on('data', (chunk: Buffer) => {
    const fault = limit.read(chunk);
    if (fault === null) return;
    fail(new LinkError('refused', `the broker sent ${fault}`));
    socket.destroy();
  });
  socket.on('error', (error) => fail(explain(error, options)));
  return socket;
}

/** OpenSSL's and the system's words, with what they mean for a device. */
function explain(error: Error & { code?: string | number }, options: ConnectOptions): LinkError {
  const at = `${options.endpoint.host}:${options.endpoint.port}`;
  const code = error.code;
  if (typeof code === 'number') {
    const kind = options.version === 5 && unacceptableVersion.has(code) ? 'protocol' : 'refused';
    return new LinkError(kind, `${at}: ${error.message}, CONNACK ${code}`, { cause: error });
  }
  const hint = tlsHints[code ?? ''];
  if (hint !== undefined) return new LinkError('tls', `${at}: ${error.message}: ${hint}`, { cause: error });
  const tls = /SSL|TLS|CERT|ALERT/i.test(`${code ?? ''} ${error.message}`);
  return new LinkError(tls ? 'tls' : 'down', `${at}: ${error.message}`, { cause: error });
}

const dateHint = `check this device's clock (${'`'}date${'`'}); with clock.step the agent sets it forward`;
const tlsHints: Readonly<Record<string, string>> = {
  CERT_NOT_YET_VALID: `the broker's certificate is not valid yet: ${dateHint}`,
  CERT_HAS_EXPIRED: `the broker's certificate has expired: ${dateHint}`,
  ERR_TLS_CERT_ALTNAME_INVALID: "the broker's certificate is for other names than the one we connect to",
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: 'the broker is not of the authority that this device was enrolled with',
  SELF_SIGNED_CERT_IN_CHAIN: 'the broker is not of the authority that this device was enrolled with',
  DEPTH_ZERO_SELF_SIGNED_CERT: 'the broker is not of the authority that this device was enrolled with',
  ERR_SSL_TLSV1_ALERT_UNKNOWN_CA: "the broker does not take this device's certificate",
  ERR_SSL_SSLV3_ALERT_CERTIFICATE_EXPIRED: "this device's certificate has expired",
  ERR_SSL_SSLV3_ALERT_CERTIFICATE_REVOKED: "this device's certificate was revoked",
};

function closedEarly(secured: boolean): LinkError {
  // Under TLS 1.3 a refused client certificate shows only as the connection being closed afterwards.
  return secured
    ? new LinkError('refused', "closed before CONNACK: the broker may not take this device's certificate")
    : new LinkError('down', 'closed before TLS was up');
}
