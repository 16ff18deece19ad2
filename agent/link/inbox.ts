// Messages from the broker, as types. Nothing past this file sees a payload that could be malformed.
//
// Sizes come first, then strict JSON, then the fields. The envelope of a question may be bare, so that a
// person with mosquitto_pub can ask: `{"v":1,"k":"rq.query","body":{…}}` is enough. Nothing in here is
// believed for its sender's sake: what changes the device is signed and checked in trust/.

import * as z from 'zod';
import type { SignedEnvelope } from '../contract/bundle.ts';
import { envelopeKinds } from '../contract/envelope.ts';
import { type SpoolAcknowledgement, streams } from '../contract/event.ts';
import { parseJson } from '../contract/json.ts';
import { envelopeBytesMax, partBytes, payloadBytesMax } from '../contract/limits.ts';
import { type Query, type View, views } from '../contract/query.ts';
import type { Refusal } from '../contract/refusal.ts';
import { messageOf } from '../contract/thrown.ts';
import { type DeviceTopics, namePattern } from '../contract/topics.ts';

export type Incoming =
  /** The signed desired state, as it arrived; null: it was cleared. */
  | { readonly kind: 'desired'; readonly bytes: Uint8Array | null }
  /** The same of what is to be judged in shadow. */
  | { readonly kind: 'shadow'; readonly bytes: Uint8Array | null }
  | { readonly kind: 'query'; readonly query: Query }
  /** A question too malformed to answer but well enough to say so. */
  | { readonly kind: 'bad-query'; readonly id: string; readonly who: string; readonly refusal: Refusal }
  | { readonly kind: 'spooled'; readonly acknowledgement: SpoolAcknowledgement }
  | { readonly kind: 'confirmed'; readonly confirmation: SignedEnvelope }
  | { readonly kind: 'part'; readonly digest: string; readonly part: number; readonly bytes: Uint8Array }
  | { readonly kind: 'unreadable'; readonly topic: string; readonly why: string };

/** A question or an acknowledgement; generous for what they carry. */
const requestBytesMax = 32 * 1024;
const queryIdPattern = /^[\x21-\x7e]{1,64}$/;
/** Ten minutes: nobody waits longer, and a number that is off by a thousand is noticed. */
const withinMsMax = 600_000;

const envelopeSchema = z.looseObject({ v: z.literal(1), k: z.string().max(64), body: z.unknown() });

const querySchema = z.strictObject({
  id: z.string().regex(queryIdPattern),
  who: z.string().regex(namePattern),
  view: z.string().max(64),
  args: z.record(z.string().max(64), z.unknown()).optional(),
  withinMs: z.int().min(1).max(withinMsMax),
});

const acknowledgementSchema = z.strictObject({
  stream: z.enum(streams),
  upTo: z.int().min(0),
});

const confirmedSchema = z.strictObject({
  confirmation: z.strictObject({
    payloadType: z.string().max(128),
    payload: z.string().max(envelopeBytesMax),
    signatures: z.array(z.strictObject({ keyid: z.string().max(64), sig: z.string().max(128) })).max(16),
  }),
});

export function readMessage(
  topic: string,
  payload: Uint8Array,
  topics: DeviceTopics,
  blobBase: string,
): Incoming {
  if (topic === topics.desired) return readSigned('desired', topic, payload);
  if (topic === topics.shadow) return readSigned('shadow', topic, payload);
  if (topic === topics.request) return readRequest(topic, payload);
  if (topic === topics.acknowledge) return readAcknowledge(topic, payload);
  if (topic.startsWith(blobBase)) return readPart(topic, payload, blobBase);
  return unreadable(topic, 'not a topic of ours');
}

function readSigned(kind: 'desired' | 'shadow', topic: string, payload: Uint8Array): Incoming {
  if (payload.length === 0) return { kind, bytes: null };
  // One byte over is enough for the verifier to refuse it as too large; the rest need not be kept.
  if (payload.length > payloadBytesMax) return unreadable(topic, `${payload.length} bytes`);
  return { kind, bytes: new Uint8Array(payload) };
}

function readRequest(topic: string, payload: Uint8Array): Incoming {
  const envelope = readEnvelope(payload, requestBytesMax);
  if ('why' in envelope) return unreadable(topic, envelope.why);
  if (envelope.k !== envelopeKinds.query) return unreadable(topic, `kind ${envelope.k.slice(0, 64)}`);
  const read = querySchema.safeParse(envelope.body);
  if (!read.success) return badQuery(topic, envelope.body, 'query.malformed', faults(read.error));
  const { id, who, view, args, withinMs } = read.data;
  if (!Object.hasOwn(views, view)) {
    return badQuery(
      topic,
      envelope.body,
      'query.unknown-view',
      `the views are ${Object.keys(views).join(', ')}`,
    );
  }
  const query = { id, who, view: view as View, withinMs, ...(args === undefined ? {} : { args }) };
  return { kind: 'query', query };
}

/** The asker is told what is wrong where it can be told. */
function badQuery(
  topic: string,
  body: unknown,
  code: 'query.malformed' | 'query.unknown-view',
  detail: string,
): Incoming {
  const address = z
    .looseObject({ id: z.string().regex(queryIdPattern), who: z.string().regex(namePattern) })
    .safeParse(body);
  if (!address.success) return unreadable(topic, detail);
  return { kind: 'bad-query', id: address.data.id, who: address.data.who, refusal: { code, detail } };
}

function readAcknowledge(topic: string, payload: Uint8Array): Incoming {
  const envelope = readEnvelope(payload, requestBytesMax);
  if ('why' in envelope) return unreadable(topic, envelope.why);
  if (envelope.k === envelopeKinds.spooled) {
    const read = acknowledgementSchema.safeParse(envelope.body);
    if (read.success) return { kind: 'spooled', acknowledgement: read.data };
    return unreadable(topic, faults(read.error));
  }
  if (envelope.k === envelopeKinds.confirmed) {
    const read = confirmedSchema.safeParse(envelope.body);
    if (read.success) return { kind: 'confirmed', confirmation: read.data.confirmation };
    return unreadable(topic, faults(read.error));
  }
  return unreadable(topic, `kind ${envelope.k.slice(0, 64)}`);
}

function readPart(topic: string, payload: Uint8Array, blobBase: string): Incoming {
  const match = /^([0-9a-f]{64})\/(0|[1-9][0-9]{0,5})$/.exec(topic.slice(blobBase.length));
  if (match === null) return unreadable(topic, 'not the topic of a part');
  if (payload.length === 0 || payload.length > partBytes)
    return unreadable(topic, `a part of ${payload.length} bytes`);
  return { kind: 'part', digest: match[1] ?? '', part: Number(match[2]), bytes: payload };
}

function readEnvelope(
  payload: Uint8Array,
  bytesMax: number,
): { readonly k: string; readonly body: unknown } | { readonly why: string } {
  let value: unknown;
  try {
    value = parseJson(payload, { bytesMax });
  } catch (error) {
    return { why: messageOf(error) };
  }
  const read = envelopeSchema.safeParse(value);
  if (!read.success) return { why: faults(read.error) };
  return { k: read.data.k, body: read.data.body };
}

function faults(error: z.ZodError): string {
  return error.issues
    .slice(0, 8)
    .map((issue) => `${issue.path.join('.')}: ${issue.message}`)
    .join('; ');
}

function unreadable(topic: string, why: string): Incoming {
  return { kind: 'unreadable', topic: topic.slice(0, 256), why: why.slice(0, 512) };
}
