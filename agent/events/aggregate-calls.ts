// Repeats of a call within a window become one event with a count; the first is told at once.
//
// Identical: every field but the time and the thread. When more different calls arrive in a window than the
// table holds, the further ones are not told and the caller counts them, so that a process that tries every
// port there is cannot push the alerts of others out of the spool.

import type { HuskCallEvent, HuskEvent, HuskOperationEvent } from '../../bpf/abi/layout.gen.ts';
import type { CallEvent, OperationEvent } from '../contract/event.ts';

/** Different calls of one window. At 10 s of window, 100 a second for as long as it takes. */
const differentCallsMax = 1024;

type Repeatable = CallEvent | OperationEvent;

interface Told {
  readonly event: Repeatable;
  repeats: number;
  lastBootNs: bigint;
}

export interface RepeatedCall {
  /** As it was told, with `count` the number of repeats since. */
  readonly event: Repeatable;
  readonly lastBootNs: bigint;
}

export class CallAggregator {
  readonly #entriesMax: number;
  #told = new Map<string, Told>();

  constructor(options: { readonly entriesMax?: number } = {}) {
    this.#entriesMax = options.entriesMax ?? differentCallsMax;
  }

  get size(): number {
    return this.#told.size;
  }

  /** The event to tell now, where this is the first of its kind; `describe` is called only then. */
  add(call: HuskCallEvent, describe: (call: HuskCallEvent) => CallEvent): CallEvent | 'repeat' | 'overflow' {
    return this.#add(callKey(call), call.head, () => describe(call));
  }

  /** The same of what tasks do to objects. */
  addOperation(
    raw: HuskOperationEvent,
    describe: (raw: HuskOperationEvent) => OperationEvent,
  ): OperationEvent | 'repeat' | 'overflow' {
    return this.#add(operationKey(raw), raw.head, () => describe(raw));
  }

  #add<E extends Repeatable>(key: string, head: HuskEvent, describe: () => E): E | 'repeat' | 'overflow' {
    const told = this.#told.get(key);
    if (told !== undefined) {
      told.repeats += 1;
      told.lastBootNs = head.bootNs;
      return 'repeat';
    }
    if (this.#told.size >= this.#entriesMax) return 'overflow';
    const event = describe();
    this.#told.set(key, { event, repeats: 0, lastBootNs: head.bootNs });
    return event;
  }

  /** Gives out what was repeated in this window and starts a new one. */
  drain(visit: (repeated: RepeatedCall) => void): void {
    const told = this.#told;
    this.#told = new Map();
    for (const { event, repeats, lastBootNs } of told.values()) {
      if (repeats > 0) visit({ event: { ...event, count: repeats }, lastBootNs });
    }
  }
}

const headKey = ({ serial, rule, hook, verdict, mode, reason }: HuskEvent) => [
  serial,
  rule,
  hook,
  verdict,
  mode,
  reason,
];

function operationKey(raw: HuskOperationEvent): string {
  return [
    'operation',
    ...headKey(raw.head),
    raw.cgroup,
    raw.tgid,
    raw.parent,
    raw.uid,
    raw.operation,
    raw.kind,
    raw.value,
    raw.device,
    raw.flags,
    Buffer.from(raw.names.subarray(0, raw.namesLength)).toString('latin1'),
    raw.comm,
  ].join(' ');
}

function callKey(call: HuskCallEvent): string {
  return [
    ...headKey(call.head),
    call.cgroup,
    call.tgid,
    call.uid,
    call.gid,
    call.call,
    call.socketFamily,
    call.socketType,
    call.ipProto,
    call.port,
    Buffer.from(call.addr).toString('latin1'),
    call.comm,
  ].join(' ');
}
