// Shapes that several kinds of document share: names, modes, addresses, ports, and how many there may be.

import * as z from 'zod';
import { entryLengthMax } from './addresses.ts';

/** Rules of one zone and direction; as many as a device takes. */
export const rulesMax = 10_000;
/** Entries of one list; a bundle of the greatest size holds fewer. */
export const addressesMax = 2_000_000;
const labelsMax = 64;
export const zonesMax = 256;
export const setsMax = 1024;
const portsMax = 256;
/** IFNAMSIZ without its NUL. */
const interfaceNameMax = 15;

/**
 * A key that may be absent. Left to itself the library judges an absent value like any other, by every shape of a union,
 * writes a message for each that does not fit, and drops them all: of ten thousand rules that was most of the reading.
 */
export function optional<T extends z.ZodType>(schema: T): z.ZodExactOptional<T> {
  const made = z.exactOptional(schema);
  const { run } = made._zod;
  made._zod.run = (payload, context) => {
    if (payload.value !== undefined) return run(payload, context);
    // Dropped where the key is absent; said where it is there without a value.
    payload.issues.push({ code: 'invalid_type', expected: 'nonoptional', input: undefined, inst: made });
    return payload;
  };
  return made;
}

export const words = <Word extends string>(numbers: Readonly<Record<Word, number>>) =>
  z.enum(Object.keys(numbers) as [Word, ...Word[]]);

export const name = z
  .string()
  .max(63)
  .regex(/^[a-z0-9][a-z0-9.-]*$/, 'has to be lower case letters, digits, "-" and "."');
export const localName = z
  .string()
  .max(63)
  .regex(/^[A-Za-z0-9][A-Za-z0-9._-]*$/, 'has to be letters, digits, ".", "_" and "-"');

export const metadata = z.strictObject({
  name: name.describe('Unique per kind in a bundle.'),
  labels: optional(
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
  owner: optional(z.string().max(255).describe('Who answers for this document.')),
});

export const mode = z
  .enum(['off', 'monitor', 'enforce'])
  .describe(
    'off: not compiled. monitor: counted and reported, not acted on. A rule may lower it, never raise it.',
  );

export const addresses = z
  .string()
  .min(1)
  .max(entryLengthMax)
  .describe('An address, a prefix such as 192.0.2.0/24, or a range such as 192.0.2.1-192.0.2.9.');
export const addressList = z.array(addresses).min(1).max(addressesMax);
export const addressSetReference = z.strictObject({
  addressSet: name.describe('Name of an AddressSet document in the same bundle.'),
});

const port = z.int().min(0).max(65535);
export const portRange = z
  .string()
  .max(16)
  .regex(/^\d{1,5}(-\d{1,5})?$/, 'has to be a port or a range such as 8000-8080');
export const portMatch = z
  .union([
    port,
    portRange,
    z
      .array(z.union([port, portRange]))
      .min(1)
      .max(portsMax),
  ])
  .describe('A port, a range such as "8000-8080", or several of both.');

const numberRange = z
  .string()
  .max(16)
  .regex(/^\d{1,5}(-\d{1,5})?$/, 'has to be a number or a range such as 100-199');
/** Numbers that are no ports: VLAN ids, lengths. */
export const numberMatch = z
  .union([
    port,
    numberRange,
    z
      .array(z.union([port, numberRange]))
      .min(1)
      .max(portsMax),
  ])
  .describe('A number, a range such as "100-199", or several of both.');

export const interfaceGlob = z
  .string()
  .max(interfaceNameMax)
  .regex(/^[!-.0-9;-~]+$/, 'has to be the name of an interface; "*" and "?" stand for any characters')
  .describe('Name of an interface; "*" and "?" stand for any characters and for one.');
