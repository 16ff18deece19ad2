// Repeats of a call within a window become one event with a count; the first is told at once. Calls that cgroup hooks
// judged: what guards judge is counted by the kernel itself (repeats.ts).
//
// Identical: every field but the time and the thread. When more different calls arrive in a window than the
// table holds, the further ones are not told and the caller counts them, so that a process that tries every
// port there is cannot push the alerts of others out of the spool.

import type { HuskCallEvent, HuskEvent } from '../../bpf/abi/layout.gen.ts';
import type { CallEvent } from '../contract/event.ts';

/** Different calls of one window. At 10 s of window, 100 a second for as long as it takes. */
const differentCallsMax = 1024;

interface Told {
  readonly event: CallEvent;
  repeats: number;
  readonly firstBootNs: bigint;
  lastBootNs: bigint;
}

export interface RepeatedCall {
  /** As it was told, with `count` the number of repeats since. */
  readonly event: CallEvent;
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
    const key = callKey(call);
    const told = this.#told.get(key);
    if (told !== undefined) {
      told.repeats += 1;
      told.lastBootNs = call.head.bootNs;
      return 'repeat';
    }
    if (this.#told.size >= this.#entriesMax) return 'overflow';
    const event = describe(call);
    const { bootNs } = call.head;
    this.#told.set(key, { event, repeats: 0, firstBootNs: bootNs, lastBootNs: bootNs });
    return event;
  }

  /** Gives out what was repeated in this window and starts a new one. */
  drain(visit: (repeated: RepeatedCall) => void): void {
    const told = this.#told;
    this.#told = new Map();
    for (const { event, repeats, firstBootNs, lastBootNs } of told.values()) {
      const duration = Number((lastBootNs - firstBootNs) / 1_000_000n);
      if (repeats > 0) visit({ event: { ...event, count: repeats, duration }, lastBootNs });
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
