// Permits: signed for one device, and not kept.

import type { FastifyInstance } from 'fastify';
import { type PermitPurpose, permitPurposes } from '../../agent/contract/permit.ts';
import { signPermit } from '../sign-permit.ts';
import { findDevice } from './find-device.ts';
import { type ApiParts, operator } from './parts.ts';

interface Order {
  readonly purpose: PermitPurpose;
  readonly boot: string;
  readonly validSeconds: number;
}

const daySeconds = 24 * 3600;

export function permitRoutes(app: FastifyInstance, { store, publishing }: ApiParts): void {
  app.post<{ Params: { device: string }; Body: Order }>(
    '/v1/devices/:device/permits',
    {
      schema: {
        body: {
          type: 'object',
          additionalProperties: false,
          required: ['purpose', 'boot'],
          properties: {
            purpose: { type: 'string', enum: permitPurposes },
            boot: { type: 'string', minLength: 1, maxLength: 64, pattern: '^[0-9a-f-]+$' },
            validSeconds: { type: 'integer', minimum: 60, maximum: daySeconds, default: 3600 },
          },
        },
      },
    },
    async (request, reply) => {
      const device = findDevice(store.devices, request.params.device).id;
      const { purpose, boot, validSeconds } = request.body;
      const { permit, envelope } = signPermit(publishing, {
        device,
        purpose,
        boot,
        validSeconds,
        who: operator,
      });
      reply.status(201);
      return { ...permit, envelope };
    },
  );
}
