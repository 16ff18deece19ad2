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
  type Exception,
  type HardeningPolicy,
  type PacketPolicy,
  type PolicyDocument,
  type Shield,
} from '../contract/policy.ts';
import { exceptionSchema } from './exception-schema.ts';
import { hardeningPolicySchema } from './hardening-schema.ts';
import { packetPolicySchema } from './packet-schema.ts';
import { addresses, addressesMax, metadata, optional } from './shapes.ts';
import { shieldSchema } from './shield-schema.ts';

/** Urgent additions of one list; more belong into the list itself. */
const additionsMax = 4096;

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
  shieldSchema,
  exceptionSchema,
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
  Same<Plain<z.infer<typeof shieldSchema>>, Plain<Shield>>,
  Same<Plain<z.infer<typeof exceptionSchema>>, Plain<Exception>>,
  Same<Plain<z.infer<typeof addressSetSchema>>, Plain<AddressSet>>,
  Same<Plain<z.infer<typeof documentSchema>>, Plain<PolicyDocument>>,
] = [true, true, true, true, true, true];
void agree;
