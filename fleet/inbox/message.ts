// What a device sends, from bytes to types. Nothing past this file sees a message that could be malformed.
//
// Size first, then strict JSON, then the envelope, then the body by its kind. Keys that are not known are
// kept where a device reports (a newer agent says more) and refused where it asks for something.

import { z } from 'zod';
import type { ConfirmationAsked, PartsAsked } from '../../agent/contract/bundle.ts';
import { type Envelope, envelopeKinds } from '../../agent/contract/envelope.ts';
import { type EventBatch, type SpooledEvent, type Stream, streams } from '../../agent/contract/event.ts';
import { parseJson } from '../../agent/contract/json.ts';
import {
  answerPartBytesMax,
  batchBytesMax,
  batchEventsMax,
  partsWindow,
  payloadBytesMax,
} from '../../agent/contract/limits.ts';
import type { AnswerPart } from '../../agent/contract/query.ts';
import { refusals } from '../../agent/contract/refusal.ts';
import type { Birth, Gone, Reported } from '../../agent/contract/state.ts';
import { messageOf } from '../../agent/contract/thrown.ts';
import { digestPattern } from '../../agent/contract/topics.ts';
import { callEvent, operationEvent } from './task-events.ts';

export type DeviceMessage =
  | { readonly kind: 'birth'; readonly envelope: Envelope<Birth> }
  | { readonly kind: 'gone'; readonly envelope: Envelope<Gone> }
  | { readonly kind: 'reported'; readonly envelope: Envelope<Reported> }
  | { readonly kind: 'events'; readonly envelope: Envelope<EventBatch> }
  | { readonly kind: 'ask-parts'; readonly envelope: Envelope<PartsAsked> }
  | { readonly kind: 'ask-confirmation'; readonly envelope: Envelope<ConfirmationAsked> }
  | { readonly kind: 'answer'; readonly who: string; readonly envelope: Envelope<AnswerPart> }
  | { readonly kind: 'metrics' };

/** The message cannot be taken; `message` says why. */
export class MalformedMessage extends Error {
  override readonly name = 'MalformedMessage';
}

const presenceBytesMax = 16 * 1024;
const askBytesMax = 4 * 1024;
/** What an agent cuts the detail of an audit event to (agent/events/audit.ts). */
const auditDetailsMax = 32;
const auditCharactersMax = 1024;
/** JSON around the rows of an answer. */
const answerBytesMax = answerPartBytesMax + 4 * 1024;

const counter = z.int().min(0);
const short = z.string().max(256);
const line = z.string().max(4096);
const digest = z.string().regex(digestPattern);
const refusal = z.looseObject({
  code: z.enum(Object.keys(refusals) as [keyof typeof refusals]),
  detail: line,
});
const inForce = z.looseObject({ serial: counter, digest }).nullable();
const quality = z.enum(['ntp', 'controller', 'floor', 'none']);

const birth = z.looseObject({
  state: z.literal('up'),
  agent: short,
  kernel: short,
  architecture: short,
  hostname: short,
  inForce,
  time: quality,
  nonce: digest,
});

const reported = z.looseObject({
  inForce,
  assignment: z
    .looseObject({
      serial: counter,
      digest,
      result: z.enum(['fetching', 'verified', 'trial', 'confirmed', 'refused', 'returned', 'superseded']),
      refusal: refusal.optional(),
      reason: z.enum(['no-confirmation', 'agent-restarted', 'device-rebooted', 'local-command']).optional(),
    })
    .nullable(),
  rules: z.array(
    z.looseObject({
      id: short,
      state: z.enum(['enforced', 'degraded', 'monitor', 'unsupported']),
      why: line.optional(),
    }),
  ),
  documents: z
    .array(
      z.looseObject({
        kind: z.enum(['Shield', 'Exception']),
        name: short,
        state: z.enum([
          'applies',
          'not-applicable',
          'retire-proposed',
          'retired',
          'off',
          'ended',
          'inactive',
        ]),
        why: line.optional(),
        endsMs: z.number().nullable(),
        retiresItself: z.boolean(),
      }),
    )
    .max(4096)
    .optional(),
  firmware: z
    .looseObject({
      vendor: short.nullable(),
      model: short.nullable(),
      version: short.nullable(),
      untrusted: line.nullable(),
    })
    .optional(),
  proven: line,
  tier: z.enum(['A', 'B', 'C', 'D']),
  hooks: z.array(short),
  kernelBytes: counter,
});

const packetEvent = z.looseObject({
  kind: z.literal('packet'),
  rule: short.nullable(),
  verdict: z.enum(['allow', 'drop', 'reject', 'log']),
  mode: z.enum(['monitor', 'enforce']),
  reason: short,
  hook: short,
  serial: counter,
  interface: short,
  zone: z.exactOptional(short),
  cameBy: z.exactOptional(short),
  state: z.exactOptional(short),
  vlan: z.exactOptional(counter),
  icmp: z.exactOptional(z.strictObject({ type: counter, code: counter })),
  data: z.exactOptional(
    z
      .string()
      .max(128)
      .regex(/^([0-9a-f]{2})+$/),
  ),
  link: z.exactOptional(z.enum(['ethernet', 'ip'])),
  family: z.enum(['ipv4', 'ipv6', 'other']),
  etherType: counter,
  from: short,
  to: short,
  protocol: counter,
  fromPort: counter,
  toPort: counter,
  tcpFlags: counter,
  count: counter,
  bytes: counter,
});
const detailText = z.string().max(auditCharactersMax);
const auditEvent = z.looseObject({
  kind: z.literal('audit'),
  what: short,
  detail: z
    .record(short, z.union([detailText, z.number(), z.boolean(), z.null()]))
    .refine((detail) => Object.keys(detail).length <= auditDetailsMax, { message: 'too many details' }),
});
const gapEvent = z.looseObject({
  kind: z.literal('gap'),
  lost: counter,
  where: z.enum(['ring', 'suppressed', 'agent', 'spool']),
});
const spooled = z.looseObject({
  seq: z.int().min(1),
  mono: z.number().transform(Math.round),
  boot: short.optional(),
  ts: z.int().nullable(),
  tq: quality,
  event: z.discriminatedUnion('kind', [packetEvent, callEvent, operationEvent, auditEvent, gapEvent]),
});
const tailed = spooled.extend({ stream: z.enum(streams) });
const batch = z
  .looseObject({ stream: z.enum(streams), events: z.array(spooled).min(1).max(batchEventsMax) })
  .refine(isRising, { message: 'numbers do not rise', path: ['events'] });

const partsAsked = z.strictObject({ digest, from: counter, count: z.int().min(1).max(partsWindow) });
const confirmationAsked = z.strictObject({ serial: counter, digest, nonce: digest });
const answer = z.looseObject({
  id: z.string().min(1).max(64),
  part: counter,
  last: z.boolean(),
  rows: z.array(z.unknown()).optional(),
  refusal: refusal.optional(),
});

/** Leaf of the topic → what may come there, by the envelope's kind. */
const kinds = {
  st: {
    bytesMax: presenceBytesMax,
    read: {
      [envelopeKinds.birth]: reader('birth', birth),
      [envelopeKinds.goodbye]: reader('gone', z.looseObject({ state: z.literal('bye') })),
      [envelopeKinds.will]: reader('gone', z.looseObject({ state: z.literal('gone') })),
    },
  },
  rep: { bytesMax: payloadBytesMax, read: { [envelopeKinds.reported]: reader('reported', reported) } },
  ev: { bytesMax: batchBytesMax + 4096, read: { [envelopeKinds.events]: reader('events', batch) } },
  ask: {
    bytesMax: askBytesMax,
    read: {
      [envelopeKinds.fetchParts]: reader('ask-parts', partsAsked),
      [envelopeKinds.confirmTrial]: reader('ask-confirmation', confirmationAsked),
    },
  },
  rs: { bytesMax: answerBytesMax, read: { [envelopeKinds.answer]: reader('answer', answer) } },
} as const;

type Read = (envelope: Envelope) => Omit<DeviceMessage, 'who'>;

/** A row of the view `events`; null where it is not one. */
export function parseEventRow(row: unknown): (SpooledEvent & { readonly stream: Stream }) | null {
  const parsed = tailed.safeParse(row);
  return parsed.success ? (parsed.data as SpooledEvent & { readonly stream: Stream }) : null;
}

/** `leaf` is what follows `up/`. Throws MalformedMessage. */
export function parseDeviceMessage(leaf: string, bytes: Uint8Array): DeviceMessage {
  // Nothing reads metrics yet; they are let through so that a device may send them.
  if (leaf === 'm') return { kind: 'metrics' };
  const [name, who, ...more] = leaf.split('/');
  const isAnswer = name === 'rs' && who !== undefined && more.length === 0;
  if (!isAnswer && who !== undefined) throw new MalformedMessage('not a topic of a device');
  const entry = Object.hasOwn(kinds, name ?? '') ? kinds[name as keyof typeof kinds] : undefined;
  if (entry === undefined || (name === 'rs') !== isAnswer)
    throw new MalformedMessage('not a topic of a device');
  const envelope = parseEnvelope(bytes, entry.bytesMax);
  const read = (entry.read as Readonly<Record<string, Read>>)[envelope.k];
  if (read === undefined || !Object.hasOwn(entry.read, envelope.k)) {
    throw new MalformedMessage(`a message of kind ${JSON.stringify(envelope.k)}`);
  }
  const message = read(envelope) as DeviceMessage;
  return isAnswer ? ({ ...message, who } as DeviceMessage) : message;
}

const envelopeSchema = z.looseObject({
  v: z.literal(1),
  k: z.string().max(32),
  sid: counter,
  boot: z.string().max(64),
  seq: counter,
  mono: z.number(),
  ts: z.int().nullable(),
  tq: quality,
  body: z.unknown(),
});

function parseEnvelope(bytes: Uint8Array, bytesMax: number): Envelope {
  let value: unknown;
  try {
    value = parseJson(bytes, { bytesMax });
  } catch (cause) {
    throw new MalformedMessage(messageOf(cause), { cause });
  }
  const parsed = envelopeSchema.safeParse(value);
  if (!parsed.success) throw malformed(parsed.error);
  return parsed.data;
}

function reader<Kind extends DeviceMessage['kind']>(kind: Kind, schema: z.ZodType): Read {
  return (envelope) => {
    const parsed = schema.safeParse(envelope.body);
    if (!parsed.success) throw malformed(parsed.error);
    return { kind, envelope: { ...envelope, body: parsed.data } } as Omit<DeviceMessage, 'who'>;
  };
}

function malformed(error: z.ZodError): MalformedMessage {
  const faults = error.issues.map((issue) => `${issue.path.join('.')}: ${issue.message}`);
  return new MalformedMessage(faults.slice(0, 4).join('; ').slice(0, 500));
}

function isRising({ events }: { readonly events: readonly { readonly seq: number }[] }): boolean {
  return events.every((event, index) => index === 0 || event.seq > (events[index - 1]?.seq ?? 0));
}
