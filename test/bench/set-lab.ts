// Sets in the kernel, asked by xdp_sets.bpf.c: of Husk's tables, of tries and of hashes. For the benchmark and for
// the test of the programs; nothing is attached.

import { existsSync, readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { prefixesOf, prefixWords } from '../../agent/policy/prefixes.ts';
import type { Ranges } from '../../agent/policy/ranges.ts';
import { type SetImage, setArray } from '../../agent/policy/set-tables/set-image.ts';
import {
  HUSK_PREFIXES_MAX,
  HUSK_SET_SMALL_CHUNK_BYTES,
  HuskPrefix4,
  HuskPrefix6,
} from '../../bpf/abi/layout.gen.ts';
import { addon, type BpfObject, type MapHandle, type ProgramHandle } from '../../native/index.ts';

export type Family = 4 | 6;
/** Programs of the object, without the family. The floor asks nothing; `global` asks small ones by a function. */
export type Asked = 'floor' | 'small' | 'large' | 'global' | 'trie' | 'hash';

/** As `KEYS` of xdp_sets.bpf.c. */
export const keyCount = 65_536;
const objectPath = resolve(import.meta.dirname, '../../build/test-bpf/xdp_sets.bpf.o');
const zero = new Uint8Array(4);
const frame = new Uint8Array(64);
const valueBytes = 8;
const noPrealloc = 1;
const hashType = 1;
const trieType = 11;

export function setLabMissing(): string | false {
  if (process.getuid?.() !== 0) return 'needs root';
  return existsSync(objectPath) ? false : 'needs ./build.sh build';
}

export class SetLab {
  readonly #object: BpfObject;

  constructor() {
    this.#object = addon.openObject('xdp_sets', new Uint8Array(readFileSync(objectPath)));
    this.#object.load();
  }

  /** Puts a table where the programs look; returns which of them asks it. */
  async useImage(image: SetImage): Promise<Asked> {
    const shape = setArray(image);
    const { mapType: type, mapFlags: flags, keySize, valueSize, maxEntries } = shape;
    const map = addon.createMap({ name: 'husk_set', type, flags, keySize, valueSize, maxEntries });
    await addon.writeAll(map, shape.keys, shape.values);
    const asked = image.chunkBytes === HUSK_SET_SMALL_CHUNK_BYTES ? 'small' : 'large';
    await this.#place(`${asked}_sets`, map);
    return asked;
  }

  /** The same set as a trie, or, of single addresses, as a hash. */
  async useOther(asked: 'trie' | 'hash', family: Family, ranges: Ranges): Promise<void> {
    const keySize =
      asked === 'trie' ? (family === 4 ? HuskPrefix4.size : HuskPrefix6.size) : family === 4 ? 4 : 16;
    const map = addon.createMap({
      name: 'husk_other',
      type: asked === 'trie' ? trieType : hashType,
      flags: noPrealloc,
      keySize,
      valueSize: valueBytes,
      maxEntries: HUSK_PREFIXES_MAX,
    });
    const prefixes = prefixesOf(ranges);
    const count = prefixes.length / prefixWords;
    const keys = new Uint8Array(count * keySize);
    const view = new DataView(keys.buffer);
    for (let index = 0; index < count; index++) {
      const at = index * prefixWords;
      const to = index * keySize;
      if (asked === 'hash') {
        putKey(view, to, family, prefixes, at);
        continue;
      }
      const first = family === 4 ? 3 : 0;
      view.setUint32(to, (prefixes[at + 4] ?? 0) - first * 32, true);
      for (let word = first; word < 4; word++) {
        view.setUint32(to + 4 + (word - first) * 4, prefixes[at + word] ?? 0);
      }
    }
    await addon.writeAll(map, keys, new Uint8Array(count * valueBytes).fill(1));
    await this.#place(asked === 'trie' ? `tries${family}` : `hashes${family}`, map);
  }

  async #place(outer: string, map: MapHandle): Promise<void> {
    await addon.setInner(this.#object.map(outer), 0, map);
    map.close();
  }

  /** Addresses to ask, four words each, at most `keyCount`; they are asked by turns. */
  setKeys(family: Family, words: Uint32Array): void {
    const size = family === 4 ? 4 : 16;
    const keys = new Uint8Array(keyCount * size);
    const view = new DataView(keys.buffer);
    const count = words.length / 4;
    for (let key = 0; key < keyCount; key++) putKey(view, key * size, family, words, (key % count) * 4);
    addon.update(this.#object.map(`keys${family}`), zero, keys);
  }

  /** One answer, 1 or 0, for each key. */
  ask(asked: Asked, family: Family): Uint8Array {
    addon.update(this.#object.map('answers'), zero, new Uint8Array(keyCount).fill(2));
    addon.testRun(this.program(asked, family), frame, { repeat: keyCount });
    return addon.lookup(this.#object.map('answers'), zero) ?? new Uint8Array(0);
  }

  /** Nanoseconds a run. */
  time(asked: Asked, family: Family, repeat: number): number {
    return addon.testRun(this.program(asked, family), frame, { repeat }).durationNs;
  }

  program(asked: Asked, family: Family): ProgramHandle {
    return this.#object.program(`sets_${asked}${family}`);
  }

  close(): void {
    this.#object.close();
  }
}

/** As the programs have them: host order, an IPv6 address as two halves. */
function putKey(view: DataView, to: number, family: Family, words: Uint32Array, at: number): void {
  if (family === 4) {
    view.setUint32(to, words[at + 3] ?? 0, true);
    return;
  }
  for (let half = 0; half < 2; half++) {
    view.setUint32(to + half * 8, words[at + half * 2 + 1] ?? 0, true);
    view.setUint32(to + half * 8 + 4, words[at + half * 2] ?? 0, true);
  }
}
