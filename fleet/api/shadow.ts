// Policies in shadow: handed to devices, and ended. What they show, the devices tell themselves (view `shadow`).

import type { FastifyInstance } from 'fastify';
import { publishShadow, stopShadow } from '../publish-shadow.ts';
import { ApiError } from './api-error.ts';
import { findDevice } from './find-device.ts';
import { type ApiParts, operator } from './parts.ts';

interface Targets {
  readonly devices: 'all' | readonly string[];
}
interface ShadowOrder extends Targets {
  readonly documents: readonly unknown[];
  readonly title: string;
}

const devicesMax = 100_000;
const devices = {
  anyOf: [
    { type: 'string', const: 'all' },
    { type: 'array', minItems: 1, maxItems: devicesMax, items: { type: 'string' } },
  ],
};

export function shadowRoutes(app: FastifyInstance, { store, publishing }: ApiParts): void {
  const targets = (wanted: Targets['devices']): string[] => {
    const found =
      wanted === 'all'
        ? store.devices.listEnrolled().map((device) => device.id)
        : [...new Set(wanted.map((name) => findDevice(store.devices, name).id))];
    if (found.length === 0) throw new ApiError(409, 'no-devices', 'no device is enrolled yet');
    return found;
  };

  app.post<{ Body: ShadowOrder }>(
    '/v1/shadow',
    {
      schema: {
        body: {
          type: 'object',
          additionalProperties: false,
          required: ['documents', 'devices'],
          properties: {
            documents: { type: 'array', minItems: 1, maxItems: 1024, items: { type: 'object' } },
            title: { type: 'string', maxLength: 200, pattern: '^[^\\u0000-\\u001f\\u007f]*$', default: '' },
            devices,
          },
        },
      },
    },
    async (request, reply) => {
      const { documents, title } = request.body;
      const found = targets(request.body.devices);
      const bundle = publishShadow(
        { ...publishing, store },
        { documents, title, devices: found, who: operator },
      );
      reply.status(201);
      return { serial: bundle.serial, digest: bundle.digest, title, devices: found };
    },
  );

  app.post<{ Body: Targets }>(
    '/v1/shadow/stop',
    {
      schema: {
        body: { type: 'object', additionalProperties: false, required: ['devices'], properties: { devices } },
      },
    },
    async (request) => ({
      devices: stopShadow({ ...publishing, store }, targets(request.body.devices), operator),
    }),
  );
}
