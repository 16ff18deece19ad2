// What exceptions lift, by the letter of HARDENING.md §8.

import type { Exception, PolicyDocument } from '../../contract/policy.ts';
import { isSubject, type TaskAt } from './subjects.ts';

/** Full name of the rule that an exception is of. */
const nameOf = ({ spec: { of } }: Exception) => `${'policy' in of ? of.policy : of.shield}/${of.rule}`;

const all = (documents: readonly PolicyDocument[]) => documents.filter((one) => one.kind === 'Exception');

/** Of the rule with this full name, whoever they are for. */
export const exceptionsFrom = (documents: readonly PolicyDocument[], id: string): readonly Exception[] =>
  all(documents).filter((one) => nameOf(one) === id);

/** Rules that some exception is of. */
export const exceptedRules = (documents: readonly PolicyDocument[]): ReadonlySet<string> =>
  new Set(all(documents).map(nameOf));

export const isMeantFor = ({ spec: { subject } }: Exception, task: TaskAt): boolean =>
  subject === undefined || isSubject(subject, task);
