// Enrollment tokens: made, listed without their secrets, revoked.

import { randomBytes } from 'node:crypto';
import type { FastifyInstance } from 'fastify';
import { base32 } from '../identity/device-id.ts';
import { writeJoin } from '../identity/join.ts';
import type { Token } from '../store/tokens.ts';
import { ApiError } from './api-error.ts';
import { type ApiParts, operator } from './parts.ts';

interface TokenOrder {
  readonly uses: number;
  readonly expiresInSeconds: number;
  readonly deviceUrl?: string;
  readonly enrollUrl?: string;
}

const secretBytes = 32;
const yearSeconds = 366 * 24 * 3600;
const mqttsUrl = { type: 'string', maxLength: 300, pattern: '^mqtts://[^/@?#\\s]+$' } as const;

export function tokenRoutes(app: FastifyInstance, parts: ApiParts): void {
  const { store, clock } = parts;

  app.post<{ Body: TokenOrder }>(
    '/v1/tokens',
    {
      schema: {
        body: {
          type: 'object',
          additionalProperties: false,
          properties: {
            uses: { type: 'integer', minimum: 1, maximum: 100_000, default: 1 },
            expiresInSeconds: { type: 'integer', minimum: 1, maximum: yearSeconds, default: 24 * 3600 },
            deviceUrl: mqttsUrl,
            enrollUrl: mqttsUrl,
          },
        },
      },
    },
    async (request, reply) => {
      const { uses, expiresInSeconds, deviceUrl, enrollUrl } = request.body;
      const id = base32(randomBytes(10));
      const secret = new Uint8Array(randomBytes(secretBytes));
      const now = clock.now();
      const expiresAt = now + expiresInSeconds * 1000;
      store.transaction(() => {
        store.tokens.add({ id, secret, uses, createdAt: now, expiresAt });
        store.audit.append(
          { who: operator, what: 'token.create', object: id, detail: { uses, expiresAt } },
          now,
        );
      });
      const join = writeJoin({
        v: 1,
        enroll: enrollUrl ?? parts.urls.enroll,
        broker: deviceUrl ?? parts.urls.device,
        tenant: parts.tenant,
        token: id,
        secret: Buffer.from(secret).toString('base64url'),
        authority: parts.authority,
        signer: parts.signer,
      });
      reply.status(201);
      return { token: id, join, uses, expiresAt };
    },
  );

  app.get('/v1/tokens', async () => store.tokens.list().map((token) => tokenView(token, clock.now())));

  app.delete<{ Params: { id: string } }>('/v1/tokens/:id', async (request) => {
    const { id } = request.params;
    const now = clock.now();
    const isThere = store.transaction(() => {
      const revoked = store.tokens.revoke(id, now);
      if (revoked) store.audit.append({ who: operator, what: 'token.revoke', object: id, detail: {} }, now);
      return revoked;
    });
    if (!isThere) throw new ApiError(404, 'not-found', `there is no token ${id}`);
    return { token: id, state: 'revoked' };
  });
}

function tokenView(token: Token, now: number) {
  const { id, uses, usesLeft, createdAt, expiresAt, revokedAt } = token;
  const state =
    revokedAt !== null ? 'revoked' : expiresAt <= now ? 'expired' : usesLeft === 0 ? 'used' : 'open';
  return { token: id, state, uses, usesLeft, createdAt, expiresAt };
}
