// Events in the numbers of the Open Cybersecurity Schema Framework (OCSF 1.3), so that a SIEM need not learn
// ours: which class and activity each thing is, how grave, and what was done about it.
//
// Fields of events that OCSF has a name for carry that name (agent/events/README.md has the table).

/** OCSF: `class_uid` and `activity_id`. */
export interface OcsfKind {
  readonly class_uid: number;
  readonly activity_id: number;
}

const ocsfClasses = {
  fileSystem: 1001,
  kernelExtension: 1002,
  kernel: 1003,
  memory: 1004,
  module: 1005,
  process: 1007,
  network: 4001,
} as const;
const other = 99;

const kind = (of: keyof typeof ocsfClasses, activity: number): OcsfKind => ({
  class_uid: ocsfClasses[of],
  activity_id: activity,
});

/** By the words of events. */
const kinds: Readonly<Record<string, OcsfKind>> = {
  exec: kind('process', 1),
  load: kind('module', 1),
  read: kind('fileSystem', 2),
  write: kind('fileSystem', 3),
  create: kind('fileSystem', 1),
  delete: kind('fileSystem', 4),
  rename: kind('fileSystem', 5),
  link: kind('fileSystem', other),
  chmod: kind('fileSystem', 6),
  mount: kind('fileSystem', 12),
  setuid: kind('process', 5),
  capability: kind('process', other),
  ptrace: kind('process', 3),
  userns: kind('process', other),
  module: kind('kernelExtension', 1),
  bpf: kind('kernel', 4),
  kexec: kind('kernel', other),
  perf: kind('kernel', 4),
  lockdown: kind('kernel', other),
  writeExecute: kind('memory', 2),
  connect: kind('network', 1),
  listen: kind('network', 7),
  bind: kind('network', other),
  socket: kind('network', other),
};

/** What OCSF calls an operation or a call; a word it has nothing for is another activity of a process. */
export const ocsfKindOf = (word: string): OcsfKind => kinds[word] ?? kind('process', other);

/** OCSF: `disposition_id`. */
const dispositions = { allowed: 1, blocked: 2, detected: 15 } as const;

const severities: Readonly<Record<string, number>> = { low: 2, medium: 3, high: 4, critical: 5 };

/** OCSF: `severity_id` and `disposition_id`. `severity` is that of the shield, where the rule is of one. */
export function ocsfGravity(of: {
  readonly verdict: 'allow' | 'deny';
  readonly mode: 'monitor' | 'enforce';
  readonly killed: boolean;
  readonly severity: string | null;
}): { readonly severity_id: number; readonly disposition_id: number } {
  if (of.verdict === 'allow') return { severity_id: 1, disposition_id: dispositions.allowed };
  const ours = of.mode === 'monitor' ? 2 : of.killed ? 4 : 3;
  return {
    severity_id: severities[of.severity ?? ''] ?? ours,
    disposition_id: of.mode === 'monitor' ? dispositions.detected : dispositions.blocked,
  };
}
