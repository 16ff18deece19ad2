// Which bit stands for which subject: compile.ts writes them into rules, tries.ts asks the canary by them.

import type { HardeningPolicy, PolicyDocument } from '../contract/policy.ts';

export const activeHardening = (documents: readonly PolicyDocument[]): readonly HardeningPolicy[] =>
  documents.filter((one) => one.kind === 'HardeningPolicy').filter((one) => one.spec.mode !== 'off');

/** The cgroups of all policies that are not off, in the order of the documents; bit i stands for the i-th. */
export const subjectCgroups = (documents: readonly PolicyDocument[]): readonly string[] => [
  ...new Set(activeHardening(documents).map((one) => one.spec.subject.cgroup)),
];

/** The bits of a task in `cgroup`: its own and those of every subject above it. */
export const subjectsOf = (cgroups: readonly string[], cgroup: string): bigint =>
  cgroups.reduce(
    (bits, one, index) =>
      cgroup === one || cgroup.startsWith(`${one}/`) ? bits | (1n << BigInt(index)) : bits,
    0n,
  );
