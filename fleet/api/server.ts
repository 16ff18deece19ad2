// The REST API, for now on a Unix socket in the data folder: whoever may read that folder is the operator.
//
// Bodies and queries are checked by schemas before a route sees them; what is refused is answered as
// {error: {code, message}} with a status that says whose fault it was. The routes are listed in README.md.

import { rmSync } from 'node:fs';
import { connect } from 'node:net';
import Fastify, { type FastifyInstance } from 'fastify';
import { bundleBytesMax } from '../../agent/contract/limits.ts';
import { describe } from './api-error.ts';
import { deviceRoutes } from './devices.ts';
import { eventRoutes } from './events.ts';
import type { ApiParts } from './parts.ts';
import { permitRoutes } from './permits.ts';
import { policyRoutes } from './policy.ts';
import { statusRoutes } from './status.ts';
import { tokenRoutes } from './tokens.ts';

export class Api {
  readonly #app: FastifyInstance;

  constructor(parts: ApiParts) {
    this.#app = Fastify({
      logger: false,
      // A bundle as JSON, before it is canonical.
      bodyLimit: 2 * bundleBytesMax,
      requestTimeout: 60_000,
      forceCloseConnections: true,
      ajv: { customOptions: { removeAdditional: false, coerceTypes: true, allErrors: true } },
    });
    this.#app.addHook('onRequest', async () => parts.onChange());
    this.#app.setErrorHandler((error, _request, reply) => {
      const { status, code, message } = describe(error);
      if (status >= 500) parts.log.error({ err: error }, 'the API failed');
      reply.status(status).send({ error: { code, message } });
    });
    this.#app.setNotFoundHandler((request, reply) => {
      const message = `there is no ${request.method} ${request.url}`;
      reply.status(404).send({ error: { code: 'not-found', message } });
    });
    statusRoutes(this.#app, parts);
    tokenRoutes(this.#app, parts);
    deviceRoutes(this.#app, parts);
    permitRoutes(this.#app, parts);
    policyRoutes(this.#app, parts);
    eventRoutes(this.#app, parts);
  }

  /** Throws where another controller serves this folder. A socket that nobody answers is left over. */
  static async assertFree(socket: string): Promise<void> {
    const isTaken = await new Promise<boolean>((resolve) => {
      const probe = connect(socket);
      probe.once('connect', () => {
        probe.destroy();
        resolve(true);
      });
      probe.once('error', () => resolve(false));
    });
    if (isTaken) throw new Error(`another controller serves this folder: ${socket} answers`);
    rmSync(socket, { force: true });
  }

  async listen(socket: string): Promise<void> {
    // The folder is its owner's alone; so is the socket, from the moment it is there.
    const before = process.umask(0o177);
    try {
      await this.#app.listen({ path: socket });
    } finally {
      process.umask(before);
    }
  }

  async close(): Promise<void> {
    await this.#app.close();
  }
}
