// Events: the newest, or those after a number, waiting for some to come.

import type { FastifyInstance } from 'fastify';
import { type Stream, streams } from '../../agent/contract/event.ts';
import { findDevice } from './find-device.ts';
import type { ApiParts } from './parts.ts';

interface EventsAsked {
  readonly device?: string;
  readonly stream?: Stream;
  readonly after?: number;
  readonly count: number;
  readonly waitMs: number;
}

export function eventRoutes(app: FastifyInstance, { store, news, clock }: ApiParts): void {
  app.get<{ Querystring: EventsAsked }>(
    '/v1/events',
    {
      schema: {
        querystring: {
          type: 'object',
          additionalProperties: false,
          properties: {
            device: { type: 'string' },
            stream: { type: 'string', enum: [...streams] },
            after: { type: 'integer', minimum: 0 },
            count: { type: 'integer', minimum: 1, maximum: 10_000, default: 1000 },
            waitMs: { type: 'integer', minimum: 0, maximum: 30_000, default: 0 },
          },
        },
      },
    },
    async (request, reply) => {
      const { stream, after, count, waitMs } = request.query;
      const device =
        request.query.device === undefined ? undefined : findDevice(store.devices, request.query.device).id;
      if (after === undefined) return store.events.tail({ device, stream, count });

      const gone = new AbortController();
      reply.raw.once('close', () => gone.abort());
      const until = clock.now() + waitMs;
      for (;;) {
        const events = store.events.list({ after, device, stream, limit: count });
        const left = until - clock.now();
        if (events.length > 0 || left <= 0 || gone.signal.aborted || news.isClosed) return events;
        await news.next(left, gone.signal);
      }
    },
  );
}
