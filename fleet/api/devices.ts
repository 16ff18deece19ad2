// Devices: listed, shown, asked, forgotten.

import type { FastifyInstance } from 'fastify';
import { type View, views } from '../../agent/contract/query.ts';
import { deviceTopics } from '../../agent/contract/topics.ts';
import { ApiError } from './api-error.ts';
import { findDevice } from './find-device.ts';
import { type ApiParts, operator } from './parts.ts';
import { assignmentView, deviceView, stateOf } from './views.ts';

interface Question {
  readonly view: View;
  readonly args: Readonly<Record<string, unknown>>;
  readonly withinMs: number;
}

const historyCount = 20;

export function deviceRoutes(app: FastifyInstance, parts: ApiParts): void {
  const { tenant, store, questions, publishing, clock } = parts;

  app.get('/v1/devices', async () => {
    const current = new Map(store.assignments.allCurrent().map((one) => [one.device, one]));
    return store.devices
      .listEnrolled()
      .map((device) => deviceView(device, current.get(device.id) ?? null, clock.now()));
  });

  app.get<{ Params: { device: string } }>('/v1/devices/:device', async (request) => {
    const device = findDevice(store.devices, request.params.device);
    return {
      ...deviceView(device, store.assignments.current(device.id), clock.now()),
      assignments: store.assignments.ofDevice(device.id, historyCount).map(assignmentView),
      gaps: store.events.gaps(device.id),
    };
  });

  app.delete<{ Params: { device: string } }>('/v1/devices/:device', async (request) => {
    const { id, hardwareId } = findDevice(store.devices, request.params.device);
    store.transaction(() => {
      store.devices.forget(id);
      store.audit.append(
        { who: operator, what: 'device.forget', object: id, detail: { hardwareId } },
        clock.now(),
      );
    });
    parts.onForget(id);
    // An empty retained message clears what the broker keeps. If it is away, nobody asks for it either.
    const { desired, shadow } = deviceTopics(tenant, id);
    for (const topic of [desired, shadow]) publishing.publish(topic, new Uint8Array()).catch(() => {});
    return { device: id, state: 'forgotten' };
  });

  app.post<{ Params: { device: string }; Body: Question }>(
    '/v1/devices/:device/query',
    {
      schema: {
        body: {
          type: 'object',
          additionalProperties: false,
          required: ['view'],
          properties: {
            view: { type: 'string', enum: Object.keys(views) },
            args: { type: 'object', default: {} },
            withinMs: { type: 'integer', minimum: 100, maximum: 50_000, default: 10_000 },
          },
        },
      },
    },
    async (request) => {
      const device = findDevice(store.devices, request.params.device);
      const state = stateOf(device, clock.now());
      if (state !== 'up') throw new ApiError(409, 'offline', `${device.id} is not connected (${state})`);
      const { view, args, withinMs } = request.body;
      return { device: device.id, view, rows: await questions.ask(device.id, view, args, withinMs) };
    },
  );
}
