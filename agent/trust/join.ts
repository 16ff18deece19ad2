// The join line: how an operator tells a device whom to believe.

import * as z from 'zod';
import { type Join, joinPrefix } from '../contract/enrollment.ts';
import { parseJson } from '../contract/json.ts';
import { messageOf } from '../contract/thrown.ts';
import { digestPattern, namePattern } from '../contract/topics.ts';
import { decodeBase64Url } from './base64.ts';

export interface Endpoint {
  readonly host: string;
  readonly port: number;
}

const joinBytesMax = 4096;
const secretBytes = 32;

const schema = z.strictObject({
  v: z.literal(1),
  enroll: z.string().max(300).refine(isEndpoint, 'must be mqtts://host:port'),
  broker: z.string().max(300).refine(isEndpoint, 'must be mqtts://host:port'),
  tenant: z.string().regex(namePattern),
  token: z.string().regex(namePattern),
  secret: z
    .string()
    .refine((text) => decodeBase64Url(text)?.length === secretBytes, 'must be 32 bytes in base64url'),
  authority: z.string().regex(digestPattern),
  signer: z.string().regex(digestPattern),
});

/** Throws an Error that says what is wrong with the line, without showing its secret. */
export function parseJoin(line: string): Join {
  const text = line.trim();
  if (!text.startsWith(joinPrefix)) throw new Error(`a join line begins with ${joinPrefix}`);
  const bytes = decodeBase64Url(text.slice(joinPrefix.length));
  if (bytes === null) throw new Error('the join line is damaged: not base64url');
  let value: unknown;
  try {
    value = parseJson(bytes, { bytesMax: joinBytesMax });
  } catch (error) {
    throw new Error(`the join line is damaged: ${messageOf(error)}`);
  }
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  const faults = result.error.issues.map((issue) => `${issue.path.join('.')}: ${issue.message}`);
  throw new Error(`the join line is not usable: ${faults.join('; ')}`);
}

/** Host and port of `mqtts://host:port`; an IPv6 address comes without its brackets. */
export function parseEndpoint(text: string): Endpoint {
  const url = new URL(text);
  if (url.protocol !== 'mqtts:' || url.hostname === '') throw new Error(`${text}: not mqtts://host:port`);
  if (url.username !== '' || url.password !== '' || !['', '/'].includes(url.pathname) || url.search !== '') {
    throw new Error(`${text}: more than a host and a port`);
  }
  return { host: url.hostname.replace(/^\[(.*)\]$/, '$1'), port: url.port === '' ? 8883 : Number(url.port) };
}

function isEndpoint(text: string): boolean {
  try {
    parseEndpoint(text);
    return true;
  } catch {
    return false;
  }
}
