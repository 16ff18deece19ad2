// `husk-agent trace`: packets that match, as they are judged, whatever became of them.
//
// The programs write a record for each to a ring that only a tracer reads. They do so until a second of boot time that
// we move on while we live, so that tracing ends by itself when we do. One tracer at a time: the ring has one reader.

import {
  decodeHuskPacketEvent,
  HUSK_FAMILY_IPV4,
  HUSK_FAMILY_IPV6,
  HUSK_TRACE_ADDRESS,
  HUSK_TRACE_INTERFACE,
  HUSK_TRACE_PORT,
  HUSK_TRACE_PROTOCOL,
  HUSK_TRACE_STOPPED,
  type HuskTrace,
} from '../../bpf/abi/layout.gen.ts';
import type { Addon } from '../../native/index.ts';
import type { PacketEvent } from '../contract/event.ts';
import type { Protocol } from '../contract/policy.ts';
import { walkTraces } from '../events/decode.ts';
import { describePackets } from '../events/enrich.ts';
import type { Kernel } from '../kernel/kernel.ts';
import { maskWord, prefixLength, readRange, wordsToBytes } from '../policy/addresses.ts';
import { protocolNumber, protocolNumbers } from '../policy/numbers.ts';
import { endpointWords } from '../policy/packet-words.ts';

export type TracedAddress = Pick<HuskTrace, 'addr' | 'mask' | 'family'>;

/** What is asked; all of it must hold. */
export interface TraceAsk {
  /** An address or prefix, of source or destination. */
  readonly address?: TracedAddress;
  /** Of source or destination. */
  readonly port?: number;
  /** IANA's number. */
  readonly protocol?: number;
  readonly interface?: string;
  /** Dropped and rejected packets alone. */
  readonly stopped?: boolean;
}

export interface TraceParts {
  readonly addon: Addon;
  readonly kernel: Kernel;
  readonly signal: AbortSignal;
  readonly show: (event: PacketEvent) => void;
}

/** How far ahead the programs may go on without us, and how often we say so. */
const aheadSeconds = 5;
const renewMs = 1000;

/** Throws Error where there is no such interface. */
export function traceFilter(ask: TraceAsk, addon: Pick<Addon, 'interfaces'>): HuskTrace {
  const any: TracedAddress = { addr: new Uint8Array(16), mask: new Uint8Array(16), family: 0 };
  return {
    ...(ask.address ?? any),
    port: ask.port ?? 0,
    ipProto: ask.protocol ?? 0,
    ifindex: ask.interface === undefined ? 0 : interfacePart(ask.interface, addon),
    flags:
      (ask.address === undefined ? 0 : HUSK_TRACE_ADDRESS) |
      (ask.port === undefined ? 0 : HUSK_TRACE_PORT) |
      (ask.protocol === undefined ? 0 : HUSK_TRACE_PROTOCOL) |
      (ask.interface === undefined ? 0 : HUSK_TRACE_INTERFACE) |
      (ask.stopped === true ? HUSK_TRACE_STOPPED : 0),
  };
}

/**
 * Shows packets until the signal comes; resolves with how many the ring had no room for. Throws Error where somebody
 * else traces.
 */
export async function tracePackets(filter: HuskTrace, parts: TraceParts): Promise<bigint> {
  const { addon, kernel, signal, show } = parts;
  if (kernel.isTracing) {
    throw new Error(
      `somebody else is tracing; where it was killed, tracing ends by itself within ${aheadSeconds} s`,
    );
  }
  const interfaces = new Map(addon.interfaces().map(({ index, name }) => [index, name]));
  const names = {
    ruleName: (index: number) => kernel.ruleName(index),
    interfaceName: (index: number) => interfaces.get(index) ?? null,
  };
  const lost = () => kernel.totals().TRACES_LOST ?? 0n;
  const before = lost();
  // What a tracer that was killed left in the ring is not what was asked for.
  const begun = addon.bootNs();
  const renew = () => kernel.traceUntil(Number(addon.bootNs() / 1_000_000_000n) + aheadSeconds);
  kernel.setTraceFilter(filter);
  const ring = addon.openRing([kernel.traceRing], { batchBytes: 16 * 1024, flushMs: 50 }, (batch) => {
    walkTraces(batch, (view, at) => {
      const first = decodeHuskPacketEvent(view, at);
      if (first.head.bootNs < begun) return;
      show(describePackets({ first, count: 1, bytes: first.length }, names));
    });
  });
  renew();
  const timer = setInterval(renew, renewMs);
  try {
    await new Promise<void>((resolve) => {
      if (signal.aborted) resolve();
      signal.addEventListener('abort', () => resolve(), { once: true });
    });
  } finally {
    clearInterval(timer);
    kernel.traceUntil(0);
    await ring.close();
  }
  return lost() - before + ring.dropped();
}

/** Of an address or a prefix. Throws Error with a sentence. */
export function tracedAddress(text: string): TracedAddress {
  const range = new Uint32Array(8);
  const family = readRange(text, range);
  if (typeof family === 'string') throw new Error(`"${text}" ${family}`);
  const length = prefixLength(range, 0);
  if (length < 0) throw new Error(`"${text}" is a range; an address or a prefix is needed`);
  const mask = Uint32Array.of(...[0, 1, 2, 3].map((word) => maskWord(length, word)));
  return {
    addr: wordsToBytes(range, 0),
    mask: wordsToBytes(mask, 0),
    family: family === 4 ? HUSK_FAMILY_IPV4 : HUSK_FAMILY_IPV6,
  };
}

/** IANA's number of a name or number. Throws Error with a sentence. */
export function protocolFrom(text: string): number {
  if (/^\d{1,3}$/.test(text) && Number(text) < 256) return Number(text);
  if (Object.hasOwn(protocolNumbers, text)) return protocolNumber(text as Protocol);
  throw new Error(`a protocol is a number to 255, or one of ${Object.keys(protocolNumbers).join(', ')}`);
}

function interfacePart(name: string, addon: Pick<Addon, 'interfaces'>): number {
  const found = addon.interfaces().find((one) => one.name === name);
  if (found === undefined) throw new Error(`--interface ${name}: there is no such interface`);
  return found.index;
}

/** A traced packet in words: `drop wan0 tcp 192.0.2.1:40000 → 198.51.100.1:22 by branch/ssh (new)`. */
export function traceLine(event: PacketEvent): string {
  const way = event.cameBy === undefined ? event.interface : `${event.cameBy} → ${event.interface}`;
  const direction = event.hook === 'tc_egress' ? 'out' : 'in';
  const from = endpointWords(event.from, event.fromPort === 0 ? null : event.fromPort);
  const to = endpointWords(event.to, event.toPort === 0 ? null : event.toPort);
  const protocol = protocolNames.get(event.protocol) ?? `protocol ${event.protocol}`;
  const what =
    event.family === 'other' ? `EtherType 0x${event.etherType.toString(16)}` : `${protocol} ${from} → ${to}`;
  const icmp = event.icmp === undefined ? '' : ` type ${event.icmp.type} code ${event.icmp.code}`;
  const state = event.state === undefined ? '' : ` (${event.state})`;
  return `${event.verdict.padEnd(6)} ${direction.padEnd(3)} ${way}  ${what}${icmp} by ${event.rule ?? event.reason}${state}`;
}

const protocolNames = new Map<number, string>(
  Object.entries(protocolNumbers).map(([name, number]) => [number, name]),
);
