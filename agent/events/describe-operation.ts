// A kernel record of what a task did to an object, in words.

import {
  HUSK_OPERATION_KILLED,
  HUSK_OPERATION_PATH_CUT,
  type HuskOperationEvent,
  HuskVerdict,
} from '../../bpf/abi/layout.gen.ts';
import type { OperationEvent } from '../contract/event.ts';
import { bootMsOf, modeOf, type Names, ruleOf, wellFormed } from './enrich.ts';
import { type Processes, shortPath } from './processes.ts';

const minorBits = 20;
/** What policies call operations and traits; the number is the kernel's. */
export interface OperationWords {
  readonly operations: Readonly<Record<string, number>>;
  readonly traits: Readonly<Record<string, number>>;
}

export function describeOperation(
  raw: HuskOperationEvent,
  names: Names,
  processes: Processes,
  words: OperationWords,
): OperationEvent {
  const { head, device, flags } = raw;
  const command = wellFormed(raw.comm);
  const facts = processes.facts(raw.tgid, command, bootMsOf(head));
  const cgroup = processes.cgroupPath(raw.cgroup, facts.cgroup) ?? `cgroup ${raw.cgroup}`;
  const traits = Object.entries(words.traits).flatMap(([word, bit]) => ((raw.kind >> bit) & 1 ? [word] : []));
  const [operation] = Object.entries(words.operations).find(([, number]) => number === raw.operation) ?? [];
  return {
    kind: 'operation',
    rule: ruleOf(head, names),
    verdict: head.verdict === HuskVerdict.DENY ? 'deny' : 'allow',
    mode: modeOf(head),
    serial: Number(head.serial),
    operation: operation ?? `operation ${raw.operation}`,
    path: raw.namesLength === 0 ? null : pathOf(raw),
    device: raw.namesLength === 0 ? null : `${device >>> minorBits}:${device & ((1 << minorBits) - 1)}`,
    // Numbers travel with one added, so that 0 is none.
    ...(raw.value === 0n ? {} : { number: Number(raw.value) - 1 }),
    ...(traits.length === 0 ? {} : { traits }),
    command,
    executable: facts.executable === null ? null : shortPath(wellFormed(facts.executable)),
    pid: raw.tgid,
    parent: raw.parent,
    uid: raw.uid,
    cgroup: shortPath(wellFormed(cgroup)),
    ...((flags & HUSK_OPERATION_KILLED) !== 0 ? { killed: true as const } : {}),
    count: 1,
  };
}

/** Names come from the end of the path up, each with its NUL. */
function pathOf({ names, namesLength, flags }: HuskOperationEvent): string {
  const text = new TextDecoder().decode(names.subarray(0, namesLength));
  const parts = text.split('\0').filter((part) => part !== '' && part !== '/');
  const start = (flags & HUSK_OPERATION_PATH_CUT) !== 0 ? '…/' : '/';
  return shortPath(wellFormed(start + parts.toReversed().join('/')));
}
