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
import { entryLengthMax } from './addresses.ts';
import { protocolNumbers, socketFamilyNumbers, socketTypeNumbers, tcpFlagBits } from './numbers.ts';

/** Rules of one zone and direction; far above what a device takes, and low enough to compare all pairs. */
const rulesMax = 10_000;
/** Entries of one list; a bundle of the greatest size holds fewer. */
const addressesMax = 2_000_000;
const labelsMax = 64;
const zonesMax = 256;
const setsMax = 1024;
const portsMax = 256;
/** IFNAMSIZ without its NUL. */
const interfaceNameMax = 15;

const words = <Word extends string>(numbers: Readonly<Record<Word, number>>) =>
  z.enum(Object.keys(numbers) as [Word, ...Word[]]);

const name = z
  .string()
  .max(63)
  .regex(/^[a-z0-9][a-z0-9.-]*$/, 'has to be lower case letters, digits, "-" and "."');
const localName = z
  .string()
  .max(63)
  .regex(/^[A-Za-z0-9][A-Za-z0-9._-]*$/, 'has to be letters, digits, ".", "_" and "-"');

const metadata = z.strictObject({
  name: name.describe('Unique per kind in a bundle.'),
  labels: z.exactOptional(
    z
      .record(
        z
          .string()
          .max(63)
          .regex(/^[A-Za-z0-9][A-Za-z0-9._/-]*$/),
        z.string().max(255),
      )
      .refine((labels) => Object.keys(labels).length <= labelsMax, `at most ${labelsMax} labels`)
      .describe('Free words for finding documents.'),
  ),
  owner: z.exactOptional(z.string().max(255).describe('Who answers for this document.')),
});

const mode = z
  .enum(['off', 'monitor', 'enforce'])
  .describe(
    'off: not compiled. monitor: counted and reported, not acted on. A rule may lower it, never raise it.',
  );

const addresses = z
  .string()
  .min(1)
  .max(entryLengthMax)
  .describe('An address, a prefix such as 192.0.2.0/24, or a range such as 192.0.2.1-192.0.2.9.');
const addressList = z.array(addresses).min(1).max(addressesMax);
const addressSetReference = z.strictObject({
  addressSet: name.describe('Name of an AddressSet document in the same bundle.'),
});

const addressMatch = z
  .union([
    addresses,
    addressList,
    z.strictObject({
      set: localName.describe('Name of a set of this policy.'),
      not: z.exactOptional(z.boolean().describe('true: every address that is not in the set.')),
    }),
    z.strictObject({ not: z.union([addresses, addressList]).describe('Every address but these.') }),
  ])
  .describe('Addresses written out, or a set by its name.');

const protocol = z
  .union([words(protocolNumbers), z.int().min(0).max(255)])
  .describe('By name, or the number in the IP header.');

const port = z.int().min(0).max(65535);
const portRange = z
  .string()
  .max(16)
  .regex(/^\d{1,5}(-\d{1,5})?$/, 'has to be a port or a range such as 8000-8080');
const portMatch = z
  .union([
    port,
    portRange,
    z
      .array(z.union([port, portRange]))
      .min(1)
      .max(portsMax),
  ])
  .describe('A port, a range such as "8000-8080", or several of both.');

const tcpFlags = z.array(words(tcpFlagBits)).max(Object.keys(tcpFlagBits).length);

const packetRule = z.strictObject({
  id: localName.describe('Unique in the document; counters and events are kept under document/id.'),
  mode: z.exactOptional(mode),
  from: z.exactOptional(addressMatch.describe('Source addresses.')),
  to: z.exactOptional(addressMatch.describe('Destination addresses.')),
  family: z.exactOptional(z.enum(['ipv4', 'ipv6'])),
  protocol: z.exactOptional(protocol),
  ports: z.exactOptional(
    z
      .strictObject({ from: z.exactOptional(portMatch), to: z.exactOptional(portMatch) })
      .describe('tcp, udp and sctp only. A later fragment carries no ports and does not match.'),
  ),
  tcpFlags: z.exactOptional(
    z
      .strictObject({ set: z.exactOptional(tcpFlags), unset: z.exactOptional(tcpFlags) })
      .describe('tcp only: flags that must be set, and flags that must not be.'),
  ),
  action: z.enum(['allow', 'drop']),
});

const zoneRules = z.strictObject({
  zone: localName.describe('Name of a zone of this policy.'),
  default: z.enum(['allow', 'drop']).describe('What happens to a packet that no rule matches.'),
  rules: z.array(packetRule).max(rulesMax).describe('The first rule that matches decides.'),
});

const interfaceGlob = z
  .string()
  .max(interfaceNameMax)
  .regex(/^[!-.0-9;-~]+$/, 'has to be the name of an interface; "*" and "?" stand for any characters')
  .describe('Name of an interface; "*" and "?" stand for any characters and for one.');

const packetPolicySchema = z.strictObject({
  apiVersion: z.literal(apiVersion),
  kind: z.literal('PacketPolicy'),
  metadata,
  spec: z.strictObject({
    mode,
    zones: z
      .record(localName, z.strictObject({ interfaces: z.array(interfaceGlob).min(1).max(64) }))
      .refine((zones) => Object.keys(zones).length <= zonesMax, `at most ${zonesMax} zones`)
      .describe('Zone to its interfaces. An interface is in one zone at the most.'),
    sets: z.exactOptional(
      z
        .record(localName, z.union([z.array(addresses).max(addressesMax), addressSetReference]))
        .refine((sets) => Object.keys(sets).length <= setsMax, `at most ${setsMax} sets`)
        .describe('Named sets of addresses, for from and to of rules.'),
    ),
    unparseable: z.exactOptional(
      z
        .enum(['allow', 'drop'])
        .describe('What happens to a packet whose headers cannot be read. Default: drop.'),
    ),
    ingress: z.array(zoneRules).max(zonesMax),
    egress: z.array(zoneRules).max(zonesMax),
  }),
});

const callMatch = z.strictObject({
  to: z.exactOptional(z.union([addressList, addressSetReference]).describe('Addresses meant; absent: all.')),
  except: z.exactOptional(
    z.union([addressList, addressSetReference]).describe('All addresses but these. Not together with to.'),
  ),
  protocol: z.exactOptional(z.enum(['tcp', 'udp'])),
  ports: z.exactOptional(portMatch),
});

const socketMatch = z.strictObject({
  family: z.exactOptional(z.array(words(socketFamilyNumbers)).min(1).max(8)),
  type: z.exactOptional(z.array(words(socketTypeNumbers)).min(1).max(8)),
});

const hardeningRule = z
  .strictObject({
    id: localName.describe('Unique in the document; counters and events are kept under document/id.'),
    mode: z.exactOptional(mode),
    connect: z.exactOptional(callMatch.describe('connect() and every send to an address.')),
    bind: z.exactOptional(callMatch),
    socket: z.exactOptional(socketMatch),
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
    default: z.exactOptional(
      z
        .strictObject({
          connect: z.exactOptional(callDefault),
          bind: z.exactOptional(callDefault),
          socket: z.exactOptional(callDefault),
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
      addresses: z.exactOptional(z.array(addresses).max(addressesMax)),
      file: z.exactOptional(
        z
          .string()
          .min(1)
          .max(4096)
          .describe(
            'A list beside this document, one entry a line, # comments, .gz too; read in before signing.',
          ),
      ),
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
