// A broker for tests of the link: aedes over mutual TLS with an authority of its own, on a loopback port,
// which can be told to misbehave; and Mosquitto with the same certificates.

import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { createPublicKey, generateKeyPairSync, type KeyObject } from 'node:crypto';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { type AddressInfo, createServer as createPlainServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createServer, type TLSSocket } from 'node:tls';
import { Aedes } from 'aedes';
import type { Credentials, Endpoint } from '../../../agent/link/connection.ts';
import { type Authority, createAuthority, openAuthority } from '../../../fleet/identity/authority.ts';

export interface TestAuthority {
  readonly authority: Authority;
  readonly server: { readonly certificate: string; readonly key: string };
  device(name: string): Credentials;
}

export function makeAuthority(
  names: readonly string[] = ['127.0.0.1', 'localhost'],
  now = Date.now(),
): TestAuthority {
  const privateKey = rsaKey();
  const certificate = createAuthority('acme', privateKey, now);
  const authority = openAuthority({ tenant: 'acme', certificate, privateKey, now: () => now });
  const serverKey = rsaKey();
  const server = authority.issueServer({ names, publicKey: createPublicKey(serverKey) });
  return {
    authority,
    server: { certificate: server.pem + certificate, key: pem(serverKey) },
    device(name) {
      const key = rsaKey();
      const issued = authority.issueDevice({ device: name, publicKey: createPublicKey(key) });
      return { authority: certificate, certificate: issued.pem, key: pem(key) };
    },
  };
}

export function rsaKey(): KeyObject {
  return generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey;
}

export function pem(key: KeyObject): string {
  return key.export({ type: 'pkcs8', format: 'pem' }) as string;
}

export interface Seen {
  readonly topic: string;
  readonly payload: Buffer;
  readonly retain: boolean;
  readonly client: string;
}

export class TestBroker {
  readonly aedes: Aedes;
  readonly endpoint: Endpoint;
  /** Everything clients published, wills included, in order. */
  readonly seen: Seen[] = [];
  /** Closes the connection of whoever publishes to such a topic. */
  refuse: (topic: string, payload: Buffer) => boolean = () => false;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();

  static async start(
    certificates: TestAuthority,
    options: { readonly port?: number; readonly clientCertificates?: boolean } = {},
  ): Promise<TestBroker> {
    const aedes = await Aedes.createBroker();
    const mutual = options.clientCertificates ?? true;
    const server = createServer({
      cert: certificates.server.certificate,
      key: certificates.server.key,
      ca: certificates.authority.certificate,
      requestCert: mutual,
      rejectUnauthorized: mutual,
    });
    // Refused handshakes are what some tests are about.
    server.on('tlsClientError', () => {});
    server.on('secureConnection', (socket: TLSSocket) => {
      socket.on('error', () => {});
      aedes.handle(socket);
    });
    await new Promise<void>((resolve) => server.listen(options.port ?? 0, '127.0.0.1', resolve));
    return new TestBroker(aedes, server);
  }

  private constructor(aedes: Aedes, server: Server) {
    this.aedes = aedes;
    this.#server = server;
    this.endpoint = { host: '127.0.0.1', port: (server.address() as AddressInfo).port };
    server.on('connection', (socket: Socket) => {
      this.#sockets.add(socket);
      socket.once('close', () => this.#sockets.delete(socket));
    });
    aedes.authorizePublish = (client, packet, done) => {
      const payload = Buffer.from(packet.payload);
      if (this.refuse(packet.topic, payload)) {
        done(new Error('refused'));
        return;
      }
      this.seen.push({ topic: packet.topic, payload, retain: packet.retain, client: client?.id ?? '' });
      done(null);
    };
  }

  get clients(): number {
    return this.aedes.connectedClients;
  }

  /** As the controller would: QoS 1. */
  publish(topic: string, payload: string | Buffer, retain = false): Promise<void> {
    return new Promise((resolve, reject) => {
      this.aedes.publish(
        { cmd: 'publish', topic, payload, qos: 1, retain, dup: false },
        (error?: Error | null) => (error ? reject(error) : resolve()),
      );
    });
  }

  /** Payloads of a topic, parsed. */
  on<T = unknown>(topic: string): T[] {
    return this.seen
      .filter((one) => one.topic === topic)
      .map((one) => JSON.parse(one.payload.toString()) as T);
  }

  /** Cuts every connection without a word of MQTT. */
  cut(): void {
    for (const socket of this.#sockets) socket.destroy();
  }

  async close(): Promise<void> {
    this.cut();
    await new Promise<void>((resolve) => this.#server.close(() => resolve()));
    await new Promise<void>((resolve) => this.aedes.close(() => resolve()));
  }
}

export interface Mosquitto {
  readonly endpoint: Endpoint;
  close(): Promise<void>;
}

const mosquittoNames = ['mosquitto', '/usr/sbin/mosquitto'];

/** Why a test with Mosquitto is skipped. */
export function mosquittoMissing(): string | false {
  const isThere = mosquittoNames.some(
    (name) => spawnSync(name, ['-h'], { stdio: 'ignore' }).error === undefined,
  );
  return isThere ? false : 'needs the program mosquitto';
}

/** Debian's Mosquitto over mutual TLS. */
export async function startMosquitto(certificates: TestAuthority): Promise<Mosquitto> {
  const folder = mkdtempSync(join(tmpdir(), 'husk-mosquitto-'));
  const port = await freePort();
  mkdirSync(join(folder, 'tls'));
  const write = (name: string, text: string): string => {
    writeFileSync(join(folder, 'tls', name), text);
    return join(folder, 'tls', name);
  };
  writeFileSync(
    join(folder, 'mosquitto.conf'),
    [
      `listener ${port} 127.0.0.1`,
      `cafile ${write('ca', certificates.authority.certificate)}`,
      `certfile ${write('cert', certificates.server.certificate)}`,
      `keyfile ${write('key', certificates.server.key)}`,
      'require_certificate true',
      'use_identity_as_username true',
      'allow_anonymous false',
      'user root',
    ].join('\n'),
  );
  const program = await spawned(mosquittoNames, ['-c', join(folder, 'mosquitto.conf')]);
  const ended = new Promise<void>((resolve) => program.once('exit', () => resolve()));
  await listening(port);
  return {
    endpoint: { host: '127.0.0.1', port },
    async close() {
      program.kill('SIGTERM');
      await ended;
      rmSync(folder, { recursive: true });
    },
  };
}

async function spawned(names: readonly string[], args: readonly string[]): Promise<ChildProcess> {
  for (const name of names) {
    const program = spawn(name, args, { stdio: 'ignore' });
    const started = await new Promise<boolean>((resolve) => {
      program.once('spawn', () => resolve(true));
      program.once('error', () => resolve(false));
    });
    if (started) return program;
  }
  throw new Error(`none of ${names.join(', ')} can be started`);
}

export async function freePort(): Promise<number> {
  const server = createPlainServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise<void>((resolve) => server.close(() => resolve()));
  return port;
}

async function listening(port: number): Promise<void> {
  const { connect } = await import('node:net');
  for (let tries = 0; tries < 100; tries += 1) {
    const up = await new Promise<boolean>((resolve) => {
      const socket = connect(port, '127.0.0.1', () => {
        socket.destroy();
        resolve(true);
      });
      socket.once('error', () => resolve(false));
    });
    if (up) return;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Error(`nothing listens on ${port}`);
}

/** Until the condition holds; throws after `withinMs`. */
export async function until(condition: () => boolean, what: string, withinMs = 10_000): Promise<void> {
  const end = Date.now() + withinMs;
  while (!condition()) {
    if (Date.now() > end) throw new Error(`waited ${withinMs} ms for ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}
