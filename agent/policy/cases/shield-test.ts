// A shield held against the test that it carries: by the evaluator, alone, and as if all of it were enforced.
//
//   deny    some rule of the shield denies it (packets: drops or rejects it)
//   allow   it goes through
//
// Lines are those of a case without a verdict. Where none says by whom, it is a task of the shield's own subject.

import type { PolicyDocument, Shield } from '../../contract/policy.ts';
import { messageOf } from '../../contract/thrown.ts';
import { evaluateCall, evaluateOperation, evaluatePacket, type TaskAt } from '../evaluate.ts';
import { type Fault, FaultList, type Path } from '../faults.ts';
import type { Judgement } from '../judgement.ts';
import { readOperation, readTask } from './operation-line.ts';
import { PacketLines } from './packet-line.ts';
import { readCallWords, verdictText } from './read-case.ts';

export interface ShieldTestFailure {
  /** Of the line in the document. */
  readonly path: Path;
  readonly text: string;
  readonly expected: string;
  readonly found: string;
}

export interface ShieldTested {
  readonly checked: number;
  readonly failures: readonly ShieldTestFailure[];
}

/** For documents that were checked: those that the shield stands among. */
export function runShieldTest(shield: Shield, documents: readonly PolicyDocument[]): ShieldTested {
  const { test = {} } = shield.spec;
  const alone = [enforced(shield), ...documents.filter(({ kind }) => kind === 'AddressSet')];
  const failures: ShieldTestFailure[] = [];
  const lines = (['deny', 'allow'] as const).flatMap((wanted) =>
    (test[wanted] ?? []).map((text, index) => ({ wanted, text, path: ['spec', 'test', wanted, index] })),
  );
  for (const { wanted, text, path } of lines) {
    const expected = wanted === 'deny' ? 'denied by a rule of the shield' : 'allowed';
    try {
      const judgement = judge(text, shield, alone);
      const isMet =
        wanted === 'allow'
          ? judgement.verdict === 'allow'
          : judgement.verdict !== 'allow' && judgement.rule?.startsWith(`${shield.metadata.name}/`) === true;
      if (!isMet) failures.push({ path, text, expected, found: verdictText(judgement) });
    } catch (error) {
      failures.push({ path, text, expected, found: `not understood: ${messageOf(error)}` });
    }
  }
  return { checked: lines.length, failures };
}

/** Each line that does not hold, as a fault of its document. */
export function shieldTestFaults(documents: readonly PolicyDocument[]): readonly Fault[] {
  const faults = new FaultList();
  documents.forEach((document, index) => {
    if (document.kind !== 'Shield') return;
    for (const { path, text, expected, found } of runShieldTest(document, documents).failures)
      faults.addAt({ document, index, path }, `"${text}" has to be ${expected}, and comes to: ${found}`);
  });
  return faults.all();
}

/** Of rules that are off nothing is tried. Zones and interfaces are the bundle's matter. */
function enforced({ spec, ...shield }: Shield): Shield {
  const raised = <T extends { readonly mode?: string }>(rules: readonly T[] | undefined) =>
    rules?.map(({ mode, ...rule }) => (mode === 'off' ? { ...rule, mode } : rule)) as
      | readonly T[]
      | undefined;
  const { rules, packets, mode: _, ...rest } = spec;
  const { zones: __, interfaces: ___, ingress, egress } = packets ?? {};
  const lists = {
    ...(ingress === undefined ? {} : { ingress: raised(ingress) ?? [] }),
    ...(egress === undefined ? {} : { egress: raised(egress) ?? [] }),
  };
  return {
    ...shield,
    spec: {
      ...rest,
      mode: 'enforce',
      ...(rules === undefined ? {} : { rules: raised(rules) ?? [] }),
      ...(packets === undefined ? {} : { packets: lists }),
    },
  };
}

const callWords = /^(connect|bind|sendto|socket) /;

function judge(text: string, shield: Shield, documents: readonly PolicyDocument[]): Judgement {
  if (/^(ingress|egress) /.test(text)) {
    const { at } = new PacketLines(null).read(`${text} => `);
    const { state: _, ...judgement } = evaluatePacket(documents, at);
    return judgement;
  }
  const [what = '', by] = text.split(/ by (.*)/s);
  const task = by === undefined ? taskOf(shield) : readTask(by.trim().split(/\s+/));
  if (callWords.test(text)) {
    return evaluateCall(documents, { cgroup: task.cgroup ?? '', task, call: readCallWords(what.trim()) });
  }
  const applets = new Map(Object.entries(shield.spec.test?.applets ?? {}));
  return evaluateOperation(documents, { ...readOperation(`${what} by /`), task }, { applets });
}

/** A task of the subject, and of no more than has to be. */
function taskOf({ spec }: Shield): TaskAt {
  const { executable, applet, user, cgroup } = spec.subject ?? {};
  const [path] = typeof executable === 'string' ? [executable] : (executable ?? []);
  return {
    lineage: path === undefined ? [] : [{ path, applet: applet ?? path.slice(path.lastIndexOf('/') + 1) }],
    lineageKnown: true,
    user: typeof user === 'number' ? user : (user?.[0] ?? 0),
    cgroup: cgroup ?? null,
  };
}
