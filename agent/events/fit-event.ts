// What others chose the length of must not make an event too long to be kept: a denial would be lost for it.

import type { CallEvent, EventProcess, EventProgram, OperationEvent } from '../contract/event.ts';
import { payloadBytesMax } from './record.ts';

/** Characters of what is cut, where all together is too long; then it fits whatever is in it. */
const pathLeast = 96;
const programLeast = 24;

/** The event, or as much of it as fits. */
export function fitEvent<Event extends OperationEvent | CallEvent>(event: Event): Event {
  if (Buffer.byteLength(JSON.stringify(event)) < payloadBytesMax / 2) return event;
  const process = event.process === null ? null : cutProcess(event.process);
  const { remediation: _, ...rest } = event;
  return { ...rest, ...cutObject(event), process } as Event;
}

function cutObject(event: OperationEvent | CallEvent): Partial<OperationEvent> | Partial<CallEvent> {
  if (event.kind === 'operation') {
    if (event.file === null) return {};
    return { file: { path: cut(event.file.path, pathLeast), device: event.file.device } };
  }
  const { executable, cgroup } = event;
  return {
    executable: executable === null ? null : cut(executable, pathLeast),
    cgroup: cut(cgroup, pathLeast),
  };
}

const cutProcess = (process: EventProcess): EventProcess => ({
  ...process,
  file: cutProgram(process.file, pathLeast),
  cgroup: cut(process.cgroup, pathLeast),
  ancestry: process.ancestry.map((one) => cutProgram(one, programLeast)),
});

const cutProgram = (program: EventProgram, characters: number): EventProgram => ({
  ...program,
  path: program.path === null ? null : cut(program.path, characters),
  ...(program.name === undefined ? {} : { name: cut(program.name, programLeast) }),
});

/** The end says more than the beginning. */
const cut = (text: string, characters: number): string =>
  text.length <= characters ? text : `…${text.slice(-characters).replace(/^[\udc00-\udfff]/, '')}`;
