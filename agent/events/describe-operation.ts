// A kernel record of what a task did, in words: to an object, or a call for the network.

import { basename } from 'node:path';
import {
  HUSK_EVENT_PATH_CUT,
  HUSK_OPERATION_KILLED,
  HUSK_OPERATION_TARGET,
  type HuskAlike,
  type HuskOperationEvent,
} from '../../bpf/abi/layout.gen.ts';
import type { CallEvent, EventFile, EventProcess, OperationEvent } from '../contract/event.ts';
import { describeTask } from './describe-process.ts';
import { callWords, type Names } from './enrich.ts';
import { describeFinding } from './findings.ts';
import { fitEvent } from './fit-event.ts';
import { type Processes, shortPath } from './processes.ts';
import type { ProgramNames } from './program-names.ts';
import { wellFormed } from './words.ts';

const minorBits = 20;

/** What policies call operations and traits; the number is the kernel's. */
export interface OperationWords {
  readonly operations: Readonly<Record<string, number>>;
  readonly traits: Readonly<Record<string, number>>;
}

export interface OperationNames extends Names {
  readonly words: OperationWords;
  readonly programs: ProgramNames | null;
  /** Of the programs that judge operations. */
  readonly tier: string | null;
}

/** Calls whose words differ from those of policies (agent/policy/operation-words.ts). */
const callNames: Readonly<Record<string, CallEvent['call']>> = {
  connect: 'connect',
  bind: 'bind',
  socket: 'socket',
};

/** The first of a period. */
export function describeOperation(
  raw: HuskOperationEvent,
  names: OperationNames,
  processes: Processes,
): OperationEvent | CallEvent {
  const process = describeTask(raw, processes, names.programs);
  return describe(raw.alike, Number(raw.head.serial), fileOf(raw, names.programs), process, names);
}

/** What is counted of a period whose first record was lost: its key says less. */
export function describeAlike(alike: HuskAlike, names: OperationNames): OperationEvent | CallEvent {
  return describe(alike, 0, null, null, names);
}

function describe(
  alike: HuskAlike,
  serial: number,
  file: EventFile | null,
  process: EventProcess | null,
  names: OperationNames,
): OperationEvent | CallEvent {
  const [operation] =
    Object.entries(names.words.operations).find(([, number]) => number === alike.operation) ?? [];
  const word = operation ?? `operation ${alike.operation}`;
  const killed = (alike.flags & HUSK_OPERATION_KILLED) !== 0;
  const head = { rule: alike.rule, verdict: alike.verdict, mode: alike.mode, serial: BigInt(serial) };
  const finding = describeFinding(head, { word, killed, tier: names.tier }, names);
  const common = { ...finding, process, count: 1 };
  const call = callNames[word];
  if ((alike.flags & HUSK_OPERATION_TARGET) !== 0 && call !== undefined) {
    return withRemedy(
      { kind: 'call', ...common, call, ...flatProcess(process), ...targetOf(alike, call) },
      names,
    );
  }
  const traits = Object.entries(names.words.traits).flatMap(([trait, bit]) =>
    (alike.traits >> bit) & 1 ? [trait] : [],
  );
  const isExec = word === 'exec';
  const name = isExec && file !== null ? startedAs(alike.value, file.path, names.programs) : null;
  return withRemedy(
    {
      kind: 'operation',
      ...common,
      operation: word,
      file: file === null || name === null ? file : { ...file, name },
      ...(isExec ? {} : numberOf(alike.value)),
      ...(traits.length === 0 ? {} : { traits }),
    },
    names,
  );
}

/** Numbers travel with one added, so that 0 is none; one that JSON can't carry is none of the kernel's. */
const numberOf = (value: bigint): { number?: number } =>
  value === 0n || value > BigInt(Number.MAX_SAFE_INTEGER) ? {} : { number: Number(value) - 1 };

/** null: as it is called, or by a name that nobody knows. */
function startedAs(number: bigint, path: string, programs: ProgramNames | null): string | null {
  const name = programs?.nameOf(number) ?? null;
  return name === null || name === basename(path) ? null : shortPath(wellFormed(name));
}

function withRemedy<Event extends OperationEvent | CallEvent>(event: Event, names: OperationNames): Event {
  const desc = names.remediation?.(event) ?? null;
  return fitEvent(desc === null ? event : { ...event, remediation: { desc } });
}

function flatProcess(process: EventProcess | null) {
  return {
    command: process?.name ?? '',
    executable: process?.file.path ?? null,
    pid: process?.pid ?? 0,
    uid: process?.user.uid ?? 0,
    gid: process?.group.uid ?? 0,
    cgroup: process?.cgroup ?? '',
  };
}

/** husk_alike.target of an address. */
function targetOf({ target, socketFamily }: HuskAlike, call: CallEvent['call']) {
  const bytes = new DataView(new ArrayBuffer(24));
  target.forEach((word, at) => {
    bytes.setBigUint64(at * 8, word, true);
  });
  return callWords({
    call,
    addr: new Uint8Array(bytes.buffer, 0, 16),
    port: bytes.getUint16(16, true),
    socketType: bytes.getUint16(18, true),
    ipProto: bytes.getUint8(20),
    socketFamily,
  });
}

/** Names come from the end of the path up, each with its NUL. */
function fileOf(raw: HuskOperationEvent, programs: ProgramNames | null): EventFile | null {
  const { device, names, namesLength, flags } = raw;
  if (namesLength === 0) return null;
  const text = new TextDecoder().decode(names.subarray(0, namesLength));
  const parts = text.split('\0').filter((part) => part !== '' && part !== '/');
  const isCut = (flags & HUSK_EVENT_PATH_CUT) !== 0;
  const devicePath = `${isCut ? '…/' : '/'}${parts.toReversed().join('/')}`;
  const path = isCut || programs === null ? devicePath : programs.learnPlace({ device, path: devicePath });
  const shown = { path: shortPath(wellFormed(path)), device: deviceText(device) };
  return path === devicePath ? shown : { ...shown, devicePath: shortPath(wellFormed(devicePath)) };
}

const deviceText = (device: number) => `${device >>> minorBits}:${device & ((1 << minorBits) - 1)}`;
