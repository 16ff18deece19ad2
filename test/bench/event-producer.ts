// The other side of the events bench, on a thread of its own: makes packet events by BPF_PROG_TEST_RUN.
//
// `judge` runs the real packet program on one frame at a time, and each frame is dropped. That is bound by
// the system call, so `flood` runs a program that calls the real emit_packet() 64 times a run.

import { existsSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { parentPort, workerData } from 'node:worker_threads';
import { addon, type BpfObject, type ProgramHandle } from '../../native/index.ts';

export interface ProducerOrder {
  readonly how: 'judge' | 'flood';
  /** Folder of the kernel set's pins. */
  readonly pins: string;
  readonly ifindex: number;
  /** How many different sources there are. */
  readonly sources: number;
  /** Events a second; 0: as many as can be. */
  readonly perSecond: number;
  readonly seconds: number;
}

export interface ProducerReport {
  readonly offered: number;
  readonly seconds: number;
  /** Runs that did not drop: each would be an event that nobody emitted. */
  readonly passed: number;
}

/** As in test/native/bpf/event_flood.bpf.c. */
const eventsPerRun = 64;
/** Where in a frame the IPv4 source address is. */
const sourceAt = 26;
const xdpDrop = 1;

interface Source {
  readonly program: ProgramHandle;
  readonly eventsPerRun: number;
  readonly packet: Uint8Array;
  /** Puts the `n`-th event's source into the packet. */
  aim(n: number): void;
}

function produce(order: ProducerOrder): ProducerReport {
  const source = order.how === 'judge' ? judge(order) : flood(order);
  const sleeper = new Int32Array(new SharedArrayBuffer(4));
  const start = performance.now();
  const end = start + order.seconds * 1000;
  let offered = 0;
  let passed = 0;
  for (;;) {
    const now = performance.now();
    if (now >= end) break;
    if (order.perSecond > 0 && offered >= ((now - start) / 1000) * order.perSecond) {
      Atomics.wait(sleeper, 0, 0, 1);
      continue;
    }
    source.aim(offered);
    const { verdict } = addon.testRun(source.program, source.packet, { ifindex: order.ifindex });
    offered += source.eventsPerRun;
    if (verdict !== xdpDrop) passed += 1;
  }
  return { offered, passed, seconds: (performance.now() - start) / 1000 };
}

function judge(order: ProducerOrder): Source {
  const packet = tcpFrame();
  const view = new DataView(packet.buffer);
  return {
    program: addon.openPinnedProgram(join(order.pins, 'programs/husk_xdp_ingress')),
    eventsPerRun: 1,
    packet,
    aim: (n) => view.setUint32(sourceAt, 0x0a000000 + (n % order.sources)),
  };
}

function flood(order: ProducerOrder): Source {
  const packet = new Uint8Array(64);
  const view = new DataView(packet.buffer);
  view.setUint32(4, order.sources, true);
  return {
    program: loadFlood(order.pins),
    eventsPerRun,
    packet,
    aim: (n) => view.setUint32(0, n % order.sources, true),
  };
}

/** The flood program on the set's own maps. */
function loadFlood(pins: string): ProgramHandle {
  const path = resolve(import.meta.dirname, '../../build/test-bpf/event_flood.bpf.o');
  const object: BpfObject = addon.openObject('event_flood', readFileSync(path));
  for (const name of object.mapNames()) {
    const path = join(pins, 'maps', name);
    // .rodata, benches and the like are the object's own.
    if (!existsSync(path)) continue;
    const map = addon.openPinnedMap(path);
    object.setMaxEntries(name, addon.mapInfo(map).maxEntries);
    object.reuseMap(name, map);
  }
  object.load();
  return object.program('event_flood');
}

/** An Ethernet frame with an IPv4 header and a TCP one to port 23; checksums are not looked at. */
function tcpFrame(): Uint8Array {
  const bytes = new Uint8Array(60);
  const view = new DataView(bytes.buffer);
  view.setUint16(12, 0x0800);
  bytes[14] = 0x45;
  view.setUint16(16, 46);
  bytes[22] = 64;
  bytes[23] = 6;
  bytes.set([198, 51, 100, 1], 30);
  view.setUint16(34, 40000);
  view.setUint16(36, 23);
  bytes[46] = 0x50;
  bytes[47] = 2;
  return bytes;
}

parentPort?.postMessage(produce(workerData as ProducerOrder));
