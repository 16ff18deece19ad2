// Values that came from outside become policy documents, or faults with a path each.
//
// This is the edge for documents without a text, as a device gets them in a bundle; read.ts is the one
// for files. The shape alone is judged here, what the values mean is in check.ts.

import { jsonDepthMax } from '../contract/limits.ts';
import type { PolicyDocument } from '../contract/policy.ts';
import { entryLengthMax } from './addresses.ts';
import { type Fault, FaultList, type Path } from './faults.ts';
import { documentSchema } from './schema.ts';
import { addressesMax } from './shapes.ts';

export interface Parsed {
  readonly documents: readonly PolicyDocument[];
  readonly faults: readonly Fault[];
}

/** A fault of shape; `what` says whether the key itself is at fault. */
export interface ShapeFault {
  readonly path: Path;
  readonly what: 'key' | 'value';
  readonly message: string;
}

/** Documents that are faultless in shape, and the faults of the others. */
export function parseDocuments(values: readonly unknown[]): Parsed {
  const faults = new FaultList();
  const documents = values.flatMap((value, index) => {
    const parsed = parseDocument(value);
    if (!Array.isArray(parsed)) return [parsed as PolicyDocument];
    // The value itself is the place: it has no source, so that the path is all there is.
    const document = typeof value === 'object' && value !== null ? value : {};
    for (const { path, what, message } of parsed) faults.addAt({ document, index, path, what }, message);
    return [];
  });
  return { documents, faults: faults.all() };
}

/** One document, or what is wrong with its shape. */
export function parseDocument(value: unknown): PolicyDocument | readonly ShapeFault[] {
  const odd = oddParts(value, [], []);
  if (odd.length > 0) return odd;
  const list = longList(value);
  const result = documentSchema.safeParse(list === null ? value : withList(value, list.slice(0, 1)), {
    error: (issue) => describe(issue),
  });
  if (!result.success) return result.error.issues.flatMap((issue) => shapeFaults(issue, []));
  return list === null ? result.data : (withList(result.data, list) as PolicyDocument);
}

/** Shorter ones are left to the schema. */
const longListLeast = 1000;

/**
 * The long list of an AddressSet, where every entry has the shape that the schema asks for; null where there is none
 * such, and the schema says what is wrong. A million entries take the schema's library a second of a small device, and
 * one loop some milliseconds.
 */
function longList(value: unknown): readonly string[] | null {
  const { kind, spec } = Object(value) as { readonly kind?: unknown; readonly spec?: unknown };
  const list =
    kind === 'AddressSet' ? (Object(spec) as { readonly addresses?: unknown }).addresses : undefined;
  if (!Array.isArray(list) || list.length < longListLeast || list.length > addressesMax) return null;
  for (const entry of list) {
    if (typeof entry !== 'string' || entry.length === 0 || entry.length > entryLengthMax) return null;
  }
  return list;
}

/** The same document with another list. */
function withList(document: unknown, addresses: readonly string[]): unknown {
  const { spec, ...rest } = document as { readonly spec: object };
  return { ...rest, spec: { ...spec, addresses } };
}

/** What no document may hold, looked for before anything is done with the value: it may nest without end. */
function oddParts(value: unknown, path: Path, found: ShapeFault[]): readonly ShapeFault[] {
  if (typeof value !== 'object' || value === null) return found;
  if (path.length >= jsonDepthMax) {
    found.push({ path, what: 'value', message: `is nested deeper than ${jsonDepthMax} levels` });
    return found;
  }
  if (Array.isArray(value)) {
    // Long lists are of plain strings; only what can nest is walked.
    value.forEach((one, index) => {
      if (typeof one === 'object') oddParts(one, [...path, index], found);
    });
    return found;
  }
  for (const key of Object.keys(value)) {
    const message = 'is a name that JavaScript gives a meaning of its own';
    if (key === '__proto__') found.push({ path: [...path, key], what: 'key', message });
    else oddParts((value as Record<string, unknown>)[key], [...path, key], found);
  }
  return found;
}

type Issue = NonNullable<ReturnType<typeof documentSchema.safeParse>['error']>['issues'][number];

function shapeFaults(issue: Issue, around: Path): readonly ShapeFault[] {
  const path = [...around, ...issue.path.map((part) => (typeof part === 'number' ? part : String(part)))];
  if (issue.code === 'unrecognized_keys') {
    return issue.keys.map((key) => ({ path: [...path, key], what: 'key', message: 'is not known here' }));
  }
  if (issue.code === 'invalid_union' && issue.errors.length > 0) {
    const branch = closestBranch(issue.errors);
    if (branch !== null) return branch.flatMap((one) => shapeFaults(one, path));
  }
  if (issue.code === 'invalid_key') {
    return issue.issues.map(({ message }) => ({ path, what: 'key', message }));
  }
  return [{ path, what: 'value', message: issue.message }];
}

/** Of several possible shapes, the only one that the value has from outside; its faults say more than "none fits". */
function closestBranch(branches: readonly (readonly Issue[])[]): readonly Issue[] | null {
  const inside = branches.filter((branch) => !branch.some(isFromOutside));
  const ranked = inside.toSorted((a, b) => a.length - b.length);
  return ranked[0] ?? null;
}

/** Whether the value is of another kind altogether, and no shape inside of it can be at fault. */
function isFromOutside(issue: Issue): boolean {
  if (issue.path.length > 0) return false;
  if (issue.code === 'invalid_union') {
    return issue.errors.length > 0 && issue.errors.every((branch) => branch.some(isFromOutside));
  }
  return issue.code === 'invalid_type' || issue.code === 'invalid_value';
}

/** One sentence, in the words of the document and not of the schema's library. */
function describe(issue: { readonly code?: string; readonly input?: unknown } & Record<string, unknown>) {
  const found = nameOf(issue.input);
  switch (issue.code) {
    case 'invalid_type':
      if (issue.input === undefined) return 'is required';
      return `has to be ${nameOfExpected(String(issue.expected))}, not ${found}`;
    case 'invalid_value':
      if (issue.input === undefined) return 'is required';
      return `has to be ${oneOf(issue.values as readonly unknown[])}, not ${found}`;
    case 'invalid_union':
      if (issue.note === 'No matching discriminator') {
        return 'has to be PacketPolicy, HardeningPolicy, Shield, Exception or AddressSet';
      }
      if (issue.input === undefined) return 'is required';
      return `has to be ${oneOf(expectedByBranches(issue.errors as readonly (readonly Issue[])[]))}, not ${found}`;
    case 'too_big':
      return `is too ${issue.origin === 'number' || issue.origin === 'int' ? 'large' : 'long'}: at most ${issue.maximum}`;
    case 'too_small':
      return issue.origin === 'number' || issue.origin === 'int'
        ? `is too small: at least ${issue.minimum}`
        : 'must not be empty';
    default:
      return undefined;
  }
}

/** What the shapes of a union want to see from outside. */
function expectedByBranches(branches: readonly (readonly Issue[])[]): readonly string[] {
  const wanted = branches.flat().flatMap((one): readonly string[] => {
    if (one.path.length > 0) return [];
    if (one.code === 'invalid_type') return [nameOfExpected(one.expected)];
    if (one.code === 'invalid_union') return expectedByBranches(one.errors);
    return one.code === 'invalid_value' ? one.values.map(String) : [];
  });
  return [...new Set(wanted)];
}

function nameOf(value: unknown): string {
  if (value === null) return 'nothing';
  if (typeof value === 'string') return JSON.stringify(value.length > 40 ? `${value.slice(0, 40)}…` : value);
  if (typeof value !== 'object') return String(value);
  return Array.isArray(value) ? 'a list' : 'a map';
}

const expectedNames: Readonly<Record<string, string>> = {
  string: 'text',
  array: 'a list',
  object: 'a map',
  record: 'a map',
  boolean: 'true or false',
  int: 'a whole number',
  number: 'a number',
};
const nameOfExpected = (expected: string) => expectedNames[expected] ?? expected;

const oneOf = (values: readonly unknown[]) => {
  const all = values.map(String);
  return all.length <= 1 ? (all[0] ?? 'something else') : `${all.slice(0, -1).join(', ')} or ${all.at(-1)}`;
};
