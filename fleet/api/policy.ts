// Policy: published to devices, and followed until each has said what became of it.

import type { FastifyInstance } from 'fastify';
import { publishPolicy } from '../publish-policy.ts';
import type { StoredAssignment } from '../store/assignments.ts';
import { ApiError } from './api-error.ts';
import { findDevice } from './find-device.ts';
import { type ApiParts, operator } from './parts.ts';
import {
  type AssignmentView,
  assignmentView,
  type DeviceState,
  type EnforcementView,
  enforcementView,
  stateOf,
} from './views.ts';

interface PublicationOrder {
  readonly documents: readonly unknown[];
  readonly title: string;
  readonly devices: 'all' | readonly string[];
  readonly trialSeconds: number;
}

export interface Progress extends AssignmentView {
  readonly device: string;
  readonly hostname: string;
  readonly state: DeviceState;
  /** A newer assignment is this device's current one. */
  readonly isSuperseded: boolean;
  /** Null until the device says that it is in force. */
  readonly enforcement: EnforcementView | null;
}

const devicesMax = 100_000;
const bundlesListed = 100;

export function policyRoutes(app: FastifyInstance, parts: ApiParts): void {
  const { store, clock, publishing } = parts;

  app.post<{ Body: PublicationOrder }>(
    '/v1/bundles',
    {
      schema: {
        body: {
          type: 'object',
          additionalProperties: false,
          required: ['documents', 'devices'],
          properties: {
            documents: { type: 'array', minItems: 1, maxItems: 1024, items: { type: 'object' } },
            title: { type: 'string', maxLength: 200, pattern: '^[^\\u0000-\\u001f\\u007f]*$', default: '' },
            // Clamped by each device to its own configuration; a day is a mistake.
            trialSeconds: { type: 'integer', minimum: 1, maximum: 24 * 3600, default: 120 },
            devices: {
              anyOf: [
                { type: 'string', const: 'all' },
                { type: 'array', minItems: 1, maxItems: devicesMax, items: { type: 'string' } },
              ],
            },
          },
        },
      },
    },
    async (request, reply) => {
      const { documents, title, devices, trialSeconds } = request.body;
      const targets =
        devices === 'all'
          ? store.devices.listEnrolled().map((device) => device.id)
          : [...new Set(devices.map((name) => findDevice(store.devices, name).id))];
      if (targets.length === 0) throw new ApiError(409, 'no-devices', 'no device is enrolled yet');
      const bundle = publishPolicy(publishing, {
        documents,
        title,
        devices: targets,
        trialSeconds,
        who: operator,
      });
      reply.status(201);
      return { ...bundle, devices: targets };
    },
  );

  app.get('/v1/bundles', async () => store.bundles.newest(bundlesListed));

  app.get<{ Params: { serial: number } }>(
    '/v1/bundles/:serial',
    { schema: { params: { type: 'object', properties: { serial: { type: 'integer' } } } } },
    async (request) => {
      const bundle = store.bundles.find(request.params.serial);
      if (bundle === null)
        throw new ApiError(404, 'not-found', `there is no serial ${request.params.serial}`);
      const devices = store.assignments.ofBundle(bundle.serial).map((one) => progressOf(one));
      return { ...bundle, devices };
    },
  );

  function progressOf(assignment: StoredAssignment): Progress {
    const device = store.devices.find(assignment.device);
    return {
      device: assignment.device,
      hostname: device?.hostname ?? '',
      state: device === null ? 'never' : stateOf(device, clock.now()),
      ...assignmentView(assignment),
      isSuperseded: store.assignments.current(assignment.device)?.serial !== assignment.serial,
      enforcement: enforcementView(device?.reported ?? null, assignment),
    };
  }
}
