// What was gathered from policies, as the tables of one device: operations, programs, users, applets, decisions.
//
// Operations and users are the same on every device. The others hang on where its paths are, so that they are
// made anew when something is mounted or an executable comes to be another (following.ts).

import {
  encodeHuskDecision,
  encodeHuskObject,
  encodeHuskOperations,
  encodeHuskProgram,
  encodeHuskProgramSubjects,
  HUSK_APPLETS_MAX,
  HUSK_DECISIONS_MAX,
  HUSK_PROGRAMS_MAX,
  HUSK_RULE_NONE,
  HUSK_USERS_MAX,
  HuskDecision,
  HuskObject,
  HuskObjectKind,
  HuskOperation,
  HuskOperations,
  HuskProgram,
  HuskProgramSubjects,
  HuskTable,
  HuskTrait,
} from '../../bpf/abi/layout.gen.ts';
import { type Learning, learningMasks } from './learning.ts';
import { observedBits } from './observe.ts';
import { type ObjectKey, ObjectKeys } from './operation-keys.ts';
import type { NamedObject } from './operation-reach.ts';
import { appletNumber } from './path-number.ts';
import { bitsOf, type NumberedSubject } from './subjects.ts';
import type { DevicePaths, Table } from './table-image.ts';
import { hashTable, holdTo, noPrealloc, type Row, wideTable } from './tables.ts';

/** What one rule says of one object. */
export interface Saying {
  /** Full name of the rule, and its counter's index. */
  readonly id: string;
  readonly rule: number;
  /** The bit of its subject. */
  readonly bit: number;
  readonly operation: HuskOperation;
  readonly object: NamedObject;
  readonly says: 'deny' | 'wouldDeny' | 'allow' | 'wouldAllow' | 'lift';
  readonly kills: boolean;
}

/** Policies without the device: what its tables are made from. */
export interface OperationRules {
  readonly subjects: readonly NumberedSubject[];
  /** In the order of the rules. */
  readonly sayings: readonly Saying[];
}

export function operationsTable(
  { subjects, sayings }: OperationRules,
  learning: readonly Learning[] = [],
): Table {
  const asked = new Array<bigint>(HuskOperation.COUNT).fill(0n);
  const withPaths = new Array<bigint>(HuskOperation.COUNT).fill(0n);
  for (const { operation, bit, object } of sayings) {
    const one = 1n << BigInt(bit);
    asked[operation] = (asked[operation] ?? 0n) | one;
    if (needsPath(object)) withPaths[operation] = (withPaths[operation] ?? 0n) | one;
  }
  const those = (wanted: (one: NumberedSubject['conditions']) => boolean) =>
    subjects.reduce((bits, one) => (wanted(one.conditions) ? bits | bitsOf(one) : bits), 0n);
  const value = new Uint8Array(HuskOperations.size);
  encodeHuskOperations(new DataView(value.buffer), 0, {
    subjects: asked,
    withPaths,
    observed: observedBits(subjects),
    anyProgram: those(({ executables }) => executables === null),
    anyUser: those(({ users }) => users === null),
    anyCgroup: those(({ cgroup }) => cgroup === null),
    unknown: those(({ takesUnknown }) => takesUnknown),
    ...learningMasks(learning),
  });
  return wideTable(HuskTable.OPERATIONS, value);
}

/** A program of many applets is known by its path. */
const needsPath = ({ kind }: NamedObject) =>
  kind === 'path' || kind === 'under' || kind === 'above' || kind === 'applet';

export function usersTable({ subjects }: OperationRules): Table {
  const bits = new Map<number, bigint>();
  for (const subject of subjects) {
    for (const user of subject.conditions.users ?? [])
      bits.set(user, (bits.get(user) ?? 0n) | bitsOf(subject));
  }
  holdTo(HUSK_USERS_MAX, bits.size, 'users of subjects');
  const rows = [...bits].map(([user, subjectsOfIt]) => {
    const key = new Uint8Array(4);
    const value = new Uint8Array(8);
    new DataView(key.buffer).setUint32(0, user, true);
    new DataView(value.buffer).setBigUint64(0, subjectsOfIt, true);
    return { key, value };
  });
  return hashTable(HuskTable.USERS, { keySize: 4, valueSize: 8, maxEntries: HUSK_USERS_MAX }, rows);
}

/** Of kinds PROGRAMS, APPLETS and DECISIONS, for where the device's paths are now. */
export function pathTables(rules: OperationRules, paths: DevicePaths): readonly Table[] {
  const keys = new ObjectKeys(paths);
  return [programsTable(rules, keys, paths), appletsTable(rules, keys, paths), decisionsTable(rules, keys)];
}

function programsTable({ subjects }: OperationRules, keys: ObjectKeys, { pathKey }: DevicePaths): Table {
  const found = new Map<string, { path: bigint; applet: bigint; own: bigint; lineage: bigint }>();
  for (const subject of subjects) {
    const { executables, applet, hasDescendants } = subject.conditions;
    const { metadata } = subject.documents[0] ?? { metadata: { name: 'a subject' } };
    for (const executable of executables ?? []) {
      const path = keys.program(executable, metadata.name);
      const name = applet ?? keys.appletOf(executable, metadata.name);
      const number = name === null ? 0n : appletNumber(name, pathKey);
      const key = `${path} ${number}`;
      const program = found.get(key) ?? { path, applet: number, own: 0n, lineage: 0n };
      program[hasDescendants ? 'lineage' : 'own'] |= bitsOf(subject);
      found.set(key, program);
    }
  }
  holdTo(HUSK_PROGRAMS_MAX, found.size, 'executables of subjects');
  const rows = [...found.values()].map((one) => ({
    key: encoded(HuskProgram.size, (view) => encodeHuskProgram(view, 0, one)),
    value: encoded(HuskProgramSubjects.size, (view) => encodeHuskProgramSubjects(view, 0, one)),
  }));
  const sizes = { keySize: HuskProgram.size, valueSize: HuskProgramSubjects.size };
  return hashTable(HuskTable.PROGRAMS, { ...sizes, maxEntries: HUSK_PROGRAMS_MAX }, rows);
}

/** Empty where no rule asks for names: then nobody looks. */
function appletsTable({ sayings }: OperationRules, keys: ObjectKeys, paths: DevicePaths): Table {
  const areAsked = sayings.some(({ operation }) => operation === HuskOperation.EXEC);
  const rows = new Map<string, Row>();
  for (const { executable, names } of areAsked ? paths.applets() : []) {
    const path = keys.program(executable, 'the list of applets');
    for (const applet of [0n, ...names.map((name) => appletNumber(name, paths.pathKey))]) {
      const key = encoded(HuskProgram.size, (view) => encodeHuskProgram(view, 0, { path, applet }));
      rows.set(`${path} ${applet}`, { key, value: encoded(4, (view) => view.setUint32(0, 1, true)) });
    }
  }
  holdTo(HUSK_APPLETS_MAX, rows.size, 'names of applets');
  const sizes = { keySize: HuskProgram.size, valueSize: 4, maxEntries: HUSK_APPLETS_MAX };
  return hashTable(HuskTable.APPLETS, sizes, [...rows.values()]);
}

type Gathered = { -readonly [Key in keyof HuskDecision]: HuskDecision[Key] } & {
  readonly object: HuskObject;
};

function decisionsTable({ sayings }: OperationRules, keys: ObjectKeys): Table {
  const found = new Map<string, Gathered>();
  for (const saying of sayings) {
    for (const { kind, value } of keysOf(saying, keys)) {
      const { bit: subject, operation } = saying;
      const key = `${subject} ${operation} ${kind} ${value}`;
      const before = found.get(key);
      if (before === undefined) {
        holdTo(HUSK_DECISIONS_MAX, found.size + 1, 'decisions about objects', () => saying.id);
      }
      const decision = before ?? noDecision({ subject, operation, kind, value });
      found.set(key, decision);
      take(decision, saying);
    }
  }
  const rows = [...found.values()].map((one) => ({
    key: encoded(HuskObject.size, (view) => encodeHuskObject(view, 0, one.object)),
    value: encoded(HuskDecision.size, (view) => encodeHuskDecision(view, 0, one)),
  }));
  // Room for those there are, and a little: the kernel has a bucket ready for each there may be.
  const maxEntries = Math.min(HUSK_DECISIONS_MAX, Math.max(64, 2 ** Math.ceil(Math.log2(rows.length + 1))));
  const sizes = { keySize: HuskObject.size, valueSize: HuskDecision.size, maxEntries };
  return hashTable(HuskTable.DECISIONS, sizes, rows, noPrealloc);
}

/** A path that leads to a program of many is that name of it, to exec. */
function keysOf({ operation, object, says, id }: Saying, keys: ObjectKeys): readonly ObjectKey[] {
  if (object.kind !== 'path' || (operation !== HuskOperation.EXEC && operation !== HuskOperation.LOAD)) {
    return keys.of(object, id);
  }
  const name = keys.appletOf(object.path, id);
  if (name === null) return keys.of(object, id);
  // What is mapped is the program as a whole.
  if (operation === HuskOperation.LOAD) return [];
  const isDenial = says === 'deny' || says === 'wouldDeny';
  const unlisted = { kind: HuskObjectKind.TRAIT, value: BigInt(HuskTrait.UNLISTED_APPLET) };
  return [...keys.of({ kind: 'applet', name }, id), ...(isDenial ? [unlisted] : [])];
}

function noDecision(object: HuskObject): Gathered {
  const none = HUSK_RULE_NONE;
  return {
    object,
    deniedBy: none,
    wouldDeny: none,
    allowedBy: none,
    lifts: none,
    wouldAllow: none,
    kills: 0,
  };
}

const fields = {
  deny: 'deniedBy',
  wouldDeny: 'wouldDeny',
  allow: 'allowedBy',
  wouldAllow: 'wouldAllow',
  lift: 'lifts',
} as const;

/** The first of each sort stands; a later denial of the same object still kills. */
function take(decision: Gathered, { says, rule, kills }: Saying): void {
  const field = fields[says];
  if (decision[field] === HUSK_RULE_NONE) decision[field] = rule;
  if (says === 'deny' && kills) decision.kills = 1;
}

function encoded(size: number, encode: (view: DataView) => void): Uint8Array {
  const bytes = new Uint8Array(size);
  encode(new DataView(bytes.buffer));
  return bytes;
}
