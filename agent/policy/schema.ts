// The shape of policy documents, once for reading them and once for editors.
//
// Objects are strict: a key that is not known is a fault, because a misspelt condition that is skipped
// makes a rule that means something else. What the values mean (addresses, ports, names that must
// resolve, rules that can never match) is looked at in check.ts, when the shape is known to be right.
//
// The types are those of contract/policy.ts; the lines at the end fail to compile where the two differ.

import * as z from 'zod';
import {
  type AddressSet,
  apiVersion,
  type HardeningPolicy,
  type PacketPolicy,
  type PolicyDocument,
} from '../contract/policy.ts';
import { socketFamilyNumbers, socketTypeNumbers } from './numbers.ts';
import { packetPolicySchema } from './packet-schema.ts';
import {
  addresses,
  addressesMax,
  addressList,
  addressSetReference,
  localName,
  metadata,
  mode,
  optional,
  portMatch,
  rulesMax,
  words,
} from './shapes.ts';

/** Urgent additions of one list; more belong into the list itself. */
const additionsMax = 4096;

const callMatch = z.strictObject({
  to: optional(z.union([addressList, addressSetReference]).describe('Addresses meant; absent: all.')),
  except: optional(
    z.union([addressList, addressSetReference]).describe('All addresses but these. Not together with to.'),
  ),
  protocol: optional(z.enum(['tcp', 'udp'])),
  ports: optional(portMatch),
});

const socketMatch = z.strictObject({
  family: optional(z.array(words(socketFamilyNumbers)).min(1).max(8)),
  type: optional(z.array(words(socketTypeNumbers)).min(1).max(8)),
});

const hardeningRule = z
  .strictObject({
    id: localName.describe('Unique in the document; counters and events are kept under document/id.'),
    mode: optional(mode),
    connect: optional(callMatch.describe('connect() and every send to an address.')),
    bind: optional(callMatch),
    socket: optional(socketMatch),
    action: z.enum(['allow', 'deny']),
  })
  .describe('Exactly one of connect, bind, socket. Deny wins over allow, allow over the default.');

const callDefault = z.enum(['allow', 'deny']);

const hardeningPolicySchema = z.strictObject({
  apiVersion: z.literal(apiVersion),
  kind: z.literal('HardeningPolicy'),
  metadata,
  spec: z.strictObject({
    mode,
    subject: z.strictObject({
      cgroup: z
        .string()
        .max(255)
        .regex(
          /^[!--0-~][!-.0-~]*(\/[!--0-~][!-.0-~]*)*$/,
          'has to be a path below the hardening root such as daemons/httpd, without a slash at its ends',
        )
        .describe("A cgroup below the device's hardening root, children included."),
    }),
    default: optional(
      z
        .strictObject({
          connect: optional(callDefault),
          bind: optional(callDefault),
          socket: optional(callDefault),
        })
        .describe('Per call, what happens when no rule matches. Default: allow.'),
    ),
    rules: z.array(hardeningRule).max(rulesMax),
  }),
});

const addressSetSchema = z.strictObject({
  apiVersion: z.literal(apiVersion),
  kind: z.literal('AddressSet'),
  metadata,
  spec: z
    .strictObject({
      addresses: optional(z.array(addresses).max(addressesMax)),
      file: optional(
        z
          .string()
          .min(1)
          .max(4096)
          .describe(
            'A list beside this document, one entry a line, # comments, .gz too; read in before signing.',
          ),
      ),
      additions: optional(
        z
          .array(
            z.strictObject({
              address: addresses,
              until: optional(z.iso.datetime().describe('From then on it counts no more.')),
            }),
          )
          .max(additionsMax)
          .describe('Urgent ones: in force without the list being built anew.'),
      ),
      countEntries: optional(z.boolean().describe('Count the hits of each entry.')),
    })
    .describe('Either addresses or file.'),
});

export const documentSchema = z.discriminatedUnion('kind', [
  packetPolicySchema,
  hardeningPolicySchema,
  addressSetSchema,
]);

/** The published JSON Schema; gen-schema.ts writes it. */
export function jsonSchema(): object {
  const target = 'draft-2020-12';
  const { $schema, ...rest } = z.toJSONSchema(documentSchema, { target, io: 'input', reused: 'ref' });
  return {
    $schema,
    $comment: 'Generated from agent/policy/schema.ts by agent/policy/gen-schema.ts; do not edit.',
    title: 'Husk policy document',
    description: `One document of a bundle, ${apiVersion}. A file may hold several, separated by ---.`,
    ...rest,
  };
}

// The schema and the contract say the same. Arrays of the contract are readonly, so that is taken off the comparison.
type Plain<T> = T extends readonly (infer One)[]
  ? Plain<One>[]
  : T extends object
    ? { -readonly [Key in keyof T]: Plain<T[Key]> }
    : T;
type Same<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false;
const agree: [
  Same<Plain<z.infer<typeof packetPolicySchema>>, Plain<PacketPolicy>>,
  Same<Plain<z.infer<typeof hardeningPolicySchema>>, Plain<HardeningPolicy>>,
  Same<Plain<z.infer<typeof addressSetSchema>>, Plain<AddressSet>>,
  Same<Plain<z.infer<typeof documentSchema>>, Plain<PolicyDocument>>,
] = [true, true, true, true];
void agree;
