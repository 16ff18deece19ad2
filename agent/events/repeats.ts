// What the kernel counted of operations alike: taken out of its map when their period is over.
//
//   first of a period ─▶ a record in the ring, told at once
//   those after it    ─▶ counted in the map ─▶ period over ─▶ taken out here, told as one event with the count
//
// Nobody counts in a period that is over, so nothing is lost between the look and the removal. What an agent left
// behind that was killed, the next one finds.

import {
  decodeHuskAlike,
  decodeHuskRepeats,
  HUSK_PERIOD_SHIFT,
  HuskAlike,
  HuskRepeats,
} from '../../bpf/abi/layout.gen.ts';
import { isAlike } from './decode.ts';

/** The map, as the flow is handed it. */
export interface RepeatsMap {
  readAll(): Promise<{ readonly keys: Uint8Array; readonly values: Uint8Array; readonly count: number }>;
  remove(key: Uint8Array): void;
}

export interface Repeated {
  readonly alike: HuskAlike;
  /** Names what is alike: the same as `alikeKey` of the record that was told. */
  readonly key: string;
  /** Beyond the one that was told. */
  readonly count: number;
  readonly firstNs: bigint;
  readonly lastNs: bigint;
}

/** A hook that read the clock just before a period's end may count a moment after. */
const graceNs = 1_000_000_000n;
/** How long after something was counted for the first time it is sure to be over. */
export const periodMs = Number((1n << BigInt(HUSK_PERIOD_SHIFT)) / 1_000_000n) + 1100;

/** The first period that is not over yet. */
export const periodNow = (bootNs: bigint): number => Number((bootNs - graceNs) >> BigInt(HUSK_PERIOD_SHIFT));

/** The bytes of a key as text. */
export const alikeKey = (bytes: Uint8Array): string => Buffer.from(bytes).toString('latin1');

/**
 * Takes out what belongs to periods before `period` and gives it to `visit`; says what was in the map that made no
 * sense, and how much is not over yet.
 */
export async function takeRepeats(
  map: RepeatsMap,
  period: number,
  visit: (repeated: Repeated) => void,
): Promise<{ readonly undecodable: number; readonly left: number }> {
  const { keys, values, count } = await map.readAll();
  // While others enter what is new, the kernel may show one entry twice.
  const seen = new Set<string>();
  let undecodable = 0;
  let left = 0;
  for (let index = 0; index < count; index++) {
    const bytes = keys.subarray(index * HuskAlike.size, (index + 1) * HuskAlike.size);
    const key = alikeKey(bytes);
    if (seen.has(key)) continue;
    seen.add(key);
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    const found = decodeHuskRepeats(
      new DataView(values.buffer, values.byteOffset + index * HuskRepeats.size, HuskRepeats.size),
      0,
    );
    const isSound =
      isAlike(view, 0) && found.count <= Number.MAX_SAFE_INTEGER && found.firstNs <= found.lastNs;
    const alike = decodeHuskAlike(view, 0);
    if (isSound && alike.period >= period) {
      left += 1;
      continue;
    }
    map.remove(bytes);
    if (!isSound) {
      undecodable += 1;
      continue;
    }
    const { firstNs, lastNs } = found;
    if (found.count > 0n) visit({ alike, key, count: Number(found.count), firstNs, lastNs });
  }
  return { undecodable, left };
}
