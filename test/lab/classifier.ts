// The classifier in the kernel: test/bench/bpf/classify_keys.bpf.c with one table and a list of keys. Nothing
// is attached anywhere; runs go through BPF_PROG_TEST_RUN.

import { existsSync, readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import type { ClassifierImage } from '../../agent/policy/classifier/build.ts';
import type { ClassifierKey } from '../../agent/policy/classifier/entry.ts';
import { HUSK_FAMILY_IPV4, HUSK_FAMILY_IPV6, HUSK_FAMILY_OTHER } from '../../bpf/abi/layout.gen.ts';
import type { Addon, BpfObject, MapHandle, ProgramHandle } from '../../native/index.ts';

const objectPath = resolve(import.meta.dirname, '../../build/test-bpf/classify_keys.bpf.o');

/** KEYS and MATCHES of the program. */
export const keysMax = 16_384;
export const matchesMax = 8;
const keySize = 48;
const arrayMap = 2;

export function classifierMissing(): string | false {
  if (process.getuid?.() !== 0) return 'needs root for BPF';
  return existsSync(objectPath) ? false : 'build/test-bpf/classify_keys.bpf.o is not built';
}

export interface Match {
  readonly entry: number;
  readonly row: number;
}

export class ClassifierLab {
  readonly #addon: Addon;
  readonly #object: BpfObject;
  readonly #tables: MapHandle[] = [];

  constructor(addon: Addon) {
    this.#addon = addon;
    this.#object = addon.openObject('classify_keys', new Uint8Array(readFileSync(objectPath)));
    this.#object.load();
  }

  program(name: 'classify_nothing' | 'classify_one' | 'classify_all'): ProgramHandle {
    return this.#object.program(name);
  }

  verifiedInstructions(name: 'classify_nothing' | 'classify_one' | 'classify_all'): number {
    return this.#addon.programInfo(this.program(name)).verifiedInstructions;
  }

  /** A lab holds one table: a slot that had one of another size would be found first. Milliseconds it took. */
  async load(image: ClassifierImage): Promise<number> {
    const started = performance.now();
    const table = this.#addon.createMap({
      name: 'classifier',
      type: arrayMap,
      keySize: 4,
      valueSize: image.bytes.length,
      maxEntries: 1,
      flags: 0,
    });
    this.#tables.push(table);
    this.#addon.update(table, new Uint8Array(4), image.bytes);
    await this.#addon.setInner(this.#object.map(`${image.size}_slots`), 0, table);
    return performance.now() - started;
  }

  /** Fills all keys, with these by turns. */
  async setKeys(keys: readonly ClassifierKey[]): Promise<void> {
    const numbers = new Uint8Array(Uint32Array.from({ length: keysMax }, (_, index) => index).buffer);
    const values = new Uint8Array(keysMax * keySize);
    for (let index = 0; index < keysMax; index++) {
      writeKey(new DataView(values.buffer, index * keySize), keys[index % keys.length] as ClassifierKey);
    }
    await this.#addon.writeAll(this.#object.map('keys'), numbers, values);
    this.#addon.update(this.#object.map('next_key'), new Uint8Array(4), new Uint8Array(4));
  }

  /** Every match of each key, in order, up to eight. */
  async matches(keys: readonly ClassifierKey[]): Promise<Match[][]> {
    await this.setKeys(keys);
    this.#addon.testRun(this.program('classify_all'), frame, { repeat: keys.length });
    const { values } = await this.#addon.readAll(this.#object.map('results'));
    const view = new DataView(values.buffer, values.byteOffset, values.byteLength);
    return keys.map((_, index) => {
      const all: Match[] = [];
      for (let match = 0; match < matchesMax; match++) {
        const at = (index * matchesMax + match) * 8;
        const entry = view.getInt32(at, true);
        if (entry < -1) throw new Error('the slot has no table');
        if (entry < 0) break;
        all.push({ entry, row: view.getUint32(at + 4, true) });
      }
      return all;
    });
  }

  /** Mean nanoseconds of a run. */
  time(name: 'classify_nothing' | 'classify_one', repeat: number): number {
    return this.#addon.testRun(this.program(name), frame, { repeat }).durationNs;
  }

  close(): void {
    for (const table of this.#tables) table.close();
    this.#object.close();
  }
}

const frame = new Uint8Array(64);

const familyBit = { ipv4: HUSK_FAMILY_IPV4, ipv6: HUSK_FAMILY_IPV6, other: HUSK_FAMILY_OTHER } as const;

/** `struct classifier_key` of bpf/include/classify.h. */
function writeKey(view: DataView, key: ClassifierKey): void {
  for (let word = 0; word < 4; word++) {
    view.setUint32(word * 4, key.saddr[word] ?? 0);
    view.setUint32(16 + word * 4, key.daddr[word] ?? 0);
  }
  view.setUint16(32, key.sport, true);
  view.setUint16(34, key.dport, true);
  const bytes = [familyBit[key.family], key.ipProto, key.hasPorts ? 1 : 0, key.zone];
  [...bytes, key.state, key.device, key.fragment, key.sets].forEach((byte, index) => {
    view.setUint8(36 + index, byte);
  });
}
