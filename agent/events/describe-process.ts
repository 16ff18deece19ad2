// Who did it: the process, what it runs, and the programs it comes from.
//
// Where guards judge, the kernel says it, from a record it keeps with each task: true when it happened, whoever has ended
// since. Where cgroup hooks judge alone, /proc is asked right after: a parent that has ended is missing then.

import { basename } from 'node:path';
import {
  HUSK_EVENT_LINEAGE_FULL,
  type HuskOperationEvent,
  type HuskProgram,
} from '../../bpf/abi/layout.gen.ts';
import type { EventProcess, EventProgram } from '../contract/event.ts';
import { containerOf } from './containers.ts';
import { type ParentProcess, type Processes, type ProcessFacts, shortPath } from './processes.ts';
import type { ProgramNames } from './program-names.ts';
import { wellFormed } from './words.ts';

const nsPerMs = 1_000_000n;

/** By the kernel's record. */
export function describeTask(
  raw: HuskOperationEvent,
  processes: Processes,
  programs: ProgramNames | null,
): EventProcess {
  const command = wellFormed(raw.comm);
  const facts = processes.facts(raw.tgid, command, Number(raw.head.bootNs / nsPerMs));
  const cgroup = shortPath(
    wellFormed(processes.cgroupPath(raw.cgroup, facts.cgroup) ?? `cgroup ${raw.cgroup}`),
  );
  const lineage = raw.lineage.slice(0, raw.programs);
  programs?.learnName(command);
  if (lineage.some(({ path }) => programs?.pathOf(path) === null)) programs?.learnAround(raw.tgid);
  const [own, ...before] = lineage;
  const container = containerOf(cgroup);
  return {
    pid: raw.tgid,
    tid: raw.tid,
    name: command,
    startMono: Number(raw.startNs / nsPerMs),
    file: own === undefined ? runBy(facts) : programOf(own, programs, facts.executable),
    user: { uid: raw.uid },
    group: { uid: raw.gid },
    cgroup,
    ...(container === null ? {} : { container }),
    parent_process: { pid: raw.parent, name: wellFormed(raw.parentComm) },
    // The kernel keeps those behind the first in the order in which they came.
    ancestry: before.toReversed().map((one) => programOf(one, programs, null)),
    ancestryIsWhole: own !== undefined && (raw.flags & HUSK_EVENT_LINEAGE_FULL) === 0,
  };
}

/** By /proc, of a process that called. */
export function describeCaller(
  raw: { readonly tgid: number; readonly tid: number; readonly uid: number; readonly gid: number },
  command: string,
  cgroup: string,
  facts: ProcessFacts,
  parents: readonly ParentProcess[],
): EventProcess {
  const container = containerOf(cgroup);
  return {
    pid: raw.tgid,
    tid: raw.tid,
    name: command,
    startMono: facts.startMs,
    file: runBy(facts),
    user: { uid: raw.uid },
    group: { uid: raw.gid },
    cgroup,
    ...(container === null ? {} : { container }),
    ...(facts.parent === null
      ? {}
      : { parent_process: { pid: facts.parent.pid, name: wellFormed(facts.parent.name) } }),
    ancestry: parents.flatMap(({ executable, name }): EventProgram[] =>
      executable === null ? [] : [namedProgram(executable, wellFormed(name))],
    ),
    ancestryIsWhole: facts.parent !== null,
  };
}

const runBy = ({ executable }: ProcessFacts): EventProgram => ({
  path: executable === null ? null : shortPath(wellFormed(executable)),
});

/** `seen`: what /proc says that it is, where the number is not known. */
export function programOf(
  { path: number, applet }: HuskProgram,
  programs: ProgramNames | null,
  seen: string | null,
): EventProgram {
  const path = programs?.pathOf(number) ?? seen;
  const name = programs?.nameOf(applet) ?? null;
  if (path !== null) return namedProgram(path, name);
  return { path: null, ...(name === null ? {} : { name }), number: number.toString(16).padStart(16, '0') };
}

function namedProgram(path: string, name: string | null): EventProgram {
  const shown = shortPath(wellFormed(path));
  return name === null || name === basename(path) ? { path: shown } : { path: shown, name };
}
