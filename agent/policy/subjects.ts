// Which bits stand for which subject: compile.ts writes them into rules, tries.ts asks the canary by them.
//
// A subject is what `spec.subject` says, and policies that say the same share it. Most take one bit. A
// table has room for one denial of every object that exceptions are taken out of, for each bit and
// operation: where a subject has more of those it takes more bits, side by side (except-layers.ts).

import { HUSK_SUBJECTS_MAX } from '../../bpf/abi/layout.gen.ts';
import type { Exception, HardeningPolicy, PolicyDocument, Subject } from '../contract/policy.ts';
import { layersNeeded } from './except-layers.ts';
import { exceptedId, exceptionsOf } from './exceptions.ts';
import { defaultId, defaultNames, ruleId } from './ids.ts';
import { type BeyondAt, holdTo } from './tables.ts';

export interface NumberedSubject {
  readonly conditions: SubjectConditions;
  /** Its lowest bit. */
  readonly first: number;
  /** How many bits it takes, one after another. */
  readonly layers: number;
  /** What `spec.subject` says, as the first of its documents has it. */
  readonly subject: Subject;
  /** Policies that it is the subject of, in order; none, where only exceptions are narrowed to it. */
  readonly documents: readonly HardeningPolicy[];
  /** Rules and defaults that exceptions lift, by their full names. Each has a bit of its own, the last of the layers. */
  readonly excepted: readonly string[];
}

/** What `spec.subject` says, written out. null: not asked. */
export interface SubjectConditions {
  readonly cgroup: string | null;
  readonly executables: readonly string[] | null;
  readonly hasDescendants: boolean;
  readonly applet: string | null;
  readonly users: readonly number[] | null;
  /** Tasks of unknown lineage are taken for ones that come from the executable. */
  readonly takesUnknown: boolean;
}

export const activeHardening = (documents: readonly PolicyDocument[]): readonly HardeningPolicy[] =>
  documents.filter((one) => one.kind === 'HardeningPolicy').filter(({ spec }) => spec.mode !== 'off');

export function conditionsOf(subject: Subject): SubjectConditions {
  const sorted = <T extends string | number>(value: T | readonly T[] | undefined): readonly T[] | null =>
    value === undefined
      ? null
      : [...new Set(typeof value === 'object' ? value : [value as T])].toSorted((a, b) => (a < b ? -1 : 1));
  const executables = sorted(subject.executable);
  return {
    cgroup: subject.cgroup ?? null,
    executables,
    hasDescendants: subject.descendants !== false,
    applet: subject.applet ?? null,
    users: sorted(subject.user),
    takesUnknown: executables !== null && subject.unknown === 'deny',
  };
}

/** Cgroup hooks can tell who that is; everything else takes hooks that know the task. */
export const isCgroupAlone = ({ executables, users }: SubjectConditions) =>
  executables === null && users === null;

/** The bit of what exceptions lift; null: nothing lifts it, and it stands with the others of its subject. */
export function exceptedBit({ first, layers, excepted }: NumberedSubject, id: string): number | null {
  const at = excepted.indexOf(id);
  return at < 0 ? null : first + layers - excepted.length + at;
}

interface Group {
  readonly conditions: SubjectConditions;
  readonly subject: Subject;
  readonly documents: HardeningPolicy[];
  /** Of exceptions that are narrowed to it. */
  readonly lifted: Set<string>;
}

/**
 * The subjects of all policies that are not off, in the order of the documents, and then those that exceptions are narrowed
 * to. A table has room for one denial of each object: where one of two is lifted, the other has to stand elsewhere.
 */
export function numberSubjects(documents: readonly PolicyDocument[]): readonly NumberedSubject[] {
  const groups = new Map<string, Group>();
  const groupOf = (subject: Subject): Group => {
    const conditions = conditionsOf(subject);
    const key = JSON.stringify(conditions);
    const group = groups.get(key) ?? { conditions, subject, documents: [], lifted: new Set() };
    groups.set(key, group);
    return group;
  };
  for (const document of activeHardening(documents)) groupOf(document.spec.subject).documents.push(document);
  const exceptions = exceptionsOf(documents).filter(({ spec }) => !isOfCalls(spec));
  const lifted = new Set(exceptions.map(exceptedId));
  for (const exception of exceptions) {
    const { subject } = exception.spec;
    if (subject !== undefined) groupOf(subject).lifted.add(exceptedId(exception));
  }
  let next = 0;
  return [...groups.values()].map(({ lifted: narrowed, ...group }) => {
    const first = next;
    const own = group.documents.flatMap(countedIds).filter((id) => lifted.has(id));
    const excepted = [...own, ...[...narrowed].filter((id) => !own.includes(id))];
    const layers = layersNeeded(group.documents, new Set(own)) + excepted.length;
    next += layers;
    return { ...group, first, layers, excepted };
  });
}

/** Paths that subjects ask for, each once. */
export const executablesOf = (subjects: readonly NumberedSubject[]): readonly string[] => [
  ...new Set(subjects.flatMap(({ conditions }) => conditions.executables ?? [])),
];

const isOfCalls = ({ connect, bind }: Exception['spec']) => connect !== undefined || bind !== undefined;

/** Rules in order, then defaults. */
const countedIds = (document: HardeningPolicy): readonly string[] => [
  ...document.spec.rules.map((rule) => ruleId(document, rule)),
  ...defaultNames.map((name) => defaultId(document, name)),
];

/** Refuses more subjects than there are bits. */
export function holdSubjects(subjects: readonly NumberedSubject[]): void {
  const last = subjects.at(-1);
  const bits = last === undefined ? 0 : last.first + last.layers;
  holdTo(HUSK_SUBJECTS_MAX, bits, 'subjects', (): BeyondAt => {
    const beyond = subjects.find(({ first, layers }) => first + layers > HUSK_SUBJECTS_MAX);
    const document = beyond?.documents[0];
    if (beyond === undefined || document === undefined) return null;
    const path = ['spec', 'subject'];
    return { document, path: isCgroupAlone(beyond.conditions) ? [...path, 'cgroup'] : path };
  });
}

/** All bits of a subject. */
export const bitsOf = ({ first, layers }: Pick<NumberedSubject, 'first' | 'layers'>): bigint =>
  ((1n << BigInt(layers)) - 1n) << BigInt(first);

/** For each bit the cgroup whose tasks have it; null where that alone is not the subject. */
export const subjectCgroups = (documents: readonly PolicyDocument[]): readonly (string | null)[] =>
  numberSubjects(documents).flatMap(({ conditions, layers }) =>
    Array.from({ length: layers }, () => (isCgroupAlone(conditions) ? conditions.cgroup : null)),
  );

/** For each bit the cgroup that its tasks must be in; null: not asked. */
export const conditionCgroups = (subjects: readonly NumberedSubject[]): readonly (string | null)[] =>
  subjects.flatMap(({ conditions, layers }) => Array.from({ length: layers }, () => conditions.cgroup));

/** The bits of a task in `cgroup`: its own and those of every subject above it. */
export const subjectsOf = (cgroups: readonly (string | null)[], cgroup: string): bigint =>
  cgroups.reduce(
    (bits, one, index) => (one !== null && isWithin(cgroup, one) ? bits | (1n << BigInt(index)) : bits),
    0n,
  );

export const isWithin = (cgroup: string, above: string) => cgroup === above || cgroup.startsWith(`${above}/`);
