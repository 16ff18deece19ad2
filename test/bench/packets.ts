// What a packet costs: the floor (a program that only drops), parsing, and the whole judgement with the list,
// for addresses in it and not in it, 65,536 different ones by turns so that no cache holds the answer.
//
// BPF_PROG_TEST_RUN, on one CPU, medians. What changing the address takes is measured by itself and taken off.

import { readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { addon, type BpfObject, type ProgramHandle } from '../../native/index.ts';
import { addressBytes, udpFrame } from '../lab/frame.ts';
import { image, liveProgram, noDigest, openKernel, readList } from './subject.ts';

export interface PacketFigures {
  /** Nanoseconds a packet. */
  readonly drop: number;
  readonly parseAndDrop: number;
  /** Of changing the address; taken off from what follows. */
  readonly rotation: number;
  readonly parseRotating: number;
  readonly hits: number;
  readonly misses: number;
  /** The same packet over and over. */
  readonly oneHit: number;
  readonly oneMiss: number;
}

const rounds = 7;
const repeat = 500_000;
/** As many as `sources` of xdp_rotate.bpf.c. */
const sources = 65_536;
const objects = resolve(import.meta.dirname, '../../build/test-bpf');
const zero = new Uint8Array(4);

export async function measurePackets(bpffs: string): Promise<PacketFigures> {
  const listed = readList();
  const kernel = await openKernel(bpffs);
  const rotate = load('xdp_rotate');
  const drop = load('xdp_drop').program('bench_drop');
  const parse = load('xdp_parse').program('bench_parse');
  try {
    const source = { serial: 1, bundleDigest: noDigest, image: image(kernel, listed, 23) };
    kernel.settle(await kernel.loadStandby(source));
    // Events are measured by themselves; what a drop costs is not what telling of it costs.
    kernel.setPacketEventsPerSecond(0);
    const judge = liveProgram(bpffs);
    const { hits, misses } = addressLists(listed);
    const frame = (from: string) => udpFrame({ from, to: '192.0.2.1', fromPort: 4444, toPort: 53 });
    const one = (program: ProgramHandle, from: string) => median(() => timed(program, frame(from)));
    const many = async (next: ProgramHandle, addresses: readonly string[]): Promise<number> => {
      await fill(rotate, next, addresses);
      return median(() => timed(rotate.program('bench_rotate'), frame('192.0.2.9')));
    };
    const rotation = (await many(drop, hits)) - one(drop, '192.0.2.9');
    return {
      drop: one(drop, '192.0.2.9'),
      parseAndDrop: one(parse, '192.0.2.9'),
      rotation,
      parseRotating: (await many(parse, hits)) - rotation,
      hits: (await many(judge, hits)) - rotation,
      misses: (await many(judge, misses)) - rotation,
      oneHit: one(judge, listed[0] ?? ''),
      oneMiss: one(judge, misses[0] ?? ''),
    };
  } finally {
    kernel.unload([]);
  }
}

function load(name: string): BpfObject {
  const object = addon.openObject(name, new Uint8Array(readFileSync(join(objects, `${name}.bpf.o`))));
  object.load();
  return object;
}

/** Both shuffled by the same seed each time, so that runs compare. */
function addressLists(listed: readonly string[]): { hits: string[]; misses: string[] } {
  let state = 12345;
  const random = (below: number): number => {
    // A linear congruence (Numerical Recipes) is good enough to keep a prefetcher from guessing.
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
  const known = new Set(listed);
  const misses: string[] = [];
  while (misses.length < sources) {
    const address = `${1 + random(222)}.${random(256)}.${random(256)}.${random(256)}`;
    if (!known.has(address)) misses.push(address);
  }
  return { hits: Array.from({ length: sources }, () => listed[random(listed.length)] ?? ''), misses };
}

async function fill(rotate: BpfObject, next: ProgramHandle, addresses: readonly string[]): Promise<void> {
  const keys = new Uint8Array(Uint32Array.from({ length: sources }, (_, index) => index).buffer);
  await addon.writeAll(rotate.map('sources'), keys, Buffer.concat(addresses.map(addressBytes)));
  addon.update(rotate.map('next'), zero, new Uint8Array(Uint32Array.of(next.fd).buffer));
}

function timed(program: ProgramHandle, frame: Uint8Array): number {
  return addon.testRun(program, frame, { repeat, ifindex: 1 }).durationNs;
}

function median(measure: () => number): number {
  const all = Array.from({ length: rounds }, measure).sort((a, b) => a - b);
  return all[rounds >> 1] ?? 0;
}
