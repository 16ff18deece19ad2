// The embedded broker: aedes behind two TLS listeners, under our rules.
//
//   devices, services  ─mutual TLS─▶ 8883 ─┐
//                                          ├─ guard ─ aedes ─ rules
//   boxes that enroll  ─TLS────────▶ 8884 ─┘
//                       └─ few places for each network, for a while
//
// It speaks MQTT 3.1.1 (version 5 is answered with code 1, and clients fall back). It keeps nothing on disk
// and no sessions: retained state is published again by its owners when it starts, and what a device missed
// while it was away is in its desired state. Client ids are given the party's kind as a prefix inside, so
// that an enrolling client cannot take over a device's connection by using its name.

import { randomUUID } from 'node:crypto';
import { createServer as createNetServer, type Server as NetServer } from 'node:net';
import { createServer, type TLSSocket, type TlsOptions } from 'node:tls';
import { Aedes, type Client, type ConnectPacket } from 'aedes';
import type { Logger } from 'pino';
import { enrollmentBytesMax, payloadBytesMax } from '../../agent/contract/limits.ts';
import { Allowance, type Rate } from '../allowance.ts';
import { GuardedStream, type GuardLimits } from './guard.ts';
import { Places } from './places.ts';
import {
  type Connecting,
  denyConnect,
  denyPublish,
  denySubscribe,
  enrollingParty,
  type Party,
  partyOfCertificate,
  type Subject,
  subscriptionsMax,
} from './rules.ts';

export interface BrokerOptions {
  readonly tenant: string;
  /** Address to listen on; all of them where it is not given. */
  readonly listen?: string | undefined;
  /** 0 for any that is free. */
  readonly port: number;
  readonly enrollPort: number;
  /** PEM: the server's chain and key, and the authority that signs all clients. */
  readonly certificate: string;
  readonly key: string;
  readonly authority: string;
  /** Whether this device may connect at all, beyond having a certificate. */
  readonly admits: (device: string) => boolean;
  readonly log: Logger;
  readonly limits?: Partial<BrokerLimits>;
}

export interface BrokerLimits {
  readonly deviceConnectionsMax: number;
  readonly enrollConnectionsMax: number;
  /** Of one network, so that a stranger cannot hold the places of all boxes. */
  readonly enrollPerNetworkMax: number;
  /** From accept to end. A box is done within seconds, and gives up by itself after 80. */
  readonly enrollMsMax: number;
  /** Messages of one enrolling connection: a box sends two. */
  readonly enrollMessages: Rate;
  readonly handshakeMsMax: number;
  readonly connectMsMax: number;
  readonly packetMsMax: number;
  /** Unread bytes of a device: a window of bundle parts several times over. */
  readonly deviceBacklogBytesMax: number;
  /** Unread bytes of a service: all retained state of a large fleet arrives at once. */
  readonly serviceBacklogBytesMax: number;
}

const brokerLimits: BrokerLimits = {
  deviceConnectionsMax: 25_000,
  enrollConnectionsMax: 500,
  enrollPerNetworkMax: 32,
  enrollMsMax: 120_000,
  enrollMessages: { burst: 10, perSecond: 1 },
  handshakeMsMax: 10_000,
  connectMsMax: 10_000,
  packetMsMax: 30_000,
  deviceBacklogBytesMax: 4 * 1024 * 1024,
  serviceBacklogBytesMax: 64 * 1024 * 1024,
};

/** Topic, packet id and the like, beside the payload. */
const overheadBytes = 1024;
const connectBytesMax = 8 * 1024;
const enrollBacklogBytes = 256 * 1024;
/** How aedes says that it speaks 3.1.1 only: clients try 5 first, and that is no fault of anybody. */
const versionRefused = 'unacceptable protocol version';
/** Denials of one party that are logged; the rest is counted. */
const denialLogs = { burst: 5, perSecond: 1 / 10 };

export interface BrokerStatus {
  readonly connections: number;
  readonly deviceAddress: string;
  readonly enrollAddress: string;
  /** How often what was refused or ended, since the start. */
  readonly counts: Readonly<Record<string, number>>;
}

interface Link {
  readonly subject: Subject | 'enrolling';
  readonly address: string;
  party: Party | null;
  denial: string | null;
  /** Messages it may send; null: as many as it likes. */
  readonly messages: Allowance | null;
}

export class EmbeddedBroker {
  readonly #options: BrokerOptions;
  readonly #limits: BrokerLimits;
  readonly #aedes: Aedes;
  readonly #devices: NetServer;
  readonly #enrolling: NetServer;
  readonly #links = new WeakMap<object, Link>();
  readonly #streams = new Set<GuardedStream>();
  readonly #denialLogs: Allowance;
  readonly #counts = new Map<string, number>();

  private constructor(options: BrokerOptions) {
    this.#options = options;
    this.#limits = { ...brokerLimits, ...options.limits };
    this.#denialLogs = new Allowance({ rate: denialLogs, keysMax: 4096, now: Date.now });
    this.#aedes = new Aedes({
      // Deliveries in work at a time: with a bound a reader that is waited for would hold up all others. Each
      // publisher waits for its own anyway.
      concurrency: 0,
      connectTimeout: this.#limits.connectMsMax,
      maxTopicLevels: 12,
      maxClientsIdLength: 256,
      preConnect: (client, packet, done) => {
        this.#identify(client, packet);
        done(null, true);
      },
      authenticate: (client, _username, _password, done) => this.#authenticate(client, done),
      authorizePublish: (client, packet, done) => done(this.#publishError(client, packet)),
      authorizeSubscribe: (client, subscription, done) =>
        done(null, this.#mayHold(client, subscription.topic) ? subscription : null),
    });
    this.#aedes.on('clientError', (client, error) => this.#ended(client, error));
    this.#aedes.on('connectionError', (client, error) => this.#ended(client, error));

    const tls: TlsOptions = {
      cert: options.certificate,
      key: options.key,
      minVersion: 'TLSv1.2',
      handshakeTimeout: this.#limits.handshakeMsMax,
    };
    this.#devices = this.#server(
      { ...tls, ca: options.authority, requestCert: true, rejectUnauthorized: true },
      {
        packetBytesMax: payloadBytesMax + overheadBytes,
        backlogBytesMax: this.#limits.deviceBacklogBytesMax,
      },
      this.#limits.deviceConnectionsMax,
      subjectOf,
      null,
    );
    const { enrollPerNetworkMax, enrollMsMax } = this.#limits;
    this.#enrolling = this.#server(
      tls,
      { packetBytesMax: enrollmentBytesMax + overheadBytes, backlogBytesMax: enrollBacklogBytes },
      this.#limits.enrollConnectionsMax,
      () => 'enrolling',
      new Places({ perNetworkMax: enrollPerNetworkMax, msMax: enrollMsMax }, () =>
        this.#count('enrolling for too long'),
      ),
    );
  }

  /** Listens on both ports, or on none. */
  static async start(options: BrokerOptions): Promise<EmbeddedBroker> {
    const broker = new EmbeddedBroker(options);
    await broker.#aedes.listen();
    try {
      await listen(broker.#devices, options.port, options.listen);
      await listen(broker.#enrolling, options.enrollPort, options.listen);
    } catch (error) {
      await broker.close();
      throw error;
    }
    return broker;
  }

  get devicePort(): number {
    return portOf(this.#devices);
  }
  get enrollPort(): number {
    return portOf(this.#enrolling);
  }

  status(): BrokerStatus {
    return {
      connections: this.#aedes.connectedClients,
      deviceAddress: addressOf(this.#devices),
      enrollAddress: addressOf(this.#enrolling),
      counts: Object.fromEntries(this.#counts),
    };
  }

  /** Ends a device's connection; it may not come back where `admits` says so. */
  disconnect(device: string): void {
    for (const stream of this.#streams) {
      const party = this.#links.get(stream)?.party;
      if (party?.kind === 'device' && party.device === device) stream.destroy();
    }
  }

  async close(): Promise<void> {
    const closed = [this.#devices, this.#enrolling].map(
      (server) =>
        new Promise<void>((resolve) => (server.listening ? server.close(() => resolve()) : resolve())),
    );
    await new Promise<void>((resolve) => this.#aedes.close(resolve));
    await Promise.all(closed);
  }

  #server(
    tls: TlsOptions,
    guard: Pick<GuardLimits, 'packetBytesMax' | 'backlogBytesMax'>,
    connectionsMax: number,
    subject: (socket: TLSSocket) => Link['subject'],
    places: Places | null,
  ): NetServer {
    const limits = { ...guard, connectBytesMax, packetMsMax: this.#limits.packetMsMax };
    const secured = createServer(tls, (socket) => {
      socket.setNoDelay(true);
      socket.setKeepAlive(true, 60_000);
      const stream = new GuardedStream(socket, limits);
      const whose = subject(socket);
      this.#links.set(stream, {
        subject: whose,
        address: socket.remoteAddress ?? '?',
        party: null,
        denial: null,
        messages: whose === 'enrolling' ? this.#enrollMessages() : null,
      });
      this.#streams.add(stream);
      stream.once('close', () => this.#streams.delete(stream));
      this.#aedes.handle(stream);
    });
    secured.on('tlsClientError', (error, socket) => {
      this.#count('tls refused');
      this.#options.log.debug(
        { address: socket.remoteAddress, reason: error.message },
        'TLS handshake failed',
      );
    });
    // Before TLS: a handshake that is never made takes a place too, and one that is refused costs nothing here.
    const server = createNetServer((socket) => {
      if (places === null || places.take(socket)) {
        secured.emit('connection', socket);
        return;
      }
      this.#count('too many connections of one network');
      socket.destroy();
    });
    server.maxConnections = connectionsMax;
    server.on('drop', () => this.#count('too many connections'));
    return server;
  }

  #enrollMessages(): Allowance {
    return new Allowance({ rate: this.#limits.enrollMessages, keysMax: 1, now: Date.now });
  }

  /** Who connects. A denial is kept for `authenticate`, which can answer with a code. */
  #identify(client: Client, packet: ConnectPacket): void {
    const link = this.#link(client);
    const connecting: Connecting = {
      clientId: packet.clientId,
      username: packet.username ?? null,
      will:
        packet.will === undefined || packet.will === null
          ? null
          : { topic: packet.will.topic, qos: packet.will.qos ?? 0, bytes: packet.will.payload.length },
    };
    const { tenant } = this.#options;
    const party =
      link.subject === 'enrolling'
        ? enrollingParty(connecting, tenant)
        : partyOfCertificate(link.subject, tenant);
    link.denial = typeof party === 'string' ? party : denyConnect(party, connecting);
    if (typeof party !== 'string') {
      link.party = party;
      if (party.kind === 'device' && !this.#admits(party.device))
        link.denial ??= 'the device is not enrolled';
    }
    // No sessions are kept: a queue for whoever is away would grow without a bound.
    packet.clean = true;
    // Clients without an id are each somebody else (MQTT 3.1.3-6), as a person's mosquitto_sub and _pub are.
    packet.clientId = `${labelOf(link)} ${connecting.clientId || randomUUID()}`;
  }

  #admits(device: string): boolean {
    try {
      return this.#options.admits(device);
    } catch (error) {
      // The database, as on a full disk: who cannot be looked up comes again later.
      this.#options.log.error({ err: error, device }, 'a device could not be looked up');
      return false;
    }
  }

  #authenticate(
    client: Client,
    done: Parameters<NonNullable<NonNullable<ConstructorParameters<typeof Aedes>[0]>['authenticate']>>[3],
  ): void {
    const link = this.#link(client);
    if (link.denial !== null || link.party === null) {
      this.#denied(link, 'connect', link.denial ?? 'nobody we know', '');
      const notAuthorized = 5;
      done(Object.assign(new Error('not authorized'), { returnCode: notAuthorized }), false);
      return;
    }
    const stream = client.conn as GuardedStream;
    if (link.party.kind === 'controller') stream.setPatience('wait');
    if (link.party.kind === 'service') {
      stream.setPatience({ backlogBytesMax: this.#limits.serviceBacklogBytesMax });
    }
    this.#options.log.debug({ party: labelOf(link), address: link.address }, 'connected');
    done(null, true);
  }

  /** MQTT 3.1.1 has no way to refuse one message: aedes ends the connection. */
  #publishError(
    client: Client | null,
    packet: { readonly topic: string; readonly qos: number; readonly retain: boolean },
  ): Error | null {
    if (client === null) return new Error('nobody publishes here');
    const link = this.#link(client);
    let denial = link.party === null ? 'nobody we know' : denyPublish(link.party, packet);
    // Here and not at the controller, which has one ear for all of them.
    if (denial === null && link.messages?.take('all') === false) denial = 'too many messages';
    if (denial === null) return null;
    this.#denied(link, 'publish', denial, packet.topic);
    return new Error(`publish refused: ${denial}`);
  }

  #mayHold(client: Client, filter: string): boolean {
    const link = this.#link(client);
    let denial = link.party === null ? 'nobody we know' : denySubscribe(link.party, filter);
    if (denial === null && this.#heldBy(client) >= subscriptionsMax) denial = 'too many subscriptions';
    if (denial === null) return true;
    this.#denied(link, 'subscribe', denial, filter);
    return false;
  }

  #heldBy(client: Client): number {
    const { subscriptions } = client as Client & { readonly subscriptions: object };
    return Object.keys(subscriptions).length;
  }

  #denied(link: Link, what: string, why: string, topic: string): void {
    this.#count(`${what} refused`);
    if (!this.#denialLogs.take(`${labelOf(link)} ${link.address}`)) return;
    this.#options.log.warn({ party: labelOf(link), address: link.address, what, why, topic }, 'refused');
  }

  #ended(client: Client, error: Error): void {
    const link = this.#link(client);
    this.#count(error.message === versionRefused ? 'asked for another MQTT version' : 'ended with an error');
    this.#options.log.debug({ party: labelOf(link), address: link.address, reason: error.message }, 'ended');
  }

  #link(client: Client): Link {
    const link = this.#links.get(client.conn);
    if (link === undefined) throw new Error('a client without its connection');
    return link;
  }

  #count(what: string): void {
    this.#counts.set(what, (this.#counts.get(what) ?? 0) + 1);
  }
}

function subjectOf(socket: TLSSocket): Subject {
  const { subject } = socket.getPeerCertificate();
  return { organization: subject?.O, unit: subject?.OU, commonName: subject?.CN };
}

function labelOf({ party }: Link): string {
  if (party === null) return 'unknown';
  switch (party.kind) {
    case 'device':
      return `device ${party.device}`;
    case 'service':
    case 'controller':
      return `${party.kind} ${party.name}`;
    case 'enrolling':
      return `enrolling ${party.claim}/${party.client}`;
  }
}

function listen(server: NetServer, port: number, host: string | undefined): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen({ port, ...(host === undefined ? {} : { host }) }, () => {
      server.removeListener('error', reject);
      resolve();
    });
  });
}

function portOf(server: NetServer): number {
  const address = server.address();
  return typeof address === 'object' && address !== null ? address.port : 0;
}

/** `host:port`, with brackets round an IPv6 address. */
function addressOf(server: NetServer): string {
  const address = server.address();
  if (typeof address !== 'object' || address === null) return 'closed';
  return address.family === 'IPv6'
    ? `[${address.address}]:${address.port}`
    : `${address.address}:${address.port}`;
}
