// Many packets by turns through a program, by test/bench/bpf/xdp_play.bpf.c and BPF_PROG_TEST_RUN on one CPU: what a
// packet takes when no cache holds its answer. Every program is measured by turns with the floor, a program that only
// drops, behind the same player; what they differ by is the program's own.

import { readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import type { ClassifierKey } from '../../../agent/policy/classifier/entry.ts';
import { addon, type BpfObject, type ProgramHandle } from '../../../native/index.ts';
import { addressBytes } from '../../lab/frame.ts';

/** As `PLAYS` of xdp_play.bpf.c. */
const playsMax = 65_536;
const playBytes = 40;
const rounds = 9;
const repeat = 200_000;
const testObjects = resolve(import.meta.dirname, '../../../build/test-bpf');
const zero = new Uint8Array(4);
const icmp = [1, 58];

export function loadTestObject(name: string): BpfObject {
  const object = addon.openObject(name, new Uint8Array(readFileSync(join(testObjects, `${name}.bpf.o`))));
  object.load();
  return object;
}

export type PlayFamily = 4 | 6;

export class Player {
  readonly #object = loadTestObject('xdp_play');
  readonly #drop = loadTestObject('xdp_drop').program('bench_drop');
  #family: PlayFamily = 4;

  /** Packets of one family, at most `playsMax`, sent by turns. */
  setPackets(family: PlayFamily, keys: readonly ClassifierKey[]): void {
    this.#family = family;
    const bytes = new Uint8Array(playsMax * playBytes);
    keys.forEach((key, index) => {
      writePlay(new DataView(bytes.buffer, index * playBytes, playBytes), family, key);
    });
    addon.update(this.#object.map('plays'), zero, bytes);
    const position = Uint32Array.of(0, keys.length);
    addon.update(this.#object.map('position'), zero, new Uint8Array(position.buffer));
  }

  /** Nanoseconds a packet that each program takes above the floor, medians; `flags`: of TCP. */
  measure(programs: readonly ProgramHandle[], flags = 0x02): number[] {
    const frame = plainFrame(this.#family, flags);
    const time = (program: ProgramHandle): number => {
      addon.update(this.#object.map('next'), zero, new Uint8Array(Uint32Array.of(program.fd).buffer));
      const name = this.#family === 4 ? 'bench_play4' : 'bench_play6';
      return addon.testRun(this.#object.program(name), frame, { repeat, ifindex: 1 }).durationNs;
    };
    const taken = programs.map((): number[] => []);
    for (const program of programs) time(program);
    for (let round = 0; round < rounds; round++) {
      programs.forEach((program, index) => {
        const floor = time(this.#drop);
        taken[index]?.push(time(program) - floor);
      });
    }
    return taken.map(middle);
  }

  /** Each packet once. */
  run(program: ProgramHandle, flags: number, times: number): void {
    addon.update(this.#object.map('next'), zero, new Uint8Array(Uint32Array.of(program.fd).buffer));
    const name = this.#family === 4 ? 'bench_play4' : 'bench_play6';
    addon.testRun(this.#object.program(name), plainFrame(this.#family, flags), { repeat: times, ifindex: 1 });
  }

  close(): void {
    this.#object.close();
  }
}

/**
 * Twenty bytes behind the IP header that are TCP, and UDP, and ICMP at once: where UDP has its length TCP has a
 * sequence number.
 */
export function plainFrame(family: PlayFamily, flags: number): Uint8Array {
  const transport = family === 4 ? 34 : 54;
  const bytes = new Uint8Array(transport + 20);
  const view = new DataView(bytes.buffer);
  bytes.set([2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2]);
  if (family === 4) {
    view.setUint16(12, 0x0800);
    bytes[14] = 0x45;
    view.setUint16(16, 40);
    bytes[22] = 64;
    bytes[23] = 6;
    bytes.set(addressBytes('198.51.100.1'), 26);
    bytes.set(addressBytes('203.0.113.1'), 30);
  } else {
    view.setUint16(12, 0x86dd);
    bytes[14] = 0x60;
    view.setUint16(18, 20);
    bytes[20] = 6;
    bytes[21] = 64;
    bytes.set(addressBytes('2001:db8::1'), 22);
    bytes.set(addressBytes('2001:db8::2'), 38);
  }
  view.setUint16(transport + 4, 20);
  bytes[transport + 12] = 0x50;
  bytes[transport + 13] = flags;
  return bytes;
}

function writePlay(view: DataView, family: PlayFamily, key: ClassifierKey): void {
  const first = family === 4 ? 3 : 0;
  const words = 4 - first;
  for (let word = 0; word < words; word++) {
    view.setUint32(word * 4, key.saddr[first + word] ?? 0);
    view.setUint32((words + word) * 4, key.daddr[first + word] ?? 0);
  }
  const isIcmp = icmp.includes(key.ipProto);
  view.setUint16(32, isIcmp ? key.dport : key.sport);
  view.setUint16(34, isIcmp ? 0 : key.dport);
  view.setUint8(36, key.ipProto);
}

/** Mean of the middle half: the kernel gives whole nanoseconds. */
function middle(values: readonly number[]): number {
  const cut = values.length >> 2;
  const half = values.toSorted((a, b) => a - b).slice(cut, values.length - cut);
  return half.reduce((sum, value) => sum + value, 0) / half.length;
}
