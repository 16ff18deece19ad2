// The shape of an Exception; HARDENING.md says what it means.

import * as z from 'zod';
import { apiVersion } from '../contract/policy.ts';
import { hardeningRule, subject } from './hardening-schema.ts';
import { addressList, localName, metadata, name, optional, portMatch } from './shapes.ts';
import { moment } from './shield-schema.ts';

const { exec, file, privilege, kernel, memory } = hardeningRule.shape;
const text = z.string().min(1).max(1024);
const exceptedCall = z
  .strictObject({
    to: optional(addressList),
    protocol: optional(z.enum(['tcp', 'udp'])),
    ports: optional(portMatch),
  })
  .describe('Calls that go through. {} is every call of the rule.');
const rule = localName.describe('Its id there, or default-exec and the like.');

export const exceptionSchema = z.strictObject({
  apiVersion: z.literal(apiVersion),
  kind: z.literal('Exception'),
  metadata,
  spec: z
    .strictObject({
      owner: text.describe('Who answers for it.'),
      reason: text,
      expires: moment.describe('A day (its end, UTC), or a moment. By whichever clock it is over, it is.'),
      of: z
        .union([z.strictObject({ policy: name, rule }), z.strictObject({ shield: name, rule })])
        .describe('The rule that is lifted, and no other.'),
      subject: optional(subject),
      exec,
      file,
      privilege,
      kernel,
      memory,
      connect: optional(exceptedCall),
      bind: optional(exceptedCall),
    })
    .describe(
      'Exactly one of exec, file, privilege, kernel, memory, connect, bind: what the rule does not stop.',
    ),
});
