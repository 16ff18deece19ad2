// The task that the canary stands for, for each subject.

import { isSubject } from './evaluate/subjects.ts';
import type { TaskAt } from './evaluate.ts';
import type { NumberedSubject } from './subjects.ts';

/** A name that no policy is likely to know: below folders, and for objects that no rule names. */
export const someName = 'husk-canary';

/** A task that is of the subject, and of no more than has to be. */
export function taskOf({ conditions }: Pick<NumberedSubject, 'conditions'>): TaskAt {
  const { executables, applet, users, cgroup } = conditions;
  const [path] = executables ?? [`/${someName}`];
  return {
    lineage: [{ path: path ?? '/', applet }],
    lineageKnown: true,
    user: users?.[0] ?? 0xfffffffe,
    cgroup,
  };
}

/** The canary is given the bits of subjects that it is of: those that the expected judgement is made for. */
export const isOf = ({ subject }: Pick<NumberedSubject, 'subject'>, task: TaskAt): boolean =>
  isSubject(subject, task);
