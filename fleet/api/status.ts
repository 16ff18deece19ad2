// What the controller says of itself, and the audit log.

import type { FastifyInstance } from 'fastify';
import type { ApiParts } from './parts.ts';

export function statusRoutes(app: FastifyInstance, { store, status }: ApiParts): void {
  app.get('/v1/status', async () => ({
    ...status(),
    devices: store.devices.countByPresence(),
    events: store.events.count(),
    gaps: store.events.gaps(),
    newestSerial: store.bundles.newest(1)[0]?.serial ?? 0,
  }));

  app.get<{ Querystring: { count: number } }>(
    '/v1/audit',
    {
      schema: {
        querystring: {
          type: 'object',
          additionalProperties: false,
          properties: { count: { type: 'integer', minimum: 1, maximum: 1000, default: 100 } },
        },
      },
    },
    async (request) => store.audit.tail(request.query.count),
  );
}
