// Paths as the numbers that programs make of them: bpf/include/object_path.h, word for word.

import { HUSK_PATH_DEPTH_MAX, type HuskCanaryObject, type HuskPathKey } from '../../bpf/abi/layout.gen.ts';

/** Where something is: on which file system, and its names from that one's root down. */
export interface Place {
  /** As the kernel keeps it: major << 20 | minor. */
  readonly device: number;
  /** Absolute, within the file system; `/` is its root. */
  readonly path: string;
}

const word64 = (1n << 64n) - 1n;
const utf8 = new TextEncoder();

function mixWord(hash: bigint, word: bigint, { mix }: HuskPathKey): bigint {
  const [multiplier = 0n, addend = 0n] = mix;
  const mixed = ((((hash ^ word) + addend) & word64) * (multiplier | 1n)) & word64;
  return mixed ^ (mixed >> 32n);
}

function hashName(name: Uint8Array, key: HuskPathKey): bigint {
  let hash = mixWord(key.mix[3] ?? 0n, BigInt(name.length), key);
  // What is left of the name at the end is a word too, where nothing is.
  for (let at = 0; at <= name.length; at += 8) {
    let word = 0n;
    for (let byte = Math.min(8, name.length - at) - 1; byte >= 0; byte--)
      word = (word << 8n) | BigInt(name[at + byte] ?? 0);
    hash = mixWord(hash, word, key);
  }
  return hash;
}

/** The numbers of a path's rests, from its last name up to all of it. */
function restsOf(path: string, key: HuskPathKey): bigint[] {
  const base = (key.mix[2] ?? 0n) | 1n;
  const names = path.split('/').filter((name) => name !== '');
  const rests: bigint[] = [];
  for (const name of names.toReversed())
    rests.push((hashName(utf8.encode(name), key) + base * (rests.at(-1) ?? 0n)) & word64);
  return rests;
}

/** What stands for a place in tables. */
export function placeNumber({ device, path }: Place, key: HuskPathKey): bigint {
  const whole = restsOf(path, key).at(-1) ?? 0n;
  return mixWord(mixWord(key.mix[3] ?? 0n, whole, key), BigInt(device), key);
}

/** A place as programs have it after the walk up from it; null: deeper than they go. */
export function placeSteps(
  { device, path }: Place,
  key: HuskPathKey,
): Pick<HuskCanaryObject, 'whole' | 'rest' | 'depth' | 'device'> | null {
  const rests = restsOf(path, key);
  if (rests.length > HUSK_PATH_DEPTH_MAX) return null;
  const rest = Array.from({ length: HUSK_PATH_DEPTH_MAX }, (_, at) => rests[at] ?? 0n);
  return { device, depth: rests.length, whole: rests.at(-1) ?? 0n, rest };
}

/** The name that a program of many applets goes by, as in `wget`. */
export function appletNumber(name: string, key: HuskPathKey): bigint {
  return utf8.encode(name).reduce((hash, byte) => mixWord(hash, BigInt(byte), key), 0n);
}
