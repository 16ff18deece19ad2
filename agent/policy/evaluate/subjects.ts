// Of which subjects a task is, by the letter of HARDENING.md §1.

import type { HardeningPolicy, PolicyDocument, Subject } from '../../contract/policy.ts';
import { activeMode } from '../ids.ts';
import { hardeningOf } from '../shields-as-policies.ts';

/** A program that a task ran, and the last part of the name it was started by; null: not known. */
export interface ProgramRun {
  readonly path: string;
  readonly applet: string | null;
}

export interface TaskAt {
  /** What it runs, then what it and those it comes from ran. Empty: not known. */
  readonly lineage: readonly ProgramRun[];
  /** Whether that is all of it. */
  readonly lineageKnown: boolean;
  /** Effective user id. */
  readonly user: number;
  /** Relative to the hardening root; null: outside it. */
  readonly cgroup: string | null;
}

/** Policies that say the same of whom they mean, in order. */
export interface SubjectGroup {
  readonly subject: Subject;
  readonly documents: readonly HardeningPolicy[];
}

/** Subjects of policies that are not off, in the order in which the first policy of each stands. */
export function groupSubjects(documents: readonly PolicyDocument[]): readonly SubjectGroup[] {
  const groups: { readonly subject: Subject; readonly documents: HardeningPolicy[] }[] = [];
  for (const document of hardeningIn(documents)) {
    const { subject } = document.spec;
    const same = groups.find((group) => meanSame(group.subject, subject));
    if (same === undefined) groups.push({ subject, documents: [document] });
    else same.documents.push(document);
  }
  return groups;
}

/** Hardening policies that are not off, and what shields say as such, in order. */
export const hardeningIn = (documents: readonly PolicyDocument[]): readonly HardeningPolicy[] =>
  documents
    .map((one) => (one.kind === 'Shield' ? hardeningOf(one) : one))
    .filter((one) => one?.kind === 'HardeningPolicy')
    .filter(({ spec }) => activeMode(spec.mode, undefined) !== null);

function meanSame(a: Subject, b: Subject): boolean {
  return (
    a.cgroup === b.cgroup &&
    sameList(listOf(a.executable), listOf(b.executable)) &&
    (a.descendants ?? true) === (b.descendants ?? true) &&
    a.applet === b.applet &&
    sameList(listOf(a.user), listOf(b.user)) &&
    (a.unknown ?? 'allow') === (b.unknown ?? 'allow')
  );
}

const listOf = <T extends string | number>(value: T | readonly T[] | undefined): readonly T[] =>
  value === undefined ? [] : typeof value === 'object' ? value : [value as T];
const sameList = <T>(a: readonly T[], b: readonly T[]) =>
  a.every((one) => b.includes(one)) && b.every((one) => a.includes(one));

/** A cgroup is all that it asks for: hooks that see no task judge by it. */
export const isCgroupOnly = (subject: Subject) =>
  subject.executable === undefined && subject.user === undefined;

export function isSubject(subject: Subject, task: TaskAt): boolean {
  const { cgroup } = subject;
  if (cgroup !== undefined && task.cgroup !== cgroup && task.cgroup?.startsWith(`${cgroup}/`) !== true)
    return false;
  if (subject.user !== undefined && !listOf(subject.user).includes(task.user)) return false;
  if (subject.executable === undefined) return true;
  const isKnown = task.lineageKnown && task.lineage.length > 0;
  if (!isKnown && subject.unknown === 'deny') return true;
  const meant = subject.descendants === false ? task.lineage.slice(0, 1) : task.lineage;
  return meant.some(
    ({ path, applet }) =>
      listOf(subject.executable).includes(path) &&
      (subject.applet === undefined || applet === subject.applet),
  );
}
