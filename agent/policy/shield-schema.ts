// The shape of a Shield; HARDENING.md says what it means.

import * as z from 'zod';
import { apiVersion } from '../contract/policy.ts';
import { severities } from '../contract/shield.ts';
import { hardeningDefaults, hardeningMode, hardeningRule, minimumTier, subject } from './hardening-schema.ts';
import { limit, packetMatch, rejectWith } from './packet-schema.ts';
import { interfaceGlob, localName, metadata, mode, optional, rulesMax } from './shapes.ts';

const listMax = 64;
const testLinesMax = 256;

const oneOrMore = <T extends z.ZodType>(one: T) => z.union([one, z.array(one).min(1).max(listMax)]);
const cve = z
  .string()
  .max(32)
  .regex(/^CVE-\d{4}-\d{4,}$/, 'has to be a CVE id such as CVE-2023-1389');
const glob = z.string().min(1).max(128).describe('"*" and "?" stand for any characters and for one.');

/** A day, or a moment. */
export const moment = z
  .string()
  .max(32)
  .regex(
    /^\d{4}-\d{2}-\d{2}(T\d{2}:\d{2}:\d{2}(\.\d+)?Z)?$/,
    'has to be a day such as 2027-06-01, or a moment such as 2027-06-01T12:00:00Z',
  )
  .describe('A day (its end, UTC), or a moment.');

const appliesTo = z
  .strictObject({
    vendor: optional(oneOrMore(glob)),
    model: optional(oneOrMore(glob)),
    firmware: optional(
      oneOrMore(z.string().min(1).max(256)).describe(
        'Vulnerable versions, as in "<1.1.4" or ">=2.0 <2.3.1".',
      ),
    ),
    executable: optional(
      z.strictObject({
        path: z.string().min(1).max(4095),
        sha256: z
          .array(z.string().regex(/^[0-9a-f]{64}$/, 'has to be a SHA-256 in 64 small hexadecimal digits'))
          .min(1)
          .max(listMax)
          .describe('The vulnerable builds of it.'),
      }),
    ),
  })
  .describe('Where it is needed: all at once. What a device cannot tell of itself counts as holding.');

// What came in by which zone is nothing that a document without zones could ask for.
const { origin: _, ...match } = packetMatch;
const { over: __, ...rate } = limit.shape;
const packetRule = z.strictObject({
  id: localName.describe('Unique in the document; counters and events are kept under document/id.'),
  mode: optional(mode),
  ...match,
  action: z
    .enum(['drop', 'reject', 'limit'])
    .describe('limit: what is above the rate is dropped, and the rest goes on to the rules of the policy.'),
  rejectWith: optional(rejectWith),
  limit: optional(z.strictObject(rate)),
});

const packets = z
  .strictObject({
    zones: optional(z.array(localName).min(1).max(listMax).describe('In whichever packet policy.')),
    interfaces: optional(z.array(interfaceGlob).min(1).max(listMax)),
    ingress: optional(z.array(packetRule).min(1).max(rulesMax)),
    egress: optional(z.array(packetRule).min(1).max(rulesMax)),
  })
  .describe('Judged before the ordered rules of the zones. Neither zones nor interfaces: of all zones.');

const lines = z.array(z.string().min(1).max(1024)).min(1).max(testLinesMax);
const test = z
  .strictObject({
    deny: optional(lines.describe('What the exploit does, as in exec /tmp/x or connect tcp 192.0.2.1 443.')),
    allow: optional(lines.describe('The ordinary work of the service.')),
    applets: optional(
      z
        .record(z.string().min(1).max(4095), z.array(z.string().min(1).max(255)).min(1).max(1024))
        .describe('Programs of many applets that the device is taken to have.'),
    ),
    simulation: optional(localName.describe('A program that acts out the exploit harmlessly.')),
  })
  .describe('What husk policy check and test try it by, alone and enforced.');

export const shieldSchema = z.strictObject({
  apiVersion: z.literal(apiVersion),
  kind: z.literal('Shield'),
  metadata,
  spec: z.strictObject({
    cve: oneOrMore(cve),
    severity: z.enum(severities),
    references: optional(
      z
        .array(
          z
            .string()
            .max(2048)
            .regex(/^https?:\/\/[^\s]+$/, 'has to be a web address'),
        )
        .min(1)
        .max(listMax),
    ),
    appliesTo: optional(appliesTo),
    expires: moment,
    retireAutomatically: optional(
      z.boolean().describe('A device drops it by itself once it is not needed. Default: that is proposed.'),
    ),
    mode: hardeningMode,
    minimumTier: optional(minimumTier),
    subject: optional(subject),
    default: optional(hardeningDefaults),
    rules: optional(z.array(hardeningRule).min(1).max(rulesMax)),
    packets: optional(packets),
    test: optional(test),
  }),
});
